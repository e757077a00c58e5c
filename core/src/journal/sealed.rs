//! Which segments are finished, for those who read them beside the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The index of the last segment whose seal is durable; 0 if there is none. Clones share it.
#[derive(Clone, Debug)]
pub struct Sealed(Arc<AtomicU64>);

impl Sealed {
    pub(super) fn new(index: u64) -> Self {
        Self(Arc::new(AtomicU64::new(index)))
    }

    /// The index.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn set(&self, index: u64) {
        self.0.store(index, Ordering::Release);
    }
}
