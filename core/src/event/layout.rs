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
    /// Kind 6, version 1; then the buyer, the key and the lines.
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
    /// Kinds 7 and 8, version 1; then the lines.
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
    /// One line; then the SKU and the draws.
    struct LineV1 {
        quantity: U32,
        draws: U16,
        sku_length: u8,
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
/// `LotReceivedV1::flags`: the lot has a price of its own.
pub(super) const FLAG_OWN_PRICE: u8 = 1;
/// `OrderPlacedV1::flags`: the order has an idempotency key.
pub(super) const FLAG_KEY: u8 = 1;
