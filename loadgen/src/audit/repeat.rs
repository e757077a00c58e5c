//! Repeats every acknowledged request with its key: the same order must come again, and no other.

use super::compare;
use crate::book::Book;
use crate::errands::{Errand, Verdict};
use crate::finding::Kind;
use crate::http::Answer;
use crate::order::{Order, refusal_code};
use crate::progress::Phase;
use crate::script::Script;
use crate::workload::Sent;

/// Repeats every acknowledged request with its key.
pub(crate) struct Repeat<'b> {
    script: &'b Script,
    book: &'b mut Book,
    /// Repeats that got the same order.
    pub(crate) same: u64,
}

impl<'b> Repeat<'b> {
    /// Of everything in the book.
    pub(crate) fn new(script: &'b Script, book: &'b mut Book) -> Repeat<'b> {
        Repeat { script, book, same: 0 }
    }

    fn repeated(&mut self, item: usize, sent: &Sent, answer: &Answer<'_>) {
        let (script, acknowledged) = (self.script, self.book.orders[item]);
        let name = || script.name(acknowledged.number);
        let order = match Order::read(&answer.body) {
            Ok(order) => order,
            Err(why) => {
                return self
                    .book
                    .findings
                    .add(Kind::MalformedOrder, || format!("{}: {why}", name()));
            }
        };
        if order.id() != Some(acknowledged.id) {
            let other = order.id();
            self.book.findings.add(Kind::SecondOrder, || {
                format!("{}: {:?}, and on repeat {other:?}", name(), acknowledged.id)
            });
            return;
        }
        self.same += 1;
        if answer.status != 200 || !answer.replayed {
            self.book
                .findings
                .add(Kind::RepeatNotMarked, || format!("{}: status {}", name(), answer.status));
        }
        let may_have_other_lots = self.book.payments.of(item).is_some();
        compare(script, &mut self.book.findings, acknowledged, &order, may_have_other_lots);
        self.book.observe(script, item, &order, sent);
    }
}

impl Errand for Repeat<'_> {
    const PHASE: Phase = Phase::Repeat;

    fn count(&self) -> usize {
        self.book.orders.len()
    }

    fn write(&self, item: usize, request: &mut Vec<u8>) {
        self.script.write_order(self.book.orders[item].number, request);
    }

    fn judge(&mut self, item: usize, sent: &Sent, answer: &Answer<'_>) -> Verdict {
        let (script, order) = (self.script, self.book.orders[item]);
        match answer.status {
            200..=202 => self.repeated(item, sent, answer),
            429 => return Verdict::Again,
            400..=499 => self.book.findings.add(Kind::KeyForgotten, || {
                let code = refusal_code(&answer.body);
                format!(
                    "{}: {} {}",
                    script.name(order.number),
                    answer.status,
                    code.as_deref().unwrap_or("(no code)")
                )
            }),
            _ => return Verdict::Again,
        }
        Verdict::Done
    }

    fn give_up(&mut self, item: usize) {
        let (script, order) = (self.script, self.book.orders[item]);
        self.book.findings.add(Kind::Unchecked, || {
            format!("{}: could not be repeated", script.name(order.number))
        });
    }
}
