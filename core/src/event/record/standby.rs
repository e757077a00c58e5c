//! Records about orders that wait.

use super::fields::{Reader, amount, currency, length, put, quantity};
use super::lines::{decode_line, encode_line};
use super::{RecordError, layout};
use crate::event::{LeftReason, OrderPromoted, OrderQueued, StandbyLeft};
use crate::id::{BuyerDigest, KeyDigest, OrderId};
use crate::name::SaleId;
use crate::time::Timestamp;

pub(super) fn encode_order_queued(queued: &OrderQueued<'_>, out: &mut Vec<u8>) {
    let (key, key_name) = queued.key.unwrap_or((KeyDigest(0), ""));
    let sale = queued.sale.as_ref().map_or("", SaleId::as_str);
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    put(
        out,
        &layout::OrderQueuedV1 {
            order: queued.order.bits().into(),
            buyer: queued.buyer.0.into(),
            key: key.0.into(),
            fingerprint: queued.fingerprint.into(),
            currency: queued.currency.bytes(),
            flags: flag(queued.key.is_some(), layout::FLAG_KEY)
                | flag(queued.max_amount.is_some(), layout::FLAG_MAX_AMOUNT),
            quantity: queued.quantity.get().into(),
            ticket: queued.ticket.into(),
            max_amount: queued.max_amount.unwrap_or_default().minor().into(),
            buyer_length: length(queued.buyer_name.as_bytes()),
            key_length: length(key_name.as_bytes()),
            sku_length: length(queued.sku.as_bytes()),
            sale_length: length(sale.as_bytes()),
        },
    );
    for text in [queued.buyer_name, key_name, queued.sku.as_str(), sale] {
        out.extend_from_slice(text.as_bytes());
    }
}

pub(super) fn decode_order_queued<'a>(
    reader: &mut Reader<'a, '_>,
) -> Result<OrderQueued<'a>, RecordError> {
    let fixed: layout::OrderQueuedV1 = reader.fixed()?;
    let buyer_name = reader.text(fixed.buyer_length, "buyer")?;
    let key_name = reader.text(fixed.key_length, "key")?;
    let has_key = fixed.flags & layout::FLAG_KEY != 0;
    let most = amount(fixed.max_amount.get())?;
    if has_key == key_name.is_empty() || fixed.flags > layout::FLAG_KEY | layout::FLAG_MAX_AMOUNT {
        return Err(RecordError::Field { field: "flags" });
    }
    Ok(OrderQueued {
        order: OrderId::from_bits(fixed.order.get()),
        buyer: BuyerDigest(fixed.buyer.get()),
        buyer_name,
        key: has_key.then_some((KeyDigest(fixed.key.get()), key_name)),
        fingerprint: fixed.fingerprint.get(),
        currency: currency(fixed.currency)?,
        sku: reader.sku(fixed.sku_length)?,
        quantity: quantity(fixed.quantity.get())?,
        sale: reader.sale(fixed.sale_length)?,
        ticket: fixed.ticket.get(),
        max_amount: (fixed.flags & layout::FLAG_MAX_AMOUNT != 0).then_some(most),
    })
}

pub(super) fn encode_order_promoted(promoted: &OrderPromoted, out: &mut Vec<u8>) {
    put(
        out,
        &layout::OrderPromotedV1 {
            order: promoted.order.bits().into(),
            order_version: promoted.version.into(),
            ticket: promoted.ticket.into(),
            expires_at: promoted.expires_at.micros().into(),
        },
    );
    encode_line(&promoted.line, out);
}

pub(super) fn decode_order_promoted(
    reader: &mut Reader<'_, '_>,
) -> Result<OrderPromoted, RecordError> {
    let fixed: layout::OrderPromotedV1 = reader.fixed()?;
    Ok(OrderPromoted {
        order: OrderId::from_bits(fixed.order.get()),
        version: fixed.order_version.get(),
        ticket: fixed.ticket.get(),
        expires_at: Timestamp::from_micros(fixed.expires_at.get()),
        line: decode_line(reader)?,
    })
}

pub(super) fn encode_standby_left(left: &StandbyLeft, out: &mut Vec<u8>) {
    put(
        out,
        &layout::StandbyLeftV1 {
            order: left.order.bits().into(),
            order_version: left.version.into(),
            ticket: left.ticket.into(),
            reason: left.reason as u8,
            sku_length: length(left.sku.as_bytes()),
        },
    );
    out.extend_from_slice(left.sku.as_bytes());
}

pub(super) fn decode_standby_left(reader: &mut Reader<'_, '_>) -> Result<StandbyLeft, RecordError> {
    let fixed: layout::StandbyLeftV1 = reader.fixed()?;
    let reason = LeftReason::from_number(fixed.reason);
    Ok(StandbyLeft {
        order: OrderId::from_bits(fixed.order.get()),
        version: fixed.order_version.get(),
        sku: reader.sku(fixed.sku_length)?,
        ticket: fixed.ticket.get(),
        reason: reason.ok_or(RecordError::Field { field: "reason" })?,
    })
}
