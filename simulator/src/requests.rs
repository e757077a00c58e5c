//! What clients asked, and whether what they were told is true.
//!
//! Each answer is judged when it leaves, against the durable part of the journal at that moment
//! (I2): what it shows must have been so at some durable sequence between question and answer.

use std::collections::{BTreeMap, BTreeSet};

use sluice_core::command::{Cancel, DefineSku, ListOrders, Place, ReceiveLot, Withdraw};
use sluice_core::event::{Event, Meta, OrderPlaced, OrderStatus, record, total};
use sluice_core::id::OrderId;
use sluice_core::limits::Limits;
use sluice_core::name::SkuId;
use sluice_core::outcome::{Counters, OrderPage, OrderView, Outcome, Refusal, StockView};
use sluice_core::router::Movable;
use sluice_core::time::Timestamp;

use crate::marks::{Mark, Marks};
use crate::model::{Model, at, within};

/// What was asked.
#[derive(Clone, Debug)]
pub enum Body {
    /// An order.
    Place(Box<Place>),
    /// A cancel, by this buyer.
    Cancel(Cancel, String),
    /// New terms.
    Define(Box<DefineSku>),
    /// A lot.
    Receive(ReceiveLot),
    /// A withdrawal.
    Withdraw(Withdraw),
    /// One order of this buyer.
    ReadOrder(OrderId, String),
    /// The order of a buyer's key.
    ReadByKey(String, String),
    /// A buyer's orders.
    List(ListOrders, String),
    /// A SKU.
    ReadStock(SkuId),
    /// A move.
    Relocate(Movable, usize),
}

/// A question, and when it was asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// What was asked.
    pub body: Body,
    /// What was durable then.
    pub from: u64,
    /// What was durable when nothing was half-way for the last time before that.
    pub settled: u64,
    /// When it was asked, in engine time.
    pub asked_at: Timestamp,
    /// How many shards the node had.
    pub shards: usize,
    /// Which run of the node it was.
    pub run: u32,
    /// Whether the answer came, or the node ended first.
    pub closed: bool,
}

/// All questions of a run.
pub struct Requests {
    limits: Limits,
    now: Timestamp,
    all: BTreeMap<u128, Request>,
    refused: BTreeSet<u128>,
    open: usize,
    placed: BTreeMap<OrderId, u32>,
}

type Verdict = Result<(), String>;

impl Requests {
    /// None yet.
    pub fn new(limits: Limits) -> Self {
        let (all, refused, placed) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { limits, now: Timestamp::ZERO, all, refused, open: 0, placed }
    }

    /// What time it is, before answers are judged.
    pub fn set_time(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// How many have no answer yet.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Orders that clients were told they had.
    pub fn placed(&self) -> impl Iterator<Item = &OrderId> {
        self.placed.keys()
    }

    /// Notes a question. It was taken by a lane.
    pub fn ask(&mut self, id: u128, request: Request) {
        self.open += 1;
        self.all.insert(id, request);
    }

    /// The node ended: nobody will answer what is open.
    pub fn abandon(&mut self) {
        self.open = 0;
        self.all.values_mut().for_each(|request| request.closed = true);
    }

    /// What is open, for a report.
    pub fn unanswered(&self) -> Vec<&Body> {
        self.all.values().filter(|request| !request.closed).map(|request| &request.body).collect()
    }

    /// Judges the record that was folded last: was it asked for, and all of it (I4, I9)?
    ///
    /// # Errors
    /// What is wrong.
    pub fn recorded(&self, model: &Model, alone: bool, marks: &mut Marks) -> Verdict {
        let bytes = model.records.last().expect("one was folded");
        let (meta, event) = record::decode(bytes).map_err(|error| error.to_string())?;
        let id = meta.request.bits();
        if self.refused.contains(&id) {
            return Err(format!("I4 request {id} was refused and has a record"));
        }
        match (&event, self.all.get(&id).map(|request| (&request.body, request))) {
            (Event::OrderPlaced(placed), Some((Body::Place(place), request))) => {
                self.placed_as_asked(model, (&meta, placed), (place, request), alone)?;
                if placed.lines.len() > 1 && request.shards > 1 {
                    marks.hit(Mark::LinesOverShards);
                }
                Ok(())
            }
            (Event::OrderCancelled(ended), Some((Body::Cancel(cancel, buyer), _))) => {
                let right =
                    ended.order == cancel.order && model.orders[&ended.order].buyer == *buyer;
                right.then_some(()).ok_or_else(|| format!("{buyer} cancelled {}", ended.order))
            }
            (Event::SkuDefined(_), Some((Body::Define(_), _)))
            | (Event::LotReceived(_), Some((Body::Receive(_), _)))
            | (Event::UnitsWithdrawn(_), Some((Body::Withdraw(_), _)))
            | (Event::OrderExpired(_) | Event::Genesis(_), None) => Ok(()),
            (event, request) => Err(format!("nobody asked for {event:?}, but {request:?}")),
        }
    }

    fn placed_as_asked(
        &self,
        model: &Model,
        (meta, placed): (&Meta, &OrderPlaced<'_>),
        (place, request): (&Place, &Request),
        alone: bool,
    ) -> Verdict {
        let lines = placed.lines.iter().map(|line| (&line.sku, line.quantity));
        let same = placed.order == place.order
            && placed.buyer_name == &*place.buyer.name
            && placed.key.map(|(_, key)| key) == place.key.as_ref().map(|key| &*key.name)
            && placed.fingerprint == place.fingerprint
            && lines.eq(place.lines.iter().map(|line| (&line.sku, line.quantity)));
        if !same {
            return Err(format!("I9 asked was {place:?}, the journal has {placed:?}"));
        }
        if total(&placed.lines).is_none_or(|sum| place.max_amount.is_some_and(|most| sum > most)) {
            return Err(format!("{placed:?} costs more than the buyer agreed to"));
        }
        let draws: usize = placed.lines.iter().map(|line| line.draws.len()).sum();
        if draws > self.limits.draws_per_order_max {
            return Err(format!("I6 order {} draws from {draws} lots", placed.order));
        }
        let now = model.last_sequence();
        let mut ends_right = false;
        for line in &placed.lines {
            let sku = &model.skus[&line.sku];
            let terms = || within(&sku.terms, request.from, now);
            let past = &model.units[&(placed.buyer_name.to_owned(), line.sku.clone())];
            let has = past.last().map_or(0, |(_, units)| *units);
            if !terms().any(|t| t.per_buyer_limit == 0 || has <= u64::from(t.per_buyer_limit)) {
                return Err(format!("{} has {has} units of {}", placed.buyer_name, line.sku));
            }
            ends_right |=
                terms().any(|t| meta.time.plus_seconds(t.hold_seconds) == placed.expires_at);
            let drawn = line.draws.iter().map(|draw| (draw.ordinal, draw.quantity.units()));
            if alone && !sku.first_in_first_out_before(line).into_iter().eq(drawn) {
                return Err(format!("{line:?} is not first in first out"));
            }
        }
        if !ends_right {
            return Err(format!("the hold of {} ends at {}", placed.order, placed.expires_at));
        }
        Ok(())
    }

    /// Judges an answer that left while everything up to `to` was durable. Takes in what it says.
    ///
    /// # Errors
    /// What is untrue about it.
    pub fn answered(
        &mut self,
        model: &Model,
        id: u128,
        outcome: &Outcome,
        to: u64,
        marks: &mut Marks,
    ) -> Verdict {
        let request = self.all.get_mut(&id).ok_or("an answer to nobody")?;
        if std::mem::replace(&mut request.closed, true) {
            return Err(format!("request {id} was answered twice"));
        }
        self.open -= 1;
        let request = request.clone();
        let made = model.requests.get(&id).filter(|sequence| **sequence <= to);
        let judged = self.judge(model, &request, outcome, to, marks);
        let judged = judged.and_then(|must_have_record| match (must_have_record, made) {
            (true, None) => Err("I2 what it rests on is not durable".to_owned()),
            (false, Some(sequence)) => Err(format!("I4 there is record {sequence} of it")),
            _ => Ok(()),
        });
        if let Outcome::Refused(_) = outcome {
            self.refused.insert(id);
        }
        if let Outcome::Placed(view) = outcome {
            self.placed.insert(view.order, request.run);
        }
        judged.map_err(|what| format!("{what}\n  asked {request:?}\n  at {to}: {outcome:?}"))
    }

    /// Whether the answer is true; says whether the request must have made a record.
    fn judge(
        &self,
        model: &Model,
        request: &Request,
        outcome: &Outcome,
        to: u64,
        marks: &mut Marks,
    ) -> Result<bool, String> {
        let from = request.from;
        match (&request.body, outcome) {
            (_, Outcome::Refused(refusal)) => {
                self.refusal(model, request, refusal, to, marks).map(|()| false)
            }
            (Body::Place(place), Outcome::Placed(view)) => {
                if view.order != place.order || view.version != 1 {
                    return Err("another order was placed".to_owned());
                }
                let lost = place.key.is_some() && request.run > 1;
                if lost && self.was_lost(place, request.run) {
                    marks.hit(Mark::OrderMadeAfterLoss);
                }
                shown(model, view, &place.buyer.name, (0, to)).map(|()| true)
            }
            (Body::Place(place), Outcome::Repeated(view)) => {
                shown(model, view, &place.buyer.name, (from, to))?;
                let order = &model.orders[&view.order];
                if order.key.as_deref() != place.key.as_ref().map(|key| &*key.name)
                    || order.fingerprint != place.fingerprint
                {
                    return Err("I3 the order of another key or request".to_owned());
                }
                if order.states[0].0 > from {
                    marks.hit(Mark::RetryMeetsFirst);
                }
                if self.placed.get(&view.order).is_some_and(|run| *run < request.run) {
                    marks.hit(Mark::RetryAfterCrash);
                }
                Ok(false)
            }
            (Body::Cancel(cancel, buyer), Outcome::Order(view)) => {
                shown(model, view, buyer, (from, to))?;
                if view.order != cancel.order || view.status != OrderStatus::Cancelled {
                    return Err("it is not cancelled".to_owned());
                }
                // Whoever cancelled it first has the record.
                let sequence = model.orders[&view.order].states[1].0;
                let made = model.requests.get(&cancel.request.bits());
                Ok(made == Some(&sequence) && sequence > from)
            }
            (Body::ReadOrder(order, buyer), Outcome::Order(view)) if view.order == *order => {
                shown(model, view, buyer, (from, to)).map(|()| false)
            }
            (Body::ReadByKey(buyer, key), Outcome::Order(view)) => {
                shown(model, view, buyer, (from, to))?;
                match model.orders[&view.order].key.as_ref() == Some(key) {
                    true => Ok(false),
                    false => Err("I3 the order of another key".to_owned()),
                }
            }
            (Body::List(list, buyer), Outcome::Orders(page)) => {
                listed(model, (list, buyer), page, (from, to)).map(|()| false)
            }
            (Body::ReadStock(sku), Outcome::Stock { created: false, stock }) => {
                stocked(model, request, (sku, stock), to).map(|()| false)
            }
            (Body::Define(define), Outcome::Stock { stock, .. }) => {
                stocked(model, request, (&define.sku, stock), to).map(|()| true)
            }
            (Body::Receive(receive), Outcome::Stock { created, stock }) => {
                stocked(model, request, (&receive.sku, stock), to)?;
                match stock.lots.iter().any(|lot| lot.lot == receive.lot) {
                    true => Ok(*created),
                    false => Err("the lot is not there".to_owned()),
                }
            }
            (Body::Withdraw(withdraw), Outcome::Stock { created, stock }) => {
                stocked(model, request, (&withdraw.sku, stock), to).map(|()| *created)
            }
            (Body::Relocate(..), Outcome::Relocated) => Ok(false),
            _ => Err("no answer to that question".to_owned()),
        }
    }

    /// Whether the same key was asked for in an earlier run and made nothing.
    fn was_lost(&self, place: &Place, run: u32) -> bool {
        let key = place.key.as_ref().map(|key| key.digest);
        self.all.values().any(|other| match &other.body {
            Body::Place(earlier) => {
                other.run < run && earlier.key.as_ref().map(|key| key.digest) == key
            }
            _ => false,
        })
    }

    fn refusal(
        &self,
        model: &Model,
        request: &Request,
        refusal: &Refusal,
        to: u64,
        marks: &mut Marks,
    ) -> Verdict {
        let (from, place) = (request.from, request.body.place());
        let limits = &self.limits;
        let (right, mark) = match (refusal, &request.body) {
            (Refusal::SkuNotFound, body) => {
                let known = |sku: &SkuId| {
                    model.skus.get(sku).is_some_and(|sku| at(&sku.terms, from).is_some())
                };
                (body.skus().iter().any(|sku| !known(sku)), None)
            }
            (Refusal::OrderNotFound, body) => (!found(model, body, from), None),
            (Refusal::BuyerLimit { sku, limit, has }, Body::Place(place)) => {
                let line = place.lines.iter().find(|line| line.sku == *sku);
                let over = line.is_some_and(|l| has + l.quantity.units() > u64::from(*limit));
                let past = model.units_of(&place.buyer.name, sku);
                let had = past.map_or(*has == 0, |past| within(past, from, to).any(|h| h == has));
                let terms = model.skus.get(sku).map(|sku| &sku.terms);
                let said = terms.is_some_and(|terms| {
                    within(terms, from, to).any(|terms| terms.per_buyer_limit == *limit)
                });
                (over && had && said, Some(Mark::SaidBuyerLimit))
            }
            (Refusal::SoldOut { sku }, Body::Place(place)) => {
                let line = place.lines.iter().find(|line| line.sku == *sku);
                let units = line.map_or(0, |line| line.quantity.units());
                if place.lines.len() > 1 && place.lines[0].sku != *sku {
                    marks.hit(Mark::LinesRefused);
                }
                (lacking(model, request, sku, units, to), Some(Mark::SaidSoldOut))
            }
            // Units set aside for orders in flight are not there for a withdrawal.
            (Refusal::SoldOut { sku }, Body::Withdraw(withdraw)) => {
                let units = withdraw.quantity.units();
                (request.shards > 1 || lacking(model, request, sku, units, to), None)
            }
            (Refusal::PriceChanged { amount }, Body::Place(place)) => {
                (place.max_amount.is_some_and(|most| *amount > most), Some(Mark::SaidPriceChanged))
            }
            (Refusal::CurrenciesDiffer, Body::Place(place)) => {
                (place.lines.len() > 1, Some(Mark::SaidCurrenciesDiffer))
            }
            (Refusal::KeyReused, Body::Place(place)) => {
                let key = (place.buyer.name.to_string(), key_name(place));
                let order = model.keys.get(&key).map(|order| &model.orders[order]);
                let other = order.is_some_and(|order| {
                    order.states[0].0 <= to && order.fingerprint != place.fingerprint
                });
                (other, Some(Mark::SaidKeyReused))
            }
            (Refusal::TooManyKeys, Body::Place(place)) => {
                let keys = model.keys_at(&place.buyer.name, to);
                (keys >= limits.keys_per_buyer_max, Some(Mark::SaidTooManyKeys))
            }
            (Refusal::OrderIdTaken, _) => {
                let order = place.and_then(|place| model.orders.get(&place.order));
                let taken = order.is_some_and(|order| order.states[0].0 <= to);
                (taken, Some(Mark::SaidOrderIdTaken))
            }
            (Refusal::OrderState { status }, Body::Cancel(cancel, _)) => {
                let order = model.orders.get(&cancel.order);
                let state = order.and_then(|order| order.state_at(to));
                if order.and_then(|order| order.state_at(from)).map(|(before, _)| before)
                    == Some(OrderStatus::Reserved)
                {
                    marks.hit(Mark::ExpiryBeatsCancel);
                }
                let right = state.is_some_and(|(now, _)| now == *status);
                (right && *status == OrderStatus::Expired, None)
            }
            (Refusal::LotExists, Body::Receive(receive)) => {
                let lots = model.skus.get(&receive.sku).map(|sku| &sku.lots);
                let lot = lots.into_iter().flatten().find(|lot| lot.name == receive.lot);
                let other = lot.is_some_and(|lot| {
                    lot.unit_price != receive.unit_price
                        || lot.counters.received != receive.quantity.units()
                });
                (other, Some(Mark::SaidLotExists))
            }
            (Refusal::WithdrawalExists, Body::Withdraw(withdraw)) => {
                let sku = model.skus.get(&withdraw.sku);
                let body = sku.and_then(|sku| sku.withdrawals.get(&withdraw.withdrawal));
                let same = (withdraw.quantity.get(), withdraw.reason.to_string());
                (body.is_some_and(|body| *body != same), Some(Mark::SaidWithdrawalExists))
            }
            (Refusal::RevisionChanged { revision }, Body::Define(define)) => {
                let terms = model.skus.get(&define.sku).map(|sku| &sku.terms);
                let now = terms.into_iter().flatten().map(|(_, terms)| terms.revision);
                let is = *revision == 0 || now.into_iter().any(|now| now == *revision);
                (is && define.if_revision != Some(*revision), None)
            }
            (Refusal::CurrencyFixed { currency }, Body::Define(define)) => {
                let sku = model.skus.get(&define.sku).filter(|sku| !sku.lots.is_empty());
                (sku.is_some_and(|sku| sku.newest_terms().currency == *currency), None)
            }
            (Refusal::Capacity { .. }, _) => (true, Some(Mark::SaidCapacity)),
            (Refusal::Overloaded, Body::Place(_))
                if self.now.micros_since(request.asked_at) > limits.order_patience_us =>
            {
                (true, Some(Mark::PatienceOver))
            }
            // On one shard nothing waits for anything but its turn.
            (Refusal::Overloaded, Body::Place(_) | Body::ReadByKey(..)) => {
                (request.shards > 1, Some(Mark::WaitingTurnedAway))
            }
            (Refusal::Overloaded, Body::Relocate(..)) => (true, None),
            (Refusal::NoSuchShard, Body::Relocate(_, to)) => (*to >= request.shards, None),
            _ => (false, None),
        };
        if let Some(mark) = mark {
            marks.hit(mark);
        }
        if right {
            Ok(())
        } else {
            Err(format!("I2 the durable journal has no reason for {refusal:?}"))
        }
    }
}

impl Body {
    fn place(&self) -> Option<&Place> {
        match self {
            Self::Place(place) => Some(place),
            _ => None,
        }
    }

    fn skus(&self) -> Vec<SkuId> {
        match self {
            Self::Place(place) => place.lines.iter().map(|line| line.sku.clone()).collect(),
            Self::Receive(receive) => vec![receive.sku.clone()],
            Self::Withdraw(withdraw) => vec![withdraw.sku.clone()],
            Self::ReadStock(sku) => vec![sku.clone()],
            _ => Vec::new(),
        }
    }
}

fn key_name(place: &Place) -> String {
    place.key.as_ref().map(|key| key.name.to_string()).unwrap_or_default()
}

/// Whether what was asked for was durable, and the asker's, when they asked.
fn found(model: &Model, body: &Body, from: u64) -> bool {
    let (order, buyer) = match body {
        Body::Cancel(cancel, buyer) => (Some(cancel.order), buyer),
        Body::ReadOrder(order, buyer) => (Some(*order), buyer),
        Body::ReadByKey(buyer, key) => {
            (model.keys.get(&(buyer.clone(), key.clone())).copied(), buyer)
        }
        _ => return true,
    };
    let order = order.and_then(|order| model.orders.get(&order));
    order.is_some_and(|order| order.buyer == *buyer && order.state_at(from).is_some())
}

/// Whether fewer units than that were there at some moment that the owner may have seen. Among
/// several shards an owner hears of units that come back a little later than the journal.
fn lacking(model: &Model, request: &Request, sku: &SkuId, units: u64, to: u64) -> bool {
    let Some(sku) = model.skus.get(sku) else { return false };
    if request.shards == 1 {
        return within(&sku.counters, request.from, to).any(|now| now.available < units);
    }
    let mut before: Option<&Counters> = None;
    let mut late = 0;
    within(&sku.counters, request.settled, to).any(|now| {
        if let Some(before) = before.replace(now)
            && before.received == now.received
        {
            late += now.available.saturating_sub(before.available);
        }
        now.available < units + late
    })
}

fn shown(model: &Model, view: &OrderView, buyer: &str, (from, to): (u64, u64)) -> Verdict {
    let order = model.orders.get(&view.order);
    let order = order.ok_or_else(|| format!("I2 order {} is in no journal", view.order))?;
    if order.buyer != buyer {
        return Err(format!("{buyer} was shown an order of {}", order.buyer));
    }
    order.shows(view, from, to)
}

fn listed(
    model: &Model,
    (list, buyer): (&ListOrders, &String),
    page: &OrderPage,
    (from, to): (u64, u64),
) -> Verdict {
    for view in &page.orders {
        shown(model, view, buyer, (from, to))?;
        if list.status.is_some_and(|status| status != view.status) {
            return Err(format!("order {} is not in the state asked for", view.order));
        }
    }
    let orders = model.buyers.get(buyer).map(Vec::as_slice).unwrap_or_default();
    let place = |order: &OrderId| orders.iter().position(|other| other == order);
    let places: Vec<usize> = page.orders.iter().filter_map(|view| place(&view.order)).collect();
    if page.orders.len() > list.limit || !places.windows(2).all(|pair| pair[0] > pair[1]) {
        return Err("the page is too long or out of order".to_owned());
    }
    if list.status.is_some() {
        return Ok(());
    }
    // Without a filter a page is a run of the buyer's orders, down to the first if none follows.
    let begins_late = match list.after {
        Some(after) => places.first().is_some_and(|first| Some(first + 1) != place(&after)),
        None => {
            let durable =
                orders.iter().rposition(|order| model.orders[order].state_at(from).is_some());
            durable.is_some_and(|newest| places.first().is_none_or(|first| *first < newest))
        }
    };
    let gaps = places.windows(2).any(|pair| pair[0] != pair[1] + 1);
    let cut = page.next.is_none() && places.last().is_some_and(|last| *last != 0);
    if begins_late || gaps || cut { Err("the page leaves orders out".to_owned()) } else { Ok(()) }
}

/// A SKU as an operator sees it. Among several shards units that are held may lag behind.
fn stocked(model: &Model, request: &Request, (id, view): (&SkuId, &StockView), to: u64) -> Verdict {
    let sku = model.skus.get(id).ok_or("I2 the SKU is in no journal")?;
    let (Some(newest), Some(last)) = (at(&sku.terms, to), at(&sku.counters, to)) else {
        return Err("I2 the SKU was shown before it was durable".to_owned());
    };
    let first = at(&sku.counters, request.from).copied().unwrap_or_default();
    let oldest = at(&sku.terms, request.from).map_or(1, |terms| terms.revision);
    let now = &view.counters;
    let right = view.sku == *id
        && view.revision <= newest.revision
        && view.revision >= oldest
        && now.balanced()
        && (first.received..=last.received).contains(&now.received)
        && (first.withdrawn..=last.withdrawn).contains(&now.withdrawn)
        && view.lots.iter().map(|lot| lot.counters.received).sum::<u64>() == now.received;
    let exact = request.shards > 1 || within(&sku.counters, request.from, to).any(|c| c == now);
    if right && exact { Ok(()) } else { Err(format!("I2 the journal has {sku:?}")) }
}
