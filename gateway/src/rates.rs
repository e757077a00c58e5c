//! Rates of the shards, from their counters, over the second that went by last.

use std::sync::{Mutex, PoisonError};

use sluice_core::engine::Handle;
use sluice_core::metrics::ShardMetrics;
use sluice_core::time::Timestamp;

/// What a shard did in the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Orders decided a second.
    pub(crate) orders_per_second: u64,
    /// Commands in a batch, on average.
    pub(crate) batch_size: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    orders: u64,
    commands: u64,
    batches: u64,
}

#[derive(Debug, Default)]
struct Sampled {
    at: Timestamp,
    counts: Vec<Counts>,
    rates: Vec<Rate>,
}

impl Rate {
    /// How long a queue of so many orders lasts at this rate, in microseconds.
    pub(crate) fn wait_us(self, queued: usize) -> u64 {
        (queued as u64 * 1_000_000).checked_div(self.orders_per_second).unwrap_or(0)
    }
}

/// The rates of all shards.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<Sampled>);

impl Rates {
    /// The rates of one shard.
    pub(crate) fn of(&self, shard: usize) -> Rate {
        let sampled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sampled.rates.get(shard).copied().unwrap_or_default()
    }

    /// Takes a sample. To be called about once a second.
    pub(crate) fn sample(&self, handle: &Handle) {
        let now = handle.now();
        let counts: Vec<Counts> =
            (0..handle.shards()).map(|shard| Counts::of(handle.shard_metrics(shard))).collect();
        let mut sampled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed_us = now.micros_since(sampled.at).max(1);
        let none = Counts::default();
        sampled.rates = counts
            .iter()
            .enumerate()
            .map(|(shard, counts)| {
                counts.since(sampled.counts.get(shard).unwrap_or(&none), elapsed_us)
            })
            .collect();
        sampled.counts = counts;
        sampled.at = now;
    }
}

impl Counts {
    fn of(metrics: &ShardMetrics) -> Self {
        let decided = [
            &metrics.placed,
            &metrics.queued,
            &metrics.repeated,
            &metrics.sold_out,
            &metrics.refused,
            &metrics.overloaded,
        ];
        Self {
            orders: decided.iter().map(|counter| counter.get()).sum(),
            commands: metrics.commands.get(),
            batches: metrics.batches.get(),
        }
    }

    fn since(&self, earlier: &Self, elapsed_us: u64) -> Rate {
        let orders = self.orders.saturating_sub(earlier.orders);
        let commands = self.commands.saturating_sub(earlier.commands);
        let batches = self.batches.saturating_sub(earlier.batches);
        Rate {
            orders_per_second: orders.saturating_mul(1_000_000) / elapsed_us,
            batch_size: commands.checked_div(batches).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, Rate};

    #[test]
    fn rates_are_of_the_time_between() {
        let earlier = Counts { orders: 10, commands: 10, batches: 1 };
        let later = Counts { orders: 30, commands: 50, batches: 5 };
        let rate = Rate { orders_per_second: 10, batch_size: 10 };
        assert_eq!(later.since(&earlier, 2_000_000), rate);
        assert_eq!(later.since(&later, 1), Rate::default());
        assert_eq!((rate.wait_us(5), Rate::default().wait_us(5)), (500_000, 0));
    }
}
