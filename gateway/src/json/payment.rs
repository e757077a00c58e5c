//! Payments, as buyers and as operators see them.

use sluice_core::outcome::PaymentView;
use sluice_core::sink::{StoredNotice, StoredPayment};

use super::write::Writer;

/// Writes a payment for its buyer; `pay_url` is where it can be paid, if that is known here.
pub(crate) fn payment(json: &mut Writer, view: &PaymentView, pay_url: Option<&str>) {
    json.raw("{\"payment_id\":\"").id(view.payment.ascii());
    json.raw("\",\"order_id\":\"").id(view.order.ascii());
    json.raw("\",\"amount\":").number(view.amount.minor());
    json.raw(",\"currency\":\"").raw(view.currency.as_str());
    json.raw("\",\"status\":\"").raw(view.status.as_str());
    json.raw("\",\"pay_url\":").optional_string(pay_url).raw("}");
}

/// Writes a payment for operators.
pub(crate) fn stored(json: &mut Writer, payment: &StoredPayment) {
    json.raw("{\"payment_id\":\"").id(payment.payment.ascii());
    json.raw("\",\"order_id\":\"").id(payment.order.ascii());
    json.raw("\",\"amount\":").number(payment.amount.minor());
    json.raw(",\"currency\":\"").raw(payment.currency.as_str());
    json.raw("\",\"status\":\"").raw(&payment.status);
    json.raw("\",\"refund_reason\":").name(payment.refund_reason.as_deref());
    json.raw(",\"refund_failed\":").bool(payment.refund_failed);
    json.raw(",\"created_at\":").time(payment.created_at);
    json.raw(",\"updated_at\":").time(payment.updated_at).raw("}");
}

/// Writes a notice that fitted no payment.
pub(crate) fn notice(json: &mut Writer, notice: &StoredNotice) {
    json.raw("{\"sequence\":").number(notice.sequence);
    json.raw(",\"received_at\":").time(notice.received_at);
    json.raw(",\"type\":\"").raw(&notice.kind);
    json.raw("\",\"payment_id\":").string(&notice.payment);
    json.raw(",\"order_id\":").string(&notice.order);
    json.raw(",\"amount\":").number(notice.amount.minor());
    json.raw(",\"currency\":").string(&notice.currency).raw("}");
}
