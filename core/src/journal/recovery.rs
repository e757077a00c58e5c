//! Opening a journal: replays it, repairs what a crash may leave, refuses all else.
//!
//! Before the first new frame is written, everything it would prove must be durable in fact:
//!
//! * The last frame is intact, but perhaps only in the page cache: its sync failed or never came.
//!   It is written once more (the same bytes over themselves) and synced, for after a failed sync
//!   a kernel holds pages for clean that never reached the disk.
//! * A torn tail is zeroed up to its last byte and synced.
//! * The directory is synced. Segments that no seal names are removed: how durable their names
//!   are, nobody knows.
//!
//! All of it can be interrupted and done again: the last frame's bytes do not change, a tail
//! zeroed in part is a torn tail, and nothing that was acknowledged is touched.
//! Then an empty frame with the next epoch is written and synced.

use super::error::{DiskCall, Fatal};
use super::layout::{FRAME_BYTES_CEILING, SECTOR};
use super::preparer::{Plan, Preparer, supply};
use super::sealed::Sealed;
use super::segment::{self, FIRST_INDEX, Ready};
use super::space::Space;
use super::walk::{Base, Begin, TornTail, Visit, Walker, indexes};
use super::writer::{Tail, Writer};
use crate::limits::Limits;
use crate::planted::{self, Bug};
use crate::storage::{Storage, StorageFile};
use crate::time::Timestamp;

/// How a journal is to be opened.
#[derive(Clone, Copy, Debug)]
pub struct JournalConfig {
    /// The node's cell. A journal of another cell is refused.
    pub cell: u16,
    /// Length of the segments to come, in bytes, a multiple of 512.
    pub segment_bytes: u64,
    /// The ceilings.
    pub limits: Limits,
    /// Drawn at random for each opening: the ids of new segments come from it.
    pub segment_seed: u64,
}

/// A journal that is ready to be written.
pub struct Opened<S: Storage> {
    /// The end of the journal.
    pub writer: Writer<S>,
    /// Makes segments ahead of need; may be dropped, then the writer makes them itself.
    pub preparer: Preparer<S>,
    /// Which segments are finished.
    pub sealed: Sealed,
    /// Whether there is room for more.
    pub space: Space,
    /// What was found.
    pub recovered: Recovered,
}

/// What recovery found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The sequence of the last record; 0 if there is none.
    pub last_sequence: u64,
    /// The time of the last frame; zero if there is none.
    pub last_time: Timestamp,
    /// The epoch that begins with this opening: 1, 2, 3 …
    pub epoch: u32,
    /// Records that were visited.
    pub records: u64,
    /// Frames that were read.
    pub frames: u64,
    /// What was cut off.
    pub torn_tail: Option<TornTail>,
}

/// What the walk over the journal leaves.
struct Replayed {
    /// The segment that the next frame goes to.
    index: u64,
    id: u64,
    length: u64,
    tail: Tail,
    recovered: Recovered,
    /// The last frame with its segment and offset, as it must stand on the disk.
    last_frame: Option<(u64, u64, Vec<u8>)>,
}

/// Opens the journal in `storage`, or begins one if there is none.
///
/// Begins behind `base`, or with the first record without one. Calls `visit` with sequence, frame
/// time and bytes of every record from there on, in order. A journal that is
/// damaged is refused only when the damage is met, so what `visit` built must be dropped then. Calls
/// `walked` behind the last record and before anything is written: whoever panics there finds the
/// journal as it was.
///
/// # Errors
/// [`Fatal::Corrupt`] for a damaged journal, [`Fatal::Record`] if `visit` refuses a record,
/// [`Fatal::Disk`] if the disk does.
///
/// # Panics
/// If `segment_bytes` is no multiple of 512 or has no room for two of the longest frames, or if
/// these may be longer than the format allows (1 MiB).
pub fn open<S: Storage + Clone>(
    storage: S,
    config: JournalConfig,
    base: Option<Base>,
    now: Timestamp,
    visit: &mut Visit<'_>,
    walked: &mut dyn FnMut(),
) -> Result<Opened<S>, Fatal> {
    let JournalConfig { cell, segment_bytes, limits, segment_seed: seed } = config;
    assert!(segment_bytes.is_multiple_of(SECTOR), "segment_bytes is {segment_bytes}");
    let least = SECTOR + 2 * limits.frame_bytes_max as u64;
    assert!(segment_bytes >= least, "segment_bytes is {segment_bytes}, at least {least}");
    assert!(limits.frame_bytes_max as u64 <= FRAME_BYTES_CEILING, "the format's longest frame");

    remove_unfinished(&storage)?;
    let replayed = replay(&storage, cell, base, visit)?;
    walked();
    let replayed = match replayed {
        Some(replayed) => replayed,
        None => {
            let length = limits.first_segment_bytes.min(segment_bytes);
            let id = segment::id(seed, FIRST_INDEX);
            segment::make(&storage, cell, FIRST_INDEX, id, length)?;
            Replayed::nothing(id, length)
        }
    };
    let Replayed { index, id, length, tail, recovered, last_frame } = replayed;
    settle(&storage, index, &recovered, last_frame)?;

    let plan = Plan {
        cell,
        seed,
        length: segment_bytes,
        ahead: limits.segments_ahead,
        reserve: limits.segments_reserve,
    };
    let space = Space::default();
    let file = storage.open(&segment::name(index)).map_err(Fatal::disk(
        DiskCall::Open,
        index,
        tail.offset,
    ))?;
    let (supply, preparer) = supply(storage, plan, index + 1, &space);
    let segment = Ready { file, index, id, length };
    let sealed = Sealed::new(index - 1);
    let mut writer = Writer::new(cell, limits, supply, segment, tail, sealed.clone());
    writer.mark(now)?;
    Ok(Opened { writer, preparer, sealed, space, recovered })
}

impl Replayed {
    /// For a journal that has just been begun.
    const fn nothing(id: u64, length: u64) -> Self {
        let time = Timestamp::ZERO;
        let recovered = Recovered {
            last_sequence: 0,
            last_time: time,
            epoch: 1,
            records: 0,
            frames: 0,
            torn_tail: None,
        };
        let tail = Tail { offset: SECTOR, next_sequence: 1, epoch: 1, time };
        Self { index: FIRST_INDEX, id, length, tail, recovered, last_frame: None }
    }
}

/// Removes segments whose making was interrupted.
fn remove_unfinished<S: Storage>(storage: &S) -> Result<(), Fatal> {
    let names = storage.list().map_err(Fatal::disk(DiskCall::List, FIRST_INDEX, 0))?;
    for name in names.iter().filter(|name| name.ends_with(segment::ENDING_PREPARING)) {
        storage.remove(name).map_err(Fatal::disk(DiskCall::Remove, FIRST_INDEX, 0))?;
    }
    Ok(())
}

/// Visits all records. `None` if no frame was ever written, and then no segment is left either.
fn replay<S: Storage + Clone>(
    storage: &S,
    cell: u16,
    base: Option<Base>,
    visit: &mut Visit<'_>,
) -> Result<Option<Replayed>, Fatal> {
    let indexes = indexes(storage)?;
    if indexes.is_empty() && base.is_none() {
        return Ok(None);
    }
    let begin = base.map_or(Begin::First, Begin::Behind);
    let mut walker = Walker::open(storage.clone(), indexes.clone(), Some(cell), false, begin)?;
    let mut records = 0;
    while let Some(head) = walker.peek()? {
        walker.visit(&head, visit)?;
        records += head.count;
        walker.advance(&head)?;
    }
    let (offset, torn_tail) =
        walker.end.take().map_or((SECTOR, None), |end| (end.offset, end.torn));
    let last_frame = last_frame(storage, &mut walker)?;
    // Behind a snapshot the seal before is durable: a segment is read for one only after that.
    let never_used = last_frame.is_none() && torn_tail.is_none() && base.is_none();
    let current = walker.scan.index;
    for index in indexes.into_iter().rev().filter(|index| *index > current || never_used) {
        storage.remove(&segment::name(index)).map_err(Fatal::disk(DiskCall::Remove, index, 0))?;
    }
    if never_used {
        return Ok(None);
    }
    let chain = walker.chain;
    let epoch = chain.epoch.checked_add(1).ok_or_else(|| {
        super::verdict::corrupt(current, offset, chain.next_sequence, "no epoch is left")
    })?;
    let recovered = Recovered {
        last_sequence: chain.next_sequence - 1,
        last_time: chain.time,
        epoch,
        records,
        frames: chain.frames,
        torn_tail,
    };
    let tail = Tail { offset, next_sequence: chain.next_sequence, epoch, time: chain.time };
    let (id, length) = (walker.scan.id, walker.scan.length);
    Ok(Some(Replayed { index: current, id, length, tail, recovered, last_frame }))
}

/// The bytes of the last frame, from the segment where it stands.
fn last_frame<S: Storage>(
    storage: &S,
    walker: &mut Walker<S>,
) -> Result<Option<(u64, u64, Vec<u8>)>, Fatal> {
    let Some((index, head)) = walker.last else { return Ok(None) };
    let bytes = if index == walker.scan.index {
        walker.scan.frame(&head)?.to_vec()
    } else {
        let expected = walker.chain.next_sequence;
        super::scan::SegmentScan::open(storage, index, expected)?.frame(&head)?.to_vec()
    };
    Ok(Some((index, head.offset, bytes)))
}

/// Makes durable what the next frame would prove: see the top of this file.
fn settle<S: Storage>(
    storage: &S,
    current: u64,
    recovered: &Recovered,
    last_frame: Option<(u64, u64, Vec<u8>)>,
) -> Result<(), Fatal> {
    if let Some((index, offset, bytes)) = last_frame
        && !planted::is(Bug::TailTrusted)
    {
        overwrite(storage, index, offset, &mut std::iter::once((offset, bytes.as_slice())))?;
    }
    if let Some(torn) = &recovered.torn_tail {
        tracing::warn!(
            segment = segment::name(torn.segment),
            offset = torn.offset,
            bytes = torn.bytes,
            next_sequence = recovered.last_sequence + 1,
            what = torn.what,
            "cut a torn tail off the journal"
        );
        if !planted::is(Bug::TornTailLeft) {
            let zeros = segment::zeros(torn.bytes, segment::INLINE_CHUNK_BYTES);
            let step = zeros.len();
            let mut chunks = (0..torn.bytes).step_by(step.max(1)).map(|done| {
                let length = (torn.bytes - done).min(step as u64) as usize;
                (torn.offset + done, &zeros[..length])
            });
            overwrite(storage, torn.segment, torn.offset, &mut chunks)?;
        }
    }
    storage.sync_directory().map_err(Fatal::disk(DiskCall::SyncDirectory, current, 0))
}

/// Writes chunks at their offsets into a segment, and syncs it.
fn overwrite<S: Storage>(
    storage: &S,
    index: u64,
    offset: u64,
    chunks: &mut dyn Iterator<Item = (u64, &[u8])>,
) -> Result<(), Fatal> {
    let mut file =
        storage.open(&segment::name(index)).map_err(Fatal::disk(DiskCall::Open, index, offset))?;
    for (at, bytes) in chunks {
        file.write_at(bytes, at).map_err(Fatal::disk(DiskCall::Write, index, at))?;
    }
    file.sync_data().map_err(Fatal::disk(DiskCall::Sync, index, offset))
}
