//! How long a request rests before it is sent again.

/// At first, and at most.
const REST_NS: (u64, u64) = (25_000_000, 1_000_000_000);

/// The rest before attempt number `attempts` + 1: twice as long each time, or as long as the server asked for.
pub(crate) fn rest_ns(attempts: u32, asked_s: Option<u64>) -> u64 {
    let asked_ns = asked_s.unwrap_or(0).saturating_mul(1_000_000_000);
    (REST_NS.0 << attempts.min(16)).max(asked_ns).min(REST_NS.1)
}
