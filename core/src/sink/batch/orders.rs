//! Orders: what they hold, and what becomes of them.

use std::sync::Arc;

use crate::event::{
    Line, OrderDelivered, OrderEnded, OrderPlaced, OrderPromoted, OrderQueued, OrderShipped,
    OrderStatus, StandbyLeft, total,
};
use crate::id::OrderId;
use crate::time::Timestamp;

use super::super::table::{ORDER_LINES, ORDERS, Value};
use super::{At, Batch, Happened, Unstorable, order_text};

/// What became of an order that an earlier transaction stored.
#[derive(Clone, Debug)]
pub(in crate::sink) struct OrderChange {
    pub(in crate::sink) order: Arc<str>,
    /// Its state, if an event of the batch says so.
    pub(in crate::sink) status: Option<Arc<str>>,
    pub(in crate::sink) version: u32,
    pub(in crate::sink) updated_at: Timestamp,
    pub(in crate::sink) sequence: u64,
}

/// What such an order holds from now on, as far as it changed.
#[derive(Clone, Debug)]
pub(in crate::sink) struct HoldChange {
    pub(in crate::sink) order: Arc<str>,
    pub(in crate::sink) amount: Value,
    pub(in crate::sink) expires_at: Value,
}

/// Where the rows of an order of this batch are.
#[derive(Clone, Copy, Debug)]
pub(super) struct OrderRows {
    order: usize,
    /// Its first line; the others follow.
    lines: usize,
}

/// What a new order is.
struct New<'a> {
    order: OrderId,
    id: &'a Arc<str>,
    buyer: &'a str,
    key: Option<&'a str>,
    status: OrderStatus,
    amount: Value,
    currency: Arc<str>,
    expires_at: Value,
}

impl Batch {
    pub(super) fn placed(
        &mut self,
        at: &At<'_>,
        placed: &OrderPlaced<'_>,
    ) -> Result<(), Unstorable> {
        // What the sum can hold, each line can.
        let amount = amount_of(placed.order, &placed.lines)?;
        let id = order_text(placed.order);
        let currency = self.words.currency(placed.currency);
        let new = New {
            order: placed.order,
            id: &id,
            buyer: placed.buyer_name,
            key: placed.key.map(|(_, key)| key),
            status: OrderStatus::Reserved,
            amount,
            currency,
            expires_at: Value::number(placed.expires_at.micros()),
        };
        self.new_order(at, new);
        for (number, line) in placed.lines.iter().enumerate() {
            self.line(&id, number, line, amount_of_line(line));
        }
        let mut draws = std::mem::take(&mut self.order_draws.values);
        self.draws(&id, &placed.lines, &mut draws);
        self.order_draws.values = draws;
        self.happened(at, id, Some(1));
        Ok(())
    }

    pub(super) fn queued(&mut self, at: &At<'_>, queued: &OrderQueued<'_>) {
        let id = order_text(queued.order);
        let currency = self.words.currency(queued.currency);
        let new = New {
            order: queued.order,
            id: &id,
            buyer: queued.buyer_name,
            key: queued.key.map(|(_, key)| key),
            status: OrderStatus::Waiting,
            amount: Value::Null,
            currency,
            expires_at: Value::Null,
        };
        self.new_order(at, new);
        let line = Line {
            sku: queued.sku.clone(),
            quantity: queued.quantity,
            sale: queued.sale.clone(),
            draws: Default::default(),
        };
        self.line(&id, 0, &line, Value::Null);
        self.standby.values.extend([
            self.cell.clone(),
            Value::Text(Arc::clone(&id)),
            Value::Text(self.words.sku(&queued.sku)),
            Value::number(queued.ticket),
            queued.max_amount.map_or(Value::Null, |amount| Value::number(amount.minor())),
            at.sequence(),
        ]);
        self.happened(at, id, Some(1));
    }

    pub(super) fn promoted(
        &mut self,
        at: &At<'_>,
        promoted: &OrderPromoted,
    ) -> Result<(), Unstorable> {
        let lines = std::slice::from_ref(&promoted.line);
        let amount = amount_of(promoted.order, lines)?;
        let id = order_text(promoted.order);
        let mut draws = std::mem::take(&mut self.order_draws.values);
        self.draws(&id, lines, &mut draws);
        self.order_draws.values = draws;
        let expires_at = Value::number(promoted.expires_at.micros());
        self.change_hold(promoted.order, &id, amount, expires_at);
        self.change_lines(promoted.order, lines);
        let status = Some(OrderStatus::Reserved);
        self.change(at, promoted.order, Arc::clone(&id), promoted.version, status);
        self.happened(at, id, Some(promoted.version));
        Ok(())
    }

    pub(super) fn left(&mut self, at: &At<'_>, left: &StandbyLeft) {
        let status = OrderStatus::Cancelled;
        let detail = left.reason.detail().map_or(Value::Null, Value::text);
        self.entered(at, left.order, left.version, status, detail);
    }

    pub(super) fn ended(&mut self, at: &At<'_>, ended: &OrderEnded, status: OrderStatus) {
        self.entered(at, ended.order, ended.version, status, Value::Null);
    }

    pub(super) fn shipped(&mut self, at: &At<'_>, shipped: &OrderShipped<'_>) {
        let OrderShipped { order, version, carrier, tracking_number } = shipped;
        self.shipments.values.extend([
            self.cell.clone(),
            Value::Text(order_text(*order)),
            Value::text(carrier),
            Value::text(tracking_number),
            at.time(),
            at.sequence(),
        ]);
        let detail = Value::text(&format!("{carrier} {tracking_number}"));
        self.entered(at, *order, *version, OrderStatus::Shipped, detail);
    }

    pub(super) fn delivered(&mut self, at: &At<'_>, delivered: &OrderDelivered) {
        let status = OrderStatus::Delivered;
        self.entered(at, delivered.order, delivered.version, status, Value::Null);
    }

    /// An order that left the ledger. Its rows stay: from here on they are all that is left of it.
    pub(super) fn retired(&mut self, at: &At<'_>, order: OrderId) {
        self.happened(at, order_text(order), None);
    }

    /// An order that entered a state.
    fn entered(
        &mut self,
        at: &At<'_>,
        order: OrderId,
        version: u32,
        status: OrderStatus,
        detail: Value,
    ) {
        let id = order_text(order);
        self.change(at, order, Arc::clone(&id), version, Some(status));
        let happened = Happened { order: id, version: Some(version), payment: None, detail };
        self.event(at, happened);
    }

    fn happened(&mut self, at: &At<'_>, order: Arc<str>, version: Option<u32>) {
        let happened = Happened { order, version, payment: None, detail: Value::Null };
        self.event(at, happened);
    }

    /// The row of a new order. Its lines follow.
    fn new_order(&mut self, at: &At<'_>, new: New<'_>) {
        let rows = OrderRows { order: self.orders.len(), lines: self.order_lines.len() };
        self.order_rows.insert(new.order, rows);
        self.orders.values.extend([
            self.cell.clone(),
            Value::Text(Arc::clone(new.id)),
            Value::text(new.buyer),
            new.key.map_or(Value::Null, Value::text),
            Value::Text(self.words.status(new.status)),
            Value::Integer(1),
            new.amount,
            Value::Text(new.currency),
            at.time(),
            new.expires_at,
            at.time(),
            at.sequence(),
        ]);
    }

    fn line(&mut self, id: &Arc<str>, number: usize, line: &Line, amount: Value) {
        let sale = line.sale.as_ref().map(|sale| self.words.sale(sale));
        self.order_lines.values.extend([
            self.cell.clone(),
            Value::Text(Arc::clone(id)),
            Value::number(number),
            Value::Text(self.words.sku(&line.sku)),
            sale.map_or(Value::Null, Value::Text),
            Value::number(line.quantity.units()),
            amount,
        ]);
    }

    /// Appends the rows of the lots that an order was drawn from.
    fn draws(&mut self, id: &Arc<str>, lines: &[Line], rows: &mut Vec<Value>) {
        for (number, line) in lines.iter().enumerate() {
            for (draw_number, draw) in line.draws.iter().enumerate() {
                rows.extend([
                    self.cell.clone(),
                    Value::Text(Arc::clone(id)),
                    Value::number(number),
                    Value::number(draw_number),
                    Value::Text(self.words.lot(&draw.lot)),
                    Value::number(draw.ordinal),
                    Value::number(draw.quantity.units()),
                    Value::number(draw.unit_price.minor()),
                ]);
            }
        }
    }

    /// An order whose units were taken again, perhaps of other lots.
    pub(super) fn redraw(
        &mut self,
        order: OrderId,
        id: &Arc<str>,
        lines: &[Line],
    ) -> Result<(), Unstorable> {
        let amount = amount_of(order, lines)?;
        let mut rows = Vec::new();
        self.draws(id, lines, &mut rows);
        self.redrawn.insert(order, rows);
        self.change_hold(order, id, amount, Value::Null);
        self.change_lines(order, lines);
        Ok(())
    }

    /// Changes the order's row, in this batch or in the store. `status`: if the event says it.
    pub(super) fn change(
        &mut self,
        at: &At<'_>,
        order: OrderId,
        id: Arc<str>,
        version: u32,
        status: Option<OrderStatus>,
    ) {
        const STATUS: usize = ORDERS.column("status");
        const VERSION: usize = ORDERS.column("version");
        const UPDATED_AT: usize = ORDERS.column("updated_at");
        const SEQUENCE: usize = ORDERS.column("sequence");
        let status = status.map(|status| self.words.status(status));
        if let Some(rows) = self.order_rows.get(&order) {
            let row = self.orders.row_mut(rows.order);
            if let Some(status) = status {
                row[STATUS] = Value::Text(status);
            }
            row[VERSION] = Value::number(version);
            row[UPDATED_AT] = at.time();
            row[SEQUENCE] = at.sequence();
            return;
        }
        let (updated_at, sequence) = (at.meta.time, at.sequence);
        let change = OrderChange { order: id, status, version, updated_at, sequence };
        match self.order_changes.entry(order) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(change);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                let earlier = entry.get_mut();
                let status = change.status.clone().or_else(|| earlier.status.take());
                *earlier = OrderChange { status, ..change };
            }
        }
    }

    /// Changes what the order's row says of its hold; `Null` changes nothing.
    pub(super) fn change_hold(
        &mut self,
        order: OrderId,
        id: &Arc<str>,
        amount: Value,
        expires_at: Value,
    ) {
        const AMOUNT: usize = ORDERS.column("amount");
        const EXPIRES_AT: usize = ORDERS.column("expires_at");
        if let Some(rows) = self.order_rows.get(&order) {
            let row = self.orders.row_mut(rows.order);
            replace(&mut row[AMOUNT], amount);
            replace(&mut row[EXPIRES_AT], expires_at);
            return;
        }
        let change = self.hold_changes.entry(order).or_insert_with(|| HoldChange {
            order: Arc::clone(id),
            amount: Value::Null,
            expires_at: Value::Null,
        });
        replace(&mut change.amount, amount);
        replace(&mut change.expires_at, expires_at);
    }

    /// Changes the amounts of an order's lines.
    fn change_lines(&mut self, order: OrderId, lines: &[Line]) {
        const AMOUNT: usize = ORDER_LINES.column("amount");
        let rows = self.order_rows.get(&order).copied();
        for (number, line) in lines.iter().enumerate() {
            let amount = amount_of_line(line);
            match rows {
                Some(rows) => self.order_lines.row_mut(rows.lines + number)[AMOUNT] = amount,
                None => {
                    self.line_changes.insert((order, number), amount);
                }
            }
        }
    }
}

fn replace(value: &mut Value, by: Value) {
    if by != Value::Null {
        *value = by;
    }
}

fn amount_of(order: OrderId, lines: &[Line]) -> Result<Value, Unstorable> {
    let amount = total(lines).ok_or_else(|| Unstorable {
        what: format!("the amount of order {order} is beyond what an amount can be"),
    })?;
    Ok(Value::number(amount.minor()))
}

fn amount_of_line(line: &Line) -> Value {
    Value::number(line.amount().map_or(0, |amount| amount.minor()))
}
