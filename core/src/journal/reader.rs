//! Reading a journal without touching it: for `sluice journal verify|dump`, the audit and sinks.
//!
//! Beside a running server only what is durable is shown: what a later frame proves, or what the
//! caller knows to be durable. Never writes, removes or repairs.

use super::batch::{PREFIX_BYTES, Records};
use super::error::Fatal;
use super::layout::{FRAME_HEADER_BYTES, Kind};
use super::scan::FrameHead;
use super::segment::FIRST_INDEX;
use super::verdict::corrupt;
use super::walk::{Base, Begin, TornTail, Walker, indexes, segment_behind};
use crate::storage::Storage;
use crate::time::Timestamp;

/// Reads frames from the first to the last, and on as more are written.
pub struct Reader<S: Storage> {
    walker: Walker<S>,
}

/// A frame, borrowed from the reader.
#[derive(Clone, Debug)]
pub struct Frame<'a> {
    /// Index of its segment.
    pub segment: u64,
    /// Where it stands there, in bytes.
    pub offset: u64,
    /// What it is for.
    pub kind: Kind,
    /// The cell that wrote it.
    pub cell: u16,
    /// The epoch in which it was written.
    pub epoch: u32,
    /// When it was written, in engine time.
    pub time: Timestamp,
    /// The sequence of its first record; of the next one to come if it has none.
    pub first_sequence: u64,
    /// How many records it holds.
    pub count: u64,
    /// What was durable when it was written.
    pub durable_up_to: u64,
    /// Its records.
    pub records: Records<'a>,
}

impl<'a> Frame<'a> {
    /// Its records, each with the byte of the segment's file where it begins.
    pub fn located(&self) -> impl Iterator<Item = (u64, &'a [u8])> {
        let mut at = self.offset + FRAME_HEADER_BYTES as u64;
        self.records.clone().map(move |record| {
            let begin = at + PREFIX_BYTES as u64;
            at = begin + record.len() as u64;
            (begin, record)
        })
    }
}

/// What a whole journal adds up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The cell that it belongs to.
    pub cell: u16,
    /// Segments, those made ahead of need included.
    pub segments: u64,
    /// Frames, marks and seals included.
    pub frames: u64,
    /// Records.
    pub records: u64,
    /// The index of the oldest segment; more than 1 if earlier ones were trimmed.
    pub oldest_segment: u64,
    /// The first sequence that is kept; 0 if there is no record.
    pub first_sequence: u64,
    /// The last sequence; 0 if there is no record.
    pub last_sequence: u64,
    /// The last sequence that a later frame proves durable.
    pub durable_up_to: u64,
    /// The highest epoch.
    pub epoch: u32,
    /// The time of the last frame.
    pub last_time: Timestamp,
    /// An unfinished write at the end: a crash left it, or a server is just writing it.
    pub torn_tail: Option<TornTail>,
}

impl<S: Storage> Reader<S> {
    /// At the oldest record that is kept of the journal in `storage`.
    ///
    /// # Errors
    /// There is no journal, its first segment is damaged, or the disk refused.
    pub fn open(storage: S) -> Result<Self, Fatal> {
        let indexes = present(&storage)?;
        let begin = Begin::At(indexes[0]);
        Ok(Self { walker: Walker::open(storage, indexes, None, true, begin)? })
    }

    /// At the first frame with a record behind `after`, which may begin with earlier ones; or at
    /// the oldest record that is kept if the one behind `after` is not: then
    /// [`Reader::next_sequence`] is higher than `after + 1`.
    ///
    /// # Errors
    /// There is no journal, what is read of it is damaged, or the disk refused.
    pub fn open_after(storage: S, after: u64) -> Result<Self, Fatal> {
        let indexes = present(&storage)?;
        let begin = Begin::At(segment_behind(&storage, &indexes, after)?);
        let mut walker = Walker::open(storage, indexes, None, true, begin)?;
        while let Some(head) = walker.peek()? {
            if head.first_sequence + head.count > after + 1 {
                break;
            }
            walker.advance(&head)?;
        }
        Ok(Self { walker })
    }

    /// Behind a snapshot.
    ///
    /// # Errors
    /// The segment behind it is missing, damaged or another one; the disk refused.
    pub fn open_behind(storage: S, base: &Base) -> Result<Self, Fatal> {
        let begin = Begin::Behind(*base);
        let (cell, indexes) = (Some(base.cell), indexes(&storage)?);
        Ok(Self { walker: Walker::open(storage, indexes, cell, true, begin)? })
    }

    /// At the first record there ever was.
    ///
    /// # Errors
    /// It is no longer kept; the first segment is damaged; the disk refused.
    pub fn open_first(storage: S) -> Result<Self, Fatal> {
        let indexes = present(&storage)?;
        Ok(Self { walker: Walker::open(storage, indexes, None, true, Begin::First)? })
    }

    /// The next frame of a finished segment up to that index; `None` behind the last one's seal,
    /// and then [`Reader::base`] says what follows.
    ///
    /// # Errors
    /// The journal is damaged, or the disk refused.
    pub fn next_sealed(&mut self, through: u64) -> Result<Option<Frame<'_>>, Fatal> {
        let at_end = self.walker.base().is_some() && self.walker.scan.index == through;
        if at_end || self.walker.scan.index > through {
            return Ok(None);
        }
        match self.walker.peek()? {
            Some(head) => self.take(&head).map(Some),
            None => {
                let (index, offset) = (self.walker.scan.index, self.walker.offset);
                let what = format!("the journal ends here, and segment {through:016x} is sealed");
                Err(corrupt(index, offset, self.walker.chain.next_sequence, what))
            }
        }
    }

    /// What is known where the next segment begins; `None` unless a seal was read last.
    pub fn base(&self) -> Option<Base> {
        self.walker.base()
    }

    /// The next frame that a later one proves durable; `None` if there is none yet.
    ///
    /// # Errors
    /// The journal is damaged, or the disk refused.
    pub fn next_proven(&mut self) -> Result<Option<Frame<'_>>, Fatal> {
        let Some(head) = self.walker.peek()? else { return Ok(None) };
        if !self.walker.proven(&head)? {
            return Ok(None);
        }
        self.take(&head).map(Some)
    }

    /// The next frame that holds records up to `durable` or earlier; `None` if there is none.
    /// `durable` comes from the running journal's mark.
    ///
    /// # Errors
    /// The journal is damaged, or the disk refused.
    pub fn next_durable(&mut self, durable: u64) -> Result<Option<Frame<'_>>, Fatal> {
        // Asked first, so that a follower that has caught up does not search the rest of a segment.
        if self.walker.chain.next_sequence > durable {
            return Ok(None);
        }
        let Some(head) = self.walker.peek()? else {
            let (index, offset) = (self.walker.scan.index, self.walker.offset);
            let what = format!("the journal ends here, and is durable up to {durable}");
            return Err(corrupt(index, offset, self.walker.chain.next_sequence, what));
        };
        self.take(&head).map(Some)
    }

    /// Whether nothing follows that was written.
    ///
    /// # Errors
    /// The journal is damaged, or the disk refused.
    pub fn is_at_end(&mut self) -> Result<bool, Fatal> {
        Ok(self.walker.peek()?.is_none())
    }

    /// The sequence of the next record to be read.
    pub const fn next_sequence(&self) -> u64 {
        self.walker.chain.next_sequence
    }

    fn take(&mut self, head: &FrameHead) -> Result<Frame<'_>, Fatal> {
        self.walker.visit(head, &mut |_, _, _| Ok(()))?;
        self.walker.advance(head)?;
        let segment = self.walker.scan.index;
        let records = match head.kind {
            Kind::Records => self.walker.scan.records(head)?,
            Kind::Mark | Kind::Seal => Records::new(&[]),
        };
        Ok(Frame {
            segment,
            offset: head.offset,
            kind: head.kind,
            cell: head.cell,
            epoch: head.epoch,
            time: head.time,
            first_sequence: head.first_sequence,
            count: head.count,
            durable_up_to: head.durable_up_to,
            records,
        })
    }
}

/// The indexes of all segments, of which there is at least one.
fn present<S: Storage>(storage: &S) -> Result<Vec<u64>, Fatal> {
    let indexes = indexes(storage)?;
    if indexes.is_empty() {
        return Err(corrupt(FIRST_INDEX, 0, 1, "there is no journal in this directory"));
    }
    Ok(indexes)
}

/// Reads all that is kept of the journal in `storage` and checks it as recovery would, changing
/// nothing. Whether what came before the oldest segment may be missing is for the caller to say: a
/// snapshot must have it.
///
/// # Errors
/// What recovery would refuse; there is no journal; the disk refused.
pub fn verify<S: Storage>(storage: S) -> Result<Summary, Fatal> {
    let indexes = present(&storage)?;
    let oldest_segment = indexes[0];
    let mut walker = Walker::open(storage, indexes, None, true, Begin::At(oldest_segment))?;
    let first_sequence = walker.chain.next_sequence;
    let mut records = 0;
    while let Some(head) = walker.peek()? {
        walker.visit(&head, &mut |_, _, _| Ok(()))?;
        records += head.count;
        walker.advance(&head)?;
    }
    let chain = walker.chain;
    Ok(Summary {
        cell: walker.scan.cell,
        segments: walker.segments(),
        frames: chain.frames,
        records,
        oldest_segment,
        first_sequence: if records == 0 { 0 } else { first_sequence },
        last_sequence: chain.next_sequence - 1,
        durable_up_to: chain.mark,
        epoch: chain.epoch,
        last_time: chain.time,
        torn_tail: walker.end.take().and_then(|end| end.torn),
    })
}
