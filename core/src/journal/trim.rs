//! Takes finished segments away from the front of a journal, one at a time: into an archive, or for
//! good. What may go is the caller's to know.

use super::error::{DiskCall, Fatal};
use super::layout::SECTOR;
use super::scan::{Found, SegmentScan};
use super::segment;
use super::verdict::corrupt;
use super::walk::indexes;
use crate::storage::{Storage, StorageFile};

/// Bytes that are copied at once.
const CHUNK_BYTES: usize = 1 << 20;

/// What a journal keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The index of the oldest segment.
    pub oldest: u64,
    /// Bytes of all segments, those made ahead of need included.
    pub bytes: u64,
}

/// The oldest segment of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oldest {
    /// Its index.
    pub segment: u64,
    /// The last sequence in it.
    pub through: u64,
}

/// A segment that was taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// Its index.
    pub segment: u64,
    /// The last sequence in it.
    pub through: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

/// What the journal in `storage` keeps; `None` if there is none.
///
/// # Errors
/// The disk refused.
pub fn kept<S: Storage>(storage: &S) -> Result<Option<Kept>, Fatal> {
    let indexes = indexes(storage)?;
    let Some(oldest) = indexes.first().copied() else { return Ok(None) };
    let mut bytes = 0;
    for index in indexes {
        bytes += length(storage, index)?;
    }
    Ok(Some(Kept { oldest, bytes }))
}

/// The oldest segment, if there is one behind it that holds a record or its seal.
///
/// # Errors
/// The disk refused, or a segment's header is damaged.
pub fn oldest<S: Storage>(storage: &S) -> Result<Option<Oldest>, Fatal> {
    let indexes = indexes(storage)?;
    let (Some(&segment), Some(&next)) = (indexes.first(), indexes.get(1)) else { return Ok(None) };
    let Found::Frame(head) = SegmentScan::open(storage, next, 0)?.look(SECTOR)? else {
        return Ok(None);
    };
    Ok(Some(Oldest { segment, through: head.first_sequence - 1 }))
}

/// Takes the oldest segment away if its index is below `below` and it holds no sequence behind
/// `through`: moves it to `archive` if there is one. Durable at return, so that a crash leaves no
/// gap: only one segment at a time can be both here and gone. `None` if none may go.
///
/// # Errors
/// The disk refused, or a segment's header is damaged. A segment that was not taken away is whole.
pub fn trim_oldest<S: Storage, A: Storage>(
    storage: &S,
    archive: Option<&A>,
    below: u64,
    through: u64,
) -> Result<Option<Trimmed>, Fatal> {
    let Some(Oldest { segment: oldest, through: last }) = self::oldest(storage)? else {
        return Ok(None);
    };
    if oldest >= below || last > through {
        return Ok(None);
    }
    let bytes = length(storage, oldest)?;
    if let Some(archive) = archive {
        copy(storage, archive, oldest)?;
    }
    storage.remove(&segment::name(oldest)).map_err(Fatal::disk(DiskCall::Remove, oldest, 0))?;
    storage.sync_directory().map_err(Fatal::disk(DiskCall::SyncDirectory, oldest, 0))?;
    Ok(Some(Trimmed { segment: oldest, through: last, bytes }))
}

fn length<S: Storage>(storage: &S, index: u64) -> Result<u64, Fatal> {
    let file = storage.open_read(&segment::name(index));
    let file = file.map_err(Fatal::disk(DiskCall::Open, index, 0))?;
    file.length().map_err(Fatal::disk(DiskCall::Read, index, 0))
}

/// Copies a segment; it gets its name in the archive when all of it is durable. What an earlier
/// attempt left there is written anew; a segment of another journal is not.
fn copy<S: Storage, A: Storage>(storage: &S, archive: &A, index: u64) -> Result<(), Fatal> {
    let name = segment::name(index);
    let temporary = format!("archive-{index:016x}{}", segment::ENDING_PREPARING);
    if archive.open_read(&temporary).is_ok() {
        archive.remove(&temporary).map_err(Fatal::disk(DiskCall::Remove, index, 0))?;
    }
    if archive.open_read(&name).is_ok() {
        let (here, there) =
            (SegmentScan::open(storage, index, 0)?, SegmentScan::open(archive, index, 0)?);
        if (here.id, here.cell) != (there.id, there.cell) {
            let what = "the archive has a segment of another journal under this name";
            return Err(corrupt(index, 0, 0, what));
        }
    }
    let from = storage.open_read(&name).map_err(Fatal::disk(DiskCall::Open, index, 0))?;
    let mut to = archive.create(&temporary).map_err(Fatal::disk(DiskCall::Create, index, 0))?;
    if storage.open_read(&temporary).is_ok() {
        archive.remove(&temporary).map_err(Fatal::disk(DiskCall::Remove, index, 0))?;
        return Err(corrupt(index, 0, 0, "the archive is the journal's own directory"));
    }
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut offset = 0;
    loop {
        let read = from.read_at(&mut chunk, offset);
        let read = read.map_err(Fatal::disk(DiskCall::Read, index, offset))?;
        if read == 0 {
            break;
        }
        to.write_at(&chunk[..read], offset).map_err(Fatal::disk(DiskCall::Write, index, offset))?;
        to.sync_data().map_err(Fatal::disk(DiskCall::Sync, index, offset))?;
        offset += read as u64;
    }
    archive.rename(&temporary, &name).map_err(Fatal::disk(DiskCall::Rename, index, 0))?;
    archive.sync_directory().map_err(Fatal::disk(DiskCall::SyncDirectory, index, 0))
}
