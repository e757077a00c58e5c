//! The timeline of an order: whatever a customer may ask about it.

use crate::id::OrderId;
use crate::time::Timestamp;

use super::super::connection::Row;
use super::super::error::SinkError;
use super::super::table::Value;
use super::payments::StoredPayment;
use super::{Reading, optional, ranged, text, time};

/// All that happened to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// How far the copy is at least: what later records say may be missing.
    pub sequence: u64,
    /// The buyer's raw id; `None` if the copy has no such order.
    pub buyer: Option<Box<str>>,
    /// What happened, in order.
    pub events: Vec<TimelineEvent>,
    /// Its payments, in order of their beginning.
    pub payments: Vec<StoredPayment>,
    /// Carrier and tracking number, once it is on its way.
    pub shipment: Option<Shipment>,
}

/// Carrier and tracking number.
type Shipment = (Box<str>, Box<str>);

/// One event of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineEvent {
    /// What happened: see `docs/sql-schema.md`.
    pub kind: Box<str>,
    /// Its record.
    pub sequence: u64,
    /// When it was decided.
    pub time: Timestamp,
    /// Who caused it.
    pub actor: Box<str>,
    /// The request that caused it.
    pub request: Option<Box<str>>,
    /// The order's version after it; `None` if it changed nothing of the order.
    pub version: Option<u32>,
    /// The payment that it is about.
    pub payment: Option<Box<str>>,
    /// What more there is to say.
    pub detail: Option<Box<str>>,
}

impl Reading {
    /// All that happened to an order.
    ///
    /// # Errors
    /// What the database says; a row is not what this program writes.
    pub async fn timeline(&mut self, cell: u16, order: OrderId) -> Result<Timeline, SinkError> {
        // Read first: what is read later is at least as new.
        let sequence = self.connection.mark(cell).await?.sequence;
        let values = vec![Value::number(cell), Value::text(&order.to_string())];
        let query = "SELECT o.buyer, s.carrier, s.tracking_number FROM orders AS o \
                     LEFT JOIN shipments AS s ON s.cell = o.cell AND s.order_id = o.order_id \
                     WHERE o.cell = ? AND o.order_id = ?";
        let head = self.connection.query(query, values.clone()).await?;
        let (buyer, shipment) = match head.first() {
            Some(row) => (Some(text(row, "buyer")?), shipment(row)?),
            None => (None, None),
        };
        let query = "SELECT order_id, kind, sequence, occurred_at, actor, request_id, version, \
                     payment_id, detail FROM order_events \
                     WHERE cell = ? AND order_id = ? ORDER BY sequence";
        let rows = self.connection.query(query, values).await?;
        let events = rows.iter().map(event).collect::<Result<_, _>>()?;
        let payments = self.payments_of(cell, order).await?;
        Ok(Timeline { sequence, buyer, events, payments, shipment })
    }
}

fn shipment(row: &Row) -> Result<Option<Shipment>, SinkError> {
    let carrier = optional(row, "carrier", text)?;
    carrier.map(|carrier| Ok((carrier, text(row, "tracking_number")?))).transpose()
}

fn event(row: &Row) -> Result<TimelineEvent, SinkError> {
    Ok(TimelineEvent {
        kind: text(row, "kind")?,
        sequence: ranged(row, "sequence", Some)?,
        time: time(row, "occurred_at")?,
        actor: text(row, "actor")?,
        request: optional(row, "request_id", text)?,
        version: optional(row, "version", |row, column| {
            ranged(row, column, |number| u32::try_from(number).ok())
        })?,
        payment: optional(row, "payment_id", text)?,
        detail: optional(row, "detail", text)?,
    })
}
