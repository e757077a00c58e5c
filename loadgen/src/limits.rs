//! Every ceiling of the generator.
//!
//! What grows with a run has a ceiling here, and the report says when it was met.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Requests a second that may be asked for.
pub(crate) const RATE_PER_S: RangeInclusive<f64> = 0.001..=1_000_000.0;
/// How long arrivals may be planned for.
pub(crate) const DURATION: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(86_400);
/// Arrivals that one run may plan.
pub(crate) const ARRIVALS_MAX: u64 = 1_000_000_000;
/// How many times the plain rate a spike may come with.
pub(crate) const SPIKE_FACTOR: RangeInclusive<f64> = 1.0..=1_000_000.0;
/// How long a spike may take to decay to 1/e.
pub(crate) const SPIKE_DECAY: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(86_400);
/// How long a spike may let the plain rate last before it comes.
pub(crate) const SPIKE_QUIET: RangeInclusive<Duration> =
    Duration::ZERO..=Duration::from_secs(86_400);
/// How long traffic may run before it is measured.
pub(crate) const WARM_UP: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3_600);
/// The exponent of the popularity of SKUs.
pub(crate) const ZIPF: RangeInclusive<f64> = 0.0..=10.0;
/// Shares of the traffic.
pub(crate) const PERCENT: RangeInclusive<f64> = 0.0..=100.0;
/// SKUs in one basket.
pub(crate) const BASKET_LINES: RangeInclusive<u32> = 2..=20;
/// How many orders back the order before a retry or a duplicate is looked for.
pub(crate) const LOOK_BACK_MAX: u64 = 1_024;
/// The lateness of sending that a run may bear.
pub(crate) const LAG_MAX: RangeInclusive<Duration> =
    Duration::from_micros(1)..=Duration::from_secs(3_600);
/// How often stock may be looked at during a run.
pub(crate) const STOCK_EVERY: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(3_600);
/// Thresholds of one run.
pub(crate) const THRESHOLDS_MAX: usize = 100;
/// Connections kept open.
pub(crate) const CONNECTIONS: RangeInclusive<u32> = 1..=20_000;
/// Buyers, each with a token in memory.
pub(crate) const BUYERS: RangeInclusive<u32> = 1..=1_000_000;
/// SKUs ordered from.
pub(crate) const SKUS: RangeInclusive<usize> = 1..=1_000;
/// Units in one order, or in one lot.
pub(crate) const QUANTITY: RangeInclusive<u32> = 1..=1_000_000;
/// Units set up for one SKU (in lots of at most [`QUANTITY`]).
pub(crate) const STOCK: RangeInclusive<u64> = 1..=1_000_000_000;
/// Prices and amounts in minor units.
pub(crate) const PRICE: RangeInclusive<u64> = 0..=(1 << 53) - 1;
/// How long a client waits.
pub(crate) const PATIENCE: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(3_600);
/// How often one request may be sent until its outcome is known.
pub(crate) const ATTEMPTS: RangeInclusive<u32> = 1..=1_000;
/// Bytes of the key of a token.
pub(crate) const JWT_SECRET_BYTES_MIN: usize = 32;

/// Headers of one answer.
pub(crate) const HEADERS_MAX: usize = 64;
/// Bytes of one order id.
pub(crate) const ORDER_ID_BYTES_MAX: usize = 31;
/// The share of time the generator may be busy before it counts as overloaded.
pub(crate) const BUSY_PERCENT_MAX: f64 = 95.0;

/// What a run keeps in memory, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Acknowledged orders kept for the audit; those beyond it are reported as not checked.
    pub acknowledged_max: usize,
    /// Unknown outcomes kept to be settled; those beyond it are reported as unsettled.
    pub unknown_max: usize,
    /// Refused requests kept to be looked up afterwards.
    pub refused_max: usize,
    /// Different refusal codes counted apart; the rest is counted as `(other)`.
    pub codes_max: usize,
    /// Examples given for each kind of finding.
    pub examples_max: usize,
    /// Bytes of one answer, head and body.
    pub answer_bytes_max: usize,
}

impl Limits {
    /// For real runs.
    pub const DEFAULT: Limits = checked(Limits {
        acknowledged_max: 10_000_000,
        unknown_max: 1_000_000,
        refused_max: 10_000,
        codes_max: 64,
        examples_max: 5,
        answer_bytes_max: 8 << 20,
    });

    /// For tests, so that every edge is met.
    pub const TINY: Limits = checked(Limits {
        acknowledged_max: 4,
        unknown_max: 2,
        refused_max: 2,
        codes_max: 2,
        examples_max: 1,
        answer_bytes_max: 4096,
    });
}

const fn checked(limits: Limits) -> Limits {
    assert!(limits.refused_max >= 1);
    assert!(limits.codes_max >= 1);
    assert!(limits.examples_max >= 1);
    assert!(limits.answer_bytes_max >= 1024);
    limits
}
