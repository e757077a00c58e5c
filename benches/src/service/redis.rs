//! Redis with its append-only file on, on an empty folder.

use std::path::PathBuf;

use ::redis::{Client, Commands as _, Connection, ScanOptions};
use anyhow::{Context as _, Result};
use sluice_services::{Persistence, Redis, RedisOptions};

use super::{Books, Service};
use crate::peer::{AVAILABLE_PREFIX, ORDER_PREFIX, redis_address};
use crate::server::on_a_disk;

/// When Redis syncs its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Before it answers.
    Always,
    /// Once a second: a crash of the machine loses up to a second of answered orders, or two.
    EverySecond,
}

/// A Redis server.
pub struct RedisServer(Redis);

impl RedisServer {
    /// Starts one.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub fn start(fsync: Fsync) -> Result<Self> {
        let persistence = match fsync {
            Fsync::Always => Persistence::LogAlways,
            Fsync::EverySecond => Persistence::LogEverySecond,
        };
        let parent = Some(on_a_disk());
        let options = RedisOptions { persistence, tcp: false, parent, ..RedisOptions::default() };
        Ok(Self(Redis::start(&options)?))
    }

    fn connect(&self) -> Result<Connection> {
        Ok(Client::open(redis_address(&self.0.socket()))?.get_connection()?)
    }
}

impl Service for RedisServer {
    fn id(&self) -> Result<u32> {
        self.0.id().context("Redis has ended")
    }

    fn path(&self) -> PathBuf {
        self.0.socket()
    }

    fn settings(&self) -> Result<String> {
        let mut connection = self.connect()?;
        let info: String = ::redis::cmd("INFO").arg("server").query(&mut connection)?;
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        let mut text = format!("Redis {}", version.context("its version")?);
        for name in ["appendonly", "appendfsync", "save", "io-threads"] {
            let mut get = ::redis::cmd("CONFIG");
            let (_, value): (String, String) = get.arg("GET").arg(name).query(&mut connection)?;
            text += &format!(", {name} {}", if value.is_empty() { "\"\"" } else { &value });
        }
        Ok(text)
    }

    fn receive(&self, sku: &str, units: u64) -> Result<()> {
        Ok(self.connect()?.set(format!("{AVAILABLE_PREFIX}{sku}"), units)?)
    }

    fn books(&self, sku: &str) -> Result<Books> {
        let mut connection = self.connect()?;
        let available = connection.get(format!("{AVAILABLE_PREFIX}{sku}"))?;
        let pattern = format!("{ORDER_PREFIX}*");
        let options = ScanOptions::default().with_pattern(pattern).with_count(10_000);
        // A key may come twice if the table is made smaller meanwhile; nothing is deleted here.
        let mut orders = 0;
        for key in connection.scan_options::<Vec<u8>>(options)? {
            key?;
            orders += 1;
        }
        Ok(Books { available, orders })
    }
}
