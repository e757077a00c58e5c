//! PostgreSQL and Redis behind a server, as its sinks fill them. They end when dropped.

use std::time::Duration;

use anyhow::{Context as _, Result};
use sluice_services::{Persistence, Postgres, PostgresOptions, Redis, RedisOptions};

use crate::processor;
use crate::server::on_a_disk;

/// Both stores, durable as an operator would have them: PostgreSQL syncs its commits, Redis its log
/// once a second.
pub struct Sinks {
    postgres: Postgres,
    redis: Redis,
}

impl Sinks {
    /// Starts both, empty.
    ///
    /// # Errors
    /// If one is not installed or does not start.
    pub fn start() -> Result<Self> {
        let parent = Some(on_a_disk());
        let options =
            PostgresOptions { durable: true, parent: parent.clone(), ..Default::default() };
        let postgres = Postgres::start(&options)?;
        let persistence = Persistence::LogEverySecond;
        let redis = Redis::start(&RedisOptions { persistence, parent, ..Default::default() })?;
        Ok(Self { postgres, redis })
    }

    /// What a server is told of them.
    pub fn flags(&self) -> [String; 4] {
        let flag = |name: &str| name.to_owned();
        [flag("--database-url"), self.postgres.url(), flag("--redis-url"), self.redis.url()]
    }

    /// Stops every process of both (SIGSTOP).
    pub fn pause(&self) {
        self.postgres.pause();
        self.redis.pause();
    }

    /// Lets them go on.
    pub fn resume(&self) {
        self.postgres.resume();
        self.redis.resume();
    }

    /// Processor time that both have used so far.
    ///
    /// # Errors
    /// If one has ended.
    pub fn time(&self) -> Result<Duration> {
        let postgres = self.postgres.id().context("PostgreSQL has ended")?;
        let redis = self.redis.id().context("Redis has ended")?;
        Ok(processor::time_of(postgres)? + processor::time_of(redis)?)
    }
}
