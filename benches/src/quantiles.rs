//! What latencies add up to.

use std::fmt;

/// Quantiles of latencies, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Quantiles {
    /// How many there were.
    pub count: usize,
    /// Half took no longer.
    pub p50: u32,
    /// 99 % took no longer.
    pub p99: u32,
    /// 99.9 % took no longer.
    pub p999: u32,
    /// None took longer.
    pub max: u32,
}

impl Quantiles {
    /// Of latencies in microseconds.
    pub fn of(mut micros: Vec<u32>) -> Self {
        micros.sort_unstable();
        let at = |share: f64| {
            let place = (micros.len() as f64 * share) as usize;
            micros.get(place.min(micros.len().saturating_sub(1))).copied().unwrap_or(0)
        };
        let (p50, p99, p999, max) = (at(0.5), at(0.99), at(0.999), at(1.0));
        Self { count: micros.len(), p50, p99, p999, max }
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, p50, p99, p999, max } = self;
        write!(f, "{count} orders, p50 {p50} µs, p99 {p99} µs, p99.9 {p999} µs, max {max} µs")
    }
}
