//! Records about sales.

use super::fields::{Reader, length, put};
use super::{RecordError, layout};
use crate::event::{SaleDefined, SaleMove, SaleMoved};
use crate::time::Timestamp;

pub(super) fn encode_sale_defined(defined: &SaleDefined<'_>, out: &mut Vec<u8>) {
    put(
        out,
        &layout::SaleDefinedV1 {
            revision: defined.revision.into(),
            starts_at: defined.starts_at.micros().into(),
            ends_at: defined.ends_at.micros().into(),
            per_buyer_limit: defined.per_buyer_limit.into(),
            skus: (defined.skus.len() as u16).into(),
            sale_length: length(defined.sale.as_bytes()),
            title_length: length(defined.title.as_bytes()),
        },
    );
    out.extend_from_slice(defined.sale.as_bytes());
    out.extend_from_slice(defined.title.as_bytes());
    for sku in &defined.skus {
        out.push(length(sku.as_bytes()));
        out.extend_from_slice(sku.as_bytes());
    }
}

pub(super) fn decode_sale_defined<'a>(
    reader: &mut Reader<'a, '_>,
) -> Result<SaleDefined<'a>, RecordError> {
    let fixed: layout::SaleDefinedV1 = reader.fixed()?;
    let sale = reader.sale(fixed.sale_length)?;
    let title = reader.text(fixed.title_length, "title")?;
    let mut skus = Vec::new();
    for _ in 0..fixed.skus.get() {
        let length: u8 = reader.fixed()?;
        skus.push(reader.sku(length)?);
    }
    Ok(SaleDefined {
        sale: sale.ok_or(RecordError::Field { field: "sale" })?,
        revision: fixed.revision.get(),
        title,
        starts_at: Timestamp::from_micros(fixed.starts_at.get()),
        ends_at: Timestamp::from_micros(fixed.ends_at.get()),
        per_buyer_limit: fixed.per_buyer_limit.get(),
        skus,
    })
}

pub(super) fn encode_sale_moved(moved: &SaleMoved, out: &mut Vec<u8>) {
    put(
        out,
        &layout::SaleMovedV1 {
            revision: moved.revision.into(),
            to: moved.to as u8,
            sale_length: length(moved.sale.as_bytes()),
        },
    );
    out.extend_from_slice(moved.sale.as_bytes());
}

pub(super) fn decode_sale_moved(reader: &mut Reader<'_, '_>) -> Result<SaleMoved, RecordError> {
    let fixed: layout::SaleMovedV1 = reader.fixed()?;
    let sale = reader.sale(fixed.sale_length)?;
    Ok(SaleMoved {
        sale: sale.ok_or(RecordError::Field { field: "sale" })?,
        revision: fixed.revision.get(),
        to: SaleMove::from_number(fixed.to).ok_or(RecordError::Field { field: "to" })?,
    })
}
