//! What clients asked, and whether what they were told is true.
//!
//! Each answer is judged when it leaves, against the durable part of the journal at that moment
//! (I2): what it shows must have been so at some durable sequence between question and answer.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use sluice_core::command::{
    Cancel, DefineSale, DefineSku, ListOrders, Notice, Place, ReceiveLot, Refund, Ship, SkipRecord,
    StartPayment, Withdraw,
};
use sluice_core::event::{Event, NoticeUnmatched, SaleMove, record};
use sluice_core::id::OrderId;
use sluice_core::limits::Limits;
use sluice_core::name::{SaleId, SkuId};
use sluice_core::outcome::Outcome;
use sluice_core::router::Movable;
use sluice_core::time::Timestamp;

use crate::marks::{Mark, Marks};
use crate::model::Model;

mod answers;
mod records;
mod shown;

pub(crate) use shown::is_far;

/// What was asked.
#[derive(Clone, Debug)]
pub enum Body {
    /// An order.
    Place(Box<Place>),
    /// A cancel, by this buyer.
    Cancel(Cancel, String),
    /// A start of payment, by this buyer.
    StartPayment(StartPayment, String),
    /// What a payment provider says.
    Notify(Notice),
    /// A refund.
    Refund(Refund),
    /// An order on its way.
    Ship(Ship),
    /// An order handed over.
    Deliver(OrderId),
    /// New terms.
    Define(Box<DefineSku>),
    /// A lot.
    Receive(ReceiveLot),
    /// A withdrawal.
    Withdraw(Withdraw),
    /// A sale.
    DefineSale(Box<DefineSale>),
    /// A sale's pause, resumption or end.
    MoveSale(SaleId, SaleMove),
    /// One order of this buyer.
    ReadOrder(OrderId, String),
    /// The order of a buyer's key.
    ReadByKey(String, String),
    /// A buyer's orders.
    List(ListOrders, String),
    /// A SKU.
    ReadStock(SkuId),
    /// A record that a sink is to pass over.
    SkipRecord(SkipRecord),
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
    /// Records about sales of which operators had been told by then that they hold.
    pub told: Rc<Vec<u64>>,
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
    /// Records about sales of which operators were told.
    told: Rc<Vec<u64>>,
    disk_was_full: bool,
    is_low: bool,
}

type Verdict = Result<(), String>;

impl Requests {
    /// None yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            now: Timestamp::ZERO,
            all: BTreeMap::new(),
            refused: BTreeSet::new(),
            open: 0,
            placed: BTreeMap::new(),
            orders: 0,
            told: Rc::default(),
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

    /// Records about sales of which operators were told.
    pub fn told(&self) -> Rc<Vec<u64>> {
        Rc::clone(&self.told)
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
    pub fn recorded(&mut self, model: &Model, marks: &mut Marks) -> Verdict {
        let bytes = model.records.last().expect("one was folded");
        let (meta, event) = record::decode(bytes).map_err(|error| error.to_string())?;
        let id = meta.request.bits();
        if self.refused.contains(&id) {
            return Err(format!("I4 request {id} was refused and has a record"));
        }
        match &event {
            Event::OrderPlaced(_) | Event::OrderQueued(_) => self.orders += 1,
            Event::OrderCancelled(_) | Event::OrderExpired(_) if self.is_low => {
                marks.hit(Mark::EndedOnFullDisk);
            }
            _ => {}
        }
        let judged = match self.all.get(&id) {
            Some(request) => self.asked_for(model, (&meta, &event), request, marks),
            None => self.happened(model, &meta, &event, marks),
        };
        judged.map_err(|what| format!("record {}: {what}", model.last_sequence()))
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
            (Some(true), None) => Err("I2 what it rests on is not durable".to_owned()),
            (Some(false), Some(sequence)) => Err(format!("I4 there is record {sequence} of it")),
            _ => Ok(()),
        });
        match outcome {
            Outcome::Refused(_) => {
                self.refused.insert(id);
            }
            Outcome::Placed(view) => {
                self.placed.insert(view.order, request.run);
            }
            Outcome::Sale { sale, .. } => {
                let past = model.sales.get(&sale.sale).into_iter().flatten();
                let known = past.filter(|(_, then)| then.revision <= sale.revision);
                let known: Vec<u64> = known.map(|(since, _)| *since).collect();
                Rc::make_mut(&mut self.told).extend(known);
            }
            _ => {}
        }
        judged.map_err(|what| format!("{what}\n  asked {request:?}\n  at {to}: {outcome:?}"))
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

    /// The one order that it names, and the buyer whose it must be; an operator's may be anybody's.
    pub fn order(&self) -> Option<(OrderId, Option<&String>)> {
        match self {
            Self::Cancel(cancel, buyer) => Some((cancel.order, Some(buyer))),
            Self::StartPayment(start, buyer) => Some((start.order, Some(buyer))),
            Self::ReadOrder(order, buyer) => Some((*order, Some(buyer))),
            Self::Refund(refund) => Some((refund.order, None)),
            Self::Ship(ship) => Some((ship.order, None)),
            Self::Deliver(order) => Some((*order, None)),
            _ => None,
        }
    }
}

/// A notice in the words by which the model knows one that fits no payment.
fn words_of(notice: &Notice) -> String {
    let unmatched = NoticeUnmatched {
        kind: notice.kind,
        payment: &notice.payment,
        order: &notice.order,
        amount: notice.amount,
        currency: &notice.currency,
    };
    format!("{unmatched:?}")
}
