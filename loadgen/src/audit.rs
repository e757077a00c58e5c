//! The audit from outside: every acknowledged order read back, every key repeated, keys of refused requests looked up.
//!
//! It believes only what the server answers over HTTP, and blames no server for what could not be asked.

mod course;
mod look_up;
mod read_back;
mod repeat;

pub(crate) use look_up::LookUp;
pub(crate) use read_back::{ReadBack, Seen, Taken};
pub(crate) use repeat::Repeat;

use crate::book::Acknowledged;
use crate::finding::{Findings, Kind};
use crate::order::Order;
use crate::script::Script;

/// How late a hold may end, by the contract.
pub(crate) const HOLD_LATE_MAX_US: i64 = 1_000_000;

/// Holds an order as it reads now against how it was acknowledged.
fn compare(
    script: &Script,
    findings: &mut Findings,
    acknowledged: Acknowledged,
    order: &Order<'_>,
    may_have_other_lots: bool,
) {
    let mut known = acknowledged.fingerprint;
    if may_have_other_lots {
        known = known.without_lots();
    }
    let part = match order.id() {
        Some(id) if id == acknowledged.id => order.fingerprint().difference(&known),
        _ => Some("order_id"),
    };
    if let Some(part) = part {
        findings.add(Kind::ChangedOrder, || {
            format!("order {:?}, {}: {part}", acknowledged.id, script.name(acknowledged.number))
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
        assert_eq!((read.seen.found, read.seen.units_by_sku[0].held), (3, 2));
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
        (book.findings.kinds(), book.orders[0].until_ns >= sent.now_ns)
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
            (Course::Kept, "paid", 900, Kind::PaidUnasked),
            (Course::Kept, "refunded", 900, Kind::PaidUnasked),
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
