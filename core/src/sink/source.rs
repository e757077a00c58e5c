//! The journal from where a store ends, as batches.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use tokio::task::yield_now;

use crate::event::SinkName;
use crate::event::record::{self, LastNames};
use crate::journal::{Fatal, Frame, Reader};
use crate::limits::Limits;
use crate::planted::{self, Bug};
use crate::storage::{Archived, Storage};
use crate::time::Timestamp;

use super::error::{SinkError, Trouble};
use super::store::{Extent, Gathered};

/// Says up to which sequence the running journal is durable.
pub type Durable = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Records that are read before the store has its turn.
const RECORDS_A_TURN: u64 = 32;

/// A record that the store cannot take.
#[derive(Debug)]
pub(super) struct Poison {
    pub(super) sequence: u64,
    pub(super) error: SinkError,
}

/// Why no more can be gathered.
#[derive(Debug)]
pub(super) enum Stop {
    /// The journal cannot be read.
    Error(SinkError),
    /// The next record cannot be stored.
    Poison(Poison),
}

/// The journal, from where the store ends.
pub(super) struct Source<S: Storage> {
    journal: Archived<S>,
    reader: Reader<Archived<S>>,
    frame: Held,
    names: LastNames,
    durable: Durable,
    limits: Limits,
    /// Records that are to be passed over.
    skips: BTreeSet<u64>,
    /// Whether the last batch that was gathered has no room for the next record.
    is_cut: bool,
}

/// How many records a batch may have.
#[derive(Clone, Debug)]
pub(super) struct Room {
    pub(super) records: u64,
    /// A record behind one of these sequences makes a batch alone: it is among some of which one was
    /// refused.
    pub(super) singly_behind: Range<u64>,
}

impl<S: Storage + Clone> Source<S> {
    /// Behind a sequence. `skips` are passed over.
    ///
    /// # Errors
    /// The journal does not reach back so far, even with its archive, or cannot be read.
    pub(super) fn behind(
        sequence: u64,
        journal: Archived<S>,
        skips: BTreeSet<u64>,
        durable: Durable,
        limits: Limits,
    ) -> Result<Self, SinkError> {
        let reader = open_behind(journal.clone(), sequence)?;
        let (frame, names) = (Held::default(), LastNames::default());
        let is_cut = false;
        Ok(Self { journal, reader, frame, names, durable, limits, skips, is_cut })
    }

    /// Reads records into the batch, as many as it has room for and the journal holds. Lets the
    /// store go on now and then.
    pub(super) async fn gather<B: Gathered>(
        &mut self,
        batch: &mut B,
        room: Room,
    ) -> Result<(), Stop> {
        self.is_cut = false;
        let durable = (self.durable)();
        let is_alone = room.singly_behind.contains(&batch.extent().after);
        loop {
            let Extent { through, bytes, .. } = *batch.extent();
            let records = batch.extent().records();
            let full = records >= room.records || bytes >= self.limits.sink_batch_bytes_max;
            if full || batch.is_full() || (records > 0 && is_alone) {
                if planted::is(Bug::RestOfFrameLost) {
                    self.frame.ends.clear();
                }
                return Ok(());
            }
            if self.frame.is_empty() {
                let beyond = planted::is(Bug::StoredBeyondDurable)
                    && matches!(self.reader.is_at_end(), Ok(false));
                let journal = &self.journal;
                let frame = self.reader.next_durable(if beyond { u64::MAX } else { durable });
                match frame.map_err(|fatal| Stop::Error(gone(journal, through, &fatal)))? {
                    // It may begin with records that the store has.
                    Some(frame) => self.frame.hold(&frame, through),
                    None => return Ok(()),
                }
                continue;
            }
            if !self.take(batch, through + 1)? {
                return Ok(());
            }
            if through.is_multiple_of(RECORDS_A_TURN) {
                yield_now().await;
            }
        }
    }

    /// Whether the batch that was gathered last has no room for the next record, which is there.
    pub(super) const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Takes the next record into the batch, unless it is to begin another one. Says whether it did.
    fn take<B: Gathered>(&mut self, batch: &mut B, sequence: u64) -> Result<bool, Stop> {
        let written_at = self.frame.time;
        let Some(bytes) = self.frame.first() else { return Ok(false) };
        let poison = |what: String| {
            let what = format!("record {sequence} cannot be stored: {what}");
            Stop::Poison(Poison { sequence, error: SinkError::new(Trouble::Poison, what) })
        };
        let decoded = record::decode_next(bytes, &mut self.names);
        let length = bytes.len();
        if self.skips.contains(&sequence) {
            let time = decoded.map_or(written_at, |(meta, _)| meta.time);
            batch.pass_over(sequence, time, length);
            self.frame.pass();
            return Ok(true);
        }
        let (meta, event) = decoded.map_err(|error| poison(error.to_string()))?;
        if batch.extent().records() > 0 && !batch.has_room_for(&event) {
            self.is_cut = true;
            if planted::is(Bug::CutRecordLost) {
                self.frame.pass();
            }
            return Ok(false);
        }
        let taken = batch.take(sequence, &meta, &event, length);
        if taken.is_err() && planted::is(Bug::PoisonPassedOver) {
            batch.pass_over(sequence, meta.time, length);
            self.frame.pass();
            return Ok(true);
        }
        taken.map_err(|error| poison(error.to_string()))?;
        self.frame.pass();
        Ok(true)
    }
}

/// A frame's records that no batch has taken yet.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    /// Where each record ends.
    ends: VecDeque<usize>,
    at: usize,
    time: Timestamp,
}

impl Held {
    fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Holds the records of a frame behind `after`.
    fn hold(&mut self, frame: &Frame<'_>, after: u64) {
        self.bytes.clear();
        (self.at, self.time) = (0, frame.time);
        for (sequence, bytes) in (frame.first_sequence..).zip(frame.records.clone()) {
            if sequence > after {
                self.bytes.extend_from_slice(bytes);
                self.ends.push_back(self.bytes.len());
            }
        }
    }

    fn first(&self) -> Option<&[u8]> {
        self.ends.front().map(|end| &self.bytes[self.at..*end])
    }

    /// Goes on to the next record.
    fn pass(&mut self) {
        self.at = self.ends.pop_front().unwrap_or(self.at);
    }
}

/// When a record was decided; `None` if what is kept does not reach back to it, or it cannot be read.
///
/// # Errors
/// The journal cannot be read.
pub(super) fn time_of<S: Storage + Clone>(
    journal: Archived<S>,
    sequence: u64,
) -> Result<Option<Timestamp>, SinkError> {
    let mut reader =
        Reader::open_after(journal, sequence - 1).map_err(|fatal| unreadable(&fatal))?;
    if reader.next_sequence() > sequence {
        return Ok(None);
    }
    let frame = reader.next_durable(sequence).map_err(|fatal| unreadable(&fatal))?;
    let found = frame.and_then(|frame| {
        let place = usize::try_from(sequence - frame.first_sequence).ok()?;
        frame.records.clone().nth(place).and_then(|bytes| record::decode(bytes).ok())
    });
    Ok(found.map(|(meta, _)| meta.time))
}

/// Looks through the records behind `after` up to `through` for what operators said `sink` is to
/// pass over, and adds it to `skips`.
///
/// # Errors
/// The journal cannot be read.
pub(super) async fn find_skips<S: Storage + Clone>(
    journal: Archived<S>,
    sink: SinkName,
    (after, through): (u64, u64),
    skips: &mut BTreeSet<u64>,
) -> Result<(), SinkError> {
    if after >= through {
        return Ok(());
    }
    let mut reader = open_behind(journal, after)?;
    while let Some(frame) = reader.next_durable(through).map_err(|fatal| unreadable(&fatal))? {
        let found = frame.records.filter_map(record::skipped);
        let is_meant = |other| other == sink || planted::is(Bug::SkipsOfOthersHonoured);
        skips
            .extend(found.filter(|skipped| is_meant(skipped.sink)).map(|skipped| skipped.sequence));
        yield_now().await;
    }
    Ok(())
}

fn open_behind<S: Storage + Clone>(
    journal: Archived<S>,
    sequence: u64,
) -> Result<Reader<Archived<S>>, SinkError> {
    let opened = Reader::open_after(journal, sequence);
    let reader = opened.map_err(|fatal| unreadable(&fatal))?;
    if reader.next_sequence() > sequence + 1 {
        let what = format!(
            "the store holds records up to {sequence}, what is kept of the journal begins with {}: \
             it was trimmed, and only an archive of what was trimmed (--archive-dir) can bring the \
             store up",
            reader.next_sequence()
        );
        return Err(SinkError::new(Trouble::Unusable, what));
    }
    Ok(reader)
}

/// Why the journal cannot be read on behind a sequence: it may have been trimmed meanwhile.
fn gone<S: Storage + Clone>(journal: &Archived<S>, sequence: u64, fatal: &Fatal) -> SinkError {
    open_behind(journal.clone(), sequence).err().unwrap_or_else(|| unreadable(fatal))
}

fn unreadable(fatal: &Fatal) -> SinkError {
    SinkError::new(Trouble::Unusable, format!("the journal cannot be read: {fatal}"))
}
