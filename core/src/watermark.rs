//! How far a sink has come, as others may know it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The highest sequence that a sink has stored, as it was last heard from the sink's store. Clones
/// share it. The sink sets it; who retires orders or trims the journal goes by it.
#[derive(Clone, Debug, Default)]
pub struct Watermark(Arc<AtomicU64>);

impl Watermark {
    /// The highest sequence that is stored; 0 if none is, or nothing was heard yet.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Says what the store has. May be less than before: a store may be restored from an older copy.
    pub fn set(&self, sequence: u64) {
        self.0.store(sequence, Ordering::Release);
    }
}
