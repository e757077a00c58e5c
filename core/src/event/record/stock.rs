//! Records about SKUs, lots and withdrawals.

use super::fields::{Reader, amount, currency, length, put, quantity};
use super::lines::{decode_draws, encode_draws};
use super::{RecordError, layout};
use crate::event::{LotReceived, SkuDefined, UnitsWithdrawn};
use crate::name::WithdrawalId;

pub(super) fn encode_sku_defined(defined: &SkuDefined<'_>, out: &mut Vec<u8>) {
    put(
        out,
        &layout::SkuDefinedV1 {
            revision: defined.revision.into(),
            unit_price: defined.unit_price.minor().into(),
            currency: defined.currency.bytes(),
            flags: if defined.standby_pass { layout::FLAG_STANDBY_PASS } else { 0 }
                | if defined.sale.is_some() { layout::FLAG_IN_SALE } else { 0 },
            per_buyer_limit: defined.per_buyer_limit.into(),
            hold_seconds: defined.hold_seconds.into(),
            sku_length: length(defined.sku.as_bytes()),
            title_length: length(defined.title.as_bytes()),
        },
    );
    out.extend_from_slice(defined.sku.as_bytes());
    out.extend_from_slice(defined.title.as_bytes());
    if let Some(sale) = &defined.sale {
        out.push(length(sale.as_bytes()));
        out.extend_from_slice(sale.as_bytes());
    }
}

pub(super) fn decode_sku_defined<'a>(
    reader: &mut Reader<'a, '_>,
) -> Result<SkuDefined<'a>, RecordError> {
    let fixed: layout::SkuDefinedV1 = reader.fixed()?;
    Ok(SkuDefined {
        sku: reader.sku(fixed.sku_length)?,
        revision: fixed.revision.get(),
        title: reader.text(fixed.title_length, "title")?,
        unit_price: amount(fixed.unit_price.get())?,
        currency: currency(fixed.currency)?,
        per_buyer_limit: fixed.per_buyer_limit.get(),
        hold_seconds: fixed.hold_seconds.get(),
        standby_pass: fixed.flags & layout::FLAG_STANDBY_PASS != 0,
        sale: match fixed.flags & layout::FLAG_IN_SALE {
            0 => None,
            _ => {
                let length = reader.bytes(1)?[0];
                reader.sale(length)?
            }
        },
    })
}

pub(super) fn encode_lot_received(received: &LotReceived, out: &mut Vec<u8>) {
    put(
        out,
        &layout::LotReceivedV1 {
            ordinal: received.ordinal.into(),
            quantity: received.quantity.get().into(),
            flags: if received.unit_price.is_some() { layout::FLAG_OWN_PRICE } else { 0 },
            unit_price: received.unit_price.unwrap_or_default().minor().into(),
            sku_length: length(received.sku.as_bytes()),
            lot_length: length(received.lot.as_bytes()),
        },
    );
    out.extend_from_slice(received.sku.as_bytes());
    out.extend_from_slice(received.lot.as_bytes());
}

pub(super) fn decode_lot_received(reader: &mut Reader<'_, '_>) -> Result<LotReceived, RecordError> {
    let fixed: layout::LotReceivedV1 = reader.fixed()?;
    let own_price = fixed.flags & layout::FLAG_OWN_PRICE != 0;
    Ok(LotReceived {
        sku: reader.sku(fixed.sku_length)?,
        lot: reader.lot(fixed.lot_length)?,
        ordinal: fixed.ordinal.get(),
        quantity: quantity(fixed.quantity.get())?,
        unit_price: if own_price { Some(amount(fixed.unit_price.get())?) } else { None },
    })
}

pub(super) fn encode_units_withdrawn(withdrawn: &UnitsWithdrawn<'_>, out: &mut Vec<u8>) {
    put(
        out,
        &layout::UnitsWithdrawnV1 {
            quantity: withdrawn.quantity.get().into(),
            sku_length: length(withdrawn.sku.as_bytes()),
            withdrawal_length: length(withdrawn.withdrawal.as_bytes()),
            reason_length: length(withdrawn.reason.as_bytes()),
            draws: (withdrawn.draws.len() as u16).into(),
        },
    );
    out.extend_from_slice(withdrawn.sku.as_bytes());
    out.extend_from_slice(withdrawn.withdrawal.as_bytes());
    out.extend_from_slice(withdrawn.reason.as_bytes());
    encode_draws(&withdrawn.draws, out);
}

pub(super) fn decode_units_withdrawn<'a>(
    reader: &mut Reader<'a, '_>,
) -> Result<UnitsWithdrawn<'a>, RecordError> {
    let fixed: layout::UnitsWithdrawnV1 = reader.fixed()?;
    Ok(UnitsWithdrawn {
        sku: reader.sku(fixed.sku_length)?,
        withdrawal: WithdrawalId::new(reader.text(fixed.withdrawal_length, "withdrawal")?)
            .ok_or(RecordError::Field { field: "withdrawal" })?,
        quantity: quantity(fixed.quantity.get())?,
        reason: reader.text(fixed.reason_length, "reason")?,
        draws: decode_draws(reader, fixed.draws.get())?,
    })
}
