//! The run second by second: what was sent, what came back, how long it took.
//!
//! An answer counts in the second in which it came; its latency is that from when it was due.

use serde::{Deserialize, Serialize};

use crate::tally::Times;

/// One second of the rush.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Second {
    /// When it began, in seconds from the beginning of the measured span; negative in the warm-up.
    pub at_s: i64,
    /// Requests sent.
    pub sent: u64,
    /// Orders accepted.
    pub accepted: u64,
    /// Orders accepted that wait.
    #[serde(default)]
    pub waiting: u64,
    /// Steps of payments, webhooks and reads.
    #[serde(default)]
    pub followed_up: u64,
    /// Retries answered with the order that their key had made.
    pub replayed: u64,
    /// Orders refused.
    pub refused: u64,
    /// Orders cancelled.
    pub cancelled: u64,
    /// Requests without an answer, and answers that leave the outcome unknown or are none of the contract's.
    pub failed: u64,
    /// Half of the answers came no later than this, in microseconds; absent where none came.
    pub p50_us: Option<u64>,
    /// 99 % of the answers.
    pub p99_us: Option<u64>,
    /// All of them.
    pub max_us: Option<u64>,
    /// The latest that a request was sent after it was due, in microseconds.
    pub lag_max_us: u64,
}

/// What happened to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Accepted,
    Waiting,
    FollowedUp,
    Replayed,
    Refused,
    Cancelled,
    Failed,
}

/// Seconds that are over, and the one that is not.
pub(crate) struct Series {
    seconds: Vec<Second>,
    current: Second,
    times: Times,
    /// When the current second ends, from the beginning of the rush.
    ends_ns: u64,
}

const SECOND_NS: u64 = 1_000_000_000;

impl Series {
    /// A series that begins `warm_up_ns` before the measured span.
    pub(crate) fn new(warm_up_ns: u64) -> Series {
        // Whole seconds, so that the measured span begins with one.
        let first_s = warm_up_ns.div_ceil(SECOND_NS);
        let current = Second { at_s: -(first_s as i64), ..Second::default() };
        let ends_ns = match warm_up_ns % SECOND_NS {
            0 => SECOND_NS,
            part => part,
        };
        Series { seconds: Vec::new(), current, times: Times::new(), ends_ns }
    }

    /// A request was sent.
    pub(crate) fn sent(&mut self, elapsed_ns: u64, lag_ns: u64) {
        self.reach(elapsed_ns);
        self.current.sent += 1;
        self.current.lag_max_us = self.current.lag_max_us.max(lag_ns / 1_000);
    }

    /// A request came to its end, with this latency if there was an answer.
    pub(crate) fn ended(&mut self, elapsed_ns: u64, mark: Mark, latency_ns: Option<u64>) {
        self.reach(elapsed_ns);
        let count = match mark {
            Mark::Accepted => &mut self.current.accepted,
            Mark::Waiting => &mut self.current.waiting,
            Mark::FollowedUp => &mut self.current.followed_up,
            Mark::Replayed => &mut self.current.replayed,
            Mark::Refused => &mut self.current.refused,
            Mark::Cancelled => &mut self.current.cancelled,
            Mark::Failed => &mut self.current.failed,
        };
        *count += 1;
        if let Some(latency_ns) = latency_ns {
            self.times.record_ns(latency_ns);
        }
    }

    /// The last second that is over.
    pub(crate) fn last(&self) -> Option<&Second> {
        self.seconds.last()
    }

    /// All seconds, the one that is not over included.
    pub(crate) fn finish(mut self) -> Vec<Second> {
        self.close();
        self.seconds
    }

    #[inline]
    fn reach(&mut self, elapsed_ns: u64) {
        while elapsed_ns >= self.ends_ns {
            self.close();
        }
    }

    #[cold]
    fn close(&mut self) {
        if let Some(times) = self.times.quantiles() {
            self.current.p50_us = Some(times.p50_us);
            self.current.p99_us = Some(times.p99_us);
            self.current.max_us = Some(times.max_us);
            self.times.clear();
        }
        self.seconds.push(self.current);
        self.current = Second { at_s: self.current.at_s + 1, ..Second::default() };
        self.ends_ns += SECOND_NS;
    }
}

#[cfg(test)]
mod tests {
    use super::{Mark, Second, Series};

    const MS: u64 = 1_000_000;

    #[test]
    fn each_second_has_its_own_counts_and_times() {
        let mut series = Series::new(0);
        series.sent(0, 5_000);
        series.ended(10 * MS, Mark::Accepted, Some(10 * MS));
        series.sent(999 * MS, 0);
        assert_eq!(series.last(), None);
        series.ended(2_100 * MS, Mark::Refused, Some(7 * MS));
        series.ended(2_200 * MS, Mark::Failed, None);
        let seconds = series.finish();
        let first = Second {
            sent: 2,
            accepted: 1,
            p50_us: Some(10_000),
            p99_us: Some(10_000),
            max_us: Some(10_000),
            lag_max_us: 5,
            ..Second::default()
        };
        assert_eq!(seconds[0], first);
        assert_eq!(seconds[1], Second { at_s: 1, ..Second::default() });
        assert_eq!((seconds[2].refused, seconds[2].failed), (1, 1));
        assert_eq!((seconds[2].max_us, seconds.len()), (Some(7_000), 3));
    }

    #[test]
    fn the_measured_span_begins_with_a_second_of_its_own() {
        let mut series = Series::new(1_500 * MS);
        for at in [400, 600, 1_499, 1_500] {
            series.sent(at * MS, 0);
        }
        let counts: Vec<(i64, u64)> =
            series.finish().into_iter().map(|second| (second.at_s, second.sent)).collect();
        assert_eq!(counts, [(-2, 1), (-1, 2), (0, 1)]);
    }
}
