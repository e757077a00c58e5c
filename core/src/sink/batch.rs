//! Rows from events: what one transaction stores.
//!
//! Rows follow from the events alone. What several events of a batch say about one row is folded
//! into one row or one change; lots' counters are changed by what events moved, summed up.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use crate::event::{Actor, Event, Meta, OrderStatus, RecordSkipped};
use crate::id::{OrderId, PaymentId, RequestId};
use crate::name::{LotId, SaleId, SkuId};
use crate::outcome::PaymentStatus;
use crate::time::Timestamp;

use super::store::{Extent, Gathered, Unstorable};
use super::table::{
    LOTS, ORDER_DRAWS, ORDER_EVENTS, ORDER_LINES, ORDERS, PAYMENTS, SALES, SHIPMENTS,
    SKIPPED_RECORDS, SKUS, STANDBY, Table, UNMATCHED_NOTICES, Value, WITHDRAWAL_DRAWS, WITHDRAWALS,
};
use super::told::{kind, moves};
use super::words::Words;

mod orders;
mod payments;
mod sales;
mod stock;

use orders::OrderRows;
pub(super) use orders::{HoldChange, OrderChange};
pub(super) use payments::PaymentChange;
pub(super) use sales::SaleChange;
pub(super) use stock::Moved;

type Map<K, V> = HashMap<K, V, FxBuildHasher>;

/// Rows that take the place of all that a table has of an order or a sale.
pub(super) type Replaced<K> = BTreeMap<K, Vec<Value>>;

/// Rows of one table, one behind the other.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) table: &'static Table,
    pub(super) values: Vec<Value>,
}

impl Rows {
    fn new(table: &'static Table) -> Self {
        Self { table, values: Vec::new() }
    }

    fn len(&self) -> usize {
        self.values.len() / self.table.columns.len()
    }

    fn row_mut(&mut self, row: usize) -> &mut [Value] {
        let width = self.table.columns.len();
        &mut self.values[row * width..][..width]
    }
}

/// The rows that follow from a run of records, without a gap.
#[derive(Debug)]
pub(super) struct Batch {
    cell: Value,
    words: Words,
    extent: Extent,
    skus: Rows,
    lots: Rows,
    withdrawals: Rows,
    withdrawal_draws: Rows,
    sales: Rows,
    orders: Rows,
    order_lines: Rows,
    order_draws: Rows,
    standby: Rows,
    shipments: Rows,
    payments: Rows,
    order_events: Rows,
    unmatched_notices: Rows,
    skipped_records: Rows,
    /// What became of orders that earlier transactions stored.
    pub(super) order_changes: BTreeMap<OrderId, OrderChange>,
    pub(super) hold_changes: BTreeMap<OrderId, HoldChange>,
    /// The amounts of their lines, by number.
    pub(super) line_changes: BTreeMap<(OrderId, usize), Value>,
    /// Lots that orders were drawn from anew. After all other rows.
    pub(super) redrawn: Replaced<OrderId>,
    pub(super) payment_changes: BTreeMap<PaymentId, PaymentChange>,
    pub(super) sale_changes: BTreeMap<SaleId, SaleChange>,
    pub(super) sale_skus: Replaced<SaleId>,
    pub(super) moved: BTreeMap<(SkuId, LotId), Moved>,
    sku_rows: Map<SkuId, usize>,
    sale_rows: Map<SaleId, usize>,
    order_rows: Map<OrderId, OrderRows>,
    payment_rows: Map<PaymentId, usize>,
}

/// What happened to an order.
struct Happened {
    order: Arc<str>,
    /// The order's version after it.
    version: Option<u32>,
    payment: Option<Arc<str>>,
    detail: Value,
}

impl Batch {
    /// An empty batch for a cell, with at most `names_max` names kept at hand.
    pub(super) fn new(cell: u16, names_max: usize) -> Self {
        Self {
            cell: Value::number(cell),
            words: Words::new(names_max),
            extent: Extent::behind(0),
            skus: Rows::new(&SKUS),
            lots: Rows::new(&LOTS),
            withdrawals: Rows::new(&WITHDRAWALS),
            withdrawal_draws: Rows::new(&WITHDRAWAL_DRAWS),
            sales: Rows::new(&SALES),
            orders: Rows::new(&ORDERS),
            order_lines: Rows::new(&ORDER_LINES),
            order_draws: Rows::new(&ORDER_DRAWS),
            standby: Rows::new(&STANDBY),
            shipments: Rows::new(&SHIPMENTS),
            payments: Rows::new(&PAYMENTS),
            order_events: Rows::new(&ORDER_EVENTS),
            unmatched_notices: Rows::new(&UNMATCHED_NOTICES),
            skipped_records: Rows::new(&SKIPPED_RECORDS),
            order_changes: BTreeMap::new(),
            hold_changes: BTreeMap::new(),
            line_changes: BTreeMap::new(),
            redrawn: Replaced::new(),
            payment_changes: BTreeMap::new(),
            sale_changes: BTreeMap::new(),
            sale_skus: Replaced::new(),
            moved: BTreeMap::new(),
            sku_rows: Map::default(),
            sale_rows: Map::default(),
            order_rows: Map::default(),
            payment_rows: Map::default(),
        }
    }

    /// The rows that it adds, by table.
    pub(super) fn tables(&self) -> [&Rows; 14] {
        [
            &self.skus,
            &self.lots,
            &self.withdrawals,
            &self.withdrawal_draws,
            &self.sales,
            &self.orders,
            &self.order_lines,
            &self.order_draws,
            &self.standby,
            &self.shipments,
            &self.payments,
            &self.order_events,
            &self.unmatched_notices,
            &self.skipped_records,
        ]
    }

    fn skipped(&mut self, at: &At<'_>, skipped: &RecordSkipped<'_>) {
        self.skipped_records.values.extend([
            self.cell.clone(),
            at.sequence(),
            Value::Text(self.words.word(skipped.sink.as_str())),
            Value::number(skipped.sequence),
            Value::text(skipped.why),
            at.time(),
        ]);
    }

    /// The row of an order's event.
    fn event(&mut self, at: &At<'_>, happened: Happened) {
        let request = match at.meta.request {
            RequestId::NONE => Value::Null,
            request => Value::text(ascii(&request.ascii())),
        };
        self.order_events.values.extend([
            self.cell.clone(),
            Value::number(at.sequence),
            Value::Text(happened.order),
            Value::Text(self.words.word(at.kind)),
            happened.version.map_or(Value::Null, Value::number),
            at.time(),
            Value::Text(self.words.word(actor(at.meta.actor))),
            request,
            happened.payment.map_or(Value::Null, Value::Text),
            happened.detail,
        ]);
    }
}

impl Gathered for Batch {
    fn begin(&mut self, after: u64) {
        self.extent = Extent::behind(after);
        for rows in [
            &mut self.skus,
            &mut self.lots,
            &mut self.withdrawals,
            &mut self.withdrawal_draws,
            &mut self.sales,
            &mut self.orders,
            &mut self.order_lines,
            &mut self.order_draws,
            &mut self.standby,
            &mut self.shipments,
            &mut self.payments,
            &mut self.order_events,
            &mut self.unmatched_notices,
            &mut self.skipped_records,
        ] {
            rows.values.clear();
        }
        self.order_changes.clear();
        self.hold_changes.clear();
        self.line_changes.clear();
        self.redrawn.clear();
        self.payment_changes.clear();
        self.sale_changes.clear();
        self.sale_skus.clear();
        self.moved.clear();
        self.sku_rows.clear();
        self.sale_rows.clear();
        self.order_rows.clear();
        self.payment_rows.clear();
    }

    fn extent(&self) -> &Extent {
        &self.extent
    }

    fn take(
        &mut self,
        sequence: u64,
        meta: &Meta,
        event: &Event<'_>,
        bytes: usize,
    ) -> Result<(), Unstorable> {
        let at = &At { sequence, meta, kind: kind(event).unwrap_or_default() };
        match event {
            Event::Genesis(_) | Event::FormatRaised(_) => {}
            Event::SkuDefined(defined) => self.sku(at, defined),
            Event::LotReceived(received) => self.lot(at, received),
            Event::UnitsWithdrawn(withdrawn) => self.withdrawal(at, withdrawn),
            Event::OrderPlaced(placed) => self.placed(at, placed)?,
            Event::OrderCancelled(ended) => self.ended(at, ended, OrderStatus::Cancelled),
            Event::OrderExpired(ended) => self.ended(at, ended, OrderStatus::Expired),
            Event::OrderRetired(retired) => self.retired(at, retired.order),
            Event::OrderQueued(queued) => self.queued(at, queued),
            Event::OrderPromoted(promoted) => self.promoted(at, promoted)?,
            Event::StandbyLeft(left) => self.left(at, left),
            Event::PaymentStarted(started) => self.payment_started(at, started),
            Event::PaymentFailed(failed) => self.payment_failed(at, failed),
            Event::OrderPaid(paid) => self.paid(at, paid)?,
            Event::RefundRequested(requested) => self.refund_requested(at, requested),
            Event::RefundSucceeded(ended) => self.refund_ended(at, ended, PaymentStatus::Refunded),
            Event::RefundFailed(ended) => self.refund_ended(at, ended, PaymentStatus::Refunding),
            Event::NoticeUnmatched(notice) => self.unmatched(at, notice),
            Event::OrderShipped(shipped) => self.shipped(at, shipped),
            Event::OrderDelivered(delivered) => self.delivered(at, delivered),
            Event::SaleDefined(defined) => self.sale(at, defined),
            Event::SaleMoved(moved) => self.sale_moved(at, moved),
            Event::RecordSkipped(skipped) => self.skipped(at, skipped),
        }
        if let Some((lines, way)) = moves(event) {
            self.move_lines(at, lines, way);
        }
        self.extent.cover(sequence, meta.time, bytes);
        Ok(())
    }

    fn pass_over(&mut self, sequence: u64, time: Timestamp, bytes: usize) {
        self.extent.cover(sequence, time, bytes);
    }

    fn rows(&self) -> u64 {
        let added: usize = self.tables().map(Rows::len).iter().sum();
        let changed = self.order_changes.len()
            + self.line_changes.len()
            + self.payment_changes.len()
            + self.sale_changes.len()
            + self.moved.len();
        let replaced = self.redrawn.len() + self.sale_skus.len();
        (added + changed + replaced) as u64
    }
}

/// The record that is being taken.
struct At<'a> {
    sequence: u64,
    meta: &'a Meta,
    /// The word for what happened to an order.
    kind: &'static str,
}

impl At<'_> {
    fn time(&self) -> Value {
        Value::number(self.meta.time.micros())
    }

    fn sequence(&self) -> Value {
        Value::number(self.sequence)
    }
}

/// The word for who caused an event.
pub(super) fn actor(actor: Actor) -> &'static str {
    match actor {
        Actor::Buyer => "buyer",
        Actor::Operator => "operator",
        Actor::Provider => "provider",
        Actor::Engine => "engine",
    }
}

fn order_text(order: OrderId) -> Arc<str> {
    Arc::from(ascii(&order.ascii()))
}

fn payment_text(payment: PaymentId) -> Arc<str> {
    Arc::from(ascii(&payment.ascii()))
}

fn ascii(text: &[u8]) -> &str {
    std::str::from_utf8(text).expect("ASCII")
}
