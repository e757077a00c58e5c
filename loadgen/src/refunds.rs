//! Refunds that an operator asks for at the end, of a share of the orders that were paid.

use crate::book::Book;
use crate::errands::{Errand, Verdict};
use crate::finding::Kind;
use crate::http::{self, Answer};
use crate::order::refusal_code;
use crate::payments::Timing;
use crate::progress::Phase;
use crate::script::Script;
use crate::secret::Secret;
use crate::tally::printable;
use crate::workload::Sent;

const BODY: &[u8] = br#"{"return_to_stock":true}"#;

/// Asks for refunds of some orders.
pub(crate) struct Refunding<'b> {
    script: &'b Script,
    book: &'b mut Book,
    authority: &'b str,
    bearer: String,
    /// The places of the orders.
    places: Vec<usize>,
    /// Those for whom the operator's wish was granted.
    pub(crate) granted: Vec<usize>,
}

impl<'b> Refunding<'b> {
    /// All that were paid in time and whose buyer is among the share; the operator calls `authority` from `now_ns` on.
    pub(crate) fn new(
        script: &'b Script,
        book: &'b mut Book,
        authority: &'b str,
        token: &Secret,
        now_ns: u64,
    ) -> Refunding<'b> {
        let mut places = Vec::new();
        for payment in &mut book.payments.list {
            let order = &book.orders[payment.place];
            let is_paid = payment.timing(order, &book.clock) == Timing::InTime;
            if is_paid && script.is_refunded(order.number) {
                payment.refund.send(now_ns);
                places.push(payment.place);
            }
        }
        let bearer = format!("Bearer {}", token.expose());
        Refunding { script, book, authority, bearer, places, granted: Vec::new() }
    }
}

impl Errand for Refunding<'_> {
    const PHASE: Phase = Phase::Refund;

    fn count(&self) -> usize {
        self.places.len()
    }

    fn write(&self, item: usize, request: &mut Vec<u8>) {
        let order = &self.book.orders[self.places[item]];
        let path = format!("/admin/v1/orders/{}/refund", order.id.as_str());
        let key = format!("refund-{}", order.id.as_str());
        let headers = [
            ("authorization", self.bearer.as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", key.as_str()),
        ];
        request.extend_from_slice(&http::request("POST", &path, self.authority, &headers, BODY));
    }

    fn judge(&mut self, item: usize, sent: &Sent, answer: &Answer<'_>) -> Verdict {
        let place = self.places[item];
        match answer.status {
            200..=202 => {
                if let Some(payment) = self.book.payments.of_mut(place) {
                    payment.refund.answer(sent.now_ns);
                }
                self.granted.push(place);
            }
            429 => return Verdict::Again,
            status @ 400..=499 => {
                let (script, order) = (self.script, self.book.orders[place]);
                let code = refusal_code(&answer.body);
                self.book.findings.add(Kind::RefundRefused, || {
                    let word = code.as_deref().map_or("(no code)", printable);
                    format!("order {:?}, {}: {status} {word}", order.id, script.name(order.number))
                });
            }
            _ => return Verdict::Again,
        }
        Verdict::Done
    }

    fn give_up(&mut self, item: usize) {
        let (script, order) = (self.script, self.book.orders[self.places[item]]);
        self.book.findings.add(Kind::Unchecked, || {
            format!("order {:?}, {}: could not be refunded", order.id, script.name(order.number))
        });
    }
}
