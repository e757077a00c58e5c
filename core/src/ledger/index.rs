//! An index from hashes to row numbers: open addressing with linear probing (Knuth, The Art of
//! Computer Programming, volume 3, 6.4), made for tables that are far larger than the caches.
//!
//! An entry is eight bytes: 32 bits of the hash and the row's number. To learn that something is
//! not there takes one cache line, and growing looks at no row. The first place of an entry is
//! `hash * places / 2^32`, so that places need not be a power of two and entries stay in the order
//! of their hashes: growing reads and writes memory from front to back.

/// Places of the first allocation: one cache line.
const FIRST_PLACES: usize = 8;

/// Row numbers by hash. Whoever asks compares the rows: different things may share a hash.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// 0, or the hash above and the row's number plus one below. At most three quarters are taken.
    places: Box<[u64]>,
    taken: usize,
}

impl Index {
    /// The row with this hash that `is_it`, if there is one.
    #[inline]
    pub(super) fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        if self.places.is_empty() {
            return None;
        }
        let mut place = first_place(hash, self.places.len());
        loop {
            let entry = self.places[place];
            if entry == 0 {
                return None;
            }
            if (entry >> 32) as u32 == hash && is_it(number(entry)) {
                return Some(number(entry));
            }
            place = if place + 1 == self.places.len() { 0 } else { place + 1 };
        }
    }

    /// Adds a row. `false`, and nothing is added, if one with this hash `is_it` already.
    #[must_use]
    pub(super) fn insert(&mut self, hash: u32, row: u32, is_it: impl Fn(u32) -> bool) -> bool {
        if self.taken * 4 >= self.places.len() * 3 {
            self.grow();
        }
        let is_other = |known: u64| (known >> 32) as u32 != hash || !is_it(number(known));
        let added = put(&mut self.places, entry(hash, row), is_other);
        self.taken += usize::from(added);
        added
    }

    /// Takes the row with this hash out that `is_it`. Those that had to stand behind it move up, so
    /// that searches end where they did (Knuth, volume 3, 6.4, algorithm R).
    ///
    /// # Panics
    /// If there is none.
    pub(super) fn remove(&mut self, hash: u32, is_it: impl Fn(u32) -> bool) {
        let places = self.places.len();
        let mut hole = first_place(hash, places);
        loop {
            let entry = self.places[hole];
            assert!(entry != 0, "what is taken out was put in");
            if (entry >> 32) as u32 == hash && is_it(number(entry)) {
                break;
            }
            hole = (hole + 1) % places;
        }
        let mut place = hole;
        loop {
            place = (place + 1) % places;
            let entry = self.places[place];
            if entry == 0 {
                break;
            }
            let home = first_place((entry >> 32) as u32, places);
            // How far it stands from where its search begins, and how far the hole is from there.
            if (place + places - home) % places >= (place + places - hole) % places {
                self.places[hole] = entry;
                hole = place;
            }
        }
        self.places[hole] = 0;
        self.taken -= 1;
    }

    /// Reads the place where a search for the hash begins, and says nothing of it.
    #[inline]
    pub(super) fn touch(&self, hash: u32) {
        if !self.places.is_empty() {
            std::hint::black_box(self.places[first_place(hash, self.places.len())]);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.places.len() * size_of::<u64>()
    }

    #[cold]
    fn grow(&mut self) {
        let places = (self.places.len() * 2).max(FIRST_PLACES);
        let mut grown = vec![0; places].into_boxed_slice();
        for entry in self.places.iter().copied().filter(|entry| *entry != 0) {
            put(&mut grown, entry, |_| true);
        }
        self.places = grown;
    }
}

fn entry(hash: u32, row: u32) -> u64 {
    u64::from(hash) << 32 | (u64::from(row) + 1)
}

#[inline]
fn number(entry: u64) -> u32 {
    entry as u32 - 1
}

#[inline]
fn first_place(hash: u32, places: usize) -> usize {
    ((u64::from(hash) * places as u64) >> 32) as usize
}

/// Puts an entry into the first free place, of which there is one, unless it meets an entry before
/// that which is not `is_other`.
#[inline]
fn put(places: &mut [u64], entry: u64, is_other: impl Fn(u64) -> bool) -> bool {
    let mut place = first_place((entry >> 32) as u32, places.len());
    while places[place] != 0 {
        if !is_other(places[place]) {
            return false;
        }
        place = if place + 1 == places.len() { 0 } else { place + 1 };
    }
    places[place] = entry;
    true
}

#[cfg(test)]
mod tests {
    use super::Index;

    #[test]
    fn finds_what_was_inserted_and_nothing_else() {
        let mut index = Index::default();
        let hash = |row: u32| row.wrapping_mul(0x9E37_79B9);
        for row in 0..5_000 {
            assert_eq!(index.find(hash(row), |found| found == row), None);
            assert!(index.insert(hash(row), row, |found| found == row));
        }
        for row in 0..5_000 {
            assert_eq!(index.find(hash(row), |found| found == row), Some(row));
        }
        assert!(index.bytes() <= 5_000 * 8 * 2, "{}", index.bytes());
    }

    #[test]
    fn what_is_taken_out_hides_nothing_that_stays() {
        // Few hashes, so that searches run long and around the end.
        let hash = |row: u32| (row % 13).wrapping_mul(0x1999_9999).wrapping_sub(row % 3);
        for first in 0..40 {
            let mut index = Index::default();
            for row in 0..40 {
                assert!(index.insert(hash(row), row, |found| found == row));
            }
            let mut left: Vec<u32> = (0..40).collect();
            for step in 0..40 {
                let row = left.remove((first * 7 + step * 11) % left.len());
                index.remove(hash(row), |found| found == row);
                assert_eq!(index.find(hash(row), |found| found == row), None);
                for row in &left {
                    assert_eq!(index.find(hash(*row), |found| found == *row), Some(*row));
                }
            }
        }
    }

    #[test]
    fn one_hash_may_lead_to_several_rows_and_around_the_end() {
        let mut index = Index::default();
        for row in 0..100 {
            assert!(index.insert(u32::MAX, row, |found| found == row));
        }
        assert!(index.insert(0, 100, |_| false));
        assert!(!index.insert(0, 101, |found| found == 100), "it is there");
        for row in 0..100 {
            assert_eq!(index.find(u32::MAX, |found| found == row), Some(row));
        }
        assert_eq!(index.find(0, |found| found == 100), Some(100));
        assert_eq!(index.find(0, |found| found == 101), None);
        assert_eq!(index.find(1, |_| true), None);
    }
}
