//! Walks over a journal from its first frame to its last, segment after segment, and checks that
//! each frame continues the one before it. Reads only. Recovery, `verify` and readers are loops
//! around it.

use super::error::{DiskCall, Fatal, RecordError};
use super::layout::{Kind, SECTOR};
use super::scan::{Found, FrameHead, Rest, SegmentScan};
use super::segment::{self, FIRST_INDEX};
use super::verdict::{Behind, Findings, Stop, Verdict, corrupt, judge};
use crate::planted::{self, Bug};
use crate::quantity::Sequence;
use crate::storage::Storage;
use crate::time::Timestamp;

/// What a replay does with each record: its sequence, its frame's time, its bytes.
pub type Visit<'a> = dyn FnMut(Sequence, Timestamp, &[u8]) -> Result<(), RecordError> + 'a;

/// A write that did not reach the disk whole, at the end of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Index of the segment.
    pub segment: u64,
    /// Where it begins.
    pub offset: u64,
    /// How far the last byte is from there that is not zero, rounded up to a sector.
    pub bytes: u64,
    /// What it looks like.
    pub what: &'static str,
}

/// What all frames so far add up to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    pub(super) next_sequence: u64,
    /// The highest sequence that a frame called durable.
    pub(super) mark: u64,
    pub(super) epoch: u32,
    pub(super) time: Timestamp,
    /// `None` until the first segment tells, for readers.
    pub(super) cell: Option<u16>,
    pub(super) frames: u64,
}

/// What is known of a journal where a segment begins: all that the frames before it added up to.
/// A snapshot keeps it, so that a replay may begin there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    /// The cell.
    pub cell: u16,
    /// The segment's index.
    pub segment: u64,
    /// The segment's id, as the seal of the one before names it.
    pub segment_id: u64,
    /// The sequence of the first record in it.
    pub next_sequence: u64,
    /// The highest sequence that a frame before it called durable.
    pub mark: u64,
    /// The epoch of the last frame before it.
    pub epoch: u32,
    /// The time of the last frame before it.
    pub time: Timestamp,
}

/// Where a walk begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Begin {
    /// With the first record there ever was.
    First,
    /// Where a snapshot ends.
    Behind(Base),
    /// With this segment, whose first frame says what came before it. What that was, nobody checks:
    /// for readers.
    At(u64),
}

/// Where the frames end.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) offset: u64,
    pub(super) torn: Option<TornTail>,
}

/// A walk over a journal.
pub(super) struct Walker<S: Storage> {
    storage: S,
    /// Whether a server may be writing meanwhile.
    live: bool,
    /// Sorted.
    indexes: Vec<u64>,
    pub(super) scan: SegmentScan<S::File>,
    pub(super) offset: u64,
    pub(super) chain: Chain,
    /// The next segment's id, behind a seal.
    sealed: Option<u64>,
    /// The last frame, and its segment's index.
    pub(super) last: Option<(u64, FrameHead)>,
    pub(super) end: Option<End>,
}

/// The indexes of all segments, sorted.
///
/// # Errors
/// The directory cannot be listed, or a file's name is only nearly that of a segment.
pub(super) fn indexes<S: Storage>(storage: &S) -> Result<Vec<u64>, Fatal> {
    let names = storage.list().map_err(Fatal::disk(DiskCall::List, FIRST_INDEX, 0))?;
    let mut indexes = Vec::with_capacity(names.len());
    for name in names.iter().filter(|name| name.ends_with(segment::ENDING)) {
        match segment::index_of(name) {
            Some(index) => indexes.push(index),
            None => {
                let what = format!("the file {name:?} has no segment's name");
                return Err(corrupt(FIRST_INDEX, 0, 1, what));
            }
        }
    }
    indexes.sort_unstable();
    Ok(indexes)
}

/// The segment in which the record behind `after` stands, or the oldest one if that record is no
/// longer kept. `indexes` has at least one, sorted.
///
/// # Errors
/// A segment's header is damaged, or the disk refused.
pub(super) fn segment_behind<S: Storage>(
    storage: &S,
    indexes: &[u64],
    after: u64,
) -> Result<u64, Fatal> {
    // Everything before `low` begins early enough; everything from `high` on too late.
    let (mut low, mut high) = (1, indexes.len());
    while low < high {
        let middle = low.midpoint(high);
        let found = SegmentScan::open(storage, indexes[middle], after + 1)?.look(SECTOR)?;
        // A segment that was made ahead of need has no frame yet.
        if matches!(found, Found::Frame(head) if head.first_sequence <= after + 1) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(indexes[low - 1])
}

impl Chain {
    /// Takes a frame's word for all that came before it.
    fn continue_at(&mut self, found: Found, index: u64) -> Result<(), Fatal> {
        let Found::Frame(head) = found else {
            let what = "no frame stands at the start of the oldest segment that is kept";
            return Err(corrupt(index, SECTOR, 1, what));
        };
        self.next_sequence = head.first_sequence;
        self.mark = head.durable_up_to;
        (self.epoch, self.time) = (head.epoch, head.time);
        Ok(())
    }
}

impl<S: Storage> Walker<S> {
    /// At `begin` in a journal that has at least one segment.
    ///
    /// # Errors
    /// The segment to begin with is missing, or its header is damaged; the disk refused.
    pub(super) fn open(
        storage: S,
        indexes: Vec<u64>,
        cell: Option<u16>,
        live: bool,
        begin: Begin,
    ) -> Result<Self, Fatal> {
        let mut chain =
            Chain { next_sequence: 1, mark: 0, epoch: 0, time: Timestamp::ZERO, cell, frames: 0 };
        let index = match begin {
            Begin::First => FIRST_INDEX,
            Begin::At(index) => index,
            Begin::Behind(base) => {
                let Base { next_sequence, mark, epoch, time, .. } = base;
                chain = Chain { next_sequence, mark, epoch, time, ..chain };
                base.segment
            }
        };
        if !indexes.contains(&index) {
            let what = match begin {
                Begin::Behind(_) => "the segment behind the last snapshot is missing",
                _ => "the first segment is missing",
            };
            return Err(corrupt(index, 0, chain.next_sequence, what));
        }
        let mut scan = SegmentScan::open(&storage, index, chain.next_sequence)?;
        check_cell(&scan, cell, chain.next_sequence)?;
        chain.cell = Some(scan.cell);
        match begin {
            Begin::Behind(base) if base.segment_id != scan.id => {
                let what = "this is not the segment behind the last snapshot: an old copy, or of \
                            another journal";
                return Err(corrupt(index, 0, chain.next_sequence, what));
            }
            Begin::At(index) if index != FIRST_INDEX => {
                chain.continue_at(scan.look(SECTOR)?, index)?;
            }
            _ => {}
        }
        Ok(Self {
            storage,
            live,
            indexes,
            scan,
            offset: SECTOR,
            chain,
            sealed: None,
            last: None,
            end: None,
        })
    }

    /// How many segments there are, those made ahead of need included.
    pub(super) const fn segments(&self) -> u64 {
        self.indexes.len() as u64
    }

    /// The next frame, without going past it; `None` at the end, which is then in `end`.
    ///
    /// # Errors
    /// The journal is damaged, or the disk refused.
    pub(super) fn peek(&mut self) -> Result<Option<FrameHead>, Fatal> {
        if self.end.take().is_some() {
            self.scan.forget();
        }
        loop {
            let stop = match self.look_again()? {
                Found::Frame(head) if self.sealed.is_none() => {
                    self.check(&head)?;
                    return Ok(Some(head));
                }
                _ if self.sealed.is_some() => Stop::Sealed,
                Found::Frame(_) | Found::Nothing => Stop::Nothing,
                Found::Misplaced(_) => Stop::Misplaced,
                Found::Damaged(what) => Stop::Damaged(what),
            };
            let findings = self.findings(stop)?;
            let verdict = judge(&findings);
            if self.live && self.written_meanwhile(&verdict)? {
                continue;
            }
            match verdict {
                Verdict::Next => self.enter_next(&findings)?,
                Verdict::CleanEnd => return self.ended(None),
                Verdict::Cut { end, what } => {
                    let (segment, offset) = (self.scan.index, self.offset);
                    return self.ended(Some(TornTail {
                        segment,
                        offset,
                        bytes: end - offset,
                        what,
                    }));
                }
                Verdict::Refuse(what) => return Err(self.refused(&findings, what)),
            }
        }
    }

    /// Goes past the frame that `peek` gave.
    pub(super) fn advance(&mut self, head: &FrameHead) -> Result<(), Fatal> {
        if head.kind == Kind::Seal {
            self.sealed = Some(self.scan.sealed_id(head)?.ok_or_else(|| {
                corrupt(self.scan.index, head.offset, head.first_sequence, "the seal has no id")
            })?);
        }
        self.chain.next_sequence = head.first_sequence + head.count;
        self.chain.mark = head.durable_up_to;
        self.chain.epoch = head.epoch;
        self.chain.time = head.time;
        self.chain.frames += 1;
        self.offset = head.end();
        self.last = Some((self.scan.index, *head));
        Ok(())
    }

    /// Whether the frame that `peek` gave is proven durable by the one behind it.
    pub(super) fn proven(&mut self, head: &FrameHead) -> Result<bool, Fatal> {
        if head.count == 0 {
            return Ok(true);
        }
        let through = head.first_sequence + head.count - 1;
        let mut found = self.scan.look(head.end())?;
        if !matches!(found, Found::Frame(_)) && self.live {
            self.scan.forget();
            found = self.scan.look(head.end())?;
        }
        Ok(matches!(found, Found::Frame(next) if next.durable_up_to >= through))
    }

    /// What is known where the segment begins that the last seal named; `None` unless the frame gone
    /// past last is a seal.
    pub(super) fn base(&self) -> Option<Base> {
        let Chain { next_sequence, mark, epoch, time, .. } = self.chain;
        let (cell, segment) = (self.scan.cell, self.scan.index + 1);
        let base =
            |segment_id| Base { cell, segment, segment_id, next_sequence, mark, epoch, time };
        self.sealed.map(base)
    }

    /// Calls `visit` for each record of the frame that `peek` gave.
    pub(super) fn visit(&mut self, head: &FrameHead, visit: &mut Visit<'_>) -> Result<(), Fatal> {
        if head.kind != Kind::Records {
            return Ok(());
        }
        let index = self.scan.index;
        let malformed = |sequence| {
            corrupt(index, head.offset, sequence, "the frame's records do not fill it as counted")
        };
        let end = head.first_sequence.saturating_add(head.count);
        let mut sequence = head.first_sequence;
        let mut records = self.scan.records(head)?;
        for record in records.by_ref() {
            let number = Sequence::new(sequence).filter(|number| number.get() < end);
            let number = number.ok_or_else(|| malformed(sequence))?;
            visit(number, head.time, record).map_err(|error| Fatal::Record {
                place: super::error::Place { segment: index, offset: head.offset },
                sequence,
                what: error.what,
            })?;
            sequence += 1;
        }
        if sequence == end && records.rest().is_empty() { Ok(()) } else { Err(malformed(sequence)) }
    }

    /// Looks at the current offset; a live reader trusts nothing but frames it read before.
    fn look_again(&mut self) -> Result<Found, Fatal> {
        let found = self.scan.look(self.offset)?;
        if !self.live || matches!(found, Found::Frame(_)) {
            return Ok(found);
        }
        self.scan.forget();
        self.scan.look(self.offset)
    }

    /// Whether the server went on writing while the findings were gathered: then they say nothing.
    /// One look is enough: a frame behind the damage was written after this one was synced.
    fn written_meanwhile(&mut self, verdict: &Verdict) -> Result<bool, Fatal> {
        if matches!(verdict, Verdict::Next | Verdict::CleanEnd) {
            return Ok(false);
        }
        if self.sealed.is_some() {
            let next = self.scan.index + 1;
            let listed = self.indexes.contains(&next);
            self.indexes = indexes(&self.storage)?;
            return Ok(!listed && self.indexes.contains(&next));
        }
        self.scan.forget();
        Ok(matches!(self.scan.look(self.offset)?, Found::Frame(_)))
    }

    fn findings(&mut self, stop: Stop) -> Result<Findings, Fatal> {
        // Refused whatever else there is: a length that is wrong may also be absurdly large.
        let refused = stop == Stop::Misplaced || self.scan.file_length != self.scan.length;
        let rest = if refused { Rest::default() } else { self.scan.rest(self.offset)? };
        let behind = match (refused, self.sealed) {
            (true, _) => Behind::Missing,
            (_, Some(id)) => self.behind_seal(id)?,
            (_, None) => self.behind_unsealed()?,
        };
        let mark_behind = rest.frame.map_or(0, |head| head.durable_up_to);
        Ok(Findings {
            stop,
            offset: self.offset,
            next_sequence: self.chain.next_sequence,
            mark: self.chain.mark.max(mark_behind),
            length: self.scan.length,
            file_length: self.scan.file_length,
            dirty_end: rest.dirty_end,
            frame_behind: rest.frame.map(|head| head.offset),
            behind,
        })
    }

    fn behind_seal(&mut self, id: u64) -> Result<Behind, Fatal> {
        let next = self.scan.index + 1;
        if !self.indexes.contains(&next) {
            return Ok(Behind::Missing);
        }
        let scan = SegmentScan::open(&self.storage, next, self.chain.next_sequence)?;
        check_cell(&scan, self.chain.cell, self.chain.next_sequence)?;
        Ok(if scan.id == id { Behind::Named } else { Behind::Stranger })
    }

    fn behind_unsealed(&mut self) -> Result<Behind, Fatal> {
        let mut behind = Behind::Missing;
        for &index in self.indexes.iter().filter(|index| **index > self.scan.index) {
            let expected = self.chain.next_sequence;
            let mut scan = SegmentScan::open(&self.storage, index, expected)?;
            check_cell(&scan, self.chain.cell, expected)?;
            if scan.rest(SECTOR)?.dirty_end > 0 {
                return Ok(Behind::Written(index));
            }
            behind = Behind::Empty;
        }
        Ok(behind)
    }

    fn enter_next(&mut self, findings: &Findings) -> Result<(), Fatal> {
        let next = match findings.behind {
            Behind::Written(index) => index,
            _ => self.scan.index + 1,
        };
        let scan = SegmentScan::open(&self.storage, next, self.chain.next_sequence)?;
        let window = std::mem::replace(&mut self.scan, scan).into_window();
        self.scan.lend_window(window);
        self.sealed = None;
        self.offset = SECTOR;
        Ok(())
    }

    fn ended(&mut self, torn: Option<TornTail>) -> Result<Option<FrameHead>, Fatal> {
        self.end = Some(End { offset: self.offset, torn });
        Ok(None)
    }

    /// A refusal behind a seal is about the next segment, unless it is about this file.
    fn refused(&self, findings: &Findings, what: String) -> Fatal {
        let next = findings.stop == Stop::Sealed
            && findings.file_length == findings.length
            && findings.dirty_end == 0;
        let (segment, offset) =
            if next { (self.scan.index + 1, 0) } else { (self.scan.index, self.offset) };
        corrupt(segment, offset, self.chain.next_sequence, what)
    }

    /// Checks that an intact frame continues the chain.
    fn check(&self, head: &FrameHead) -> Result<(), Fatal> {
        let chain = &self.chain;
        let first = head.first_sequence;
        let what = if Some(head.cell) != chain.cell {
            format!("the frame belongs to cell {}", head.cell)
        } else if first != chain.next_sequence && !self.gap_accepted() {
            format!("the frame begins with sequence {first}")
        } else if head.epoch < chain.epoch {
            format!("the frame has epoch {} after epoch {}", head.epoch, chain.epoch)
        } else if head.time < chain.time {
            format!("the frame's time {} is before {}", head.time, chain.time)
        } else if head.durable_up_to >= first || head.durable_up_to < chain.mark {
            format!("the frame calls {} durable", head.durable_up_to)
        } else if (head.count == 0) == (head.kind == Kind::Records) {
            format!("a frame of kind {:?} with {} records", head.kind, head.count)
        } else {
            return Ok(());
        };
        Err(corrupt(self.scan.index, head.offset, chain.next_sequence, what))
    }

    /// Planted: behind an old copy of a segment, whatever comes is believed.
    fn gap_accepted(&self) -> bool {
        planted::is(Bug::StaleSegmentAccepted) && self.offset == SECTOR
    }
}

fn check_cell<F: crate::storage::StorageFile>(
    scan: &SegmentScan<F>,
    cell: Option<u16>,
    expected: u64,
) -> Result<(), Fatal> {
    match cell {
        Some(cell) if cell != scan.cell => {
            let what = format!("the segment belongs to cell {}, this is cell {cell}", scan.cell);
            Err(corrupt(scan.index, 0, expected, what))
        }
        _ => Ok(()),
    }
}
