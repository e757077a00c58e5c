//! Snapshots: the ledger as it was behind a finished segment, so that a start need not replay the
//! journal from its first record.
//!
//! A snapshot bounds the time of a replay, not history. It is built beside the shards and never
//! asks them: from the snapshot before it and the segments finished since. Only whole, synced and
//! read back does it get its name; so a crash leaves it there or not, and never in part. The two
//! newest are kept: if the newest has rotted, a start goes back to the one before.

mod build;
mod error;
mod images;
mod layout;
mod load;
mod read;
mod upkeep;
mod write;

pub use build::{Snapshotter, Snapshotting, hash_key};
pub use error::Error;
pub use load::{Loaded, Verified, newest, verify};
pub use upkeep::{Retain, Upkeep, UpkeepMetrics, Upkept, trim};

/// Ending of a snapshot's file name.
const ENDING: &str = ".snapshot";

/// The file name of the snapshot behind which the segment with this index follows. Segments differ
/// even where no record lies between them.
fn name(segment: u64) -> String {
    format!("{segment:016x}{ENDING}")
}

/// The names of all snapshots among the names of files, newest first.
fn names(files: Vec<String>) -> Vec<String> {
    let digits = |name: &String| name.strip_suffix(ENDING).is_some_and(|rest| rest.len() == 16);
    let mut names: Vec<String> = files.into_iter().filter(digits).collect();
    names.sort_unstable_by(|a, b| b.cmp(a));
    names
}
