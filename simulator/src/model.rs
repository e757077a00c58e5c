//! The naive model: what the journal says, folded record by record with ordered maps and no
//! cleverness. The oracle of I1, I3, I9, I10 and I11. Shares the events with the ledger and nothing
//! else.
//!
//! Keeps the past as well: what an answer says must have been so at some durable sequence.

use std::collections::BTreeMap;

use sluice_core::event::{Event, Meta, OrderStatus, SinkName, record};
use sluice_core::id::{HashKey, OrderId, PaymentId};
use sluice_core::name::{SaleId, SkuId};
use sluice_core::outcome::SaleView;
use sluice_core::time::Timestamp;

mod orders;
mod payments;
mod sales;
mod skus;
mod standby;

pub use orders::Order;
pub use payments::Payment;
pub use sales::is_over;
pub use skus::{Lot, Sku, Terms};

/// A value and the sequences from which it held: oldest first.
pub type Past<T> = Vec<(u64, T)>;

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
    /// All payments.
    pub payments: BTreeMap<PaymentId, Payment>,
    /// Notices that fitted no payment, in words, and the first record of each.
    pub unmatched: BTreeMap<String, u64>,
    /// All sales, over time.
    pub sales: BTreeMap<SaleId, Past<SaleView>>,
    /// The sale that a SKU is in, or was in last, over time.
    pub sale_of: BTreeMap<SkuId, Past<Option<SaleId>>>,
    /// All records about sales.
    pub sale_news: Vec<u64>,
    /// How long a final order stays, in microseconds.
    pub retention_us: u64,
    /// How long a hold lasts at least from the first start of its payment, in microseconds.
    pub extension_us: u64,
    /// The highest sequence that SQL ever had.
    pub stored: u64,
    /// Whether the run that writes has one shard: nothing is in flight between two commands.
    pub alone: bool,
    /// What was durable when nothing was half-way for the last time.
    pub settled: u64,
    /// Units that count against limits of SKUs, over time.
    pub units: BTreeMap<(String, SkuId), Past<u64>>,
    /// Units that count against limits of sales, over time.
    pub sale_units: BTreeMap<(String, SaleId), Past<u64>>,
    /// The record that a request made.
    pub requests: BTreeMap<u128, u64>,
    /// What sinks are to pass over, and the first record that says so.
    pub skips: BTreeMap<(SinkName, u64), u64>,
    /// The same as it was said, one after the other.
    pub words: Vec<(SinkName, u64)>,
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
        self.fold_event(sequence, &meta, &event)
            .map_err(|what| format!("record {sequence}: {what}"))
    }

    fn fold_event(&mut self, n: u64, meta: &Meta, event: &Event<'_>) -> Result<(), String> {
        use OrderStatus as S;
        let at = (n, meta.time);
        match event {
            Event::Genesis(genesis) if n == 1 => {
                self.hash_key = Some(genesis.hash_key);
                Ok(())
            }
            Event::Genesis(_) | Event::FormatRaised(_) => Err("is out of place".to_owned()),
            Event::SkuDefined(defined) => self.defined(n, defined),
            Event::LotReceived(received) => self.received(at, received),
            Event::UnitsWithdrawn(withdrawn) => self.withdrawn(at, withdrawn),
            Event::OrderPlaced(placed) => self.placed(n, meta, placed),
            Event::OrderCancelled(ended) => self.ended(n, meta, ended, S::Cancelled),
            Event::OrderExpired(ended) => self.ended(n, meta, ended, S::Expired),
            Event::OrderRetired(retired) => self.retired(n, meta, retired),
            Event::OrderQueued(queued) => self.queued(n, meta, queued),
            Event::OrderPromoted(promoted) => self.promoted(n, meta, promoted),
            Event::StandbyLeft(left) => self.left(n, meta, left),
            Event::PaymentStarted(started) => self.payment_started(n, meta, started),
            Event::PaymentFailed(failed) => self.payment_failed(n, meta, failed),
            Event::OrderPaid(paid) => self.paid(n, meta, paid),
            Event::RefundRequested(asked) => self.refund_requested(n, meta, asked),
            Event::RefundSucceeded(ended) => self.refund_ended(n, meta, ended, true),
            Event::RefundFailed(ended) => self.refund_ended(n, meta, ended, false),
            Event::NoticeUnmatched(notice) => self.unmatched(n, notice),
            Event::OrderShipped(shipped) => self.shipped(at, shipped),
            Event::OrderDelivered(done) => {
                self.moved_on(at, done.order, (done.version, S::Shipped, S::Delivered))
            }
            Event::SaleDefined(defined) => self.sale_defined(n, defined),
            Event::SaleMoved(moved) => self.sale_moved(n, meta, moved),
            Event::RecordSkipped(skipped) if skipped.sequence < n => {
                let word = (skipped.sink, skipped.sequence);
                self.skips.entry(word).or_insert(n);
                self.words.push(word);
                Ok(())
            }
            Event::RecordSkipped(_) => Err("a record to come cannot be passed over".to_owned()),
        }
    }

    /// Units of a SKU that count against a buyer's limit, over time.
    pub fn units_of(&self, buyer: &str, sku: &SkuId) -> Option<&Past<u64>> {
        self.units.get(&(buyer.to_owned(), sku.clone()))
    }

    /// Units that count against a buyer's limit over a sale's SKUs, over time.
    pub fn units_in(&self, buyer: &str, sale: &SaleId) -> Option<&Past<u64>> {
        self.sale_units.get(&(buyer.to_owned(), sale.clone()))
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
        orders.map(|(id, order)| (*id, order.expires_at()))
    }
}
