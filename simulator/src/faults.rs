//! What befalls a node: crashes, full and failing disks, clocks that leap, values that move.

use sluice_core::journal::Reader;
use sluice_core::ledger::Ledger;

use crate::chance::Chance;
use crate::clients::Clients;
use crate::disk::{Crash, FaultRates};
use crate::marks::Mark;
use crate::profile::Fault;
use crate::world::{Verdict, World};

const HOUR_US: u64 = 3_600_000_000;
const TEN_YEARS_US: u64 = 10 * 365 * 24 * HOUR_US;

impl World {
    /// The node ends without a word.
    pub(crate) fn crash(&mut self, crash: Crash, chance: &mut Chance) -> Verdict {
        self.end_sinks(crash);
        if let Some(node) = self.node.take() {
            let in_flight = node.ledgers().iter().filter(|ledger| ledger.in_flight() > 0).count();
            if in_flight > 1 {
                self.marks.hit(Mark::CrashWithSeveralInFlight);
            }
            let mut stocks = node.ledgers().into_iter().flat_map(Ledger::stocks);
            if stocks.any(|stock| stock.offered().next().is_some()) {
                self.marks.hit(Mark::CrashInPromotion);
            }
            if node.is_building() {
                self.marks.hit(Mark::CrashInSnapshot);
            }
        }
        self.failed = false;
        self.disk.crash(crash);
        self.requests.abandon();
        if crash == Crash::PowerCut {
            self.reading.boot_us = chance.between(1, 9_000_000);
        }
        self.note("crash", &[crash as u64], || format!("{crash:?}"));
        if self.has(Fault::Rot) {
            self.damage(chance)?;
        }
        Ok(())
    }

    pub(crate) fn draw_crash(&mut self, chance: &mut Chance) -> Verdict {
        match chance.below(3) {
            0 if self.has(Fault::Kill) => self.crash(Crash::Kill, chance),
            1 if self.has(Fault::PowerCut) => self.crash(Crash::PowerCut, chance),
            2 if self.has(Fault::MidStep) => {
                match chance.one_in(2) {
                    true => self.disk.crash_at_sync(true),
                    false => self.disk.crash_in(Some(chance.below(10))),
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn draw_change(&mut self, chance: &mut Chance) -> Verdict {
        if self.has(Fault::Restart) && chance.one_in(5) && !self.failed {
            self.disk.set_rates(FaultRates::default());
            self.disk.crash_in(None);
            self.disk.crash_at_sync(false);
            self.window = false;
            return self.restart(*chance.pick(&[1, 2, 3, 7]));
        }
        if self.has(Fault::Move) {
            let mut clients = std::mem::replace(&mut self.clients, Clients::new(&self.profile));
            let question = self.sight().map(|sight| clients.relocate(chance, sight));
            self.clients = clients;
            if let Some(question) = question {
                self.submit(question, false);
            }
        }
        Ok(())
    }

    pub(crate) fn draw_window(&mut self, chance: &mut Chance) -> Verdict {
        if chance.one_in(2) && self.has(Fault::Disk) {
            self.window = !self.window;
            let rates = if self.window { self.profile.rates } else { FaultRates::default() };
            self.disk.set_rates(rates);
        } else if self.has(Fault::Clock) {
            self.leap(chance);
        }
        if self.has(Fault::Space) && chance.one_in(3) {
            self.disk.set_full(!self.disk.is_full());
        }
        if self.has(Fault::Dawdle) && chance.one_in(2) {
            sluice_core::planted::dawdle(chance.one_in(2));
        }
        Ok(())
    }

    /// SQL stores more of what is durable, or is put back.
    pub(crate) fn store(&mut self, chance: &mut Chance) -> Verdict {
        let (stored, durable) = (self.sql.get(), self.model.last_sequence());
        if self.has(Fault::Store) && stored > 0 && chance.one_in(8) {
            self.marks.hit(Mark::StoreRolledBack);
            self.sql.set(chance.below(stored));
        } else if stored < durable {
            self.store_through(chance.between(stored + 1, durable));
        }
        let now = self.sql.get();
        self.note("store", &[now], || format!("{stored} → {now}"));
        Ok(())
    }

    /// SQL has stored everything that is durable.
    pub(crate) fn store_all(&mut self) -> Verdict {
        if self.sinks.is_none() {
            self.store_through(self.model.last_sequence());
        }
        self.drain_sinks()
    }

    fn store_through(&mut self, sequence: u64) {
        self.sql.set(sequence);
        // A store that was let go of comes back once the journal has all that it lacks.
        if self.sql.is_detached() {
            let oldest = Reader::open_first(self.disk.clone()).map(|reader| reader.next_sequence());
            if oldest.is_ok_and(|oldest| oldest <= sequence + 1) {
                self.sql.attach();
            }
        }
        self.model.stored = self.model.stored.max(sequence);
    }

    fn leap(&mut self, chance: &mut Chance) {
        let wall = self.reading.wall_us;
        match chance.below(6) {
            0 => self.reading.wall_us = wall + HOUR_US,
            1 => self.reading.wall_us = wall.saturating_sub(HOUR_US),
            2 => self.reading.wall_us = (wall + TEN_YEARS_US).min(200_000_000_000_000_000),
            3 => self.reading.wall_us = wall.saturating_sub(TEN_YEARS_US),
            4 => self.reading.wall_us = wall + chance.below(400_000),
            _ => self.frozen = !self.frozen,
        }
        match self.reading.wall_us.cmp(&wall) {
            std::cmp::Ordering::Greater => self.marks.hit(Mark::ClockAhead),
            std::cmp::Ordering::Less => self.marks.hit(Mark::ClockBack),
            std::cmp::Ordering::Equal => {}
        }
    }

    /// No fault from now on.
    pub(crate) fn stop_faults(&mut self) {
        self.disk.set_rates(FaultRates::default());
        self.disk.set_full(false);
        self.disk.crash_in(None);
        self.disk.crash_at_sync(false);
        self.window = false;
        sluice_core::planted::dawdle(false);
        self.heal_stores();
    }
}
