//! Looks up the keys of refused requests: a refusal has no effect, so that none of them may have an order.

use crate::book::Book;
use crate::errands::{Errand, Verdict};
use crate::finding::{Findings, Kind};
use crate::http::Answer;
use crate::order::Order;
use crate::progress::Phase;
use crate::script::Script;
use crate::workload::Sent;

/// Looks up what the book keeps of refused requests.
pub(crate) struct LookUp<'b> {
    script: &'b Script,
    keys: &'b [u64],
    findings: &'b mut Findings,
    /// Keys without an order.
    pub(crate) without: u64,
}

impl<'b> LookUp<'b> {
    /// Of everything refused that is in the book.
    pub(crate) fn new(script: &'b Script, book: &'b mut Book) -> LookUp<'b> {
        LookUp { script, keys: &book.refused, findings: &mut book.findings, without: 0 }
    }
}

impl Errand for LookUp<'_> {
    const PHASE: Phase = Phase::LookUp;

    fn count(&self) -> usize {
        self.keys.len()
    }

    fn write(&self, item: usize, request: &mut Vec<u8>) {
        self.script.write_look_up(self.keys[item], request);
    }

    fn judge(&mut self, item: usize, _sent: &Sent, answer: &Answer<'_>) -> Verdict {
        let (script, key) = (self.script, self.keys[item]);
        match answer.status {
            404 => self.without += 1,
            200 => self.findings.add(Kind::RefusedHadEffect, || {
                let id = Order::read(&answer.body).ok().and_then(|order| order.id());
                format!("{}: order {id:?}", script.name(key))
            }),
            429 => return Verdict::Again,
            400..=499 => self.findings.add(Kind::Unchecked, || {
                format!("{}: look-up answered {}", script.name(key), answer.status)
            }),
            _ => return Verdict::Again,
        }
        Verdict::Done
    }

    fn give_up(&mut self, item: usize) {
        let (script, key) = (self.script, self.keys[item]);
        self.findings
            .add(Kind::Unchecked, || format!("{}: could not be looked up", script.name(key)));
    }
}
