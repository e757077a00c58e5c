//! The orders of one slot: compact rows, found by id, by key and along a buyer's chain.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::event::OrderStatus;
use crate::id::{KeyDigest, OrderId};
use crate::quantity::Quantity;
use crate::time::Timestamp;

use super::rows::Rows;

/// One order. 88 bytes; what it holds is named by offer numbers of its slot.
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
    pub(super) version: u32,
    pub(super) status: OrderStatus,
    has_key: bool,
}

/// What an order holds or held, in the order of its lines.
#[derive(Debug)]
pub(super) enum Holding {
    /// One line from one lot, as nearly all are.
    One(Units),
    /// All else.
    Many(Box<[Units]>),
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
        }
    }
}

impl Order {
    pub(super) fn key(&self) -> Option<KeyDigest> {
        self.has_key.then_some(self.key)
    }
}

/// What a new row is made of.
pub(super) struct NewOrder {
    pub(super) id: OrderId,
    pub(super) key: Option<KeyDigest>,
    pub(super) fingerprint: u64,
    pub(super) created_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) holding: Holding,
    pub(super) buyer: u32,
    pub(super) previous: u32,
}

/// All orders of a slot.
#[derive(Debug, Default)]
pub(super) struct Orders {
    rows: Rows<Order>,
    by_id: HashTable<u32>,
    by_key: HashTable<u32>,
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
        self.by_id.find(hash_id(id), |n| self.rows.get(*n).id == id).copied()
    }

    pub(super) fn find_key(&self, key: KeyDigest) -> Option<u32> {
        self.by_key.find(hash_key(key), |n| self.rows.get(*n).key == key).copied()
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
            version: 1,
            status: OrderStatus::Reserved,
            has_key: key.is_some(),
        });
        let rows = &self.rows;
        let same = |n: &u32| rows.get(*n).id == id;
        match self.by_id.entry(hash_id(id), same, |n| hash_id(rows.get(*n).id)) {
            Entry::Vacant(entry) => entry.insert(number),
            Entry::Occupied(_) => panic!("I3 order {id} exists"),
        };
        if let Some(key) = key.filter(|_| claim_key) {
            let same = |n: &u32| rows.get(*n).key == key;
            match self.by_key.entry(hash_key(key), same, |n| hash_key(rows.get(*n).key)) {
                Entry::Vacant(entry) => entry.insert(number),
                Entry::Occupied(_) => panic!("I3 the key of order {id} made another"),
            };
        }
        number
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Order> {
        self.rows.iter()
    }

    pub(super) fn row_bytes(&self) -> usize {
        self.rows.bytes()
    }

    pub(super) fn index_bytes(&self) -> (usize, usize) {
        (self.by_id.allocation_size(), self.by_key.allocation_size())
    }
}

/// The low bits of an id are random; the multiplication spreads them to the top, where the
/// table looks.
fn hash_id(id: OrderId) -> u64 {
    (id.bits() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The digest is a keyed hash already; half of it serves.
fn hash_key(key: KeyDigest) -> u64 {
    key.0 as u64
}
