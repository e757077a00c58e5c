//! What came back, counted and timed while the run goes on.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::workload::Failure;

/// An hour in microseconds; percentiles count what takes longer as an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Class<'a> {
    /// An order, made by this request.
    Accepted,
    /// An order, made by this request, that waits for units.
    Waiting,
    /// The order that an earlier request with the same key had made.
    Replayed,
    /// An order, cancelled as asked.
    Cancelled,
    /// A step of a payment, a webhook or a read, done as asked.
    FollowedUp,
    /// A refusal; nothing happened.
    Refused(Option<Cow<'a, str>>),
    /// Something may have happened.
    Unknown,
    /// Nothing that the contract knows here.
    Unexpected,
}

/// Percentiles of times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many times were measured.
    pub count: u64,
    /// Half were no longer than this.
    pub p50_us: u64,
    /// 90 % were no longer than this.
    pub p90_us: u64,
    /// 99 % were no longer than this.
    pub p99_us: u64,
    /// 99.9 % were no longer than this.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// Times from one microsecond to an hour, to three digits; the longest is kept exactly.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    histogram: Histogram<u64>,
    max_us: u64,
}

impl Times {
    /// None yet.
    pub(crate) fn new() -> Times {
        let histogram =
            Histogram::new_with_bounds(1, LONGEST_US, 3).expect("the bounds are in order");
        Times { histogram, max_us: 0 }
    }

    /// Records a time.
    pub(crate) fn record_ns(&mut self, nanos: u64) {
        let us = nanos / 1_000;
        self.histogram.saturating_record(us);
        self.max_us = self.max_us.max(us);
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.histogram.reset();
        self.max_us = 0;
    }

    /// Adds what another recorded.
    pub(crate) fn add(&mut self, other: &Times) {
        self.histogram.add(&other.histogram).expect("the bounds are the same");
        self.max_us = self.max_us.max(other.max_us);
    }

    /// The times themselves, in microseconds.
    pub(crate) fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// What was recorded, if anything was.
    pub(crate) fn quantiles(&self) -> Option<Quantiles> {
        // The histogram names the end of a bucket, which may lie beyond the longest time.
        let at = |quantile| self.histogram.value_at_quantile(quantile).min(self.max_us);
        (!self.histogram.is_empty()).then(|| Quantiles {
            count: self.histogram.len(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: self.max_us,
        })
    }
}

/// Times counted from two moments, side by side.
#[derive(Clone, Debug)]
pub(crate) struct Latency {
    /// From when a request was due: what its buyer waited.
    pub(crate) corrected: Times,
    /// From when it was sent: without the time in which it could not be.
    pub(crate) raw: Times,
}

impl Latency {
    fn new() -> Latency {
        Latency { corrected: Times::new(), raw: Times::new() }
    }

    /// Adds what another recorded.
    pub(crate) fn add(&mut self, other: &Latency) {
        self.corrected.add(&other.corrected);
        self.raw.add(&other.raw);
    }
}

/// Latencies by what the answer was.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    pub(crate) accepted: Latency,
    pub(crate) waiting: Latency,
    pub(crate) replayed: Latency,
    pub(crate) refused: Latency,
    pub(crate) cancelled: Latency,
    pub(crate) followed_up: Latency,
    /// Answers after which the outcome is unknown, and those the contract does not know.
    pub(crate) other: Latency,
}

impl Latencies {
    /// Of everything that was an answer to an order, not to a cancel or a payment.
    pub(crate) fn orders(&self) -> Latency {
        let mut all = self.accepted.clone();
        for one in [&self.waiting, &self.replayed, &self.refused, &self.other] {
            all.add(one);
        }
        all
    }
}

/// Counts and times of a run's answers.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Orders made.
    pub(crate) accepted: u64,
    /// Orders made that wait.
    pub(crate) waiting: u64,
    /// Retries answered with the order of their key.
    pub(crate) replayed: u64,
    /// Refusals.
    pub(crate) refused: u64,
    /// Orders cancelled.
    pub(crate) cancelled: u64,
    /// Steps of payments, webhooks and reads.
    pub(crate) followed_up: u64,
    /// Answers after which the outcome is unknown, and requests without an answer.
    pub(crate) unknown: u64,
    /// Answers the contract does not know.
    pub(crate) unexpected: u64,
    /// Answers of any kind.
    pub(crate) answers: u64,
    /// By status.
    pub(crate) by_status: BTreeMap<u16, u64>,
    /// By code.
    pub(crate) refusals: BTreeMap<String, u64>,
    /// By kind.
    pub(crate) errors: BTreeMap<Failure, u64>,
    /// How long the answers took.
    pub(crate) latencies: Latencies,
    codes_max: usize,
}

impl Tally {
    /// Nothing yet.
    pub(crate) fn new(codes_max: usize) -> Tally {
        Tally {
            accepted: 0,
            waiting: 0,
            replayed: 0,
            refused: 0,
            cancelled: 0,
            followed_up: 0,
            unknown: 0,
            unexpected: 0,
            answers: 0,
            by_status: BTreeMap::new(),
            refusals: BTreeMap::new(),
            errors: BTreeMap::new(),
            latencies: Latencies {
                accepted: Latency::new(),
                waiting: Latency::new(),
                replayed: Latency::new(),
                refused: Latency::new(),
                cancelled: Latency::new(),
                followed_up: Latency::new(),
                other: Latency::new(),
            },
            codes_max,
        }
    }

    /// Counts an answer that came `corrected_ns` after its request was due and `raw_ns` after it was sent.
    pub(crate) fn answer(
        &mut self,
        status: u16,
        class: &Class<'_>,
        corrected_ns: u64,
        raw_ns: u64,
    ) {
        self.answers += 1;
        *self.by_status.entry(status).or_default() += 1;
        let timed = &mut self.latencies;
        let (count, latency) = match class {
            Class::Accepted => (&mut self.accepted, &mut timed.accepted),
            Class::Waiting => (&mut self.waiting, &mut timed.waiting),
            Class::Replayed => (&mut self.replayed, &mut timed.replayed),
            Class::Cancelled => (&mut self.cancelled, &mut timed.cancelled),
            Class::FollowedUp => (&mut self.followed_up, &mut timed.followed_up),
            Class::Refused(_) => (&mut self.refused, &mut timed.refused),
            Class::Unknown => (&mut self.unknown, &mut timed.other),
            Class::Unexpected => (&mut self.unexpected, &mut timed.other),
        };
        *count += 1;
        latency.corrected.record_ns(corrected_ns);
        latency.raw.record_ns(raw_ns);
        if let Class::Refused(code) = class {
            self.refusal(code.as_deref().map_or("(no code)", printable));
        }
    }

    /// Counts a request that got no answer.
    pub(crate) fn failure(&mut self, failure: Failure) {
        self.unknown += 1;
        *self.errors.entry(failure).or_default() += 1;
    }

    /// Requests that have come to an end.
    pub(crate) fn ended(&self) -> u64 {
        self.answers + self.errors.values().sum::<u64>()
    }

    fn refusal(&mut self, code: &str) {
        if let Some(count) = self.refusals.get_mut(code) {
            *count += 1;
            return;
        }
        let code = if self.refusals.len() < self.codes_max { code } else { "(other)" };
        *self.refusals.entry(code.to_owned()).or_default() += 1;
    }
}

/// A word of the server's, if it is one that can stand in a report.
pub(crate) fn printable(word: &str) -> &str {
    let fits =
        !word.is_empty() && word.len() <= 64 && word.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { word } else { "(not a word)" }
}

#[cfg(test)]
mod tests {
    use super::{Class, Tally, Times};
    use crate::workload::Failure;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut times = Times::new();
        assert_eq!(times.quantiles(), None);
        for us in 1..=1_000 {
            times.record_ns(us * 1_000);
        }
        let quantiles = times.quantiles().unwrap();
        assert_eq!(
            (
                quantiles.count,
                quantiles.p50_us,
                quantiles.p90_us,
                quantiles.p99_us,
                quantiles.p999_us,
                quantiles.max_us
            ),
            (1_000, 500, 900, 990, 999, 1_000)
        );
    }

    #[test]
    fn answers_are_timed_apart_and_from_two_moments() {
        let mut tally = Tally::new(8);
        tally.answer(201, &Class::Accepted, 5_000_000, 4_000_000);
        tally.answer(200, &Class::Replayed, 3_000_000, 3_000_000);
        tally.answer(200, &Class::Cancelled, 9_000_000, 9_000_000);
        tally.answer(409, &Class::Refused(Some("sold_out".into())), 1_000_000, 1_000_000);
        tally.answer(504, &Class::Unknown, 2_000_000, 2_000_000);
        tally.answer(302, &Class::Unexpected, 2_000_000, 2_000_000);
        tally.failure(Failure::Timeout);
        assert_eq!((tally.accepted, tally.replayed, tally.cancelled, tally.refused), (1, 1, 1, 1));
        assert_eq!((tally.unknown, tally.unexpected, tally.answers, tally.ended()), (2, 1, 6, 7));
        let accepted = &tally.latencies.accepted;
        assert_eq!(accepted.corrected.quantiles().unwrap().max_us, 5_000);
        assert_eq!(accepted.raw.quantiles().unwrap().max_us, 4_000);
        assert_eq!(tally.latencies.other.raw.quantiles().unwrap().count, 2);
        // All answers to orders; the cancel is none.
        let orders = tally.latencies.orders().corrected.quantiles().unwrap();
        assert_eq!((orders.count, orders.max_us), (5, 5_000));
        assert_eq!(
            tally.by_status.into_iter().collect::<Vec<_>>(),
            [(200, 2), (201, 1), (302, 1), (409, 1), (504, 1)]
        );
    }

    #[test]
    fn codes_have_a_ceiling() {
        let mut tally = Tally::new(2);
        for code in ["a", "\u{1b}[2J", "c", "d", "a"] {
            tally.answer(409, &Class::Refused(Some(code.into())), 1, 1);
        }
        let refusals: Vec<(&str, u64)> =
            tally.refusals.iter().map(|(code, count)| (code.as_str(), *count)).collect();
        assert_eq!(refusals, [("(not a word)", 1), ("(other)", 2), ("a", 2)]);
    }
}
