//! What is given out and what is durable, as two numbers that all threads see.
//!
//! Owns no records. Reservation is one `fetch_add`, so a shard that reserves after it heard from
//! another (through any channel) gets higher numbers: changes of one atomic have one order, and
//! that order contains every happens-before. The durable mark is stored with `Release` after the
//! sync, so whoever reads it with `Acquire` sees all that was done before the store.

#[cfg(not(sluice_loom))]
use std::sync::Arc;
#[cfg(not(sluice_loom))]
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(sluice_loom)]
use loom::sync::Arc;
#[cfg(sluice_loom)]
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

#[cfg(all(test, not(sluice_loom)))]
mod tests {
    use super::DurableMark;

    #[test]
    fn gives_out_sequences_without_gap_or_overlap() {
        let mark = DurableMark::new(7);
        assert_eq!((mark.reserve(3), mark.clone().reserve(1), mark.reserve(2)), (8, 11, 12));
        assert_eq!((mark.reserved(), mark.durable()), (13, 7));
        mark.advance(11);
        assert_eq!((mark.reserved(), mark.durable()), (13, 11));
    }
}

#[cfg(all(test, sluice_loom))]
mod loom_tests {
    use super::DurableMark;
    use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use loom::thread;
    use std::sync::Arc;

    /// Whoever sees the mark sees what was done before it was moved (here: the stored bytes).
    #[test]
    fn loom_what_is_marked_durable_is_there() {
        loom::model(|| {
            let mark = DurableMark::new(0);
            let stored = Arc::new(AtomicU64::new(0));
            let writer = {
                let (mark, stored) = (mark.clone(), Arc::clone(&stored));
                thread::spawn(move || {
                    for through in 1..=2 {
                        stored.store(through, Ordering::Relaxed);
                        mark.advance(through);
                    }
                })
            };
            let seen = mark.durable();
            assert!(stored.load(Ordering::Relaxed) >= seen);
            assert!(mark.durable() >= seen, "never falls");
            writer.join().expect("no panic");
        });
    }

    /// A shard that heard from another reserves higher sequences than the other did before.
    #[test]
    fn loom_an_effect_is_numbered_after_its_cause() {
        loom::model(|| {
            let mark = DurableMark::new(0);
            let told = Arc::new(AtomicBool::new(false));
            let cause = {
                let (mark, told) = (mark.clone(), Arc::clone(&told));
                thread::spawn(move || {
                    let first = mark.reserve(2);
                    told.store(true, Ordering::Release);
                    first
                })
            };
            let heard = told.load(Ordering::Acquire);
            let staged = mark.reserved();
            let effect = mark.reserve(1);
            let cause = cause.join().expect("no panic");
            assert!(effect != cause && effect != cause + 1, "no sequence is given out twice");
            if heard {
                assert!(staged >= cause + 1 && effect > cause + 1);
            }
            assert_eq!(mark.reserved(), 3);
        });
    }
}
