//! When the faults are over: everything drains, ends and settles, and nothing was lost.

use sluice_core::config::RETENTION_US;
use sluice_core::event::OrderStatus;
use sluice_core::outcome::PaymentStatus;
use sluice_core::snapshot::Upkept;
use sluice_core::time::Timestamp;

use crate::chance::Chance;
use crate::checks::ROUNDS_MAX;
use crate::clients::Clients;
use crate::disk::Crash;
use crate::model::{Order, is_over};
use crate::world::{Verdict, World};

/// Latest end of a hold behind its deadline, in engine time.
const LATE_MAX_US: u64 = 1_000_000;

/// Latest end of a sale behind its time, in engine time.
const SALE_LATE_MAX_US: u64 = 50_000;

/// How long those who wait may be held back after the disk was full.
const HELD_BACK_US: u64 = 200_000;

impl World {
    /// The faults are over: everything drains, every hold ends in time, nothing was lost.
    pub(crate) fn heal(&mut self) -> Verdict {
        self.stop_faults();
        if self.node.is_none() {
            self.start(self.profile.shards)?;
        }
        if self.node.is_none() {
            return Err("LIVENESS a healed disk does not open".to_owned());
        }
        self.rest()?;
        self.find_room()?;
        self.drain_sinks()?;
        self.all_is_well()?;
        self.end_all_holds()?;
        self.all_is_well()?;
        self.end_all_sales()?;
        self.settle_all_payments()?;
        self.all_is_well()?;
        self.retire_all()?;
        self.all_is_well()?;
        self.snapshot_and_trim()?;
        let shards = if self.shards() == 1 { 3 } else { 1 };
        self.restart(shards)?;
        self.rest()?;
        self.drain_sinks()?;
        self.all_is_well()
    }

    fn all_is_well(&self) -> Verdict {
        let live = self.node.as_ref().map(crate::node::Node::digest).unwrap_or_default();
        self.compare_replayed(live)?;
        self.compare_stocks()?;
        self.nobody_waits_in_vain()?;
        match self.requests.placed().find(|order| !self.model.orders.contains_key(order)) {
            Some(order) => Err(format!("I2 order {order} was acknowledged and is lost")),
            None => Ok(()),
        }
    }

    /// I10: with steps taken often, no hold ends more than a second late.
    fn end_all_holds(&mut self) -> Verdict {
        let began = self.now();
        for _ in 0..ROUNDS_MAX {
            let due = self.model.reserved().map(|(_, due)| due).min();
            let Some(due) = due else { return self.none_was_late(began) };
            let ahead = due.micros_since(self.now());
            self.advance(ahead + 15_000)?;
            self.rest()?;
        }
        let left = self.model.reserved().count();
        Err(format!("I10 {left} holds do not end"))
    }

    /// What is stored and old enough leaves: no order stays for ever.
    fn retire_all(&mut self) -> Verdict {
        if self.profile.retention_us == RETENTION_US {
            return Ok(());
        }
        // Final within a second, looked at within another.
        self.advance(self.profile.retention_us + 1_000_001)?;
        for _ in 0..ROUNDS_MAX {
            self.rest()?;
            if self.model.orders.values().all(has_left) {
                return Ok(());
            }
            if self.is_sql_lost()? {
                return Ok(());
            }
            self.store_all()?;
            self.advance(1_000_001)?;
        }
        let stays = self.model.orders.iter().find(|(_, order)| !has_left(order));
        Err(format!("LIVENESS {stays:?} never leaves"))
    }

    /// With room on the disk, new orders are taken again.
    fn find_room(&mut self) -> Verdict {
        for _ in 0..ROUNDS_MAX {
            match &self.node {
                Some(node) if !node.is_low() => {
                    // Those who wait are looked at again before long.
                    self.advance(HELD_BACK_US)?;
                    return self.rest();
                }
                Some(node) if node.can_prepare() => self.prepare()?,
                _ => {
                    let shards = self.shards().max(1);
                    let mut chance = Chance::new(self.seed, (7 << 32) + u64::from(self.run));
                    self.crash(Crash::Kill, &mut chance)?;
                    self.start(shards)?;
                    self.rest()?;
                }
            }
        }
        Err("LIVENESS there is room, and new orders are refused".to_owned())
    }

    /// With nothing in the way, upkeep comes to its end.
    fn snapshot_and_trim(&mut self) -> Verdict {
        for _ in 0..ROUNDS_MAX {
            let Some(node) = self.node.as_mut() else { return Ok(()) };
            match node.upkeep() {
                Ok(Upkept::Idle) => return self.look_for_leftovers(),
                Ok(Upkept::More { .. }) => {}
                Err(error) => return Err(format!("UPKEEP {error}")),
            }
        }
        Err("LIVENESS upkeep finds no end".to_owned())
    }

    /// A snapshot that was given up leaves no file behind.
    fn look_for_leftovers(&self) -> Verdict {
        let files = self.disk.files();
        match files.iter().find(|(name, _)| name.starts_with("snapshot-")) {
            Some((name, _)) => Err(format!("I6 {name} stays")),
            None => Ok(()),
        }
    }

    fn none_was_late(&self, began: Timestamp) -> Verdict {
        for (id, order) in &self.model.orders {
            let ended = order.entered(order.states.len() as u32);
            let (status, expires_at) = (order.status(), order.expires_at());
            if status != OrderStatus::Expired || expires_at < began.max(self.started_at) {
                continue;
            }
            let bytes = &self.model.records[ended as usize - 1];
            let time = sluice_core::event::record::decode(bytes).map(|(meta, _)| meta.time);
            let late = time.map_err(|e| e.to_string())?.micros_since(expires_at);
            if late > LATE_MAX_US {
                return Err(format!("I10 order {id} expired {late} us late"));
            }
        }
        Ok(())
    }

    /// I11: whoever is first in line gets units that are there, and nobody waits for a sale that is
    /// over.
    fn nobody_waits_in_vain(&self) -> Verdict {
        let now = Timestamp::from_micros(self.now().micros().saturating_sub(SALE_LATE_MAX_US));
        let last = self.model.last_sequence();
        for (id, sku) in &self.model.skus {
            let units = sku.now().available;
            let over = self.model.sale_of(id, last).is_some_and(|sale| is_over(sale, now));
            let passes = sku.newest_terms().standby_pass;
            let mut waiting = self.model.waiting(sku);
            let first = match passes || over {
                true => waiting.find(|(_, order)| over || order.wish() <= units),
                false => waiting.next().filter(|(_, order)| order.wish() <= units),
            };
            if let Some((ticket, _)) = first {
                let why = if over { "its sale is over" } else { "units are there" };
                return Err(format!("I11 ticket {ticket} of {id} waits, and {why}: {units}"));
            }
        }
        Ok(())
    }

    /// All sales end by themselves. Should an error of before the healing end the node once more,
    /// its clock may go back.
    fn end_all_sales(&mut self) -> Verdict {
        for _ in 0..3 {
            let sales = self.model.sales.values().filter_map(|past| past.last());
            let running = sales.filter(|(_, sale)| !sale.ended).map(|(_, sale)| sale.ends_at);
            let Some(last) = running.max() else { return self.end_all_holds() };
            self.advance(last.micros_since(self.now()) + SALE_LATE_MAX_US)?;
            self.rest()?;
        }
        Err("LIVENESS a sale does not end".to_owned())
    }

    /// The provider gives back what was asked back: then each payment that succeeded has its paid
    /// order, or was given back.
    fn settle_all_payments(&mut self) -> Verdict {
        let mut chance = Chance::new(self.seed, 8 << 32);
        // An error of before the healing may end the node once more, and the question with it.
        for _ in 0..2 {
            let mut clients = std::mem::replace(&mut self.clients, Clients::new(&self.profile));
            let questions = self.sight().map(|sight| clients.settle_refunds(&mut chance, sight));
            self.clients = clients;
            for question in questions.unwrap_or_default() {
                self.submit(question, false);
                self.rest()?;
            }
        }
        for (id, payment) in &self.model.payments {
            let order = &self.model.orders[&payment.order];
            let right = order.retired.is_some()
                || match (payment.status(), order.status()) {
                    (PaymentStatus::Succeeded, status) => matches!(
                        status,
                        OrderStatus::Paid | OrderStatus::Shipped | OrderStatus::Delivered
                    ),
                    (PaymentStatus::Refunding, _) | (_, OrderStatus::Refunding) => false,
                    _ => true,
                };
            if !right {
                return Err(format!("I10 {id} is left as {payment:?} of {order:?}"));
            }
        }
        Ok(())
    }
}

/// Whether an order has left, or stays because more may become of it.
fn has_left(order: &Order) -> bool {
    order.retired.is_some() || !order.status().is_final()
}
