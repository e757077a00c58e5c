//! How long to wait before the next attempt: twice as long each time, up to a ceiling, and never
//! the same for two that failed together.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);

/// The longest wait.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(2);

/// The waits of one sink.
#[derive(Debug)]
pub(super) struct Backoff {
    state: u64,
    failures: u32,
}

impl Backoff {
    /// With jitter from `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed, failures: 0 }
    }

    /// It went well: the next wait is short again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait now: between half of the step and all of it.
    pub(super) fn next(&mut self) -> Duration {
        let step = FIRST.saturating_mul(1 << self.failures.min(16)).min(WAIT_MAX);
        self.failures += 1;
        // SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.state;
        bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        let half = step / 2;
        half + half.mul_f64((bits >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, FIRST, WAIT_MAX};

    #[test]
    fn waits_grow_to_a_ceiling_and_differ() {
        let (mut one, mut other) = (Backoff::new(1), Backoff::new(2));
        let mut step = FIRST;
        let mut differ = false;
        for _ in 0..40 {
            let (a, b) = (one.next(), other.next());
            differ |= a != b;
            assert!(a >= step / 2 && a <= step, "{a:?} {step:?}");
            step = (step * 2).min(WAIT_MAX);
        }
        assert!(differ);
        one.reset();
        assert!(one.next() <= FIRST);
    }
}
