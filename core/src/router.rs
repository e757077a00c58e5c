//! Which shard owns which value: arrays of atomics, never in the journal.

use std::sync::atomic::{AtomicU16, Ordering};

use crate::id::SlotId;
use crate::limits::SLOTS;

const BUCKETS: usize = 1 << 16;

/// Whose value a command is about, and thereby which shard decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The buyer's home.
    Slot(SlotId),
    /// The owner of a SKU, by the SKU's routing bucket.
    Bucket(u16),
    /// One shard, by number.
    Shard(usize),
}

impl Target {
    /// The register of sales, which never moves.
    pub const REGISTRY: Self = Self::Shard(0);
}

/// What moves between shards as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Movable {
    /// The SKU stocks of a routing bucket: nearly always one.
    Bucket(u16),
    /// A buyer slot.
    Slot(SlotId),
}

/// The routing table of a node.
///
/// An entry is flipped by the new owner once it has the value, so that whoever reads the old
/// entry reaches the old owner, which forwards.
#[derive(Debug)]
pub struct Router {
    shards: usize,
    buckets: Box<[AtomicU16]>,
    slots: Box<[AtomicU16]>,
}

impl Router {
    /// Spreads all values evenly over `shards` ≥ 1.
    pub fn new(shards: usize) -> Self {
        // By counting: a start would otherwise divide for each of them.
        let spread = |count: usize| -> Box<[AtomicU16]> {
            let mut next = 0;
            let mut turn = || {
                let shard = next;
                next = if usize::from(next) + 1 == shards { 0 } else { next + 1 };
                AtomicU16::new(shard)
            };
            (0..count).map(|_| turn()).collect()
        };
        Self { shards, buckets: spread(BUCKETS), slots: spread(SLOTS) }
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// The owner of a SKU bucket.
    #[inline]
    pub fn bucket(&self, bucket: u16) -> usize {
        usize::from(self.buckets[usize::from(bucket)].load(Ordering::Acquire))
    }

    /// The owner of a buyer slot.
    #[inline]
    pub fn slot(&self, slot: SlotId) -> usize {
        usize::from(self.slots[slot.index()].load(Ordering::Acquire))
    }

    /// The owner of a movable value.
    pub fn owner(&self, value: Movable) -> usize {
        match value {
            Movable::Bucket(bucket) => self.bucket(bucket),
            Movable::Slot(slot) => self.slot(slot),
        }
    }

    /// The shard that decides a command for `target`; a number out of range is shard 0's to refuse.
    #[inline]
    pub fn shard_of(&self, target: Target) -> usize {
        match target {
            Target::Slot(slot) => self.slot(slot),
            Target::Bucket(bucket) => self.bucket(bucket),
            Target::Shard(shard) if shard < self.shards => shard,
            Target::Shard(_) => 0,
        }
    }

    /// Flips an entry; called by the new owner alone.
    pub fn set(&self, value: Movable, shard: usize) {
        let entry = match value {
            Movable::Bucket(bucket) => &self.buckets[usize::from(bucket)],
            Movable::Slot(slot) => &self.slots[slot.index()],
        };
        entry.store(shard as u16, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::{Movable, Router, Target};
    use crate::id::SlotId;

    #[test]
    fn every_shard_gets_its_share_and_entries_flip_alone() {
        let router = Router::new(7);
        let slots: Vec<usize> = SlotId::all().map(|slot| router.slot(slot)).collect();
        for shard in 0..7 {
            assert!(slots.iter().filter(|owner| **owner == shard).count() >= 1_024 / 7);
        }
        let slot = SlotId::new(9).expect("in range");
        router.set(Movable::Slot(slot), 5);
        assert_eq!(router.shard_of(Target::Slot(slot)), 5);
        assert_eq!(router.shard_of(Target::Bucket(9)), 2);
        assert_eq!(router.shard_of(Target::Shard(7)), 0);
    }
}
