//! Payments that were started, and what the generator, as their provider, has told of them.
//!
//! Knows when each was told and answered; whether that was in time is said by the server's clock.

use std::collections::HashMap;

use crate::book::{Acknowledged, Book};
use crate::engine_clock::EngineClock;
use crate::finding::Kind;
use crate::http::Answer;
use crate::order::{self, OrderId, refusal_code};
use crate::script::Script;
use crate::tally::{Class, printable};
use crate::workload::Sent;

/// The code of a currency, held in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Currency([u8; 3]);

impl Currency {
    fn new(text: &str) -> Option<Currency> {
        let bytes = text.as_bytes().try_into().ok()?;
        text.bytes().all(|byte| byte.is_ascii_uppercase()).then_some(Currency(bytes))
    }

    /// The code as text.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Something told to the server, maybe more than once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// When it was sent first.
    pub(crate) sent_ns: Option<u64>,
    /// When it was first answered with 200.
    pub(crate) answered_ns: Option<u64>,
}

impl Told {
    /// It is sent.
    pub(crate) fn send(&mut self, now_ns: u64) {
        self.sent_ns.get_or_insert(now_ns);
    }

    /// It was answered with 200.
    pub(crate) fn answer(&mut self, now_ns: u64) {
        self.answered_ns.get_or_insert(now_ns);
    }
}

/// One payment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payment {
    /// The place of its order in the book.
    pub(crate) place: usize,
    /// Its id.
    pub(crate) id: OrderId,
    /// What is to be paid.
    pub(crate) amount: u64,
    /// In which currency.
    pub(crate) currency: Currency,
    /// That the buyer has paid.
    pub(crate) success: Told,
    /// The hold had ended before the success was sent.
    pub(crate) was_over: bool,
    /// Its order was found paid, shipped or delivered.
    pub(crate) is_paid: bool,
    /// That an operator wants it refunded.
    pub(crate) refund: Told,
    /// That the buyer has the money back.
    pub(crate) refunded: Told,
}

/// Whether a success was told in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timing {
    /// Answered with 200 before the hold ended.
    InTime,
    /// Answered with 200, and sent after the hold had ended.
    Late,
    /// Answered with 200, and nobody can tell.
    Unsure,
    /// Never answered with 200.
    Open,
}

impl Payment {
    /// When its success was told, held against the deadline of its order.
    pub(crate) fn timing(&self, order: &Acknowledged, clock: &EngineClock) -> Timing {
        let Some(answered_ns) = self.success.answered_ns else {
            return Timing::Open;
        };
        let shown = order.expires_us.zip(clock.shown_us(answered_ns));
        if self.was_over {
            Timing::Late
        } else if shown.is_some_and(|(expires_us, (_, most_us))| most_us < expires_us) {
            Timing::InTime
        } else {
            Timing::Unsure
        }
    }
}

/// All payments of a run.
#[derive(Debug, Default)]
pub(crate) struct Payments {
    /// In the order in which they were started.
    pub(crate) list: Vec<Payment>,
    by_order: HashMap<usize, usize>,
    /// Payments that the server would not start.
    pub(crate) refused: u64,
    /// Webhooks sent.
    pub(crate) webhooks: u64,
}

impl Payments {
    /// The payment of the order at `place`.
    pub(crate) fn of(&self, place: usize) -> Option<&Payment> {
        self.by_order.get(&place).map(|&index| &self.list[index])
    }

    /// The same, to be changed.
    pub(crate) fn of_mut(&mut self, place: usize) -> Option<&mut Payment> {
        self.by_order.get(&place).map(|&index| &mut self.list[index])
    }

    fn add(&mut self, place: usize, read: &order::Payment<'_>) -> Result<(), String> {
        let id = read.id().ok_or("payment_id is none")?;
        let currency = Currency::new(&read.currency).ok_or("currency is none")?;
        if let Some(known) = self.of(place) {
            return if known.id == id {
                Ok(())
            } else {
                Err("a second payment is open".to_owned())
            };
        }
        self.by_order.insert(place, self.list.len());
        self.list.push(Payment {
            place,
            id,
            amount: read.amount,
            currency,
            success: Told::default(),
            was_over: false,
            is_paid: false,
            refund: Told::default(),
            refunded: Told::default(),
        });
        Ok(())
    }
}

/// Judges the answer to the start of a payment for the order at `place`. It has one in the book afterwards, or not.
pub(crate) fn judge_start<'a>(
    script: &Script,
    book: &mut Book,
    place: usize,
    sent: &Sent,
    answer: &'a Answer<'_>,
) -> Class<'a> {
    let order = book.orders[place];
    let name = || format!("order {:?}, {}", order.id, script.name(order.number));
    match answer.status {
        200 | 201 => {
            let added = order::Payment::read(&answer.body).and_then(|read| {
                if read.order_id() != Some(order.id) {
                    return Err("order_id is another".to_owned());
                }
                if !order.fingerprint.is_amount(read.amount, &read.currency) {
                    return Err("amount is not the order's".to_owned());
                }
                book.payments.add(place, &read)
            });
            if let Err(why) = added {
                book.findings.add(Kind::WrongPayment, || format!("{}: {why}", name()));
                return Class::Unexpected;
            }
            Class::FollowedUp
        }
        status @ 400..=499 => {
            book.payments.refused += 1;
            let code = refusal_code(&answer.body);
            if book.surely_held(place, sent.now_ns) {
                let word = code.as_deref().map_or("(no code)", printable);
                book.findings.add(Kind::PaymentRefused, || format!("{}: {status} {word}", name()));
            }
            Class::Refused(code)
        }
        _ => Class::Unexpected,
    }
}

/// Judges the answer to a webhook about the order at `place`; whether it was taken.
pub(crate) fn judge_webhook<'a>(
    script: &Script,
    book: &mut Book,
    place: usize,
    answer: &'a Answer<'_>,
) -> Class<'a> {
    if answer.status == 200 {
        return Class::FollowedUp;
    }
    let order = book.orders[place];
    book.findings.add(Kind::WebhookRefused, || {
        format!("order {:?}, {}: {}", order.id, script.name(order.number), answer.status)
    });
    match answer.status {
        400..=499 => Class::Refused(refusal_code(&answer.body)),
        _ => Class::Unexpected,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Timing, judge_start, judge_webhook};
    use crate::book::tests::{AT, body};
    use crate::book::{Book, How};
    use crate::finding::Kind;
    use crate::http::Answer;
    use crate::limits::Limits;
    use crate::script::Script;
    use crate::script::tests::script_of;
    use crate::tally::Class;
    use crate::traffic::Traffic;
    use std::borrow::Cow;

    const SECOND: u64 = 1_000_000_000;

    pub(crate) fn answer(status: u16, body: &str) -> Answer<'_> {
        let body = Cow::Borrowed(body.as_bytes());
        Answer { status, replayed: false, retry_after_s: None, close: false, body }
    }

    /// A book of one order, held for 600 s.
    fn one_order() -> (Script, Book) {
        let script = script_of(9, 1, Traffic { pays_percent: 100.0, ..Traffic::default() });
        let mut book = Book::new(&script, &Limits::DEFAULT, true);
        book.acknowledge(&script, 0, How::Made, &AT, &body(&script, 0, "order-0")).unwrap();
        (script, book)
    }

    fn told(order: &str, id: &str, amount: u64) -> String {
        format!(
            r#"{{"payment_id":"{id}","order_id":"{order}","amount":{amount},"currency":"CNY","status":"open","pay_url":null}}"#
        )
    }

    /// The same with a payment.
    pub(crate) fn one_payment() -> (Script, Book) {
        let (script, mut book) = one_order();
        let body = told("order-0", "pay-0", 5);
        let answer = answer(201, &body);
        assert_eq!(judge_start(&script, &mut book, 0, &AT, &answer), Class::FollowedUp);
        (script, book)
    }

    #[test]
    fn only_a_payment_of_its_order_is_one() {
        for (order, id, amount, expected) in [
            ("order-0", "pay-0", 5, vec![]),
            ("order-1", "pay-0", 5, vec![Kind::WrongPayment]),
            ("order-0", "pay-0", 6, vec![Kind::WrongPayment]),
            ("order-0", "", 5, vec![Kind::WrongPayment]),
            ("order-0", "pay-1", 5, vec![Kind::WrongPayment]),
        ] {
            let (script, mut book) = one_payment();
            judge_start(&script, &mut book, 0, &AT, &answer(200, &told(order, id, amount)));
            assert_eq!(book.findings.kinds(), expected, "{order} {id} {amount}");
            assert_eq!(book.payments.list.len(), 1);
        }
    }

    #[test]
    fn what_is_held_can_be_paid_and_a_signed_webhook_is_taken() {
        let (script, mut book) = one_order();
        let refused = r#"{"code":"order_state"}"#;
        let refused = answer(409, refused);
        let class = judge_start(&script, &mut book, 0, &AT, &refused);
        assert_eq!(class, Class::Refused(Some("order_state".into())));
        let late = crate::workload::Sent { now_ns: 700 * SECOND, ..AT };
        judge_start(&script, &mut book, 0, &late, &refused);
        assert_eq!((book.findings.count(Kind::PaymentRefused), book.payments.refused), (1, 2));
        assert_eq!(judge_webhook(&script, &mut book, 0, &answer(200, "")), Class::FollowedUp);
        judge_webhook(&script, &mut book, 0, &answer(401, ""));
        assert_eq!(book.findings.count(Kind::WebhookRefused), 1);
    }

    #[test]
    fn a_success_is_in_time_late_or_nobody_knows() {
        let (_, mut book) = one_payment();
        let (order, clock) = (book.orders[0], book.clock);
        let payment = book.payments.of_mut(0).unwrap();
        assert_eq!(payment.timing(&order, &clock), Timing::Open);
        payment.success.send(3 * SECOND);
        assert_eq!(payment.timing(&order, &clock), Timing::Open);
        payment.success.answer(590 * SECOND);
        payment.success.answer(700 * SECOND);
        assert_eq!(payment.timing(&order, &clock), Timing::InTime);
        payment.success.answered_ns = Some(700 * SECOND);
        assert_eq!(payment.timing(&order, &clock), Timing::Unsure);
        payment.was_over = true;
        assert_eq!(payment.timing(&order, &clock), Timing::Late);
    }
}
