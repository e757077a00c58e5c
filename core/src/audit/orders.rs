//! Orders: what the journal says of each, and the rows that it calls for.

use crate::event::record::{self, LastNames};
use crate::event::{Event, Line, Meta, OrderPlaced, OrderQueued, OrderShipped, OrderStatus};
use crate::id::OrderId;
use crate::sink::table::{ORDER_DRAWS, ORDER_LINES, ORDERS, SHIPMENTS, STANDBY, Table, Value};
use crate::time::Timestamp;

use super::AuditError;
use super::expected::{self, Expected};
use super::range::Range;

/// The tables that are about orders.
pub(super) const TABLES: [&Table; 5] = [&ORDERS, &ORDER_LINES, &ORDER_DRAWS, &STANDBY, &SHIPMENTS];

/// A record and its sequence.
type Kept = (u64, Box<[u8]>);

/// What the journal says of one order.
#[derive(Default)]
pub(super) struct Order {
    /// The record that made it; `None` if that is no longer kept.
    made: Option<Kept>,
    /// The last record by which it got its units later than that.
    drawn: Option<Kept>,
    shipped: Option<Kept>,
    status: Option<OrderStatus>,
    expires_at: Option<Timestamp>,
    last: Option<Last>,
}

/// The last event of an order.
#[derive(Clone, Copy)]
struct Last {
    version: u32,
    time: Timestamp,
    sequence: u64,
}

/// Takes what a record says of an order.
pub(super) fn take<V: AsMut<Order> + Default>(
    range: &mut Range<OrderId, V>,
    sequence: u64,
    meta: &Meta,
    event: &Event<'_>,
    bytes: &[u8],
) {
    let Some(says) = says(event) else { return };
    let Some(order) = event.order().and_then(|order| range.of(order)) else { return };
    order.as_mut().take(says, sequence, meta, event, bytes);
}

/// The version and, if the event says it, the state of the order that an event is about.
fn says(event: &Event<'_>) -> Option<(u32, Option<OrderStatus>)> {
    Some(match event {
        Event::OrderPlaced(_) => (1, Some(OrderStatus::Reserved)),
        Event::OrderQueued(_) => (1, Some(OrderStatus::Waiting)),
        Event::OrderPromoted(promoted) => (promoted.version, Some(OrderStatus::Reserved)),
        Event::StandbyLeft(left) => (left.version, Some(OrderStatus::Cancelled)),
        Event::OrderCancelled(ended) => (ended.version, Some(OrderStatus::Cancelled)),
        Event::OrderExpired(ended) => (ended.version, Some(OrderStatus::Expired)),
        Event::PaymentStarted(started) => (started.version, Some(OrderStatus::Reserved)),
        Event::PaymentFailed(failed) => (failed.version, None),
        Event::OrderPaid(paid) => (paid.version, Some(OrderStatus::Paid)),
        Event::RefundRequested(requested) => (requested.version, Some(requested.status)),
        Event::RefundSucceeded(ended) | Event::RefundFailed(ended) => {
            (ended.version, Some(ended.status))
        }
        Event::OrderShipped(shipped) => (shipped.version, Some(OrderStatus::Shipped)),
        Event::OrderDelivered(delivered) => (delivered.version, Some(OrderStatus::Delivered)),
        Event::OrderRetired(_)
        | Event::Genesis(_)
        | Event::FormatRaised(_)
        | Event::SkuDefined(_)
        | Event::LotReceived(_)
        | Event::UnitsWithdrawn(_)
        | Event::NoticeUnmatched(_)
        | Event::SaleDefined(_)
        | Event::SaleMoved(_)
        | Event::RecordSkipped(_) => return None,
    })
}

impl AsMut<Self> for Order {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

/// The record that made an order.
enum Made<'a> {
    Placed(OrderPlaced<'a>),
    Queued(OrderQueued<'a>),
}

impl Order {
    fn take(
        &mut self,
        (version, status): (u32, Option<OrderStatus>),
        sequence: u64,
        meta: &Meta,
        event: &Event<'_>,
        bytes: &[u8],
    ) {
        let keep = || Some((sequence, Box::from(bytes)));
        self.last = Some(Last { version, time: meta.time, sequence });
        self.status = status.or(self.status);
        match event {
            Event::OrderPlaced(placed) => {
                (self.made, self.expires_at) = (keep(), Some(placed.expires_at));
            }
            Event::OrderQueued(_) => self.made = keep(),
            Event::OrderPromoted(promoted) => {
                (self.drawn, self.expires_at) = (keep(), Some(promoted.expires_at));
            }
            Event::PaymentStarted(started) => self.expires_at = Some(started.expires_at),
            Event::OrderPaid(paid) if paid.late => self.drawn = keep(),
            Event::OrderShipped(_) => self.shipped = keep(),
            _ => {}
        }
    }

    /// Whether anything but its end is known of it.
    pub(super) const fn is_known(&self) -> bool {
        self.last.is_some()
    }

    /// Whether the record that made it is kept.
    pub(super) const fn is_made(&self) -> bool {
        self.made.is_some()
    }

    /// Its lines as they are; `None` if no record is kept that says.
    pub(super) fn held(&self, names: &mut LastNames) -> Result<Option<Vec<Line>>, AuditError> {
        let made = self.made(names)?.map(|(_, made)| made);
        Ok(self.lines(made.as_ref(), names)?.map(|(_, lines)| lines))
    }

    /// The record that made it.
    fn made(&self, names: &mut LastNames) -> Result<Option<(Meta, Made<'_>)>, AuditError> {
        let Some(kept) = &self.made else { return Ok(None) };
        Ok(Some(match decoded(kept, names)? {
            (meta, Event::OrderPlaced(placed)) => (meta, Made::Placed(placed)),
            (meta, Event::OrderQueued(queued)) => (meta, Made::Queued(queued)),
            _ => unreachable!("only records that make orders are kept as such"),
        }))
    }

    /// The rows of a table that it calls for.
    pub(super) fn rows(
        &self,
        cell: u16,
        id: OrderId,
        table: &'static Table,
        names: &mut LastNames,
    ) -> Result<Vec<Expected>, AuditError> {
        let rows = Rows { cell, id, order: self };
        let (meta, made) = self.made(names)?.unzip();
        Ok(match table.name {
            "orders" => vec![rows.order(meta, made.as_ref(), &self.lines(made.as_ref(), names)?)],
            "order_lines" => rows.lines(&self.lines(made.as_ref(), names)?),
            "order_draws" => rows.draws(&self.lines(made.as_ref(), names)?),
            "standby" => match (&made, &self.made) {
                (Some(Made::Queued(queued)), Some((at, _))) => vec![rows.standby(*at, queued)],
                _ => Vec::new(),
            },
            _ => match &self.shipped {
                Some(kept) => match decoded(kept, names)? {
                    (meta, Event::OrderShipped(shipped)) => {
                        vec![rows.shipment(kept.0, &meta, &shipped)]
                    }
                    _ => unreachable!("only records that ship orders are kept as such"),
                },
                None => Vec::new(),
            },
        })
    }

    /// Its lines as they are, and the record that made them so; none if no record is kept that says.
    fn lines(
        &self,
        made: Option<&Made<'_>>,
        names: &mut LastNames,
    ) -> Result<Option<(u64, Vec<Line>)>, AuditError> {
        if let Some(kept) = &self.drawn {
            let lines = match decoded(kept, names)?.1 {
                Event::OrderPromoted(promoted) => vec![promoted.line],
                Event::OrderPaid(paid) => paid.lines.into_vec(),
                _ => unreachable!("only records that draw units are kept as such"),
            };
            return Ok(Some((kept.0, lines)));
        }
        let lines = made.map(|made| match made {
            Made::Placed(placed) => placed.lines.to_vec(),
            Made::Queued(queued) => vec![Line {
                sku: queued.sku.clone(),
                quantity: queued.quantity,
                sale: queued.sale.clone(),
                draws: Default::default(),
            }],
        });
        Ok(self.made.as_ref().map(|kept| kept.0).zip(lines))
    }
}

fn decoded<'a>(
    (sequence, bytes): &'a Kept,
    names: &mut LastNames,
) -> Result<(Meta, Event<'a>), AuditError> {
    record::decode_next(bytes, names)
        .map_err(|error| AuditError::Record { sequence: *sequence, what: error.to_string() })
}

/// The rows of one order.
struct Rows<'a> {
    cell: u16,
    id: OrderId,
    order: &'a Order,
}

impl Rows<'_> {
    fn order(
        &self,
        meta: Option<Meta>,
        made: Option<&Made<'_>>,
        lines: &Option<(u64, Vec<Line>)>,
    ) -> Expected {
        let last = self.order.last.expect("every event of an order is one");
        let made = made.map(|made| match made {
            Made::Placed(it) => (it.buyer_name, it.key, it.currency),
            Made::Queued(it) => (it.buyer_name, it.key, it.currency),
        });
        let key = made.and_then(|(_, key, _)| key);
        let number = |time: Timestamp| Value::number(time.micros());
        let row = vec![
            Value::number(self.cell),
            expected::id(self.id),
            made.map_or(Value::Null, |(buyer, ..)| Value::text(buyer)),
            key.map_or(Value::Null, |(_, key)| Value::text(key)),
            self.order.status.map_or(Value::Null, |status| Value::text(status.as_str())),
            Value::number(last.version),
            lines.as_ref().map_or(Value::Null, |(_, lines)| sum(lines)),
            made.map_or(Value::Null, |(.., currency)| Value::text(currency.as_str())),
            meta.map_or(Value::Null, |meta| number(meta.time)),
            self.order.expires_at.map_or(Value::Null, number),
            number(last.time),
            Value::number(last.sequence),
        ];
        let mut unknown = Vec::new();
        if made.is_none() {
            // What its first record says; and later ones, as far as they are not kept either.
            let of_first = ["buyer", "idempotency_key", "currency", "created_at"];
            unknown.extend(of_first.map(|column| ORDERS.column(column)));
            let told = [
                ("status", self.order.status.is_some()),
                ("amount", lines.is_some()),
                ("expires_at", self.order.expires_at.is_some()),
            ];
            let untold = told.iter().filter(|(_, told)| !told);
            unknown.extend(untold.map(|(column, _)| ORDERS.column(column)));
        }
        Expected { sequence: last.sequence, row, unknown }
    }

    fn lines(&self, lines: &Option<(u64, Vec<Line>)>) -> Vec<Expected> {
        let Some((sequence, lines)) = lines else { return Vec::new() };
        let rows = lines.iter().enumerate().map(|(number, line)| {
            let row = vec![
                Value::number(self.cell),
                expected::id(self.id),
                Value::number(number),
                Value::text(line.sku.as_str()),
                line.sale.as_ref().map_or(Value::Null, |sale| Value::text(sale.as_str())),
                Value::number(line.quantity.units()),
                sum(std::slice::from_ref(line)),
            ];
            Expected { sequence: *sequence, row, unknown: Vec::new() }
        });
        rows.collect()
    }

    fn draws(&self, lines: &Option<(u64, Vec<Line>)>) -> Vec<Expected> {
        let Some((sequence, lines)) = lines else { return Vec::new() };
        let mut rows = Vec::new();
        for (line_number, line) in lines.iter().enumerate() {
            for (number, draw) in line.draws.iter().enumerate() {
                let row = vec![
                    Value::number(self.cell),
                    expected::id(self.id),
                    Value::number(line_number),
                    Value::number(number),
                    Value::text(draw.lot.as_str()),
                    Value::number(draw.ordinal),
                    Value::number(draw.quantity.units()),
                    Value::number(draw.unit_price.minor()),
                ];
                rows.push(Expected { sequence: *sequence, row, unknown: Vec::new() });
            }
        }
        rows
    }

    fn standby(&self, sequence: u64, queued: &OrderQueued<'_>) -> Expected {
        let row = vec![
            Value::number(self.cell),
            expected::id(self.id),
            Value::text(queued.sku.as_str()),
            Value::number(queued.ticket),
            queued.max_amount.map_or(Value::Null, |amount| Value::number(amount.minor())),
            Value::number(sequence),
        ];
        Expected { sequence, row, unknown: Vec::new() }
    }

    fn shipment(&self, sequence: u64, meta: &Meta, shipped: &OrderShipped<'_>) -> Expected {
        let row = vec![
            Value::number(self.cell),
            expected::id(self.id),
            Value::text(shipped.carrier),
            Value::text(shipped.tracking_number),
            Value::number(meta.time.micros()),
            Value::number(sequence),
        ];
        Expected { sequence, row, unknown: Vec::new() }
    }
}

/// What all draws of lines cost; nothing if there are none.
fn sum(lines: &[Line]) -> Value {
    let draws = || lines.iter().flat_map(|line| &line.draws);
    if draws().next().is_none() {
        return Value::Null;
    }
    let costs = draws().map(|draw| draw.unit_price.minor().saturating_mul(draw.quantity.units()));
    Value::number(costs.sum::<u64>())
}
