//! Clients: buyers who order, wait, pay, retry, cancel and look; operators who keep the shelves
//! filled and run sales; a payment provider with bad manners. Draw what to ask; `requests` judges
//! what they are told.

use smallvec::SmallVec;

use sluice_core::command::{Buyer, Cancel, Command, Key, ListOrders, Notice, Place, PlaceLine};
use sluice_core::config::RETENTION_US;
use sluice_core::event::OrderStatus;
use sluice_core::id::{HashKey, OrderId, PaymentId, RequestId, SlotId};
use sluice_core::money::Amount;
use sluice_core::name::SkuId;
use sluice_core::quantity::Quantity;
use sluice_core::router::Movable;
use sluice_core::time::Timestamp;

use crate::chance::Chance;
use crate::model::Model;
use crate::profile::Profile;
use crate::requests::Body;

mod operators;
mod provider;

/// An order that a buyer has in mind, and repeats until it is settled.
#[derive(Clone, Debug)]
struct Wish {
    buyer: usize,
    key: Option<String>,
    lines: SmallVec<[PlaceLine; 1]>,
    max_amount: Option<Amount>,
    standby: bool,
}

/// All clients of a node.
pub struct Clients {
    buyers: Vec<String>,
    skus: Vec<SkuId>,
    wishes: Vec<Wish>,
    requests: u128,
    lots: u64,
    openings: usize,
    /// What the provider says again, in any order.
    notices: Vec<Notice>,
}

/// What a client knows of the node.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    /// By which buyers and keys are hashed.
    pub hash_key: &'a HashKey,
    /// The time.
    pub now: Timestamp,
    /// What is durable.
    pub model: &'a Model,
    /// How many shards there are.
    pub shards: usize,
    /// What the seed is like.
    pub profile: &'a Profile,
}

impl Sight<'_> {
    /// Ids tell the time: no gateway draws one again after its first order has left.
    fn may_be_drawn_again(&self, order: OrderId) -> bool {
        let order = &self.model.orders[&order];
        let age_us = self.now.micros_since(order.created_at);
        self.profile.retention_us == RETENTION_US && age_us < RETENTION_US / 2
    }
}

/// A question, ready to be sent.
pub struct Question {
    /// Its id.
    pub id: u128,
    /// For the record.
    pub body: Body,
    /// For the shard.
    pub command: Command,
}

const CELL: u16 = 9;

/// Records for which a change of a sale is news.
const NEWS_RECORDS: u64 = 4;

impl Clients {
    /// The buyers and SKUs of a profile; the last SKU is never defined.
    pub fn new(profile: &Profile) -> Self {
        let mut skus: Vec<SkuId> =
            profile.skus.iter().filter_map(|name| SkuId::new(name)).collect();
        skus.extend(SkuId::new("unknown"));
        let buyers = profile.buyers.clone();
        Self {
            buyers,
            skus,
            wishes: Vec::new(),
            requests: 0,
            lots: 0,
            openings: 0,
            notices: Vec::new(),
        }
    }

    /// All SKUs that clients know of.
    pub fn skus(&self) -> &[SkuId] {
        &self.skus
    }

    /// What some client asks next: one question, or the same several times at once.
    pub fn draw(&mut self, chance: &mut Chance, sight: Sight<'_>) -> Vec<Question> {
        if self.openings < 2 * (self.skus.len() - 1) {
            let sku = self.skus[self.openings / 2].clone();
            let first = self.openings.is_multiple_of(2);
            if sight.profile.sales && chance.one_in(6) {
                let body = self.define_sale(chance, sight);
                return vec![self.question(chance, body, sight)];
            }
            self.openings += 1;
            let body = if first {
                self.define(chance, sku, sight)
            } else {
                self.receive(chance, sku, sight)
            };
            return vec![self.question(chance, body, sight)];
        }
        let body = match chance.below(40) {
            0..=12 => return self.place(chance, sight),
            13..=15 => self.cancel(chance, sight),
            16 => self.read_order(chance, sight),
            17 => {
                let wish = self.wish(chance, sight);
                let key = wish.key.unwrap_or_else(|| "never".to_owned());
                Body::ReadByKey(self.buyers[wish.buyer].clone(), key)
            }
            18 => self.list(chance, sight),
            19 => Body::ReadStock(chance.pick(&self.skus).clone()),
            20 => {
                let sku = self.known_sku(chance);
                self.define(chance, sku, sight)
            }
            21 => {
                let sku = chance.pick(&self.skus).clone();
                self.receive(chance, sku, sight)
            }
            22 => self.withdraw(chance),
            23..=26 => self.start_payment(chance, sight),
            27..=31 => return self.notices(chance, sight),
            32 | 33 => self.follow_up(chance, sight),
            34 if sight.profile.sales => self.define_sale(chance, sight),
            35..=37 if sight.profile.sales => self.move_sale(chance, sight),
            _ => return self.place(chance, sight),
        };
        vec![self.question(chance, body, sight)]
    }

    /// What clients ask when they hear of a sale.
    pub fn rush(&mut self, chance: &mut Chance, sight: Sight<'_>) -> Vec<Question> {
        (0..3).flat_map(|_| self.place(chance, sight)).collect()
    }

    /// A question with a body of the caller's.
    pub fn question(&mut self, chance: &mut Chance, body: Body, sight: Sight<'_>) -> Question {
        self.requests += 1;
        let (id, request) = (self.requests, RequestId::from_bits(self.requests));
        let buyer = |name: &str| Buyer::new(sight.hash_key, name);
        let mut body = body;
        let command = match &mut body {
            Body::Place(place) => {
                place.request = request;
                if place.order == OrderId::from_bits(0) {
                    let random = chance.next();
                    place.order = OrderId::new(sight.now, CELL, place.buyer.slot, random);
                }
                Command::Place(place.clone())
            }
            Body::Cancel(cancel, _) => {
                cancel.request = request;
                Command::Cancel(Box::new(cancel.clone()))
            }
            Body::Define(define) => {
                define.request = request;
                Command::DefineSku(define.clone())
            }
            Body::Receive(receive) => {
                receive.request = request;
                Command::ReceiveLot(Box::new(receive.clone()))
            }
            Body::Withdraw(withdraw) => {
                withdraw.request = request;
                Command::Withdraw(Box::new(withdraw.clone()))
            }
            Body::ReadOrder(order, name) => {
                Command::ReadOrder { order: *order, buyer: Some(buyer(name).digest) }
            }
            Body::StartPayment(start, _) => {
                start.request = request;
                if start.payment == PaymentId::from_bits(0) {
                    let (slot, random) = (start.order.slot(), chance.next());
                    start.payment = PaymentId::new(sight.now, CELL, slot, random);
                }
                Command::StartPayment(Box::new(start.clone()))
            }
            Body::Notify(notice) => {
                notice.request = request;
                Command::Notify(Box::new(notice.clone()))
            }
            Body::Refund(refund) => {
                refund.request = request;
                Command::Refund(Box::new(refund.clone()))
            }
            Body::Ship(ship) => {
                ship.request = request;
                Command::Ship(Box::new(ship.clone()))
            }
            Body::Deliver(order) => Command::Deliver { order: *order, request },
            Body::SkipRecord(skip) => {
                skip.request = request;
                Command::SkipRecord(Box::new(skip.clone()))
            }
            Body::DefineSale(define) => {
                define.request = request;
                Command::DefineSale(define.clone())
            }
            Body::MoveSale(sale, to) => Command::MoveSale { sale: sale.clone(), to: *to, request },
            Body::ReadByKey(name, key) => {
                let buyer = buyer(name);
                let key = Key::new(sight.hash_key, &buyer, key).digest;
                Command::ReadByKey { slot: buyer.slot, buyer: buyer.digest, key }
            }
            Body::List(list, _) => Command::ListOrders(Box::new(list.clone())),
            Body::ReadStock(sku) => Command::ReadStock(sku.clone()),
            Body::Relocate(value, to) => Command::Relocate { value: *value, to: *to },
        };
        Question { id, body, command }
    }

    /// A move of a value that is in use.
    pub fn relocate(&mut self, chance: &mut Chance, sight: Sight<'_>) -> Question {
        let value = match chance.one_in(2) {
            true => Movable::Bucket(chance.pick(&self.skus).bucket()),
            false => Movable::Slot(SlotId::of_buyer(chance.pick(&self.buyers).as_str())),
        };
        let beyond = usize::from(chance.one_in(20));
        let body = Body::Relocate(value, chance.index(sight.shards) + beyond * sight.shards);
        self.question(chance, body, sight)
    }

    fn known_sku(&self, chance: &mut Chance) -> SkuId {
        self.skus[chance.index(self.skus.len() - 1)].clone()
    }

    /// A SKU of a sale that has just changed: people hear of it.
    fn in_the_news(&self, sight: Sight<'_>) -> Option<SkuId> {
        let (model, last) = (sight.model, sight.model.last_sequence());
        let news = model.sale_news.last().filter(|news| last < **news + NEWS_RECORDS)?;
        let sale = |sku, n| model.sale_of(sku, n).map(|sale| (&sale.sale, sale.revision));
        let mut sold = self.skus.iter().filter(|sku| model.skus.contains_key(*sku));
        sold.rfind(|sku| sale(sku, *news) != sale(sku, *news - 1)).cloned()
    }

    /// A new wish, an old one, or an old key with another body.
    fn wish(&mut self, chance: &mut Chance, sight: Sight<'_>) -> Wish {
        if !self.wishes.is_empty() && chance.one_in(3) {
            return chance.pick(&self.wishes).clone();
        }
        let count = if chance.one_in(3) { chance.between(2, 3) } else { 1 };
        let mut lines: Vec<PlaceLine> = Vec::new();
        for _ in 0..count {
            let sku = match self.in_the_news(sight) {
                Some(sku) if chance.one_in(2) => sku,
                _ if chance.one_in(15) => chance.pick(&self.skus).clone(),
                _ => self.known_sku(chance),
            };
            let units = chance.between(1, 3) as u32;
            lines.push(PlaceLine { sku, quantity: Quantity::new(units).expect("in range") });
        }
        lines.sort_unstable_by(|a, b| a.sku.cmp(&b.sku));
        lines.dedup_by(|a, b| a.sku == b.sku);
        lines.truncate(sight.profile.limits.lines_per_order_max);
        let filling = "y".repeat(if sight.profile.bulky { 200 } else { 0 });
        let key = (!chance.one_in(8)).then(|| format!("key-{}{filling}", chance.below(9)));
        let limited = chance.one_in(6);
        let max_amount = limited.then(|| Amount::new(chance.between(50, 900)).expect("in range"));
        let buyer = chance.index(self.buyers.len());
        let standby = sight.profile.standby && lines.len() == 1 && !chance.one_in(3);
        let wish = Wish { buyer, key, lines: lines.into(), max_amount, standby };
        self.wishes.push(wish.clone());
        wish
    }

    fn place(&mut self, chance: &mut Chance, sight: Sight<'_>) -> Vec<Question> {
        let wish = self.wish(chance, sight);
        let buyer = Buyer::new(sight.hash_key, &self.buyers[wish.buyer]);
        let key = wish.key.map(|key| Key::new(sight.hash_key, &buyer, &key));
        let taken = sight.model.buyers.get(&*buyer.name).and_then(|orders| orders.first());
        let taken = taken.filter(|_| chance.one_in(40)).copied();
        let taken = taken.filter(|order| sight.may_be_drawn_again(*order));
        let place = Place {
            order: taken.unwrap_or(OrderId::from_bits(0)),
            fingerprint: Place::fingerprint_of(&wish.lines, wish.standby, wish.max_amount),
            buyer,
            key,
            lines: wish.lines,
            standby: wish.standby,
            max_amount: wish.max_amount,
            request: RequestId::NONE,
        };
        let times = if chance.one_in(4) { chance.between(2, 5) } else { 1 };
        (0..times)
            .map(|_| self.question(chance, Body::Place(Box::new(place.clone())), sight))
            .collect()
    }

    /// Some order of the journal, mostly of the one who asks.
    pub(super) fn some_order(&self, chance: &mut Chance, sight: Sight<'_>) -> (OrderId, String) {
        let asker = chance.pick(&self.buyers).clone();
        let owner =
            if chance.one_in(10) { chance.pick(&self.buyers).clone() } else { asker.clone() };
        let orders = sight.model.buyers.get(&owner).map(Vec::as_slice).unwrap_or_default();
        let recent = orders.len().saturating_sub(4);
        let order = match orders.is_empty() {
            true => OrderId::new(sight.now, CELL, SlotId::of_buyer(&owner), 0),
            false => *chance.pick(&orders[recent..]),
        };
        (order, asker)
    }

    fn cancel(&self, chance: &mut Chance, sight: Sight<'_>) -> Body {
        let (order, asker) = self.some_order(chance, sight);
        let buyer = sight.hash_key.buyer(&asker);
        Body::Cancel(Cancel { order, buyer, request: RequestId::NONE }, asker)
    }

    fn read_order(&self, chance: &mut Chance, sight: Sight<'_>) -> Body {
        let (order, asker) = self.some_order(chance, sight);
        Body::ReadOrder(order, asker)
    }

    fn list(&self, chance: &mut Chance, sight: Sight<'_>) -> Body {
        let asker = chance.pick(&self.buyers).clone();
        let orders = sight.model.buyers.get(&asker).map(Vec::as_slice).unwrap_or_default();
        let after = (!orders.is_empty() && chance.one_in(2)).then(|| {
            let order = *chance.pick(orders);
            let placed = sight.model.orders[&order].created_at;
            // Or the place of an order that is not there any more.
            let gone = (placed.plus_micros(1), OrderId::from_bits(0));
            if chance.one_in(3) { gone } else { (placed, order) }
        });
        let list = ListOrders {
            slot: SlotId::of_buyer(&asker),
            buyer: sight.hash_key.buyer(&asker),
            status: chance.one_in(3).then(|| OrderStatus::ALL[chance.index(9)].0),
            after,
            limit: chance.between(1, sight.profile.limits.page_orders_max as u64) as usize,
        };
        Body::List(list, asker)
    }
}
