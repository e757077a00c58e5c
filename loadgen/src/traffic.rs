//! What kinds of buyers a run has: who retries, who orders twice, who cancels, who leaves an order to expire.
//!
//! Every choice is a pure function of a request's number and the seed, so that nothing about it is stored and the
//! same seed plans the same run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits;
use crate::random::{below, mix};
use crate::range::within;

/// Shares of buyers who do more than order once, and the popularity of SKUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// SKUs are drawn in proportion to 1 / rank^this; 0 draws all alike.
    pub zipf: f64,
    /// Percent of all orders sent that repeat the order before with its key.
    pub retries_percent: f64,
    /// Percent of all orders sent in which the buyer of the order before orders once more, with a key of its own.
    pub duplicates_percent: f64,
    /// Percent of accepted orders that are cancelled within [`Traffic::CANCEL_AFTER_MAX`].
    pub cancels_percent: f64,
    /// Percent of accepted orders that are left to expire: the audit waits for their deadlines.
    pub abandons_percent: f64,
}

impl Traffic {
    /// Orders to be cancelled are cancelled at a random moment up to this long after they were accepted.
    pub const CANCEL_AFTER_MAX: Duration = Duration::from_secs(1);

    pub(crate) fn check(&self) -> Result<()> {
        within("zipf", &self.zipf, &limits::ZIPF, "")?;
        for (key, share) in [
            ("retries", self.retries_percent),
            ("duplicates", self.duplicates_percent),
            ("cancels", self.cancels_percent),
            ("abandons", self.abandons_percent),
        ] {
            within(key, &share, &limits::PERCENT, "percent")?;
        }
        check_sum("retries", "duplicates", self.retries_percent, self.duplicates_percent)?;
        check_sum("cancels", "abandons", self.cancels_percent, self.abandons_percent)
    }
}

fn check_sum(key: &'static str, other: &str, share: f64, rest: f64) -> Result<()> {
    if share + rest <= *limits::PERCENT.end() {
        return Ok(());
    }
    let range =
        format!("{key} and {other} together must be at most 100 percent, {rest} are {other}");
    Err(Error::setting(key, &share, range))
}

/// What one order sent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// The next buyer's order.
    Fresh,
    /// The order before once more, with its key.
    Retry,
    /// Another order by the buyer of the order before.
    Duplicate,
}

/// What its buyer does with an accepted order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing more.
    Kept,
    /// Cancels it, this many nanoseconds after it was accepted.
    Cancelled(u64),
    /// Leaves it, and the audit waits for its deadline.
    Abandoned,
}

/// The choices of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choices {
    seed: u64,
    /// Bounds in all 64-bit numbers: below the first a retry, below the second a duplicate.
    retry: u64,
    duplicate: u64,
    cancel: u64,
    abandon: u64,
}

/// Set one kind of choice apart from another.
const ACT: u64 = 0x6163_7473;
const FATE: u64 = 0x6661_7465;
const DELAY: u64 = 0x6465_6c61;

impl Choices {
    /// The choices of `traffic` under `seed`.
    pub(crate) fn new(traffic: &Traffic, seed: u64) -> Choices {
        let bound = |percent: f64| (percent / 100.0 * u64::MAX as f64) as u64;
        Choices {
            seed,
            retry: bound(traffic.retries_percent),
            duplicate: bound(traffic.retries_percent + traffic.duplicates_percent),
            cancel: bound(traffic.cancels_percent),
            abandon: bound(traffic.cancels_percent + traffic.abandons_percent),
        }
    }

    /// What order `number` is. The first one has none before it.
    pub(crate) fn act(&self, number: u64) -> Act {
        if self.duplicate == 0 || number == 0 {
            return Act::Fresh;
        }
        let drawn = self.drawn(ACT, number);
        if drawn < self.retry {
            Act::Retry
        } else if drawn < self.duplicate {
            Act::Duplicate
        } else {
            Act::Fresh
        }
    }

    /// The order whose key order `number` carries: itself, unless it is a retry.
    pub(crate) fn key_of(&self, number: u64) -> u64 {
        self.back(number, |act| act != Act::Retry)
    }

    /// The order whose buyer and SKU order `number` has: itself, unless it is a retry or a duplicate.
    pub(crate) fn buyer_of(&self, number: u64) -> u64 {
        self.back(number, |act| act == Act::Fresh)
    }

    /// Whether the key of order `number`, which is no retry, is sent more than once.
    pub(crate) fn is_retried(&self, number: u64) -> bool {
        self.act(number + 1) == Act::Retry
    }

    /// What becomes of order `number` once it is accepted.
    pub(crate) fn fate(&self, number: u64) -> Fate {
        if self.abandon == 0 {
            return Fate::Kept;
        }
        let drawn = self.drawn(FATE, number);
        if drawn < self.cancel {
            let after_max_ns = Traffic::CANCEL_AFTER_MAX.as_nanos() as u64;
            Fate::Cancelled(below(self.drawn(DELAY, number), after_max_ns))
        } else if drawn < self.abandon {
            Fate::Abandoned
        } else {
            Fate::Kept
        }
    }

    fn back(&self, number: u64, ends: impl Fn(Act) -> bool) -> u64 {
        if self.duplicate == 0 {
            return number;
        }
        let first = number.saturating_sub(limits::LOOK_BACK_MAX);
        (first..=number).rev().find(|&earlier| ends(self.act(earlier))).unwrap_or(first)
    }

    fn drawn(&self, what: u64, number: u64) -> u64 {
        mix(self.seed ^ mix(number ^ mix(what)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Act, Choices, Fate, Traffic};
    use crate::error::Error;

    fn choices(retries: f64, duplicates: f64, cancels: f64, abandons: f64) -> Choices {
        let traffic = Traffic {
            zipf: 0.0,
            retries_percent: retries,
            duplicates_percent: duplicates,
            cancels_percent: cancels,
            abandons_percent: abandons,
        };
        traffic.check().unwrap();
        Choices::new(&traffic, 5)
    }

    #[test]
    fn shares_are_kept() {
        let choices = choices(10.0, 20.0, 30.0, 40.0);
        let (mut retries, mut duplicates, mut cancels, mut abandons) = (0i32, 0i32, 0i32, 0i32);
        for number in 0..100_000 {
            match choices.act(number) {
                Act::Fresh => {}
                Act::Retry => retries += 1,
                Act::Duplicate => duplicates += 1,
            }
            match choices.fate(number) {
                Fate::Kept => {}
                Fate::Cancelled(after_ns) => {
                    assert!(after_ns < 1_000_000_000);
                    cancels += 1;
                }
                Fate::Abandoned => abandons += 1,
            }
        }
        // One standard deviation is at most 155.
        for (count, expected) in
            [(retries, 10_000), (duplicates, 20_000), (cancels, 30_000), (abandons, 40_000)]
        {
            assert!(count.abs_diff(expected) < 1_000, "{count} of {expected}");
        }
    }

    #[test]
    fn a_retry_carries_the_key_of_the_order_before() {
        let choices = choices(40.0, 30.0, 0.0, 0.0);
        for number in 1..1_000 {
            let (act, before) = (choices.act(number), number - 1);
            let (key, buyer) = (choices.key_of(number), choices.buyer_of(number));
            match act {
                Act::Fresh => assert_eq!((key, buyer), (number, number)),
                Act::Retry => {
                    assert_eq!((key, buyer), (choices.key_of(before), choices.buyer_of(before)));
                    assert!(choices.is_retried(key));
                }
                Act::Duplicate => assert_eq!((key, buyer), (number, choices.buyer_of(before))),
            }
        }
        assert_eq!(choices.act(0), Act::Fresh);
    }

    #[test]
    fn the_ends_of_the_shares_are_whole() {
        let all = choices(100.0, 0.0, 100.0, 0.0);
        assert!((1..5_000).all(|number| all.act(number) == Act::Retry));
        assert!((0..5_000).all(|number| matches!(all.fate(number), Fate::Cancelled(_))));
        // A look back has its ceiling.
        assert_eq!((all.key_of(900), all.key_of(5_000)), (0, 5_000 - 1_024));
        let none = choices(0.0, 0.0, 0.0, 0.0);
        assert!((0..5_000).all(|number| none.act(number) == Act::Fresh));
        assert!((0..5_000).all(|number| none.fate(number) == Fate::Kept));
    }

    #[test]
    fn wrong_shares_are_named() {
        let wrong = |key: &str, traffic: Traffic| match traffic.check() {
            Err(Error::Setting { key: named, .. }) => assert_eq!(named, key),
            other => panic!("{key}: {other:?}"),
        };
        let fair = Traffic::default();
        wrong("zipf", Traffic { zipf: -1.0, ..fair });
        wrong("retries", Traffic { retries_percent: 101.0, ..fair });
        wrong("duplicates", Traffic { duplicates_percent: f64::NAN, ..fair });
        wrong("retries", Traffic { retries_percent: 60.0, duplicates_percent: 41.0, ..fair });
        wrong("cancels", Traffic { cancels_percent: 60.0, abandons_percent: 41.0, ..fair });
        wrong("abandons", Traffic { abandons_percent: -0.5, ..fair });
    }
}
