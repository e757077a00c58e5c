//! The rate over time, as the number of arrivals expected by each moment, and its inverse.
//!
//! Arrivals are drawn where the expected number is even (Poisson: where it grows by exponential steps), so that
//! one formula plans constant rates and spikes alike (Çinlar, "Introduction to Stochastic Processes", 4.7:
//! a Poisson process whose rate varies is one of rate 1 on the scale of its integrated rate).

use std::time::Duration;

use crate::clock::nanos;

/// A crowd that comes at one moment: quiet, then a multiple of the rate at once, which decays back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spike {
    /// How long the plain rate lasts in the measured span before the crowd comes.
    pub quiet: Duration,
    /// How many times the plain rate the crowd comes with.
    pub factor: f64,
    /// After this long, what the crowd adds is down to 1/e of it.
    pub decay: Duration,
}

/// A rate over time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intensity {
    /// Nanoseconds between arrivals at the plain rate.
    gap_ns: f64,
    crowd: Option<Crowd>,
}

#[derive(Clone, Copy, Debug)]
struct Crowd {
    at_ns: f64,
    /// What it adds at first, in multiples of the plain rate.
    extra: f64,
    decay_ns: f64,
}

/// Newton's steps converge on a concave curve from the left without overshooting; this many reach any nanosecond.
const STEPS_MAX: usize = 64;

impl Intensity {
    /// `rate_per_s` from the beginning; a spike counts its quiet from `warm_up`.
    pub(crate) fn new(rate_per_s: f64, spike: Option<Spike>, warm_up: Duration) -> Intensity {
        let crowd = spike.map(|spike| Crowd {
            at_ns: nanos(warm_up.saturating_add(spike.quiet)) as f64,
            extra: spike.factor - 1.0,
            decay_ns: nanos(spike.decay) as f64,
        });
        Intensity { gap_ns: 1e9 / rate_per_s, crowd }
    }

    /// Arrivals expected by `at_ns`.
    pub(crate) fn expected(&self, at_ns: f64) -> f64 {
        let crowd = self.crowd.filter(|crowd| at_ns > crowd.at_ns).map_or(0.0, |crowd| {
            let gone = ((crowd.at_ns - at_ns) / crowd.decay_ns).exp();
            crowd.extra * crowd.decay_ns * (1.0 - gone)
        });
        (at_ns + crowd) / self.gap_ns
    }

    /// The moment by which `arrivals` are expected. It is no earlier than `after_ns`, where fewer are.
    pub(crate) fn moment_of(&self, arrivals: f64, after_ns: f64) -> f64 {
        let plain_ns = arrivals * self.gap_ns;
        let Some(crowd) = self.crowd.filter(|crowd| plain_ns > crowd.at_ns) else {
            return plain_ns;
        };
        let mut at_ns = after_ns.max(crowd.at_ns);
        for _ in 0..STEPS_MAX {
            let missing = arrivals - self.expected(at_ns);
            let rate = 1.0 + crowd.extra * ((crowd.at_ns - at_ns) / crowd.decay_ns).exp();
            let step_ns = missing * self.gap_ns / rate;
            if step_ns < 0.5 {
                break;
            }
            at_ns += step_ns;
        }
        at_ns
    }
}

#[cfg(test)]
mod tests {
    use super::{Intensity, Spike};
    use std::time::Duration;

    const SECOND_NS: f64 = 1e9;

    fn spike() -> Intensity {
        let spike =
            Spike { quiet: Duration::from_secs(10), factor: 21.0, decay: Duration::from_secs(5) };
        Intensity::new(100.0, Some(spike), Duration::from_secs(2))
    }

    #[test]
    fn a_plain_rate_expects_in_proportion() {
        let plain = Intensity::new(4.0, None, Duration::from_secs(9));
        assert_eq!(plain.expected(2.0 * SECOND_NS), 8.0);
        assert_eq!(plain.moment_of(8.0, 0.0), 2.0 * SECOND_NS);
    }

    #[test]
    fn the_crowd_comes_after_the_quiet_and_decays() {
        let spike = spike();
        assert_eq!(spike.expected(12.0 * SECOND_NS), 1_200.0);
        // Within the first millisecond of the crowd: 21 times the rate.
        let first = spike.expected(12.001 * SECOND_NS) - 1_200.0;
        assert!((first - 2.1).abs() < 0.001, "{first}");
        // All that the crowd ever adds is 20 × the rate × the decay.
        let all = spike.expected(200.0 * SECOND_NS) - 20_000.0;
        assert!((all - 10_000.0).abs() < 0.001, "{all}");
    }

    #[test]
    fn the_inverse_meets_the_curve_from_wherever_it_starts() {
        let spike = spike();
        let mut last_ns = 0.0;
        for arrivals in (0..20_000).map(|tenth| f64::from(tenth) * 1.5) {
            let at_ns = spike.moment_of(arrivals, last_ns);
            assert!(at_ns >= last_ns, "{arrivals}: {at_ns} after {last_ns}");
            assert!((spike.expected(at_ns) - arrivals).abs() < 1e-5, "{arrivals}");
            last_ns = at_ns;
        }
    }
}
