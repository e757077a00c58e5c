//! What must hold of sinks after every step, and when all is well again.

use sluice_core::event::SinkName;
use sluice_core::journal::Reader;
use sluice_core::sink::SinkState;
use sluice_core::storage::Archived;

use crate::chance::Chance;
use crate::checks::ROUNDS_MAX;
use crate::disk::SimDisk;
use crate::marks::{Mark, Marks};
use crate::model::Model;
use crate::world::{Verdict, World};

use super::store::Row;
use super::{Running, Sink, digest};

/// How long one look at sinks takes that are to catch up, in microseconds of their time.
const CATCH_UP_US: u64 = 1_000_000;

/// The sequence with which the journal begins that reaches back to `after`, or as far as it can.
fn begin(disk: &SimDisk, archive: Option<&SimDisk>, after: u64) -> Result<u64, String> {
    let reader = Reader::open_after(Archived::new(disk.clone(), archive.cloned()), after);
    Ok(reader.map_err(|fatal| fatal.to_string())?.next_sequence())
}

impl Sink {
    /// I8: exactly the durable records, each once and in order, but for those that were to be
    /// passed over.
    fn compare(&mut self, model: &Model, marks: &mut Marks) -> Verdict {
        let (name, mut state) = (self.name, self.store.borrow_mut());
        if let Some(complaint) = state.complaint.take() {
            return Err(format!("{complaint} ({name:?})"));
        }
        let (stored, durable) = (state.stored(), model.last_sequence());
        if stored > durable {
            return Err(format!("I2 {name:?} has {stored} records, and {durable} are durable"));
        }
        for sequence in self.compared.min(stored) + 1..=stored {
            let is_said = model.skips.contains_key(&(name, sequence));
            let row = state.row(sequence).expect("it is stored");
            let right = match row {
                Row::PassedOver => is_said,
                Row::Of(found) => {
                    let is_known = digest(&model.records[sequence as usize - 1]) == found;
                    if is_known && state.refused.remove(&sequence) {
                        marks.hit(Mark::PoisonMended);
                    }
                    is_known && !is_said
                }
            };
            if !right {
                let said = if is_said { "is to pass it over" } else { "is to have it" };
                return Err(format!("I8 {name:?} has {row:?} for record {sequence}, and {said}"));
            }
            if row == Row::PassedOver {
                marks.hit(Mark::RecordPassedOver);
            }
        }
        self.compared = stored;
        let words = model.words.iter().skip(self.words).filter(|(sink, _)| *sink == name);
        for (_, sequence) in words {
            if matches!(state.row(*sequence), Some(Row::Of(_))) {
                return Err(format!("I8 {name:?} has record {sequence}, that it was to leave out"));
            }
        }
        self.words = model.words.len();
        Ok(())
    }

    /// What others may go by is what the store has for good.
    fn look_at_told(&self, running: &Running) -> Verdict {
        let (name, state) = (self.name, self.store.borrow());
        let (told, synced) = (running.watermark.get(), state.synced());
        if told > synced && !state.is_unseen {
            return Err(format!("I7 {name:?} tells {told} and has {synced} for good"));
        }
        let stored = state.stored();
        match running.status.poison() {
            Some(poison) if poison <= stored && running.status.state() == SinkState::Following => {
                Err(format!("I8 {name:?} calls record {poison} poison, and has {stored}"))
            }
            _ => Ok(()),
        }
    }
}

impl World {
    /// After whatever sinks did.
    pub(crate) fn look_at_sinks(&mut self) -> Verdict {
        let Self { sinks, model, marks, disk, .. } = self;
        let mut seen = Vec::with_capacity(2 * sinks.all.len());
        for sink in &mut sinks.all {
            sink.compare(model, marks)?;
            marks.add(&std::mem::take(&mut sink.store.borrow_mut().marks));
            let Some(running) = &sink.running else { continue };
            sink.look_at_told(running)?;
            if running.status.poison().is_some() {
                marks.hit(Mark::PoisonMet);
            }
            let (stored, synced, is_unseen) = {
                let state = sink.store.borrow();
                (state.stored(), state.synced(), state.is_unseen)
            };
            let connections = running.status.connections.get();
            if connections > sink.connections {
                sink.connections = connections;
                let opened_at = sink.store.borrow().opened_at;
                if begin(disk, None, opened_at)? > opened_at + 1 {
                    marks.hit(Mark::ReadFromArchive);
                }
            }
            if running.status.rewinds.get() > sink.rewinds {
                sink.rewinds = running.status.rewinds.get();
                marks.hit(Mark::SinkRewound);
            }
            let is_detached = running.watermark.is_detached();
            if sink.was_detached && !is_detached {
                marks.hit(Mark::AttachedAgain);
                let begins = begin(disk, None, synced)?;
                if begins > synced + 1 && !is_unseen {
                    let (name, what) = (sink.name, "the journal is kept for it again");
                    return Err(format!("I7 {name:?} has {synced}, {what}, from {begins}"));
                }
            }
            sink.was_detached = is_detached;
            if sink.name == SinkName::Sql {
                let told = if is_unseen { running.watermark.get() } else { 0 };
                model.stored = model.stored.max(synced).max(told);
            }
            seen.extend([stored, synced]);
        }
        if std::mem::replace(&mut self.sinks.seen, seen.clone()) == seen {
            return Ok(());
        }
        self.note("sinks", &seen, || format!("have, and have for good: {seen:?}"));
        Ok(())
    }

    /// I7: whatever was trimmed, an attached sink has for good.
    pub(crate) fn look_at_trimmed_for_sinks(&mut self, through: u64) -> Verdict {
        for sink in &mut self.sinks.all {
            let Some(running) = &sink.running else { continue };
            let state = sink.store.borrow();
            let (synced, name) = (state.synced(), sink.name);
            if running.watermark.is_detached() {
                self.marks.hit(Mark::TrimmedForDetached);
            } else if through > synced && !state.is_unseen {
                return Err(format!("I7 trimmed through {through}, and {name:?} has {synced}"));
            }
        }
        Ok(())
    }

    /// Sinks are let go only with a count of it.
    pub(crate) fn look_at_detached(&mut self, counted: u64) -> Verdict {
        let mut newly = 0;
        for sink in &mut self.sinks.all {
            let Some(running) = &sink.running else { continue };
            if running.watermark.is_detached() && !sink.was_detached {
                sink.was_detached = true;
                newly += 1;
                self.marks.hit(Mark::SinkDetached);
            }
        }
        if newly == counted || self.sinks.is_none() {
            return Ok(());
        }
        Err(format!("I7 {newly} sinks were let go, {counted} are counted"))
    }

    /// With nothing in the way, every sink comes to have all there is; or what it lacks is gone.
    pub(crate) fn drain_sinks(&mut self) -> Verdict {
        if self.sinks.is_none() {
            return Ok(());
        }
        let mut chance = Chance::new(self.seed, (12 << 32) + u64::from(self.run));
        for _ in 0..ROUNDS_MAX {
            self.run_sinks(CATCH_UP_US)?;
            let mut is_done = true;
            for number in 0..self.sinks.all.len() {
                self.pass_over(number, &mut chance)?;
                is_done &= self.has_all(number) || self.is_lost(number)?;
            }
            self.rest()?;
            if is_done {
                return self.look_at_sinks();
            }
        }
        let status = |sink: &Sink| {
            let status = sink.running.as_ref().map(|running| (&running.status, &running.watermark));
            format!("{:?} has {}: {status:?}", sink.name, sink.store.borrow().stored())
        };
        let sinks: Vec<String> = self.sinks.all.iter().map(status).collect();
        Err(format!("LIVENESS of {} records {sinks:?}", self.model.last_sequence()))
    }

    /// Whether a sink has all there is, for good, and is attached.
    fn has_all(&self, number: usize) -> bool {
        let (sink, last) = (&self.sinks.all[number], self.model.last_sequence());
        let state = sink.store.borrow();
        sink.running.as_ref().is_some_and(|running| {
            state.stored() == last
                && !state.is_busy()
                && running.watermark.get() == last
                && !running.watermark.is_detached()
                && running.status.state() == SinkState::Following
        })
    }

    /// Whether a sink says that what it lacks is gone, and it is.
    fn is_lost(&mut self, number: usize) -> Result<bool, String> {
        let sink = &self.sinks.all[number];
        let Some(running) = &sink.running else { return Ok(false) };
        let says_so = running.status.state() == SinkState::Stopped
            && running.status.last_error().is_some_and(|error| error.contains("trimmed"));
        let stored = sink.store.borrow().stored();
        if !says_so || begin(&self.disk, self.archive.as_ref(), stored)? <= stored + 1 {
            return Ok(false);
        }
        self.marks.hit(Mark::SinkLost);
        Ok(true)
    }

    /// Whether the copy in SQL can never be completed: orders stay then.
    pub(crate) fn is_sql_lost(&mut self) -> Result<bool, String> {
        if self.sinks.is_none() { Ok(false) } else { self.is_lost(0) }
    }
}
