//! The naive model: what the journal says, folded record by record with ordered maps and no
//! cleverness. The oracle of I1, I3, I9 and I10. Shares the events with the ledger and nothing else.
//!
//! Keeps the past as well: what an answer says must have been so at some durable sequence.

use std::collections::BTreeMap;

use sluice_core::event::{Draw, Event, Line, Lines, Meta, OrderEnded, OrderPlaced, OrderStatus};
use sluice_core::event::{LotReceived, OrderRetired, SkuDefined, UnitsWithdrawn, record, total};
use sluice_core::id::{HashKey, OrderId};
use sluice_core::money::{Amount, Currency};
use sluice_core::name::{LotId, SkuId, WithdrawalId};
use sluice_core::outcome::{Counters, OrderView, StockView};
use sluice_core::time::Timestamp;

/// A value and the sequences from which it held: oldest first.
pub type Past<T> = Vec<(u64, T)>;

/// The terms of a SKU at one revision.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The revision.
    pub revision: u32,
    /// The price.
    pub unit_price: Amount,
    /// The currency.
    pub currency: Currency,
    /// The limit, 0 for none.
    pub per_buyer_limit: u32,
    /// How long holds last.
    pub hold_seconds: u32,
    /// The title.
    pub title: Box<str>,
}

/// A lot.
#[derive(Clone, Debug)]
pub struct Lot {
    /// Its name.
    pub name: LotId,
    /// Its own price.
    pub unit_price: Option<Amount>,
    /// Where its units are.
    pub counters: Counters,
}

/// A SKU.
#[derive(Clone, Debug, Default)]
pub struct Sku {
    /// Its terms over time.
    pub terms: Past<Terms>,
    /// Its lots.
    pub lots: Vec<Lot>,
    /// Its withdrawals: quantity, reason and sequence.
    pub withdrawals: BTreeMap<WithdrawalId, (u32, String)>,
    /// All its counters over time.
    pub counters: Past<Counters>,
}

/// An order.
#[derive(Clone, Debug)]
pub struct Order {
    /// Who ordered.
    pub buyer: String,
    /// The key that made it.
    pub key: Option<String>,
    /// What "the same request" means.
    pub fingerprint: u64,
    /// What it holds or held.
    pub lines: Lines,
    /// The currency.
    pub currency: Currency,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When its hold ends.
    pub expires_at: Timestamp,
    /// Its states over time; the n-th is version n + 1.
    pub states: Past<OrderStatus>,
    /// When its last state began.
    pub since: Timestamp,
    /// The record with which it left the ledger.
    pub retired: Option<u64>,
}

/// All of it.
#[derive(Default)]
pub struct Model {
    /// All records, in order.
    pub records: Vec<Box<[u8]>>,
    /// From the first record.
    pub hash_key: Option<HashKey>,
    /// All SKUs.
    pub skus: BTreeMap<SkuId, Sku>,
    /// All orders.
    pub orders: BTreeMap<OrderId, Order>,
    /// The orders of each buyer, oldest first.
    pub buyers: BTreeMap<String, Vec<OrderId>>,
    /// The orders that a buyer's key made, one after the other.
    pub keys: BTreeMap<(String, String), Vec<OrderId>>,
    /// How long a final order stays, in microseconds.
    pub retention_us: u64,
    /// The highest sequence that SQL ever had.
    pub stored: u64,
    /// Units that count against limits, over time.
    pub units: BTreeMap<(String, SkuId), Past<u64>>,
    /// The record that a request made.
    pub requests: BTreeMap<u128, u64>,
    /// The time of the last record.
    pub time: Timestamp,
}

/// The value at a sequence.
pub fn at<T>(past: &Past<T>, sequence: u64) -> Option<&T> {
    past.iter().rev().find(|(since, _)| *since <= sequence).map(|(_, value)| value)
}

/// All values that held at some sequence from `from` to `to`.
pub fn within<T>(past: &Past<T>, from: u64, to: u64) -> impl Iterator<Item = &T> {
    let first = past.iter().rposition(|(since, _)| *since <= from).unwrap_or(0);
    past[first.min(past.len())..]
        .iter()
        .take_while(move |(since, _)| *since <= to)
        .map(|(_, value)| value)
}

impl Order {
    /// Its state and version at a sequence; `None` if it did not exist.
    pub fn state_at(&self, sequence: u64) -> Option<(OrderStatus, u32)> {
        let version = self.states.iter().take_while(|(since, _)| *since <= sequence).count();
        (version > 0).then(|| (self.states[version - 1].1, version as u32))
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
        let status = self.states[view.version as usize - 1].1;
        let same = view.status == status
            && view.lines == self.lines
            && Some(view.amount) == total(&self.lines)
            && view.currency == self.currency
            && view.created_at == self.created_at
            && view.expires_at == self.expires_at;
        if same { Ok(()) } else { Err(format!("I2 the journal has {self:?}, shown was {view:?}")) }
    }
}

impl Sku {
    /// What holds now.
    pub fn now(&self) -> Counters {
        self.counters.last().map(|(_, counters)| *counters).unwrap_or_default()
    }

    /// The newest terms.
    pub fn newest_terms(&self) -> &Terms {
        &self.terms.last().expect("a SKU begins with its terms").1
    }

    /// Whether a view shows all of it as it is now.
    pub fn equals(&self, view: &StockView) -> bool {
        let terms = self.newest_terms();
        let lots = self.lots.iter().map(|lot| (&lot.name, lot.unit_price, lot.counters));
        view.revision == terms.revision
            && view.title == terms.title
            && view.unit_price == terms.unit_price
            && view.currency == terms.currency
            && view.per_buyer_limit == terms.per_buyer_limit
            && view.hold_seconds == terms.hold_seconds
            && view.counters == self.now()
            && lots.eq(view.lots.iter().map(|lot| (&lot.lot, lot.unit_price, lot.counters)))
    }

    /// Where the units of a line that was just drawn had to come from, first in first out.
    pub fn first_in_first_out_before(&self, line: &Line) -> Vec<(u32, u64)> {
        let mut missing = line.quantity.units();
        let mut draws = Vec::new();
        for (ordinal, lot) in self.lots.iter().enumerate() {
            let drawn = line.draws.iter().filter(|draw| draw.ordinal as usize == ordinal);
            let had = lot.counters.available + drawn.map(|draw| draw.quantity.units()).sum::<u64>();
            let taken = had.min(missing);
            if taken > 0 {
                draws.push((ordinal as u32, taken));
            }
            missing -= taken;
        }
        draws
    }

    fn shift(&mut self, draws: &[Draw], change: Change) -> Result<(), String> {
        for draw in draws {
            let lot = self.lots.get_mut(draw.ordinal as usize);
            let lot = lot.filter(|lot| lot.name == draw.lot);
            let lot = lot.ok_or_else(|| format!("I1 no lot {} at {}", draw.lot, draw.ordinal))?;
            let units = draw.quantity.units();
            let counters = &mut lot.counters;
            let (from, to) = match change {
                Change::Reserve => (&mut counters.available, &mut counters.held),
                Change::Restore => (&mut counters.held, &mut counters.available),
                Change::Withdraw => (&mut counters.available, &mut counters.withdrawn),
            };
            *from = from.checked_sub(units).ok_or_else(|| {
                format!("I1 {change:?} of {units} units from lot {}, which has {from}", draw.lot)
            })?;
            *to += units;
        }
        Ok(())
    }

    fn count(&mut self, sequence: u64) {
        let mut sum = Counters::default();
        for lot in &self.lots {
            sum.received += lot.counters.received;
            sum.available += lot.counters.available;
            sum.held += lot.counters.held;
            sum.withdrawn += lot.counters.withdrawn;
        }
        self.counters.push((sequence, sum));
    }
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Reserve,
    Restore,
    Withdraw,
}

impl Model {
    /// The sequence of the last record.
    pub fn last_sequence(&self) -> u64 {
        self.records.len() as u64
    }

    /// Folds the next record.
    ///
    /// # Errors
    /// The invariant that it breaks.
    pub fn fold(&mut self, bytes: &[u8]) -> Result<(), String> {
        let sequence = self.last_sequence() + 1;
        let (meta, event) =
            record::decode(bytes).map_err(|error| format!("record {sequence}: {error}"))?;
        self.records.push(Box::from(bytes));
        self.time = self.time.max(meta.time);
        if meta.request.bits() != 0
            && let Some(earlier) = self.requests.insert(meta.request.bits(), sequence)
        {
            return Err(format!("I3 one request made records {earlier} and {sequence}"));
        }
        let folded = match &event {
            Event::Genesis(genesis) if sequence == 1 => {
                self.hash_key = Some(genesis.hash_key);
                Ok(())
            }
            Event::Genesis(_) | Event::FormatRaised(_) => Err("is out of place".to_owned()),
            Event::SkuDefined(defined) => self.defined(sequence, defined),
            Event::LotReceived(received) => self.received(sequence, received),
            Event::UnitsWithdrawn(withdrawn) => self.withdrawn(sequence, withdrawn),
            Event::OrderPlaced(placed) => self.placed(sequence, &meta, placed),
            Event::OrderCancelled(ended) => {
                self.ended(sequence, &meta, ended, OrderStatus::Cancelled)
            }
            Event::OrderExpired(ended) => self.ended(sequence, &meta, ended, OrderStatus::Expired),
            Event::OrderRetired(retired) => self.retired(sequence, &meta, retired),
        };
        folded.map_err(|what| format!("record {sequence}: {what}"))
    }

    /// Units of a SKU that count against a buyer's limit, over time.
    pub fn units_of(&self, buyer: &str, sku: &SkuId) -> Option<&Past<u64>> {
        self.units.get(&(buyer.to_owned(), sku.clone()))
    }

    /// How many keys of a buyer lived at some sequence from one to another.
    pub fn keys_within(&self, buyer: &str, from: u64, to: u64) -> usize {
        let orders = self.buyers.get(buyer).into_iter().flatten();
        let orders = orders.map(|order| &self.orders[order]);
        orders.filter(|order| order.key.is_some() && order.lived_within(from, to)).count()
    }

    /// The orders that a buyer's key made, one after the other.
    pub fn made_by(&self, buyer: &str, key: &str) -> impl Iterator<Item = &Order> {
        let made = self.keys.get(&(buyer.to_owned(), key.to_owned()));
        made.into_iter().flatten().map(|order| &self.orders[order])
    }

    /// Orders that hold units, and when that ends.
    pub fn reserved(&self) -> impl Iterator<Item = (OrderId, Timestamp)> {
        let orders =
            self.orders.iter().filter(|(_, order)| order.status() == OrderStatus::Reserved);
        orders.map(|(id, order)| (*id, order.expires_at))
    }

    fn sku_mut(&mut self, sku: &SkuId) -> Result<&mut Sku, String> {
        self.skus.get_mut(sku).ok_or_else(|| format!("I1 SKU {sku} does not exist"))
    }

    fn defined(&mut self, sequence: u64, defined: &SkuDefined<'_>) -> Result<(), String> {
        let sku = self.skus.entry(defined.sku.clone()).or_default();
        let revision = sku.terms.last().map_or(0, |(_, terms)| terms.revision) + 1;
        if defined.revision != revision {
            return Err(format!("revision {} instead of {revision}", defined.revision));
        }
        if !sku.lots.is_empty() && sku.newest_terms().currency != defined.currency {
            return Err("the currency changed after the first lot".to_owned());
        }
        let terms = Terms {
            revision,
            unit_price: defined.unit_price,
            currency: defined.currency,
            per_buyer_limit: defined.per_buyer_limit,
            hold_seconds: defined.hold_seconds,
            title: Box::from(defined.title),
        };
        sku.terms.push((sequence, terms));
        sku.count(sequence);
        Ok(())
    }

    fn received(&mut self, sequence: u64, received: &LotReceived) -> Result<(), String> {
        let sku = self.sku_mut(&received.sku)?;
        if sku.lots.iter().any(|lot| lot.name == received.lot)
            || received.ordinal as usize != sku.lots.len()
        {
            return Err(format!("I1 lot {} arrives twice or out of order", received.lot));
        }
        let units = received.quantity.units();
        let counters = Counters { received: units, available: units, ..Counters::default() };
        let lot = Lot { name: received.lot.clone(), unit_price: received.unit_price, counters };
        sku.lots.push(lot);
        sku.count(sequence);
        Ok(())
    }

    fn withdrawn(&mut self, sequence: u64, withdrawn: &UnitsWithdrawn<'_>) -> Result<(), String> {
        let sku = self.sku_mut(&withdrawn.sku)?;
        let drawn: u64 = withdrawn.draws.iter().map(|draw| draw.quantity.units()).sum();
        if drawn != withdrawn.quantity.units() {
            return Err(format!("{drawn} units are withdrawn instead of {}", withdrawn.quantity));
        }
        let body = (withdrawn.quantity.get(), withdrawn.reason.to_owned());
        if sku.withdrawals.insert(withdrawn.withdrawal.clone(), body).is_some() {
            return Err(format!("I3 withdrawal {} happens twice", withdrawn.withdrawal));
        }
        sku.shift(&withdrawn.draws, Change::Withdraw)?;
        sku.count(sequence);
        Ok(())
    }

    fn placed(
        &mut self,
        sequence: u64,
        meta: &Meta,
        placed: &OrderPlaced<'_>,
    ) -> Result<(), String> {
        let buyer = placed.buyer_name.to_owned();
        for Line { sku, quantity, draws } in &placed.lines {
            let stock = self.sku_mut(sku)?;
            stock.shift(draws, Change::Reserve)?;
            stock.count(sequence);
            let prices: Vec<Amount> =
                stock.terms.iter().map(|(_, terms)| terms.unit_price).collect();
            let right = |draw: &Draw| match stock.lots[draw.ordinal as usize].unit_price {
                Some(price) => price == draw.unit_price,
                None => prices.contains(&draw.unit_price),
            };
            if !draws.iter().all(right) || stock.newest_terms().currency != placed.currency {
                return Err(format!("the prices of SKU {sku} are not those of its lots"));
            }
            let past =
                self.units.entry((buyer.clone(), sku.clone())).or_insert_with(|| vec![(0, 0)]);
            let has = past.last().expect("never empty").1;
            past.push((sequence, has + quantity.units()));
        }
        if let Some((_, key)) = placed.key {
            let made = self.keys.entry((buyer.clone(), key.to_owned())).or_default();
            if let Some(earlier) = made.last().filter(|order| self.orders[*order].retired.is_none())
            {
                return Err(format!("I3 key {key} of {buyer} made {earlier} and {}", placed.order));
            }
            made.push(placed.order);
        }
        self.buyers.entry(buyer.clone()).or_default().push(placed.order);
        let order = Order {
            buyer,
            key: placed.key.map(|(_, key)| key.to_owned()),
            fingerprint: placed.fingerprint,
            lines: placed.lines.clone(),
            currency: placed.currency,
            created_at: meta.time,
            expires_at: placed.expires_at,
            states: vec![(sequence, OrderStatus::Reserved)],
            since: meta.time,
            retired: None,
        };
        match self.orders.insert(placed.order, order) {
            Some(_) => Err(format!("I3 order {} is made twice", placed.order)),
            None => Ok(()),
        }
    }

    fn ended(
        &mut self,
        sequence: u64,
        meta: &Meta,
        ended: &OrderEnded,
        status: OrderStatus,
    ) -> Result<(), String> {
        let order = self.orders.get_mut(&ended.order);
        let order = order.ok_or_else(|| format!("I10 order {} does not exist", ended.order))?;
        if order.status() != OrderStatus::Reserved
            || ended.version as usize != order.states.len() + 1
            || ended.lines != order.lines
        {
            return Err(format!("I10 order {} ends twice or otherwise than it began", ended.order));
        }
        if status == OrderStatus::Expired && meta.time < order.expires_at {
            return Err(format!("I10 order {} expires early", ended.order));
        }
        order.states.push((sequence, status));
        order.since = meta.time;
        let buyer = order.buyer.clone();
        for Line { sku, quantity, draws } in &ended.lines {
            let stock = self.sku_mut(sku)?;
            stock.shift(draws, Change::Restore)?;
            stock.count(sequence);
            let past = self.units.get_mut(&(buyer.clone(), sku.clone()));
            let past = past.ok_or_else(|| format!("I1 {buyer} has nothing of {sku}"))?;
            let has = past.last().expect("never empty").1;
            let left = has.checked_sub(quantity.units());
            past.push((sequence, left.ok_or_else(|| format!("I1 {buyer} has {has} of {sku}"))?));
        }
        Ok(())
    }

    fn retired(
        &mut self,
        sequence: u64,
        meta: &Meta,
        retired: &OrderRetired,
    ) -> Result<(), String> {
        let (retention_us, stored) = (self.retention_us, self.stored);
        let order = self.orders.get_mut(&retired.order);
        let order = order.ok_or_else(|| format!("I10 order {} does not exist", retired.order))?;
        let (last, status) = *order.states.last().expect("it was placed");
        let id = retired.order;
        if !status.is_final() || order.retired.is_some() {
            return Err(format!("I10 order {id} leaves twice or while it is {status:?}"));
        }
        if meta.time.micros_since(order.since) < retention_us {
            return Err(format!("I3 order {id} leaves before its retention is over"));
        }
        if last > stored {
            return Err(format!("I8 order {id} leaves at {last}, SQL had {stored} at most"));
        }
        order.retired = Some(sequence);
        Ok(())
    }
}
