//! Golden bytes of every record, and what a decoder must refuse.

use smallvec::smallvec;

use super::{RecordError, decode, encode};
use crate::event::{
    Actor, Draw, Event, FormatRaised, Genesis, Line, Lines, LotReceived, Meta, OrderEnded,
    OrderPlaced, OrderRetired, SkuDefined, UnitsWithdrawn,
};
use crate::id::{BuyerDigest, HashKey, KeyDigest, OrderId, RequestId};
use crate::money::{Amount, Currency};
use crate::name::{LotId, SkuId, WithdrawalId};
use crate::quantity::Quantity;
use crate::time::Timestamp;

const META: Meta = Meta {
    time: Timestamp::from_micros(0x0007_0605_0403_0201),
    actor: Actor::Buyer,
    request: RequestId::from_bits(0xAA),
};

/// The bytes of [`META`] without the kind: version 1, buyer, time, request.
const HEAD: &str = "0101 0102030405060700 aa000000000000000000000000000000";

fn sku() -> SkuId {
    SkuId::new("tv").expect("a name")
}

fn quantity(units: u32) -> Quantity {
    Quantity::new(units).expect("in range")
}

fn amount(minor: u64) -> Amount {
    Amount::new(minor).expect("in range")
}

fn currency() -> Currency {
    Currency::new("EUR").expect("a code")
}

fn draw(ordinal: u32, units: u32) -> Draw {
    let lot = LotId::new("L").expect("a name");
    Draw { lot, ordinal, quantity: quantity(units), unit_price: amount(9) }
}

fn lines() -> Lines {
    smallvec![Line { sku: sku(), quantity: quantity(3), draws: smallvec![draw(0, 1), draw(1, 2)] }]
}

const LINES: &str = "03000000 0200 02 7476 \
    00000000 01000000 0900000000000000 01 4c \
    01000000 02000000 0900000000000000 01 4c";

/// Every kind with its golden bytes. A line here is never changed: a new layout is a new version.
fn golden() -> Vec<(Event<'static>, String)> {
    let order = OrderId::from_bits(0x0B);
    let ended = OrderEnded { order, version: 2, lines: lines() };
    let ended_bytes = format!("0b000000000000000000000000000000 02000000 01 {LINES}");
    vec![
        (
            Event::Genesis(Genesis { cell: 2, hash_key: HashKey::new([5; 16]), format: 1 }),
            format!("0100 {HEAD} 0200 05050505050505050505050505050505 01000000"),
        ),
        (
            Event::FormatRaised(FormatRaised { format: 2, program: "s 9" }),
            format!("0200 {HEAD} 02000000 03 732039"),
        ),
        (
            Event::SkuDefined(SkuDefined {
                sku: sku(),
                revision: 4,
                title: "Téle",
                unit_price: amount(9),
                currency: currency(),
                per_buyer_limit: 6,
                hold_seconds: 7,
                standby_pass: true,
            }),
            format!(
                "0300 {HEAD} 04000000 0900000000000000 455552 01 06000000 07000000 02 05 7476 54c3a96c65"
            ),
        ),
        (
            Event::LotReceived(LotReceived {
                sku: sku(),
                lot: LotId::new("L").expect("a name"),
                ordinal: 1,
                quantity: quantity(3),
                unit_price: Some(amount(9)),
            }),
            format!("0400 {HEAD} 01000000 03000000 01 0900000000000000 02 01 7476 4c"),
        ),
        (
            Event::UnitsWithdrawn(UnitsWithdrawn {
                sku: sku(),
                withdrawal: WithdrawalId::new("w").expect("a name"),
                quantity: quantity(2),
                reason: "rot",
                draws: smallvec![draw(1, 2)],
            }),
            format!(
                "0500 {HEAD} 02000000 02 01 03 0100 7476 77 726f74 \
                 01000000 02000000 0900000000000000 01 4c"
            ),
        ),
        (
            Event::OrderPlaced(OrderPlaced {
                order,
                buyer: BuyerDigest(0x0C),
                buyer_name: "ann",
                key: Some((KeyDigest(0x0D), "k")),
                fingerprint: 0x0E,
                currency: currency(),
                expires_at: Timestamp::from_micros(0x0F),
                lines: lines(),
            }),
            format!(
                "0600 {HEAD} 0b000000000000000000000000000000 0c000000000000000000000000000000 \
                 0d000000000000000000000000000000 0e00000000000000 0f00000000000000 455552 01 \
                 03 01 01 616e6e 6b {LINES}"
            ),
        ),
        (Event::OrderCancelled(ended.clone()), format!("0700 {HEAD} {ended_bytes}")),
        (Event::OrderExpired(ended), format!("0800 {HEAD} {ended_bytes}")),
        (
            Event::OrderRetired(OrderRetired { order }),
            format!("0900 {HEAD} 0b000000000000000000000000000000"),
        ),
    ]
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len() / 2)
        .map(|n| u8::from_str_radix(&digits[2 * n..2 * n + 2], 16).expect("hex"))
        .collect()
}

#[test]
fn records_have_their_golden_bytes() {
    for (event, hex) in golden() {
        let mut out = Vec::new();
        encode(&META, &event, &mut out);
        assert_eq!(out, bytes(&hex), "{event:?}");
        assert_eq!(decode(&out), Ok((META, event)));
    }
}

#[test]
fn every_cut_and_every_longer_record_is_refused() {
    for (event, hex) in golden() {
        let mut whole = bytes(&hex);
        for length in 0..whole.len() {
            let cut = decode(&whole[..length]);
            assert!(cut.is_err(), "{event:?} cut to {length}");
        }
        whole.push(0);
        assert_eq!(decode(&whole), Err(RecordError::Length { length: whole.len() }));
    }
}

#[test]
fn no_change_of_a_byte_panics_and_what_is_read_can_be_written_back() {
    for (_, hex) in golden() {
        let whole = bytes(&hex);
        for place in 0..whole.len() {
            for value in [0, 1, 0x7F, 0x80, 0xFF] {
                let mut changed = whole.clone();
                changed[place] = value;
                if let Ok((meta, event)) = decode(&changed) {
                    let mut out = Vec::new();
                    encode(&meta, &event, &mut out);
                    assert_eq!(out.len(), changed.len());
                }
            }
        }
    }
}

#[test]
fn what_a_newer_program_wrote_is_refused_by_name() {
    let mut newer_kind = bytes(&golden()[0].1);
    newer_kind[0] = 99;
    assert_eq!(decode(&newer_kind), Err(RecordError::Unknown { kind: 99, version: 1 }));
    let mut newer_version = bytes(&golden()[5].1);
    newer_version[2] = 2;
    assert_eq!(decode(&newer_version), Err(RecordError::Unknown { kind: 6, version: 2 }));
}

#[test]
fn draws_that_do_not_add_up_are_refused() {
    let mut out = Vec::new();
    let mut lines = lines();
    lines[0].quantity = quantity(4);
    let ended = OrderEnded { order: OrderId::from_bits(1), version: 2, lines };
    encode(&META, &Event::OrderExpired(ended), &mut out);
    assert_eq!(decode(&out), Err(RecordError::Field { field: "draws" }));
}
