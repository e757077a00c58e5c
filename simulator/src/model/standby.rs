//! Orders that wait, and who is served before whom (I11).

use sluice_core::event::{
    Actor, Draws, LeftReason, Line, Meta, OrderPromoted, OrderQueued, OrderStatus, StandbyLeft,
};
use sluice_core::id::OrderId;
use sluice_core::name::SkuId;
use sluice_core::time::Timestamp;

use super::orders::{New, Order};
use super::skus::{Change, Sku};
use super::{Model, within};

impl Order {
    /// How many units it waits for.
    pub fn wish(&self) -> u64 {
        self.lines()[0].quantity.units()
    }
}

impl Model {
    /// Who waits for a SKU now, by ticket.
    pub fn waiting(&self, sku: &Sku) -> impl Iterator<Item = (u64, &Order)> {
        let tickets = sku.tickets.iter().map(|(ticket, id)| (*ticket, &self.orders[id]));
        tickets.filter(|(_, order)| order.status() == OrderStatus::Waiting)
    }

    /// Who waited for a SKU at a sequence, by ticket.
    pub fn waited_at(&self, sku: &Sku, sequence: u64) -> impl Iterator<Item = (u64, &Order)> {
        let tickets = sku.tickets.iter().map(|(ticket, id)| (*ticket, &self.orders[id]));
        tickets.filter(move |(_, order)| {
            order.state_at(sequence).is_some_and(|(status, _)| status == OrderStatus::Waiting)
        })
    }

    /// Units that a newcomer can get: none while somebody waits whom nobody may pass.
    pub fn free_for_newcomers(&self, sku: &Sku) -> u64 {
        let blocked = !sku.newest_terms().standby_pass && self.waiting(sku).next().is_some();
        if blocked { 0 } else { sku.now().available }
    }

    /// Whether nobody may pass who waits for a SKU, at any moment of late.
    fn nobody_passes(&self, sku: &Sku) -> bool {
        !within(&sku.terms, self.settled, u64::MAX).any(|terms| terms.standby_pass)
    }

    /// Whether units that were just taken from a SKU were due to somebody who waits (I11). Among
    /// several shards only those count who were recorded before `from`; of them each may be about
    /// to get units of its own, which then were there as well.
    ///
    /// # Errors
    /// Who was passed.
    pub fn overtakes(&self, line: &Line, from: u64, time: Timestamp) -> Result<(), String> {
        let sku = &self.skus[&line.sku];
        let before = sku.now().available + line.quantity.units();
        let told = |order: &Order| self.alone || order.states[0].0 <= from;
        let mut waiting = self.waiting(sku).filter(|(_, order)| told(order));
        let passed = if self.alone {
            let passes = sku.newest_terms().standby_pass;
            waiting.find(|(_, order)| !passes || order.wish() <= before).map(|(ticket, _)| ticket)
        } else if !self.nobody_passes(sku) || self.may_be_over(&line.sku, time) {
            None
        } else {
            let first = waiting.next();
            let wished: u64 = waiting.chain(first).map(|(_, order)| order.wish()).sum();
            let lacking = wished + line.quantity.units() > before;
            first.filter(|_| lacking).map(|(ticket, _)| ticket)
        };
        match passed {
            None => Ok(()),
            Some(ticket) => {
                Err(format!("I11 {} units of {} pass ticket {ticket}", line.quantity, line.sku))
            }
        }
    }

    pub(super) fn queued(
        &mut self,
        sequence: u64,
        meta: &Meta,
        queued: &OrderQueued<'_>,
    ) -> Result<(), String> {
        let ticket = queued.ticket;
        let alone = self.alone;
        let sku = self.sku_mut(&queued.sku)?;
        let newest = sku.tickets.last_key_value().map(|(ticket, _)| *ticket);
        let late = sku.promoted.is_some_and(|promoted| ticket < promoted);
        if late || (alone && newest.is_some_and(|newest| ticket <= newest)) {
            return Err(format!("I11 ticket {ticket} comes behind later ones"));
        }
        if sku.tickets.insert(ticket, queued.order).is_some() {
            return Err(format!("I11 ticket {ticket} is given out twice"));
        }
        if sku.newest_terms().currency != queued.currency {
            return Err(format!("{} is not sold in {}", queued.sku, queued.currency));
        }
        let line = Line {
            sku: queued.sku.clone(),
            quantity: queued.quantity,
            sale: queued.sale.clone(),
            draws: Draws::new(),
        };
        let new = New {
            order: queued.order,
            buyer: queued.buyer_name,
            key: queued.key.map(|(_, key)| key),
            fingerprint: queued.fingerprint,
            currency: queued.currency,
            expires_at: meta.time,
            lines: std::iter::once(line).collect(),
            status: OrderStatus::Waiting,
            ticket: Some(ticket),
            max_amount: queued.max_amount,
        };
        self.add(sequence, meta, new)
    }

    pub(super) fn promoted(
        &mut self,
        sequence: u64,
        meta: &Meta,
        promoted: &OrderPromoted,
    ) -> Result<(), String> {
        let OrderPromoted { order: id, version, ticket, line, .. } = promoted;
        let order = self.waits(*id, &line.sku, *ticket)?;
        let (wish, most) = (&order.lines()[0], order.max_amount);
        if wish.quantity != line.quantity || wish.sale != line.sale {
            return Err(format!("I11 order {id} gets {line:?} and waited for {wish:?}"));
        }
        if line.amount().is_none_or(|amount| most.is_some_and(|most| amount > most)) {
            return Err(format!("{promoted:?} costs more than the buyer agreed to"));
        }
        self.is_next(*ticket, line, meta.time)?;
        let sku = &self.skus[&line.sku];
        let ends = |hold_seconds| meta.time.plus_seconds(hold_seconds) == promoted.expires_at;
        if !within(&sku.terms, self.settled, sequence).any(|t| ends(t.hold_seconds)) {
            return Err(format!("the hold of {id} ends at {}", promoted.expires_at));
        }
        let strict = self.nobody_passes(sku);
        let sku = self.sku_mut(&line.sku)?;
        sku.shift((sequence, meta.time), &line.draws, Change::Reserve)?;
        if !sku.priced(&line.draws) {
            return Err(format!("the prices of SKU {} are not those of its lots", line.sku));
        }
        if strict {
            sku.promoted = sku.promoted.max(Some(*ticket));
        }
        self.enter((sequence, meta.time), *id, (*version, OrderStatus::Reserved))?;
        let order = self.order_mut(*id);
        order.held.push((sequence, std::iter::once(line.clone()).collect()));
        order.deadlines.push((sequence, promoted.expires_at));
        Ok(())
    }

    /// I11: whoever has the ticket is served before all later ones.
    fn is_next(&self, ticket: u64, line: &Line, time: Timestamp) -> Result<(), String> {
        let sku = &self.skus[&line.sku];
        let available = sku.now().available;
        let mut earlier = self.waiting(sku).take_while(|(other, _)| *other < ticket);
        let passed = if self.alone {
            let passes = sku.newest_terms().standby_pass;
            // What came back in this very step may have come after the units were set aside.
            let free = available.saturating_sub(sku.back_at(time));
            earlier.find(|(_, order)| !passes || order.wish() <= free).is_some()
        } else {
            // Those before may be about to be served as well; then there were units for all.
            let wished: u64 = earlier.map(|(_, order)| order.wish()).sum();
            self.nobody_passes(sku) && wished > 0 && wished + line.quantity.units() > available
        };
        if passed {
            Err(format!("I11 ticket {ticket} of {} is not next", line.sku))
        } else {
            Ok(())
        }
    }

    fn waits(&self, id: OrderId, sku: &SkuId, ticket: u64) -> Result<&Order, String> {
        let order = self.order(id)?;
        let right = order.status() == OrderStatus::Waiting
            && order.ticket == Some(ticket)
            && order.lines()[0].sku == *sku;
        right.then_some(order).ok_or_else(|| format!("I11 {order:?} waits not with {ticket}"))
    }

    pub(super) fn left(
        &mut self,
        sequence: u64,
        meta: &Meta,
        left: &StandbyLeft,
    ) -> Result<(), String> {
        let order = self.waits(left.order, &left.sku, left.ticket)?;
        let right = match left.reason {
            LeftReason::Cancelled => meta.actor == Actor::Buyer,
            LeftReason::SaleEnded => self.may_be_over(&left.sku, meta.time),
            LeftReason::Price => self.may_cost_too_much(order),
        };
        if !right || (left.reason != LeftReason::Cancelled && meta.actor != Actor::Engine) {
            return Err(format!("I11 order {} is sent away for nothing: {left:?}", left.order));
        }
        let to = (left.version, OrderStatus::Cancelled);
        self.enter((sequence, meta.time), left.order, to)
    }

    /// Whether what an order waits for may cost more than its buyer pays.
    fn may_cost_too_much(&self, order: &Order) -> bool {
        let sku = &self.skus[&order.lines()[0].sku];
        let listed = sku.terms.iter().map(|(_, terms)| terms.unit_price);
        let own = sku.lots.iter().filter_map(|lot| lot.unit_price);
        let dearest = listed.chain(own).max().and_then(|price| price.times(order.wish()));
        order.max_amount.is_some_and(|most| dearest.is_none_or(|dearest| dearest > most))
    }
}
