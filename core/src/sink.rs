//! Sinks: followers of the journal that keep a copy of it elsewhere.
//!
//! A sink reads durable frames from its own watermark on, and shares nothing else with the shards.
//! Rows and watermark are stored in one transaction, or by one function, so that storing a batch twice changes nothing
//! (I8). A sink that is slow, down, wiped or rolled back delays nobody (I7). Only this module knows
//! SQL and Redis, and it alone in core has an async runtime: its own, on a thread of low priority.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::watch;

use crate::storage::Storage;

mod backoff;
mod batch;
mod connection;
mod database;
mod erase;
mod error;
mod follower;
mod postgres;
mod reading;
mod redis;
mod schema;
mod snapshot;
mod source;
mod sql;
mod sqlite;
mod status;
mod store;
pub mod table;
mod told;
mod words;

use postgres::PostgresTarget;
use redis::RedisTarget;
use sqlite::SqliteTarget;

pub use database::{Database, PostgresAddress, WrongAddress};
pub use erase::{Copied, erase, stored};
pub use error::{SinkError, Trouble};
pub use follower::{Follower, SinkConfig};
pub use reading::{
    FoundOrders, OrderSearch, Reading, StoredNotice, StoredOrder, StoredPayment, Timeline,
    TimelineEvent,
};
pub use redis::{
    NoRedisAddress, NoRedisPrefix, RedisAddress, RedisConfig, RedisCopy, RedisEntry, RedisHash,
    RedisIndex, RedisKey, RedisMark, RedisMember, RedisPrefix, erase_redis, stored_in_redis,
};
pub use snapshot::Snapshot;
pub use source::Durable;
pub use status::{SinkState, SinkStatus};
pub use store::{Extent, Gathered, Mark, Store, Stored, Target, Unstorable};

/// How much sinks stand back behind the threads that serve (nice, 0 … 19).
const NICE: i32 = 10;

/// A running sink: its thread.
pub struct Sink {
    status: Arc<SinkStatus>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Sink {
    /// Starts the sink that fills a database, on a thread of its own. The database need not be there
    /// yet.
    ///
    /// # Errors
    /// The thread or its runtime cannot be had.
    pub fn sql<S: Storage + Clone>(database: Database, config: SinkConfig<S>) -> io::Result<Self> {
        match database {
            Database::Sqlite(file) => Self::start(SqliteTarget(file), config, |_| pending()),
            Database::Postgres(address) => {
                Self::start(PostgresTarget(address), config, |_| pending())
            }
        }
    }

    /// Starts the sink that fills Redis, on a thread of its own. The server need not be there yet.
    ///
    /// # Errors
    /// The thread or its runtime cannot be had.
    pub fn redis<S: Storage + Clone>(
        redis: RedisConfig,
        config: SinkConfig<S>,
    ) -> io::Result<Self> {
        let of = (config.cell, config.journal);
        Self::start(RedisTarget::new(redis.clone()), config, move |status| async move {
            redis::look_for_ever(redis, of, &status).await
        })
    }

    /// `beside` goes on for as long as the sink does, on its thread.
    fn start<S, T, W>(
        target: T,
        config: SinkConfig<S>,
        beside: impl FnOnce(Arc<SinkStatus>) -> W + Send + 'static,
    ) -> io::Result<Self>
    where
        S: Storage + Clone,
        T: Target + Send + 'static,
        <T::Store as Store>::Batch: Send,
        W: Future<Output = Infallible>,
    {
        let status = Arc::new(SinkStatus::new(T::NAME));
        let (stop, asked) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let follower = Follower::new(config, target, Arc::clone(&status), asked);
        let of_thread = Arc::clone(&status);
        let name = format!("sink-{}", T::NAME.as_str());
        let thread = thread::Builder::new().name(name).spawn(move || {
            // The database's own thread inherits it. Without it the sink is a little faster.
            let _ = rustix::process::setpriority_process(None, NICE);
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = follower.run() => {}
                    never = beside(of_thread) => match never {},
                }
            });
        })?;
        Ok(Self { status, stop, thread })
    }

    /// How it is doing.
    pub fn status(&self) -> &Arc<SinkStatus> {
        &self.status
    }

    /// Tells the sink to store what is durable, if that is quick, and to end.
    pub fn ask_to_end(&self) {
        self.stop.send_replace(true);
    }

    /// Stores what is durable if that is quick, and ends.
    pub fn stop(self) {
        self.ask_to_end();
        // A sink that panicked has lost nothing: the next start goes on from the watermark.
        if self.thread.join().is_err() {
            tracing::error!("the {} sink panicked", self.status.name().as_str());
        }
    }
}

#[cfg(test)]
mod tests;
