//! The store in Redis: hashes of SKUs, sales and orders for other services to read, and one stream
//! of order events for consumer groups. docs/redis.md says what is in them.
//!
//! One connection, held for life, stores one batch by one call of a function that runs inside the
//! server (`functions.lua`): it compares the watermark with where the batch begins, changes the keys
//! and advances the watermark, all as one step. A call whose answer was lost is found done, or not
//! done, by the watermark.
//!
//! Redis gives no word on what is on its disk. What is stored counts as synced: a server that comes
//! back older or empty is brought up from the journal, as far back as that and its archive reach.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::sync::Mutex;

use crate::event::SinkName;
use crate::id::JournalId;
use crate::limits::Limits;

use super::error::{SinkError, Trouble};
use super::store::{Mark, Store, Stored, Target};

mod address;
mod batch;
mod copy;
mod erase;
mod items;
mod keys;
mod looking;
mod opening;
mod said;
mod shared;
mod trouble;

pub use address::{NoRedisAddress, RedisAddress};
use batch::RedisBatch;
pub use copy::{RedisCopy, RedisEntry, RedisHash, RedisIndex, RedisKey, RedisMark, RedisMember};
use erase::{ask, being_erased};
use keys::Keys;
pub use keys::{NoRedisPrefix, RedisPrefix};
pub(super) use looking::look_for_ever;
use opening::Unfinished;
pub use shared::{erase_redis, stored_in_redis};
use trouble::{from_redis, lacks_function};

/// How long Redis may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the copy in Redis is made with.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// Where it is.
    pub address: RedisAddress,
    /// What its keys begin with.
    pub prefix: RedisPrefix,
    /// How many entries the stream of order events keeps, at least; older ones are trimmed.
    pub stream_max: u64,
}

impl RedisConfig {
    /// Entries of the stream, if nothing else is said.
    pub const STREAM_MAX: u64 = 1_000_000;

    fn keys(&self, cell: u16) -> Keys {
        Keys::new(&self.prefix, cell)
    }
}

/// A Redis server, connected to or not.
#[derive(Debug)]
pub(super) struct RedisTarget {
    config: RedisConfig,
    unfinished: Arc<Mutex<Unfinished>>,
}

impl RedisTarget {
    pub(super) fn new(config: RedisConfig) -> Self {
        Self { config, unfinished: Arc::default() }
    }
}

/// The open store.
pub(super) struct RedisStore {
    connection: MultiplexedConnection,
    address: RedisAddress,
    keys: Keys,
    journal: String,
    stream_max: u64,
}

impl Target for RedisTarget {
    type Store = RedisStore;

    const NAME: SinkName = SinkName::Redis;

    const PATIENCE: Duration = PATIENCE;

    fn batch(&self, cell: u16, _limits: &Limits) -> RedisBatch {
        RedisBatch::new(self.config.keys(cell))
    }

    fn records_max(&self, limits: &Limits) -> u64 {
        limits.redis_batch_records_max as u64
    }

    async fn open(&self, cell: u16, journal: JournalId) -> Result<(RedisStore, Mark), SinkError> {
        let (keys, address) = (self.config.keys(cell), &self.config.address);
        let mut unfinished = self.unfinished.lock().await;
        let opening = async {
            // As long as the follower waits: no answer is given up before.
            let mut connection = address.connect(PATIENCE).await?;
            let mark = opening::open(&mut connection, &keys, &mut unfinished).await?;
            Ok((connection, mark))
        };
        let (connection, mark) = opening.await.map_err(|error| address.says(&error))?;
        let (journal, stream_max) = (journal.to_string(), self.config.stream_max);
        let address = address.clone();
        Ok((RedisStore { connection, address, keys, journal, stream_max }, mark))
    }
}

impl RedisStore {
    /// Calls the function that stores a batch.
    async fn apply(&mut self, batch: &RedisBatch) -> Result<Stored, SinkError> {
        let call = batch.call(&self.journal, self.stream_max);
        let answer: Vec<String> = match call.query_async(&mut self.connection).await {
            Ok(answer) => answer,
            // Opening loads them again.
            Err(error) if lacks_function(&error) => return Ok(Stored::Elsewhere),
            Err(error) => return Err(from_redis(&error)),
        };
        let answer: Vec<&str> = answer.iter().map(String::as_str).collect();
        match answer.as_slice() {
            ["stored"] => Ok(Stored::Whole),
            ["elsewhere"] => Ok(Stored::Elsewhere),
            ["erasing"] => Err(being_erased()),
            ["broken", why] => {
                let what = format!("Redis stored only a part of a batch, {why}: rebuild it");
                Err(SinkError::new(Trouble::Unusable, what))
            }
            ["unfinished", through] => {
                let what =
                    format!("only a part is stored of the batch up to {through}: rebuild it");
                Err(SinkError::new(Trouble::Unusable, what))
            }
            ["lacking", key] => {
                let what = format!("Redis lacks {key}, which earlier records made: rebuild it");
                Err(SinkError::new(Trouble::Poison, what))
            }
            ["odd", key, why] => {
                let what = format!("{key} is not as earlier records left it, {why}: rebuild it");
                Err(SinkError::new(Trouble::Poison, what))
            }
            other => {
                let what = format!("Redis answered {other:?} instead of what came of a batch");
                Err(SinkError::new(Trouble::Other, what))
            }
        }
    }
}

impl Store for RedisStore {
    type Batch = RedisBatch;

    async fn is_replaced(&mut self, stored: u64) -> Result<bool, SinkError> {
        let mut get = redis::cmd("HGET");
        get.arg(self.keys.watermark()).arg("sequence");
        let asking = async {
            opening::judge(&mut self.connection).await?;
            ask::<Option<String>, _>(&mut self.connection, &get).await
        };
        let sequence = asking.await.map_err(|error| self.address.says(&error))?;
        Ok(sequence.is_none_or(|sequence| sequence != stored.to_string()) && stored > 0)
    }

    async fn store(&mut self, batch: &RedisBatch) -> Result<Stored, SinkError> {
        let stored = self.apply(batch).await;
        stored.map_err(|error| self.address.says(&error))
    }

    async fn sync(&mut self, _sequence: u64, _at_rest: bool) -> Result<bool, SinkError> {
        Ok(true)
    }

    async fn close(self) -> Result<(), SinkError> {
        Ok(())
    }
}
