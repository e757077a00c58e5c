//! Where a peer keeps its orders, if it keeps any.

use std::path::Path;

use anyhow::{Result, ensure};
use sluice_core::id::{OrderId, SlotId};
use sluice_core::time::Timestamp;

use super::{Peer, postgres, redis};
use crate::service::{Books, Service};

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

/// Lets a store that is used for nothing else do what a contest does not bring about: repeat an
/// order, run out of units, and meet the limit of a buyer, where it has one.
///
/// # Errors
/// If it does anything else than it must.
pub fn rehearse(peer: Peer, service: &dyn Service) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    service.receive("few", 3)?;
    service.receive("many", 2 * BUYER_UNITS_MAX)?;
    let store = runtime.block_on(Store::open(peer, &service.path(), 1))?;
    let place = |number: u64, key: &str, sku: &str, units: u64, expected: Placed| {
        let id = order_id(number);
        let units = u32::try_from(units)?;
        let order = NewOrder { id, buyer: "alice", key, sku, units, created_at: TIME };
        let placed = runtime.block_on(store.place(&order))?;
        ensure!(placed == expected, "order {number}: {placed:?}, not {expected:?}");
        Ok(())
    };
    let first = || Placed::Earlier(order_id(1).to_string());
    place(1, "key-1", "few", 2, Placed::New)?;
    place(2, "key-1", "few", 2, first())?;
    place(3, "key-2", "few", 2, Placed::SoldOut)?;
    place(4, "key-2", "few", 1, Placed::New)?;
    place(5, "key-3", "few", 1, Placed::SoldOut)?;
    place(6, "key-1", "few", 2, first())?;
    let books = service.books("few")?;
    ensure!(books == Books { available: 0, orders: 2 }, "three units, two orders: {books:?}");
    place(7, "key-3", "many", BUYER_UNITS_MAX, Placed::New)?;
    let limit = if peer == Peer::Redis { Placed::BuyerLimit } else { Placed::New };
    place(8, "key-4", "many", 1, limit)
}

/// When a rehearsal takes place.
const TIME: Timestamp = Timestamp::from_micros(1_794_355_200_000_000);

fn order_id(number: u64) -> OrderId {
    OrderId::new(TIME, 1, SlotId::of_buyer("alice"), number)
}
