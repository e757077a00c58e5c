//! Sinks: followers of the journal that keep a copy of it elsewhere.
//!
//! A sink reads durable frames from its own watermark on, and shares nothing else with the shards.
//! Rows and watermark are stored in one transaction, so that storing a batch twice changes nothing
//! (I8). A sink that is slow, down, wiped or rolled back delays nobody (I7). Only this module knows
//! SQL, and it alone in core has an async runtime: its own, on a thread of low priority.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::watch;

use crate::storage::Storage;

mod backoff;
mod batch;
mod error;
mod follower;
mod reading;
mod schema;
mod snapshot;
mod sqlite;
mod status;
pub mod table;
mod words;

pub use error::{SinkError, Trouble};
pub use follower::{Durable, SinkConfig};
pub use reading::{
    FoundOrders, OrderSearch, Reading, StoredNotice, StoredOrder, StoredPayment, Timeline,
    TimelineEvent,
};
pub use snapshot::Snapshot;
pub use status::{SinkState, SinkStatus};

/// How much sinks stand back behind the threads that serve (nice, 0 … 19).
const NICE: i32 = 10;

/// A running SQL sink: its thread.
pub struct SqlSink {
    status: Arc<SinkStatus>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl SqlSink {
    /// Starts the sink on a thread of its own. The store need not be there yet.
    ///
    /// # Errors
    /// The thread or its runtime cannot be had.
    pub fn start<S: Storage + Clone>(config: SinkConfig<S>) -> io::Result<Self> {
        let status = Arc::new(SinkStatus::new("sql"));
        let (stop, asked) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let follower = follower::Follower::new(config, Arc::clone(&status), asked);
        let thread = thread::Builder::new().name("sink-sql".to_owned()).spawn(move || {
            // The database's own thread inherits it. Without it the sink is a little faster.
            let _ = rustix::process::setpriority_process(None, NICE);
            runtime.block_on(follower.run());
        })?;
        Ok(Self { status, stop, thread })
    }

    /// How it is doing.
    pub fn status(&self) -> &Arc<SinkStatus> {
        &self.status
    }

    /// Stores what is durable if that is quick, and ends.
    pub fn stop(self) {
        self.stop.send_replace(true);
        // A sink that panicked has lost nothing: the next start goes on from the watermark.
        if self.thread.join().is_err() {
            tracing::error!("the SQL sink panicked");
        }
    }
}

#[cfg(test)]
mod tests;
