//! What befalls sinks, and what operators do about it.

use sluice_core::command::SkipRecord;
use sluice_core::id::RequestId;
use sluice_core::journal;
use sluice_core::outcome::Outcome;

use crate::chance::Chance;
use crate::clients::Clients;
use crate::disk::Crash;
use crate::marks::Mark;
use crate::profile::Fault;
use crate::requests::Body;
use crate::world::{Verdict, World};

use super::{LOOK_US, PIECES_MAX, Sink, StoreRates};

/// How long a follower may take to end when it is told to, in microseconds.
const END_US: u64 = 1_100_000;

impl World {
    /// Starts the sinks of a node that has just started.
    pub(crate) fn start_sinks(&mut self) {
        let seed = Chance::new(self.seed, (10 << 32) + u64::from(self.run)).next();
        if self.run == 1 && self.has(Fault::Answers) {
            for sink in &self.sinks.all {
                sink.store.borrow_mut().rates = sink.character.rates;
            }
        }
        let Some(node) = &self.node else { return };
        let disks = (&self.disk, self.archive.as_ref());
        self.sinks.start(node, disks, (self.profile.limits, &self.watermarks, seed));
    }

    /// The node's process has ended.
    pub(crate) fn end_sinks(&mut self, crash: Crash) {
        for sink in &self.sinks.all {
            if sink.running.is_some() && sink.store.borrow().in_flight > 0 {
                self.marks.hit(Mark::CrashInStoring);
            }
        }
        self.sinks.end();
        for sink in &self.sinks.all {
            if crash == Crash::PowerCut && sink.character.is_here {
                sink.store.borrow_mut().cut_power();
            }
        }
    }

    /// Tells the sinks to end, as a node does that goes in order.
    pub(crate) fn stop_sinks(&mut self) -> Verdict {
        for running in self.sinks.all.iter().filter_map(|sink| sink.running.as_ref()) {
            running.stop.send_replace(true);
        }
        self.run_sinks(0)?;
        self.run_sinks(END_US)?;
        let runs = |sink: &&Sink| sink.running.as_ref().is_some_and(|r| r.follower.is_some());
        match self.sinks.all.iter().find(runs) {
            Some(sink) => Err(format!("LIVENESS the {:?} sink does not end", sink.name)),
            None => Ok(()),
        }
    }

    /// Time goes on for sinks as well.
    pub(crate) fn advance_sinks(&mut self, micros: u64) -> Verdict {
        if self.sinks.is_none() {
            return Ok(());
        }
        let owed = self.sinks.owed_us + micros;
        if owed < LOOK_US {
            self.sinks.owed_us = owed;
            return Ok(());
        }
        self.sinks.owed_us = 0;
        self.run_sinks(owed)
    }

    /// Time goes on for sinks alone, and what they did is judged.
    pub(crate) fn run_sinks(&mut self, micros: u64) -> Verdict {
        let pieces = (micros / LOOK_US).clamp(1, PIECES_MAX);
        for _ in 0..pieces {
            self.sinks.run(micros / pieces);
            self.look_at_sinks()?;
        }
        Ok(())
    }

    /// One tick of theirs: something befalls a store, somebody helps it, or time goes by.
    pub(crate) fn tick_sinks(&mut self, chance: &mut Chance) -> Verdict {
        for (stream, sink) in (0..).zip(&self.sinks.all) {
            sink.store.borrow_mut().chance = Chance::new(chance.next(), stream);
        }
        let number = chance.index(self.sinks.all.len());
        let sink = &self.sinks.all[number];
        if chance.one_in(sink.character.calm) {
            self.befall(number, chance);
        } else if chance.one_in(3) {
            self.pass_over(number, chance)?;
        }
        let micros = match chance.below(4) {
            0 => chance.below(2_000),
            1 => chance.between(1_000, 60_000),
            2 => chance.between(60_000, 1_500_000),
            _ => chance.between(1_500_000, 7_000_000),
        };
        self.run_sinks(micros)
    }

    fn befall(&mut self, number: usize, chance: &mut Chance) {
        let (answers, away) = (self.has(Fault::Answers), self.has(Fault::Away));
        let (store, poison) = (self.has(Fault::Store), self.has(Fault::Poison));
        let durable = self.model.last_sequence();
        let sink = &self.sinks.all[number];
        let character = sink.character;
        let mut state = sink.store.borrow_mut();
        let kind = chance.below(12);
        match kind {
            0 | 1 if answers => {
                let bad = state.rates.slow + state.rates.lost + state.rates.unheard > 0;
                state.rates = if bad { StoreRates::default() } else { character.rates };
            }
            2 if answers => state.cut(),
            3 if away => state.is_away = !state.is_away,
            4 if away => state.is_locked = !state.is_locked,
            5 if store => {
                state.cut_power();
                self.marks.hit(Mark::StoreLostPower);
            }
            6 | 7 if store && state.stored() > 0 => {
                let stored = match chance.one_in(3) {
                    true => 0,
                    false => state.stored() - chance.between(1, state.stored().min(20)),
                };
                if stored == 0 {
                    self.marks.hit(Mark::StoreWiped);
                }
                match chance.below(3) {
                    0 => state.put_back(stored),
                    1 => {
                        state.put_back(stored);
                        state.cut();
                    }
                    _ => {
                        state.replace(stored);
                        self.marks.hit(Mark::StoreReplaced);
                    }
                }
            }
            // What is on its way may have been taken already.
            8 | 9 if poison && !state.is_busy() => {
                let ahead = chance.between(1, 1 + durable.saturating_sub(state.stored()) + 3);
                let sequence = state.stored() + ahead;
                state.refuses.insert(sequence);
            }
            10 if poison => {
                state.refuses.pop_first();
            }
            _ => {}
        }
        let (stored, synced) = (state.stored(), state.synced());
        drop(state);
        self.note("befall", &[number as u64, kind, stored, synced], || {
            format!("{number}: {kind}; it has {stored}, {synced} for good")
        });
    }

    /// An operator looks at a sink, and may say that it is to pass over what it has stopped at.
    pub(crate) fn pass_over(&mut self, number: usize, chance: &mut Chance) -> Verdict {
        let sink = &self.sinks.all[number];
        let (name, Some(running)) = (sink.name, sink.running.as_ref()) else { return Ok(()) };
        let status = std::sync::Arc::clone(&running.status);
        let Some(poison) = status.poison() else { return Ok(()) };
        if chance.one_in(6) && status.promise_skip(poison + 1) {
            return Err(format!("I8 {name:?} promises to leave out more than {poison}"));
        }
        if !status.promise_skip(poison) {
            self.marks.hit(Mark::PromiseRefused);
            return Ok(());
        }
        if chance.one_in(4) {
            // Somebody who thinks better of it.
            status.withdraw_promise(poison);
            return Ok(());
        }
        let why = "the store forbids it".into();
        let skip = SkipRecord { sink: name, sequence: poison, why, request: RequestId::NONE };
        let mut clients = std::mem::replace(&mut self.clients, Clients::new(&self.profile));
        let body = Body::SkipRecord(skip);
        let question = self.sight().map(|sight| clients.question(chance, body, sight));
        self.clients = clients;
        let Some(question) = question else { return Ok(()) };
        let id = question.id;
        match self.submit(question, false) {
            true => drop(self.sinks.asked.insert(id, (number, poison))),
            false => status.withdraw_promise(poison),
        }
        Ok(())
    }

    /// An operator hears whether a record will be passed over.
    pub(crate) fn hear_of_skip(&mut self, id: u128, outcome: &Outcome) {
        let Some((number, sequence)) = self.sinks.asked.remove(&id) else { return };
        let running = self.sinks.all[number].running.as_ref();
        if let (Outcome::Refused(_), Some(running)) = (outcome, running) {
            running.status.withdraw_promise(sequence);
        }
    }

    /// Stores are there again and answer. Some of what they refused they take now.
    pub(crate) fn heal_stores(&mut self) {
        let mut chance = Chance::new(self.seed, 11 << 32);
        for sink in &self.sinks.all {
            let mut state = sink.store.borrow_mut();
            state.rates = StoreRates::default();
            (state.is_away, state.is_locked) = (false, false);
            state.refuses.retain(|_| chance.one_in(2));
        }
    }

    /// Upkeep found nothing to take away: does it wait for a sink?
    pub(crate) fn look_at_waiting(&mut self) {
        if self.sinks.is_none() || self.marks.hits(Mark::TrimmingWaited) > 0 {
            return;
        }
        let (Some(keep), Ok(Some(kept)), Ok(Some(oldest))) = (
            self.profile.journal_keep_bytes,
            journal::kept(&self.disk),
            journal::oldest(&self.disk),
        ) else {
            return;
        };
        let attached = self.sinks.all.iter().filter_map(|sink| sink.running.as_ref());
        let mut attached = attached.filter(|running| !running.watermark.is_detached());
        if kept.bytes > keep && attached.any(|running| running.watermark.get() < oldest.through) {
            self.marks.hit(Mark::TrimmingWaited);
        }
    }
}
