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

/// Counts and times of a run's answers.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Orders made.
    pub(crate) accepted: u64,
    /// Refusals.
    pub(crate) refused: u64,
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
    /// From planned to answered.
    pub(crate) accepted_times: Times,
    /// From planned to answered.
    pub(crate) refused_times: Times,
    /// From planned to answered, of the rest.
    pub(crate) other_times: Times,
    codes_max: usize,
}

impl Tally {
    /// Nothing yet.
    pub(crate) fn new(codes_max: usize) -> Tally {
        Tally {
            accepted: 0,
            refused: 0,
            unknown: 0,
            unexpected: 0,
            answers: 0,
            by_status: BTreeMap::new(),
            refusals: BTreeMap::new(),
            errors: BTreeMap::new(),
            accepted_times: Times::new(),
            refused_times: Times::new(),
            other_times: Times::new(),
            codes_max,
        }
    }

    /// Counts an answer that came `latency_ns` after its request was due.
    pub(crate) fn answer(&mut self, status: u16, class: Class<'_>, latency_ns: u64) {
        self.answers += 1;
        *self.by_status.entry(status).or_default() += 1;
        let times = match class {
            Class::Accepted => {
                self.accepted += 1;
                &mut self.accepted_times
            }
            Class::Refused(code) => {
                self.refused += 1;
                self.refusal(code.as_deref().map_or("(no code)", printable));
                &mut self.refused_times
            }
            Class::Unknown => {
                self.unknown += 1;
                &mut self.other_times
            }
            Class::Unexpected => {
                self.unexpected += 1;
                &mut self.other_times
            }
        };
        times.record_ns(latency_ns);
    }

    /// Counts a request that got no answer.
    pub(crate) fn failure(&mut self, failure: Failure) {
        self.unknown += 1;
        *self.errors.entry(failure).or_default() += 1;
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
    fn accepted_and_refused_are_timed_apart() {
        let mut tally = Tally::new(8);
        tally.answer(201, Class::Accepted, 5_000_000);
        tally.answer(409, Class::Refused(Some("sold_out".into())), 1_000_000);
        tally.answer(504, Class::Unknown, 2_000_000);
        tally.answer(302, Class::Unexpected, 2_000_000);
        tally.failure(Failure::Timeout);
        assert_eq!(
            (tally.accepted, tally.refused, tally.unknown, tally.unexpected, tally.answers),
            (1, 1, 2, 1, 4)
        );
        assert_eq!(tally.accepted_times.quantiles().unwrap().count, 1);
        assert_eq!(tally.refused_times.quantiles().unwrap().count, 1);
        assert_eq!(tally.other_times.quantiles().unwrap().count, 2);
        assert_eq!(
            tally.by_status.into_iter().collect::<Vec<_>>(),
            [(201, 1), (302, 1), (409, 1), (504, 1)]
        );
    }

    #[test]
    fn codes_have_a_ceiling() {
        let mut tally = Tally::new(2);
        for code in ["a", "\u{1b}[2J", "c", "d", "a"] {
            tally.answer(409, Class::Refused(Some(code.into())), 1);
        }
        let refusals: Vec<(&str, u64)> =
            tally.refusals.iter().map(|(code, count)| (code.as_str(), *count)).collect();
        assert_eq!(refusals, [("(not a word)", 1), ("(other)", 2), ("a", 2)]);
    }
}
