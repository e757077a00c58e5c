//! Counters that one thread writes and anybody reads.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows, written by one thread.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds. Not atomic between writers: each counter has one.
    #[inline]
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// Adds, with several writers.
    #[inline]
    pub fn add_shared(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Sets, for what goes up and down.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one shard counts.
#[derive(Debug, Default)]
pub struct ShardMetrics {
    /// SKUs it owns.
    pub skus: Counter,
    /// Buyer slots it owns.
    pub slots: Counter,
    /// Orders that live in its slots.
    pub live_orders: Counter,
    /// Commands it took from its lanes.
    pub commands: Counter,
    /// Messages of other shards it took.
    pub messages: Counter,
    /// Steps that took at least one command or message.
    pub batches: Counter,
    /// Records it staged.
    pub records: Counter,
    /// Orders placed.
    pub placed: Counter,
    /// Orders answered with an earlier one.
    pub repeated: Counter,
    /// Orders refused because units were lacking.
    pub sold_out: Counter,
    /// Orders refused for another reason.
    pub refused: Counter,
    /// Orders refused because they had waited too long or a bounded queue was full.
    pub overloaded: Counter,
    /// Holds cancelled.
    pub cancelled: Counter,
    /// Holds that ran out.
    pub expired: Counter,
    /// Orders that left the ledger.
    pub retired: Counter,
    /// Orders that had to wait.
    pub queued: Counter,
    /// Waiting orders that got their units.
    pub promoted: Counter,
    /// Orders paid.
    pub paid: Counter,
    /// Of these, after their hold had ended.
    pub paid_late: Counter,
    /// Refunds asked for.
    pub refunds_requested: Counter,
    /// Payments given back.
    pub refunded: Counter,
    /// Refunds of which the provider said that they failed.
    pub refunds_failed: Counter,
    /// Notices of providers that fitted no payment.
    pub unmatched: Counter,
    /// Orders turned away at the full orders lane.
    pub orders_lane_full: Counter,
    /// Commands turned away at the full vital lane.
    pub vital_lane_full: Counter,
    /// Steps that took no orders because another shard's peer lane was full.
    pub peer_lane_full: Counter,
    /// Steps that took nothing because too many earlier ones wait for the journal.
    pub unanswered_full: Counter,
    /// Values that moved in.
    pub moved_in: Counter,
}

/// What the journal counts, kept by whoever commits.
#[derive(Debug, Default)]
pub struct JournalMetrics {
    /// Commits: one write and one sync, or several for a batch that needs several frames.
    pub commits: Counter,
    /// Records committed.
    pub records: Counter,
    /// Time spent in commits, in microseconds.
    pub commit_us: Counter,
    /// The longest commit so far, in microseconds.
    pub commit_us_max: Counter,
    /// The highest sequence that is durable.
    pub durable: Counter,
    /// When the commit under way began, in engine time; 0 if none is.
    pub began_us: Counter,
}
