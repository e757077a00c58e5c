//! What engines of tests live through, before their journals are copied.

use std::path::{Path, PathBuf};

use sluice_core::limits::{DEFAULT, Limits, TINY};

pub(crate) mod life;
pub(crate) mod more;
pub(crate) mod selling;

/// Limits of an engine whose journal has many segments soon.
pub(crate) const SMALL_SEGMENTS: Limits = Limits {
    record_bytes_max: TINY.record_bytes_max,
    frame_bytes_max: TINY.frame_bytes_max,
    frame_records_max: TINY.frame_records_max,
    segment_bytes: TINY.segment_bytes,
    first_segment_bytes: TINY.first_segment_bytes,
    ..DEFAULT
};

/// A journal's segments, the oldest first.
pub(crate) fn segments(journal: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(journal).expect("it is there");
    let paths = files.map(|file| file.expect("read").path());
    let segments = paths.filter(|path| path.extension().is_some_and(|it| it == "segment"));
    let mut segments: Vec<_> = segments.collect();
    segments.sort_unstable();
    segments
}

/// How often a fault is made: as often as `SLUICE_FAULTS` says, or as usual.
pub(crate) fn times(usual: u64) -> u64 {
    std::env::var("SLUICE_FAULTS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
