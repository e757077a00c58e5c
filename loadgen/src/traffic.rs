//! What kinds of buyers a run has: who retries, who orders twice, who waits in standby or buys a basket, and what
//! becomes of an order: paid, paid late, cancelled or left to expire.
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// SKUs are drawn in proportion to 1 / rank^this; 0 draws all alike.
    pub zipf: f64,
    /// Percent of all orders sent that repeat the order before with its key.
    pub retries_percent: f64,
    /// Percent of all orders sent in which the buyer of the order before orders once more, with a key of its own.
    pub duplicates_percent: f64,
    /// Percent of orders that wait if there is nothing left.
    pub standby_percent: f64,
    /// Percent of orders of several SKUs.
    pub baskets_percent: f64,
    /// SKUs in each of them.
    pub basket_lines: u32,
    /// Percent of accepted orders that are cancelled within [`Traffic::CANCEL_AFTER_MAX`].
    pub cancels_percent: f64,
    /// Percent of accepted orders that are left to expire: the audit waits for their deadlines.
    pub abandons_percent: f64,
    /// Percent of accepted orders that are paid; the payment starts within [`Traffic::PAY_AFTER_MAX`].
    pub pays_percent: f64,
    /// Percent of accepted orders whose payment starts as early, and succeeds after the hold has ended.
    pub pays_late_percent: f64,
    /// Percent of paid orders that an operator refunds at the end.
    pub refunds_percent: f64,
}

impl Default for Traffic {
    fn default() -> Traffic {
        Traffic {
            zipf: 0.0,
            retries_percent: 0.0,
            duplicates_percent: 0.0,
            standby_percent: 0.0,
            baskets_percent: 0.0,
            basket_lines: 3,
            cancels_percent: 0.0,
            abandons_percent: 0.0,
            pays_percent: 0.0,
            pays_late_percent: 0.0,
            refunds_percent: 0.0,
        }
    }
}

impl Traffic {
    /// Orders to be cancelled are cancelled at a random moment up to this long after they were accepted.
    pub const CANCEL_AFTER_MAX: Duration = Duration::from_secs(1);
    /// Payments start at a random moment up to this long after their order was accepted: holds may be as short as a
    /// second.
    pub const PAY_AFTER_MAX: Duration = Duration::from_millis(250);

    pub(crate) fn check(&self) -> Result<()> {
        within("zipf", &self.zipf, &limits::ZIPF, "")?;
        for (key, share) in [
            ("retries", self.retries_percent),
            ("duplicates", self.duplicates_percent),
            ("standby", self.standby_percent),
            ("baskets", self.baskets_percent),
            ("cancels", self.cancels_percent),
            ("abandons", self.abandons_percent),
            ("pay", self.pays_percent),
            ("pay-late", self.pays_late_percent),
            ("refund", self.refunds_percent),
        ] {
            within(key, &share, &limits::PERCENT, "percent")?;
        }
        within("basket-lines", &self.basket_lines, &limits::BASKET_LINES, "SKUs")?;
        check_sum(&[("retries", self.retries_percent), ("duplicates", self.duplicates_percent)])?;
        check_sum(&[("standby", self.standby_percent), ("baskets", self.baskets_percent)])?;
        check_sum(&[
            ("cancels", self.cancels_percent),
            ("abandons", self.abandons_percent),
            ("pay", self.pays_percent),
            ("pay-late", self.pays_late_percent),
        ])
    }

    /// Whether anybody pays.
    pub(crate) fn pays(&self) -> bool {
        self.pays_percent + self.pays_late_percent > 0.0
    }
}

/// Shares that exclude each other are 100 percent at most together.
fn check_sum(shares: &[(&'static str, f64)]) -> Result<()> {
    let sum: f64 = shares.iter().map(|(_, share)| share).sum();
    if sum <= *limits::PERCENT.end() {
        return Ok(());
    }
    let names: Vec<&str> = shares.iter().map(|(key, _)| *key).collect();
    let range = format!("{} together must be at most 100 percent, are {sum}", names.join(", "));
    Err(Error::setting(shares[0].0, &shares[0].1, range))
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

/// What an order asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One SKU, now.
    Single,
    /// One SKU, now or when units come back.
    Standby,
    /// Several SKUs.
    Basket,
}

/// What its buyer does with an accepted order; delays are in nanoseconds from when it was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing more.
    Kept,
    /// Cancels it after so long.
    Cancelled(u64),
    /// Leaves it, and the audit waits for its deadline.
    Abandoned,
    /// Starts a payment after so long, which succeeds at once.
    Paid(u64),
    /// Starts a payment after so long, which succeeds when the hold has ended.
    PaidLate(u64),
}

/// The choices of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choices {
    seed: u64,
    /// Bounds in all 64-bit numbers: below the first a retry, below the second a duplicate.
    retry: u64,
    duplicate: u64,
    standby: u64,
    basket: u64,
    cancel: u64,
    abandon: u64,
    pay: u64,
    pay_late: u64,
    refund: u64,
}

/// Set one kind of choice apart from another.
const ACT: u64 = 0x6163_7473;
const SHAPE: u64 = 0x7368_6170;
const FATE: u64 = 0x6661_7465;
const DELAY: u64 = 0x6465_6c61;
const REFUND: u64 = 0x7265_6675;
const TWICE: u64 = 0x7477_6963;

/// One webhook in this many is sent twice.
const TWICE_EACH: u64 = 8;

impl Choices {
    /// The choices of `traffic` under `seed`.
    pub(crate) fn new(traffic: &Traffic, seed: u64) -> Choices {
        let bound = |percent: f64| (percent / 100.0 * u64::MAX as f64) as u64;
        let cancels = traffic.cancels_percent;
        let abandons = cancels + traffic.abandons_percent;
        let pays = abandons + traffic.pays_percent;
        Choices {
            seed,
            retry: bound(traffic.retries_percent),
            duplicate: bound(traffic.retries_percent + traffic.duplicates_percent),
            standby: bound(traffic.standby_percent),
            basket: bound(traffic.standby_percent + traffic.baskets_percent),
            cancel: bound(cancels),
            abandon: bound(abandons),
            pay: bound(pays),
            pay_late: bound(pays + traffic.pays_late_percent),
            refund: bound(traffic.refunds_percent),
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

    /// The order whose buyer, shape and SKUs order `number` has: itself, unless it is a retry or a duplicate.
    pub(crate) fn buyer_of(&self, number: u64) -> u64 {
        self.back(number, |act| act == Act::Fresh)
    }

    /// Whether the key of order `number`, which is no retry, is sent more than once.
    pub(crate) fn is_retried(&self, number: u64) -> bool {
        self.act(number + 1) == Act::Retry
    }

    /// What order `number`, which is neither a retry nor a duplicate, asks for.
    pub(crate) fn shape(&self, number: u64) -> Shape {
        if self.basket == 0 {
            return Shape::Single;
        }
        let drawn = self.drawn(SHAPE, number);
        if drawn < self.standby {
            Shape::Standby
        } else if drawn < self.basket {
            Shape::Basket
        } else {
            Shape::Single
        }
    }

    /// What becomes of order `number` once it is accepted.
    pub(crate) fn fate(&self, number: u64) -> Fate {
        if self.pay_late == 0 {
            return Fate::Kept;
        }
        let drawn = self.drawn(FATE, number);
        let within =
            |longest: Duration| below(self.drawn(DELAY, number), longest.as_nanos() as u64);
        if drawn < self.cancel {
            Fate::Cancelled(within(Traffic::CANCEL_AFTER_MAX))
        } else if drawn < self.abandon {
            Fate::Abandoned
        } else if drawn < self.pay {
            Fate::Paid(within(Traffic::PAY_AFTER_MAX))
        } else if drawn < self.pay_late {
            Fate::PaidLate(within(Traffic::PAY_AFTER_MAX))
        } else {
            Fate::Kept
        }
    }

    /// Whether order `number`, once paid, is refunded at the end.
    pub(crate) fn is_refunded(&self, number: u64) -> bool {
        self.refund > 0 && self.drawn(REFUND, number) <= self.refund
    }

    /// Whether the webhooks of order `number` are sent twice.
    pub(crate) fn calls_twice(&self, number: u64) -> bool {
        self.drawn(TWICE, number).is_multiple_of(TWICE_EACH)
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
    use super::{Act, Choices, Fate, Shape, Traffic};
    use crate::error::Error;

    fn choices(retries: f64, duplicates: f64, cancels: f64, abandons: f64) -> Choices {
        let traffic = Traffic {
            retries_percent: retries,
            duplicates_percent: duplicates,
            cancels_percent: cancels,
            abandons_percent: abandons,
            ..Traffic::default()
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
                Fate::Paid(_) | Fate::PaidLate(_) => panic!("nobody pays"),
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
    fn shares_of_payers_and_shapes_are_kept() {
        let traffic = Traffic {
            standby_percent: 10.0,
            baskets_percent: 20.0,
            cancels_percent: 10.0,
            abandons_percent: 10.0,
            pays_percent: 30.0,
            pays_late_percent: 20.0,
            refunds_percent: 40.0,
            ..Traffic::default()
        };
        traffic.check().unwrap();
        let choices = Choices::new(&traffic, 5);
        let count = |is: &dyn Fn(u64) -> bool| (0..100_000).filter(|&number| is(number)).count();
        for (counted, expected) in [
            (count(&|number| choices.shape(number) == Shape::Standby), 10_000),
            (count(&|number| choices.shape(number) == Shape::Basket), 20_000),
            (count(&|number| matches!(choices.fate(number), Fate::Paid(_))), 30_000),
            (count(&|number| matches!(choices.fate(number), Fate::PaidLate(_))), 20_000),
            (count(&|number| choices.fate(number) == Fate::Kept), 30_000),
            (count(&|number| choices.is_refunded(number)), 40_000),
            (count(&|number| choices.calls_twice(number)), 12_500),
        ] {
            assert!(counted.abs_diff(expected) < 1_000, "{counted} of {expected}");
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
        wrong("pay", Traffic { pays_percent: 101.0, ..fair });
        wrong("cancels", Traffic { pays_percent: 60.0, pays_late_percent: 41.0, ..fair });
        wrong("standby", Traffic { standby_percent: 60.0, baskets_percent: 41.0, ..fair });
        wrong("basket-lines", Traffic { basket_lines: 1, ..fair });
        wrong("refund", Traffic { refunds_percent: 200.0, ..fair });
    }
}
