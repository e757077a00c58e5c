//! Orders that wait for units, and what reads of them showed when: whether they were served in order.
//!
//! Only what is certain counts. One order is earlier than another if its answer had come before the other was sent;
//! it still waits if a read showed so that was sent after the other had its units, and no later one shows otherwise.

use std::collections::HashMap;

use crate::book::{Acknowledged, Book};
use crate::finding::{Findings, Kind};
use crate::order::Order;
use crate::payments::Timing;
use crate::script::Script;
use crate::workload::Sent;

/// An order that was made to wait.
#[derive(Clone, Copy, Debug)]
struct Waiter {
    /// Its place in the book.
    place: usize,
    /// When its answer came.
    joined_ns: u64,
    /// When the last read was sent that showed it waiting; `None` once one shows otherwise.
    waiting_ns: Option<u64>,
    /// When the first answer came that showed it with units.
    held_ns: Option<u64>,
    /// Its last position, and when the answer came that said so.
    position: Option<(u64, u64)>,
}

/// All orders that were made to wait.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    list: Vec<Waiter>,
    by_order: HashMap<usize, usize>,
}

impl Waiters {
    /// The order at `place` was answered with a place in the queue.
    pub(crate) fn join(&mut self, place: usize, position: Option<u64>, now_ns: u64) {
        self.by_order.insert(place, self.list.len());
        let joined_ns = now_ns;
        let position = position.map(|position| (position, now_ns));
        self.list.push(Waiter { place, joined_ns, waiting_ns: None, held_ns: None, position });
    }

    /// How many were made to wait.
    pub(crate) fn count(&self) -> u64 {
        self.list.len() as u64
    }

    /// How many of them got units.
    pub(crate) fn promoted(&self) -> u64 {
        self.list.iter().filter(|waiter| waiter.held_ns.is_some()).count() as u64
    }

    /// The places in the book of those that may still wait.
    pub(crate) fn places(&self, book: &Book) -> Vec<usize> {
        let waits = |place: &usize| book.orders[*place].is_waiting;
        self.list.iter().map(|waiter| waiter.place).filter(waits).collect()
    }

    /// A read of the order at `place` showed `order`. Whether it has units now, for the first time.
    pub(crate) fn observe(
        &mut self,
        place: usize,
        order: &Order<'_>,
        sent: &Sent,
        findings: &mut Findings,
        name: impl Fn() -> String,
    ) -> bool {
        let Some(&index) = self.by_order.get(&place) else {
            return false;
        };
        let waiter = &mut self.list[index];
        if order.waits() && waiter.held_ns.is_none() {
            waiter.waiting_ns = Some(sent.sent_ns);
            // What was asked before the last answer came may have been decided before it.
            if let (Some((before, answered_ns)), Some(now)) = (waiter.position, order.position)
                && sent.sent_ns > answered_ns
            {
                if now > before {
                    findings
                        .add(Kind::PositionGrew, || format!("{}: {before}, then {now}", name()));
                }
                waiter.position = Some((now, sent.now_ns));
            }
            return false;
        }
        waiter.waiting_ns = None;
        let is_new = waiter.held_ns.is_none() && order.takes_units();
        if is_new {
            waiter.held_ns = Some(sent.now_ns);
        }
        is_new
    }
}

/// Somebody who got units of a SKU.
struct Served {
    place: usize,
    /// When it was asked for.
    sent_ns: u64,
    /// When it was known that they were there.
    held_ns: u64,
}

/// Finds those who got units while somebody who had come before was still waiting for them.
pub(crate) fn check_order(script: &Script, book: &mut Book) {
    let mut waiting: HashMap<u32, Vec<(u64, u64, usize)>> = HashMap::new();
    for waiter in &book.waiters.list {
        if let Some(waiting_ns) = waiter.waiting_ns {
            let sku = script.wanted(book.orders[waiter.place].number).lines.as_slice()[0];
            waiting.entry(sku).or_default().push((waiter.joined_ns, waiting_ns, waiter.place));
        }
    }
    if waiting.is_empty() {
        return;
    }
    for queue in waiting.values_mut() {
        queue.sort_unstable();
        // The latest sight of anybody up to here.
        for index in 1..queue.len() {
            if queue[index].1 < queue[index - 1].1 {
                (queue[index].1, queue[index].2) = (queue[index - 1].1, queue[index - 1].2);
            }
        }
    }
    for served in served(book) {
        let order = &book.orders[served.place];
        for sku in script.wanted(order.number).lines.as_slice() {
            let Some(queue) = waiting.get(sku) else { continue };
            let earlier = queue.partition_point(|&(joined_ns, ..)| joined_ns < served.sent_ns);
            let Some(&(_, waiting_ns, first)) = queue[..earlier].last() else { continue };
            if waiting_ns > served.held_ns {
                let (id, first) = (order.id, book.orders[first].id);
                book.findings.add(Kind::StandbyOvertaken, || {
                    format!("{}: order {id:?} has units, {first:?} still waits", script.sku(*sku))
                });
            }
        }
    }
}

/// Who got units when: newcomers, those who waited, and late payers.
fn served(book: &Book) -> Vec<Served> {
    let newcomer = |(place, order): (usize, &Acknowledged)| {
        let held_ns = match book.waiters.by_order.get(&place) {
            Some(&index) => book.waiters.list[index].held_ns?,
            None => order.from_ns,
        };
        Some(Served { place, sent_ns: order.sent_ns?.get(), held_ns })
    };
    let late = book.payments.list.iter().filter_map(|payment| {
        let order = &book.orders[payment.place];
        let (sent_ns, held_ns) = payment.success.sent_ns.zip(payment.success.answered_ns)?;
        let took_again = payment.is_paid && payment.timing(order, &book.clock) == Timing::Late;
        took_again.then_some(Served { place: payment.place, sent_ns, held_ns })
    });
    book.orders.iter().enumerate().filter_map(newcomer).chain(late).collect()
}

#[cfg(test)]
mod tests {
    use super::check_order;
    use crate::book::tests::{AT, body};
    use crate::book::{Book, How};
    use crate::finding::Kind;
    use crate::limits::Limits;
    use crate::order::Order;
    use crate::script::Script;
    use crate::script::tests::script_of;
    use crate::traffic::Traffic;
    use crate::workload::Sent;

    const SECOND: u64 = 1_000_000_000;

    /// Sent at that second, answered half a second later.
    fn at(second: u64) -> Sent {
        Sent { sent_ns: second * SECOND, now_ns: second * SECOND + SECOND / 2, ..AT }
    }

    fn waiting(script: &Script, number: u64, position: u64) -> String {
        String::from_utf8(body(script, number, &format!("order-{number}")))
            .unwrap()
            .replace("reserved", &format!(r#"waiting","position":{position},"x":""#))
            .replace(r#""amount":5,"#, r#""amount":null,"#)
            .replace(r#""amount":5}"#, r#""amount":null}"#)
    }

    /// Two orders that wait: the first sent at 1 s, the other at `second`.
    fn two(second: u64) -> (Script, Book) {
        let script = script_of(9, 1, Traffic { standby_percent: 100.0, ..Traffic::default() });
        let mut book = Book::new(&script, &Limits::DEFAULT, true);
        for (number, second) in [(0, 1), (1, second)] {
            let told = waiting(&script, number, number + 1);
            book.acknowledge(&script, number, How::Waits, &at(second), told.as_bytes()).unwrap();
        }
        (script, book)
    }

    fn read(script: &Script, book: &mut Book, place: usize, second: u64, told: &[u8]) -> bool {
        book.observe(script, place, &Order::read(told).unwrap(), &at(second))
    }

    #[test]
    fn who_waits_has_no_units_until_seen_to_have_them() {
        let (script, mut book) = two(3);
        assert_eq!(book.findings.kinds(), []);
        assert_eq!(
            (book.units_by_sku()[0], book.waiters.count(), book.waiters.promoted()),
            (0, 2, 0)
        );
        assert!(book.orders[0].is_waiting && book.orders[0].until_ns == book.orders[0].from_ns);
        let told = body(&script, 0, "order-0");
        assert!(read(&script, &mut book, 0, 5, &told));
        assert!(!read(&script, &mut book, 0, 6, &told));
        let order = book.orders[0];
        assert_eq!((book.units_by_sku()[0], book.waiters.promoted()), (1, 1));
        assert!(!order.is_waiting && order.expires_us.is_some());
        assert_eq!((order.from_ns, order.until_ns), (5 * SECOND + SECOND / 2, u64::MAX));
        assert_eq!(book.findings.kinds(), []);
    }

    #[test]
    fn a_later_one_served_first_is_found_only_where_it_is_certain() {
        for (joined, held, waited, expected) in [
            (3, 5, 6, vec![Kind::StandbyOvertaken]),
            // The second was sent before the first was answered.
            (1, 5, 6, vec![]),
            // The first may have been served between its last read and the other's.
            (3, 6, 5, vec![]),
        ] {
            let (script, mut book) = two(joined);
            read(&script, &mut book, 1, held, &body(&script, 1, "order-1"));
            read(&script, &mut book, 0, waited, waiting(&script, 0, 1).as_bytes());
            check_order(&script, &mut book);
            assert_eq!(book.findings.kinds(), expected, "{joined} {held} {waited}");
            // Once it is served as well, nobody waits any more.
            read(&script, &mut book, 0, 9, &body(&script, 0, "order-0"));
            let before = book.findings.count(Kind::StandbyOvertaken);
            check_order(&script, &mut book);
            assert_eq!(book.findings.count(Kind::StandbyOvertaken), before);
        }
    }

    #[test]
    fn who_cancelled_is_passed_by() {
        let (script, mut book) = two(3);
        read(&script, &mut book, 1, 5, &body(&script, 1, "order-1"));
        let cancelled = waiting(&script, 0, 1).replace("waiting", "cancelled");
        read(&script, &mut book, 0, 6, cancelled.as_bytes());
        check_order(&script, &mut book);
        assert_eq!(book.findings.kinds(), []);
    }

    #[test]
    fn a_newcomer_is_no_exception() {
        let (script, mut book) = two(3);
        book.acknowledge(&script, 2, How::Made, &at(5), &body(&script, 2, "order-2")).unwrap();
        read(&script, &mut book, 0, 6, waiting(&script, 0, 1).as_bytes());
        check_order(&script, &mut book);
        assert_eq!(book.findings.kinds(), [Kind::StandbyOvertaken]);
    }

    #[test]
    fn positions_only_fall() {
        let (script, mut book) = two(3);
        for (second, position) in [(5, 2), (6, 1), (7, 1)] {
            read(&script, &mut book, 1, second, waiting(&script, 1, position).as_bytes());
        }
        assert_eq!(book.findings.kinds(), []);
        read(&script, &mut book, 1, 8, waiting(&script, 1, 2).as_bytes());
        assert_eq!(book.findings.kinds(), [Kind::PositionGrew]);
    }
}
