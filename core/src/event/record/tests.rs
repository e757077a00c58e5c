//! Golden bytes of every record, and what a decoder must refuse.

use smallvec::smallvec;

use super::{RecordError, decode, encode};
use crate::event::{
    Actor, Draw, Event, FormatRaised, Genesis, LeftReason, Line, Lines, LotReceived, Meta,
    NoticeKind, NoticeUnmatched, OrderDelivered, OrderEnded, OrderPaid, OrderPlaced, OrderPromoted,
    OrderQueued, OrderRetired, OrderShipped, OrderStatus, PaymentFailed, PaymentStarted,
    RecordSkipped, RefundEnded, RefundReason, RefundRequested, Returned, SaleDefined, SaleMove,
    SaleMoved, SinkName, SkuDefined, StandbyLeft, UnitsWithdrawn,
};
use crate::id::{BuyerDigest, HashKey, KeyDigest, OrderId, PaymentId, RequestId};
use crate::money::{Amount, Currency};
use crate::name::{LotId, SaleId, SkuId, WithdrawalId};
use crate::quantity::Quantity;
use crate::time::Timestamp;

const META: Meta = Meta {
    time: Timestamp::from_micros(0x0007_0605_0403_0201),
    actor: Actor::Buyer,
    request: RequestId::from_bits(0xAA),
};

/// The bytes of [`META`] without the kind: version 1, buyer, time, request.
const HEAD: &str = "0101 0102030405060700 aa000000000000000000000000000000";

/// The same with version 2.
const HEAD_2: &str = "0201 0102030405060700 aa000000000000000000000000000000";

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
    smallvec![Line { sale: sale(), ..line() }]
}

fn line() -> Line {
    let draws = smallvec![draw(0, 1), draw(1, 2)];
    Line { sku: sku(), quantity: quantity(3), sale: None, draws }
}

fn sale() -> Option<SaleId> {
    SaleId::new("s1")
}

const DRAWS: &str = "00000000 01000000 0900000000000000 01 4c \
    01000000 02000000 0900000000000000 01 4c";

/// Every kind with its golden bytes. A line here is never changed: a new layout is a new version.
fn golden() -> Vec<(Event<'static>, String)> {
    let order = OrderId::from_bits(0x0B);
    let ended = OrderEnded { order, version: 2, lines: lines() };
    let lines_bytes = format!("03000000 0200 02 02 7476 7331 {DRAWS}");
    let ended_bytes = format!("0b000000000000000000000000000000 02000000 01 {lines_bytes}");
    let mut golden = vec![
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
                sale: SaleId::new("e"),
            }),
            format!(
                "0300 {HEAD} 04000000 0900000000000000 455552 03 06000000 07000000 02 05 7476 54c3a96c65 01 65"
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
                "0600 {HEAD_2} 0b000000000000000000000000000000 0c000000000000000000000000000000 \
                 0d000000000000000000000000000000 0e00000000000000 0f00000000000000 455552 01 \
                 03 01 01 616e6e 6b {lines_bytes}"
            ),
        ),
        (Event::OrderCancelled(ended.clone()), format!("0700 {HEAD_2} {ended_bytes}")),
        (Event::OrderExpired(ended), format!("0800 {HEAD_2} {ended_bytes}")),
        (
            Event::OrderRetired(OrderRetired { order }),
            format!("0900 {HEAD} 0b000000000000000000000000000000"),
        ),
    ];
    golden.extend(of_standby());
    golden.extend(of_money(&lines_bytes));
    golden.extend(of_sales_and_ways());
    golden
}

const ORDER: OrderId = OrderId::from_bits(0x0B);
const PAYMENT: PaymentId = PaymentId::from_bits(0x1A);

/// Order 0x0B at version 2.
const ORDER_2: &str = "0b000000000000000000000000000000 02000000";
/// Payment 0x1A of order 0x0B at version 2.
const PAYMENT_2: &str =
    "1a000000000000000000000000000000 0b000000000000000000000000000000 02000000";

fn of_standby() -> Vec<(Event<'static>, String)> {
    vec![
        (
            Event::OrderQueued(OrderQueued {
                order: ORDER,
                buyer: BuyerDigest(0x0C),
                buyer_name: "ann",
                key: Some((KeyDigest(0x0D), "k")),
                fingerprint: 0x0E,
                currency: currency(),
                sku: sku(),
                quantity: quantity(3),
                sale: sale(),
                ticket: 0x10,
                max_amount: Some(amount(0x11)),
            }),
            format!(
                "0a00 {HEAD} 0b000000000000000000000000000000 0c000000000000000000000000000000 \
                 0d000000000000000000000000000000 0e00000000000000 455552 03 03000000 \
                 1000000000000000 1100000000000000 03 01 02 02 616e6e 6b 7476 7331"
            ),
        ),
        (
            Event::OrderPromoted(OrderPromoted {
                order: ORDER,
                version: 2,
                ticket: 0x10,
                expires_at: Timestamp::from_micros(0x0F),
                line: line(),
            }),
            format!(
                "0b00 {HEAD} {ORDER_2} 1000000000000000 0f00000000000000 \
                 03000000 0200 02 00 7476 {DRAWS}"
            ),
        ),
        (
            Event::StandbyLeft(StandbyLeft {
                order: ORDER,
                version: 2,
                sku: sku(),
                ticket: 0x10,
                reason: LeftReason::SaleEnded,
            }),
            format!("0c00 {HEAD} {ORDER_2} 1000000000000000 02 02 7476"),
        ),
    ]
}

fn of_money(lines_bytes: &str) -> Vec<(Event<'static>, String)> {
    let started = PaymentStarted {
        payment: PAYMENT,
        order: ORDER,
        version: 2,
        amount: amount(9),
        currency: currency(),
        expires_at: Timestamp::from_micros(0x0F),
    };
    let failed = PaymentFailed { payment: PAYMENT, order: ORDER, version: 2 };
    let paid = OrderPaid { payment: PAYMENT, order: ORDER, version: 2, late: true, lines: lines() };
    let requested = RefundRequested {
        payment: PAYMENT,
        order: ORDER,
        version: 2,
        status: OrderStatus::Refunding,
        amount: amount(9),
        currency: currency(),
        reason: RefundReason::Operator,
        returned: Returned::ToStock,
        lines: lines(),
    };
    let status = OrderStatus::Refunded;
    let ended = RefundEnded { payment: PAYMENT, order: ORDER, version: 2, status };
    let notice = NoticeUnmatched {
        kind: NoticeKind::RefundFailed,
        payment: "p",
        order: "ord",
        amount: amount(9),
        currency: "Euro",
    };
    vec![
        (
            Event::PaymentStarted(started),
            format!("0d00 {HEAD} {PAYMENT_2} 0900000000000000 455552 0f00000000000000"),
        ),
        (Event::PaymentFailed(failed), format!("0e00 {HEAD} {PAYMENT_2}")),
        (Event::OrderPaid(paid), format!("0f00 {HEAD} {PAYMENT_2} 01 01 {lines_bytes}")),
        (
            Event::RefundRequested(requested),
            format!("1000 {HEAD} {PAYMENT_2} 08 0900000000000000 455552 01 01 01 {lines_bytes}"),
        ),
        (Event::RefundSucceeded(ended), format!("1100 {HEAD} {PAYMENT_2} 09")),
        (Event::RefundFailed(ended), format!("1200 {HEAD} {PAYMENT_2} 09")),
        (
            Event::NoticeUnmatched(notice),
            format!("1300 {HEAD_2} 04 0900000000000000 01 03 04 70 6f7264 4575726f"),
        ),
    ]
}

fn of_sales_and_ways() -> Vec<(Event<'static>, String)> {
    let shipped = OrderShipped { order: ORDER, version: 2, carrier: "ups", tracking_number: "1Z" };
    let defined = SaleDefined {
        sale: sale().expect("a name"),
        revision: 3,
        title: "Big",
        starts_at: Timestamp::from_micros(1),
        ends_at: Timestamp::from_micros(2),
        per_buyer_limit: 4,
        skus: vec![sku(), SkuId::new("x").expect("a name")],
    };
    let skipped = RecordSkipped { sink: SinkName::Redis, sequence: 9, why: "bad" };
    let moved = SaleMoved { sale: sale().expect("a name"), revision: 4, to: SaleMove::Ended };
    vec![
        (Event::OrderShipped(shipped), format!("1400 {HEAD} {ORDER_2} 03 02 757073 315a")),
        (
            Event::OrderDelivered(OrderDelivered { order: ORDER, version: 2 }),
            format!("1500 {HEAD} {ORDER_2}"),
        ),
        (
            Event::SaleDefined(defined),
            format!(
                "1600 {HEAD} 03000000 0100000000000000 0200000000000000 04000000 0200 02 03 \
                 7331 426967 02 7476 01 78"
            ),
        ),
        (Event::SaleMoved(moved), format!("1700 {HEAD} 04000000 03 02 7331")),
        (Event::RecordSkipped(skipped), format!("1800 {HEAD} 02 0900000000000000 03 626164")),
    ]
}

/// Layouts that are no longer written and stay readable.
fn golden_of_old() -> Vec<(Event<'static>, String)> {
    let lines_bytes = format!("03000000 0200 02 7476 {DRAWS}");
    let ended = OrderEnded { order: ORDER, version: 2, lines: smallvec![line()] };
    vec![
        (
            Event::OrderPlaced(OrderPlaced {
                order: ORDER,
                buyer: BuyerDigest(0x0C),
                buyer_name: "ann",
                key: Some((KeyDigest(0x0D), "k")),
                fingerprint: 0x0E,
                currency: currency(),
                expires_at: Timestamp::from_micros(0x0F),
                lines: smallvec![line()],
            }),
            format!(
                "0600 {HEAD} 0b000000000000000000000000000000 0c000000000000000000000000000000 \
                 0d000000000000000000000000000000 0e00000000000000 0f00000000000000 455552 01 \
                 03 01 01 616e6e 6b {lines_bytes}"
            ),
        ),
        (Event::OrderCancelled(ended.clone()), format!("0700 {HEAD} {ORDER_2} 01 {lines_bytes}")),
        (Event::OrderExpired(ended), format!("0800 {HEAD} {ORDER_2} 01 {lines_bytes}")),
        (
            Event::NoticeUnmatched(NoticeUnmatched {
                kind: NoticeKind::RefundFailed,
                payment: "p",
                order: "ord",
                amount: amount(9),
                currency: "EUR",
            }),
            format!("1300 {HEAD} 04 0900000000000000 455552 01 03 70 6f7264"),
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
fn what_an_older_program_wrote_is_read() {
    for (event, hex) in golden_of_old() {
        assert_eq!(decode(&bytes(&hex)), Ok((META, event)));
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
                // What an older layout says is written in the newest.
                if let Ok((meta, event)) = decode(&changed)
                    && changed[2] == whole[2]
                {
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
    newer_version[2] = 3;
    assert_eq!(decode(&newer_version), Err(RecordError::Unknown { kind: 6, version: 3 }));
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
