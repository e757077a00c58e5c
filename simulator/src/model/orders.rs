//! Orders: how they are placed, which states they go through, how they leave.

use std::collections::BTreeMap;

use sluice_core::command::Ship;
use sluice_core::event::{
    Lines, Meta, OrderEnded, OrderPlaced, OrderRetired, OrderShipped, OrderStatus, total,
};
use sluice_core::id::{OrderId, PaymentId};
use sluice_core::money::{Amount, Currency};
use sluice_core::outcome::OrderView;
use sluice_core::time::Timestamp;

use super::skus::Change;
use super::{Model, Past, at};

/// An order.
#[derive(Clone, Debug)]
pub struct Order {
    /// Who ordered.
    pub buyer: String,
    /// The key that made it.
    pub key: Option<String>,
    /// What "the same request" means.
    pub fingerprint: u64,
    /// What it holds or held, or waits for, over time.
    pub held: Past<Lines>,
    /// The currency.
    pub currency: Currency,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When its hold ends, over time.
    pub deadlines: Past<Timestamp>,
    /// Its states over time; the n-th is version n + 1.
    pub states: Past<OrderStatus>,
    /// When its last state began.
    pub since: Timestamp,
    /// When its hold ended for the last time, if it did.
    pub ended_at: Option<Timestamp>,
    /// Its place in the queue, if it waits or waited.
    pub ticket: Option<u64>,
    /// The most that its buyer pays, if it waits or waited.
    pub max_amount: Option<Amount>,
    /// Its payments, oldest first.
    pub payments: Vec<PaymentId>,
    /// What was shipped, if it was.
    pub parcel: Option<Parcel>,
    /// The record with which it left the ledger.
    pub retired: Option<u64>,
}

/// What became of an order that was shipped.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// With which record.
    pub since: u64,
    carrier: String,
    tracking_number: String,
}

impl Parcel {
    /// Whether this is what an operator says of it.
    pub fn is_of(&self, ship: &Ship) -> bool {
        (&*self.carrier, &*self.tracking_number) == (&*ship.carrier, &*ship.tracking_number)
    }
}

/// What every new order has.
pub(super) struct New<'a> {
    pub(super) order: OrderId,
    pub(super) buyer: &'a str,
    pub(super) key: Option<&'a str>,
    pub(super) fingerprint: u64,
    pub(super) currency: Currency,
    pub(super) expires_at: Timestamp,
    pub(super) lines: Lines,
    pub(super) status: OrderStatus,
    pub(super) ticket: Option<u64>,
    pub(super) max_amount: Option<Amount>,
}

impl Order {
    /// Its state and version at a sequence; `None` if it did not exist.
    pub fn state_at(&self, sequence: u64) -> Option<(OrderStatus, u32)> {
        let version = self.states.iter().take_while(|(since, _)| *since <= sequence).count();
        (version > 0).then(|| (self.states[version - 1].1, version as u32))
    }

    /// Whether it was in this state at some sequence from one to another.
    pub fn was_within(&self, status: OrderStatus, from: u64, to: u64) -> bool {
        let before = self.state_at(from).is_some_and(|(was, _)| was == status);
        let mut later = self.states.iter().filter(|(since, _)| (from..=to).contains(since));
        before || later.any(|(_, was)| *was == status)
    }

    /// Whether it was in the ledger all the time from one sequence to another.
    pub fn lived(&self, from: u64, to: u64) -> bool {
        self.states[0].0 <= from && self.retired.is_none_or(|retired| retired > to)
    }

    /// Whether it was in the ledger at some sequence from one to another.
    pub fn lived_within(&self, from: u64, to: u64) -> bool {
        self.states[0].0 <= to && self.retired.is_none_or(|retired| retired > from)
    }

    /// Its state now.
    pub fn status(&self) -> OrderStatus {
        self.states.last().expect("it was placed").1
    }

    /// With which record the state that it had at a version began.
    pub fn entered(&self, version: u32) -> u64 {
        let states = &self.states[..version as usize];
        let (mut since, status) = states[states.len() - 1];
        for (earlier, was) in states.iter().rev() {
            if *was != status {
                break;
            }
            since = *earlier;
        }
        since
    }

    /// What it holds or held, or waits for.
    pub fn lines(&self) -> &Lines {
        &self.held.last().expect("it was placed").1
    }

    /// When its hold ends.
    pub fn expires_at(&self) -> Timestamp {
        self.deadlines.last().expect("it was placed").1
    }

    /// Whether a view shows it as it was at some sequence from `from` to `to`.
    pub fn shows(&self, view: &OrderView, from: u64, to: u64) -> Result<(), String> {
        let (_, newest) = self.state_at(to).ok_or_else(|| {
            format!("I2 order {} was shown at sequence {to}, before it was durable", view.order)
        })?;
        if self.retired.is_some_and(|retired| retired <= from) {
            return Err(format!("I3 order {} was shown after it had left", view.order));
        }
        let oldest = self.state_at(from).map_or(1, |(_, version)| version);
        if view.version < oldest || view.version > newest {
            return Err(format!(
                "I2 order {} was shown at version {}, durable were {oldest} to {newest}",
                view.order, view.version
            ));
        }
        let (since, status) = self.states[view.version as usize - 1];
        let lines = at(&self.held, since).expect("as old as its states");
        let has_price = lines.iter().all(|line| !line.draws.is_empty());
        let waits = view.waits.map(|waits| waits.ticket);
        let same = view.status == status
            && view.lines == *lines
            && view.amount == total(lines).filter(|_| has_price)
            && view.currency == self.currency
            && view.created_at == self.created_at
            && Some(&view.expires_at) == at(&self.deadlines, since)
            && waits == self.ticket.filter(|_| status == OrderStatus::Waiting);
        if same { Ok(()) } else { Err(format!("I2 the journal has {self:?}, shown was {view:?}")) }
    }
}

/// Whether the contract has this move.
fn is_legal(from: OrderStatus, to: OrderStatus) -> bool {
    use OrderStatus as S;
    match from {
        S::Waiting => matches!(to, S::Reserved | S::Cancelled),
        S::Reserved => matches!(to, S::Paid | S::Cancelled | S::Expired),
        S::Expired | S::Cancelled => matches!(to, S::Paid | S::Refunding),
        S::Paid => matches!(to, S::Shipped | S::Refunding),
        S::Shipped => matches!(to, S::Delivered | S::Refunding),
        S::Delivered => to == S::Refunding,
        S::Refunding => to == S::Refunded,
        S::Refunded => false,
    }
}

fn counts(status: OrderStatus) -> bool {
    use OrderStatus as S;
    matches!(status, S::Waiting | S::Reserved | S::Paid | S::Shipped | S::Delivered)
}

fn count<K: Ord>(
    all: &mut BTreeMap<K, Past<u64>>,
    key: K,
    sequence: u64,
    (units, more): (u64, bool),
) -> Result<(), String> {
    let past = all.entry(key).or_insert_with(|| vec![(0, 0)]);
    let has = past.last().expect("never empty").1;
    let left = if more { has.checked_add(units) } else { has.checked_sub(units) };
    past.push((sequence, left.ok_or_else(|| format!("I1 {units} units of a buyer with {has}"))?));
    Ok(())
}

impl Model {
    pub(super) fn order(&self, order: OrderId) -> Result<&Order, String> {
        let found = self.orders.get(&order).filter(|order| order.retired.is_none());
        found.ok_or_else(|| format!("I10 order {order} does not exist or has left"))
    }

    pub(super) fn order_mut(&mut self, order: OrderId) -> &mut Order {
        self.orders.get_mut(&order).expect("it was looked up")
    }

    pub(super) fn placed(
        &mut self,
        sequence: u64,
        meta: &Meta,
        placed: &OrderPlaced<'_>,
    ) -> Result<(), String> {
        for line in &placed.lines {
            let stock = self.sku_mut(&line.sku)?;
            stock.shift((sequence, meta.time), &line.draws, Change::Reserve)?;
            if !stock.priced(&line.draws) || stock.newest_terms().currency != placed.currency {
                return Err(format!("the prices of SKU {} are not those of its lots", line.sku));
            }
        }
        let new = New {
            order: placed.order,
            buyer: placed.buyer_name,
            key: placed.key.map(|(_, key)| key),
            fingerprint: placed.fingerprint,
            currency: placed.currency,
            expires_at: placed.expires_at,
            lines: placed.lines.clone(),
            status: OrderStatus::Reserved,
            ticket: None,
            max_amount: None,
        };
        self.add(sequence, meta, new)
    }

    pub(super) fn add(&mut self, sequence: u64, meta: &Meta, new: New<'_>) -> Result<(), String> {
        let buyer = new.buyer.to_owned();
        if let Some(key) = new.key {
            let made = self.keys.entry((buyer.clone(), key.to_owned())).or_default();
            if let Some(earlier) = made.last().filter(|order| self.orders[*order].retired.is_none())
            {
                return Err(format!("I3 key {key} of {buyer} made {earlier} and {}", new.order));
            }
            made.push(new.order);
        }
        self.buyers.entry(buyer.clone()).or_default().push(new.order);
        let order = Order {
            buyer,
            key: new.key.map(str::to_owned),
            fingerprint: new.fingerprint,
            held: vec![(sequence, new.lines)],
            currency: new.currency,
            created_at: meta.time,
            deadlines: vec![(sequence, new.expires_at)],
            states: vec![(sequence, new.status)],
            since: meta.time,
            ended_at: None,
            ticket: new.ticket,
            max_amount: new.max_amount,
            payments: Vec::new(),
            parcel: None,
            retired: None,
        };
        if self.orders.insert(new.order, order).is_some() {
            return Err(format!("I3 order {} is made twice", new.order));
        }
        self.count_units(sequence, new.order, true)
    }

    /// An order's next version, in a state that the contract allows.
    pub(super) fn enter(
        &mut self,
        (sequence, time): (u64, Timestamp),
        id: OrderId,
        (version, status): (u32, OrderStatus),
    ) -> Result<(), String> {
        let order = self.order(id)?;
        let was = order.status();
        if version as usize != order.states.len() + 1 {
            return Err(format!("I10 order {id} gets version {version} after {:?}", order.states));
        }
        if was != status && !is_legal(was, status) {
            return Err(format!("I10 order {id} goes from {was:?} to {status:?}"));
        }
        let order = self.order_mut(id);
        order.states.push((sequence, status));
        if was != status {
            order.since = time;
        }
        match (counts(was), counts(status)) {
            (true, false) => self.count_units(sequence, id, false),
            (false, true) => self.count_units(sequence, id, true),
            _ => Ok(()),
        }
    }

    fn count_units(&mut self, sequence: u64, id: OrderId, more: bool) -> Result<(), String> {
        let order = &self.orders[&id];
        for line in order.lines() {
            let change = (line.quantity.units(), more);
            let buyer = || order.buyer.clone();
            count(&mut self.units, (buyer(), line.sku.clone()), sequence, change)?;
            if let Some(sale) = &line.sale {
                count(&mut self.sale_units, (buyer(), sale.clone()), sequence, change)?;
            }
        }
        Ok(())
    }

    pub(super) fn ended(
        &mut self,
        sequence: u64,
        meta: &Meta,
        ended: &OrderEnded,
        status: OrderStatus,
    ) -> Result<(), String> {
        let order = self.order(ended.order)?;
        if order.status() != OrderStatus::Reserved || ended.lines != *order.lines() {
            return Err(format!("I10 order {} ends twice or otherwise than it began", ended.order));
        }
        if status == OrderStatus::Expired && meta.time < order.expires_at() {
            return Err(format!("I10 order {} expires early", ended.order));
        }
        self.enter((sequence, meta.time), ended.order, (ended.version, status))?;
        self.order_mut(ended.order).ended_at = Some(meta.time);
        for line in &ended.lines {
            let stock = self.sku_mut(&line.sku)?;
            stock.shift((sequence, meta.time), &line.draws, Change::Restore)?;
        }
        Ok(())
    }

    /// An order that was shipped.
    pub(super) fn shipped(
        &mut self,
        at: (u64, Timestamp),
        shipped: &OrderShipped<'_>,
    ) -> Result<(), String> {
        let OrderShipped { order, version, carrier, tracking_number } = *shipped;
        self.moved_on(at, order, (version, OrderStatus::Paid, OrderStatus::Shipped))?;
        self.order_mut(order).parcel = Some(Parcel {
            since: at.0,
            carrier: carrier.to_owned(),
            tracking_number: tracking_number.to_owned(),
        });
        Ok(())
    }

    /// An order that was shipped or delivered.
    pub(super) fn moved_on(
        &mut self,
        at: (u64, Timestamp),
        order: OrderId,
        (version, from, to): (u32, OrderStatus, OrderStatus),
    ) -> Result<(), String> {
        let was = self.order(order)?.status();
        if was != from {
            return Err(format!("I10 order {order} goes from {was:?} to {to:?}"));
        }
        self.enter(at, order, (version, to))
    }

    pub(super) fn retired(
        &mut self,
        sequence: u64,
        meta: &Meta,
        retired: &OrderRetired,
    ) -> Result<(), String> {
        let (retention_us, stored) = (self.retention_us, self.stored);
        let order = self.order(retired.order)?;
        let (last, status) = *order.states.last().expect("it was placed");
        let id = retired.order;
        if !status.is_final() {
            return Err(format!("I10 order {id} leaves while it is {status:?}"));
        }
        if meta.time.micros_since(order.since) < retention_us {
            return Err(format!("I3 order {id} leaves before its retention is over"));
        }
        if last > stored {
            return Err(format!("I8 order {id} leaves at {last}, SQL had {stored} at most"));
        }
        self.order_mut(id).retired = Some(sequence);
        if counts(status) { self.count_units(sequence, id, false) } else { Ok(()) }
    }
}
