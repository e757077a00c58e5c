//! The buyers of one slot: how many keys they have, what they hold, their newest order.

use crate::id::BuyerDigest;

use super::index::Index;
use super::rows::Rows;

/// No order: the end of a buyer's chain.
pub(super) const NO_ORDER: u32 = u32::MAX;

/// One buyer.
#[derive(Debug)]
pub(super) struct Buyer {
    digest: BuyerDigest,
    /// The newest order, from which a chain leads to the older ones.
    pub(super) newest: u32,
    /// Live idempotency keys.
    pub(super) keys: u16,
    /// Orders that wait for units.
    pub(super) waiting: u16,
    /// Units that count against limits, by SKU number.
    pub(super) skus: Units,
    /// The same, by sale number.
    pub(super) sales: Units,
}

/// Units that count against limits, by the number of what they are units of. Nearly always one.
#[derive(Debug, Default)]
pub(super) struct Units {
    what: u32,
    units: u32,
    #[expect(
        clippy::box_collection,
        reason = "8 bytes instead of 24 in a row that rarely has more"
    )]
    more: Option<Box<Vec<(u32, u32)>>>,
}

/// All buyers of a slot.
#[derive(Debug, Default)]
pub(super) struct Buyers {
    rows: Rows<Buyer>,
    index: Index,
}

impl Buyers {
    pub(super) fn find(&self, digest: BuyerDigest) -> Option<u32> {
        self.index.find(hash(digest), |n| self.rows.get(n).digest == digest)
    }

    /// Reads where a search for the buyer begins.
    #[inline]
    pub(super) fn touch(&self, digest: BuyerDigest) {
        self.index.touch(hash(digest));
    }

    /// Reads the buyer's row, if there is one.
    #[inline]
    pub(super) fn touch_row(&self, digest: BuyerDigest) {
        std::hint::black_box(self.find(digest));
    }

    pub(super) fn get(&self, number: u32) -> &Buyer {
        self.rows.get(number)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> &mut Buyer {
        self.rows.get_mut(number)
    }

    /// The buyer's number; a new row if they never ordered here.
    pub(super) fn number(&mut self, digest: BuyerDigest) -> u32 {
        if let Some(number) = self.find(digest) {
            return number;
        }
        let number = self.rows.push(Buyer {
            digest,
            newest: NO_ORDER,
            keys: 0,
            waiting: 0,
            skus: Units::default(),
            sales: Units::default(),
        });
        let added = self.index.insert(hash(digest), number, |_| false);
        debug_assert!(added, "it was looked for above");
        number
    }

    /// Takes out a buyer who has no orders.
    pub(super) fn remove(&mut self, number: u32) {
        self.index.remove(hash(self.rows.get(number).digest), |n| n == number);
        self.rows.vacate(number);
    }

    pub(super) fn row_bytes(&self) -> usize {
        self.rows.bytes()
    }

    pub(super) fn index_bytes(&self) -> usize {
        self.index.bytes()
    }
}

impl Buyer {
    pub(super) fn digest(&self) -> BuyerDigest {
        self.digest
    }
}

impl Units {
    /// Units of one SKU or sale.
    pub(super) fn of(&self, what: u32) -> u64 {
        if self.units > 0 && self.what == what {
            return u64::from(self.units);
        }
        let more = self.more.iter().flat_map(|more| more.iter());
        more.filter(|(other, _)| *other == what).map(|(_, units)| u64::from(*units)).sum()
    }

    pub(super) fn add(&mut self, what: u32, units: u32) {
        if self.units == 0 && self.of(what) == 0 {
            (self.what, self.units) = (what, units);
        } else if self.units > 0 && self.what == what {
            self.units = added(self.units, units);
        } else {
            let more = self.more.get_or_insert_default();
            match more.iter_mut().find(|(other, _)| *other == what) {
                Some((_, count)) => *count = added(*count, units),
                None => more.push((what, units)),
            }
        }
    }

    pub(super) fn take(&mut self, what: u32, units: u32) {
        if self.units > 0 && self.what == what {
            self.units = taken(self.units, units);
            return;
        }
        let more = self.more.as_mut().expect("I1 the buyer has units of it");
        let place = more.iter().position(|(other, _)| *other == what);
        let place = place.expect("I1 the buyer has units of it");
        more[place].1 = taken(more[place].1, units);
        if more[place].1 == 0 {
            more.swap_remove(place);
        }
        if more.is_empty() {
            self.more = None;
        }
    }

    /// All of them: number and units.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        let one = (self.units > 0).then_some((self.what, self.units));
        one.into_iter().chain(self.more.iter().flat_map(|more| more.iter().copied()))
    }
}

fn added(count: u32, units: u32) -> u32 {
    count.checked_add(units).expect("the units of one buyer were checked before placing")
}

fn taken(count: u32, units: u32) -> u32 {
    count.checked_sub(units).expect("I1 a buyer gives back no more than they have")
}

/// The digest is a keyed hash already; a part of it serves.
fn hash(digest: BuyerDigest) -> u32 {
    digest.0 as u32
}

#[cfg(test)]
mod tests {
    use super::Buyers;
    use crate::id::BuyerDigest;

    #[test]
    fn units_are_counted_by_sku() {
        let mut buyers = Buyers::default();
        let number = buyers.number(BuyerDigest(7 << 64));
        assert_eq!(buyers.number(BuyerDigest(7 << 64)), number);
        let units = &mut buyers.get_mut(number).skus;
        for sku in [3, 1, 2, 3] {
            units.add(sku, 5);
        }
        assert_eq!((units.of(1), units.of(3), units.of(9)), (5, 10, 0));
        units.take(3, 10);
        units.add(1, 1);
        units.take(2, 5);
        assert_eq!((units.of(1), units.of(2), units.of(3)), (6, 0, 0));
        units.add(3, 2);
        units.take(1, 6);
        assert_eq!(units.iter().collect::<Vec<_>>(), [(3, 2)]);
        assert_eq!(buyers.get(number).digest(), BuyerDigest(7 << 64));
    }
}
