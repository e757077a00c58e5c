//! Clients: buyers who order, retry, cancel and look, and an operator who keeps the shelves filled.
//! Draw what to ask; `requests` judges what they are told.

use smallvec::SmallVec;

use sluice_core::command::{
    Buyer, Cancel, Command, DefineSku, Key, ListOrders, Place, PlaceLine, ReceiveLot, Withdraw,
};
use sluice_core::config::RETENTION_US;
use sluice_core::event::OrderStatus;
use sluice_core::id::{HashKey, OrderId, RequestId, SlotId};
use sluice_core::money::{Amount, Currency};
use sluice_core::name::{LotId, SkuId, WithdrawalId};
use sluice_core::quantity::Quantity;
use sluice_core::router::Movable;
use sluice_core::time::Timestamp;

use crate::chance::Chance;
use crate::model::Model;
use crate::profile::Profile;
use crate::requests::Body;

/// An order that a buyer has in mind, and repeats until it is settled.
#[derive(Clone, Debug)]
struct Wish {
    buyer: usize,
    key: Option<String>,
    lines: SmallVec<[PlaceLine; 1]>,
    max_amount: Option<Amount>,
}

/// All clients of a node.
pub struct Clients {
    buyers: Vec<String>,
    skus: Vec<SkuId>,
    wishes: Vec<Wish>,
    requests: u128,
    lots: u64,
    openings: usize,
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

impl Clients {
    /// The buyers and SKUs of a profile; the last SKU is never defined.
    pub fn new(profile: &Profile) -> Self {
        let mut skus: Vec<SkuId> =
            profile.skus.iter().filter_map(|name| SkuId::new(name)).collect();
        skus.extend(SkuId::new("unknown"));
        let buyers = profile.buyers.clone();
        Self { buyers, skus, wishes: Vec::new(), requests: 0, lots: 0, openings: 0 }
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
            self.openings += 1;
            let body = if first {
                self.define(chance, sku, sight)
            } else {
                self.receive(chance, sku, sight)
            };
            return vec![self.question(chance, body, sight)];
        }
        let body = match chance.below(20) {
            0..=9 => return self.place(chance, sight),
            10..=12 => self.cancel(chance, sight),
            13 => self.read_order(chance, sight),
            14 => {
                let wish = self.wish(chance, sight);
                let key = wish.key.unwrap_or_else(|| "never".to_owned());
                Body::ReadByKey(self.buyers[wish.buyer].clone(), key)
            }
            15 => self.list(chance, sight),
            16 => Body::ReadStock(chance.pick(&self.skus).clone()),
            17 => {
                let sku = self.known_sku(chance);
                self.define(chance, sku, sight)
            }
            18 => {
                let sku = chance.pick(&self.skus).clone();
                self.receive(chance, sku, sight)
            }
            _ => self.withdraw(chance),
        };
        vec![self.question(chance, body, sight)]
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
                Command::ReadOrder { order: *order, buyer: buyer(name).digest }
            }
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

    /// A new wish, an old one, or an old key with another body.
    fn wish(&mut self, chance: &mut Chance, sight: Sight<'_>) -> Wish {
        if !self.wishes.is_empty() && chance.one_in(3) {
            return chance.pick(&self.wishes).clone();
        }
        let count = if chance.one_in(3) { chance.between(2, 3) } else { 1 };
        let mut lines: Vec<PlaceLine> = Vec::new();
        for _ in 0..count {
            let unknown = chance.one_in(15);
            let sku =
                if unknown { chance.pick(&self.skus).clone() } else { self.known_sku(chance) };
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
        let wish = Wish { buyer, key, lines: lines.into(), max_amount };
        self.wishes.push(wish.clone());
        wish
    }

    fn place(&mut self, chance: &mut Chance, sight: Sight<'_>) -> Vec<Question> {
        let wish = self.wish(chance, sight);
        let buyer = Buyer::new(sight.hash_key, &self.buyers[wish.buyer]);
        let key = wish.key.map(|key| Key::new(sight.hash_key, &buyer, &key));
        let taken = sight.model.buyers.get(&*buyer.name).and_then(|orders| orders.first());
        let taken = taken.filter(|_| chance.one_in(40)).copied();
        // Ids tell the time: no gateway draws one again after its first order has left.
        let taken = taken.filter(|_| sight.profile.retention_us == RETENTION_US);
        let place = Place {
            order: taken.unwrap_or(OrderId::from_bits(0)),
            fingerprint: Place::fingerprint_of(&wish.lines, false, wish.max_amount),
            buyer,
            key,
            lines: wish.lines,
            max_amount: wish.max_amount,
            request: RequestId::NONE,
        };
        let times = if chance.one_in(4) { chance.between(2, 5) } else { 1 };
        (0..times)
            .map(|_| self.question(chance, Body::Place(Box::new(place.clone())), sight))
            .collect()
    }

    /// Some order of the journal, mostly of the one who asks.
    fn some_order(&self, chance: &mut Chance, sight: Sight<'_>) -> (OrderId, String) {
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
        let after = (!orders.is_empty() && chance.one_in(2)).then(|| *chance.pick(orders));
        let list = ListOrders {
            slot: SlotId::of_buyer(&asker),
            buyer: sight.hash_key.buyer(&asker),
            status: chance.one_in(3).then_some(OrderStatus::Reserved),
            after,
            limit: chance.between(1, sight.profile.limits.page_orders_max as u64) as usize,
        };
        Body::List(list, asker)
    }

    fn define(&self, chance: &mut Chance, sku: SkuId, sight: Sight<'_>) -> Body {
        let second = chance.one_in(8);
        let currency = Currency::new(if second { "EUR" } else { "CNY" }).expect("a code");
        let known = sight.model.skus.get(&sku).map_or(0, |sku| sku.newest_terms().revision);
        Body::Define(Box::new(DefineSku {
            sku,
            title: format!("{:1$}", chance.below(1_000), chance.index(250)).into(),
            unit_price: Amount::new(chance.between(1, 300)).expect("in range"),
            currency,
            per_buyer_limit: *chance.pick(&[0, 0, 2, 4, 7]),
            hold_seconds: chance.between(1, sight.profile.hold_seconds_max) as u32,
            standby_pass: false,
            if_revision: chance.one_in(6).then(|| known + u32::from(chance.one_in(3))),
            request: RequestId::NONE,
        }))
    }

    fn receive(&mut self, chance: &mut Chance, sku: SkuId, sight: Sight<'_>) -> Body {
        let again = self.lots > 0 && chance.one_in(5);
        if !again {
            self.lots += 1;
        }
        let number = if again { chance.below(self.lots) + 1 } else { self.lots };
        let units = chance.between(1, sight.profile.lot_units_max) as u32;
        let own_price = chance.one_in(2);
        Body::Receive(ReceiveLot {
            sku,
            lot: LotId::new(&format!("lot-{number}")).expect("a name"),
            quantity: Quantity::new(units).expect("in range"),
            unit_price: own_price.then(|| Amount::new(chance.between(1, 300)).expect("in range")),
            request: RequestId::NONE,
        })
    }

    fn withdraw(&self, chance: &mut Chance) -> Body {
        Body::Withdraw(Withdraw {
            sku: chance.pick(&self.skus).clone(),
            withdrawal: WithdrawalId::new(&format!("w-{}", chance.below(7))).expect("a name"),
            quantity: Quantity::new(chance.between(1, 2) as u32).expect("in range"),
            reason: "counted again".into(),
            request: RequestId::NONE,
        })
    }
}
