//! The store of a sink, as a follower meets it: its answers may be lost, late or lies of the past.
//!
//! A store keeps its watermark with its rows, some of them synced. It outlives the node. What was
//! asked of it by somebody who is gone may still be done, later, unless somebody else was served
//! in between: a database does not begin one transaction on a row before the other has ended.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use sluice_core::event::record;
use sluice_core::event::{Event, Meta, SinkName};
use sluice_core::id::JournalId;
use sluice_core::limits::Limits;
use sluice_core::sink::{
    Extent, Gathered, Mark as Stand, SinkError, Store, Stored, Target, Trouble, Unstorable,
};
use sluice_core::time::Timestamp;

use crate::chance::Chance;
use crate::marks::{Mark, Marks};

use super::{Character, digest};

/// How long a follower waits for an answer, in sinks' time.
const PATIENCE: Duration = Duration::from_secs(2);

/// A store and everybody who looks at it.
pub(super) type Shared = Rc<RefCell<State>>;

/// What a store has of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// Its digest.
    Of(u64),
    /// Nothing: it was to be passed over.
    PassedOver,
}

/// How often things go wrong, in ten thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreRates {
    /// Nothing is done.
    pub lost: u64,
    /// It is done, and nobody hears of it.
    pub unheard: u64,
    /// It takes a while, or longer than anybody waits.
    pub slow: u64,
    /// Somebody else is in the way.
    pub locked: u64,
}

/// A store.
pub(super) struct State {
    character: Character,
    rows: Vec<(Row, Timestamp)>,
    synced: u64,
    journal: Option<String>,
    /// Connections that were opened before this many cuts are dead.
    cuts: u64,
    /// Those that were opened before this many replacements have a store without a name.
    replacements: u64,
    /// What it had when it was opened last.
    pub(super) opened_at: u64,
    /// Whether it was put back and nobody has opened it since.
    pub(super) is_unseen: bool,
    pub(super) is_away: bool,
    pub(super) is_locked: bool,
    pub(super) rates: StoreRates,
    /// Records that it does not take.
    pub(super) refuses: BTreeSet<u64>,
    /// Records that it has refused.
    pub(super) refused: BTreeSet<u64>,
    /// Rows on their way: those of a connection that waits, and those of one that is gone.
    pub(super) in_flight: u32,
    late: Option<Rows>,
    pub(super) chance: Chance,
    pub(super) marks: Marks,
    pub(super) complaint: Option<String>,
}

/// Rows that are to be stored, all or none.
#[derive(Clone, Debug)]
struct Rows {
    after: u64,
    rows: Vec<(Row, Timestamp)>,
    journal: String,
}

/// By which connection something was asked.
#[derive(Clone, Copy, Debug)]
struct Line {
    cuts: u64,
    replacements: u64,
}

impl State {
    /// With nothing in it.
    pub(super) fn new(character: Character) -> Self {
        Self {
            character,
            rows: Vec::new(),
            synced: 0,
            journal: None,
            cuts: 0,
            replacements: 0,
            opened_at: 0,
            is_unseen: false,
            is_away: false,
            is_locked: false,
            rates: StoreRates::default(),
            refuses: BTreeSet::new(),
            refused: BTreeSet::new(),
            in_flight: 0,
            late: None,
            chance: Chance::new(0, 0),
            marks: Marks::default(),
            complaint: None,
        }
    }

    /// The last sequence that it has.
    pub(super) fn stored(&self) -> u64 {
        self.rows.len() as u64
    }

    /// The last sequence that it has for good.
    pub(super) fn synced(&self) -> u64 {
        self.synced
    }

    /// What it has of a record.
    pub(super) fn row(&self, sequence: u64) -> Option<Row> {
        self.rows.get(sequence.checked_sub(1)? as usize).map(|(row, _)| *row)
    }

    /// Whether something may still be done that somebody asked for.
    pub(super) fn is_busy(&self) -> bool {
        self.in_flight > 0 || self.late.is_some()
    }

    /// The machine that it is on loses its power.
    pub(super) fn cut_power(&mut self) {
        self.rows.truncate(self.synced as usize);
        self.late = None;
        self.cut();
        self.is_unseen = true;
    }

    /// All connections end.
    pub(super) fn cut(&mut self) {
        self.cuts += 1;
    }

    /// An older copy takes its place; who is connected goes on with that one.
    pub(super) fn put_back(&mut self, stored: u64) {
        self.rows.truncate(stored as usize);
        self.synced = self.synced.min(stored);
        if stored == 0 {
            self.journal = None;
        }
        self.late = None;
        self.is_unseen = true;
    }

    /// An older copy gets its name; who is connected goes on with what has none.
    pub(super) fn replace(&mut self, stored: u64) {
        self.put_back(stored);
        self.replacements += 1;
    }

    /// What a connection that is gone had asked for is done, or never will be.
    pub(super) fn settle(&mut self) {
        if let Some(rows) = self.late.take()
            && self.chance.one_in(2)
            && self.apply(&rows) == Ok(Stored::Whole)
        {
            self.marks.hit(Mark::StoredLate);
        }
    }

    fn stand(&self) -> Stand {
        let time = self.rows.last().map_or(Timestamp::ZERO, |(_, time)| *time);
        Stand { sequence: self.stored(), time, journal: self.journal.clone() }
    }

    /// One transaction.
    fn apply(&mut self, rows: &Rows) -> Result<Stored, SinkError> {
        if rows.after != self.stored() {
            return Ok(Stored::Elsewhere);
        }
        let sequences = (rows.after + 1..).zip(&rows.rows);
        for (sequence, (row, _)) in sequences {
            if *row != Row::PassedOver && self.refuses.contains(&sequence) {
                self.refused.insert(sequence);
                return Err(SinkError::new(Trouble::Poison, "the store forbids it"));
            }
        }
        self.rows.extend_from_slice(&rows.rows);
        self.journal = Some(rows.journal.clone());
        if self.character.syncs_itself {
            self.synced = self.stored();
        }
        Ok(Stored::Whole)
    }

    /// Nobody waits for the answer any more, and the store does not know.
    fn abandoned(&mut self, rows: Rows, line: Line) {
        if self.line() != line.both() {
            return;
        }
        match self.chance.below(3) {
            0 => drop(self.apply(&rows)),
            1 => self.late = Some(rows),
            _ => {}
        }
    }

    const fn line(&self) -> (u64, u64) {
        (self.cuts, self.replacements)
    }

    /// How long something takes before and after it is done, and whether it is lost or unheard.
    fn fate(&mut self) -> Fate {
        let StoreRates { lost, unheard, slow, .. } = self.rates;
        let pause = |state: &mut Self| match state.chance.at_rate(slow) {
            false => Duration::ZERO,
            true if state.chance.one_in(6) => 2 * PATIENCE,
            true => Duration::from_millis(state.chance.between(1, 60)),
        };
        let (before, after) = (pause(self), pause(self));
        Fate {
            before,
            after,
            lost: self.chance.at_rate(lost),
            unheard: self.chance.at_rate(unheard),
        }
    }

    fn reach(&mut self, line: Line) -> Result<(), SinkError> {
        if self.is_away || line.cuts != self.cuts {
            return Err(SinkError::new(Trouble::Unreachable, "the connection has ended"));
        }
        let rate = self.rates.locked;
        if self.is_locked || self.chance.at_rate(rate) {
            return Err(SinkError::new(Trouble::Locked, "somebody else has it"));
        }
        Ok(())
    }
}

impl Line {
    const fn both(self) -> (u64, u64) {
        (self.cuts, self.replacements)
    }
}

struct Fate {
    before: Duration,
    after: Duration,
    lost: bool,
    unheard: bool,
}

/// Rows that a connection has sent. Dropped before the answer, they may be stored all the same.
struct Flight {
    shared: Shared,
    line: Line,
    rows: Option<Rows>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut state = self.shared.borrow_mut();
        state.in_flight -= 1;
        if let Some(rows) = self.rows.take() {
            state.abandoned(rows, self.line);
        }
    }
}

/// A connection to a store.
pub(super) struct SimStore {
    shared: Shared,
    line: Line,
    journal: String,
    has_failed: bool,
}

impl SimStore {
    /// Sends something, waits, and hears what came of it, or not.
    async fn ask<A>(
        &mut self,
        done: impl FnOnce(&mut State, Line) -> Result<A, SinkError>,
    ) -> Result<A, SinkError> {
        let answer = self.exchange(done).await;
        self.has_failed |= answer.is_err();
        answer
    }

    async fn exchange<A>(
        &self,
        done: impl FnOnce(&mut State, Line) -> Result<A, SinkError>,
    ) -> Result<A, SinkError> {
        let fate = {
            let mut state = self.shared.borrow_mut();
            if self.has_failed {
                state.complaint = Some("I8 a store was asked again after it had failed".to_owned());
            }
            state.fate()
        };
        pause(fate.before).await;
        let answer = {
            let mut state = self.shared.borrow_mut();
            state.settle();
            state.reach(self.line)?;
            if fate.lost {
                return Err(SinkError::new(Trouble::Unreachable, "the request was lost"));
            }
            done(&mut state, self.line)?
        };
        pause(fate.after).await;
        let mut state = self.shared.borrow_mut();
        if fate.unheard {
            state.marks.hit(Mark::ReplyLost);
            return Err(SinkError::new(Trouble::Unreachable, "the answer was lost"));
        }
        state.reach(self.line).map(|()| answer)
    }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

impl Store for SimStore {
    type Batch = SimBatch;

    async fn is_replaced(&mut self, stored: u64) -> Result<bool, SinkError> {
        self.ask(|state, line| {
            Ok(line.replacements != state.replacements || state.stored() != stored)
        })
        .await
    }

    async fn store(&mut self, batch: &SimBatch) -> Result<Stored, SinkError> {
        let has_name = self.line.replacements == self.shared.borrow().replacements;
        let Extent { after, through, .. } = batch.extent;
        assert_eq!(batch.rows.len() as u64, through - after, "I8 rows of a batch");
        if through - after > self.shared.borrow().character.rows_max {
            // It is rolled back.
            self.shared.borrow_mut().marks.hit(Mark::BatchTookTooLong);
            pause(2 * PATIENCE).await;
            return Err(SinkError::new(Trouble::Unreachable, "it took too long"));
        }
        self.shared.borrow_mut().in_flight += 1;
        let rows = Rows { after, rows: batch.rows.clone(), journal: self.journal.clone() };
        let (shared, line) = (Rc::clone(&self.shared), self.line);
        let mut flight = Flight { shared, line, rows: Some(rows) };
        let stored = self.ask(|state, line| {
            let Some(rows) = flight.rows.take() else { return Ok(Stored::Elsewhere) };
            match line.replacements == state.replacements {
                true => state.apply(&rows),
                // Replaced meanwhile: it is in a store without a name.
                false if has_name => Ok(Stored::Whole),
                false => Ok(Stored::Elsewhere),
            }
        });
        let stored = stored.await;
        // Whatever came of it, nothing is on its way any more.
        flight.rows = None;
        stored
    }

    async fn sync(&mut self, sequence: u64, at_rest: bool) -> Result<bool, SinkError> {
        self.ask(|state, line| {
            if line.replacements != state.replacements {
                return Ok(true);
            }
            let slow = state.rates.slow;
            if state.chance.at_rate(slow) && !state.character.syncs_itself {
                return Ok(false);
            }
            if sequence > state.stored() && !state.is_unseen {
                let (said, has) = (sequence, state.stored());
                let what = format!("I8 a sync of {said} ({at_rest}), and the store has {has}");
                state.complaint = Some(what);
            }
            state.synced = state.stored();
            Ok(true)
        })
        .await
    }

    async fn close(self) -> Result<(), SinkError> {
        let mut state = self.shared.borrow_mut();
        state.reach(self.line)
    }
}

/// What a store takes at once.
pub(super) struct SimBatch {
    shared: Shared,
    extent: Extent,
    rows: Vec<(Row, Timestamp)>,
    buffer: Vec<u8>,
}

impl Gathered for SimBatch {
    fn begin(&mut self, after: u64) {
        self.extent = Extent::behind(after);
        self.rows.clear();
    }

    fn extent(&self) -> &Extent {
        &self.extent
    }

    fn has_room_for(&self, event: &Event<'_>) -> bool {
        if !matches!(event, Event::SaleDefined(_) | Event::SaleMoved(_)) {
            return true;
        }
        self.shared.borrow_mut().marks.hit(Mark::BatchCut);
        false
    }

    fn take(
        &mut self,
        sequence: u64,
        meta: &Meta,
        event: &Event<'_>,
        bytes: usize,
    ) -> Result<(), Unstorable> {
        let mut state = self.shared.borrow_mut();
        // Of some records it is known at once, of others only the store knows.
        if sequence.is_multiple_of(2) && state.refuses.contains(&sequence) {
            state.refused.insert(sequence);
            return Err(Unstorable { what: "there is no place for it".to_owned() });
        }
        self.buffer.clear();
        record::encode(meta, event, &mut self.buffer);
        assert_eq!(self.buffer.len(), bytes, "I8 record {sequence} as it was read");
        self.extent.cover(sequence, meta.time, bytes);
        self.rows.push((Row::Of(digest(&self.buffer)), meta.time));
        Ok(())
    }

    fn pass_over(&mut self, sequence: u64, time: Timestamp, bytes: usize) {
        self.extent.cover(sequence, time, bytes);
        self.rows.push((Row::PassedOver, time));
    }

    fn rows(&self) -> u64 {
        self.rows.len() as u64
    }
}

/// Where the store of the sink with that number is.
pub(super) struct SimTarget<const NUMBER: usize>(pub(super) Shared);

impl<const NUMBER: usize> Target for SimTarget<NUMBER> {
    type Store = SimStore;

    const NAME: SinkName = SinkName::ALL[NUMBER];

    const PATIENCE: Duration = PATIENCE;

    fn batch(&self, _cell: u16, _limits: &Limits) -> SimBatch {
        let shared = Rc::clone(&self.0);
        SimBatch { shared, extent: Extent::behind(0), rows: Vec::new(), buffer: Vec::new() }
    }

    fn records_max(&self, limits: &Limits) -> u64 {
        limits.sink_batch_records_max as u64
    }

    async fn open(&self, _cell: u16, journal: JournalId) -> Result<(SimStore, Stand), SinkError> {
        let fate = self.0.borrow_mut().fate();
        pause(fate.before).await;
        let (store, stand) = {
            let mut state = self.0.borrow_mut();
            let line = Line { cuts: state.cuts, replacements: state.replacements };
            if state.chance.one_in(2) {
                state.settle();
            }
            state.reach(line)?;
            if fate.lost {
                return Err(SinkError::new(Trouble::Unreachable, "nobody is there"));
            }
            (state.is_unseen, state.opened_at) = (false, state.stored());
            let (shared, journal) = (Rc::clone(&self.0), journal.to_string());
            (SimStore { shared, line, journal, has_failed: false }, state.stand())
        };
        pause(fate.after).await;
        Ok((store, stand))
    }
}
