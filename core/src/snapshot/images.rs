//! Images of stocks and slots to bytes and back. Decoding trusts nothing.

use std::sync::Arc;

use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::layout;
use crate::event::OrderStatus;
use crate::id::{BuyerDigest, KeyDigest, OrderId, PaymentId, SlotId};
use crate::ledger::{
    HoldingImage, LotImage, OfferImage, OrderImage, PaymentImage, SaleImage, SlotImage, StockImage,
    WaiterImage, WishImage,
};
use crate::money::{Amount, Currency};
use crate::name::{LotId, SaleId, SkuId, WithdrawalId};
use crate::outcome::{Counters, PaymentStatus, SaleView};
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
            next_ticket: stock.next_ticket.into(),
            waiters: (stock.waiters.len() as u32).into(),
            sku_length: length(stock.sku.as_str()),
            title_length: length(&stock.title),
            sale_length: length(named(&stock.sale)),
        },
    );
    text(out, &[stock.sku.as_str(), &stock.title, named(&stock.sale)]);
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
    for waiter in &stock.waiters {
        put(
            out,
            &layout::Waiter {
                ticket: waiter.ticket.into(),
                order: waiter.order.bits().into(),
                buyer: waiter.buyer.0.into(),
                quantity: waiter.quantity.get().into(),
                sale_length: length(named(&waiter.sale)),
            },
        );
        text(out, &[named(&waiter.sale)]);
    }
}

pub(super) fn decode_stock(bytes: &[u8]) -> Result<StockImage, &'static str> {
    let mut reader = Reader(bytes);
    let fixed: layout::Stock = reader.fixed()?;
    let mut stock = StockImage {
        sku: SkuId::new(reader.text(fixed.sku_length)?).ok_or("a SKU's name")?,
        revision: fixed.revision.get(),
        title: reader.text(fixed.title_length)?.into(),
        sale: sale(reader.text(fixed.sale_length)?)?,
        list_price: amount(fixed.list_price.get())?,
        currency: currency(fixed.currency)?,
        per_buyer_limit: fixed.per_buyer_limit.get(),
        hold_seconds: fixed.hold_seconds.get(),
        standby_pass: flag(fixed.standby_pass)?,
        lots: Vec::new(),
        withdrawals: Vec::new(),
        next_ticket: fixed.next_ticket.get(),
        waiters: Vec::new(),
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
    for _ in 0..fixed.waiters.get() {
        let fixed: layout::Waiter = reader.fixed()?;
        stock.waiters.push(WaiterImage {
            ticket: fixed.ticket.get(),
            order: OrderId::from_bits(fixed.order.get()),
            buyer: BuyerDigest(fixed.buyer.get()),
            quantity: quantity(fixed.quantity.get())?,
            sale: sale(reader.text(fixed.sale_length)?)?,
        });
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
            unmatched: (slot.unmatched.len() as u16).into(),
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
                sale_length: length(named(&offer.sale)),
            },
        );
        text(out, &[offer.sku.as_str(), offer.lot.as_str(), named(&offer.sale)]);
    }
    slot.orders.iter().for_each(|order| encode_order(order, out));
    slot.unmatched.iter().for_each(|fingerprint| put(out, &U64::new(*fingerprint)));
}

fn encode_order(order: &OrderImage, out: &mut Vec<u8>) {
    let units: &[_] = match &order.holding {
        HoldingImage::Units(units) => units,
        HoldingImage::Wish(_) => &[],
    };
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
            extended_s: order.extended_s.into(),
            holdings: (units.len() as u16).into(),
            payments: (order.payments.len() as u16).into(),
            has_parcel: u8::from(order.parcel.is_some()),
        },
    );
    for (offer, quantity) in units {
        let (offer, quantity) = ((*offer).into(), quantity.get().into());
        put(out, &layout::Holding { offer, quantity });
    }
    if let HoldingImage::Wish(wish) = &order.holding {
        encode_wish(wish, out);
    }
    for payment in &order.payments {
        put(
            out,
            &layout::Payment {
                payment: payment.payment.bits().into(),
                amount: payment.amount.minor().into(),
                status: payment.status as u8,
                ends_order: u8::from(payment.ends_order),
                refund_failed: u8::from(payment.refund_failed),
            },
        );
    }
    order.parcel.iter().for_each(|parcel| put(out, &U64::new(*parcel)));
}

fn encode_wish(wish: &WishImage, out: &mut Vec<u8>) {
    put(
        out,
        &layout::Wish {
            quantity: wish.quantity.get().into(),
            ticket: wish.ticket.into(),
            has_max_amount: u8::from(wish.max_amount.is_some()),
            max_amount: wish.max_amount.map_or(0, Amount::minor).into(),
            currency: wish.currency.bytes(),
            sku_length: length(wish.sku.as_str()),
            sale_length: length(named(&wish.sale)),
        },
    );
    text(out, &[wish.sku.as_str(), named(&wish.sale)]);
}

pub(super) fn decode_slot(bytes: &[u8]) -> Result<SlotImage, &'static str> {
    let mut reader = Reader(bytes);
    let fixed: layout::Slot = reader.fixed()?;
    let slot = SlotId::new(fixed.slot.get()).ok_or("a slot's number")?;
    let mut image = SlotImage::empty(slot);
    for _ in 0..fixed.offers.get() {
        let fixed: layout::Offer = reader.fixed()?;
        image.offers.push(OfferImage {
            sku: SkuId::new(reader.text(fixed.sku_length)?).ok_or("a SKU's name")?,
            lot: LotId::new(reader.text(fixed.lot_length)?).ok_or("a lot's name")?,
            ordinal: fixed.ordinal.get(),
            unit_price: amount(fixed.unit_price.get())?,
            currency: currency(fixed.currency)?,
            sale: sale(reader.text(fixed.sale_length)?)?,
        });
    }
    for _ in 0..fixed.orders.get() {
        image.orders.push(decode_order(&mut reader)?);
    }
    for _ in 0..fixed.unmatched.get() {
        image.unmatched.push(reader.fixed::<U64>()?.get());
    }
    reader.end()?;
    Ok(image)
}

fn decode_order(reader: &mut Reader<'_>) -> Result<OrderImage, &'static str> {
    let fixed: layout::Order = reader.fixed()?;
    let has_parcel = fixed.has_parcel;
    let mut units = smallvec::SmallVec::new();
    for _ in 0..fixed.holdings.get() {
        let fixed: layout::Holding = reader.fixed()?;
        units.push((fixed.offer.get(), quantity(fixed.quantity.get())?));
    }
    let holding = match units.is_empty() {
        true => HoldingImage::Wish(Box::new(decode_wish(reader)?)),
        false => HoldingImage::Units(units),
    };
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
        extended_s: fixed.extended_s.get(),
        holding,
        payments: Vec::new(),
        parcel: None,
    };
    for _ in 0..fixed.payments.get() {
        let fixed: layout::Payment = reader.fixed()?;
        order.payments.push(PaymentImage {
            payment: PaymentId::from_bits(fixed.payment.get()),
            amount: amount(fixed.amount.get())?,
            status: PaymentStatus::from_number(fixed.status).ok_or("a payment's state")?,
            ends_order: flag(fixed.ends_order)?,
            refund_failed: flag(fixed.refund_failed)?,
        });
    }
    if flag(has_parcel)? {
        order.parcel = Some(reader.fixed::<U64>()?.get());
    }
    Ok(order)
}

fn decode_wish(reader: &mut Reader<'_>) -> Result<WishImage, &'static str> {
    let fixed: layout::Wish = reader.fixed()?;
    let most = amount(fixed.max_amount.get())?;
    Ok(WishImage {
        sku: SkuId::new(reader.text(fixed.sku_length)?).ok_or("a SKU's name")?,
        sale: sale(reader.text(fixed.sale_length)?)?,
        quantity: quantity(fixed.quantity.get())?,
        ticket: fixed.ticket.get(),
        max_amount: flag(fixed.has_max_amount)?.then_some(most),
        currency: currency(fixed.currency)?,
    })
}

pub(super) fn encode_sale(image: &SaleImage, out: &mut Vec<u8>) {
    let SaleImage { sale, awaited } = image;
    put(
        out,
        &layout::Sale {
            revision: sale.revision.into(),
            starts_at: sale.starts_at.micros().into(),
            ends_at: sale.ends_at.micros().into(),
            per_buyer_limit: sale.per_buyer_limit.into(),
            paused: u8::from(sale.paused),
            ended: u8::from(sale.ended),
            skus: (sale.skus.len() as u16).into(),
            awaited: (awaited.len() as u16).into(),
            sale_length: length(sale.sale.as_str()),
            title_length: length(&sale.title),
        },
    );
    text(out, &[sale.sale.as_str(), &sale.title]);
    for sku in sale.skus.iter().chain(awaited) {
        out.push(length(sku.as_str()));
        text(out, &[sku.as_str()]);
    }
}

pub(super) fn decode_sale(bytes: &[u8]) -> Result<SaleImage, &'static str> {
    let mut reader = Reader(bytes);
    let fixed: layout::Sale = reader.fixed()?;
    let mut view = SaleView {
        sale: sale(reader.text(fixed.sale_length)?)?.ok_or("a sale's name")?,
        revision: fixed.revision.get(),
        title: reader.text(fixed.title_length)?.into(),
        starts_at: Timestamp::from_micros(fixed.starts_at.get()),
        ends_at: Timestamp::from_micros(fixed.ends_at.get()),
        per_buyer_limit: fixed.per_buyer_limit.get(),
        skus: Vec::new(),
        paused: flag(fixed.paused)?,
        ended: flag(fixed.ended)?,
    };
    let mut sku = || {
        let length: u8 = reader.fixed()?;
        SkuId::new(reader.text(length)?).ok_or("a SKU's name")
    };
    view.skus = (0..fixed.skus.get()).map(|_| sku()).collect::<Result<_, _>>()?;
    let awaited = (0..fixed.awaited.get()).map(|_| sku()).collect::<Result<_, _>>()?;
    reader.end()?;
    Ok(SaleImage { sale: Arc::new(view), awaited })
}

/// A sale's name, or nothing for none.
fn named(sale: &Option<SaleId>) -> &str {
    sale.as_ref().map_or("", SaleId::as_str)
}

fn sale(name: &str) -> Result<Option<SaleId>, &'static str> {
    match name {
        "" => Ok(None),
        name => SaleId::new(name).map(Some).ok_or("a sale's name"),
    }
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
mod tests;
