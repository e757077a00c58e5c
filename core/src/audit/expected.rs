//! The rows that an order's records call for.

use crate::event::{Actor, Event, Meta, OrderPlaced, OrderStatus};
use crate::id::{OrderId, RequestId};
use crate::sink::table::Value;
use crate::time::Timestamp;

/// What became of an order last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) status: OrderStatus,
    pub(super) version: u32,
    pub(super) time: Timestamp,
    pub(super) sequence: u64,
}

/// The row of an order's event; `None` if it is about no order.
pub(super) fn event(
    cell: u16,
    sequence: u64,
    meta: &Meta,
    event: &Event<'_>,
) -> Option<Vec<Value>> {
    let (order, kind, version) = match event {
        Event::OrderPlaced(placed) => (placed.order, "placed", Value::Integer(1)),
        Event::OrderCancelled(ended) => (ended.order, "cancelled", Value::number(ended.version)),
        Event::OrderExpired(ended) => (ended.order, "expired", Value::number(ended.version)),
        Event::OrderRetired(retired) => (retired.order, "retired", Value::Null),
        Event::Genesis(_)
        | Event::FormatRaised(_)
        | Event::SkuDefined(_)
        | Event::LotReceived(_)
        | Event::UnitsWithdrawn(_) => return None,
    };
    let actor = match meta.actor {
        Actor::Buyer => "buyer",
        Actor::Operator => "operator",
        Actor::Provider => "provider",
        Actor::Engine => "engine",
    };
    let asked = meta.request != RequestId::NONE;
    Some(vec![
        Value::number(cell),
        Value::number(sequence),
        id(order),
        Value::text(kind),
        version,
        Value::number(meta.time.micros()),
        Value::text(actor),
        if asked { Value::text(&meta.request.to_string()) } else { Value::Null },
    ])
}

/// The row of an order.
pub(super) fn order(
    cell: u16,
    meta: &Meta,
    placed: &OrderPlaced<'_>,
    sequence: u64,
    ended: Option<&Ended>,
) -> Vec<Value> {
    let (status, version) =
        ended.map_or((OrderStatus::Reserved, 1), |ended| (ended.status, ended.version));
    let amounts = placed.lines.iter().flat_map(|line| &line.draws);
    let amount: u64 =
        amounts.map(|draw| draw.unit_price.minor().saturating_mul(draw.quantity.units())).sum();
    vec![
        Value::number(cell),
        id(placed.order),
        Value::text(placed.buyer_name),
        placed.key.map_or(Value::Null, |(_, key)| Value::text(key)),
        Value::text(status.as_str()),
        Value::number(version),
        Value::number(amount),
        Value::text(placed.currency.as_str()),
        Value::number(meta.time.micros()),
        Value::number(placed.expires_at.micros()),
        Value::number(ended.map_or(meta.time, |ended| ended.time).micros()),
        Value::number(ended.map_or(sequence, |ended| ended.sequence)),
    ]
}

/// The row of an order of which only the end is known; the other columns are nothing.
pub(super) fn end_of_order(cell: u16, order: OrderId, ended: &Ended) -> Vec<Value> {
    let mut row = vec![Value::Null; crate::sink::table::ORDERS.columns.len()];
    row[0] = Value::number(cell);
    row[1] = id(order);
    row[4] = Value::text(ended.status.as_str());
    row[5] = Value::number(ended.version);
    row[10] = Value::number(ended.time.micros());
    row[11] = Value::number(ended.sequence);
    row
}

/// The columns that [`end_of_order`] does not know.
pub(super) const UNKNOWN_BEFORE_END: [usize; 6] = [2, 3, 6, 7, 8, 9];

/// The rows of an order's lines.
pub(super) fn lines(cell: u16, placed: &OrderPlaced<'_>) -> Vec<Vec<Value>> {
    let rows = placed.lines.iter().enumerate().map(|(number, line)| {
        let draws = line.draws.iter();
        let amount: u64 =
            draws.map(|draw| draw.unit_price.minor().saturating_mul(draw.quantity.units())).sum();
        vec![
            Value::number(cell),
            id(placed.order),
            Value::number(number),
            Value::text(line.sku.as_str()),
            Value::number(line.quantity.units()),
            Value::number(amount),
        ]
    });
    rows.collect()
}

/// The rows of the lots that an order's lines were drawn from.
pub(super) fn draws(cell: u16, placed: &OrderPlaced<'_>) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for (line_number, line) in placed.lines.iter().enumerate() {
        for (number, draw) in line.draws.iter().enumerate() {
            rows.push(vec![
                Value::number(cell),
                id(placed.order),
                Value::number(line_number),
                Value::number(number),
                Value::text(draw.lot.as_str()),
                Value::number(draw.ordinal),
                Value::number(draw.quantity.units()),
                Value::number(draw.unit_price.minor()),
            ]);
        }
    }
    rows
}

/// An order's id as a value.
pub(super) fn id(order: OrderId) -> Value {
    Value::text(&order.to_string())
}
