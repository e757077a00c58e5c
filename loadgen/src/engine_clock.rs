//! What the server's clock shows at a moment of ours, as far as its answers let it be known.
//!
//! An order's `created_at` was read from the server's clock after its request was sent and before its answer came.
//! Each such pair bounds the distance of the two clocks from both sides; all of them together bound it closely.
//! The server slews its clock by at most 500 ppm: what two bounds may contradict each other by, and the doubt about
//! any moment, grow with the time that the run takes. A clock that jumped is noticed, and nothing is judged by it.

/// What the contract cuts from times: `created_at` is in milliseconds.
const CUT_US: i64 = 1_000;
/// An order may be dated by the moment at which its batch began, a little before its request was sent.
const DATED_BEFORE_US: i64 = 10_000;
/// How far clocks may drift apart over a run: twice the slew, in millionths.
const DRIFT_PPM: i64 = 1_000;

/// Bounds on the distance from our clock (nanoseconds since it started) to the server's (microseconds since 1970).
#[derive(Clone, Copy, Debug)]
pub(crate) struct EngineClock {
    least_us: i64,
    most_us: i64,
    last_us: i64,
}

impl EngineClock {
    /// Nothing known yet.
    pub(crate) fn new() -> EngineClock {
        EngineClock { least_us: i64::MIN, most_us: i64::MAX, last_us: 0 }
    }

    /// A request sent at `sent_ns` and answered at `answered_ns` was dated `created_us` by the server.
    pub(crate) fn observe(&mut self, created_us: i64, sent_ns: u64, answered_ns: u64) {
        let (sent_us, answered_us) = (ours_us(sent_ns), ours_us(answered_ns));
        self.least_us = self.least_us.max(created_us - answered_us - 1);
        self.most_us = self.most_us.min(created_us + CUT_US - sent_us);
        self.last_us = self.last_us.max(answered_us);
    }

    /// Whether what was observed cannot be one clock that runs steadily.
    pub(crate) fn jumped(&self) -> bool {
        self.least_us != i64::MIN && self.shown_us(0).is_none()
    }

    /// The server's clock showed at least the first and at most the second at `at_ns`; `None` where that is not known.
    pub(crate) fn shown_us(&self, at_ns: u64) -> Option<(i64, i64)> {
        let at_us = ours_us(at_ns);
        let drift_us = self.last_us.max(at_us) * DRIFT_PPM / 1_000_000;
        let doubt_us = DATED_BEFORE_US + drift_us;
        if self.least_us == i64::MIN || self.least_us > self.most_us.saturating_add(doubt_us) {
            return None;
        }
        Some((self.least_us + at_us - doubt_us, self.most_us + at_us + doubt_us))
    }

    /// The earliest moment of ours at which the server's clock can have shown `server_us`.
    pub(crate) fn earliest_ns(&self, server_us: i64) -> Option<u64> {
        self.moment_ns(server_us, |(_, most_us)| most_us)
    }

    /// The moment of ours by which the server's clock has shown `server_us` for certain.
    pub(crate) fn latest_ns(&self, server_us: i64) -> Option<u64> {
        self.moment_ns(server_us, |(least_us, _)| least_us)
    }

    fn moment_ns(&self, server_us: i64, bound: impl Fn((i64, i64)) -> i64) -> Option<u64> {
        // The doubt depends on the moment itself; the second look has it nearly right, and errs by its drift alone.
        let mut at_ns = 0;
        for _ in 0..3 {
            let ahead_us = server_us - bound(self.shown_us(at_ns)?);
            at_ns = (at_ns as i64 + ahead_us.saturating_mul(1_000)).max(0) as u64;
        }
        Some(at_ns)
    }
}

fn ours_us(nanos: u64) -> i64 {
    (nanos / 1_000) as i64
}

#[cfg(test)]
mod tests {
    use super::EngineClock;

    const DISTANCE_US: i64 = 1_700_000_000_000_000;
    const MS: u64 = 1_000_000;

    fn observed(pairs: &[(u64, u64, u64)]) -> EngineClock {
        let mut clock = EngineClock::new();
        for &(created_ms, sent_ms, answered_ms) in pairs {
            clock.observe(DISTANCE_US + created_ms as i64 * 1_000, sent_ms * MS, answered_ms * MS);
        }
        clock
    }

    #[test]
    fn each_answer_narrows_the_bounds() {
        assert_eq!(EngineClock::new().shown_us(5), None);
        let wide = observed(&[(10, 0, 20)]).shown_us(20 * MS).unwrap();
        assert!(wide.0 <= DISTANCE_US + 10_000 && wide.1 >= DISTANCE_US + 31_000, "{wide:?}");
        let close = observed(&[(10, 0, 20), (10, 9, 30), (11, 0, 12)]).shown_us(20 * MS).unwrap();
        assert!(close.0 > wide.0 && close.1 < wide.1, "{close:?} {wide:?}");
        // The truth, a distance of nothing more than the constant, lies within.
        assert!((close.0..=close.1).contains(&(DISTANCE_US + 20_000)), "{close:?}");
    }

    #[test]
    fn a_clock_that_jumped_is_not_believed() {
        let clock = observed(&[(10, 0, 20), (5_000, 30, 40)]);
        assert!(clock.jumped() && clock.shown_us(50 * MS).is_none());
        assert!(!EngineClock::new().jumped() && !observed(&[(10, 0, 20)]).jumped());
    }

    #[test]
    fn slow_drift_is_borne() {
        // A minute later the server is 20 ms behind.
        let clock = observed(&[(10, 9, 11), (59_990, 60_009, 60_011)]);
        let (least_us, most_us) = clock.shown_us(60_010 * MS).unwrap();
        assert!((least_us..=most_us).contains(&(DISTANCE_US + 59_990_000)));
    }

    #[test]
    fn moments_are_found_from_what_the_server_shows() {
        let clock = observed(&[(1_000, 999, 1_001)]);
        let server_us = DISTANCE_US + 2_000_000;
        let (earliest, latest) =
            (clock.earliest_ns(server_us).unwrap(), clock.latest_ns(server_us).unwrap());
        assert!(earliest <= 2_000 * MS && latest >= 2_000 * MS, "{earliest} {latest}");
        assert!(latest - earliest < 35 * MS, "{earliest} {latest}");
        assert!(clock.shown_us(latest).unwrap().0 >= server_us - 10);
    }
}
