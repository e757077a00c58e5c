//! PostgreSQL on a cluster made for one turn.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use sluice_services::{Postgres, PostgresOptions};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};
use tokio::runtime::Runtime;

use super::{Books, Service};
use crate::peer::{SCHEMA, postgres_options};
use crate::server::on_a_disk;

/// Connections beside those of the peer: ours.
const OUR_CONNECTIONS: u32 = 10;

/// Memory and the log have room, so that no checkpoint falls into a turn.
const SETTINGS: [(&str, &str); 3] =
    [("shared_buffers", "256MB"), ("max_wal_size", "4GB"), ("checkpoint_timeout", "30min")];

/// A PostgreSQL server.
pub struct PostgresServer {
    server: Postgres,
    runtime: Runtime,
}

impl PostgresServer {
    /// Makes a cluster and starts a server on it, with room for `links` connections and ours.
    ///
    /// # Errors
    /// If it is not installed, cannot be made, or does not start.
    pub fn start(links: u32) -> Result<Self> {
        let server = Postgres::start(&PostgresOptions {
            tcp: false,
            connections_max: links + OUR_CONNECTIONS,
            durable: true,
            settings: SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            parent: Some(on_a_disk()),
            ..PostgresOptions::default()
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let server = Self { server, runtime };
        server.with(async |connection| Ok(connection.execute(SCHEMA).await?))?;
        Ok(server)
    }

    fn with<T>(&self, act: impl AsyncFnOnce(&mut PgConnection) -> Result<T>) -> Result<T> {
        self.runtime.block_on(async {
            let options = postgres_options(self.server.socket_folder());
            let mut connection = PgConnection::connect_with(&options).await?;
            let done = act(&mut connection).await?;
            connection.close().await?;
            Ok(done)
        })
    }
}

impl Service for PostgresServer {
    fn id(&self) -> Result<u32> {
        self.server.id().context("PostgreSQL has ended")
    }

    fn path(&self) -> PathBuf {
        self.server.socket_folder().to_owned()
    }

    fn settings(&self) -> Result<String> {
        let names =
            ["fsync", "synchronous_commit", "wal_sync_method", "full_page_writes", "wal_level"];
        self.with(async |connection| {
            let version = sqlx::query_scalar("SHOW server_version").fetch_one(&mut *connection);
            let version: String = version.await?;
            let mut text = format!("PostgreSQL {version}");
            for name in names.into_iter().chain(["shared_buffers"]) {
                let value = sqlx::query_scalar("SELECT current_setting($1)").bind(name);
                let value: String = value.fetch_one(&mut *connection).await?;
                text += &format!(", {name} {value}");
            }
            Ok(text)
        })
    }

    fn receive(&self, sku: &str, units: u64) -> Result<()> {
        self.with(async |connection| {
            let insert = sqlx::query("INSERT INTO stock (sku, available) VALUES ($1, $2)");
            insert.bind(sku).bind(i64::try_from(units)?).execute(connection).await?;
            Ok(())
        })
    }

    fn books(&self, sku: &str) -> Result<Books> {
        self.with(async |connection| {
            let available = sqlx::query_scalar("SELECT available FROM stock WHERE sku = $1");
            let available = available.bind(sku).fetch_one(&mut *connection).await?;
            let orders = sqlx::query_scalar("SELECT count(*) FROM orders WHERE sku = $1");
            let orders: i64 = orders.bind(sku).fetch_one(connection).await?;
            Ok(Books { available, orders: u64::try_from(orders)? })
        })
    }
}
