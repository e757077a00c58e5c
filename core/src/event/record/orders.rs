//! Records about orders, but for paying and waiting.

use super::fields::{Reader, count, currency, length, put};
use super::lines::{decode_lines, encode_lines};
use super::{RecordError, layout};
use crate::event::{OrderDelivered, OrderEnded, OrderPlaced, OrderRetired, OrderShipped};
use crate::id::{BuyerDigest, KeyDigest, OrderId};
use crate::time::Timestamp;

pub(super) fn encode_order_placed(placed: &OrderPlaced<'_>, out: &mut Vec<u8>) {
    let (key, key_name) = placed.key.unwrap_or((KeyDigest(0), ""));
    put(
        out,
        &layout::OrderPlacedV1 {
            order: placed.order.bits().into(),
            buyer: placed.buyer.0.into(),
            key: key.0.into(),
            fingerprint: placed.fingerprint.into(),
            expires_at: placed.expires_at.micros().into(),
            currency: placed.currency.bytes(),
            flags: if placed.key.is_some() { layout::FLAG_KEY } else { 0 },
            buyer_length: length(placed.buyer_name.as_bytes()),
            key_length: length(key_name.as_bytes()),
            lines: count(placed.lines.len()),
        },
    );
    out.extend_from_slice(placed.buyer_name.as_bytes());
    out.extend_from_slice(key_name.as_bytes());
    encode_lines(&placed.lines, out);
}

pub(super) fn decode_order_placed<'a>(
    reader: &mut Reader<'a, '_>,
    version: u8,
) -> Result<OrderPlaced<'a>, RecordError> {
    let fixed: layout::OrderPlacedV1 = reader.fixed()?;
    let buyer_name = reader.text(fixed.buyer_length, "buyer")?;
    let key_name = reader.text(fixed.key_length, "key")?;
    let has_key = fixed.flags == layout::FLAG_KEY;
    if has_key == key_name.is_empty() || fixed.flags > layout::FLAG_KEY {
        return Err(RecordError::Field { field: "flags" });
    }
    Ok(OrderPlaced {
        order: OrderId::from_bits(fixed.order.get()),
        buyer: BuyerDigest(fixed.buyer.get()),
        buyer_name,
        key: has_key.then_some((KeyDigest(fixed.key.get()), key_name)),
        fingerprint: fixed.fingerprint.get(),
        currency: currency(fixed.currency)?,
        expires_at: Timestamp::from_micros(fixed.expires_at.get()),
        lines: decode_lines(reader, version, fixed.lines)?,
    })
}

pub(super) fn encode_order_ended(ended: &OrderEnded, out: &mut Vec<u8>) {
    put(
        out,
        &layout::OrderEndedV1 {
            order: ended.order.bits().into(),
            order_version: ended.version.into(),
            lines: count(ended.lines.len()),
        },
    );
    encode_lines(&ended.lines, out);
}

pub(super) fn decode_order_ended(
    reader: &mut Reader<'_, '_>,
    version: u8,
) -> Result<OrderEnded, RecordError> {
    let fixed: layout::OrderEndedV1 = reader.fixed()?;
    Ok(OrderEnded {
        order: OrderId::from_bits(fixed.order.get()),
        version: fixed.order_version.get(),
        lines: decode_lines(reader, version, fixed.lines)?,
    })
}

pub(super) fn encode_order_retired(retired: &OrderRetired, out: &mut Vec<u8>) {
    put(out, &layout::OrderRetiredV1 { order: retired.order.bits().into() });
}

pub(super) fn decode_order_retired(
    reader: &mut Reader<'_, '_>,
) -> Result<OrderRetired, RecordError> {
    let fixed: layout::OrderRetiredV1 = reader.fixed()?;
    Ok(OrderRetired { order: OrderId::from_bits(fixed.order.get()) })
}

pub(super) fn encode_order_shipped(shipped: &OrderShipped<'_>, out: &mut Vec<u8>) {
    put(
        out,
        &layout::OrderShippedV1 {
            order: shipped.order.bits().into(),
            order_version: shipped.version.into(),
            carrier_length: length(shipped.carrier.as_bytes()),
            number_length: length(shipped.tracking_number.as_bytes()),
        },
    );
    out.extend_from_slice(shipped.carrier.as_bytes());
    out.extend_from_slice(shipped.tracking_number.as_bytes());
}

pub(super) fn decode_order_shipped<'a>(
    reader: &mut Reader<'a, '_>,
) -> Result<OrderShipped<'a>, RecordError> {
    let fixed: layout::OrderShippedV1 = reader.fixed()?;
    Ok(OrderShipped {
        order: OrderId::from_bits(fixed.order.get()),
        version: fixed.order_version.get(),
        carrier: reader.text(fixed.carrier_length, "carrier")?,
        tracking_number: reader.text(fixed.number_length, "tracking_number")?,
    })
}

pub(super) fn encode_order_delivered(delivered: &OrderDelivered, out: &mut Vec<u8>) {
    let (order, order_version) = (delivered.order.bits().into(), delivered.version.into());
    put(out, &layout::OrderDeliveredV1 { order, order_version });
}

pub(super) fn decode_order_delivered(
    reader: &mut Reader<'_, '_>,
) -> Result<OrderDelivered, RecordError> {
    let fixed: layout::OrderDeliveredV1 = reader.fixed()?;
    Ok(OrderDelivered {
        order: OrderId::from_bits(fixed.order.get()),
        version: fixed.order_version.get(),
    })
}
