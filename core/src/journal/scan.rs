//! Reads one segment: through a window of large chunks, frame by frame. The one scanner that
//! recovery, `verify` and readers share. Says what stands at an offset; judges nothing, writes
//! nothing.

use zerocopy::FromBytes;

use super::batch::Records;
use super::error::{DiskCall, Fatal};
use super::layout::{
    FRAME_BYTES_CEILING, FRAME_HEADER_BYTES, FRAME_MAGIC, FrameHeader, Kind, SEAL_BYTES, SECTOR,
    SEGMENT_MAGIC, SegmentHeader, VERSION, frame_checksum, padded,
};
use super::segment;
use crate::limits::SECTOR_BYTES;
use crate::planted::{self, Bug};
use crate::storage::{Storage, StorageFile};
use crate::time::Timestamp;

/// Bytes that are read at once: the longest frame and as much again.
const WINDOW_BYTES: u64 = 2 * FRAME_BYTES_CEILING;

/// The header of an intact frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) kind: Kind,
    pub(super) offset: u64,
    /// Without padding.
    pub(super) length: u64,
    pub(super) count: u64,
    pub(super) first_sequence: u64,
    pub(super) durable_up_to: u64,
    pub(super) time: Timestamp,
    pub(super) epoch: u32,
    pub(super) cell: u16,
}

impl FrameHead {
    /// The offset behind the frame.
    pub(super) const fn end(&self) -> u64 {
        self.offset + padded(self.length)
    }
}

/// What stands at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An intact frame, in its place.
    Frame(FrameHead),
    /// A sector of zeros, or the end of the segment.
    Nothing,
    /// An intact frame that was written for another offset. No crash does that.
    Misplaced(FrameHead),
    /// Anything else.
    Damaged(&'static str),
}

/// What stands behind the last frame of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rest {
    /// The end of the last sector that is not all zeros; 0 if there is none.
    pub(super) dirty_end: u64,
    /// The first intact frame, whatever offset it was written for.
    pub(super) frame: Option<FrameHead>,
}

/// One segment, open for reading.
pub(super) struct SegmentScan<F> {
    file: F,
    pub(super) index: u64,
    pub(super) id: u64,
    pub(super) cell: u16,
    pub(super) length: u64,
    /// What the file has; less or more than `length` is damage.
    pub(super) file_length: u64,
    window: Vec<u8>,
    window_start: u64,
    window_end: u64,
}

impl<F: StorageFile> SegmentScan<F> {
    /// Opens a segment and checks its header. `expected` is the sequence for error messages.
    pub(super) fn open<S: Storage<File = F>>(
        storage: &S,
        index: u64,
        expected: u64,
    ) -> Result<Self, Fatal> {
        let file = storage.open_read(&segment::name(index)).map_err(Fatal::disk(
            DiskCall::Open,
            index,
            0,
        ))?;
        let file_length = file.length().map_err(Fatal::disk(DiskCall::Read, index, 0))?;
        let mut sector = [0; SECTOR_BYTES];
        let read = file.read_at(&mut sector, 0).map_err(Fatal::disk(DiskCall::Read, index, 0))?;
        let header = read_header(&sector, read, index)
            .map_err(|what| super::verdict::corrupt(index, 0, expected, what))?;
        Ok(Self {
            file,
            index,
            id: header.id.get(),
            cell: header.cell.get(),
            length: header.length.get(),
            file_length,
            window: Vec::new(),
            window_start: 0,
            window_end: 0,
        })
    }

    /// Takes the memory of the window, for the next segment.
    pub(super) fn into_window(self) -> Vec<u8> {
        self.window
    }

    /// Gives memory to read into, instead of its own.
    pub(super) fn lend_window(&mut self, window: Vec<u8>) {
        self.forget();
        self.window = window;
    }

    /// Forgets what was read, so that the next look goes to the file again.
    pub(super) const fn forget(&mut self) {
        self.window_end = self.window_start;
    }

    /// Looks at the sector boundary `offset`.
    pub(super) fn look(&mut self, offset: u64) -> Result<Found, Fatal> {
        let room = self.length.saturating_sub(offset);
        if room < SECTOR {
            return Ok(Found::Nothing);
        }
        let sector = self.bytes(offset, SECTOR)?;
        if is_zero(sector) {
            return Ok(Found::Nothing);
        }
        let header = match plausible(sector, room) {
            Ok(header) => header,
            Err(what) => return Ok(Found::Damaged(what)),
        };
        let length = u64::from(header.length.get());
        let id = self.id;
        let frame = self.bytes(offset, padded(length))?;
        if frame_checksum(id, frame) != header.checksum.get() && !planted::is(Bug::ChecksumSkipped)
        {
            return Ok(Found::Damaged("the checksum of the frame is wrong"));
        }
        let Some(kind) = Kind::from_byte(header.kind) else {
            return Ok(Found::Damaged("the frame's kind is unknown"));
        };
        let head = FrameHead {
            kind,
            offset,
            length,
            count: u64::from(header.count.get()),
            first_sequence: header.first_sequence.get(),
            durable_up_to: header.durable_up_to.get(),
            time: Timestamp::from_micros(header.time.get()),
            epoch: header.epoch.get(),
            cell: header.cell.get(),
        };
        let in_place = header.offset.get() == offset;
        Ok(if in_place { Found::Frame(head) } else { Found::Misplaced(head) })
    }

    /// The body of a frame that was just found.
    pub(super) fn body(&mut self, head: &FrameHead) -> Result<&[u8], Fatal> {
        let body = self.bytes(head.offset, head.length)?;
        Ok(&body[FRAME_HEADER_BYTES..])
    }

    /// The records of a frame that was just found.
    pub(super) fn records(&mut self, head: &FrameHead) -> Result<Records<'_>, Fatal> {
        Ok(Records::new(self.body(head)?))
    }

    /// The whole frame with its padding, as it stands in the file.
    pub(super) fn frame(&mut self, head: &FrameHead) -> Result<&[u8], Fatal> {
        self.bytes(head.offset, padded(head.length))
    }

    /// The id of the next segment, from a seal; `None` if the body is no id.
    pub(super) fn sealed_id(&mut self, head: &FrameHead) -> Result<Option<u64>, Fatal> {
        let body = self.body(head)?;
        Ok(body.try_into().ok().map(u64::from_le_bytes))
    }

    /// Looks at every sector from `offset` to the end of the segment.
    pub(super) fn rest(&mut self, mut offset: u64) -> Result<Rest, Fatal> {
        let mut rest = Rest::default();
        while offset < self.length {
            let chunk = (self.length - offset).min(FRAME_BYTES_CEILING);
            if is_zero(self.bytes(offset, chunk)?) {
                offset += chunk;
                continue;
            }
            let end = offset + chunk;
            while offset < end {
                match self.look(offset)? {
                    Found::Nothing => {}
                    Found::Damaged(_) => rest.dirty_end = (offset + SECTOR).min(self.length),
                    Found::Frame(head) | Found::Misplaced(head) => {
                        rest.dirty_end = (offset + SECTOR).min(self.length);
                        rest.frame = rest.frame.or(Some(head));
                    }
                }
                offset += SECTOR;
            }
        }
        Ok(rest)
    }

    /// `length` bytes from `offset`, from the window or, if they are not in it, from the file.
    /// What is behind the file's end reads as zeros.
    fn bytes(&mut self, offset: u64, length: u64) -> Result<&[u8], Fatal> {
        let end = offset + length;
        if offset < self.window_start || end > self.window_end {
            let wanted = WINDOW_BYTES.min(self.length - offset).max(length);
            if self.window.len() < wanted as usize {
                self.window.resize(wanted as usize, 0);
            }
            let window = &mut self.window[..wanted as usize];
            self.window_start = offset;
            self.window_end = offset;
            let read = self.file.read_at(window, offset).map_err(Fatal::disk(
                DiskCall::Read,
                self.index,
                offset,
            ))?;
            window[read..].fill(0);
            self.window_end = offset + wanted;
        }
        let start = (offset - self.window_start) as usize;
        Ok(&self.window[start..start + length as usize])
    }
}

/// Checks all of a segment's header that it can say about itself.
fn read_header(sector: &[u8], read: usize, index: u64) -> Result<SegmentHeader, String> {
    let Ok(header) = SegmentHeader::read_from_bytes(sector) else {
        return Err("the segment's header is no sector".into());
    };
    if read < SECTOR_BYTES {
        return Err(format!("the segment ends within its header, after {read} bytes"));
    }
    if header.magic != SEGMENT_MAGIC {
        return Err("this is no segment of a journal".into());
    }
    if header.version.get() != VERSION {
        return Err(format!(
            "the segment has version {}, this program knows version {VERSION}",
            header.version.get()
        ));
    }
    if header.checksum.get() != header.computed_checksum() {
        return Err("the checksum of the segment's header is wrong".into());
    }
    if header.index.get() != index {
        return Err(format!("this is segment {:016x} under another name", header.index.get()));
    }
    let length = header.length.get();
    if length < 2 * SECTOR || !length.is_multiple_of(SECTOR) {
        return Err(format!("the segment's length cannot be {length}"));
    }
    Ok(header)
}

/// Checks what must be right before a frame's checksum can be computed.
fn plausible(sector: &[u8], room: u64) -> Result<FrameHeader, &'static str> {
    let Ok((header, _)) = FrameHeader::read_from_prefix(sector) else {
        return Err("the frame's header is cut");
    };
    if header.magic != FRAME_MAGIC {
        return Err("no frame begins here");
    }
    let length = u64::from(header.length.get());
    let seal = header.kind == Kind::Seal as u8;
    let least = if seal { SEAL_BYTES } else { FRAME_HEADER_BYTES } as u64;
    if length < least || padded(length) > room.min(FRAME_BYTES_CEILING) {
        return Err("the frame's length is out of range");
    }
    Ok(header)
}

/// Whether all bytes are zero.
fn is_zero(bytes: &[u8]) -> bool {
    // By blocks that the compiler turns into vector instructions; `all` alone stops at each byte.
    let mut blocks = bytes.chunks_exact(64);
    let zero = blocks.by_ref().all(|block| block.iter().fold(0, |or, byte| or | byte) == 0);
    zero && blocks.remainder().iter().all(|byte| *byte == 0)
}
