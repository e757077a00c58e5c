//! Records about money.

use super::fields::{Reader, amount, count, currency, length, put, status};
use super::lines::{decode_lines, encode_lines};
use super::{RecordError, layout};
use crate::event::{
    NoticeKind, NoticeUnmatched, OrderPaid, PaymentFailed, PaymentStarted, RefundEnded,
    RefundReason, RefundRequested, Returned,
};
use crate::id::{OrderId, PaymentId};
use crate::time::Timestamp;

/// The version of the lines in these records.
const LINES: u8 = 2;

pub(super) fn encode_payment_started(started: &PaymentStarted, out: &mut Vec<u8>) {
    put(
        out,
        &layout::PaymentStartedV1 {
            payment: started.payment.bits().into(),
            order: started.order.bits().into(),
            order_version: started.version.into(),
            amount: started.amount.minor().into(),
            currency: started.currency.bytes(),
            expires_at: started.expires_at.micros().into(),
        },
    );
}

pub(super) fn decode_payment_started(
    reader: &mut Reader<'_, '_>,
) -> Result<PaymentStarted, RecordError> {
    let fixed: layout::PaymentStartedV1 = reader.fixed()?;
    Ok(PaymentStarted {
        payment: PaymentId::from_bits(fixed.payment.get()),
        order: OrderId::from_bits(fixed.order.get()),
        version: fixed.order_version.get(),
        amount: amount(fixed.amount.get())?,
        currency: currency(fixed.currency)?,
        expires_at: Timestamp::from_micros(fixed.expires_at.get()),
    })
}

pub(super) fn encode_payment_failed(failed: &PaymentFailed, out: &mut Vec<u8>) {
    put(
        out,
        &layout::PaymentFailedV1 {
            payment: failed.payment.bits().into(),
            order: failed.order.bits().into(),
            order_version: failed.version.into(),
        },
    );
}

pub(super) fn decode_payment_failed(
    reader: &mut Reader<'_, '_>,
) -> Result<PaymentFailed, RecordError> {
    let fixed: layout::PaymentFailedV1 = reader.fixed()?;
    Ok(PaymentFailed {
        payment: PaymentId::from_bits(fixed.payment.get()),
        order: OrderId::from_bits(fixed.order.get()),
        version: fixed.order_version.get(),
    })
}

pub(super) fn encode_order_paid(paid: &OrderPaid, out: &mut Vec<u8>) {
    put(
        out,
        &layout::OrderPaidV1 {
            payment: paid.payment.bits().into(),
            order: paid.order.bits().into(),
            order_version: paid.version.into(),
            flags: if paid.late { layout::FLAG_LATE } else { 0 },
            lines: count(paid.lines.len()),
        },
    );
    encode_lines(&paid.lines, out);
}

pub(super) fn decode_order_paid(reader: &mut Reader<'_, '_>) -> Result<OrderPaid, RecordError> {
    let fixed: layout::OrderPaidV1 = reader.fixed()?;
    if fixed.flags > layout::FLAG_LATE {
        return Err(RecordError::Field { field: "flags" });
    }
    Ok(OrderPaid {
        payment: PaymentId::from_bits(fixed.payment.get()),
        order: OrderId::from_bits(fixed.order.get()),
        version: fixed.order_version.get(),
        late: fixed.flags == layout::FLAG_LATE,
        lines: decode_lines(reader, LINES, fixed.lines)?,
    })
}

pub(super) fn encode_refund_requested(requested: &RefundRequested, out: &mut Vec<u8>) {
    put(
        out,
        &layout::RefundRequestedV1 {
            payment: requested.payment.bits().into(),
            order: requested.order.bits().into(),
            order_version: requested.version.into(),
            status: requested.status as u8,
            amount: requested.amount.minor().into(),
            currency: requested.currency.bytes(),
            reason: requested.reason as u8,
            returned: requested.returned as u8,
            lines: count(requested.lines.len()),
        },
    );
    encode_lines(&requested.lines, out);
}

pub(super) fn decode_refund_requested(
    reader: &mut Reader<'_, '_>,
) -> Result<RefundRequested, RecordError> {
    let fixed: layout::RefundRequestedV1 = reader.fixed()?;
    let wrong = |field| RecordError::Field { field };
    Ok(RefundRequested {
        payment: PaymentId::from_bits(fixed.payment.get()),
        order: OrderId::from_bits(fixed.order.get()),
        version: fixed.order_version.get(),
        status: status(fixed.status)?,
        amount: amount(fixed.amount.get())?,
        currency: currency(fixed.currency)?,
        reason: RefundReason::from_number(fixed.reason).ok_or(wrong("reason"))?,
        returned: Returned::from_number(fixed.returned).ok_or(wrong("returned"))?,
        lines: decode_lines(reader, LINES, fixed.lines)?,
    })
}

pub(super) fn encode_refund_ended(ended: &RefundEnded, out: &mut Vec<u8>) {
    put(
        out,
        &layout::RefundEndedV1 {
            payment: ended.payment.bits().into(),
            order: ended.order.bits().into(),
            order_version: ended.version.into(),
            status: ended.status as u8,
        },
    );
}

pub(super) fn decode_refund_ended(reader: &mut Reader<'_, '_>) -> Result<RefundEnded, RecordError> {
    let fixed: layout::RefundEndedV1 = reader.fixed()?;
    Ok(RefundEnded {
        payment: PaymentId::from_bits(fixed.payment.get()),
        order: OrderId::from_bits(fixed.order.get()),
        version: fixed.order_version.get(),
        status: status(fixed.status)?,
    })
}

pub(super) fn encode_notice_unmatched(notice: &NoticeUnmatched<'_>, out: &mut Vec<u8>) {
    let words = [notice.payment, notice.order, notice.currency];
    let [payment_length, order_length, currency_length] = words.map(|it| length(it.as_bytes()));
    put(
        out,
        &layout::NoticeUnmatchedV2 {
            kind: notice.kind as u8,
            amount: notice.amount.minor().into(),
            payment_length,
            order_length,
            currency_length,
        },
    );
    words.iter().for_each(|it| out.extend_from_slice(it.as_bytes()));
}

pub(super) fn decode_notice_unmatched<'a>(
    reader: &mut Reader<'a, '_>,
) -> Result<NoticeUnmatched<'a>, RecordError> {
    let fixed: layout::NoticeUnmatchedV2 = reader.fixed()?;
    Ok(NoticeUnmatched {
        kind: notice_kind(fixed.kind)?,
        payment: reader.text(fixed.payment_length, "payment")?,
        order: reader.text(fixed.order_length, "order")?,
        amount: amount(fixed.amount.get())?,
        currency: reader.text(fixed.currency_length, "currency")?,
    })
}

/// Version 1, in which a currency was three capital letters.
pub(super) fn decode_notice_unmatched_v1<'a>(
    reader: &mut Reader<'a, '_>,
) -> Result<NoticeUnmatched<'a>, RecordError> {
    let fixed: &layout::NoticeUnmatchedV1 = reader.borrowed()?;
    currency(fixed.currency)?;
    Ok(NoticeUnmatched {
        kind: notice_kind(fixed.kind)?,
        payment: reader.text(fixed.payment_length, "payment")?,
        order: reader.text(fixed.order_length, "order")?,
        amount: amount(fixed.amount.get())?,
        currency: std::str::from_utf8(&fixed.currency).expect("it is a currency"),
    })
}

fn notice_kind(number: u8) -> Result<NoticeKind, RecordError> {
    NoticeKind::from_number(number).ok_or(RecordError::Field { field: "kind" })
}
