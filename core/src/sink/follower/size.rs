//! How many records a batch may have: as many as the store takes within a moment.

use std::time::Duration;

use crate::planted::{self, Bug};

/// A batch may grow again if the store took no more than this part of what is waited for it.
const SHARE: u32 = 8;

/// Half as many after each batch that came to nothing, twice as many after each that went quickly:
/// a store that needs longer for a full batch than anybody waits gets on all the same.
#[derive(Debug)]
pub(super) struct Size {
    most: u64,
    records: u64,
    patience: Duration,
}

impl Size {
    /// As many as `most`, for which the store has `patience`.
    pub(super) const fn new(most: u64, patience: Duration) -> Self {
        Self { most, records: most, patience }
    }

    /// How many records a batch may have: 1 at least.
    pub(super) const fn records(&self) -> u64 {
        self.records
    }

    /// A batch of so many was not stored, and it was not the fault of a record.
    pub(super) fn failed(&mut self, records: u64) {
        if !planted::is(Bug::BatchNeverShrinks) {
            self.records = (records / 2).clamp(1, self.records);
        }
    }

    /// A batch was stored.
    pub(super) fn stored(&mut self, took: Duration) {
        if took <= self.patience / SHARE {
            self.records = (self.records * 2).min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Size;

    #[test]
    fn a_batch_is_halved_until_it_goes_and_grows_when_it_goes_quickly() {
        let mut size = Size::new(100, Duration::from_secs(8));
        let mut tried = Vec::new();
        for _ in 0..8 {
            tried.push(size.records());
            size.failed(size.records());
        }
        assert_eq!(tried, [100, 50, 25, 12, 6, 3, 1, 1]);
        size.stored(Duration::from_secs(2));
        assert_eq!(size.records(), 1, "more would take too long");
        let grown: Vec<u64> = std::iter::repeat_with(|| {
            size.stored(Duration::from_secs(1));
            size.records()
        })
        .take(8)
        .collect();
        assert_eq!(grown, [2, 4, 8, 16, 32, 64, 100, 100]);
    }

    #[test]
    fn a_small_batch_that_fails_says_that_larger_ones_do() {
        let mut size = Size::new(100, Duration::from_secs(8));
        size.failed(20);
        assert_eq!(size.records(), 10);
        size.failed(40);
        assert_eq!(size.records(), 10, "it was gathered when more were allowed");
    }

    #[test]
    fn a_store_that_is_waited_for_without_end_may_take_its_time() {
        let mut size = Size::new(100, Duration::MAX);
        size.failed(100);
        size.stored(Duration::from_secs(3_600));
        assert_eq!(size.records(), 100);
    }
}
