//! One wake per shard for all that a worker submits in one go.
//!
//! Waking a sleeping thread costs a system call and, on few cores, the rest of one's own time
//! slice. A worker therefore lets a task of its own wake the shards: it runs when everything has
//! run that could run when the first order came. After so many orders it does not wait for that.

use std::cell::Cell;

use sluice_core::engine::Handle;

/// Orders after which a shard is woken although there is more to do.
const ORDERS_MAX: u32 = 64;

thread_local! {
    /// Shards to be woken, a bit each, and the orders that wait for it.
    static PENDING: Cell<(u64, u32)> = const { Cell::new((0, 0)) };
}

/// This thread has put an order in front of `shard`. To be called on a worker.
#[inline]
pub(crate) fn later(handle: &Handle, shard: usize) {
    let (shards, orders) = PENDING.get();
    PENDING.set((shards | 1 << shard, orders + 1));
    if orders == 0 {
        let handle = handle.clone();
        tokio::task::spawn_local(async move { now(&handle) });
    } else if orders + 1 >= ORDERS_MAX {
        now(handle);
    }
}

/// Wakes every shard that this thread has put orders in front of.
fn now(handle: &Handle) {
    let (mut shards, _) = PENDING.take();
    while shards != 0 {
        handle.wake(shards.trailing_zeros() as usize);
        shards &= shards - 1;
    }
}
