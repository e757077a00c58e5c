//! How far a sink has come, as others may know it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The highest sequence that a sink has stored, as it was last heard from the sink's store. Clones
/// share it. The sink sets it; who retires orders or trims the journal goes by it.
#[derive(Clone, Debug, Default)]
pub struct Watermark(Arc<State>);

#[derive(Debug, Default)]
struct State {
    sequence: AtomicU64,
    is_heard: AtomicBool,
    is_detached: AtomicBool,
    is_near_ceiling: AtomicBool,
}

impl Watermark {
    /// The highest sequence that is stored; 0 if none is, or nothing was heard yet.
    pub fn get(&self) -> u64 {
        self.0.sequence.load(Ordering::Acquire)
    }

    /// Says what the store has. May be less than before: a store may be restored from an older copy.
    pub fn set(&self, sequence: u64) {
        self.0.sequence.store(sequence, Ordering::Release);
        self.0.is_heard.store(true, Ordering::Release);
    }

    /// Whether the sink has said anything yet, be it that nothing is known of its store.
    pub fn is_heard(&self) -> bool {
        self.0.is_heard.load(Ordering::Acquire)
    }

    /// Whether the journal is no longer kept for this sink: it was too far behind for too long.
    pub fn is_detached(&self) -> bool {
        self.0.is_detached.load(Ordering::Acquire)
    }

    /// Keeps the journal for this sink no longer. Says whether it was kept until now.
    pub fn detach(&self) -> bool {
        !self.0.is_detached.swap(true, Ordering::AcqRel)
    }

    /// Keeps the journal for this sink again: it has caught up, and nothing that it lacked was gone.
    pub fn attach(&self) {
        self.0.is_detached.store(false, Ordering::Release);
    }

    /// Whether the sink keeps the journal from being trimmed, and that is not far from its ceiling.
    pub fn is_near_ceiling(&self) -> bool {
        self.0.is_near_ceiling.load(Ordering::Acquire)
    }

    /// Says whether it does.
    pub fn set_near_ceiling(&self, is_near: bool) {
        self.0.is_near_ceiling.store(is_near, Ordering::Release);
    }
}
