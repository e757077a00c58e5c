//! The rows that events and notices call for.

use crate::event::{Actor, Event, Meta, NoticeUnmatched, RecordSkipped, Returned};
use crate::id::{OrderId, PaymentId, RequestId};
use crate::sink::table::Value;

/// A row that the journal calls for.
pub(super) struct Expected {
    /// The last record that made it what it is.
    pub(super) sequence: u64,
    /// All its columns.
    pub(super) row: Vec<Value>,
    /// The columns of which a trimmed journal does not tell.
    pub(super) unknown: Vec<usize>,
}

/// What an event is called, which payment it is about, and what more there is to say.
struct Told {
    kind: &'static str,
    version: Option<u32>,
    payment: Option<PaymentId>,
    detail: Option<String>,
}

impl Told {
    const fn plain(kind: &'static str, version: u32) -> Self {
        Self { kind, version: Some(version), payment: None, detail: None }
    }

    const fn paying(kind: &'static str, version: u32, payment: PaymentId) -> Self {
        Self { kind, version: Some(version), payment: Some(payment), detail: None }
    }
}

/// What is told of an order's event; `None` if it is about no order.
fn told(event: &Event<'_>) -> Option<Told> {
    Some(match event {
        Event::OrderPlaced(_) => Told::plain("placed", 1),
        Event::OrderQueued(_) => Told::plain("queued", 1),
        Event::OrderPromoted(promoted) => Told::plain("promoted", promoted.version),
        Event::StandbyLeft(left) => {
            let detail = left.reason.detail().map(str::to_owned);
            Told { detail, ..Told::plain("cancelled", left.version) }
        }
        Event::OrderCancelled(ended) => Told::plain("cancelled", ended.version),
        Event::OrderExpired(ended) => Told::plain("expired", ended.version),
        Event::PaymentStarted(it) => Told::paying("payment_started", it.version, it.payment),
        Event::PaymentFailed(it) => Told::paying("payment_failed", it.version, it.payment),
        Event::OrderPaid(it) if it.late => Told::paying("paid_late", it.version, it.payment),
        Event::OrderPaid(it) => Told::paying("paid", it.version, it.payment),
        Event::RefundRequested(it) => {
            let units = match it.returned {
                Returned::Nothing => "",
                Returned::ToStock => ", units to stock",
                Returned::Withdrawn => ", units withdrawn",
            };
            let detail = Some(it.reason.as_str().to_owned() + units);
            Told { detail, ..Told::paying("refund_requested", it.version, it.payment) }
        }
        Event::RefundSucceeded(it) => Told::paying("refund_succeeded", it.version, it.payment),
        Event::RefundFailed(it) => Told::paying("refund_failed", it.version, it.payment),
        Event::OrderShipped(it) => {
            let detail = Some([it.carrier, it.tracking_number].join(" "));
            Told { detail, ..Told::plain("shipped", it.version) }
        }
        Event::OrderDelivered(delivered) => Told::plain("delivered", delivered.version),
        Event::OrderRetired(_) => {
            Told { kind: "retired", version: None, payment: None, detail: None }
        }
        Event::Genesis(_)
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

/// The row of an order's event; `None` if it is about no order.
pub(super) fn event(
    cell: u16,
    sequence: u64,
    meta: &Meta,
    event: &Event<'_>,
) -> Option<Vec<Value>> {
    let told = told(event)?;
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
        id(event.order()?),
        Value::text(told.kind),
        told.version.map_or(Value::Null, Value::number),
        Value::number(meta.time.micros()),
        Value::text(actor),
        if asked { Value::text(&meta.request.to_string()) } else { Value::Null },
        told.payment.map_or(Value::Null, payment),
        told.detail.map_or(Value::Null, |detail| Value::text(&detail)),
    ])
}

/// The row of a notice that fitted no payment.
pub(super) fn notice(
    cell: u16,
    sequence: u64,
    meta: &Meta,
    notice: &NoticeUnmatched<'_>,
) -> Vec<Value> {
    vec![
        Value::number(cell),
        Value::number(sequence),
        Value::text(notice.kind.as_str()),
        Value::text(notice.payment),
        Value::text(notice.order),
        Value::number(notice.amount.minor()),
        Value::text(notice.currency),
        Value::number(meta.time.micros()),
    ]
}

/// The row of a record that an operator let a sink pass over.
pub(super) fn skipped(
    cell: u16,
    sequence: u64,
    meta: &Meta,
    skipped: &RecordSkipped<'_>,
) -> Vec<Value> {
    vec![
        Value::number(cell),
        Value::number(sequence),
        Value::text(skipped.sink.as_str()),
        Value::number(skipped.sequence),
        Value::text(skipped.why),
        Value::number(meta.time.micros()),
    ]
}

/// An order's id as a value.
pub(super) fn id(order: OrderId) -> Value {
    Value::text(&order.to_string())
}

/// A payment's id as a value.
pub(super) fn payment(payment: PaymentId) -> Value {
    Value::text(&payment.to_string())
}
