//! The bytes of snapshots. Little-endian, no padding; a changed layout is a new version.
//!
//! A header, then sections: the sales, one each, sorted by name; the stocks, sorted by SKU; the buyer
//! slots of which there are records, in order; the end. Each section has a checksum (CRC32C), and the end says how many there were.

use zerocopy::little_endian::{U16, U32, U64, U128};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(super) const MAGIC: [u8; 8] = *b"SLUICES1";

/// The version of all layouts here.
pub(super) const VERSION: u16 = 3;

/// Kind of a section: one stock.
pub(super) const STOCK: u8 = 1;
/// Kind of a section: one buyer slot.
pub(super) const SLOT: u8 = 2;
/// Kind of a section: the last one.
pub(super) const END: u8 = 3;
/// Kind of a section: one sale.
pub(super) const SALE: u8 = 4;

macro_rules! layout {
    ($(#[$doc:meta])* struct $name:ident { $($(#[$of:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
        #[repr(C)]
        pub(super) struct $name { $($(#[$of])* pub(super) $field: $type,)* }
    };
}

layout! {
    /// The first bytes of a snapshot.
    struct Header {
        magic: [u8; 8],
        /// CRC32C of everything behind this field.
        checksum: U32,
        version: U16,
        cell: U16,
        /// The format of records that the journal has.
        format: U32,
        hash_key: [u8; 16],
        /// The time of the latest record.
        last_time: U64,
        /// The segment behind it, and what is known where that begins.
        segment: U64,
        segment_id: U64,
        next_sequence: U64,
        mark: U64,
        epoch: U32,
        time: U64,
    }
}

layout! {
    /// Stands before each section.
    struct Section {
        kind: u8,
        /// Of what follows, in bytes.
        length: U32,
        /// CRC32C of kind, length and what follows.
        checksum: U32,
    }
}

layout! {
    /// The last section.
    struct End {
        sales: U32,
        stocks: U32,
        slots: U32,
        orders: U64,
        /// The state digest.
        digest: U128,
    }
}

layout! {
    /// A sale; then its name, its title, its SKUs, and those that are still to be made, each behind
    /// its length.
    struct Sale {
        revision: U32,
        starts_at: U64,
        ends_at: U64,
        per_buyer_limit: U32,
        paused: u8,
        ended: u8,
        skus: U16,
        awaited: U16,
        sale_length: u8,
        title_length: u8,
    }
}

layout! {
    /// A stock; then SKU, title and sale, the lots, the withdrawals, those who wait.
    struct Stock {
        revision: U32,
        list_price: U64,
        currency: [u8; 3],
        standby_pass: u8,
        per_buyer_limit: U32,
        hold_seconds: U32,
        lots: U32,
        withdrawals: U32,
        next_ticket: U64,
        waiters: U32,
        sku_length: u8,
        title_length: u8,
        sale_length: u8,
    }
}

layout! {
    /// A lot; then its name.
    struct Lot {
        own_price: u8,
        unit_price: U64,
        received: U64,
        available: U64,
        held: U64,
        sold: U64,
        withdrawn: U64,
        name_length: u8,
    }
}

layout! {
    /// A withdrawal; then its name and its reason.
    struct Withdrawal {
        quantity: U32,
        name_length: u8,
        reason_length: u8,
    }
}

layout! {
    /// An order that waits; then its sale.
    struct Waiter {
        ticket: U64,
        order: U128,
        buyer: U128,
        quantity: U32,
        sale_length: u8,
    }
}

layout! {
    /// A buyer slot; then its offers, its orders, and the fingerprints (U64) of notices that fitted no
    /// payment.
    struct Slot {
        slot: U16,
        offers: U32,
        orders: U32,
        unmatched: U16,
    }
}

layout! {
    /// An offer; then SKU, lot and sale.
    struct Offer {
        ordinal: U32,
        unit_price: U64,
        currency: [u8; 3],
        sku_length: u8,
        lot_length: u8,
        sale_length: u8,
    }
}

layout! {
    /// An order; then what it holds, or what it wishes if that is nothing; then its payments; then the
    /// fingerprint (U64) of its parcel, if it has one.
    struct Order {
        order: U128,
        buyer: U128,
        has_key: u8,
        key: U128,
        fingerprint: U64,
        created_at: U64,
        expires_at: U64,
        final_after_s: U32,
        version: U32,
        status: u8,
        extended_s: U16,
        holdings: U16,
        payments: U16,
        has_parcel: u8,
    }
}

layout! {
    /// What an order waits for; then SKU and sale.
    struct Wish {
        quantity: U32,
        ticket: U64,
        has_max_amount: u8,
        max_amount: U64,
        currency: [u8; 3],
        sku_length: u8,
        sale_length: u8,
    }
}

layout! {
    /// A payment.
    struct Payment {
        payment: U128,
        amount: U64,
        status: u8,
        ends_order: u8,
        refund_failed: u8,
    }
}

layout! {
    /// Units of one offer.
    struct Holding {
        offer: U32,
        quantity: U32,
    }
}

/// The checksum of a section.
pub(super) fn section_checksum(kind: u8, length: u32, payload: &[u8]) -> u32 {
    let head = crc32c::crc32c_append(crc32c::crc32c(&[kind]), &length.to_le_bytes());
    crc32c::crc32c_append(head, payload)
}

impl Header {
    /// The checksum that belongs to the other fields.
    pub(super) fn computed_checksum(&self) -> u32 {
        crc32c::crc32c(&self.as_bytes()[12..])
    }
}
