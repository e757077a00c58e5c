//! The layouts of all records: the journal's format. Little-endian, no padding.
//!
//! A changed layout is a new version with a struct of its own; old ones stay, with their golden
//! bytes. Numbers of retired kinds are never used again. A record is a [`Head`], then the fixed
//! part of its kind, then the texts and lists whose lengths the fixed part gives.

use zerocopy::little_endian::{U16, U32, U64, U128};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(super) const GENESIS: u16 = 1;
pub(super) const FORMAT_RAISED: u16 = 2;
pub(super) const SKU_DEFINED: u16 = 3;
pub(super) const LOT_RECEIVED: u16 = 4;
pub(super) const UNITS_WITHDRAWN: u16 = 5;
pub(super) const ORDER_PLACED: u16 = 6;
pub(super) const ORDER_CANCELLED: u16 = 7;
pub(super) const ORDER_EXPIRED: u16 = 8;
pub(super) const ORDER_RETIRED: u16 = 9;
pub(super) const ORDER_QUEUED: u16 = 10;
pub(super) const ORDER_PROMOTED: u16 = 11;
pub(super) const STANDBY_LEFT: u16 = 12;
pub(super) const PAYMENT_STARTED: u16 = 13;
pub(super) const PAYMENT_FAILED: u16 = 14;
pub(super) const ORDER_PAID: u16 = 15;
pub(super) const REFUND_REQUESTED: u16 = 16;
pub(super) const REFUND_SUCCEEDED: u16 = 17;
pub(super) const REFUND_FAILED: u16 = 18;
pub(super) const NOTICE_UNMATCHED: u16 = 19;
pub(super) const ORDER_SHIPPED: u16 = 20;
pub(super) const ORDER_DELIVERED: u16 = 21;
pub(super) const SALE_DEFINED: u16 = 22;
pub(super) const SALE_MOVED: u16 = 23;
pub(super) const RECORD_SKIPPED: u16 = 24;

macro_rules! layout {
    ($(#[$doc:meta])* struct $name:ident { $($field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
        #[repr(C)]
        pub(super) struct $name { $(pub(super) $field: $type,)* }
    };
}

layout! {
    /// Stands before every record.
    struct Head {
        kind: U16,
        version: u8,
        actor: u8,
        time: U64,
        request: U128,
    }
}

layout! {
    /// Kind 1, version 1.
    struct GenesisV1 {
        cell: U16,
        hash_key: [u8; 16],
        format: U32,
    }
}

layout! {
    /// Kind 2, version 1; then the program's name.
    struct FormatRaisedV1 {
        format: U32,
        program_length: u8,
    }
}

layout! {
    /// Kind 3, version 1; then the SKU and its title.
    struct SkuDefinedV1 {
        revision: U32,
        unit_price: U64,
        currency: [u8; 3],
        flags: u8,
        per_buyer_limit: U32,
        hold_seconds: U32,
        sku_length: u8,
        title_length: u8,
    }
}

layout! {
    /// Kind 4, version 1; then the SKU and the lot.
    struct LotReceivedV1 {
        ordinal: U32,
        quantity: U32,
        flags: u8,
        unit_price: U64,
        sku_length: u8,
        lot_length: u8,
    }
}

layout! {
    /// Kind 5, version 1; then the SKU, the withdrawal, the reason and the draws.
    struct UnitsWithdrawnV1 {
        quantity: U32,
        sku_length: u8,
        withdrawal_length: u8,
        reason_length: u8,
        draws: U16,
    }
}

layout! {
    /// Kind 6, versions 1 and 2; then the buyer, the key and the lines of that version.
    struct OrderPlacedV1 {
        order: U128,
        buyer: U128,
        key: U128,
        fingerprint: U64,
        expires_at: U64,
        currency: [u8; 3],
        flags: u8,
        buyer_length: u8,
        key_length: u8,
        lines: u8,
    }
}

layout! {
    /// Kinds 7 and 8, versions 1 and 2; then the lines of that version.
    struct OrderEndedV1 {
        order: U128,
        order_version: U32,
        lines: u8,
    }
}

layout! {
    /// Kind 9, version 1.
    struct OrderRetiredV1 {
        order: U128,
    }
}

layout! {
    /// Kind 10, version 1; then the buyer, the key, the SKU and the sale.
    struct OrderQueuedV1 {
        order: U128,
        buyer: U128,
        key: U128,
        fingerprint: U64,
        currency: [u8; 3],
        flags: u8,
        quantity: U32,
        ticket: U64,
        max_amount: U64,
        buyer_length: u8,
        key_length: u8,
        sku_length: u8,
        sale_length: u8,
    }
}

layout! {
    /// Kind 11, version 1; then one line, version 2.
    struct OrderPromotedV1 {
        order: U128,
        order_version: U32,
        ticket: U64,
        expires_at: U64,
    }
}

layout! {
    /// Kind 12, version 1; then the SKU.
    struct StandbyLeftV1 {
        order: U128,
        order_version: U32,
        ticket: U64,
        reason: u8,
        sku_length: u8,
    }
}

layout! {
    /// Kind 13, version 1.
    struct PaymentStartedV1 {
        payment: U128,
        order: U128,
        order_version: U32,
        amount: U64,
        currency: [u8; 3],
        expires_at: U64,
    }
}

layout! {
    /// Kind 14, version 1.
    struct PaymentFailedV1 {
        payment: U128,
        order: U128,
        order_version: U32,
    }
}

layout! {
    /// Kind 15, version 1; then the lines, version 2.
    struct OrderPaidV1 {
        payment: U128,
        order: U128,
        order_version: U32,
        flags: u8,
        lines: u8,
    }
}

layout! {
    /// Kind 16, version 1; then the lines, version 2.
    struct RefundRequestedV1 {
        payment: U128,
        order: U128,
        order_version: U32,
        status: u8,
        amount: U64,
        currency: [u8; 3],
        reason: u8,
        returned: u8,
        lines: u8,
    }
}

layout! {
    /// Kinds 17 and 18, version 1.
    struct RefundEndedV1 {
        payment: U128,
        order: U128,
        order_version: U32,
        status: u8,
    }
}

layout! {
    /// Kind 19, version 1; then the payment and the order, in the provider's words.
    struct NoticeUnmatchedV1 {
        kind: u8,
        amount: U64,
        currency: [u8; 3],
        payment_length: u8,
        order_length: u8,
    }
}

layout! {
    /// Kind 19, version 2; then the payment, the order and the currency, in the provider's words.
    struct NoticeUnmatchedV2 {
        kind: u8,
        amount: U64,
        payment_length: u8,
        order_length: u8,
        currency_length: u8,
    }
}

layout! {
    /// Kind 20, version 1; then the carrier and its number.
    struct OrderShippedV1 {
        order: U128,
        order_version: U32,
        carrier_length: u8,
        number_length: u8,
    }
}

layout! {
    /// Kind 21, version 1.
    struct OrderDeliveredV1 {
        order: U128,
        order_version: U32,
    }
}

layout! {
    /// Kind 22, version 1; then the sale, its title, and its SKUs, each behind its length.
    struct SaleDefinedV1 {
        revision: U32,
        starts_at: U64,
        ends_at: U64,
        per_buyer_limit: U32,
        skus: U16,
        sale_length: u8,
        title_length: u8,
    }
}

layout! {
    /// Kind 23, version 1; then the sale.
    struct SaleMovedV1 {
        revision: U32,
        to: u8,
        sale_length: u8,
    }
}

layout! {
    /// Kind 24, version 1; then why.
    struct RecordSkippedV1 {
        sink: u8,
        sequence: U64,
        why_length: u8,
    }
}

layout! {
    /// One line, version 1; then the SKU and the draws.
    struct LineV1 {
        quantity: U32,
        draws: U16,
        sku_length: u8,
    }
}

layout! {
    /// One line, version 2; then the SKU, the sale if it has one, and the draws.
    struct LineV2 {
        quantity: U32,
        draws: U16,
        sku_length: u8,
        sale_length: u8,
    }
}

layout! {
    /// One draw; then the lot.
    struct DrawV1 {
        ordinal: U32,
        quantity: U32,
        unit_price: U64,
        lot_length: u8,
    }
}

/// `SkuDefinedV1::flags`: smaller standby orders may pass.
pub(super) const FLAG_STANDBY_PASS: u8 = 1;
/// `SkuDefinedV1::flags`: it came into a sale when it was created; the length of the sale's name
/// and the name follow.
pub(super) const FLAG_IN_SALE: u8 = 2;
/// `LotReceivedV1::flags`: the lot has a price of its own.
pub(super) const FLAG_OWN_PRICE: u8 = 1;
/// `OrderPlacedV1::flags` and `OrderQueuedV1::flags`: the order has an idempotency key.
pub(super) const FLAG_KEY: u8 = 1;
/// `OrderQueuedV1::flags`: the buyer pays no more than an amount.
pub(super) const FLAG_MAX_AMOUNT: u8 = 2;
/// `OrderPaidV1::flags`: the units were taken again.
pub(super) const FLAG_LATE: u8 = 1;
