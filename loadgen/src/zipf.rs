//! Which of several SKUs is drawn: the first most often, the n-th by the n-th part to the power of an exponent.
//!
//! Zipf's law with a finite number of items; exponent 0 draws all alike. One binary search for each draw.

use crate::random::below;

/// The law, as the upper edge of each item's share of all 64-bit numbers.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    count: u64,
    /// Empty where all are drawn alike.
    edges: Vec<u64>,
}

impl Zipf {
    /// `count` items (at least one), drawn in proportion to 1 / rank^`exponent`.
    pub(crate) fn new(count: usize, exponent: f64) -> Zipf {
        let mut edges = Vec::new();
        if exponent > 0.0 {
            let weight = |rank: usize| (rank as f64).powf(-exponent);
            let whole: f64 = (1..=count).map(weight).sum();
            let mut sum = 0.0;
            for rank in 1..=count {
                sum += weight(rank);
                edges.push((sum / whole * u64::MAX as f64) as u64);
            }
        }
        Zipf { count: count as u64, edges }
    }

    /// The item that a spread number draws.
    pub(crate) fn draw(&self, number: u64) -> usize {
        if self.edges.is_empty() {
            return below(number, self.count) as usize;
        }
        // Rounding may leave the last edge below the largest number.
        self.edges.partition_point(|&edge| edge <= number).min(self.edges.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::Zipf;
    use crate::random::SplitMix;

    fn counts(items: usize, exponent: f64, draws: u32) -> Vec<u32> {
        let (zipf, mut random) = (Zipf::new(items, exponent), SplitMix::new(3));
        let mut counts = vec![0; items];
        for _ in 0..draws {
            counts[zipf.draw(random.next())] += 1;
        }
        counts
    }

    #[test]
    fn ranks_are_drawn_in_their_proportion() {
        // With exponent 1 over 3 items the shares are 6/11, 3/11 and 2/11; 300 is six standard deviations.
        for (count, expected) in counts(3, 1.0, 110_000).into_iter().zip([60_000, 30_000, 20_000]) {
            assert!(u32::abs_diff(count, expected) < 1_000, "{count} of {expected}");
        }
    }

    #[test]
    fn without_exponent_all_are_drawn_alike() {
        for count in counts(4, 0.0, 40_000) {
            assert!(count.abs_diff(10_000) < 600, "{count}");
        }
    }

    #[test]
    fn the_ends_of_the_numbers_are_drawn_too() {
        for exponent in [0.0, 1.0, 10.0] {
            let zipf = Zipf::new(1_000, exponent);
            assert_eq!(zipf.draw(0), 0);
            assert!(zipf.draw(u64::MAX) < 1_000);
        }
    }
}
