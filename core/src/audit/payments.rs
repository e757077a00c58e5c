//! Payments: what the journal says of each, and the rows that it calls for.

use crate::event::{Event, Meta, RefundReason};
use crate::id::{OrderId, PaymentId};
use crate::money::{Amount, Currency};
use crate::sink::table::{PAYMENTS, Value};
use crate::time::Timestamp;

use super::expected::{self, Expected};
use super::range::Range;

/// What the journal says of one payment.
#[derive(Default)]
pub(super) struct Payment {
    /// When it was begun; `None` if that record is no longer kept.
    begun: Option<Timestamp>,
    money: Option<(Amount, Currency)>,
    reason: Option<RefundReason>,
    last: Option<Last>,
}

/// The last event of a payment.
struct Last {
    order: OrderId,
    status: &'static str,
    refund_failed: bool,
    time: Timestamp,
    sequence: u64,
}

/// Takes what a record says of a payment.
pub(super) fn take(
    range: &mut Range<PaymentId, Payment>,
    sequence: u64,
    meta: &Meta,
    event: &Event<'_>,
) {
    let (id, order, status) = match event {
        Event::PaymentStarted(it) => (it.payment, it.order, "open"),
        Event::PaymentFailed(it) => (it.payment, it.order, "failed"),
        Event::OrderPaid(it) => (it.payment, it.order, "succeeded"),
        Event::RefundRequested(it) => (it.payment, it.order, "refunding"),
        Event::RefundFailed(it) => (it.payment, it.order, "refunding"),
        Event::RefundSucceeded(it) => (it.payment, it.order, "refunded"),
        _ => return,
    };
    let Some(payment) = range.of(id) else { return };
    let refund_failed = matches!(event, Event::RefundFailed(_));
    payment.last = Some(Last { order, status, refund_failed, time: meta.time, sequence });
    match event {
        Event::PaymentStarted(started) => {
            payment.begun = Some(meta.time);
            payment.money = Some((started.amount, started.currency));
        }
        Event::RefundRequested(requested) => {
            payment.reason = Some(requested.reason);
            payment.money.get_or_insert((requested.amount, requested.currency));
        }
        _ => {}
    }
}

impl Payment {
    /// Its row.
    pub(super) fn row(&self, cell: u16, id: PaymentId) -> Expected {
        let last = self.last.as_ref().expect("every event of a payment is one");
        let row = vec![
            Value::number(cell),
            expected::payment(id),
            expected::id(last.order),
            self.money.map_or(Value::Null, |(amount, _)| Value::number(amount.minor())),
            self.money.map_or(Value::Null, |(_, currency)| Value::text(currency.as_str())),
            Value::text(last.status),
            self.reason.map_or(Value::Null, |reason| Value::text(reason.as_str())),
            Value::number(u8::from(last.refund_failed)),
            self.begun.map_or(Value::Null, |begun| Value::number(begun.micros())),
            Value::number(last.time.micros()),
            Value::number(last.sequence),
        ];
        let mut unknown = Vec::new();
        if self.begun.is_none() {
            unknown.push(PAYMENTS.column("created_at"));
            if self.money.is_none() {
                unknown.extend([PAYMENTS.column("amount"), PAYMENTS.column("currency")]);
            }
            if self.reason.is_none() {
                unknown.push(PAYMENTS.column("refund_reason"));
            }
        }
        Expected { sequence: last.sequence, row, unknown }
    }
}
