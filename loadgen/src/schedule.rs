//! When each request is due: planned before anything is sent, and never moved by how answers come.
//!
//! The queue of what is due is one cursor: arrivals are computed, not stored.

use crate::intensity::Intensity;
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
    intensity: Intensity,
    end_ns: u64,
    count_max: u64,
    taken: u64,
    /// How many arrivals are expected by the next one.
    expected: f64,
    next_ns: f64,
    random: SplitMix,
}

impl Schedule {
    /// Plans arrivals of this `intensity` until `end_ns`, and at most `count_max` of them.
    pub(crate) fn new(
        arrivals: Arrivals,
        intensity: Intensity,
        end_ns: u64,
        count_max: u64,
        seed: u64,
    ) -> Schedule {
        let mut schedule = Schedule {
            arrivals,
            intensity,
            end_ns,
            count_max,
            taken: 0,
            expected: 0.0,
            next_ns: 0.0,
            random: SplitMix::new(seed),
        };
        if arrivals == Arrivals::Poisson {
            schedule.advance();
        }
        schedule
    }

    /// The planned time of the next arrival, if one is left.
    pub(crate) fn peek(&self) -> Option<u64> {
        let next_ns = self.next_ns as u64;
        (self.taken < self.count_max && next_ns < self.end_ns).then_some(next_ns)
    }

    /// Takes the next arrival: its number and its planned time.
    pub(crate) fn take(&mut self) -> Option<(u64, u64)> {
        let planned_ns = self.peek()?;
        let number = self.taken;
        self.taken += 1;
        self.advance();
        Some((number, planned_ns))
    }

    /// How many of the arrivals left are due from `from_ns` on and before `until_ns`.
    pub(crate) fn due_within(&self, from_ns: u64, until_ns: u64) -> u64 {
        let mut rest = self.clone();
        rest.end_ns = rest.end_ns.min(until_ns);
        let mut count = 0;
        while let Some((_, planned_ns)) = rest.take() {
            count += u64::from(planned_ns >= from_ns);
        }
        count
    }

    fn advance(&mut self) {
        self.expected = match self.arrivals {
            Arrivals::Even => self.taken as f64,
            Arrivals::Poisson => self.expected - self.random.next_unit().ln(),
        };
        self.next_ns = self.intensity.moment_of(self.expected, self.next_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::{Arrivals, Schedule};
    use crate::intensity::{Intensity, Spike};
    use std::time::Duration;

    const SECOND_NS: u64 = 1_000_000_000;

    fn plain(rate_per_s: f64) -> Intensity {
        Intensity::new(rate_per_s, None, Duration::ZERO)
    }

    fn times(mut schedule: Schedule) -> Vec<u64> {
        std::iter::from_fn(|| schedule.take().map(|(_, planned_ns)| planned_ns)).collect()
    }

    #[test]
    fn even_arrivals_are_spaced_by_the_rate_and_end_before_the_end() {
        let planned = times(Schedule::new(Arrivals::Even, plain(4.0), SECOND_NS, u64::MAX, 1));
        assert_eq!(planned, [0, 250_000_000, 500_000_000, 750_000_000]);
    }

    #[test]
    fn even_arrivals_do_not_drift() {
        let planned =
            times(Schedule::new(Arrivals::Even, plain(3.0), 1_000 * SECOND_NS, u64::MAX, 1));
        assert_eq!(planned.len(), 3_000);
        assert_eq!(planned[2_997], 999 * SECOND_NS);
    }

    #[test]
    fn poisson_arrivals_follow_the_seed_and_the_rate() {
        let plan = |seed| {
            times(Schedule::new(Arrivals::Poisson, plain(1_000.0), 100 * SECOND_NS, u64::MAX, seed))
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
            assert_eq!(times(Schedule::new(arrivals, plain(1_000.0), SECOND_NS, 5, 1)).len(), 5);
        }
    }

    #[test]
    fn what_is_left_is_counted_without_being_taken() {
        let mut schedule = Schedule::new(Arrivals::Even, plain(10.0), SECOND_NS, u64::MAX, 1);
        schedule.take();
        assert_eq!(schedule.due_within(0, SECOND_NS / 2), 4);
        assert_eq!(schedule.due_within(0, u64::MAX), 9);
        assert_eq!(schedule.due_within(SECOND_NS / 2, u64::MAX), 5);
        assert_eq!(schedule.take(), Some((1, 100_000_000)));
    }

    #[test]
    fn a_spike_is_planned_as_dense_as_it_is_asked_for() {
        let spike =
            Spike { quiet: Duration::from_secs(10), factor: 20.0, decay: Duration::from_secs(5) };
        let intensity = Intensity::new(1_000.0, Some(spike), Duration::ZERO);
        for arrivals in [Arrivals::Even, Arrivals::Poisson] {
            let planned = times(Schedule::new(arrivals, intensity, 60 * SECOND_NS, u64::MAX, 4));
            assert!(planned.is_sorted());
            let within = |from: u64, to: u64| {
                let from = planned.partition_point(|&at| at < from * SECOND_NS / 10);
                planned.partition_point(|&at| at < to * SECOND_NS / 10) - from
            };
            assert!(within(0, 100).abs_diff(10_000) < 500, "{}", within(0, 100));
            // The mean of the first tenth of a second is 19.81 times the rate.
            assert!(within(100, 101).abs_diff(1_981) < 250, "{}", within(100, 101));
            // All that the crowd adds within ten decays is 19 × 1,000 × 5.
            let all = planned.len();
            assert!(all.abs_diff(60_000 + 95_000) < 2_500, "{all}");
        }
    }
}
