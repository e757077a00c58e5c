//! The ledger: a pure, deterministic state machine over SKU stocks and buyer slots.
//!
//! A [`Ledger`] is the set of values that one shard owns. It does no I/O, reads no clock, draws
//! no random numbers and iterates over no randomly seeded map. Deciding reads; what was decided
//! is an [`Event`](crate::event::Event), which is recorded and then applied to the values it names
//! (`SkuStock::reserve`, `BuyerSlot::place` and the like). Applying cannot refuse, and is the same
//! code for live traffic and for replay.
//!
//! Values are movable: a [`SkuStock`] and a [`BuyerSlot`] hold their own tables and no index into
//! anything else, so another number of shards is another way to deal them out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::command::{Command, Envelope, SkipRecord};
use crate::event::{Actor, Event, Meta, RecordSkipped};
use crate::id::{BuyerDigest, KeyDigest, OrderId, SlotId};
use crate::limits::{Limits, SLOTS};
use crate::name::SkuId;
use crate::outcome::{Outcome, Refusal, SaleView, StateDigest};
use crate::planted::{self, Bug};
use crate::router::{Movable, Target};
use crate::time::Timestamp;

mod agenda;
mod attempt;
mod buyers;
mod deadlines;
mod digest;
mod ending;
mod footprint;
mod image;
mod index;
mod life;
mod listing;
mod lots;
mod offers;
mod orders;
mod owning;
mod paying;
mod payments;
mod placing;
mod protocol;
mod queue;
mod replay;
mod retiring;
mod rows;
mod sales;
mod shipping;
mod slot;
mod slots;
mod standby;
mod stock;
mod supply;
mod turn;

use agenda::Agenda;
use protocol::Ranking;
use sales::Register;
use slots::Slots;

pub use footprint::Footprint;
pub use image::{
    HoldingImage, LotImage, OfferImage, OrderImage, PaymentImage, SaleImage, SlotImage, StockImage,
    WaiterImage, WishImage,
};
pub use protocol::{Message, Value};
pub use replay::HomeEvent;
pub use slot::BuyerSlot;
pub use stock::SkuStock;
pub use turn::{Effects, Recorder, Turn};

type Stocks = hashbrown::HashMap<SkuId, Box<SkuStock>, rustc_hash::FxBuildHasher>;

/// What of an order to be placed says where it will be looked up.
pub type Glimpse = (OrderId, BuyerDigest, Option<KeyDigest>);

/// The values that one shard owns.
pub struct Ledger {
    limits: Limits,
    stocks: Stocks,
    slots: Slots,
    /// All sales, on shard 0.
    register: Option<Box<Register>>,
    /// The sales of SKUs that are still to be made.
    awaited: BTreeMap<SkuId, Arc<SaleView>>,
    /// SKUs at which somebody who waits may be served.
    due: BTreeSet<SkuId>,
    /// How many were served in this step.
    served: usize,
    /// Nobody is served before this.
    held_back: Timestamp,
    expiries: Agenda,
    retirements: Agenda,
    /// Orders that live, over all slots.
    live_orders: usize,
    /// Orders that wait for another shard, over all slots.
    in_flight: usize,
    /// Whether the last order that asked for units got them. Says what to warm, nothing else.
    lately_placed: bool,
}

impl Ledger {
    /// All values of a node, none of them with anything in it.
    pub fn new(limits: Limits) -> Self {
        Self { slots: Slots::all(), ..Self::without_homes(limits) }
    }

    /// All values of a node but the buyer slots.
    pub fn without_homes(limits: Limits) -> Self {
        Self { register: Some(Box::default()), ..Self::bare(limits) }
    }

    /// None of a node's values.
    pub fn bare(limits: Limits) -> Self {
        Self {
            limits,
            stocks: Stocks::default(),
            slots: Slots::none(),
            register: None,
            awaited: BTreeMap::new(),
            due: BTreeSet::new(),
            served: 0,
            held_back: Timestamp::ZERO,
            expiries: ending::agenda(),
            retirements: retiring::agenda(),
            live_orders: 0,
            in_flight: 0,
            lately_placed: true,
        }
    }

    /// Deals the values out: shard `n` gets those for which `owner` says `n`.
    pub fn split(mut self, shards: usize, owner: impl Fn(Movable) -> usize) -> Vec<Self> {
        let mut parts: Vec<Self> = (0..shards).map(|_| Self::bare(self.limits)).collect();
        for (sku, stock) in self.stocks.drain() {
            parts[owner(Movable::Bucket(sku.bucket()))].stocks.insert(sku, stock);
        }
        for (sku, sale) in std::mem::take(&mut self.awaited) {
            parts[owner(Movable::Bucket(sku.bucket()))].awaited.insert(sku, sale);
        }
        parts[0].register = self.register.take();
        for (id, slot) in self.slots.drain() {
            parts[owner(Movable::Slot(id))].install_home(id, slot);
        }
        parts
    }

    /// Decides and applies one command. The caller has made sure that its target is here.
    pub fn command(&mut self, turn: &mut Turn<'_>, envelope: Envelope) {
        let Envelope { command, reply, arrived } = envelope;
        let outcome = match command {
            Command::Place(place) => return self.place(turn, place, reply, arrived),
            Command::ReadByKey { slot, buyer, key } => {
                return self.read_by_key(turn, (slot, buyer, key), reply, arrived);
            }
            Command::Notify(notice) => return self.notify(turn, notice, reply, arrived),
            Command::DefineSale(define) => return self.define_sale(turn, &define, reply),
            Command::MoveSale { sale, to, request } => {
                return self.move_sale(turn, (&sale, to), request, reply);
            }
            Command::ReadOrder { order, buyer } => {
                let outcome = self.read_order(order, buyer);
                return self.answer_ranked(turn, reply, outcome);
            }
            Command::ListOrders(list) => {
                let outcome = self.slot(list.slot).list(&list, &self.limits);
                return self.answer_ranked(turn, reply, outcome);
            }
            Command::Cancel(cancel) => self.cancel(turn, &cancel),
            Command::StartPayment(start) => self.start_payment(turn, &start),
            Command::Refund(refund) => self.refund(turn, &refund),
            Command::Ship(ship) => self.ship(turn, &ship),
            Command::Deliver { order, request } => self.deliver(turn, order, request),
            Command::DefineSku(define) => self.define_sku(turn, &define),
            Command::ReceiveLot(receive) => self.receive_lot(turn, &receive),
            Command::Withdraw(withdraw) => self.withdraw(turn, &withdraw),
            Command::SkipRecord(skip) => {
                let SkipRecord { sink, sequence, ref why, request } = *skip;
                let meta = Meta { time: turn.now, actor: Actor::Operator, request };
                let skipped = RecordSkipped { sink, sequence, why };
                turn.recorder.record(&meta, &Event::RecordSkipped(skipped));
                Outcome::Noted
            }
            Command::ReadStock(sku) => match self.stocks.get(&sku) {
                Some(stock) => {
                    Outcome::Stock { created: false, stock: Box::new(stock.view(turn.shard)) }
                }
                None => Outcome::Refused(Refusal::SkuNotFound),
            },
            Command::ListStocks { shard, .. } | Command::Digest { shard }
                if shard != turn.shard =>
            {
                Outcome::Refused(Refusal::NoSuchShard)
            }
            Command::ListStocks { after, limit, lots, .. } => {
                Outcome::Stocks(self.list_stocks(turn.shard, after.as_ref(), limit, lots))
            }
            Command::Digest { .. } => Outcome::Digest(self.digest()),
            // The shard handles relocation itself; this one found its value moving already.
            Command::Relocate { .. } => Outcome::Refused(Refusal::Overloaded),
        };
        turn.effects.answer(reply, outcome);
    }

    fn read_order(&self, order: OrderId, buyer: Option<BuyerDigest>) -> Outcome {
        let home = self.slot(order.slot());
        let found = match buyer {
            Some(buyer) => home.own(order, buyer),
            None => home.order(order),
        };
        match found {
            Some(order) => Outcome::Order(Box::new(home.show(order))),
            None => Outcome::Refused(Refusal::OrderNotFound),
        }
    }

    /// Takes a message of the owners' protocol. The caller has made sure that its target is here.
    pub fn message(&mut self, turn: &mut Turn<'_>, message: Message) {
        match message {
            Message::Hold(request) => self.hold(turn, *request),
            Message::Held(reply) => self.held(turn, *reply),
            Message::Shift { sku, draws, shift } => self.shift_line(turn, &sku, &draws, shift),
            Message::Joined { sku, ticket } => self.joined(turn, &sku, ticket),
            Message::Left { sku, ticket } => self.left(turn, &sku, ticket),
            Message::Promote(promotion) => self.promoted(turn, *promotion),
            Message::Dismiss(dismissal) => self.dismissed(turn, *dismissal),
            Message::Rank(ranking) => {
                let Ranking { outcome, reply } = *ranking;
                self.answer_ranked(turn, reply, outcome);
            }
            Message::SaleTerms { sku, sale, number } => self.sale_terms(turn, &sku, sale, number),
            Message::SaleTermsKnown(number) => self.sale_terms_known(turn, number),
            Message::Forward(envelope) => self.command(turn, *envelope),
        }
    }

    /// Reads what deciding about these orders will read, and uses none of it: their cache misses
    /// overlap then instead of queueing up. A large ledger is bound by the latency of memory and
    /// by nothing else.
    #[inline]
    pub fn warm(&self, orders: impl Iterator<Item = Glimpse> + Clone) {
        for (order, buyer, key) in orders.clone() {
            let Some(slot) = self.slots.filled_at(order.slot().index()) else { continue };
            std::hint::black_box(slot.flights.len());
            slot.buyers.touch(buyer);
            if let Some(key) = key {
                slot.orders.touch_key(key);
            }
            // An order that is refused is not looked for by its id.
            if self.lately_placed {
                slot.orders.touch(order);
            }
        }
        for (order, buyer, _) in orders {
            let Some(slot) = self.slots.filled_at(order.slot().index()) else { continue };
            slot.buyers.touch_row(buyer);
        }
    }

    /// Takes a value out, to be sent to another shard.
    pub fn extract(&mut self, value: Movable) -> Value {
        match value {
            Movable::Slot(slot) => {
                let home = self.slots.take(slot);
                let slot = home.unwrap_or_else(|| Box::new(BuyerSlot::new(slot)));
                self.live_orders -= slot.live_orders();
                self.in_flight -= slot.flights.len();
                Value::Slot(slot)
            }
            Movable::Bucket(bucket) => {
                let mut stocks: Vec<_> = self
                    .stocks
                    .extract_if(|sku, _| sku.bucket() == bucket)
                    .map(|(_, stock)| stock)
                    .collect();
                stocks.sort_unstable_by(|a, b| a.sku().cmp(b.sku()));
                let awaited = self.awaited.extract_if(.., |sku, _| sku.bucket() == bucket);
                Value::Bucket(bucket, stocks, awaited.collect())
            }
        }
    }

    /// Puts a value in that another shard sent.
    pub fn install(&mut self, value: Value) {
        match value {
            Value::Slot(slot) => self.install_home(slot.id(), Some(slot)),
            Value::Bucket(_, stocks, awaited) => {
                self.awaited.extend(awaited);
                for stock in stocks {
                    if !stock.queue.is_empty() {
                        self.due.insert(stock.sku().clone());
                    }
                    let earlier = self.stocks.insert(stock.sku().clone(), stock);
                    assert!(earlier.is_none(), "a SKU stock has one owner");
                }
            }
        }
    }

    /// Puts a slot in, or one in which nothing ever was.
    fn install_home(&mut self, id: SlotId, slot: Option<Box<BuyerSlot>>) {
        if let Some(slot) = &slot {
            if let Some(due) = slot.next_due() {
                self.expiries.note(due);
            }
            if !planted::is(Bug::MovedOrdersUncounted) {
                self.live_orders += slot.live_orders();
            }
            self.in_flight += slot.flights.len();
        }
        self.slots.put(id, slot);
    }

    /// The earliest moment at which time may bring something about, as far as the ledger looked: the
    /// end of a hold or of a sale, or units for somebody who waits.
    pub fn next_due(&self) -> Timestamp {
        let sales = self.register.as_ref().map_or(Timestamp::MAX, |register| register.next_end());
        self.expiries.next_due().min(self.next_served()).min(sales)
    }

    /// All sales, if the register is here, in order of name.
    pub fn sales(&self) -> impl Iterator<Item = &Arc<SaleView>> {
        self.register.iter().flat_map(|register| register.iter())
    }

    /// The state digest of these values (I5).
    pub fn digest(&self) -> StateDigest {
        let stocks = self.stocks.values().map(|stock| digest::of_stock(stock));
        let slots = self.slots.iter().map(digest::of_slot);
        let sales = self.register.as_deref().map(digest::of_register);
        stocks.chain(slots).chain(sales).fold(StateDigest::default(), StateDigest::plus)
    }

    /// Orders whose placing waits for another shard.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Live orders.
    pub fn live_orders(&self) -> usize {
        self.live_orders
    }

    /// Most orders that may live here: the share of the slots that are here.
    fn live_orders_max(&self) -> usize {
        let share = self.limits.live_orders_max as u128 * self.slots.here() as u128;
        (share / SLOTS as u128) as usize
    }

    /// SKUs and buyer slots in it.
    pub fn values(&self) -> (usize, usize) {
        (self.stocks.len(), self.slots.here())
    }

    /// The stock of a SKU, if it is here.
    pub fn stock(&self, sku: &SkuId) -> Option<&SkuStock> {
        self.stocks.get(sku).map(|stock| &**stock)
    }

    /// All stocks that are here, in no particular order.
    pub fn stocks(&self) -> impl Iterator<Item = &SkuStock> {
        self.stocks.values().map(|stock| &**stock)
    }

    fn stock_mut(&mut self, sku: &SkuId) -> &mut SkuStock {
        match self.stocks.get_mut(sku) {
            Some(stock) => stock,
            None => panic!("I1 an event names SKU {sku}, which does not exist"),
        }
    }

    fn slot(&self, slot: SlotId) -> &BuyerSlot {
        self.slots.get(slot)
    }

    fn slot_mut(&mut self, slot: SlotId) -> &mut BuyerSlot {
        self.slots.get_mut(slot)
    }
}

impl Message {
    /// Whose value the message is about.
    pub fn target(&self) -> Target {
        match self {
            Self::Hold(request) => Target::Bucket(request.sku.bucket()),
            Self::Held(reply) => Target::Slot(reply.order.slot()),
            Self::Shift { sku, .. }
            | Self::Joined { sku, .. }
            | Self::Left { sku, .. }
            | Self::SaleTerms { sku, .. } => Target::Bucket(sku.bucket()),
            Self::Promote(promotion) => Target::Slot(promotion.order.slot()),
            Self::Dismiss(dismissal) => Target::Slot(dismissal.order.slot()),
            Self::Rank(ranking) => Target::Bucket(ranking.sku().bucket()),
            Self::SaleTermsKnown(_) => Target::REGISTRY,
            Self::Forward(envelope) => envelope.command.target(),
        }
    }
}
