//! Ids: orders, payments, requests, buyers and keys.
//!
//! An order's or a payment's id is 128 bits: 48 of milliseconds, 16 of cell, 10 of slot, 54 random, printed in
//! Crockford base32 (26 characters). It routes without a table and reveals no volume.
//! Buyers and keys stand in the ledger as 128-bit keyed hashes (SipHash-1-3, 128 bits; Aumasson
//! and Bernstein, "SipHash: a fast short-input PRF"). All are aligned to 8 bytes instead of 16, so
//! that rows and boxes that hold them waste nothing and allocate the ordinary way.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher13 as SipHasher13x128};

use crate::limits::SLOTS;
use crate::time::Timestamp;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const RANDOM_BITS: u32 = 54;
const SLOT_BITS: u32 = 10;
const CELL_BITS: u32 = 16;

/// The number of a buyer slot: 0 … 1,023. Part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(u16);

impl SlotId {
    /// The home of a buyer: SipHash-1-3 with the zero key over the raw id, modulo 1,024.
    pub fn of_buyer(buyer: &str) -> Self {
        let mut hasher = SipHasher13::new();
        hasher.write(buyer.as_bytes());
        Self((hasher.finish() % SLOTS as u64) as u16)
    }

    /// `None` from 1,024 on.
    pub const fn new(number: u16) -> Option<Self> {
        if (number as usize) < SLOTS { Some(Self(number)) } else { None }
    }

    /// The number, 0 … 1,023.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// All slots, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SLOTS as u16).map(Self)
    }
}

macro_rules! homed_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(C, packed(8))]
        pub struct $name(u128);

        impl $name {
            /// Of the time it was drawn, its cell, its home slot, and 54 random bits (higher ones
            /// are cut).
            pub const fn new(drawn_at: Timestamp, cell: u16, slot: SlotId, random: u64) -> Self {
                Self(homed_bits(drawn_at, cell, slot, random))
            }

            /// From its 128 bits.
            pub const fn from_bits(bits: u128) -> Self {
                Self(bits)
            }

            /// Its 128 bits.
            pub const fn bits(self) -> u128 {
                self.0
            }

            /// When it was drawn, to the millisecond before.
            pub const fn drawn_at(self) -> Timestamp {
                let millis = (self.0 >> (CELL_BITS + SLOT_BITS + RANDOM_BITS)) as u64;
                Timestamp::from_micros(millis.saturating_mul(1_000))
            }

            /// The slot of its home.
            pub const fn slot(self) -> SlotId {
                SlotId((self.0 >> RANDOM_BITS) as u16 & (SLOTS as u16 - 1))
            }

            /// The cell it was drawn in.
            pub const fn cell(self) -> u16 {
                (self.0 >> (SLOT_BITS + RANDOM_BITS)) as u16
            }

            /// Its 26 characters, as `Display` writes them.
            pub fn ascii(self) -> [u8; 26] {
                base32(self.0)
            }

            /// Reads the 26 characters that `Display` writes: capitals only, nothing ambiguous.
            pub fn parse(text: &str) -> Option<Self> {
                parse_base32(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(std::str::from_utf8(&self.ascii()).expect("ASCII"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

homed_id! {
    /// An order's id.
    OrderId
}

homed_id! {
    /// A payment's id: of the same form, with the slot of its order.
    PaymentId
}

const fn homed_bits(drawn_at: Timestamp, cell: u16, slot: SlotId, random: u64) -> u128 {
    let millis = (drawn_at.millis() as u128) & ((1 << 48) - 1);
    let random = (random & ((1 << RANDOM_BITS) - 1)) as u128;
    millis << (CELL_BITS + SLOT_BITS + RANDOM_BITS)
        | (cell as u128) << (SLOT_BITS + RANDOM_BITS)
        | (slot.0 as u128) << RANDOM_BITS
        | random
}

/// The id of the request that caused an event, for tracing.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(C, packed(8))]
pub struct RequestId(u128);

impl RequestId {
    /// The request of what nobody asked for: the engine's own doing.
    pub const NONE: Self = Self(0);

    /// From its 128 bits.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// Its 128 bits.
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// Its 26 characters, as `Display` writes them.
    pub fn ascii(self) -> [u8; 26] {
        base32(self.0)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.ascii()).expect("ASCII"))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The node's secret for hashing buyers and keys; stands in the journal's first record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashKey([u8; 16]);

impl HashKey {
    /// From 16 random bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// The digest of a buyer.
    pub fn buyer(&self, raw: &str) -> BuyerDigest {
        BuyerDigest(self.digest(0, raw))
    }

    /// The digest of a buyer's idempotency key: the key is the buyer's, whatever the SKU (I3).
    pub fn key(&self, buyer: BuyerDigest, raw: &str) -> KeyDigest {
        KeyDigest(self.digest(buyer.0, raw))
    }

    /// The public name of the journal that this key stands in. No buyer's id is empty, so that it
    /// is nobody's digest and reveals none.
    pub fn journal(&self) -> JournalId {
        JournalId(self.digest(0, ""))
    }

    fn digest(&self, domain: u128, raw: &str) -> u128 {
        let mut hasher = SipHasher13x128::new_with_key(&self.0);
        hasher.write(&domain.to_le_bytes());
        hasher.write(raw.as_bytes());
        hasher.finish128().as_u128()
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(…)")
    }
}

/// Which journal it is, so that a copy of another one is not taken for its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct JournalId(u128);

impl JournalId {
    /// From its 128 bits.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }
}

impl fmt::Display for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&base32(self.0)).expect("ASCII"))
    }
}

impl fmt::Debug for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A buyer, as the ledger knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C, packed(8))]
pub struct BuyerDigest(pub u128);

/// A buyer's idempotency key, as the ledger knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C, packed(8))]
pub struct KeyDigest(pub u128);

/// 128 bits as 26 characters of Crockford base32; the first holds three bits.
fn base32(bits: u128) -> [u8; 26] {
    let mut text = [0; 26];
    for (place, character) in text.iter_mut().enumerate() {
        *character = ALPHABET[(bits >> (5 * (25 - place)) & 31) as usize];
    }
    text
}

fn parse_base32(text: &str) -> Option<u128> {
    let bytes: &[u8; 26] = text.as_bytes().try_into().ok()?;
    if bytes[0] > b'7' {
        return None;
    }
    bytes.iter().try_fold(0, |bits: u128, byte| {
        let value = ALPHABET.iter().position(|letter| letter == byte)?;
        Some(bits << 5 | value as u128)
    })
}

#[cfg(test)]
mod tests {
    use super::{HashKey, OrderId, SlotId};
    use crate::time::Timestamp;

    #[test]
    fn an_order_id_carries_its_parts() {
        let slot = SlotId::new(777).expect("in range");
        let id = OrderId::new(Timestamp::from_micros(1_794_355_200_012_345), 4_242, slot, u64::MAX);
        assert_eq!((id.slot(), id.cell()), (slot, 4_242));
        assert_eq!(id.drawn_at().micros(), 1_794_355_200_012_000);
        assert_eq!(id.bits() >> 80, 1_794_355_200_012);
        assert_eq!(OrderId::parse(&id.to_string()), Some(id));
        assert_eq!(id.to_string().len(), 26);
    }

    #[test]
    fn only_its_own_spelling_is_read() {
        let id = OrderId::from_bits(u128::MAX).to_string();
        assert_eq!(id, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        for wrong in [
            "",
            "7",
            "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "7zZZZZZZZZZZZZZZZZZZZZZZZZ",
            "7UZZZZZZZZZZZZZZZZZZZZZZZZ",
        ] {
            assert_eq!(OrderId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_home_of_a_buyer_is_part_of_the_format() {
        let homes: Vec<usize> = ["alice", "bob", "c"].map(|b| SlotId::of_buyer(b).index()).to_vec();
        assert_eq!(homes, [577, 298, 114]);
    }

    #[test]
    fn a_key_belongs_to_its_buyer() {
        let secret = HashKey::new([7; 16]);
        let (ann, bob) = (secret.buyer("ann"), secret.buyer("bob"));
        assert_ne!(secret.key(ann, "k"), secret.key(bob, "k"));
        assert_ne!(HashKey::new([8; 16]).buyer("ann"), ann);
        assert!(!format!("{secret:?}").contains('7'));
    }
}
