//! What others than the sink ask of Redis, over a pool of connections: how far the copy is, and that
//! it be erased.

use std::time::Duration;

use deadpool_redis::{Connection, Manager, Pool, PoolError, Runtime};

use crate::time::Timestamp;

use super::super::error::{SinkError, Trouble};
use super::erase::{Erased, Eraser};
use super::keys::Keys;
use super::opening::{self, Found};
use super::trouble::from_redis;
use super::{RedisAddress, RedisConfig};

/// Connections of a pool.
const CONNECTIONS_MAX: usize = 2;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A pool of connections to a server.
pub(super) struct Connections {
    pool: Pool,
    address: RedisAddress,
}

impl Connections {
    /// None are made yet.
    ///
    /// # Errors
    /// The address cannot be used.
    pub(super) fn new(address: &RedisAddress) -> Result<Self, SinkError> {
        address.prepare();
        let behaviour = RedisAddress::behaviour(PATIENCE);
        let manager = Manager::new_with_config(address.info(), behaviour);
        let manager = manager.map_err(|error| address.says(&from_redis(&error)))?;
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS_MAX)
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(PATIENCE))
            .recycle_timeout(Some(PATIENCE))
            .wait_timeout(Some(PATIENCE))
            .build();
        let pool = pool.map_err(|error| SinkError::new(Trouble::Other, error.to_string()))?;
        Ok(Self { pool, address: address.clone() })
    }

    /// One of them.
    ///
    /// # Errors
    /// What Redis says.
    pub(super) async fn get(&self) -> Result<Connection, SinkError> {
        let connection = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => from_redis(&error),
            other => SinkError::new(Trouble::Unreachable, format!("Redis: {other}")),
        });
        connection.map_err(|error| self.says(&error))
    }

    /// An error of this server, with where it is.
    pub(super) fn says(&self, error: &SinkError) -> SinkError {
        self.address.says(error)
    }
}

/// How far the copy of a cell is: the last sequence, when that record was decided, and whose journal
/// it is. `None` if there is no copy, or one that the sink would make anew.
///
/// # Errors
/// What Redis says.
pub async fn stored_in_redis(
    config: &RedisConfig,
    cell: u16,
) -> Result<Option<(u64, Timestamp, String)>, SinkError> {
    let mut connection = Connections::new(&config.address)?.get().await?;
    let stored = opening::stored(&mut connection, &config.keys(cell)).await;
    match stored.map_err(|error| config.address.says(&error))? {
        Found::Copy(mark) => {
            let (sequence, time) = (mark.sequence, mark.time);
            Ok(mark.journal.map(|journal| (sequence, time, journal)))
        }
        Found::Other(_) | Found::Remains | Found::Nothing => Ok(None),
    }
}

/// Erases the copy of a cell, and says how many keys it had. A running sink is kept away meanwhile,
/// and makes it anew from the journal.
///
/// # Errors
/// What Redis says; somebody else erases it.
pub async fn erase_redis(config: &RedisConfig, cell: u16) -> Result<u64, SinkError> {
    let mut connection = Connections::new(&config.address)?.get().await?;
    let erased = erase_all(&mut connection, &config.keys(cell)).await;
    erased.map_err(|error| config.address.says(&error))
}

async fn erase_all(connection: &mut Connection, keys: &Keys) -> Result<u64, SinkError> {
    match opening::load(connection).await {
        // The sink has loaded them, and they give back the memory that is lacking.
        Err(error) if error.trouble == Trouble::Full => {}
        loaded => loaded?,
    }
    let eraser = Eraser::begin(connection, keys).await?;
    // An erasure without an end is only ever over when all is gone.
    let erased = eraser.run(connection, 0, None).await?;
    eraser.end(connection).await?;
    match erased {
        Erased::All(removed) => Ok(removed),
        Erased::UpTo(_) => Err(SinkError::new(Trouble::Other, "the erasure was not finished")),
    }
}
