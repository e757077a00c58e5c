//! Reads every acknowledged order back, and adds up what they say.

use std::collections::{BTreeMap, HashMap};

use super::{compare, course};
use crate::book::Book;
use crate::errands::{Errand, Verdict};
use crate::finding::Kind;
use crate::http::Answer;
use crate::order::Order;
use crate::progress::Phase;
use crate::script::Script;
use crate::tally::printable;
use crate::workload::Sent;

/// States of orders counted apart at most; the contract knows nine.
const STATES_MAX: usize = 32;

/// Reads every acknowledged order back.
pub(crate) struct ReadBack<'b> {
    script: &'b Script,
    book: &'b mut Book,
    /// What the orders read back say.
    pub(crate) seen: Seen,
}

/// What the orders read back say together.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Orders found.
    pub(crate) found: u64,
    /// By their state now.
    pub(crate) by_status: BTreeMap<String, u64>,
    /// Orders found whose cancel was acknowledged, and that are cancelled.
    pub(crate) cancelled: u64,
    /// Abandoned orders found expired.
    pub(crate) abandoned_expired: u64,
    /// Orders paid in time found paid, or refunded as asked.
    pub(crate) paid_in_time: u64,
    /// Orders paid late found paid.
    pub(crate) late_confirmed: u64,
    /// Orders paid late found refunding or refunded.
    pub(crate) late_refunded: u64,
    /// Orders found refunded as an operator had asked.
    pub(crate) refunded: u64,
    /// Units of the orders found that ever had some, whatever their state, by SKU.
    pub(crate) units_found_by_sku: Vec<u64>,
    /// Units that orders of this run take now, by SKU.
    pub(crate) units_by_sku: Vec<Taken>,
    /// The same by buyer and SKU.
    pub(crate) units_by_buyer: HashMap<(u32, u32), u64>,
}

/// Units of one SKU that orders take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// In reserved orders.
    pub(crate) held: u64,
    /// In orders that are paid, shipped or delivered.
    pub(crate) sold: u64,
    /// In orders whose refund is not settled: nobody can tell from outside whether they are back.
    pub(crate) refunding: u64,
}

impl Taken {
    /// Held and sold.
    pub(crate) fn units(&self) -> u64 {
        self.held + self.sold
    }
}

impl Seen {
    /// Nothing of `skus` SKUs.
    pub(crate) fn nothing(skus: usize) -> Seen {
        Seen {
            units_found_by_sku: vec![0; skus],
            units_by_sku: vec![Taken::default(); skus],
            ..Seen::default()
        }
    }

    fn count_status(&mut self, status: &str) {
        let status = printable(status);
        if let Some(count) = self.by_status.get_mut(status) {
            *count += 1;
        } else if self.by_status.len() < STATES_MAX {
            self.by_status.insert(status.to_owned(), 1);
        }
    }

    /// Adds the units of the order of request `number`.
    fn count_units(&mut self, script: &Script, number: u64, order: &Order<'_>, had_units: bool) {
        let wanted = script.wanted(number);
        let units = u64::from(script.quantity());
        for &sku in wanted.lines.as_slice() {
            if had_units {
                self.units_found_by_sku[sku as usize] += units;
            }
            let taken = &mut self.units_by_sku[sku as usize];
            match &*order.status {
                "reserved" => taken.held += units,
                "refunding" => taken.refunding += units,
                _ if order.takes_units() => taken.sold += units,
                _ => {}
            }
            if order.takes_units() {
                *self.units_by_buyer.entry((wanted.buyer, sku)).or_default() += units;
            }
        }
    }
}

impl<'b> ReadBack<'b> {
    /// Of everything in the book.
    pub(crate) fn new(script: &'b Script, book: &'b mut Book) -> ReadBack<'b> {
        ReadBack { script, book, seen: Seen::nothing(script.skus().len()) }
    }

    fn found(&mut self, item: usize, sent: &Sent, body: &[u8]) {
        let (script, acknowledged) = (self.script, self.book.orders[item]);
        let order = match Order::read(body) {
            Ok(order) => order,
            Err(why) => {
                self.proves_nothing(item);
                self.book.findings.add(Kind::MalformedOrder, || {
                    format!("{}: {why}", script.name(acknowledged.number))
                });
                return;
            }
        };
        self.seen.found += 1;
        self.seen.count_status(&order.status);
        let may_have_other_lots = self.book.payments.of(item).is_some();
        compare(script, &mut self.book.findings, acknowledged, &order, may_have_other_lots);
        self.book.observe(script, item, &order, sent);
        course::check(script, self.book, &mut self.seen, item, &order, sent);
        let had_units = !self.book.orders[item].is_waiting;
        self.seen.count_units(script, acknowledged.number, &order, had_units);
    }

    /// An order that could not be read is no proof that its units were ever taken.
    fn proves_nothing(&mut self, item: usize) {
        let order = &mut self.book.orders[item];
        order.until_ns = order.from_ns;
    }
}

impl Errand for ReadBack<'_> {
    const PHASE: Phase = Phase::ReadBack;

    fn count(&self) -> usize {
        self.book.orders.len()
    }

    fn write(&self, item: usize, request: &mut Vec<u8>) {
        let order = &self.book.orders[item];
        self.script.write_read(order.number, &order.id, request);
    }

    fn judge(&mut self, item: usize, sent: &Sent, answer: &Answer<'_>) -> Verdict {
        let (script, order) = (self.script, self.book.orders[item]);
        let example = || {
            format!("order {:?}, {}: status {}", order.id, script.name(order.number), answer.status)
        };
        match answer.status {
            200 => self.found(item, sent, &answer.body),
            404 | 410 => {
                self.proves_nothing(item);
                self.book.findings.add(Kind::LostOrder, example);
            }
            429 => return Verdict::Again,
            400..=499 => {
                self.proves_nothing(item);
                self.book.findings.add(Kind::Unchecked, example);
            }
            _ => return Verdict::Again,
        }
        Verdict::Done
    }

    fn give_up(&mut self, item: usize) {
        self.proves_nothing(item);
        let (script, order) = (self.script, self.book.orders[item]);
        self.book.findings.add(Kind::Unchecked, || {
            format!("order {:?}, {}: could not be read", order.id, script.name(order.number))
        });
    }
}
