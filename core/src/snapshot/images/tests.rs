//! Golden bytes of the images, and what a decoder must refuse.

use std::sync::Arc;

use super::{decode_sale, decode_slot, decode_stock, encode_sale, encode_slot, encode_stock};
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
        withdrawals: vec![(WithdrawalId::new("w").expect("a name"), Quantity::ONE, "rot".into())],
        sale: SaleId::new("s1"),
        next_ticket: 0x20,
        waiters: vec![WaiterImage {
            ticket: 0x1F,
            order: OrderId::from_bits(0x0B),
            buyer: BuyerDigest(0x0C),
            quantity: Quantity::ONE,
            sale: SaleId::new("s1"),
        }],
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
            sale: SaleId::new("s1"),
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
            extended_s: 3,
            holding: HoldingImage::Units(smallvec![(0, Quantity::ONE)]),
            payments: vec![PaymentImage {
                payment: PaymentId::from_bits(0x1A),
                amount: Amount::new(9).expect("in range"),
                status: PaymentStatus::Refunding,
                ends_order: true,
                refund_failed: false,
            }],
            parcel: Some(0x1B),
        }],
        unmatched: vec![0x1C, 0x1D],
    }
}

fn slot_of_one_who_waits() -> SlotImage {
    let mut image = slot();
    let order = &mut image.orders[0];
    (order.status, order.payments, order.parcel) = (OrderStatus::Waiting, Vec::new(), None);
    order.holding = HoldingImage::Wish(Box::new(WishImage {
        sku: SkuId::new("tv").expect("a name"),
        sale: None,
        quantity: Quantity::ONE,
        ticket: 0x1F,
        max_amount: Amount::new(9),
        currency: Currency::new("EUR").expect("a code"),
    }));
    image.unmatched.clear();
    image
}

fn sale() -> SaleImage {
    let view = SaleView {
        sale: SaleId::new("s1").expect("a name"),
        revision: 3,
        title: "Big".into(),
        starts_at: Timestamp::from_micros(1),
        ends_at: Timestamp::from_micros(2),
        per_buyer_limit: 4,
        skus: vec![SkuId::new("tv").expect("a name")],
        paused: true,
        ended: false,
    };
    SaleImage { sale: Arc::new(view), awaited: vec![SkuId::new("x").expect("a name")] }
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
    let golden = "04000000 0900000000000000 455552 01 06000000 07000000 01000000 01000000 \
        2000000000000000 01000000 02 05 02 7476 54c3a96c65 7331 01 0800000000000000 0500000000000000 0200000000000000 \
        0100000000000000 0100000000000000 0100000000000000 01 4c 01000000 01 03 77 726f74 \
        1f00000000000000 0b000000000000000000000000000000 0c000000000000000000000000000000 01000000 02 7331";
    assert_eq!(hex(&bytes), digits(golden));
    assert_eq!(decode_stock(&bytes), Ok(stock()));

    let mut bytes = Vec::new();
    encode_slot(&slot(), &mut bytes);
    let golden = "0300 01000000 01000000 0200 01000000 0900000000000000 455552 02 01 02 7476 4c 7331 \
        0b000000000000000000000000000000 0c000000000000000000000000000000 01 \
        0d000000000000000000000000000000 0e00000000000000 0f00000000000000 1000000000000000 \
        11000000 02000000 05 0300 0100 0100 01 00000000 01000000 \
        1a000000000000000000000000000000 0900000000000000 04 01 00 \
        1b00000000000000 1c00000000000000 1d00000000000000";
    assert_eq!(hex(&bytes), digits(golden));
    assert_eq!(decode_slot(&bytes), Ok(slot()));

    let mut bytes = Vec::new();
    encode_slot(&slot_of_one_who_waits(), &mut bytes);
    let golden =
        "01 0300 0000 0000 00 01000000 1f00000000000000 01 0900000000000000 455552 02 00 7476";
    assert!(hex(&bytes).ends_with(&digits(golden)), "{}", hex(&bytes));
    assert_eq!(decode_slot(&bytes), Ok(slot_of_one_who_waits()));

    let mut bytes = Vec::new();
    encode_sale(&sale(), &mut bytes);
    let golden = "03000000 0100000000000000 0200000000000000 04000000 01 00 0100 0100 \
        02 03 7331 426967 02 7476 01 78";
    assert_eq!(hex(&bytes), digits(golden));
    assert_eq!(decode_sale(&bytes), Ok(sale()));
}

#[test]
fn every_cut_and_every_changed_byte_is_refused_or_read_without_a_panic() {
    let (mut of_stock, mut of_slot, mut of_sale) = (Vec::new(), Vec::new(), Vec::new());
    encode_stock(&stock(), &mut of_stock);
    encode_slot(&slot(), &mut of_slot);
    encode_sale(&sale(), &mut of_sale);
    for length in 0..of_sale.len() {
        assert!(decode_sale(&of_sale[..length]).is_err());
    }
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
            let _ = decode_sale(&change(&of_sale));
        }
    }
}
