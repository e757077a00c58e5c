//! What keeps a journal at work from growing without end: snapshots, and then trimming.
//!
//! A segment goes only if three have what it holds: the older of the two snapshots, the store of each
//! sink that is attached, and the operator's patience, which says how much is to be kept.
//!
//! A sink that is gone for long must not fill the disk: at a ceiling, or when the disk is full, the
//! journal is kept no longer for those that are behind. Before that an alarm is raised.

use super::build::{Snapshotter, Snapshotting, covered, made};
use super::error::Error;
use std::sync::Arc;

use crate::journal::{self, Sealed, Space, Trimmed};
use crate::limits::Limits;
use crate::metrics::Counter;
use crate::planted::{self, Bug};
use crate::storage::Storage;
use crate::watermark::Watermark;

/// How much of a journal is kept.
#[derive(Clone, Debug)]
pub struct Retain<S> {
    /// Bytes of segments that are kept at least; `None`: all.
    pub bytes: Option<u64>,
    /// Bytes of segments at which none is kept for a sink that is behind; `None`: only when the disk
    /// is full.
    pub bytes_max: Option<u64>,
    /// Where segments go that are not kept; `None`: nowhere.
    pub archive: Option<S>,
    /// How far sinks have come.
    pub sinks: Vec<Watermark>,
}

impl<S> Retain<S> {
    /// All of it.
    pub const ALL: Self = Self { bytes: None, bytes_max: None, archive: None, sinks: Vec::new() };
}

/// What upkeep counts.
#[derive(Debug, Default)]
pub struct UpkeepMetrics {
    /// Snapshots made.
    pub snapshots: Counter,
    /// The last sequence that the newest one holds.
    pub snapshot_sequence: Counter,
    /// The length of the newest one, in bytes.
    pub snapshot_bytes: Counter,
    /// Attempts that failed, at a snapshot or at trimming.
    pub failed: Counter,
    /// Segments taken away.
    pub segments_trimmed: Counter,
    /// The last sequence that was taken away.
    pub trimmed_through: Counter,
    /// Times that the journal was kept no longer for a sink.
    pub sinks_detached: Counter,
}

/// The helper that does it, step by step.
pub struct Upkeep<S: Storage> {
    storage: S,
    snapshotter: Snapshotter<S>,
    retain: Retain<S>,
    space: Space,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upkept {
    /// There is nothing to do for now.
    Idle,
    /// There is more to do. So many bytes were written and synced.
    More {
        /// Bytes.
        written: u64,
    },
}

impl<S: Storage + Clone> Upkeep<S> {
    /// For the journal in `storage`, of which these segments are finished. No snapshot is made while
    /// `space` is low.
    ///
    /// # Errors
    /// The disk refused.
    pub fn new(
        storage: S,
        limits: Limits,
        sealed: Sealed,
        space: Space,
        retain: Retain<S>,
    ) -> Result<Self, Error> {
        let snapshotter = Snapshotter::new(storage.clone(), limits, sealed)?;
        Ok(Self { storage, snapshotter, retain, space })
    }

    /// Does one bounded piece of work.
    ///
    /// # Errors
    /// What went wrong; what was begun is given up, and a later step begins it anew.
    ///
    /// # Panics
    /// If a record contradicts the state (I1, I3, I10).
    pub fn step(&mut self, metrics: &UpkeepMetrics) -> Result<Upkept, Error> {
        if self.space.is_low() {
            // What is left of the disk is for the journal.
            self.snapshotter.give_up();
            return self.trim(metrics);
        }
        // First of all: what can go makes room for what comes, even if snapshots fail.
        if !self.snapshotter.is_building()
            && let more @ Upkept::More { .. } = self.trim(metrics)?
        {
            return Ok(more);
        }
        match self.snapshotter.step()? {
            Snapshotting::More { written } => return Ok(Upkept::More { written }),
            Snapshotting::Done { sequence, bytes } => {
                tracing::info!(sequence, bytes, "a snapshot is there");
                metrics.snapshots.add(1);
                metrics.snapshot_sequence.set(sequence);
                metrics.snapshot_bytes.set(bytes);
                return Ok(Upkept::More { written: 0 });
            }
            Snapshotting::Idle => {}
        }
        Ok(Upkept::Idle)
    }

    /// Whether a snapshot is on its way.
    pub const fn is_building(&self) -> bool {
        self.snapshotter.is_building()
    }

    /// Takes the oldest segment away, if one may go.
    fn trim(&mut self, metrics: &UpkeepMetrics) -> Result<Upkept, Error> {
        let mut covered = self.snapshotter.covered();
        if planted::is(Bug::TrimmedPastSnapshots) {
            covered = self.snapshotter.sealed();
        }
        let Some(trimmed) = trim_oldest(&self.storage, covered, &self.retain)? else {
            return self.let_go(covered, metrics);
        };
        metrics.segments_trimmed.add(1);
        metrics.trimmed_through.set(trimmed.through);
        tracing::info!(segment = trimmed.segment, through = trimmed.through, "trimmed");
        let copied = self.retain.archive.is_some();
        Ok(Upkept::More { written: if copied { trimmed.bytes } else { 0 } })
    }

    /// Keeps the journal no longer for sinks that alone keep it from being trimmed, if it has come
    /// to its ceiling or the disk is full; raises an alarm before, whatever snapshots cover. One that
    /// was just started and has not asked its store yet is not let go.
    fn let_go(&self, covered: u64, metrics: &UpkeepMetrics) -> Result<Upkept, Error> {
        if self.retain.bytes.is_none() {
            return Ok(Upkept::Idle);
        }
        let (Some(kept), Some(oldest)) =
            (journal::kept(&self.storage)?, journal::oldest(&self.storage)?)
        else {
            return Ok(Upkept::Idle);
        };
        let most = self.retain.bytes_max.unwrap_or(u64::MAX);
        let is_full = kept.bytes > most || self.space.is_low();
        let free = self.storage.free_bytes().map_err(|source| Error::Disk {
            name: "the free room".to_owned(),
            source: Arc::new(source),
        })?;
        let is_near = is_full || is_near(kept.bytes, most, free);
        let mut detached = 0;
        for sink in &self.retain.sinks {
            let is_in_the_way = Some(kept.bytes) > self.retain.bytes
                && sink.get() < oldest.through
                && sink.is_heard()
                && !sink.is_detached();
            sink.set_near_ceiling(is_in_the_way && is_near);
            // Of what snapshots cover, nothing but sinks can be in the way.
            if is_in_the_way && oldest.segment < covered && is_full && sink.detach() {
                detached += 1;
                tracing::error!(
                    stored = sink.get(),
                    bytes = kept.bytes,
                    "the journal is kept no longer for a sink that is behind: unless it catches up \
                     at once it must be rebuilt from an archive"
                );
            }
        }
        metrics.sinks_detached.add(detached);
        Ok(if detached > 0 { Upkept::More { written: 0 } } else { Upkept::Idle })
    }
}

/// Whether so many bytes are near a ceiling: four fifths of `most`, or of what they and the `free` room
/// of their disk are together.
fn is_near(bytes: u64, most: u64, free: u64) -> bool {
    bytes >= most.min(bytes.saturating_add(free)) / 5 * 4
}

/// Trims a journal that nobody is writing, one segment. `None` if none may go.
///
/// # Errors
/// The disk refused, or what had to be read is damaged.
pub fn trim<S: Storage + Clone>(storage: &S, retain: &Retain<S>) -> Result<Option<Trimmed>, Error> {
    trim_oldest(storage, covered(&made(storage)?), retain)
}

/// Takes the oldest segment away if the snapshots cover it, all attached sinks have it, and more is
/// kept than need be.
fn trim_oldest<S: Storage>(
    storage: &S,
    covered: u64,
    retain: &Retain<S>,
) -> Result<Option<Trimmed>, Error> {
    let (Some(most), Some(kept)) = (retain.bytes, journal::kept(storage)?) else {
        return Ok(None);
    };
    if kept.oldest >= covered || kept.bytes <= most {
        return Ok(None);
    }
    let heard = if planted::is(Bug::OtherSinksTrimmed) { 1 } else { retain.sinks.len() };
    let attached = retain.sinks.iter().take(heard).filter(|sink| !sink.is_detached());
    let mut through = attached.map(Watermark::get).min().unwrap_or(u64::MAX);
    if planted::is(Bug::TrimmedPastWatermark) {
        through = u64::MAX;
    }
    Ok(journal::trim_oldest(storage, retain.archive.as_ref(), covered, through)?)
}

#[cfg(test)]
mod tests {
    use super::is_near;

    #[test]
    fn near_is_four_fifths_of_the_ceiling_or_of_the_disk() {
        let (ceiling, room) = ((100, u64::MAX), (u64::MAX, 25));
        for (most, free) in [ceiling, (125, 25), room] {
            assert!(is_near(100, most, free), "{most} {free}");
        }
        assert!(is_near(80, 100, u64::MAX) && !is_near(79, 100, u64::MAX));
        assert!(is_near(100, u64::MAX, 0) && !is_near(100, u64::MAX, 30));
        assert!(!is_near(u64::MAX / 2, u64::MAX, u64::MAX));
    }
}
