//! What engines of tests live through, before their journals are copied.

pub(crate) mod life;
pub(crate) mod more;
pub(crate) mod selling;

/// How often a fault is made: as often as `SLUICE_FAULTS` says, or as usual.
pub(crate) fn times(usual: u64) -> u64 {
    std::env::var("SLUICE_FAULTS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
