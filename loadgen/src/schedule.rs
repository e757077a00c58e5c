//! When each request is due: planned before anything is sent, and never moved by how answers come.
//!
//! The queue of what is due is one cursor: arrivals are computed, not stored.

use crate::random::SplitMix;

/// How the gaps between arrivals are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// All gaps alike.
    Even,
    /// Exponential gaps: what a crowd of independent buyers makes.
    Poisson,
}

/// The planned times of one run, in nanoseconds from its start.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    arrivals: Arrivals,
    gap_ns: f64,
    end_ns: u64,
    count_max: u64,
    taken: u64,
    elapsed_ns: f64,
    next_ns: u64,
    random: SplitMix,
}

impl Schedule {
    /// Plans `rate_per_s` arrivals a second until `end_ns`, and at most `count_max` of them.
    pub(crate) fn new(
        arrivals: Arrivals,
        rate_per_s: f64,
        end_ns: u64,
        count_max: u64,
        seed: u64,
    ) -> Schedule {
        let mut schedule = Schedule {
            arrivals,
            gap_ns: 1e9 / rate_per_s,
            end_ns,
            count_max,
            taken: 0,
            elapsed_ns: 0.0,
            next_ns: 0,
            random: SplitMix::new(seed),
        };
        if arrivals == Arrivals::Poisson {
            schedule.advance();
        }
        schedule
    }

    /// The planned time of the next arrival, if one is left.
    pub(crate) fn peek(&self) -> Option<u64> {
        (self.taken < self.count_max && self.next_ns < self.end_ns).then_some(self.next_ns)
    }

    /// Takes the next arrival: its number and its planned time.
    pub(crate) fn take(&mut self) -> Option<(u64, u64)> {
        let planned_ns = self.peek()?;
        let number = self.taken;
        self.taken += 1;
        self.advance();
        Some((number, planned_ns))
    }

    /// How many of the arrivals left are due before `until_ns`.
    pub(crate) fn due_before(&self, until_ns: u64) -> u64 {
        let mut rest = self.clone();
        rest.end_ns = rest.end_ns.min(until_ns);
        let mut count = 0;
        while rest.take().is_some() {
            count += 1;
        }
        count
    }

    fn advance(&mut self) {
        self.elapsed_ns = match self.arrivals {
            Arrivals::Even => self.taken as f64 * self.gap_ns,
            Arrivals::Poisson => self.elapsed_ns - self.random.next_unit().ln() * self.gap_ns,
        };
        self.next_ns = self.elapsed_ns as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::{Arrivals, Schedule};

    const SECOND_NS: u64 = 1_000_000_000;

    fn times(mut schedule: Schedule) -> Vec<u64> {
        std::iter::from_fn(|| schedule.take().map(|(_, planned_ns)| planned_ns)).collect()
    }

    #[test]
    fn even_arrivals_are_spaced_by_the_rate_and_end_before_the_end() {
        let planned = times(Schedule::new(Arrivals::Even, 4.0, SECOND_NS, u64::MAX, 1));
        assert_eq!(planned, [0, 250_000_000, 500_000_000, 750_000_000]);
    }

    #[test]
    fn even_arrivals_do_not_drift() {
        let planned = times(Schedule::new(Arrivals::Even, 3.0, 1_000 * SECOND_NS, u64::MAX, 1));
        assert_eq!(planned.len(), 3_000);
        assert_eq!(planned[2_997], 999 * SECOND_NS);
    }

    #[test]
    fn poisson_arrivals_follow_the_seed_and_the_rate() {
        let plan = |seed| {
            times(Schedule::new(Arrivals::Poisson, 1_000.0, 100 * SECOND_NS, u64::MAX, seed))
        };
        let planned = plan(9);
        assert_eq!(planned, plan(9));
        assert_ne!(planned, plan(10));
        assert!(planned.is_sorted());
        // 100,000 expected, one standard deviation is 316.
        assert!(planned.len().abs_diff(100_000) < 2_000, "{}", planned.len());
        // Of exponential gaps, 1 - 1/e are shorter than the mean.
        let short = planned.windows(2).filter(|pair| pair[1] - pair[0] < 1_000_000).count();
        assert!(short.abs_diff(63_212) < 2_000, "{short}");
    }

    #[test]
    fn the_count_ends_the_plan_too() {
        for arrivals in [Arrivals::Even, Arrivals::Poisson] {
            assert_eq!(times(Schedule::new(arrivals, 1_000.0, SECOND_NS, 5, 1)).len(), 5);
        }
    }

    #[test]
    fn what_is_left_is_counted_without_being_taken() {
        let mut schedule = Schedule::new(Arrivals::Even, 10.0, SECOND_NS, u64::MAX, 1);
        schedule.take();
        assert_eq!(schedule.due_before(SECOND_NS / 2), 4);
        assert_eq!(schedule.due_before(u64::MAX), 9);
        assert_eq!(schedule.take(), Some((1, 100_000_000)));
    }
}
