//! The gateway's one clock: wall time, against which tokens and webhooks are judged. Everything
//! else runs on engine time, which the engine's handle tells.

use rustix::time::{ClockId, clock_gettime};

/// Seconds since 1970-01-01T00:00:00Z, as exact as the kernel's last tick.
pub(crate) fn wall_seconds() -> u64 {
    clock_gettime(ClockId::RealtimeCoarse).tv_sec.max(0) as u64
}
