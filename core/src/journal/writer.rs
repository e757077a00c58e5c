//! The end of the journal: frames are appended here, and nowhere else.
//!
//! One write is in flight at a time: a frame is written only when the one before it is synced,
//! so a valid frame proves all before it. The first error is final: the writer repeats it and
//! never touches the disk again, for a sync that failed once may claim success the next time
//! without having stored anything (I12).

use zerocopy::IntoBytes;
use zerocopy::byteorder::little_endian::{U16, U32, U64};

use super::batch::{Batch, PREFIX_BYTES};
use super::error::{DiskCall, Fatal};
use super::layout::{
    FRAME_HEADER_BYTES, FRAME_MAGIC, FrameHeader, Kind, SECTOR, frame_checksum, padded,
};
use super::preparer::Supply;
use super::sealed::Sealed;
use super::segment::Ready;
use crate::limits::Limits;
use crate::planted::{self, Bug};
use crate::storage::{Storage, StorageFile};
use crate::time::Timestamp;

/// Everything up to [`Committed::through`] is on disk. Only the journal builds one (I2).
#[derive(Debug)]
#[must_use]
pub struct Committed {
    through: u64,
}

impl Committed {
    /// The highest durable sequence; 0 if the journal is empty.
    pub const fn through(&self) -> u64 {
        self.through
    }
}

/// Where the journal ends and what it said last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    /// Where the next frame goes.
    pub(super) offset: u64,
    pub(super) next_sequence: u64,
    pub(super) epoch: u32,
    pub(super) time: Timestamp,
}

/// Appends frames. One per journal.
pub struct Writer<S: Storage> {
    cell: u16,
    limits: Limits,
    supply: Supply<S>,
    segment: Ready<S::File>,
    tail: Tail,
    /// The frame that is being put together; its memory is kept.
    frame: Vec<u8>,
    frame_records: usize,
    marked: bool,
    sealed: Sealed,
    poison: Option<Fatal>,
}

impl<S: Storage> Writer<S> {
    pub(super) fn new(
        cell: u16,
        limits: Limits,
        supply: Supply<S>,
        segment: Ready<S::File>,
        tail: Tail,
        sealed: Sealed,
    ) -> Self {
        let mut frame = Vec::with_capacity(limits.frame_bytes_max);
        frame.resize(FRAME_HEADER_BYTES, 0);
        Self {
            cell,
            limits,
            supply,
            segment,
            tail,
            frame,
            frame_records: 0,
            marked: false,
            sealed,
            poison: None,
        }
    }

    /// Writes and syncs the batches, in their order: as one frame, or as several if one is too
    /// small. With nothing in the batches the disk is left alone.
    ///
    /// # Errors
    /// The first error of this writer, again at every later call.
    ///
    /// # Panics
    /// If a record is longer than `limits.record_bytes_max`.
    pub fn commit(
        &mut self,
        batches: &mut dyn Iterator<Item = &Batch>,
        now: Timestamp,
    ) -> Result<Committed, Fatal> {
        self.unless_poisoned(|writer| {
            for batch in batches {
                writer.add(batch, now)?;
            }
            writer.flush(now)
        })?;
        Ok(Committed { through: self.tail.next_sequence - 1 })
    }

    /// Whether the last frame is not proven durable by a frame behind it.
    pub const fn needs_mark(&self) -> bool {
        !self.marked && self.poison.is_none()
    }

    /// Writes and syncs an empty frame, if the last one holds records and none follows yet.
    ///
    /// # Errors
    /// The first error of this writer, again at every later call.
    pub fn mark(&mut self, now: Timestamp) -> Result<(), Fatal> {
        self.unless_poisoned(|writer| {
            if writer.marked {
                return Ok(());
            }
            writer.write_frame(Kind::Mark, now)
        })
    }

    /// The sequence that the next record gets.
    pub const fn next_sequence(&self) -> u64 {
        self.tail.next_sequence
    }

    /// The highest durable sequence; 0 if the journal is empty.
    pub const fn durable(&self) -> u64 {
        self.tail.next_sequence - 1
    }

    /// The epoch of the frames that it writes.
    pub const fn epoch(&self) -> u32 {
        self.tail.epoch
    }

    /// The error that ended this writer.
    pub const fn poison(&self) -> Option<&Fatal> {
        self.poison.as_ref()
    }

    fn unless_poisoned<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Fatal>,
    ) -> Result<T, Fatal> {
        if let Some(fatal) = &self.poison {
            return Err(fatal.clone());
        }
        work(self).inspect_err(|fatal| self.poison = Some(fatal.clone()))
    }

    /// Adds a batch to the frame, at once if it fits, record by record if not.
    fn add(&mut self, batch: &Batch, now: Timestamp) -> Result<(), Fatal> {
        if self.fits(batch.bytes().len(), batch.len()) {
            self.frame.extend_from_slice(batch.bytes());
            self.frame_records += batch.len();
            return Ok(());
        }
        for record in batch.records() {
            let length = record.len();
            assert!(length <= self.limits.record_bytes_max, "a record has {length} bytes");
            if !self.fits(PREFIX_BYTES + length, 1) {
                self.flush(now)?;
            }
            self.frame.extend_from_slice(&(length as u32).to_le_bytes());
            self.frame.extend_from_slice(record);
            self.frame_records += 1;
        }
        Ok(())
    }

    const fn fits(&self, bytes: usize, records: usize) -> bool {
        self.frame.len() + bytes <= self.limits.frame_bytes_max
            && self.frame_records + records <= self.limits.frame_records_max
    }

    fn flush(&mut self, now: Timestamp) -> Result<(), Fatal> {
        if self.frame_records == 0 {
            return Ok(());
        }
        self.write_frame(Kind::Records, now)
    }

    /// Writes the frame buffer as it is, after a change of segment if this one has no room.
    fn write_frame(&mut self, kind: Kind, now: Timestamp) -> Result<(), Fatal> {
        // The last sector of a segment is kept for its seal.
        let end = self.tail.offset + padded(self.frame.len() as u64);
        if end + SECTOR > self.segment.length {
            self.rotate(now)?;
        }
        self.append(kind, now)
    }

    /// Seals this segment and goes on in the next. The next one is durable before the seal that
    /// names it, and the seal before the first frame there.
    fn rotate(&mut self, now: Timestamp) -> Result<(), Fatal> {
        let next = self.supply.take()?;
        let records = std::mem::take(&mut self.frame);
        let record_count = std::mem::take(&mut self.frame_records);
        let mut seal = Vec::with_capacity(SECTOR as usize);
        seal.resize(FRAME_HEADER_BYTES, 0);
        seal.extend_from_slice(&next.id.to_le_bytes());
        self.frame = seal;
        self.append(Kind::Seal, now)?;
        self.sealed.set(self.segment.index);
        self.frame = records;
        self.frame_records = record_count;
        self.segment = next;
        self.tail.offset = SECTOR;
        Ok(())
    }

    /// Completes the header of the frame buffer, writes it with one call, syncs, empties it.
    fn append(&mut self, kind: Kind, now: Timestamp) -> Result<(), Fatal> {
        let offset = self.tail.offset;
        let time = self.tail.time.max(now);
        let length = self.frame.len();
        self.frame.resize(padded(length as u64) as usize, 0);
        let header = FrameHeader {
            magic: FRAME_MAGIC,
            checksum: U32::ZERO,
            length: U32::new(length as u32),
            count: U32::new(self.frame_records as u32),
            first_sequence: U64::new(self.tail.next_sequence),
            durable_up_to: U64::new(self.tail.next_sequence - 1),
            time: U64::new(time.micros()),
            epoch: U32::new(self.tail.epoch),
            cell: U16::new(self.cell),
            kind: kind as u8,
            reserved_a: 0,
            offset: U64::new(offset),
            reserved_b: U64::ZERO,
        };
        self.frame[..FRAME_HEADER_BYTES].copy_from_slice(header.as_bytes());
        let checksum = frame_checksum(self.segment.id, &self.frame);
        self.frame[4..8].copy_from_slice(&checksum.to_le_bytes());

        let index = self.segment.index;
        self.segment.file.write_at(&self.frame, offset).map_err(Fatal::disk(
            DiskCall::Write,
            index,
            offset,
        ))?;
        if let Err(error) = self.segment.file.sync_data() {
            let believed =
                planted::is(Bug::RetryFailedSync) && self.segment.file.sync_data().is_ok();
            if !believed {
                return Err(Fatal::disk(DiskCall::Sync, index, offset)(error));
            }
        }

        self.tail.offset = offset + self.frame.len() as u64;
        self.tail.next_sequence += self.frame_records as u64;
        self.tail.time = time;
        self.marked = kind != Kind::Records;
        self.frame.truncate(FRAME_HEADER_BYTES);
        self.frame_records = 0;
        Ok(())
    }
}
