//! A segment's file: its name, its making, its random id. Knows nothing of frames.
//!
//! A segment gets its final name only when every byte of it is written and synced, so a file
//! under such a name is always whole: a crash cannot shorten it or leave its header torn.

use zerocopy::IntoBytes;

use super::error::{DiskCall, Fatal};
use super::layout::{SECTOR, SegmentHeader};
use crate::planted::{self, Bug};
use crate::storage::{Storage, StorageFile};

/// Ending of a segment that may hold frames.
pub(super) const ENDING: &str = ".segment";

/// Ending of a segment that is being made.
pub(super) const ENDING_PREPARING: &str = ".preparing";

/// The index of a journal's first segment.
pub(super) const FIRST_INDEX: u64 = 1;

/// Bytes of zeros that are written at a time where nobody else is at work.
pub(super) const INLINE_CHUNK_BYTES: usize = 1 << 20;

/// The file name of a segment.
pub(super) fn name(index: u64) -> String {
    format!("{index:016x}{ENDING}")
}

/// The index in a segment's file name; `None` if it is no such name.
pub(super) fn index_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(ENDING)?;
    let lower_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if digits.len() == 16 && lower_hex { u64::from_str_radix(digits, 16).ok() } else { None }
}

/// Random ids of segments, from a seed that the caller draws anew for each opening.
///
/// Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (SplitMix64).
pub(super) const fn id(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A segment with its name, all of it zero behind the header.
pub(super) struct Ready<F> {
    pub(super) file: F,
    pub(super) index: u64,
    pub(super) id: u64,
    pub(super) length: u64,
}

/// A file on its way to become a segment: allocated, and zero up to `zeroed`.
pub(super) struct Blank<F> {
    file: F,
    temporary: String,
    /// The index it is reported under in errors; the final one is given by [`Blank::finish`].
    expected: u64,
    length: u64,
    zeroed: u64,
}

impl<F: StorageFile> Blank<F> {
    /// Creates the file. `maker` keeps two makers' files apart.
    pub(super) fn create<S: Storage<File = F>>(
        storage: &S,
        maker: &str,
        expected: u64,
        length: u64,
    ) -> Result<Self, Fatal> {
        let temporary = format!("{maker}-{expected:016x}{ENDING_PREPARING}");
        let file =
            storage.create(&temporary).map_err(Fatal::disk(DiskCall::Create, expected, 0))?;
        // The header is written last, when the index is certain.
        Ok(Self { file, temporary, expected, length, zeroed: SECTOR })
    }

    /// Reserves its blocks.
    pub(super) fn allocate(&mut self) -> Result<(), Fatal> {
        let allocated = self.file.allocate(self.length);
        allocated.map_err(Fatal::disk(DiskCall::Allocate, self.expected, self.length))
    }

    /// Removes the file.
    pub(super) fn remove<S: Storage<File = F>>(self, storage: &S) -> Result<(), Fatal> {
        let removed = storage.remove(&self.temporary);
        removed.map_err(Fatal::disk(DiskCall::Remove, self.expected, 0))
    }

    /// Writes one chunk of zeros. Returns whether all of them are written.
    pub(super) fn zero_chunk(&mut self, zeros: &[u8]) -> Result<bool, Fatal> {
        let chunk = (self.length - self.zeroed).min(zeros.len() as u64) as usize;
        self.file.write_at(&zeros[..chunk], self.zeroed).map_err(Fatal::disk(
            DiskCall::Write,
            self.expected,
            self.zeroed,
        ))?;
        self.zeroed += chunk as u64;
        Ok(self.zeroed == self.length)
    }

    /// Makes the zeros so far durable. For a helper beside a journal at work: its syncs then wait
    /// for one chunk at most, and not for a whole segment.
    pub(super) fn sync_chunk(&mut self) -> Result<(), Fatal> {
        self.file.sync_data().map_err(Fatal::disk(DiskCall::Sync, self.expected, self.zeroed))
    }

    /// Writes the header, syncs, gives the final name, and makes that durable too.
    pub(super) fn finish<S: Storage<File = F>>(
        mut self,
        storage: &S,
        cell: u16,
        index: u64,
        id: u64,
    ) -> Result<Ready<F>, Fatal> {
        debug_assert_eq!(self.zeroed, self.length);
        let header = SegmentHeader::new(cell, index, id, self.length);
        self.file.write_at(header.as_bytes(), 0).map_err(Fatal::disk(DiskCall::Write, index, 0))?;
        self.file.sync_data().map_err(Fatal::disk(DiskCall::Sync, index, 0))?;
        storage.rename(&self.temporary, &name(index)).map_err(Fatal::disk(
            DiskCall::Rename,
            index,
            0,
        ))?;
        if !planted::is(Bug::NoDirectorySync) {
            storage.sync_directory().map_err(Fatal::disk(DiskCall::SyncDirectory, index, 0))?;
        }
        Ok(Ready { file: self.file, index, id, length: self.length })
    }
}

/// A buffer of `chunk` zeros for [`Blank::zero_chunk`], no longer than a segment of this length
/// needs.
pub(super) fn zeros(length: u64, chunk: usize) -> Vec<u8> {
    vec![0; length.min(chunk as u64) as usize]
}

/// Makes a segment from nothing to the end, in one go.
pub(super) fn make<S: Storage>(
    storage: &S,
    cell: u16,
    index: u64,
    id: u64,
    length: u64,
) -> Result<Ready<S::File>, Fatal> {
    let zeros = zeros(length, INLINE_CHUNK_BYTES);
    let mut blank = Blank::create(storage, "inline", index, length)?;
    blank.allocate()?;
    while !blank.zero_chunk(&zeros)? {}
    blank.finish(storage, cell, index, id)
}

#[cfg(test)]
mod tests {
    use super::{id, index_of, name};

    #[test]
    fn names_sort_like_indexes() {
        assert_eq!(name(1), "0000000000000001.segment");
        assert_eq!(index_of("00000000000000ff.segment"), Some(255));
        for other in ["ff.segment", "00000000000000FF.segment", "lock", "+00000000000000f.segment"]
        {
            assert_eq!(index_of(other), None, "{other}");
        }
    }

    #[test]
    fn ids_differ_by_seed_and_index() {
        assert_ne!(id(1, 1), id(1, 2));
        assert_ne!(id(1, 1), id(2, 1));
    }
}
