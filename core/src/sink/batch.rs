//! Rows from events: what one transaction stores.
//!
//! Rows follow from the events alone. What several events of a batch say about one row is folded
//! into one row or one change; lots' counters are changed by what events moved, summed up.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use crate::event::{
    Actor, Draw, Event, LotReceived, Meta, OrderEnded, OrderPlaced, OrderStatus, SkuDefined,
    UnitsWithdrawn, total,
};
use crate::id::{OrderId, RequestId};
use crate::name::{LotId, SkuId};
use crate::time::Timestamp;

use super::table::{
    LOTS, ORDER_DRAWS, ORDER_EVENTS, ORDER_LINES, ORDERS, SKUS, Table, Value, WITHDRAWAL_DRAWS,
    WITHDRAWALS,
};
use super::words::Words;

type Map<K, V> = HashMap<K, V, FxBuildHasher>;

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

    fn clear(&mut self) {
        self.values.clear();
    }
}

/// What became of an order that an earlier transaction stored.
#[derive(Clone, Debug)]
pub(super) struct OrderChange {
    pub(super) order: Arc<str>,
    pub(super) status: Arc<str>,
    pub(super) version: u32,
    pub(super) updated_at: Timestamp,
    pub(super) sequence: u64,
}

/// How many units of a lot went where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) available: i64,
    pub(super) held: i64,
    pub(super) sold: i64,
    pub(super) withdrawn: i64,
    pub(super) sequence: u64,
}

/// The rows that follow from a run of records, without a gap.
#[derive(Debug)]
pub(super) struct Batch {
    cell: Value,
    words: Words,
    /// The sequence behind which the batch begins.
    pub(super) after: u64,
    /// The sequence of its last record; `after` if it has none.
    pub(super) through: u64,
    /// When its last record was decided.
    pub(super) last_time: Timestamp,
    /// Encoded bytes of its records.
    pub(super) bytes: usize,
    pub(super) skus: Rows,
    pub(super) lots: Rows,
    pub(super) withdrawals: Rows,
    pub(super) withdrawal_draws: Rows,
    pub(super) orders: Rows,
    pub(super) order_lines: Rows,
    pub(super) order_draws: Rows,
    pub(super) order_events: Rows,
    pub(super) order_changes: BTreeMap<OrderId, OrderChange>,
    pub(super) moved: BTreeMap<(SkuId, LotId), Moved>,
    sku_rows: Map<SkuId, usize>,
    order_rows: Map<OrderId, usize>,
}

/// A record whose event no row can hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the amount of order {order} is beyond what an amount can be")]
pub(super) struct Unstorable {
    order: OrderId,
}

impl Batch {
    /// An empty batch for a cell, with at most `names_max` names kept at hand.
    pub(super) fn new(cell: u16, names_max: usize) -> Self {
        Self {
            cell: Value::number(cell),
            words: Words::new(names_max),
            after: 0,
            through: 0,
            last_time: Timestamp::ZERO,
            bytes: 0,
            skus: Rows::new(&SKUS),
            lots: Rows::new(&LOTS),
            withdrawals: Rows::new(&WITHDRAWALS),
            withdrawal_draws: Rows::new(&WITHDRAWAL_DRAWS),
            orders: Rows::new(&ORDERS),
            order_lines: Rows::new(&ORDER_LINES),
            order_draws: Rows::new(&ORDER_DRAWS),
            order_events: Rows::new(&ORDER_EVENTS),
            order_changes: BTreeMap::new(),
            moved: BTreeMap::new(),
            sku_rows: Map::default(),
            order_rows: Map::default(),
        }
    }

    /// Empties the batch; the next one begins behind `after`.
    pub(super) fn begin(&mut self, after: u64) {
        (self.after, self.through, self.bytes) = (after, after, 0);
        for rows in [
            &mut self.skus,
            &mut self.lots,
            &mut self.withdrawals,
            &mut self.withdrawal_draws,
            &mut self.orders,
            &mut self.order_lines,
            &mut self.order_draws,
            &mut self.order_events,
        ] {
            rows.clear();
        }
        self.order_changes.clear();
        self.moved.clear();
        self.sku_rows.clear();
        self.order_rows.clear();
    }

    /// How many records it covers.
    pub(super) fn records(&self) -> u64 {
        self.through - self.after
    }

    /// The rows that it adds, by table.
    pub(super) fn tables(&self) -> [&Rows; 8] {
        [
            &self.skus,
            &self.lots,
            &self.withdrawals,
            &self.withdrawal_draws,
            &self.orders,
            &self.order_lines,
            &self.order_draws,
            &self.order_events,
        ]
    }

    /// How many rows it adds or changes, the watermark's not counted.
    pub(super) fn rows(&self) -> u64 {
        let added: usize = self.tables().map(Rows::len).iter().sum();
        (added + self.order_changes.len() + self.moved.len()) as u64
    }

    /// Takes the event of the next record, which has `bytes` bytes.
    ///
    /// # Errors
    /// No row can hold it. The batch is as it was.
    ///
    /// # Panics
    /// If a record is left out.
    pub(super) fn take(
        &mut self,
        sequence: u64,
        meta: &Meta,
        event: &Event<'_>,
        bytes: usize,
    ) -> Result<(), Unstorable> {
        assert_eq!(sequence, self.through + 1, "I8 no record is left out");
        match event {
            Event::Genesis(_) | Event::FormatRaised(_) => {}
            Event::SkuDefined(defined) => self.sku(sequence, meta, defined),
            Event::LotReceived(received) => self.lot(sequence, meta, received),
            Event::UnitsWithdrawn(withdrawn) => self.withdrawal(sequence, meta, withdrawn),
            Event::OrderPlaced(placed) => self.placed(sequence, meta, placed)?,
            Event::OrderCancelled(ended) => {
                self.ended(sequence, meta, ended, OrderStatus::Cancelled);
            }
            Event::OrderExpired(ended) => self.ended(sequence, meta, ended, OrderStatus::Expired),
            // Its rows stay: from here on they are all that is left of it.
            Event::OrderRetired(retired) => {
                self.event(sequence, meta, id_text(retired.order), "retired", None);
            }
        }
        self.through = sequence;
        self.last_time = meta.time;
        self.bytes += bytes;
        Ok(())
    }

    fn sku(&mut self, sequence: u64, meta: &Meta, defined: &SkuDefined<'_>) {
        const CREATED_AT: usize = SKUS.column("created_at");
        let mut row = [
            self.cell.clone(),
            Value::Text(self.words.sku(&defined.sku)),
            Value::number(defined.revision),
            Value::text(defined.title),
            Value::number(defined.unit_price.minor()),
            Value::Text(self.words.currency(defined.currency)),
            Value::number(defined.per_buyer_limit),
            Value::number(defined.hold_seconds),
            Value::number(u8::from(defined.standby_pass)),
            Value::number(meta.time.micros()),
            Value::number(meta.time.micros()),
            Value::number(sequence),
        ];
        match self.sku_rows.get(&defined.sku) {
            Some(number) => {
                let earlier = self.skus.row_mut(*number);
                row[CREATED_AT] = earlier[CREATED_AT].clone();
                earlier.clone_from_slice(&row);
            }
            None => {
                self.sku_rows.insert(defined.sku.clone(), self.skus.len());
                self.skus.values.extend(row);
            }
        }
    }

    fn lot(&mut self, sequence: u64, meta: &Meta, received: &LotReceived) {
        let quantity = Value::number(received.quantity.units());
        self.lots.values.extend([
            self.cell.clone(),
            Value::Text(self.words.sku(&received.sku)),
            Value::Text(self.words.lot(&received.lot)),
            Value::number(received.ordinal),
            quantity.clone(),
            received.unit_price.map_or(Value::Null, |price| Value::number(price.minor())),
            quantity,
            Value::Integer(0),
            Value::Integer(0),
            Value::Integer(0),
            Value::number(meta.time.micros()),
            Value::number(sequence),
        ]);
    }

    fn withdrawal(&mut self, sequence: u64, meta: &Meta, withdrawn: &UnitsWithdrawn<'_>) {
        let sku = self.words.sku(&withdrawn.sku);
        let withdrawal = Value::text(withdrawn.withdrawal.as_str());
        self.withdrawals.values.extend([
            self.cell.clone(),
            Value::Text(Arc::clone(&sku)),
            withdrawal.clone(),
            Value::number(withdrawn.quantity.units()),
            Value::text(withdrawn.reason),
            Value::number(meta.time.micros()),
            Value::number(sequence),
        ]);
        for (number, draw) in withdrawn.draws.iter().enumerate() {
            self.withdrawal_draws.values.extend([
                self.cell.clone(),
                Value::Text(Arc::clone(&sku)),
                withdrawal.clone(),
                Value::number(number),
                Value::Text(self.words.lot(&draw.lot)),
                Value::number(draw.ordinal),
                Value::number(draw.quantity.units()),
            ]);
            self.move_units(&withdrawn.sku, draw, sequence, |moved, units| {
                moved.available -= units;
                moved.withdrawn += units;
            });
        }
    }

    fn placed(
        &mut self,
        sequence: u64,
        meta: &Meta,
        placed: &OrderPlaced<'_>,
    ) -> Result<(), Unstorable> {
        // What the sum can hold, each line can.
        let amount = total(&placed.lines).ok_or(Unstorable { order: placed.order })?;
        let id = id_text(placed.order);
        let time = Value::number(meta.time.micros());
        self.order_rows.insert(placed.order, self.orders.len());
        self.orders.values.extend([
            self.cell.clone(),
            Value::Text(Arc::clone(&id)),
            Value::text(placed.buyer_name),
            placed.key.map_or(Value::Null, |(_, key)| Value::text(key)),
            Value::Text(self.words.status(OrderStatus::Reserved)),
            Value::Integer(1),
            Value::number(amount.minor()),
            Value::Text(self.words.currency(placed.currency)),
            time.clone(),
            Value::number(placed.expires_at.micros()),
            time,
            Value::number(sequence),
        ]);
        for (number, line) in placed.lines.iter().enumerate() {
            let amount = line.amount().map_or(0, |amount| amount.minor());
            self.order_lines.values.extend([
                self.cell.clone(),
                Value::Text(Arc::clone(&id)),
                Value::number(number),
                Value::Text(self.words.sku(&line.sku)),
                Value::number(line.quantity.units()),
                Value::number(amount),
            ]);
            for (draw_number, draw) in line.draws.iter().enumerate() {
                self.order_draws.values.extend([
                    self.cell.clone(),
                    Value::Text(Arc::clone(&id)),
                    Value::number(number),
                    Value::number(draw_number),
                    Value::Text(self.words.lot(&draw.lot)),
                    Value::number(draw.ordinal),
                    Value::number(draw.quantity.units()),
                    Value::number(draw.unit_price.minor()),
                ]);
                self.move_units(&line.sku, draw, sequence, |moved, units| {
                    moved.available -= units;
                    moved.held += units;
                });
            }
        }
        self.event(sequence, meta, id, "placed", Some(1));
        Ok(())
    }

    fn ended(&mut self, sequence: u64, meta: &Meta, ended: &OrderEnded, status: OrderStatus) {
        for line in &ended.lines {
            for draw in &line.draws {
                self.move_units(&line.sku, draw, sequence, |moved, units| {
                    moved.held -= units;
                    moved.available += units;
                });
            }
        }
        let id = id_text(ended.order);
        let change = OrderChange {
            order: Arc::clone(&id),
            status: self.words.status(status),
            version: ended.version,
            updated_at: meta.time,
            sequence,
        };
        self.change(ended.order, change);
        self.event(sequence, meta, id, status.as_str(), Some(ended.version));
    }

    /// Changes the order's row, in this batch or in the store.
    fn change(&mut self, order: OrderId, change: OrderChange) {
        const STATUS: usize = ORDERS.column("status");
        const VERSION: usize = ORDERS.column("version");
        const UPDATED_AT: usize = ORDERS.column("updated_at");
        const SEQUENCE: usize = ORDERS.column("sequence");
        match self.order_rows.get(&order) {
            Some(number) => {
                let row = self.orders.row_mut(*number);
                row[STATUS] = Value::Text(change.status);
                row[VERSION] = Value::number(change.version);
                row[UPDATED_AT] = Value::number(change.updated_at.micros());
                row[SEQUENCE] = Value::number(change.sequence);
            }
            None => {
                self.order_changes.insert(order, change);
            }
        }
    }

    fn event(
        &mut self,
        sequence: u64,
        meta: &Meta,
        order: Arc<str>,
        kind: &'static str,
        version: Option<u32>,
    ) {
        let request = match meta.request {
            RequestId::NONE => Value::Null,
            request => Value::text(ascii(&request.ascii())),
        };
        self.order_events.values.extend([
            self.cell.clone(),
            Value::number(sequence),
            Value::Text(order),
            Value::Text(self.words.word(kind)),
            version.map_or(Value::Null, Value::number),
            Value::number(meta.time.micros()),
            Value::Text(self.words.word(actor(meta.actor))),
            request,
        ]);
    }

    fn move_units(
        &mut self,
        sku: &SkuId,
        draw: &Draw,
        sequence: u64,
        act: impl FnOnce(&mut Moved, i64),
    ) {
        let moved = self.moved.entry((sku.clone(), draw.lot.clone())).or_default();
        act(moved, i64::from(draw.quantity.get()));
        moved.sequence = sequence;
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

fn id_text(order: OrderId) -> Arc<str> {
    Arc::from(ascii(&order.ascii()))
}

fn ascii(text: &[u8]) -> &str {
    std::str::from_utf8(text).expect("ASCII")
}
