//! What records are made of.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{LastNames, RecordError};
use crate::event::{Actor, OrderStatus};
use crate::money::{Amount, Currency};
use crate::name::{LotId, SaleId, SkuId};
use crate::quantity::Quantity;

pub(super) fn put<T: IntoBytes + Immutable>(out: &mut Vec<u8>, fixed: &T) {
    out.extend_from_slice(fixed.as_bytes());
}

/// The length of a text as one byte. Every text that reaches an event was checked at the door
/// against a ceiling of at most 255 bytes.
pub(super) fn length(text: &[u8]) -> u8 {
    u8::try_from(text.len()).expect("texts in events have at most 255 bytes")
}

pub(super) fn count(lines: usize) -> u8 {
    u8::try_from(lines).expect("orders have at most 255 lines")
}

pub(super) fn actor_number(actor: Actor) -> u8 {
    match actor {
        Actor::Buyer => 1,
        Actor::Operator => 2,
        Actor::Provider => 3,
        Actor::Engine => 4,
    }
}

pub(super) fn actor_of(number: u8) -> Result<Actor, RecordError> {
    match number {
        1 => Ok(Actor::Buyer),
        2 => Ok(Actor::Operator),
        3 => Ok(Actor::Provider),
        4 => Ok(Actor::Engine),
        _ => Err(RecordError::Field { field: "actor" }),
    }
}

pub(super) fn quantity(units: u32) -> Result<Quantity, RecordError> {
    Quantity::new(units).ok_or(RecordError::Field { field: "quantity" })
}

pub(super) fn amount(minor: u64) -> Result<Amount, RecordError> {
    Amount::new(minor).ok_or(RecordError::Field { field: "unit_price" })
}

pub(super) fn status(number: u8) -> Result<OrderStatus, RecordError> {
    OrderStatus::from_number(number).ok_or(RecordError::Field { field: "status" })
}

pub(super) fn currency(code: [u8; 3]) -> Result<Currency, RecordError> {
    std::str::from_utf8(&code)
        .ok()
        .and_then(Currency::new)
        .ok_or(RecordError::Field { field: "currency" })
}

pub(super) struct Reader<'a, 'n> {
    whole: usize,
    rest: &'a [u8],
    names: &'n mut LastNames,
}

impl<'a, 'n> Reader<'a, 'n> {
    pub(super) fn new(bytes: &'a [u8], names: &'n mut LastNames) -> Self {
        Self { whole: bytes.len(), rest: bytes, names }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn fixed<T: FromBytes + KnownLayout + Immutable + Unaligned + Copy>(
        &mut self,
    ) -> Result<T, RecordError> {
        let Ok((fixed, rest)) = T::read_from_prefix(self.rest) else {
            return Err(self.wrong_length());
        };
        self.rest = rest;
        Ok(fixed)
    }

    /// The same, where it stands.
    pub(super) fn borrowed<T: FromBytes + KnownLayout + Immutable + Unaligned>(
        &mut self,
    ) -> Result<&'a T, RecordError> {
        let Ok((fixed, rest)) = T::ref_from_prefix(self.rest) else {
            return Err(self.wrong_length());
        };
        self.rest = rest;
        Ok(fixed)
    }

    pub(super) fn bytes(&mut self, length: u8) -> Result<&'a [u8], RecordError> {
        let Some((bytes, rest)) = self.rest.split_at_checked(usize::from(length)) else {
            return Err(self.wrong_length());
        };
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn text(&mut self, length: u8, field: &'static str) -> Result<&'a str, RecordError> {
        std::str::from_utf8(self.bytes(length)?).map_err(|_| RecordError::Field { field })
    }

    pub(super) fn sku(&mut self, length: u8) -> Result<SkuId, RecordError> {
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

    pub(super) fn lot(&mut self, length: u8) -> Result<LotId, RecordError> {
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

    /// The sale, if its length is not 0.
    pub(super) fn sale(&mut self, length: u8) -> Result<Option<SaleId>, RecordError> {
        match self.text(length, "sale")? {
            "" => Ok(None),
            name => SaleId::new(name).map(Some).ok_or(RecordError::Field { field: "sale" }),
        }
    }

    pub(super) fn wrong_length(&self) -> RecordError {
        RecordError::Length { length: self.whole }
    }
}
