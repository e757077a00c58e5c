//! Whether there is room for new segments, for those who decide what may still be recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the disk is full and the reserve of prepared segments is all that is left. Clones share
/// it.
#[derive(Clone, Debug, Default)]
pub struct Space(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    /// The last attempt to make a segment ahead of need found no room.
    is_full: AtomicBool,
    is_low: AtomicBool,
}

impl Space {
    /// Whether the reserve is all that is left.
    #[inline]
    pub fn is_low(&self) -> bool {
        self.0.is_low.load(Ordering::Relaxed)
    }

    /// An attempt to make a segment found room or not, and so many segments are ready, `reserve` of
    /// which are the reserve.
    pub(super) fn tried(&self, found_room: bool, ready: usize, reserve: usize) {
        self.0.is_full.store(!found_room, Ordering::Relaxed);
        self.taken(ready, reserve);
    }

    /// So many segments are left.
    pub(super) fn taken(&self, ready: usize, reserve: usize) {
        let is_low = self.0.is_full.load(Ordering::Relaxed) && ready <= reserve;
        if self.0.is_low.swap(is_low, Ordering::Relaxed) == is_low {
            return;
        }
        match is_low {
            true => tracing::error!(ready, "the disk is full: no new orders are taken"),
            false => tracing::warn!(ready, "there is room again: new orders are taken"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Space;

    #[test]
    fn the_reserve_is_all_that_is_left_only_when_the_disk_is_full() {
        let space = Space::default();
        space.taken(0, 2);
        assert!(!space.is_low(), "nobody found the disk full");
        space.tried(false, 3, 2);
        assert!(!space.is_low(), "one more than the reserve is ready");
        space.taken(2, 2);
        assert!(space.is_low());
        space.tried(true, 2, 2);
        assert!(!space.is_low(), "there is room again");
    }
}
