//! What is given out and what is durable, as two numbers that all threads see.
//!
//! Owns no records. Reservation is one `fetch_add`, so a shard that reserves after it heard from
//! another (through any channel) gets higher numbers: changes of one atomic have one order, and
//! that order contains every happens-before. The durable mark is stored with `Release` after the
//! sync, so whoever reads it with `Acquire` sees all that was done before the store.

#[cfg(not(loom))]
use std::sync::Arc;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(loom)]
use loom::sync::Arc;
#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

/// The two numbers. Clones show the same ones.
#[derive(Clone, Debug)]
pub struct DurableMark {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    reserved: CachePadded<AtomicU64>,
    durable: CachePadded<AtomicU64>,
}

impl DurableMark {
    /// For a journal in which everything up to `last_sequence` is durable.
    pub fn new(last_sequence: u64) -> Self {
        let number = || CachePadded::new(AtomicU64::new(last_sequence));
        Self { shared: Arc::new(Shared { reserved: number(), durable: number() }) }
    }

    /// The highest durable sequence; 0 if there is none.
    pub fn durable(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// The highest sequence that was given out; 0 if there is none.
    pub fn reserved(&self) -> u64 {
        self.shared.reserved.load(Ordering::Acquire)
    }

    /// Gives out `count` sequences; returns the first of them.
    pub(super) fn reserve(&self, count: u64) -> u64 {
        self.shared.reserved.fetch_add(count, Ordering::AcqRel) + 1
    }

    /// Everything up to `through` is durable. Only whoever synced says so, and never less.
    pub(super) fn advance(&self, through: u64) {
        debug_assert!(self.shared.durable.load(Ordering::Relaxed) <= through);
        self.shared.durable.store(through, Ordering::Release);
    }
}
