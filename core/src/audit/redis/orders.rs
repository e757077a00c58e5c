//! Orders: what the journal says of each, and the hash that it calls for.

use std::collections::BTreeMap;

use crate::event::Event;
use crate::event::record::LastNames;
use crate::id::{OrderId, PaymentId};
use crate::sink::table::{ORDERS, SHIPMENTS, Value};

use super::super::orders::Order;
use super::super::range::Range;
use super::super::{AuditError, Record, orders};
use super::compare::Expected;
use super::entries::items;

/// What the journal says of one order.
#[derive(Default)]
pub(super) struct Live {
    order: Order,
    /// The payment that was last spoken of, and what it is.
    payment: Option<(PaymentId, &'static str)>,
    is_retired: bool,
    /// Whether its hash was compared.
    pub(super) is_seen: bool,
}

impl AsMut<Order> for Live {
    fn as_mut(&mut self) -> &mut Order {
        &mut self.order
    }
}

/// Takes what a record says of an order.
pub(super) fn take(range: &mut Range<OrderId, Live>, record: &Record<'_>) {
    if record.is_skipped {
        return;
    }
    let Record { sequence, meta, event, bytes, .. } = *record;
    orders::take(range, sequence, meta, event, bytes);
    let Some(live) = event.order().and_then(|order| range.of(order)) else { return };
    live.payment = match event {
        Event::PaymentStarted(it) => Some((it.payment, "open")),
        Event::PaymentFailed(it) => Some((it.payment, "failed")),
        Event::OrderPaid(it) => Some((it.payment, "succeeded")),
        Event::RefundRequested(it) => Some((it.payment, "refunding")),
        Event::RefundFailed(it) => Some((it.payment, "refunding")),
        Event::RefundSucceeded(it) => Some((it.payment, "refunded")),
        _ => live.payment,
    };
    live.is_retired |= matches!(event, Event::OrderRetired(_));
}

impl Live {
    /// Whether the journal calls for its hash.
    pub(super) const fn is_expected(&self) -> bool {
        !self.is_retired && self.order.is_known()
    }

    /// The hash that it calls for, if it does.
    pub(super) fn expected(
        &self,
        cell: u16,
        id: OrderId,
        names: &mut LastNames,
    ) -> Result<Option<Expected>, AuditError> {
        if !self.is_expected() {
            return Ok(None);
        }
        let mut fields = BTreeMap::new();
        let mut last = 0;
        for row in self.order.rows(cell, id, &ORDERS, names)? {
            last = row.sequence;
            for (column, name) in ORDERS.columns.iter().enumerate() {
                if ["cell", "order_id", "idempotency_key"].contains(name) {
                    continue;
                }
                let is_unknown = row.unknown.contains(&column);
                match &row.row[column] {
                    _ if is_unknown => drop(fields.insert(*name, None)),
                    Value::Null => {}
                    Value::Integer(number) => drop(fields.insert(*name, Some(number.to_string()))),
                    Value::Text(text) => drop(fields.insert(*name, Some(text.to_string()))),
                }
            }
        }
        self.rest(cell, id, names, &mut fields)?;
        Ok(Some(Expected { sequence: last, fields }))
    }

    /// Items, payment and shipment.
    fn rest(
        &self,
        cell: u16,
        id: OrderId,
        names: &mut LastNames,
        fields: &mut BTreeMap<&'static str, Option<String>>,
    ) -> Result<(), AuditError> {
        let is_whole = self.order.is_made();
        let lines = self.order.held(names)?;
        if lines.is_some() || !is_whole {
            fields.insert("items", lines.as_deref().map(items));
        }
        for row in self.order.rows(cell, id, &SHIPMENTS, names)? {
            for name in ["carrier", "tracking_number"] {
                if let Value::Text(text) = &row.row[SHIPMENTS.column(name)] {
                    fields.insert(name, Some(text.to_string()));
                }
            }
        }
        match self.payment {
            Some((payment, status)) => {
                fields.insert("payment_id", Some(payment.to_string()));
                fields.insert("payment_status", Some(status.to_owned()));
            }
            None if !is_whole => {
                fields.insert("payment_id", None);
                fields.insert("payment_status", None);
            }
            None => {}
        }
        if !is_whole {
            for name in ["carrier", "tracking_number"] {
                fields.entry(name).or_insert(None);
            }
        }
        Ok(())
    }
}
