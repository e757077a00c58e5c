//! The generator's two clocks: nanoseconds since it started, and the wall clock that dates tokens.
//!
//! Every reading of time in this package happens here; all else takes time as an argument.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic nanoseconds since the clock was started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock that reads zero now.
    pub(crate) fn start() -> Clock {
        Clock { started: instant() }
    }

    /// Nanoseconds since the start.
    pub(crate) fn now_ns(&self) -> u64 {
        nanos(instant().duration_since(self.started))
    }
}

/// Seconds since 1970, for the `exp` of tokens.
pub(crate) fn unix_seconds() -> u64 {
    wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The wall clock as RFC 3339 writes it, in whole seconds.
pub(crate) fn wall_text() -> String {
    let seconds = i64::try_from(unix_seconds()).unwrap_or_default();
    jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}

/// A duration in nanoseconds; centuries are cut to what fits.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds as seconds, for reports.
pub(crate) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[expect(
    clippy::disallowed_methods,
    reason = "a load generator measures time; this module alone reads it"
)]
fn instant() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the `exp` of an access token is wall time")]
fn wall() -> SystemTime {
    SystemTime::now()
}
