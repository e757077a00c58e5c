//! Whether a refusal was true: the durable journal must have had the reason for it (I2).

use sluice_core::command::Place;
use sluice_core::event::OrderStatus;
use sluice_core::limits::Limits;
use sluice_core::name::SkuId;
use sluice_core::outcome::{Counters, Refusal};
use sluice_core::time::Timestamp;

use crate::marks::{Mark, Marks};
use crate::model::{Model, Order, at, within};
use crate::requests::{Body, Request};

/// A refusal to be judged.
pub struct Case<'a> {
    /// What the journal says.
    pub model: &'a Model,
    /// What was asked.
    pub request: &'a Request,
    /// What was durable when the answer left.
    pub to: u64,
    /// The ceilings.
    pub limits: &'a Limits,
    /// When the answer was heard.
    pub now: Timestamp,
    /// Whether the disk refused for want of space since the node started.
    pub disk_was_full: bool,
}

/// Whether there was the reason, and the mark to hit if so.
type Reason = (bool, Option<Mark>);

impl Case<'_> {
    /// Judges a refusal.
    ///
    /// # Errors
    /// The durable journal has no reason for it.
    pub fn judge(&self, refusal: &Refusal, marks: &mut Marks) -> Result<(), String> {
        let (right, mark) = match &self.request.body {
            Body::Place(place) => {
                if let Refusal::SoldOut { sku } = refusal
                    && place.lines.len() > 1
                    && place.lines[0].sku != *sku
                {
                    marks.hit(Mark::LinesRefused);
                }
                self.of_place(place, refusal)
            }
            Body::Cancel(..) | Body::ReadOrder(..) | Body::ReadByKey(..) => {
                if self.ended_meanwhile(refusal) {
                    marks.hit(Mark::ExpiryBeatsCancel);
                }
                self.of_order(refusal)
            }
            Body::Relocate(_, to) => match refusal {
                Refusal::NoSuchShard => (*to >= self.request.shards, None),
                refusal => (*refusal == Refusal::Overloaded, None),
            },
            Body::List(..) => (false, None),
            _ => self.of_supply(refusal),
        };
        if let Some(mark) = mark {
            marks.hit(mark);
        }
        match right {
            true => Ok(()),
            false => Err(format!("I2 the durable journal has no reason for {refusal:?}")),
        }
    }

    fn of_place(&self, place: &Place, refusal: &Refusal) -> Reason {
        let Self { model, request, to, limits, .. } = *self;
        let (from, name) = (request.from, &*place.buyer.name);
        let line = |sku: &SkuId| place.lines.iter().find(|line| line.sku == *sku);
        match refusal {
            Refusal::SkuNotFound => {
                (place.lines.iter().any(|line| !self.is_defined(&line.sku)), None)
            }
            Refusal::BuyerLimit { sku, limit, has } => {
                let over = line(sku).is_some_and(|l| has + l.quantity.units() > u64::from(*limit));
                let past = model.units_of(name, sku);
                let had = past.map_or(*has == 0, |past| within(past, from, to).any(|h| h == has));
                let said = model.skus.get(sku).is_some_and(|sku| {
                    within(&sku.terms, from, to).any(|terms| terms.per_buyer_limit == *limit)
                });
                (over && had && said, Some(Mark::SaidBuyerLimit))
            }
            Refusal::SoldOut { sku } => {
                let units = line(sku).map_or(0, |line| line.quantity.units());
                (self.is_lacking(sku, units), Some(Mark::SaidSoldOut))
            }
            Refusal::PriceChanged { amount } => {
                (place.max_amount.is_some_and(|most| *amount > most), Some(Mark::SaidPriceChanged))
            }
            Refusal::CurrenciesDiffer => (place.lines.len() > 1, Some(Mark::SaidCurrenciesDiffer)),
            Refusal::KeyReused => {
                let key = place.key.as_ref().map(|key| key.name.to_string()).unwrap_or_default();
                let other = model.made_by(name, &key).any(|order| {
                    order.lived_within(from, to) && order.fingerprint != place.fingerprint
                });
                (other, Some(Mark::SaidKeyReused))
            }
            Refusal::TooManyKeys => {
                let keys = model.keys_within(name, from, to);
                (keys >= limits.keys_per_buyer_max, Some(Mark::SaidTooManyKeys))
            }
            Refusal::OrderIdTaken => {
                let order = model.orders.get(&place.order);
                let taken = order.is_some_and(|order| order.lived_within(from, to));
                (taken, Some(Mark::SaidOrderIdTaken))
            }
            Refusal::Capacity { ceiling: "live orders" } => {
                let orders = model.orders.values();
                let live = orders.filter(|order| order.lived_within(from, to)).count();
                // Among several shards each has its share, which moves with the slots.
                let parts = if request.shards == 1 { 1 } else { 2 * request.shards };
                (live * parts >= limits.live_orders_max, Some(Mark::LiveOrdersFull))
            }
            Refusal::Capacity { .. } => {
                let lots = place.lines.iter().filter_map(|line| model.skus.get(&line.sku));
                let lots: usize = lots.map(|sku| sku.lots.len()).sum();
                (lots > limits.draws_per_order_max, Some(Mark::SaidCapacity))
            }
            // Whether it was true when it was decided, the disk has noted.
            Refusal::DiskReserve => (self.disk_was_full, Some(Mark::SaidDiskReserve)),
            Refusal::Overloaded => {
                let waited = self.now.micros_since(request.asked_at) > limits.order_patience_us;
                // On one shard nothing waits for anything but its turn.
                let mark = if waited { Mark::PatienceOver } else { Mark::WaitingTurnedAway };
                (waited || request.shards > 1, Some(mark))
            }
            _ => (false, None),
        }
    }

    fn of_order(&self, refusal: &Refusal) -> Reason {
        let Self { model, request, to, .. } = *self;
        match (refusal, &request.body) {
            (Refusal::OrderNotFound, _) => (!self.is_found(), None),
            (Refusal::OrderState { status }, Body::Cancel(cancel, _)) => {
                let order = model.orders.get(&cancel.order);
                let state = order.and_then(|order| order.state_at(to));
                let right = state.is_some_and(|(now, _)| now == *status);
                (right && *status == OrderStatus::Expired, None)
            }
            (Refusal::Overloaded, Body::ReadByKey(..)) => {
                (request.shards > 1, Some(Mark::WaitingTurnedAway))
            }
            _ => (false, None),
        }
    }

    fn of_supply(&self, refusal: &Refusal) -> Reason {
        let Self { model, request, .. } = *self;
        let sku = request.body.sku().and_then(|sku| model.skus.get(sku));
        match (refusal, &request.body, sku) {
            (Refusal::SkuNotFound, body, _) => {
                (body.sku().is_some_and(|sku| !self.is_defined(sku)), None)
            }
            (Refusal::SoldOut { sku }, Body::Withdraw(withdraw), _) => {
                (self.is_lacking(sku, withdraw.quantity.units()), None)
            }
            // Units set aside for orders in flight are neither there for a withdrawal nor gone.
            (Refusal::Overloaded, Body::Withdraw(_), _) => (request.shards > 1, None),
            (Refusal::LotExists, Body::Receive(receive), Some(sku)) => {
                let lot = sku.lots.iter().find(|lot| lot.name == receive.lot);
                let other = lot.is_some_and(|lot| {
                    lot.unit_price != receive.unit_price
                        || lot.counters.received != receive.quantity.units()
                });
                (other, Some(Mark::SaidLotExists))
            }
            (Refusal::WithdrawalExists, Body::Withdraw(withdraw), Some(sku)) => {
                let body = sku.withdrawals.get(&withdraw.withdrawal);
                let same = (withdraw.quantity.get(), withdraw.reason.to_string());
                (body.is_some_and(|body| *body != same), Some(Mark::SaidWithdrawalExists))
            }
            (Refusal::RevisionChanged { revision }, Body::Define(define), sku) => {
                let mut revisions = sku.into_iter().flat_map(|sku| &sku.terms);
                let was = revisions.any(|(_, terms)| terms.revision == *revision);
                ((*revision == 0 || was) && define.if_revision != Some(*revision), None)
            }
            (Refusal::CurrencyFixed { currency }, Body::Define(_), Some(sku)) => {
                (!sku.lots.is_empty() && sku.newest_terms().currency == *currency, None)
            }
            (Refusal::Capacity { .. }, Body::Receive(_), Some(sku)) => {
                (sku.lots.len() >= self.limits.lots_per_sku_max, Some(Mark::SaidCapacity))
            }
            (Refusal::Capacity { .. }, Body::Withdraw(_), Some(sku)) => {
                let full = sku.withdrawals.len() >= self.limits.withdrawals_per_sku_max;
                (full, Some(Mark::SaidCapacity))
            }
            _ => (false, None),
        }
    }

    /// Whether the SKU was durable when it was asked for.
    fn is_defined(&self, sku: &SkuId) -> bool {
        let sku = self.model.skus.get(sku);
        sku.is_some_and(|sku| at(&sku.terms, self.request.from).is_some())
    }

    /// Whether what was asked for was durable, and the asker's, when they asked.
    fn is_found(&self) -> bool {
        let Self { model, request, to, .. } = self;
        let found =
            |order: &Order, buyer: &String| order.buyer == *buyer && order.lived(request.from, *to);
        match &request.body {
            Body::Cancel(cancel, buyer) => {
                model.orders.get(&cancel.order).is_some_and(|order| found(order, buyer))
            }
            Body::ReadOrder(order, buyer) => {
                model.orders.get(order).is_some_and(|order| found(order, buyer))
            }
            Body::ReadByKey(buyer, key) => {
                model.made_by(buyer, key).any(|order| found(order, buyer))
            }
            _ => true,
        }
    }

    /// Whether an order was still held when its buyer asked to cancel it.
    fn ended_meanwhile(&self, refusal: &Refusal) -> bool {
        let (Refusal::OrderState { .. }, Body::Cancel(cancel, _)) = (refusal, &self.request.body)
        else {
            return false;
        };
        let order = self.model.orders.get(&cancel.order);
        let before = order.and_then(|order| order.state_at(self.request.from));
        before.is_some_and(|(status, _)| status == OrderStatus::Reserved)
    }

    /// Whether fewer units than that were there at some moment that the owner may have seen. Among
    /// several shards an owner hears of units that come back a little later than the journal.
    fn is_lacking(&self, sku: &SkuId, units: u64) -> bool {
        let Some(sku) = self.model.skus.get(sku) else { return false };
        let Request { shards, from, settled, .. } = *self.request;
        if shards == 1 {
            return within(&sku.counters, from, self.to).any(|now| now.available < units);
        }
        let mut before: Option<&Counters> = None;
        let mut late = 0;
        within(&sku.counters, settled, self.to).any(|now| {
            if let Some(before) = before.replace(now)
                && before.received == now.received
            {
                late += now.available.saturating_sub(before.available);
            }
            now.available < units + late
        })
    }
}
