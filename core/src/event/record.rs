//! Events to bytes and back.
//!
//! Decoding trusts nothing: a record of an unknown kind or version, of a wrong length or with a
//! value out of its range is refused with the reason.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::layout::{self, Head};
use super::{
    Actor, Draw, Draws, Event, FormatRaised, Genesis, Line, Lines, LotReceived, Meta, OrderEnded,
    OrderPlaced, OrderRetired, SkuDefined, UnitsWithdrawn,
};
use crate::id::{BuyerDigest, HashKey, KeyDigest, OrderId, RequestId};
use crate::money::{Amount, Currency};
use crate::name::{LotId, SkuId, WithdrawalId};
use crate::quantity::Quantity;
use crate::time::Timestamp;

/// Why a record could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A newer program wrote it.
    #[error("record kind {kind} version {version} is unknown to sluice {}", env!("CARGO_PKG_VERSION"))]
    Unknown {
        /// Its kind.
        kind: u16,
        /// The version of its layout.
        version: u8,
    },
    /// It ends too early or too late.
    #[error("record of {length} bytes does not have the length its fields say")]
    Length {
        /// Its length in bytes.
        length: usize,
    },
    /// A field is out of its range.
    #[error("record field {field} is out of its range")]
    Field {
        /// Which.
        field: &'static str,
    },
}

/// Appends the record of `event` to `out`.
pub fn encode(meta: &Meta, event: &Event<'_>, out: &mut Vec<u8>) {
    let kind = match event {
        Event::Genesis(_) => layout::GENESIS,
        Event::FormatRaised(_) => layout::FORMAT_RAISED,
        Event::SkuDefined(_) => layout::SKU_DEFINED,
        Event::LotReceived(_) => layout::LOT_RECEIVED,
        Event::UnitsWithdrawn(_) => layout::UNITS_WITHDRAWN,
        Event::OrderPlaced(_) => layout::ORDER_PLACED,
        Event::OrderCancelled(_) => layout::ORDER_CANCELLED,
        Event::OrderExpired(_) => layout::ORDER_EXPIRED,
        Event::OrderRetired(_) => layout::ORDER_RETIRED,
    };
    put(
        out,
        &Head {
            kind: kind.into(),
            version: 1,
            actor: actor_number(meta.actor),
            time: meta.time.micros().into(),
            request: meta.request.bits().into(),
        },
    );
    match event {
        Event::Genesis(genesis) => put(
            out,
            &layout::GenesisV1 {
                cell: genesis.cell.into(),
                hash_key: genesis.hash_key.bytes(),
                format: genesis.format.into(),
            },
        ),
        Event::FormatRaised(raised) => {
            put(
                out,
                &layout::FormatRaisedV1 {
                    format: raised.format.into(),
                    program_length: length(raised.program.as_bytes()),
                },
            );
            out.extend_from_slice(raised.program.as_bytes());
        }
        Event::SkuDefined(defined) => encode_sku_defined(defined, out),
        Event::LotReceived(received) => encode_lot_received(received, out),
        Event::UnitsWithdrawn(withdrawn) => encode_units_withdrawn(withdrawn, out),
        Event::OrderPlaced(placed) => encode_order_placed(placed, out),
        Event::OrderCancelled(ended) | Event::OrderExpired(ended) => {
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
        Event::OrderRetired(retired) => {
            put(out, &layout::OrderRetiredV1 { order: retired.order.bits().into() });
        }
    }
}

/// The names that were read last. In a rush most records name the same SKU and lot again.
#[derive(Clone, Debug, Default)]
pub struct LastNames {
    sku: Option<SkuId>,
    lot: Option<LotId>,
}

/// Reads one record.
///
/// # Errors
/// [`RecordError`] says what is wrong with it.
pub fn decode(bytes: &[u8]) -> Result<(Meta, Event<'_>), RecordError> {
    decode_next(bytes, &mut LastNames::default())
}

/// Reads one of many records, to all of which the same `names` are given.
///
/// # Errors
/// [`RecordError`] says what is wrong with it.
pub fn decode_next<'a>(
    bytes: &'a [u8],
    names: &mut LastNames,
) -> Result<(Meta, Event<'a>), RecordError> {
    let mut reader = Reader { whole: bytes.len(), rest: bytes, names };
    let head: Head = reader.fixed()?;
    let meta = Meta {
        time: Timestamp::from_micros(head.time.get()),
        actor: actor_of(head.actor)?,
        request: RequestId::from_bits(head.request.get()),
    };
    let kind = head.kind.get();
    if head.version != 1 {
        return Err(RecordError::Unknown { kind, version: head.version });
    }
    let event = match kind {
        layout::GENESIS => {
            let fixed: layout::GenesisV1 = reader.fixed()?;
            Event::Genesis(Genesis {
                cell: fixed.cell.get(),
                hash_key: HashKey::new(fixed.hash_key),
                format: fixed.format.get(),
            })
        }
        layout::FORMAT_RAISED => {
            let fixed: layout::FormatRaisedV1 = reader.fixed()?;
            let program = reader.text(fixed.program_length, "program")?;
            Event::FormatRaised(FormatRaised { format: fixed.format.get(), program })
        }
        layout::SKU_DEFINED => Event::SkuDefined(decode_sku_defined(&mut reader)?),
        layout::LOT_RECEIVED => Event::LotReceived(decode_lot_received(&mut reader)?),
        layout::UNITS_WITHDRAWN => Event::UnitsWithdrawn(decode_units_withdrawn(&mut reader)?),
        layout::ORDER_PLACED => Event::OrderPlaced(decode_order_placed(&mut reader)?),
        layout::ORDER_CANCELLED => Event::OrderCancelled(decode_order_ended(&mut reader)?),
        layout::ORDER_EXPIRED => Event::OrderExpired(decode_order_ended(&mut reader)?),
        layout::ORDER_RETIRED => {
            let fixed: layout::OrderRetiredV1 = reader.fixed()?;
            Event::OrderRetired(OrderRetired { order: OrderId::from_bits(fixed.order.get()) })
        }
        _ => return Err(RecordError::Unknown { kind, version: head.version }),
    };
    if reader.rest.is_empty() { Ok((meta, event)) } else { Err(reader.wrong_length()) }
}

fn encode_sku_defined(defined: &SkuDefined<'_>, out: &mut Vec<u8>) {
    put(
        out,
        &layout::SkuDefinedV1 {
            revision: defined.revision.into(),
            unit_price: defined.unit_price.minor().into(),
            currency: defined.currency.bytes(),
            flags: if defined.standby_pass { layout::FLAG_STANDBY_PASS } else { 0 },
            per_buyer_limit: defined.per_buyer_limit.into(),
            hold_seconds: defined.hold_seconds.into(),
            sku_length: length(defined.sku.as_bytes()),
            title_length: length(defined.title.as_bytes()),
        },
    );
    out.extend_from_slice(defined.sku.as_bytes());
    out.extend_from_slice(defined.title.as_bytes());
}

fn decode_sku_defined<'a>(reader: &mut Reader<'a, '_>) -> Result<SkuDefined<'a>, RecordError> {
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
    })
}

fn encode_lot_received(received: &LotReceived, out: &mut Vec<u8>) {
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

fn decode_lot_received(reader: &mut Reader<'_, '_>) -> Result<LotReceived, RecordError> {
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

fn encode_units_withdrawn(withdrawn: &UnitsWithdrawn<'_>, out: &mut Vec<u8>) {
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

fn decode_units_withdrawn<'a>(
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

fn encode_order_placed(placed: &OrderPlaced<'_>, out: &mut Vec<u8>) {
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

fn decode_order_placed<'a>(reader: &mut Reader<'a, '_>) -> Result<OrderPlaced<'a>, RecordError> {
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
        lines: decode_lines(reader, fixed.lines)?,
    })
}

fn decode_order_ended(reader: &mut Reader<'_, '_>) -> Result<OrderEnded, RecordError> {
    let fixed: layout::OrderEndedV1 = reader.fixed()?;
    Ok(OrderEnded {
        order: OrderId::from_bits(fixed.order.get()),
        version: fixed.order_version.get(),
        lines: decode_lines(reader, fixed.lines)?,
    })
}

fn encode_lines(lines: &[Line], out: &mut Vec<u8>) {
    for line in lines {
        put(
            out,
            &layout::LineV1 {
                quantity: line.quantity.get().into(),
                draws: (line.draws.len() as u16).into(),
                sku_length: length(line.sku.as_bytes()),
            },
        );
        out.extend_from_slice(line.sku.as_bytes());
        encode_draws(&line.draws, out);
    }
}

fn decode_lines(reader: &mut Reader<'_, '_>, count: u8) -> Result<Lines, RecordError> {
    let mut lines = Lines::new();
    for _ in 0..count {
        let fixed: layout::LineV1 = reader.fixed()?;
        let sku = reader.sku(fixed.sku_length)?;
        let draws = decode_draws(reader, fixed.draws.get())?;
        let line = Line { sku, quantity: quantity(fixed.quantity.get())?, draws };
        let drawn: u64 = line.draws.iter().map(|draw| draw.quantity.units()).sum();
        if drawn != line.quantity.units() {
            return Err(RecordError::Field { field: "draws" });
        }
        lines.push(line);
    }
    Ok(lines)
}

fn encode_draws(draws: &[Draw], out: &mut Vec<u8>) {
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

fn decode_draws(reader: &mut Reader<'_, '_>, count: u16) -> Result<Draws, RecordError> {
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

fn put<T: IntoBytes + Immutable>(out: &mut Vec<u8>, fixed: &T) {
    out.extend_from_slice(fixed.as_bytes());
}

/// The length of a text as one byte. Every text that reaches an event was checked at the door
/// against a ceiling of at most 255 bytes.
fn length(text: &[u8]) -> u8 {
    u8::try_from(text.len()).expect("texts in events have at most 255 bytes")
}

fn count(lines: usize) -> u8 {
    u8::try_from(lines).expect("orders have at most 255 lines")
}

fn actor_number(actor: Actor) -> u8 {
    match actor {
        Actor::Buyer => 1,
        Actor::Operator => 2,
        Actor::Provider => 3,
        Actor::Engine => 4,
    }
}

fn actor_of(number: u8) -> Result<Actor, RecordError> {
    match number {
        1 => Ok(Actor::Buyer),
        2 => Ok(Actor::Operator),
        3 => Ok(Actor::Provider),
        4 => Ok(Actor::Engine),
        _ => Err(RecordError::Field { field: "actor" }),
    }
}

fn quantity(units: u32) -> Result<Quantity, RecordError> {
    Quantity::new(units).ok_or(RecordError::Field { field: "quantity" })
}

fn amount(minor: u64) -> Result<Amount, RecordError> {
    Amount::new(minor).ok_or(RecordError::Field { field: "unit_price" })
}

fn currency(code: [u8; 3]) -> Result<Currency, RecordError> {
    std::str::from_utf8(&code)
        .ok()
        .and_then(Currency::new)
        .ok_or(RecordError::Field { field: "currency" })
}

struct Reader<'a, 'n> {
    whole: usize,
    rest: &'a [u8],
    names: &'n mut LastNames,
}

impl<'a> Reader<'a, '_> {
    fn fixed<T: FromBytes + KnownLayout + Immutable + Unaligned + Copy>(
        &mut self,
    ) -> Result<T, RecordError> {
        let Ok((fixed, rest)) = T::read_from_prefix(self.rest) else {
            return Err(self.wrong_length());
        };
        self.rest = rest;
        Ok(fixed)
    }

    fn bytes(&mut self, length: u8) -> Result<&'a [u8], RecordError> {
        let Some((bytes, rest)) = self.rest.split_at_checked(usize::from(length)) else {
            return Err(self.wrong_length());
        };
        self.rest = rest;
        Ok(bytes)
    }

    fn text(&mut self, length: u8, field: &'static str) -> Result<&'a str, RecordError> {
        std::str::from_utf8(self.bytes(length)?).map_err(|_| RecordError::Field { field })
    }

    fn sku(&mut self, length: u8) -> Result<SkuId, RecordError> {
        let bytes = self.bytes(length)?;
        match &self.names.sku {
            Some(last) if last.as_bytes() == bytes => Ok(last.clone()),
            _ => {
                let sku = std::str::from_utf8(bytes).ok().and_then(SkuId::new);
                self.names.sku.clone_from(&sku);
                sku.ok_or(RecordError::Field { field: "sku" })
            }
        }
    }

    fn lot(&mut self, length: u8) -> Result<LotId, RecordError> {
        let bytes = self.bytes(length)?;
        match &self.names.lot {
            Some(last) if last.as_bytes() == bytes => Ok(last.clone()),
            _ => {
                let lot = std::str::from_utf8(bytes).ok().and_then(LotId::new);
                self.names.lot.clone_from(&lot);
                lot.ok_or(RecordError::Field { field: "lot" })
            }
        }
    }

    fn wrong_length(&self) -> RecordError {
        RecordError::Length { length: self.whole }
    }
}

#[cfg(test)]
mod tests;
