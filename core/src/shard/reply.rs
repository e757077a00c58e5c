//! Reply ports: answers go back in batches, with one wake per gateway worker and batch.

use std::task::Waker;

use atomic_waker::AtomicWaker;
use crossbeam_queue::ArrayQueue;

use crate::outcome::Outcome;

/// An answer with the ticket of its request.
pub type Answer = (u64, Outcome);

/// Where the answers for one gateway worker arrive.
///
/// The worker keeps at most `port_requests_max` requests open, each of which is answered once,
/// so the queue of batches cannot overflow.
#[derive(Debug)]
pub struct Port {
    batches: ArrayQueue<Vec<Answer>>,
    waker: AtomicWaker,
}

impl Port {
    /// A port for at most `requests_max` open requests.
    pub fn new(requests_max: usize) -> Self {
        Self { batches: ArrayQueue::new(requests_max), waker: AtomicWaker::new() }
    }

    /// Delivers a batch that is not empty, and wakes the worker once.
    ///
    /// # Panics
    /// If the worker had more requests open than it may.
    pub fn deliver(&self, batch: Vec<Answer>) {
        debug_assert!(!batch.is_empty());
        let delivered = self.batches.push(batch);
        assert!(delivered.is_ok(), "I6 a port has more requests open than it may");
        self.waker.wake();
    }

    /// Takes the next batch. The worker registers its waker before it looks for the last time.
    pub fn take(&self) -> Option<Vec<Answer>> {
        self.batches.pop()
    }

    /// Names the task to be woken by the next delivery.
    pub fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }
}
