//! The orders of one slot: compact rows, found by id, by key and along a buyer's chain.

use crate::event::OrderStatus;
use crate::id::{KeyDigest, OrderId};
use crate::money::{Amount, Currency};
use crate::quantity::Quantity;
use crate::time::Timestamp;

use super::buyers::NO_ORDER;
use super::index::Index;
use super::rows::Rows;

/// One order. 96 bytes; what it holds is named by offer numbers of its slot.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) id: OrderId,
    key: KeyDigest,
    pub(super) fingerprint: u64,
    pub(super) created_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) holding: Holding,
    pub(super) buyer: u32,
    /// The buyer's order before this one.
    pub(super) previous: u32,
    /// The buyer's order after this one.
    pub(super) newer: u32,
    /// How long after it was placed it became final, in seconds, rounded up; means nothing before.
    pub(super) final_after_s: u32,
    /// 0 in a row that is vacant.
    pub(super) version: u32,
    /// By how much its deadline was put off, in seconds.
    pub(super) extended_s: u16,
    pub(super) status: OrderStatus,
    has_key: bool,
}

/// What an order holds or held, in the order of its lines.
#[derive(Debug)]
pub(super) enum Holding {
    /// One line from one lot, as nearly all are.
    One(Units),
    /// Several lines or lots.
    Many(Box<[Units]>),
    /// Nothing yet, or never: it waits or waited.
    Nothing(Box<Wish>),
}

/// What an order waits for, or waited for in vain.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) sku: u32,
    pub(super) sale: Option<u32>,
    pub(super) quantity: Quantity,
    pub(super) ticket: u64,
    pub(super) max_amount: Option<Amount>,
    pub(super) currency: Currency,
}

/// Units of one offer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Units {
    pub(super) offer: u32,
    pub(super) quantity: Quantity,
}

impl Holding {
    pub(super) fn units(&self) -> &[Units] {
        match self {
            Self::One(units) => std::slice::from_ref(units),
            Self::Many(units) => units,
            Self::Nothing(_) => &[],
        }
    }
}

impl Order {
    /// When its hold was to end before its deadline was put off.
    pub(super) fn first_due(&self) -> Timestamp {
        let extended_us = u64::from(self.extended_s) * 1_000_000;
        Timestamp::from_micros(self.expires_at.micros().saturating_sub(extended_us))
    }

    pub(super) fn key(&self) -> Option<KeyDigest> {
        self.has_key.then_some(self.key)
    }

    /// Notes that nothing will become of it any more.
    pub(super) fn finish(&mut self, at: Timestamp) {
        let seconds = at.micros_since(self.created_at).div_ceil(1_000_000);
        self.final_after_s = u32::try_from(seconds).unwrap_or(u32::MAX);
    }

    /// When it became final; up to a second later.
    pub(super) fn final_at(&self) -> Timestamp {
        self.created_at.plus_seconds(self.final_after_s)
    }
}

/// What a new row is made of.
pub(super) struct NewOrder {
    pub(super) id: OrderId,
    pub(super) key: Option<KeyDigest>,
    pub(super) fingerprint: u64,
    pub(super) created_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) status: OrderStatus,
    pub(super) holding: Holding,
    pub(super) buyer: u32,
    pub(super) previous: u32,
}

/// All orders of a slot.
#[derive(Debug, Default)]
pub(super) struct Orders {
    rows: Rows<Order>,
    by_id: Index,
    by_key: Index,
}

impl Orders {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn get(&self, number: u32) -> &Order {
        self.rows.get(number)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> &mut Order {
        self.rows.get_mut(number)
    }

    pub(super) fn find(&self, id: OrderId) -> Option<u32> {
        self.by_id.find(hash_id(id), |n| self.rows.get(n).id == id)
    }

    pub(super) fn find_key(&self, key: KeyDigest) -> Option<u32> {
        self.by_key.find(hash_key(key), |n| self.rows.get(n).key == key)
    }

    /// Reads where a search for the id begins.
    #[inline]
    pub(super) fn touch(&self, id: OrderId) {
        self.by_id.touch(hash_id(id));
    }

    /// Reads where a search for the key begins.
    #[inline]
    pub(super) fn touch_key(&self, key: KeyDigest) {
        self.by_key.touch(hash_key(key));
    }

    /// Appends a row.
    ///
    /// # Panics
    /// If the id or the key is there already (I3).
    pub(super) fn insert(&mut self, new: NewOrder, claim_key: bool) -> u32 {
        let (id, key) = (new.id, new.key);
        let number = self.rows.push(Order {
            id,
            key: key.unwrap_or(KeyDigest(0)),
            fingerprint: new.fingerprint,
            created_at: new.created_at,
            expires_at: new.expires_at,
            holding: new.holding,
            buyer: new.buyer,
            previous: new.previous,
            newer: NO_ORDER,
            final_after_s: 0,
            version: 1,
            extended_s: 0,
            status: new.status,
            has_key: key.is_some(),
        });
        let rows = &self.rows;
        let is_new = self.by_id.insert(hash_id(id), number, |n| rows.get(n).id == id);
        assert!(is_new, "I3 order {id} exists");
        if let Some(key) = key.filter(|_| claim_key) {
            let is_new = self.by_key.insert(hash_key(key), number, |n| rows.get(n).key == key);
            assert!(is_new, "I3 the key of order {id} made another");
        }
        number
    }

    /// Takes a row out, out of the indexes too.
    pub(super) fn remove(&mut self, number: u32) {
        let rows = &self.rows;
        let order = rows.get(number);
        self.by_id.remove(hash_id(order.id), |n| n == number);
        if let Some(key) = order.key() {
            self.by_key.remove(hash_key(key), |n| n == number);
        }
        let order = self.rows.get_mut(number);
        order.version = 0;
        order.holding = Holding::Many(Box::default());
        self.rows.vacate(number);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Order> {
        self.rows.iter().filter(|order| order.version > 0)
    }

    pub(super) fn row_bytes(&self) -> usize {
        self.rows.bytes()
    }

    pub(super) fn index_bytes(&self) -> (usize, usize) {
        (self.by_id.bytes(), self.by_key.bytes())
    }
}

/// The low bits of an id are random as a gateway draws them. Spread all the same, so that ids that
/// somebody counts up do not crowd together (Fibonacci hashing; Knuth, volume 3, 6.4).
fn hash_id(id: OrderId) -> u32 {
    ((id.bits() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

/// The digest is a keyed hash already; a part of it serves.
fn hash_key(key: KeyDigest) -> u32 {
    key.0 as u32
}
