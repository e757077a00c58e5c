//! Payments, refunds, and notices that fit neither.

use std::sync::Arc;

use crate::event::{
    NoticeUnmatched, OrderPaid, OrderStatus, PaymentFailed, PaymentStarted, RefundEnded,
    RefundReason, RefundRequested, Returned,
};
use crate::id::{OrderId, PaymentId};
use crate::outcome::PaymentStatus;
use crate::time::Timestamp;

use super::super::table::{PAYMENTS, Value};
use super::{At, Batch, Happened, Unstorable, order_text, payment_text};

/// What became of a payment that an earlier transaction stored.
#[derive(Clone, Debug)]
pub(in crate::sink) struct PaymentChange {
    pub(in crate::sink) payment: Arc<str>,
    pub(in crate::sink) status: Arc<str>,
    /// `Null` changes nothing.
    pub(in crate::sink) refund_reason: Value,
    pub(in crate::sink) refund_failed: bool,
    pub(in crate::sink) updated_at: Timestamp,
    pub(in crate::sink) sequence: u64,
}

/// What an event says of a payment and of its order.
struct Said {
    payment: PaymentId,
    order: OrderId,
    /// The order's version after it.
    version: u32,
    /// The order's state after it, if the event says so.
    order_status: Option<OrderStatus>,
    detail: Value,
}

impl Batch {
    pub(super) fn payment_started(&mut self, at: &At<'_>, started: &PaymentStarted) {
        let (payment, order) = (payment_text(started.payment), order_text(started.order));
        self.payment_rows.insert(started.payment, self.payments.len());
        self.payments.values.extend([
            self.cell.clone(),
            Value::Text(Arc::clone(&payment)),
            Value::Text(Arc::clone(&order)),
            Value::number(started.amount.minor()),
            Value::Text(self.words.currency(started.currency)),
            Value::Text(self.words.word(PaymentStatus::Open.as_str())),
            Value::Null,
            Value::Integer(0),
            at.time(),
            at.time(),
            at.sequence(),
        ]);
        let expires_at = Value::number(started.expires_at.micros());
        self.change_hold(started.order, &order, Value::Null, expires_at);
        self.said(
            at,
            Said {
                payment: started.payment,
                order: started.order,
                version: started.version,
                order_status: Some(OrderStatus::Reserved),
                detail: Value::Null,
            },
        );
    }

    pub(super) fn payment_failed(&mut self, at: &At<'_>, failed: &PaymentFailed) {
        self.change_payment(at, failed.payment, PaymentStatus::Failed, None, false);
        self.said(
            at,
            Said {
                payment: failed.payment,
                order: failed.order,
                version: failed.version,
                order_status: None,
                detail: Value::Null,
            },
        );
    }

    pub(super) fn paid(&mut self, at: &At<'_>, paid: &OrderPaid) -> Result<(), Unstorable> {
        if paid.late {
            self.redraw(paid.order, &order_text(paid.order), &paid.lines)?;
        }
        self.change_payment(at, paid.payment, PaymentStatus::Succeeded, None, false);
        self.said(
            at,
            Said {
                payment: paid.payment,
                order: paid.order,
                version: paid.version,
                order_status: Some(OrderStatus::Paid),
                detail: Value::Null,
            },
        );
        Ok(())
    }

    pub(super) fn refund_requested(&mut self, at: &At<'_>, requested: &RefundRequested) {
        let what = match requested.returned {
            Returned::Nothing => "",
            Returned::ToStock => ", units to stock",
            Returned::Withdrawn => ", units withdrawn",
        };
        let reason = requested.reason;
        let status = PaymentStatus::Refunding;
        self.change_payment(at, requested.payment, status, Some(reason), false);
        self.said(
            at,
            Said {
                payment: requested.payment,
                order: requested.order,
                version: requested.version,
                order_status: Some(requested.status),
                detail: Value::text(&format!("{}{what}", reason.as_str())),
            },
        );
    }

    /// Something was heard of a refund; `status` is what the payment is then.
    pub(super) fn refund_ended(&mut self, at: &At<'_>, ended: &RefundEnded, status: PaymentStatus) {
        let succeeded = status == PaymentStatus::Refunded;
        self.change_payment(at, ended.payment, status, None, !succeeded);
        self.said(
            at,
            Said {
                payment: ended.payment,
                order: ended.order,
                version: ended.version,
                order_status: Some(ended.status),
                detail: Value::Null,
            },
        );
    }

    pub(super) fn unmatched(&mut self, at: &At<'_>, notice: &NoticeUnmatched<'_>) {
        self.unmatched_notices.values.extend([
            self.cell.clone(),
            at.sequence(),
            Value::Text(self.words.word(notice.kind.as_str())),
            Value::text(notice.payment),
            Value::text(notice.order),
            Value::number(notice.amount.minor()),
            Value::text(notice.currency),
            at.time(),
        ]);
    }

    /// The order's row and the event's, of an event about a payment.
    fn said(&mut self, at: &At<'_>, said: Said) {
        let order = order_text(said.order);
        self.change(at, said.order, Arc::clone(&order), said.version, said.order_status);
        self.event(
            at,
            Happened {
                order,
                version: Some(said.version),
                payment: Some(payment_text(said.payment)),
                detail: said.detail,
            },
        );
    }

    /// Changes the payment's row, in this batch or in the store.
    fn change_payment(
        &mut self,
        at: &At<'_>,
        payment: PaymentId,
        status: PaymentStatus,
        reason: Option<RefundReason>,
        refund_failed: bool,
    ) {
        const STATUS: usize = PAYMENTS.column("status");
        const REFUND_REASON: usize = PAYMENTS.column("refund_reason");
        const REFUND_FAILED: usize = PAYMENTS.column("refund_failed");
        const UPDATED_AT: usize = PAYMENTS.column("updated_at");
        const SEQUENCE: usize = PAYMENTS.column("sequence");
        let status = self.words.word(status.as_str());
        let reason = reason.map(|reason| Value::Text(self.words.word(reason.as_str())));
        if let Some(number) = self.payment_rows.get(&payment) {
            let row = self.payments.row_mut(*number);
            row[STATUS] = Value::Text(status);
            if let Some(reason) = reason {
                row[REFUND_REASON] = reason;
            }
            row[REFUND_FAILED] = Value::number(u8::from(refund_failed));
            row[UPDATED_AT] = at.time();
            row[SEQUENCE] = at.sequence();
            return;
        }
        let earlier = self.payment_changes.get(&payment).map(|change| &change.refund_reason);
        let change = PaymentChange {
            payment: payment_text(payment),
            status,
            refund_reason: reason.or_else(|| earlier.cloned()).unwrap_or(Value::Null),
            refund_failed,
            updated_at: at.meta.time,
            sequence: at.sequence,
        };
        self.payment_changes.insert(payment, change);
    }
}
