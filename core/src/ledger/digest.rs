//! The state digest (I5): a sum over the digests of all values and their rows, so that it depends
//! neither on how values are dealt out nor on the order in which tables were filled.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::outcome::{Counters, StateDigest};

use super::orders::Holding;
use super::queue::Stage;
use super::sales::Register;
use super::slot::BuyerSlot;
use super::stock::SkuStock;

/// The digest of one stock.
pub(super) fn of_stock(stock: &SkuStock) -> StateDigest {
    let mut hasher = SipHasher13::new();
    let view = stock.view(0);
    text(&mut hasher, view.sku.as_bytes());
    text(&mut hasher, view.title.as_bytes());
    hasher.write_u32(view.revision);
    hasher.write_u64(view.unit_price.minor());
    hasher.write(&view.currency.bytes());
    hasher.write_u32(view.per_buyer_limit);
    hasher.write_u32(view.hold_seconds);
    hasher.write_u8(u8::from(view.standby_pass));
    counters(&mut hasher, &view.counters);
    for lot in &view.lots {
        text(&mut hasher, lot.lot.as_bytes());
        hasher.write_u64(lot.unit_price.map_or(u64::MAX, |price| price.minor()));
        counters(&mut hasher, &lot.counters);
    }
    for (name, (quantity, reason)) in &stock.withdrawals {
        text(&mut hasher, name.as_bytes());
        hasher.write_u32(quantity.get());
        text(&mut hasher, reason.as_bytes());
    }
    for (ticket, waiter) in stock.queue.iter() {
        hasher.write_u64(ticket);
        hasher.write(&waiter.order.bits().to_le_bytes());
        hasher.write(&waiter.buyer.0.to_le_bytes());
        hasher.write_u32(waiter.quantity.get());
    }
    if let Some(sale) = stock.sale() {
        text(&mut hasher, sale.sale.as_bytes());
        hasher.write_u32(sale.revision);
    }
    let served = stock.queue.iter().filter(|(_, waiter)| waiter.stage != Stage::Waiting).count();
    let half_way = served + stock.parked.len() + usize::from(stock.lots.provisional() > 0);
    StateDigest { sum: hasher.finish128().as_u128(), half_way }
}

/// The digest of one slot: the sum over its orders and buyers, and the notices that fitted nothing.
pub(super) fn of_slot(slot: &BuyerSlot) -> StateDigest {
    let mut sum: u128 = 0;
    for order in slot.orders.iter() {
        let mut hasher = SipHasher13::new();
        let view = slot.show(order);
        let buyer = slot.buyers.get(order.buyer);
        hasher.write(&view.order.bits().to_le_bytes());
        hasher.write(&buyer.digest().0.to_le_bytes());
        let reachable = order.key().filter(|key| slot.orders.find_key(*key).is_some());
        hasher.write(&reachable.map_or(0, |key| key.0).to_le_bytes());
        hasher.write_u64(order.fingerprint);
        hasher.write_u64(view.created_at.micros());
        hasher.write_u64(view.expires_at.micros());
        if view.status.is_final() {
            hasher.write_u64(order.final_at().micros());
        }
        hasher.write_u32(view.version);
        hasher.write_u8(view.status as u8);
        hasher.write(&view.currency.bytes());
        for line in &view.lines {
            text(&mut hasher, line.sku.as_bytes());
            hasher.write_u32(line.quantity.get());
            text(&mut hasher, line.sale.as_ref().map_or(&[], |sale| sale.as_bytes()));
            for draw in &line.draws {
                text(&mut hasher, draw.lot.as_bytes());
                hasher.write_u32(draw.ordinal);
                hasher.write_u32(draw.quantity.get());
                hasher.write_u64(draw.unit_price.minor());
            }
        }
        hasher.write_u16(order.extended_s);
        hasher.write_u16(buyer.keys);
        hasher.write_u16(buyer.waiting);
        // Once per order of the buyer, whatever their order: sums within the sum.
        let skus = buyer.skus.iter().map(|(sku, units)| (slot.offers.sku(sku).as_bytes(), units));
        let sales = buyer.sales.iter().map(|(of, units)| (slot.offers.sale(of).as_bytes(), units));
        for (kind, (name, units)) in skus.map(|it| (0, it)).chain(sales.map(|it| (1, it))) {
            let mut of_units = SipHasher13::new();
            of_units.write_u8(kind);
            text(&mut of_units, name);
            of_units.write_u32(units);
            of_units.write(&buyer.digest().0.to_le_bytes());
            sum = sum.wrapping_add(of_units.finish128().as_u128());
        }
        let number = slot.orders.find(order.id).expect("it is among them");
        for (id, payment) in slot.payments.of_order(number) {
            hasher.write(&id.bits().to_le_bytes());
            hasher.write_u64(payment.amount.minor());
            hasher.write_u8(payment.status as u8);
            hasher.write_u8(u8::from(payment.ends_order));
            hasher.write_u8(u8::from(payment.refund_failed));
        }
        if let Some(parcel) = slot.parcels.get(&number) {
            hasher.write_u64(*parcel);
        }
        if let Holding::Nothing(wish) = &order.holding {
            hasher.write_u64(wish.ticket);
            hasher.write_u64(wish.max_amount.map_or(u64::MAX, |most| most.minor()));
        }
        sum = sum.wrapping_add(hasher.finish128().as_u128());
    }
    if !slot.unmatched.is_empty() {
        let mut hasher = SipHasher13::new();
        hasher.write_usize(slot.id().index());
        slot.unmatched.iter().for_each(|fingerprint| hasher.write_u64(*fingerprint));
        sum = sum.wrapping_add(hasher.finish128().as_u128());
    }
    StateDigest { sum, half_way: slot.flights.len() }
}

/// The digest of all sales.
pub(super) fn of_register(register: &Register) -> StateDigest {
    let mut hasher = SipHasher13::new();
    for sale in register.iter() {
        text(&mut hasher, sale.sale.as_bytes());
        text(&mut hasher, sale.title.as_bytes());
        hasher.write_u32(sale.revision);
        hasher.write_u64(sale.starts_at.micros());
        hasher.write_u64(sale.ends_at.micros());
        hasher.write_u32(sale.per_buyer_limit);
        hasher.write_u8(u8::from(sale.paused) << 1 | u8::from(sale.ended));
        for sku in &sale.skus {
            text(&mut hasher, sku.as_bytes());
        }
    }
    StateDigest { sum: hasher.finish128().as_u128(), half_way: register.half_way() }
}

fn text(hasher: &mut SipHasher13, bytes: &[u8]) {
    hasher.write_usize(bytes.len());
    hasher.write(bytes);
}

fn counters(hasher: &mut SipHasher13, counters: &Counters) {
    let Counters { received, available, held, sold, withdrawn } = *counters;
    for units in [received, available, held, sold, withdrawn] {
        hasher.write_u64(units);
    }
}
