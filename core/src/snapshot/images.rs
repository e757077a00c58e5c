//! Images of stocks and slots to bytes and back. Decoding trusts nothing.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::layout;
use crate::event::OrderStatus;
use crate::id::{BuyerDigest, KeyDigest, OrderId, SlotId};
use crate::ledger::{LotImage, OfferImage, OrderImage, SlotImage, StockImage};
use crate::money::{Amount, Currency};
use crate::name::{LotId, SkuId, WithdrawalId};
use crate::outcome::Counters;
use crate::quantity::Quantity;
use crate::time::Timestamp;

pub(super) fn encode_stock(stock: &StockImage, out: &mut Vec<u8>) {
    put(
        out,
        &layout::Stock {
            revision: stock.revision.into(),
            list_price: stock.list_price.minor().into(),
            currency: stock.currency.bytes(),
            standby_pass: u8::from(stock.standby_pass),
            per_buyer_limit: stock.per_buyer_limit.into(),
            hold_seconds: stock.hold_seconds.into(),
            lots: (stock.lots.len() as u32).into(),
            withdrawals: (stock.withdrawals.len() as u32).into(),
            sku_length: length(stock.sku.as_str()),
            title_length: length(&stock.title),
        },
    );
    text(out, &[stock.sku.as_str(), &stock.title]);
    for lot in &stock.lots {
        let Counters { received, available, held, sold, withdrawn } = lot.counters;
        put(
            out,
            &layout::Lot {
                own_price: u8::from(lot.unit_price.is_some()),
                unit_price: lot.unit_price.map_or(0, Amount::minor).into(),
                received: received.into(),
                available: available.into(),
                held: held.into(),
                sold: sold.into(),
                withdrawn: withdrawn.into(),
                name_length: length(lot.lot.as_str()),
            },
        );
        text(out, &[lot.lot.as_str()]);
    }
    for (name, quantity, reason) in &stock.withdrawals {
        put(
            out,
            &layout::Withdrawal {
                quantity: quantity.get().into(),
                name_length: length(name.as_str()),
                reason_length: length(reason),
            },
        );
        text(out, &[name.as_str(), reason]);
    }
}

pub(super) fn decode_stock(bytes: &[u8]) -> Result<StockImage, &'static str> {
    let mut reader = Reader(bytes);
    let fixed: layout::Stock = reader.fixed()?;
    let mut stock = StockImage {
        sku: SkuId::new(reader.text(fixed.sku_length)?).ok_or("a SKU's name")?,
        revision: fixed.revision.get(),
        title: reader.text(fixed.title_length)?.into(),
        list_price: amount(fixed.list_price.get())?,
        currency: currency(fixed.currency)?,
        per_buyer_limit: fixed.per_buyer_limit.get(),
        hold_seconds: fixed.hold_seconds.get(),
        standby_pass: flag(fixed.standby_pass)?,
        lots: Vec::new(),
        withdrawals: Vec::new(),
    };
    for _ in 0..fixed.lots.get() {
        let fixed: layout::Lot = reader.fixed()?;
        let unit_price = amount(fixed.unit_price.get())?;
        stock.lots.push(LotImage {
            lot: LotId::new(reader.text(fixed.name_length)?).ok_or("a lot's name")?,
            unit_price: flag(fixed.own_price)?.then_some(unit_price),
            counters: Counters {
                received: fixed.received.get(),
                available: fixed.available.get(),
                held: fixed.held.get(),
                sold: fixed.sold.get(),
                withdrawn: fixed.withdrawn.get(),
            },
        });
    }
    for _ in 0..fixed.withdrawals.get() {
        let fixed: layout::Withdrawal = reader.fixed()?;
        let name = WithdrawalId::new(reader.text(fixed.name_length)?);
        let reason = reader.text(fixed.reason_length)?.into();
        let name = name.ok_or("a withdrawal's name")?;
        stock.withdrawals.push((name, quantity(fixed.quantity.get())?, reason));
    }
    reader.end()?;
    Ok(stock)
}

pub(super) fn encode_slot(slot: &SlotImage, out: &mut Vec<u8>) {
    put(
        out,
        &layout::Slot {
            slot: (slot.slot.index() as u16).into(),
            offers: (slot.offers.len() as u32).into(),
            orders: (slot.orders.len() as u32).into(),
        },
    );
    for offer in &slot.offers {
        put(
            out,
            &layout::Offer {
                ordinal: offer.ordinal.into(),
                unit_price: offer.unit_price.minor().into(),
                currency: offer.currency.bytes(),
                sku_length: length(offer.sku.as_str()),
                lot_length: length(offer.lot.as_str()),
            },
        );
        text(out, &[offer.sku.as_str(), offer.lot.as_str()]);
    }
    for order in &slot.orders {
        put(
            out,
            &layout::Order {
                order: order.order.bits().into(),
                buyer: order.buyer.0.into(),
                has_key: u8::from(order.key.is_some()),
                key: order.key.map_or(0, |key| key.0).into(),
                fingerprint: order.fingerprint.into(),
                created_at: order.created_at.micros().into(),
                expires_at: order.expires_at.micros().into(),
                final_after_s: order.final_after_s.into(),
                version: order.version.into(),
                status: order.status as u8,
                holdings: (order.holding.len() as u16).into(),
            },
        );
        for (offer, quantity) in &order.holding {
            let (offer, quantity) = ((*offer).into(), quantity.get().into());
            put(out, &layout::Holding { offer, quantity });
        }
    }
}

pub(super) fn decode_slot(bytes: &[u8]) -> Result<SlotImage, &'static str> {
    let mut reader = Reader(bytes);
    let fixed: layout::Slot = reader.fixed()?;
    let slot = SlotId::new(fixed.slot.get()).ok_or("a slot's number")?;
    let mut image = SlotImage { slot, offers: Vec::new(), orders: Vec::new() };
    for _ in 0..fixed.offers.get() {
        let fixed: layout::Offer = reader.fixed()?;
        image.offers.push(OfferImage {
            sku: SkuId::new(reader.text(fixed.sku_length)?).ok_or("a SKU's name")?,
            lot: LotId::new(reader.text(fixed.lot_length)?).ok_or("a lot's name")?,
            ordinal: fixed.ordinal.get(),
            unit_price: amount(fixed.unit_price.get())?,
            currency: currency(fixed.currency)?,
        });
    }
    for _ in 0..fixed.orders.get() {
        let fixed: layout::Order = reader.fixed()?;
        let mut order = OrderImage {
            order: OrderId::from_bits(fixed.order.get()),
            buyer: BuyerDigest(fixed.buyer.get()),
            key: flag(fixed.has_key)?.then_some(KeyDigest(fixed.key.get())),
            fingerprint: fixed.fingerprint.get(),
            created_at: Timestamp::from_micros(fixed.created_at.get()),
            expires_at: Timestamp::from_micros(fixed.expires_at.get()),
            final_after_s: fixed.final_after_s.get(),
            version: fixed.version.get(),
            status: OrderStatus::from_number(fixed.status).ok_or("an order's state")?,
            holding: smallvec::SmallVec::new(),
        };
        for _ in 0..fixed.holdings.get() {
            let fixed: layout::Holding = reader.fixed()?;
            order.holding.push((fixed.offer.get(), quantity(fixed.quantity.get())?));
        }
        image.orders.push(order);
    }
    reader.end()?;
    Ok(image)
}

fn put<T: IntoBytes + Immutable>(out: &mut Vec<u8>, fixed: &T) {
    out.extend_from_slice(fixed.as_bytes());
}

fn text(out: &mut Vec<u8>, texts: &[&str]) {
    texts.iter().for_each(|text| out.extend_from_slice(text.as_bytes()));
}

/// The length of a text as one byte: what came through an event has at most 255.
fn length(text: &str) -> u8 {
    u8::try_from(text.len()).expect("texts in events have at most 255 bytes")
}

fn amount(minor: u64) -> Result<Amount, &'static str> {
    Amount::new(minor).ok_or("an amount")
}

fn quantity(units: u32) -> Result<Quantity, &'static str> {
    Quantity::new(units).ok_or("a quantity")
}

fn currency(code: [u8; 3]) -> Result<Currency, &'static str> {
    std::str::from_utf8(&code).ok().and_then(Currency::new).ok_or("a currency")
}

fn flag(byte: u8) -> Result<bool, &'static str> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err("a flag"),
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn fixed<T: FromBytes + KnownLayout + Immutable + Unaligned + Copy>(
        &mut self,
    ) -> Result<T, &'static str> {
        let (fixed, rest) = T::read_from_prefix(self.0).map_err(|_| "the length")?;
        self.0 = rest;
        Ok(fixed)
    }

    fn text(&mut self, length: u8) -> Result<&'a str, &'static str> {
        let (text, rest) = self.0.split_at_checked(usize::from(length)).ok_or("the length")?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| "a text")
    }

    fn end(&self) -> Result<(), &'static str> {
        if self.0.is_empty() { Ok(()) } else { Err("the length") }
    }
}

#[cfg(test)]
mod tests {
    use super::{decode_slot, decode_stock, encode_slot, encode_stock};
    use crate::event::OrderStatus;
    use crate::id::{BuyerDigest, KeyDigest, OrderId, SlotId};
    use crate::ledger::{LotImage, OfferImage, OrderImage, SlotImage, StockImage};
    use crate::money::{Amount, Currency};
    use crate::name::{LotId, SkuId, WithdrawalId};
    use crate::outcome::Counters;
    use crate::quantity::Quantity;
    use crate::time::Timestamp;
    use smallvec::smallvec;

    fn stock() -> StockImage {
        StockImage {
            sku: SkuId::new("tv").expect("a name"),
            revision: 4,
            title: "Téle".into(),
            list_price: Amount::new(9).expect("in range"),
            currency: Currency::new("EUR").expect("a code"),
            per_buyer_limit: 6,
            hold_seconds: 7,
            standby_pass: true,
            lots: vec![LotImage {
                lot: LotId::new("L").expect("a name"),
                unit_price: Some(Amount::new(8).expect("in range")),
                counters: Counters { received: 5, available: 2, held: 1, sold: 1, withdrawn: 1 },
            }],
            withdrawals: vec![(
                WithdrawalId::new("w").expect("a name"),
                Quantity::ONE,
                "rot".into(),
            )],
        }
    }

    fn slot() -> SlotImage {
        SlotImage {
            slot: SlotId::new(3).expect("in range"),
            offers: vec![OfferImage {
                sku: SkuId::new("tv").expect("a name"),
                lot: LotId::new("L").expect("a name"),
                ordinal: 1,
                unit_price: Amount::new(9).expect("in range"),
                currency: Currency::new("EUR").expect("a code"),
            }],
            orders: vec![OrderImage {
                order: OrderId::from_bits(0x0B),
                buyer: BuyerDigest(0x0C),
                key: Some(KeyDigest(0x0D)),
                fingerprint: 0x0E,
                created_at: Timestamp::from_micros(0x0F),
                expires_at: Timestamp::from_micros(0x10),
                final_after_s: 0x11,
                version: 2,
                status: OrderStatus::Expired,
                holding: smallvec![(0, Quantity::ONE)],
            }],
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn digits(text: &str) -> String {
        text.split_whitespace().collect()
    }

    #[test]
    fn images_have_their_golden_bytes() {
        let mut bytes = Vec::new();
        encode_stock(&stock(), &mut bytes);
        let golden = "04000000 0900000000000000 455552 01 06000000 07000000 01000000 01000000 02 05 \
            7476 54c3a96c65 01 0800000000000000 0500000000000000 0200000000000000 \
            0100000000000000 0100000000000000 0100000000000000 01 4c 01000000 01 03 77 726f74";
        assert_eq!(hex(&bytes), digits(golden));
        assert_eq!(decode_stock(&bytes), Ok(stock()));

        let mut bytes = Vec::new();
        encode_slot(&slot(), &mut bytes);
        let golden = "0300 01000000 01000000 01000000 0900000000000000 455552 02 01 7476 4c \
            0b000000000000000000000000000000 0c000000000000000000000000000000 01 \
            0d000000000000000000000000000000 0e00000000000000 0f00000000000000 1000000000000000 \
            11000000 02000000 05 0100 00000000 01000000";
        assert_eq!(hex(&bytes), digits(golden));
        assert_eq!(decode_slot(&bytes), Ok(slot()));
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_refused_or_read_without_a_panic() {
        let (mut of_stock, mut of_slot) = (Vec::new(), Vec::new());
        encode_stock(&stock(), &mut of_stock);
        encode_slot(&slot(), &mut of_slot);
        for length in 0..of_stock.len() {
            assert!(decode_stock(&of_stock[..length]).is_err());
        }
        for length in 0..of_slot.len() {
            assert!(decode_slot(&of_slot[..length]).is_err());
        }
        for value in [0, 1, 0x7F, 0xFF] {
            for place in 0..of_stock.len().max(of_slot.len()) {
                let change = |bytes: &[u8]| {
                    let mut changed = bytes.to_vec();
                    if let Some(byte) = changed.get_mut(place) {
                        *byte = value;
                    }
                    changed
                };
                let _ = decode_stock(&change(&of_stock));
                let _ = decode_slot(&change(&of_slot));
            }
        }
    }
}
