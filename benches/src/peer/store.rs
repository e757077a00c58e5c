//! Where a peer keeps its orders, if it keeps any.

use std::path::Path;

use anyhow::Result;
use sluice_core::id::OrderId;
use sluice_core::time::Timestamp;

use super::{Peer, postgres, redis};

/// What the PostgreSQL peer keeps: statements, one after the other.
pub const SCHEMA: &str = include_str!("schema.sql");

/// What comes before a SKU in the name under which Redis has its units available.
pub const AVAILABLE_PREFIX: &str = "available:";

/// What comes before an order's id in the name under which Redis has the order.
pub const ORDER_PREFIX: &str = "order:";

/// What one unit costs, in minor units.
pub(super) const UNIT_PRICE: u64 = 100;

/// Most units of one SKU for one buyer: a limit that is checked and never met.
pub(super) const BUYER_UNITS_MAX: u64 = 1_000_000;

/// An order of one line.
pub(super) struct NewOrder<'a> {
    pub(super) id: OrderId,
    pub(super) buyer: &'a str,
    /// The buyer's idempotency key.
    pub(super) key: &'a str,
    pub(super) sku: &'a str,
    pub(super) units: u32,
    pub(super) created_at: Timestamp,
}

/// What became of an order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// It is new, and stored.
    New,
    /// Its key is known: the id of the earlier order.
    Earlier(String),
    /// Too little is available.
    SoldOut,
    /// The buyer would have too much.
    BuyerLimit,
}

/// Where orders are kept.
pub(super) enum Store {
    /// Nowhere.
    Nothing,
    /// In Redis.
    Redis(redis::Orders),
    /// In PostgreSQL.
    Postgres(postgres::Orders),
}

impl Store {
    /// Opens `links` connections to what is at `path`: Redis' socket, or the folder of
    /// PostgreSQL's.
    pub(super) async fn open(peer: Peer, path: &Path, links: u32) -> Result<Self> {
        Ok(match peer {
            Peer::Bare | Peer::Checked | Peer::Cached => Self::Nothing,
            Peer::Redis => Self::Redis(redis::Orders::open(path, links).await?),
            Peer::Postgres => Self::Postgres(postgres::Orders::open(path, links).await?),
        })
    }

    /// Places an order; without a store, every order is new.
    pub(super) async fn place(&self, order: &NewOrder<'_>) -> Result<Placed> {
        match self {
            Self::Nothing => Ok(Placed::New),
            Self::Redis(orders) => orders.place(order).await,
            Self::Postgres(orders) => orders.place(order).await,
        }
    }
}
