//! Engine time: max(last journal time, wall clock) at start, then the boot clock, slewed to the
//! wall clock by at most 500 ppm. A difference over one second is a metric and is never followed.
//!
//! The one place of the engine that reads clocks.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};

use crate::time::Timestamp;

/// Fastest slew: 500 microseconds per second.
const SLEW_PPM: i64 = 500;

/// A difference to the wall clock that is not followed any more, in microseconds.
const FOLLOWED_US: i64 = 1_000_000;

/// What the two clocks of a machine say at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The boot clock, which never leaps, in microseconds.
    pub boot_us: u64,
    /// The wall clock, in microseconds since the epoch.
    pub wall_us: u64,
}

impl Reading {
    /// What this machine's clocks say now.
    pub fn now() -> Self {
        Self { boot_us: boot_us(), wall_us: wall_us() }
    }
}

/// The clock of an engine, shared by its threads.
///
/// A slew may set it back by as much as 500 ppm of the time since the last one; whoever needs
/// time that never runs backwards, as every shard does, keeps the latest it has seen.
#[derive(Debug)]
pub struct EngineClock {
    /// Engine time minus boot time, in microseconds.
    base: AtomicI64,
    /// Engine time minus wall time when last compared, in microseconds.
    offset: AtomicI64,
    /// Boot time of the last comparison, in microseconds.
    compared_at: AtomicU64,
}

impl EngineClock {
    /// Starts at the wall clock, or at `journal_time` if that is later.
    pub fn start(journal_time: Timestamp, reading: Reading) -> Self {
        let Reading { boot_us: boot, wall_us: wall } = reading;
        let start = journal_time.micros().max(wall);
        Self {
            base: AtomicI64::new(start as i64 - boot as i64),
            offset: AtomicI64::new(start as i64 - wall as i64),
            compared_at: AtomicU64::new(boot),
        }
    }

    /// Engine time.
    #[inline]
    pub fn now(&self) -> Timestamp {
        self.at(boot_us())
    }

    /// Engine time when the boot clock says `boot_us`.
    pub fn at(&self, boot_us: u64) -> Timestamp {
        Timestamp::from_micros((boot_us as i64 + self.base.load(Ordering::Relaxed)).max(0) as u64)
    }

    /// Engine time minus wall time when last compared, in microseconds.
    pub fn offset_us(&self) -> i64 {
        self.offset.load(Ordering::Relaxed)
    }

    /// Compares with the wall clock and follows it a little. To be called by one thread, now and
    /// then: about ten times a second.
    pub fn slew(&self, reading: Reading) {
        let Reading { boot_us: boot, wall_us: wall } = reading;
        let elapsed = boot.saturating_sub(self.compared_at.swap(boot, Ordering::Relaxed)) as i64;
        let offset = self.at(boot).micros() as i64 - wall as i64;
        self.offset.store(offset, Ordering::Relaxed);
        if offset.abs() <= FOLLOWED_US {
            let most = elapsed * SLEW_PPM / 1_000_000;
            self.base.fetch_sub(offset.clamp(-most, most), Ordering::Relaxed);
        }
    }
}

fn boot_us() -> u64 {
    micros(ClockId::Boottime)
}

fn wall_us() -> u64 {
    micros(ClockId::Realtime)
}

fn micros(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    (time.tv_sec.max(0) as u64) * 1_000_000 + time.tv_nsec as u64 / 1_000
}

#[cfg(test)]
mod tests {
    use super::{EngineClock, Reading};
    use crate::time::Timestamp;

    const SECOND: u64 = 1_000_000;

    fn at(boot_us: u64, wall_us: u64) -> Reading {
        Reading { boot_us, wall_us }
    }

    #[test]
    fn never_starts_before_the_journal() {
        let clock = EngineClock::start(Timestamp::from_micros(900 * SECOND), at(5, 100 * SECOND));
        assert_eq!(clock.at(5).micros(), 900 * SECOND);
        assert_eq!(clock.offset_us(), 800 * SECOND as i64);
    }

    #[test]
    fn follows_the_wall_clock_by_500_ppm() {
        let clock = EngineClock::start(Timestamp::ZERO, at(0, 100 * SECOND));
        clock.slew(at(SECOND, 101 * SECOND + 900_000));
        assert_eq!(clock.at(SECOND).micros(), 101 * SECOND + 500);
        clock.slew(at(2 * SECOND, 102 * SECOND));
        assert_eq!(clock.at(2 * SECOND).micros(), 102 * SECOND);
    }

    #[test]
    fn a_leap_is_seen_and_not_followed() {
        let clock = EngineClock::start(Timestamp::ZERO, at(0, 100 * SECOND));
        clock.slew(at(SECOND, 3_600 * SECOND));
        assert_eq!(clock.at(SECOND).micros(), 101 * SECOND);
        assert_eq!(clock.offset_us(), 101 * SECOND as i64 - 3_600 * SECOND as i64);
    }
}
