//! The lines of orders, in every layout they ever had.

use super::fields::{Reader, amount, length, put, quantity};
use super::{RecordError, layout};
use crate::event::{Draw, Draws, Line, Lines};
use crate::name::SaleId;

pub(super) fn encode_lines(lines: &[Line], out: &mut Vec<u8>) {
    lines.iter().for_each(|line| encode_line(line, out));
}

pub(super) fn encode_line(line: &Line, out: &mut Vec<u8>) {
    let sale = line.sale.as_ref().map_or("", SaleId::as_str);
    put(
        out,
        &layout::LineV2 {
            quantity: line.quantity.get().into(),
            draws: (line.draws.len() as u16).into(),
            sku_length: length(line.sku.as_bytes()),
            sale_length: length(sale.as_bytes()),
        },
    );
    out.extend_from_slice(line.sku.as_bytes());
    out.extend_from_slice(sale.as_bytes());
    encode_draws(&line.draws, out);
}

/// Lines of the layout that belongs to a record's version.
pub(super) fn decode_lines(
    reader: &mut Reader<'_, '_>,
    version: u8,
    count: u8,
) -> Result<Lines, RecordError> {
    let decode = if version == 1 { decode_line_v1 } else { decode_line };
    (0..count).map(|_| decode(reader)).collect()
}

pub(super) fn decode_line(reader: &mut Reader<'_, '_>) -> Result<Line, RecordError> {
    let fixed: layout::LineV2 = reader.fixed()?;
    let sku = reader.sku(fixed.sku_length)?;
    let sale = reader.sale(fixed.sale_length)?;
    let draws = decode_draws(reader, fixed.draws.get())?;
    checked(Line { sku, quantity: quantity(fixed.quantity.get())?, sale, draws })
}

fn decode_line_v1(reader: &mut Reader<'_, '_>) -> Result<Line, RecordError> {
    let fixed: layout::LineV1 = reader.fixed()?;
    let sku = reader.sku(fixed.sku_length)?;
    let draws = decode_draws(reader, fixed.draws.get())?;
    checked(Line { sku, quantity: quantity(fixed.quantity.get())?, sale: None, draws })
}

fn checked(line: Line) -> Result<Line, RecordError> {
    let drawn: u64 = line.draws.iter().map(|draw| draw.quantity.units()).sum();
    if drawn == line.quantity.units() {
        Ok(line)
    } else {
        Err(RecordError::Field { field: "draws" })
    }
}

pub(super) fn encode_draws(draws: &[Draw], out: &mut Vec<u8>) {
    for draw in draws {
        put(
            out,
            &layout::DrawV1 {
                ordinal: draw.ordinal.into(),
                quantity: draw.quantity.get().into(),
                unit_price: draw.unit_price.minor().into(),
                lot_length: length(draw.lot.as_bytes()),
            },
        );
        out.extend_from_slice(draw.lot.as_bytes());
    }
}

pub(super) fn decode_draws(reader: &mut Reader<'_, '_>, count: u16) -> Result<Draws, RecordError> {
    let mut draws = Draws::new();
    for _ in 0..count {
        let fixed: layout::DrawV1 = reader.fixed()?;
        draws.push(Draw {
            lot: reader.lot(fixed.lot_length)?,
            ordinal: fixed.ordinal.get(),
            quantity: quantity(fixed.quantity.get())?,
            unit_price: amount(fixed.unit_price.get())?,
        });
    }
    Ok(draws)
}
