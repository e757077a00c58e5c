//! The audit from outside: every acknowledged order read back, and every key repeated.
//!
//! It believes only what the server answers over HTTP, and blames no server for what could not be asked.

use std::collections::{BTreeMap, HashMap};

use crate::book::{Acknowledged, Book, Course};
use crate::engine_clock::EngineClock;
use crate::errands::{Errand, Verdict};
use crate::finding::{Findings, Kind};
use crate::http::Answer;
use crate::order::{Order, refusal_code};
use crate::progress::Phase;
use crate::script::Script;
use crate::tally::printable;
use crate::workload::Sent;

/// States of orders counted apart at most; the contract knows nine.
const STATES_MAX: usize = 32;
/// How late a hold may end, by the contract.
pub(crate) const HOLD_LATE_MAX_US: i64 = 1_000_000;

/// Reads every acknowledged order back.
pub(crate) struct ReadBack<'b> {
    script: &'b Script,
    orders: &'b mut [Acknowledged],
    findings: &'b mut Findings,
    clock: EngineClock,
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
    /// Units of the orders found, whatever their state, by SKU.
    pub(crate) units_found_by_sku: Vec<u64>,
    /// Units that orders of this run take now, by SKU.
    pub(crate) units_by_sku: Vec<u64>,
    /// The same by buyer and SKU.
    pub(crate) units_by_buyer: HashMap<(u32, u32), u64>,
}

impl Seen {
    /// Nothing of `skus` SKUs.
    pub(crate) fn nothing(skus: usize) -> Seen {
        Seen { units_found_by_sku: vec![0; skus], units_by_sku: vec![0; skus], ..Seen::default() }
    }
}

impl<'b> ReadBack<'b> {
    /// Of everything in the book.
    pub(crate) fn new(script: &'b Script, book: &'b mut Book) -> ReadBack<'b> {
        let seen = Seen::nothing(script.skus().len());
        let clock = book.clock;
        ReadBack { script, orders: &mut book.orders, findings: &mut book.findings, clock, seen }
    }

    fn found(&mut self, item: usize, sent: &Sent, body: &[u8]) {
        let (script, acknowledged) = (self.script, self.orders[item]);
        let order = match Order::read(body) {
            Ok(order) => order,
            Err(why) => {
                self.proves_nothing(item);
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
        compare(script, self.findings, acknowledged, &order);
        self.check_course(item, &order, sent);
        let wanted = script.wanted(acknowledged.number);
        let quantity = u64::from(script.quantity());
        self.seen.units_found_by_sku[wanted.sku as usize] += quantity;
        if order.takes_units() {
            self.seen.units_by_sku[wanted.sku as usize] += quantity;
            *self.seen.units_by_buyer.entry((wanted.buyer, wanted.sku)).or_default() += quantity;
        }
    }

    /// Checks the order's state against what its buyer did and against its deadline.
    fn check_course(&mut self, item: usize, order: &Order<'_>, sent: &Sent) {
        let (script, clock) = (self.script, self.clock);
        let acknowledged = &mut self.orders[item];
        let Acknowledged { number, id, expires_us, from_ns, course, .. } = *acknowledged;
        let example = || format!("order {id:?}, {}: {}", script.name(number), order.status);
        match (&*order.status, course) {
            ("cancelled", Course::Cancelled) => self.seen.cancelled += 1,
            ("cancelled", Course::CancelSent) => {}
            ("cancelled", _) => {
                acknowledged.until_ns = from_ns;
                self.findings.add(Kind::CancelledUnasked, example);
            }
            (_, Course::Cancelled) => self.findings.add(Kind::CancelUndone, example),
            ("expired", _) => {
                // Surely held until the server's clock may have reached the deadline.
                let over_ns = expires_us.and_then(|expires_us| clock.earliest_ns(expires_us));
                let over_ns = over_ns.map_or(from_ns, |over_ns| over_ns.max(from_ns));
                acknowledged.until_ns = acknowledged.until_ns.min(over_ns);
                self.seen.abandoned_expired += u64::from(course == Course::Abandoned);
                let shown = clock.shown_us(sent.now_ns);
                if let (Some(expires_us), Some((_, most_us))) = (expires_us, shown)
                    && most_us < expires_us
                {
                    self.findings.add(Kind::ExpiredEarly, || {
                        format!(
                            "{}, {} ms early at least",
                            example(),
                            (expires_us - most_us) / 1_000
                        )
                    });
                }
            }
            ("reserved", _) => {
                acknowledged.until_ns = u64::MAX;
                let shown = clock.shown_us(sent.sent_ns);
                if let (Some(expires_us), Some((least_us, _))) = (expires_us, shown)
                    && least_us > expires_us + HOLD_LATE_MAX_US
                {
                    self.findings.add(Kind::HeldTooLong, || {
                        format!(
                            "{}, {} ms late at least",
                            example(),
                            (least_us - expires_us) / 1_000
                        )
                    });
                }
                if order.expires_us().ok() != Some(expires_us) {
                    self.findings.add(Kind::ChangedOrder, || format!("{}, expires_at", example()));
                }
            }
            _ if order.takes_units() => acknowledged.until_ns = u64::MAX,
            _ => acknowledged.until_ns = acknowledged.until_ns.min(from_ns),
        }
    }

    /// An order that could not be read is no proof that its units were ever taken.
    fn proves_nothing(&mut self, item: usize) {
        self.orders[item].until_ns = self.orders[item].from_ns;
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

    fn judge(&mut self, item: usize, sent: &Sent, answer: &Answer<'_>) -> Verdict {
        let (script, order) = (self.script, self.orders[item]);
        let example = || {
            format!("order {:?}, {}: status {}", order.id, script.name(order.number), answer.status)
        };
        match answer.status {
            200 => self.found(item, sent, &answer.body),
            404 | 410 => {
                self.proves_nothing(item);
                self.findings.add(Kind::LostOrder, example);
            }
            429 => return Verdict::Again,
            400..=499 => {
                self.proves_nothing(item);
                self.findings.add(Kind::Unchecked, example);
            }
            _ => return Verdict::Again,
        }
        Verdict::Done
    }

    fn give_up(&mut self, item: usize) {
        self.proves_nothing(item);
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

    fn judge(&mut self, item: usize, _sent: &Sent, answer: &Answer<'_>) -> Verdict {
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

#[cfg(test)]
mod tests {
    use super::{ReadBack, Repeat};
    use crate::book::tests::{AT, body};
    use crate::book::{Book, Course, How};
    use crate::errands::{Errand, Verdict};
    use crate::finding::Kind;
    use crate::http::Answer;
    use crate::limits::Limits;
    use crate::script::Script;
    use crate::script::tests::script;
    use crate::workload::Sent;
    use std::borrow::Cow;

    fn book(script: &Script, orders: u64) -> Book {
        let mut book = Book::new(script, &Limits::DEFAULT, true);
        for number in 0..orders {
            book.acknowledge(
                script,
                number,
                How::Made,
                &AT,
                &body(script, number, &format!("order-{number}")),
            );
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
            let sent = if item == 2 { read_after(700) } else { AT };
            assert_eq!(read.judge(item, &sent, &answer(200, false, body)), Verdict::Done);
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
                &AT,
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
        ReadBack::new(&script, &mut book).judge(0, &AT, &answer(404, false, Vec::new()));
        assert_eq!(book.findings.kinds(), [Kind::LostOrder]);
    }

    #[test]
    fn a_changed_order_is_found_on_both_ways() {
        let script = script(2, 1);
        let mut book = book(&script, 1);
        let changed = replace(&body(&script, 0, "order-0"), "\"amount\":5", "\"amount\":6");
        ReadBack::new(&script, &mut book).judge(0, &AT, &answer(200, false, changed.clone()));
        Repeat::new(&script, &mut book).judge(0, &AT, &answer(200, true, changed));
        ReadBack::new(&script, &mut book).judge(
            0,
            &AT,
            &answer(200, false, body(&script, 0, "order-1")),
        );
        assert_eq!(
            (book.findings.kinds(), book.findings.count(Kind::ChangedOrder)),
            (vec![Kind::ChangedOrder], 3)
        );
    }

    #[test]
    fn two_orders_for_one_key_are_found() {
        let script = script(2, 1);
        let mut book = book(&script, 1);
        Repeat::new(&script, &mut book).judge(
            0,
            &AT,
            &answer(201, false, body(&script, 0, "another")),
        );
        Repeat::new(&script, &mut book).judge(
            0,
            &AT,
            &answer(200, true, body(&script, 0, "another")),
        );
        assert_eq!(book.findings.count(Kind::SecondOrder), 2);
    }

    #[test]
    fn a_forgotten_or_unmarked_repeat_is_found() {
        let script = script(2, 1);
        let mut book = book(&script, 2);
        Repeat::new(&script, &mut book).judge(
            0,
            &AT,
            &answer(409, false, br#"{"code":"sold_out"}"#.to_vec()),
        );
        Repeat::new(&script, &mut book).judge(
            1,
            &AT,
            &answer(201, false, body(&script, 1, "order-1")),
        );
        assert_eq!(book.findings.kinds(), [Kind::KeyForgotten, Kind::RepeatNotMarked]);
    }

    #[test]
    fn what_cannot_be_asked_is_said_to_be_unchecked() {
        let script = script(2, 1);
        let mut book = book(&script, 1);
        let mut read = ReadBack::new(&script, &mut book);
        for status in [429, 500, 503, 504] {
            assert_eq!(read.judge(0, &AT, &answer(status, false, Vec::new())), Verdict::Again);
        }
        read.give_up(0);
        assert_eq!(read.judge(0, &AT, &answer(401, false, Vec::new())), Verdict::Done);
        assert_eq!(
            (book.findings.kinds(), book.findings.count(Kind::Unchecked)),
            (vec![Kind::Unchecked], 2)
        );
    }

    /// Read back this long after it was acknowledged.
    fn read_after(seconds: u64) -> Sent {
        let now_ns = AT.now_ns + seconds * 1_000_000_000;
        Sent { sent_ns: now_ns, now_ns, ..AT }
    }

    /// What is found when an order of that course is read back as `status`, `seconds` after its 201 and with 600 s to
    /// live; and whether its units count as taken from then on.
    fn read_back(course: Course, status: &str, seconds: u64) -> (Vec<Kind>, bool) {
        let script = script(2, 1);
        let mut book = book(&script, 1);
        book.orders[0].course = course;
        let told = replace(&body(&script, 0, "order-0"), "reserved", status);
        let sent = read_after(seconds);
        ReadBack::new(&script, &mut book).judge(0, &sent, &answer(200, false, told));
        (book.findings.kinds(), book.orders[0].until_ns == u64::MAX)
    }

    #[test]
    fn states_that_fit_what_the_buyer_did_are_left_alone() {
        for (course, status, seconds, taken) in [
            (Course::Kept, "reserved", 599, true),
            (Course::Abandoned, "reserved", 600, true),
            (Course::Abandoned, "expired", 601, false),
            (Course::Kept, "expired", 700, false),
            (Course::Cancelled, "cancelled", 1, true),
            (Course::CancelSent, "cancelled", 1, true),
            (Course::CancelSent, "reserved", 1, true),
            (Course::Kept, "paid", 900, true),
        ] {
            // When a cancel was sent, its own sending has set the end.
            assert_eq!(read_back(course, status, seconds), (vec![], taken), "{course:?} {status}");
        }
    }

    #[test]
    fn states_that_do_not_fit_are_found() {
        for (course, status, seconds, kind) in [
            (Course::Cancelled, "reserved", 1, Kind::CancelUndone),
            (Course::Cancelled, "expired", 700, Kind::CancelUndone),
            (Course::Kept, "cancelled", 1, Kind::CancelledUnasked),
            (Course::Abandoned, "cancelled", 1, Kind::CancelledUnasked),
            (Course::Abandoned, "expired", 590, Kind::ExpiredEarly),
            (Course::CancelSent, "expired", 1, Kind::ExpiredEarly),
            (Course::Kept, "reserved", 610, Kind::HeldTooLong),
        ] {
            assert_eq!(read_back(course, status, seconds).0, [kind], "{course:?} {status}");
        }
    }

    #[test]
    fn a_deadline_that_moves_is_found() {
        let script = script(2, 1);
        let mut book = book(&script, 1);
        let told = replace(&body(&script, 0, "order-0"), "00:10:00", "00:11:00");
        ReadBack::new(&script, &mut book).judge(0, &AT, &answer(200, false, told));
        assert_eq!(book.findings.kinds(), [Kind::ChangedOrder]);
    }
}
