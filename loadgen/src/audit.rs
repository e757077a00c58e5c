//! The audit from outside: every acknowledged order read back, and every key repeated.
//!
//! It believes only what the server answers over HTTP, and blames no server for what could not be asked.

use std::collections::{BTreeMap, HashMap};

use crate::book::{Acknowledged, Book};
use crate::errands::{Errand, Verdict};
use crate::finding::{Findings, Kind};
use crate::http::Answer;
use crate::order::{Order, refusal_code};
use crate::progress::Phase;
use crate::script::Script;
use crate::tally::printable;

/// States of orders counted apart at most; the contract knows nine.
const STATES_MAX: usize = 32;

/// Reads every acknowledged order back.
pub(crate) struct ReadBack<'b> {
    script: &'b Script,
    orders: &'b [Acknowledged],
    findings: &'b mut Findings,
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
    /// Units that orders of this run take now, by SKU.
    pub(crate) units_by_sku: Vec<u64>,
    /// The same by buyer and SKU.
    pub(crate) units_by_buyer: HashMap<(u32, u32), u64>,
}

impl<'b> ReadBack<'b> {
    /// Of everything in the book.
    pub(crate) fn new(script: &'b Script, book: &'b mut Book) -> ReadBack<'b> {
        let seen = Seen { units_by_sku: vec![0; script.skus().len()], ..Seen::default() };
        ReadBack { script, orders: &book.orders, findings: &mut book.findings, seen }
    }

    fn found(&mut self, acknowledged: Acknowledged, body: &[u8]) {
        let order = match Order::read(body) {
            Ok(order) => order,
            Err(why) => {
                let script = self.script;
                self.findings.add(Kind::MalformedOrder, || {
                    format!("{}: {why}", script.name(acknowledged.number))
                });
                return;
            }
        };
        self.seen.found += 1;
        let status = printable(&order.status);
        if let Some(count) = self.seen.by_status.get_mut(status) {
            *count += 1;
        } else if self.seen.by_status.len() < STATES_MAX {
            self.seen.by_status.insert(status.to_owned(), 1);
        }
        compare(self.script, self.findings, acknowledged, &order);
        if order.takes_units() {
            let wanted = self.script.wanted(acknowledged.number);
            let quantity = u64::from(self.script.quantity());
            self.seen.units_by_sku[wanted.sku as usize] += quantity;
            *self.seen.units_by_buyer.entry((wanted.buyer, wanted.sku)).or_default() += quantity;
        }
    }
}

fn compare(
    script: &Script,
    findings: &mut Findings,
    acknowledged: Acknowledged,
    order: &Order<'_>,
) {
    let part = match order.id() {
        Some(id) if id == acknowledged.id => {
            order.fingerprint().difference(&acknowledged.fingerprint)
        }
        _ => Some("order_id"),
    };
    if let Some(part) = part {
        findings.add(Kind::ChangedOrder, || {
            format!("order {:?}, {}: {part}", acknowledged.id, script.name(acknowledged.number))
        });
    }
}

impl Errand for ReadBack<'_> {
    const PHASE: Phase = Phase::ReadBack;

    fn count(&self) -> usize {
        self.orders.len()
    }

    fn write(&self, item: usize, request: &mut Vec<u8>) {
        let order = &self.orders[item];
        self.script.write_read(order.number, &order.id, request);
    }

    fn judge(&mut self, item: usize, answer: &Answer<'_>) -> Verdict {
        let (script, order) = (self.script, self.orders[item]);
        let example = || {
            format!("order {:?}, {}: status {}", order.id, script.name(order.number), answer.status)
        };
        match answer.status {
            200 => self.found(order, &answer.body),
            404 | 410 => self.findings.add(Kind::LostOrder, example),
            429 => return Verdict::Again,
            400..=499 => self.findings.add(Kind::Unchecked, example),
            _ => return Verdict::Again,
        }
        Verdict::Done
    }

    fn give_up(&mut self, item: usize) {
        let (script, order) = (self.script, self.orders[item]);
        self.findings.add(Kind::Unchecked, || {
            format!("order {:?}, {}: could not be read", order.id, script.name(order.number))
        });
    }
}

/// Repeats every acknowledged request with its key.
pub(crate) struct Repeat<'b> {
    script: &'b Script,
    orders: &'b [Acknowledged],
    findings: &'b mut Findings,
    /// Repeats that got the same order.
    pub(crate) same: u64,
}

impl<'b> Repeat<'b> {
    /// Of everything in the book.
    pub(crate) fn new(script: &'b Script, book: &'b mut Book) -> Repeat<'b> {
        Repeat { script, orders: &book.orders, findings: &mut book.findings, same: 0 }
    }

    fn repeated(&mut self, acknowledged: Acknowledged, answer: &Answer<'_>) {
        let script = self.script;
        let name = || script.name(acknowledged.number);
        let order = match Order::read(&answer.body) {
            Ok(order) => order,
            Err(why) => {
                return self.findings.add(Kind::MalformedOrder, || format!("{}: {why}", name()));
            }
        };
        if order.id() != Some(acknowledged.id) {
            let other = order.id();
            self.findings.add(Kind::SecondOrder, || {
                format!("{}: {:?}, and on repeat {other:?}", name(), acknowledged.id)
            });
            return;
        }
        self.same += 1;
        if answer.status != 200 || !answer.replayed {
            self.findings
                .add(Kind::RepeatNotMarked, || format!("{}: status {}", name(), answer.status));
        }
        compare(script, self.findings, acknowledged, &order);
    }
}

impl Errand for Repeat<'_> {
    const PHASE: Phase = Phase::Repeat;

    fn count(&self) -> usize {
        self.orders.len()
    }

    fn write(&self, item: usize, request: &mut Vec<u8>) {
        self.script.write_order(self.orders[item].number, request);
    }

    fn judge(&mut self, item: usize, answer: &Answer<'_>) -> Verdict {
        let (script, order) = (self.script, self.orders[item]);
        match answer.status {
            200 | 201 => self.repeated(order, answer),
            429 => return Verdict::Again,
            400..=499 => self.findings.add(Kind::KeyForgotten, || {
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
        let (script, order) = (self.script, self.orders[item]);
        self.findings.add(Kind::Unchecked, || {
            format!("{}: could not be repeated", script.name(order.number))
        });
    }
}

/// Finds buyers with more units of a SKU than the limit.
pub(crate) fn check_limit(
    script: &Script,
    seen: &Seen,
    limit: u64,
    sku: u32,
    findings: &mut Findings,
) {
    let mut over: Vec<(u32, u64)> = seen
        .units_by_buyer
        .iter()
        .filter(|((_, of), units)| *of == sku && **units > limit)
        .map(|((buyer, _), units)| (*buyer, *units))
        .collect();
    over.sort_unstable();
    for (buyer, units) in over {
        findings.add(Kind::BuyerOverLimit, || {
            format!(
                "{}: {units} units of {}, limit {limit}",
                script.buyer_name(buyer),
                script.sku(sku)
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{ReadBack, Repeat, Seen, check_limit};
    use crate::book::Book;
    use crate::book::tests::body;
    use crate::errands::{Errand, Verdict};
    use crate::finding::{Findings, Kind};
    use crate::http::Answer;
    use crate::limits::Limits;
    use crate::script::Script;
    use crate::script::tests::script;
    use std::borrow::Cow;

    fn book(script: &Script, orders: u64) -> Book {
        let mut book = Book::new(script, &Limits::DEFAULT, true);
        for number in 0..orders {
            book.acknowledge(script, number, &body(script, number, &format!("order-{number}")));
        }
        book
    }

    fn answer(status: u16, replayed: bool, body: Vec<u8>) -> Answer<'static> {
        Answer { status, replayed, retry_after_s: None, close: false, body: Cow::Owned(body) }
    }

    fn replace(body: &[u8], from: &str, to: &str) -> Vec<u8> {
        String::from_utf8(body.to_vec()).unwrap().replace(from, to).into_bytes()
    }

    #[test]
    fn an_honest_server_is_found_honest() {
        let script = script(2, 1);
        let mut book = book(&script, 3);
        let mut read = ReadBack::new(&script, &mut book);
        for item in 0..3 {
            let body = body(&script, item as u64, &format!("order-{item}"));
            let body = if item == 2 { replace(&body, "reserved", "expired") } else { body };
            assert_eq!(read.judge(item, &answer(200, false, body)), Verdict::Done);
        }
        assert_eq!((read.seen.found, read.seen.units_by_sku[0]), (3, 2));
        assert_eq!(
            read.seen.by_status.into_iter().collect::<Vec<_>>(),
            [("expired".into(), 1), ("reserved".into(), 2)]
        );
        let mut repeat = Repeat::new(&script, &mut book);
        for item in 0..3 {
            repeat.judge(
                item,
                &answer(200, true, body(&script, item as u64, &format!("order-{item}"))),
            );
        }
        assert_eq!(repeat.same, 3);
        assert_eq!(book.findings.kinds(), []);
    }

    #[test]
    fn a_lost_order_is_found() {
        let script = script(2, 1);
        let mut book = book(&script, 1);
        ReadBack::new(&script, &mut book).judge(0, &answer(404, false, Vec::new()));
        assert_eq!(book.findings.kinds(), [Kind::LostOrder]);
    }

    #[test]
    fn a_changed_order_is_found_on_both_ways() {
        let script = script(2, 1);
        let mut book = book(&script, 1);
        let changed = replace(&body(&script, 0, "order-0"), "\"amount\":5", "\"amount\":6");
        ReadBack::new(&script, &mut book).judge(0, &answer(200, false, changed.clone()));
        Repeat::new(&script, &mut book).judge(0, &answer(200, true, changed));
        ReadBack::new(&script, &mut book)
            .judge(0, &answer(200, false, body(&script, 0, "order-1")));
        assert_eq!(
            (book.findings.kinds(), book.findings.count(Kind::ChangedOrder)),
            (vec![Kind::ChangedOrder], 3)
        );
    }

    #[test]
    fn two_orders_for_one_key_are_found() {
        let script = script(2, 1);
        let mut book = book(&script, 1);
        Repeat::new(&script, &mut book).judge(0, &answer(201, false, body(&script, 0, "another")));
        Repeat::new(&script, &mut book).judge(0, &answer(200, true, body(&script, 0, "another")));
        assert_eq!(book.findings.count(Kind::SecondOrder), 2);
    }

    #[test]
    fn a_forgotten_or_unmarked_repeat_is_found() {
        let script = script(2, 1);
        let mut book = book(&script, 2);
        Repeat::new(&script, &mut book)
            .judge(0, &answer(409, false, br#"{"code":"sold_out"}"#.to_vec()));
        Repeat::new(&script, &mut book).judge(1, &answer(201, false, body(&script, 1, "order-1")));
        assert_eq!(book.findings.kinds(), [Kind::KeyForgotten, Kind::RepeatNotMarked]);
    }

    #[test]
    fn what_cannot_be_asked_is_said_to_be_unchecked() {
        let script = script(2, 1);
        let mut book = book(&script, 1);
        let mut read = ReadBack::new(&script, &mut book);
        for status in [429, 500, 503, 504] {
            assert_eq!(read.judge(0, &answer(status, false, Vec::new())), Verdict::Again);
        }
        read.give_up(0);
        assert_eq!(read.judge(0, &answer(401, false, Vec::new())), Verdict::Done);
        assert_eq!(
            (book.findings.kinds(), book.findings.count(Kind::Unchecked)),
            (vec![Kind::Unchecked], 2)
        );
    }

    #[test]
    fn buyers_over_the_limit_are_found_by_sku() {
        let script = script(2, 2);
        let mut seen = Seen::default();
        seen.units_by_buyer.extend([((0, 0), 2), ((1, 0), 3), ((0, 1), 9)]);
        let mut findings = Findings::new(5);
        check_limit(&script, &seen, 2, 0, &mut findings);
        assert_eq!(findings.count(Kind::BuyerOverLimit), 1);
        let found = findings.into_found();
        assert_eq!(
            found[&Kind::BuyerOverLimit].examples,
            ["run-b0000001: 3 units of sku-1, limit 2"]
        );
    }
}
