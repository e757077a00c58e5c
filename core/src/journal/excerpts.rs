//! Single records, read again from where they were found.

use super::error::{DiskCall, Fatal};
use super::segment;
use super::verdict::corrupt;
use crate::storage::{Storage, StorageFile};

/// Where a record stands, whose frame was checked when it was read for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The index of its segment.
    pub segment: u64,
    /// The byte in the segment's file where it begins.
    pub offset: u32,
    /// Its length in bytes.
    pub length: u32,
}

/// Reads records by their locations.
pub struct Excerpts<S: Storage> {
    storage: S,
    /// The segments that were asked for.
    files: Vec<(u64, S::File)>,
    record: Vec<u8>,
}

impl<S: Storage> Excerpts<S> {
    /// Of the journal in `storage`.
    pub const fn new(storage: S) -> Self {
        Self { storage, files: Vec::new(), record: Vec::new() }
    }

    /// The record that stands there.
    ///
    /// # Errors
    /// The disk refused, or the file has become shorter.
    pub fn read(&mut self, at: Location) -> Result<&[u8], Fatal> {
        let Location { segment, offset, length } = at;
        let known = self.files.iter().position(|(index, _)| *index == segment);
        let place = match known {
            Some(place) => place,
            None => {
                let opened = self.storage.open_read(&segment::name(segment));
                let file = opened.map_err(Fatal::disk(DiskCall::Open, segment, 0))?;
                self.files.push((segment, file));
                self.files.len() - 1
            }
        };
        self.record.resize(length as usize, 0);
        let read = self.files[place].1.read_at(&mut self.record, u64::from(offset));
        let read = read.map_err(Fatal::disk(DiskCall::Read, segment, u64::from(offset)))?;
        if read < self.record.len() {
            return Err(corrupt(segment, u64::from(offset), 0, "the file has become shorter"));
        }
        Ok(&self.record)
    }
}
