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
use sluice_core::outcome::{OrderPage, OrderView, Outcome, StockView};
use sluice_core::router::Movable;
use sluice_core::time::Timestamp;

use crate::marks::{Mark, Marks};
use crate::model::{Model, at, within};
use crate::refusals::Case;

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
    /// Records of orders that were placed.
    orders: u64,
    disk_was_full: bool,
    is_low: bool,
}

type Verdict = Result<(), String>;

impl Requests {
    /// None yet.
    pub fn new(limits: Limits) -> Self {
        let (all, refused, placed) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Self {
            limits,
            now: Timestamp::ZERO,
            all,
            refused,
            open: 0,
            placed,
            orders: 0,
            disk_was_full: false,
            is_low: false,
        }
    }

    /// What time it is, before answers are judged.
    pub fn set_time(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Whether the disk refused for want of space since the node started, and whether what is left
    /// of it is kept for endings.
    pub fn set_space(&mut self, disk_was_full: bool, is_low: bool) {
        (self.disk_was_full, self.is_low) = (disk_was_full, is_low);
    }

    /// Records of orders that were placed.
    pub fn orders(&self) -> u64 {
        self.orders
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
    pub fn recorded(&mut self, model: &Model, alone: bool, marks: &mut Marks) -> Verdict {
        let bytes = model.records.last().expect("one was folded");
        let (meta, event) = record::decode(bytes).map_err(|error| error.to_string())?;
        let id = meta.request.bits();
        if self.refused.contains(&id) {
            return Err(format!("I4 request {id} was refused and has a record"));
        }
        match &event {
            Event::OrderPlaced(_) => self.orders += 1,
            Event::OrderCancelled(_) | Event::OrderExpired(_) if self.is_low => {
                marks.hit(Mark::EndedOnFullDisk);
            }
            _ => {}
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
            (Event::OrderRetired(_), None) => {
                marks.hit(Mark::OrderRetired);
                Ok(())
            }
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
        let live = model.orders.values().filter(|order| order.retired.is_none()).count();
        if alone && live > self.limits.live_orders_max {
            return Err(format!("I6 order {} is one too many", placed.order));
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
                let (limits, now) = (&self.limits, self.now);
                let disk_was_full = self.disk_was_full;
                let case = Case { model, request, to, limits, now, disk_was_full };
                case.judge(refusal, marks).map(|()| false)
            }
            (Body::Place(place), Outcome::Placed(view)) => {
                self.made(model, (place, request), view, to, marks).map(|()| true)
            }
            (Body::Place(place), Outcome::Repeated(view)) => {
                self.repeated(model, (place, request), view, to, marks).map(|()| false)
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

    /// A new order, just made.
    fn made(
        &self,
        model: &Model,
        (place, request): (&Place, &Request),
        view: &OrderView,
        to: u64,
        marks: &mut Marks,
    ) -> Verdict {
        if view.order != place.order || view.version != 1 {
            return Err("another order was placed".to_owned());
        }
        if let Some(key) = &place.key
            && model.made_by(&place.buyer.name, &key.name).count() > 1
        {
            marks.hit(Mark::KeyUsedAnew);
        }
        if place.key.is_some() && self.was_lost(place, request.run) {
            marks.hit(Mark::OrderMadeAfterLoss);
        }
        shown(model, view, &place.buyer.name, (0, to))
    }

    /// The order of an earlier request.
    fn repeated(
        &self,
        model: &Model,
        (place, request): (&Place, &Request),
        view: &OrderView,
        to: u64,
        marks: &mut Marks,
    ) -> Verdict {
        shown(model, view, &place.buyer.name, (request.from, to))?;
        let order = &model.orders[&view.order];
        if order.key.as_deref() != place.key.as_ref().map(|key| &*key.name)
            || order.fingerprint != place.fingerprint
        {
            return Err("I3 the order of another key or request".to_owned());
        }
        if order.states[0].0 > request.from {
            marks.hit(Mark::RetryMeetsFirst);
        }
        if self.placed.get(&view.order).is_some_and(|run| *run < request.run) {
            marks.hit(Mark::RetryAfterCrash);
        }
        Ok(())
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
}

impl Body {
    /// The one SKU that it is about, if it is about one.
    pub fn sku(&self) -> Option<&SkuId> {
        match self {
            Self::Define(define) => Some(&define.sku),
            Self::Receive(receive) => Some(&receive.sku),
            Self::Withdraw(withdraw) => Some(&withdraw.sku),
            Self::ReadStock(sku) => Some(sku),
            _ => None,
        }
    }
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
    let left = |order: &OrderId| model.orders[order].retired.is_some_and(|retired| retired <= to);
    if list.status.is_some() || list.after.is_some_and(|after| left(&after)) {
        return Ok(());
    }
    // Without a filter a page is a run of the buyer's orders, down to the first if none follows;
    // orders may leave from anywhere in it.
    let before = list.after.and_then(|after| place(&after));
    let end = before.unwrap_or_else(|| {
        let durable = |order: &OrderId| model.orders[order].state_at(from).is_some();
        orders.iter().rposition(durable).map_or(0, |newest| newest + 1)
    });
    let begin = if page.next.is_none() { 0 } else { places.last().copied().unwrap_or(end) };
    let missing = (begin..end).find(|n| !places.contains(n) && !left(&orders[*n]));
    match missing {
        Some(n) => Err(format!("the page leaves out order {}", orders[n])),
        None => Ok(()),
    }
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
