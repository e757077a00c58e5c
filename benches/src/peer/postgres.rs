//! Orders in PostgreSQL: one statement for each, which is a transaction, over a pool.
//!
//! One statement is one round trip, so that the row of the stock is locked for no longer than the
//! update, the insert and the sync of the log take. The next order of the same SKU waits for that.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};

use super::store::{NewOrder, Placed, UNIT_PRICE};

/// The statement that places an order.
const PLACE: &str = include_str!("place.sql");

/// The order of a key.
const EARLIER: &str = "SELECT order_id FROM orders WHERE buyer = $1 AND key = $2";

/// How long an order may wait for a connection: longer than a turn's longest.
const PATIENCE: Duration = Duration::from_secs(60);

/// Orders in PostgreSQL.
pub(super) struct Orders {
    pool: PgPool,
}

impl Orders {
    /// Opens the connections.
    pub(super) async fn open(folder: &Path, links: u32) -> Result<Self> {
        let pool = PgPoolOptions::new()
            .min_connections(links)
            .max_connections(links)
            .acquire_timeout(PATIENCE)
            // It would be a round trip more for each order.
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options(folder))
            .await
            .context("PostgreSQL")?;
        Ok(Self { pool })
    }

    /// Places an order.
    pub(super) async fn place(&self, order: &NewOrder<'_>) -> Result<Placed> {
        let NewOrder { id, buyer, key, sku, units, .. } = order;
        let placed = sqlx::query(PLACE)
            .bind(id.to_string())
            .bind(buyer)
            .bind(key)
            .bind(sku)
            .bind(i64::from(*units))
            .bind(UNIT_PRICE as i64)
            .execute(&self.pool)
            .await;
        match placed {
            Ok(done) if done.rows_affected() == 1 => return Ok(Placed::New),
            // A known key counts for more than what is left.
            Ok(_) => {}
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {}
            Err(error) => return Err(error.into()),
        }
        let earlier = sqlx::query_scalar(EARLIER).bind(buyer).bind(key);
        let earlier = earlier.fetch_optional(&self.pool).await?;
        Ok(earlier.map_or(Placed::SoldOut, Placed::Earlier))
    }
}

/// How to reach the server whose socket lies in `folder`.
pub fn options(folder: &Path) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(folder)
        .port(5432)
        .username("sluice")
        .database("postgres")
        .ssl_mode(PgSslMode::Disable)
}
