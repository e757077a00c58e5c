//! Whether a refusal was true: the durable journal must have had the reason for it (I2).

use sluice_core::command::Place;
use sluice_core::event::OrderStatus;
use sluice_core::limits::Limits;
use sluice_core::name::SkuId;
use sluice_core::outcome::{Counters, Refusal};
use sluice_core::time::Timestamp;

use crate::marks::{Mark, Marks};
use crate::model::{Model, Order, at, is_over, within};
use crate::requests::{Body, Request, is_far};

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
                if self.is_named_first(place, refusal) {
                    marks.hit(Mark::BasketRanked);
                }
                if let Refusal::SoldOut { sku } = refusal
                    && place.lines.len() > 1
                    && place.lines[0].sku != *sku
                {
                    marks.hit(Mark::LinesRefused);
                }
                match refusal {
                    Refusal::SaleNotOpen { .. }
                    | Refusal::SalePaused
                    | Refusal::SaleEnded
                    | Refusal::SaleLimit { .. } => self.of_place_in_sale(place, refusal),
                    Refusal::Capacity { ceiling } => self.of_ceiling(place, ceiling),
                    refusal => self.of_place(place, refusal),
                }
            }
            Body::ReadByKey(..) => self.of_order(refusal),
            body if body.order().is_some() => {
                if self.ended_meanwhile(refusal) {
                    marks.hit(Mark::ExpiryBeatsCancel);
                }
                self.of_order(refusal)
            }
            Body::DefineSale(_) | Body::MoveSale(..) => self.of_sale(refusal),
            Body::Notify(_) | Body::SkipRecord(_) => {
                (*refusal == Refusal::Overloaded && self.request.shards > 1, None)
            }
            Body::Relocate(_, to) => match refusal {
                Refusal::NoSuchShard => (*to >= self.request.shards, None),
                refusal => (*refusal == Refusal::Overloaded, None),
            },
            Body::List(list, buyer) => {
                let passed_max = self.limits.page_passed_max;
                let far = is_far(self.model, (list, buyer), passed_max, self.to);
                (*refusal == Refusal::Overloaded && far, None)
            }
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
                let lacking = self.is_lacking(sku, units) || self.is_waited_for(sku);
                (lacking && !place.standby, Some(Mark::SaidSoldOut))
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
            Refusal::IdTaken => {
                let order = model.orders.get(&place.order);
                let taken = order.is_some_and(|order| order.lived_within(from, to));
                (taken, Some(Mark::SaidOrderIdTaken))
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

    fn of_ceiling(&self, place: &Place, ceiling: &str) -> Reason {
        let Self { model, request, to, limits, .. } = *self;
        let from = request.from;
        let waited = |sku: &crate::model::Sku, n| model.waited_at(sku, n).count() as u64;
        match ceiling {
            "live orders" => {
                let orders = model.orders.values();
                let live = orders.filter(|order| order.lived_within(from, to)).count();
                // Among several shards each has its share, which moves with the slots.
                let parts = if request.shards == 1 { 1 } else { 2 * request.shards };
                (live * parts >= limits.live_orders_max, Some(Mark::LiveOrdersFull))
            }
            "waiting orders of one buyer" => {
                let own = model.buyers.get(&*place.buyer.name).into_iter().flatten();
                let own = own.map(|order| &model.orders[order]);
                let waiting = own.filter(|order| order.was_within(OrderStatus::Waiting, from, to));
                let full = waiting.count() >= limits.standby_per_buyer_max;
                (place.standby && full, Some(Mark::SaidStandbyFull))
            }
            "waiting orders of one SKU" => {
                let most = limits.standby_per_sku_max;
                let sku = model.skus.get(&place.lines[0].sku);
                // Those who have a ticket and no record yet are counted in.
                let full = request.shards > 1
                    || sku.is_some_and(|sku| (from..=to).any(|n| waited(sku, n) >= most));
                (place.standby && full, Some(Mark::SaidStandbyFull))
            }
            _ => {
                let lots = place.lines.iter().filter_map(|line| model.skus.get(&line.sku));
                let lots: usize = lots.map(|sku| sku.lots.len()).sum();
                (lots > limits.draws_per_order_max, Some(Mark::SaidCapacity))
            }
        }
    }

    /// The sale of some line must have been so at some moment that its owner may have seen.
    fn of_place_in_sale(&self, place: &Place, refusal: &Refusal) -> Reason {
        let Self { model, request, to, now, .. } = *self;
        let from = if request.shards == 1 { request.from } else { request.settled };
        let mut sales = place.lines.iter().flat_map(|line| {
            let sales = model.sales_within(&line.sku, (from, to)).flatten();
            sales.map(move |sale| (line, sale))
        });
        match refusal {
            Refusal::SaleNotOpen { opens_at } => {
                let right = sales.any(|(_, sale)| {
                    sale.starts_at == *opens_at && request.asked_at < sale.starts_at
                });
                (right, Some(Mark::SaidSaleNotOpen))
            }
            Refusal::SalePaused => (sales.any(|(_, sale)| sale.paused), Some(Mark::SaidSalePaused)),
            Refusal::SaleEnded => {
                (sales.any(|(_, sale)| is_over(sale, now)), Some(Mark::SaidSaleEnded))
            }
            Refusal::SaleLimit { sku, limit, has } => {
                let right = sales.any(|(line, sale)| {
                    // What lines before it hold counts already.
                    let before = place.lines.iter().take_while(|other| other.sku != line.sku);
                    let before: u64 = before.map(|other| other.quantity.units()).sum();
                    let past = model.units_in(&place.buyer.name, &sale.sale);
                    let had = |h: u64| (h..=h + before).contains(has);
                    line.sku == *sku
                        && sale.per_buyer_limit == *limit
                        && has + line.quantity.units() > u64::from(*limit)
                        && past.map_or(had(0), |past| within(past, from, to).any(|h| had(*h)))
                });
                (right, Some(Mark::SaidSaleLimit))
            }
            _ => (false, None),
        }
    }

    fn of_order(&self, refusal: &Refusal) -> Reason {
        let Self { model, request, to, .. } = *self;
        let (from, body) = (request.from, &request.body);
        let known = body.order().and_then(|(order, _)| model.orders.get(&order));
        match (refusal, body) {
            (Refusal::OrderNotFound, _) => (!self.is_found(), None),
            (Refusal::OrderState { status }, _) => {
                let was = known.is_some_and(|order| order.was_within(*status, from, to));
                let repeated = known.and_then(|order| order.parcel.as_ref()).is_some_and(|parcel| {
                    matches!(body, Body::Ship(ship) if parcel.since <= from && parcel.is_of(ship))
                });
                let allowed: &[OrderStatus] = match body {
                    Body::Cancel(..) => {
                        &[OrderStatus::Waiting, OrderStatus::Reserved, OrderStatus::Cancelled]
                    }
                    Body::StartPayment(..) => &[OrderStatus::Reserved],
                    Body::Refund(_) => &[
                        OrderStatus::Paid,
                        OrderStatus::Shipped,
                        OrderStatus::Delivered,
                        OrderStatus::Refunding,
                        OrderStatus::Refunded,
                    ],
                    Body::Ship(_) => &[OrderStatus::Paid],
                    Body::Deliver(_) => &[OrderStatus::Shipped, OrderStatus::Delivered],
                    _ => return (false, None),
                };
                (was && !repeated && !allowed.contains(status), None)
            }
            (Refusal::Capacity { .. }, Body::StartPayment(..)) => {
                let begun = known.map_or(0, |order| order.payments.len());
                (begun >= self.limits.payments_per_order_max, Some(Mark::SaidPaymentsFull))
            }
            (Refusal::IdTaken, Body::StartPayment(start, _)) => {
                let taken = model.payments.get(&start.payment);
                (taken.is_some_and(|payment| payment.states[0].0 <= to), None)
            }
            (Refusal::Overloaded, Body::ReadByKey(..)) => {
                (request.shards > 1, Some(Mark::WaitingTurnedAway))
            }
            _ => (false, None),
        }
    }

    fn of_sale(&self, refusal: &Refusal) -> Reason {
        let Self { model, request, to, limits, .. } = *self;
        let from = request.from;
        let (id, define) = match &request.body {
            Body::DefineSale(define) => (&define.sale, Some(define)),
            Body::MoveSale(sale, _) => (sale, None),
            _ => return (false, None),
        };
        let past = model.sales.get(id);
        let mut durable = past.into_iter().flat_map(|past| within(past, from, to));
        match (refusal, define) {
            (Refusal::SaleNotFound, None) => (model.sale_at(id, from).is_none(), None),
            (Refusal::SaleEnded, Some(_)) => {
                (durable.any(|sale| sale.ended || sale.ends_at <= self.now), None)
            }
            (Refusal::SaleEnded, None) => (durable.any(|sale| sale.ended), None),
            (Refusal::SaleWouldBeOver, Some(define)) => {
                (model.sale_at(id, from).is_none() && define.ends_at <= self.now, None)
            }
            (Refusal::SkuInSale { sku, sale }, Some(define)) => {
                let taken = (from..=to).any(|n| {
                    model.sale_of(sku, n).is_some_and(|other| other.sale == *sale && !other.ended)
                });
                let right = taken && define.skus.contains(sku) && sale != id;
                (right, Some(Mark::SaidSkuInSale))
            }
            (Refusal::RevisionChanged { revision }, Some(define)) => {
                let was = *revision == 0 || durable.any(|sale| sale.revision == *revision);
                (was && define.if_revision != Some(*revision), None)
            }
            (Refusal::Capacity { .. }, Some(define)) => {
                let many = define.skus.len() > limits.skus_per_sale_max;
                (many || model.sales.len() >= limits.sales_max, Some(Mark::SaidCapacity))
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
                // Among several shards somebody may have a ticket and no record yet.
                let waited = sku.tickets.values().any(|order| {
                    let order = &model.orders[order];
                    order.was_within(OrderStatus::Waiting, request.from, self.to)
                });
                let fixed = request.shards > 1 || !sku.lots.is_empty() || waited;
                (fixed && sku.terms.iter().any(|(_, terms)| terms.currency == *currency), None)
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
        let found = |order: &Order, buyer: Option<&String>| {
            buyer.is_none_or(|buyer| order.buyer == *buyer) && order.lived(request.from, *to)
        };
        match (&request.body, request.body.order()) {
            (_, Some((order, buyer))) => {
                model.orders.get(&order).is_some_and(|order| found(order, buyer))
            }
            (Body::ReadByKey(buyer, key), None) => {
                model.made_by(buyer, key).any(|order| found(order, Some(buyer)))
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

    /// Whether another refusal is named than the first line would have had.
    fn is_named_first(&self, place: &Place, refusal: &Refusal) -> bool {
        let first = &place.lines[0];
        *refusal == Refusal::SkuNotFound
            && place.lines.len() > 1
            && self.is_defined(&first.sku)
            && self.is_lacking(&first.sku, first.quantity.units())
    }

    /// Whether somebody waited for a SKU at some moment that the owner may have seen, who could
    /// not be passed.
    fn is_waited_for(&self, sku: &SkuId) -> bool {
        let Some(sku) = self.model.skus.get(sku) else { return false };
        let Request { shards, from, settled, .. } = *self.request;
        let from = if shards == 1 { from } else { settled };
        let all = sku.tickets.values().map(|order| &self.model.orders[order]);
        let mut waited = all.filter(|order| order.was_within(OrderStatus::Waiting, from, self.to));
        let most = within(&sku.counters, from, self.to).map(|now| now.available).max().unwrap_or(0);
        let blocked = within(&sku.terms, from, self.to).any(|terms| !terms.standby_pass);
        waited.any(|order| blocked || order.wish() <= most)
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
