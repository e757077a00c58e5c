//! A small seeded generator, so that one seed always plans the same run.
//!
//! It is never used for secrets.

/// SplitMix64: one addition and one mix for each number.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix {
    state: u64,
}

impl SplitMix {
    /// The series of `seed`.
    pub(crate) fn new(seed: u64) -> SplitMix {
        SplitMix { state: seed }
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.state)
    }

    /// A number in (0, 1], so that its logarithm is finite.
    pub(crate) fn next_unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}

/// Spreads a number over all 64 bits.
pub(crate) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// Maps a spread number onto `0..bound` without a division.
pub(crate) fn below(number: u64, bound: u64) -> u64 {
    ((u128::from(number) * u128::from(bound)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::{SplitMix, below, mix};

    #[test]
    fn a_seed_gives_one_series() {
        let (mut left, mut right) = (SplitMix::new(7), SplitMix::new(7));
        for _ in 0..100 {
            assert_eq!(left.next(), right.next());
        }
        assert_ne!(SplitMix::new(7).next(), SplitMix::new(8).next());
    }

    #[test]
    fn units_lie_above_zero_and_reach_no_further_than_one() {
        let mut random = SplitMix::new(1);
        assert!((0..10_000).map(|_| random.next_unit()).all(|unit| unit > 0.0 && unit <= 1.0));
    }

    #[test]
    fn below_reaches_every_value_and_no_other() {
        let mut seen = [false; 7];
        for number in 0..1_000 {
            seen[below(mix(number), 7) as usize] = true;
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!(below(u64::MAX, 7), 6);
    }
}
