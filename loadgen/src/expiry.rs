//! The wait for abandoned orders to expire, before the audit reads them.

use std::time::Duration;

use crate::audit::HOLD_LATE_MAX_US;
use crate::book::{Book, Course};
use crate::clock::nanos;
use crate::http::Answer;
use crate::progress::{Phase, Tick, passed};
use crate::workload::{Due, Failure, Sent, Ticket, Workload};

/// The moment by which all abandoned orders must have expired; `None` if there are none, or if nobody knows.
pub(crate) fn all_over_ns(book: &Book) -> Option<u64> {
    let abandoned = book.orders.iter().filter(|order| order.course == Course::Abandoned);
    let last_us = abandoned.filter_map(|order| order.expires_us).max()?;
    book.clock.latest_ns(last_us + HOLD_LATE_MAX_US)
}

/// The last moment up to `until_ns` at which an abandoned order must have expired.
pub(crate) fn last_over_ns(book: &Book, until_ns: u64) -> Option<u64> {
    let abandoned = book.orders.iter().filter(|order| order.course == Course::Abandoned);
    let over_ns = |expires_us: i64| book.clock.latest_ns(expires_us + HOLD_LATE_MAX_US);
    let over = abandoned.filter_map(|order| over_ns(order.expires_us?));
    over.filter(|&over_ns| over_ns <= until_ns).max()
}

/// A workload that sends nothing until a moment has come.
pub(crate) struct Waiting {
    /// The moment.
    until_ns: u64,
    started_ns: u64,
}

impl Waiting {
    /// Waits until `until_ns`, if that is no longer than `patience` after `now_ns`.
    pub(crate) fn new(now_ns: u64, until_ns: u64, patience: Duration) -> Option<Waiting> {
        (until_ns.saturating_sub(now_ns) <= nanos(patience))
            .then_some(Waiting { until_ns, started_ns: now_ns })
    }

    /// Whether the moment has come.
    pub(crate) fn is_over(&self, now_ns: u64) -> bool {
        now_ns >= self.until_ns
    }
}

impl Workload for Waiting {
    fn start(&mut self, now_ns: u64) {
        self.started_ns = now_ns;
    }

    fn due(&mut self, _now_ns: u64) -> Due {
        Due::AfterAnswer
    }

    fn write(&mut self, _now_ns: u64, _free_since_ns: u64, _request: &mut Vec<u8>) -> Ticket {
        unreachable!("nothing is ever due")
    }

    fn answered(&mut self, _sent: Sent, _answer: &Answer<'_>) {}

    fn failed(&mut self, _sent: Sent, _failure: Failure) {}

    fn stop(&mut self, now_ns: u64) {
        self.until_ns = now_ns;
    }

    fn tick(&self, now_ns: u64) -> Tick {
        let mut tick = Tick::at(Phase::Expiry, 0, None);
        tick.elapsed = passed(self.started_ns, now_ns);
        tick.whole = Some(passed(self.started_ns, self.until_ns));
        tick
    }
}

#[cfg(test)]
mod tests {
    use super::{Waiting, all_over_ns};
    use crate::book::tests::{AT, body};
    use crate::book::{Book, How};
    use crate::limits::Limits;
    use crate::script::tests::script_of;
    use crate::traffic::Traffic;
    use crate::workload::Workload as _;
    use std::time::Duration;

    const SECOND_NS: u64 = 1_000_000_000;

    #[test]
    fn the_last_deadline_is_waited_for_and_a_second_more() {
        for (abandons, expected_s) in [(100.0, Some(603..606)), (0.0, None)] {
            let traffic = Traffic { abandons_percent: abandons, ..Traffic::default() };
            let script = script_of(9, 1, traffic);
            let mut book = Book::new(&script, &Limits::DEFAULT, true);
            book.acknowledge(&script, 0, How::Made, &AT, &body(&script, 0, "order"));
            // Made between 1 s and 2 s, held for 600 s, and clocks may drift by 0.6 s until then.
            let over_s = all_over_ns(&book).map(|over_ns| over_ns / SECOND_NS);
            assert_eq!(over_s.is_some(), expected_s.is_some(), "{over_s:?}");
            assert!(expected_s.is_none_or(|range| range.contains(&over_s.unwrap())), "{over_s:?}");
        }
    }

    #[test]
    fn what_lies_too_far_ahead_is_not_waited_for() {
        let patience = Duration::from_secs(30);
        assert!(Waiting::new(0, 31 * SECOND_NS, patience).is_none());
        let mut waiting = Waiting::new(5 * SECOND_NS, 30 * SECOND_NS, patience).unwrap();
        assert!(!waiting.is_over(29 * SECOND_NS) && waiting.is_over(30 * SECOND_NS));
        waiting.stop(7 * SECOND_NS);
        assert!(waiting.is_over(7 * SECOND_NS));
    }
}
