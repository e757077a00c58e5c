//! What is checked after every step, at rest and at the end.

use sluice_core::event::OrderStatus;
use sluice_core::id::OrderId;
use sluice_core::journal::Reader;
use sluice_core::ledger::SkuStock;
use sluice_core::outcome::Outcome;
use sluice_core::time::Timestamp;

use crate::chance::Chance;
use crate::disk::Crash;
use crate::frame::Frame;
use crate::marks::Mark;
use crate::world::{Verdict, World};

/// Rounds within which a node without faults must come to rest.
pub(crate) const ROUNDS_MAX: u32 = 600;

impl World {
    /// Takes in what has become durable and what was said, and judges both.
    pub(crate) fn absorb(&mut self) -> Verdict {
        let is_low = self.node.as_ref().is_some_and(crate::node::Node::is_low);
        let was_full = self.disk.space_refusals() > self.refusals_before;
        self.requests.set_space(was_full, is_low);
        let marks = self.disk.take_marks();
        self.marks.add(&marks);
        if let Some(complaint) = self.disk.take_complaint() {
            return Err(complaint);
        }
        for frame in self.disk.take_proven() {
            self.absorb_frame(&frame)?;
        }
        let Some(node) = &self.node else { return Ok(()) };
        let answers = node.take_answers();
        self.requests.set_time(node.now(self.reading));
        for (id, outcome, to) in answers {
            self.note("answer", &[id as u64, to], || format!("{id} at {to}: {outcome:?}"));
            self.requests.answered(&self.model, id, &outcome, to, &mut self.marks)?;
            self.hear_of_skip(id, &outcome);
            self.sale_changed |= matches!(outcome, Outcome::Sale { .. });
            if let Some(heard) = &mut self.heard {
                heard.insert(id, outcome);
            }
        }
        self.look_at_pages()?;
        self.look_at_counters();
        let quiet = self.node.as_ref().is_some_and(crate::node::Node::is_quiet);
        if quiet {
            self.model.settled = self.model.last_sequence();
        }
        Ok(())
    }

    fn absorb_frame(&mut self, frame: &Frame) -> Verdict {
        self.note("durable", &[frame.first_sequence, frame.count], || {
            format!("{} records from {}", frame.count, frame.first_sequence)
        });
        for (sequence, record) in (frame.first_sequence..).zip(&frame.records) {
            let next = self.model.last_sequence() + 1;
            if sequence > next {
                return Err(format!("I12 record {sequence} is durable and {next} is not"));
            }
            if sequence < next {
                // Recovery writes the last frame once more.
                if self.model.records[sequence as usize - 1] != *record {
                    return Err(format!("I12 record {sequence} was overwritten by another"));
                }
                continue;
            }
            self.model.fold(record)?;
            self.requests.recorded(&self.model, &mut self.marks)?;
        }
        Ok(())
    }

    /// I2 for whoever reads pages: what they show was durable.
    fn look_at_pages(&self) -> Verdict {
        let Some(node) = &self.node else { return Ok(()) };
        for id in self.clients.skus() {
            let Some(page) = node.board().page(id) else { continue };
            let sku = self.model.skus.get(id);
            let sku = sku.ok_or_else(|| format!("I2 {id} has a page and is not durable"))?;
            let most = sku.counters.iter().map(|(_, now)| now.available).max().unwrap_or(0);
            let terms = page.terms();
            let titled = sku.terms.iter().any(|(_, durable)| durable.title == terms.title);
            if page.available() > most || !titled {
                return Err(format!(
                    "I2 the page of {id} shows {} units, most that was durable is {most}",
                    page.available()
                ));
            }
        }
        Ok(())
    }

    fn look_at_counters(&mut self) {
        let Some(node) = &self.node else { return };
        let mut hit = Vec::new();
        for shard in 0..node.shards() {
            let metrics = node.metrics(shard);
            let counted = [
                (metrics.peer_lane_full.get(), Mark::PeerRingFull),
                (metrics.unanswered_full.get(), Mark::UnansweredFull),
            ];
            hit.extend(counted.into_iter().filter(|(count, _)| *count > 0).map(|(_, mark)| mark));
        }
        for ledger in node.ledgers() {
            if ledger.stocks().any(|stock| stock.parked_holds() > 0) {
                hit.push(Mark::HoldParked);
            }
            let mut offered = ledger.stocks().flat_map(SkuStock::offered);
            let has_left = |order: OrderId| {
                let order = self.model.orders.get(&order);
                order.is_some_and(|order| order.status() == OrderStatus::Cancelled)
            };
            if offered.any(has_left) {
                hit.push(Mark::PromotionTooLate);
            }
            if ledger.next_due() == Timestamp::ZERO {
                hit.push(Mark::ExpiriesSliced);
            }
        }
        hit.into_iter().for_each(|mark| self.marks.hit(mark));
    }

    /// I7: what SQL has not stored is still there, unless the disk was full and SQL was let go.
    pub(crate) fn look_at_trimmed(&mut self) -> Verdict {
        self.marks.hit(Mark::SegmentTrimmed);
        let Some(node) = &self.node else { return Ok(()) };
        let (through, stored) = (node.upkeep_metrics().trimmed_through.get(), self.sql.get());
        if !self.sinks.is_none() {
            return self.look_at_trimmed_for_sinks(through);
        }
        // On a full disk nothing is kept for a store that is behind.
        if self.sql.is_detached() {
            return Ok(());
        }
        if through > stored {
            return Err(format!("I7 trimmed through {through}, and SQL has {stored}"));
        }
        let reader = Reader::open_after(self.disk.clone(), stored);
        let begins = reader.map_err(|fatal| fatal.to_string())?.next_sequence();
        if begins > stored + 1 {
            return Err(format!("I7 the journal begins with {begins}, and SQL has {stored}"));
        }
        Ok(())
    }

    /// Steps everything until nothing waits (liveness), then lets everybody be idle.
    pub(crate) fn rest(&mut self) -> Verdict {
        for round in 0..ROUNDS_MAX {
            if self.is_failed() {
                // An error of before the healing that nobody had met yet.
                let shards = self.shards();
                let mut chance = Chance::new(self.seed, (6 << 32) + u64::from(self.run));
                self.crash(Crash::Kill, &mut chance)?;
                self.start(shards)?;
            }
            let Some(node) = &self.node else { return Ok(()) };
            if round > 0 && node.is_quiet() && self.requests.open() == 0 && !self.more {
                for shard in 0..self.shards() {
                    self.idle_shard(shard)?;
                }
                return self.mark();
            }
            self.round()?;
        }
        let waiting = self.requests.unanswered();
        Err(format!("LIVENESS no rest after {ROUNDS_MAX} rounds; unanswered: {waiting:?}"))
    }

    /// Everybody steps once.
    fn round(&mut self) -> Verdict {
        self.more = false;
        for shard in 0..self.shards() {
            self.step(shard)?;
            self.idle_shard(shard)?;
        }
        self.commit()?;
        self.prepare()?;
        self.advance(500)
    }

    /// At rest: stocks and pages are what the model has.
    pub(crate) fn compare_stocks(&self) -> Verdict {
        let Some(node) = &self.node else { return Ok(()) };
        let mut stocks = 0;
        for ledger in node.ledgers() {
            for stock in ledger.stocks() {
                stocks += 1;
                let id = stock.sku();
                let sku = self.model.skus.get(id);
                if !sku.is_some_and(|sku| sku.equals(&stock.view(0))) {
                    return Err(format!("I5 the journal has {sku:?}, memory {:?}", stock.view(0)));
                }
                let shown = node.board().page(id).map(|page| page.available());
                let available = sku.map(|sku| self.model.free_for_newcomers(sku));
                self.compare_queue(stock)?;
                if shown != available {
                    return Err(format!("I2 the page of {id} shows {shown:?}, not {available:?}"));
                }
            }
        }
        if stocks == self.model.skus.len() { Ok(()) } else { Err("I5 SKUs are missing".to_owned()) }
    }

    /// At rest: who waits for a SKU, and the sale that it is in.
    fn compare_queue(&self, stock: &SkuStock) -> Verdict {
        let view = stock.view(0);
        let sku = &self.model.skus[stock.sku()];
        let waiting = self.model.waiting(sku).count() as u64;
        let known = self.model.sale_of(stock.sku(), self.model.last_sequence());
        let sale = stock.sale().map(|sale| (&sale.sale, sale.revision));
        if view.standby == waiting && sale == known.map(|sale| (&sale.sale, sale.revision)) {
            return Ok(());
        }
        Err(format!("I5 {waiting} wait for {} in {known:?}, memory {view:?}", stock.sku()))
    }
}
