//! The owners' protocol: what the home of an order and the owners of its SKUs say to each other.
//!
//! ```text
//! home                               SKU owner
//!  claim key and limits
//!  Hold ─────────────────────────────▶ set units aside, provisionally
//!        ◀───────────────────────────── Held: granted or refused
//!  … next SKU, in ascending order …
//!  record, apply
//!  Confirm (or Release) ─────────────▶ held (or free again)
//!  … later: cancel, expiry …
//!  Restore ──────────────────────────▶ available again
//! ```
//!
//! Messages between two shards keep their order. A provisional hold is in no record: a crash
//! before the order's record leaves nothing. A hold waits, bounded, while it lacks only units
//! that are set aside provisionally; since holds are asked for in ascending order of SKU, no
//! ring of waiting orders can form.

use crate::command::Envelope;
use crate::event::Draws;
use crate::id::{BuyerDigest, OrderId};
use crate::money::{Amount, Currency};
use crate::name::SkuId;
use crate::outcome::Refusal;
use crate::quantity::Quantity;
use crate::router::Movable;

use super::slot::BuyerSlot;
use super::stock::SkuStock;

/// A message to the owner of a value.
#[derive(Debug)]
pub enum Message {
    /// Home to owner: set units aside.
    Hold(Box<HoldRequest>),
    /// Owner to home: granted or refused.
    Held(Box<HoldReply>),
    /// Home to owner: the order is recorded, what was set aside is held.
    Confirm {
        /// The SKU.
        sku: SkuId,
        /// What was set aside.
        draws: Draws,
    },
    /// Home to owner: there will be no order, what was set aside is free.
    Release {
        /// The SKU.
        sku: SkuId,
        /// What was set aside.
        draws: Draws,
    },
    /// Home to owner: a hold ended, its units are available again.
    Restore {
        /// The SKU.
        sku: SkuId,
        /// What was held.
        draws: Draws,
    },
    /// A command that reached a shard which no longer owns its value.
    Forward(Box<Envelope>),
}

/// Asks the owner of a SKU to set units aside.
#[derive(Debug)]
pub struct HoldRequest {
    /// The order; names its home.
    pub(super) order: OrderId,
    /// The buyer, by whom the home finds the order in flight.
    pub(super) buyer: BuyerDigest,
    /// The SKU.
    pub(super) sku: SkuId,
    /// How many, for whom.
    pub(super) ask: Ask,
}

/// What the owner of a SKU must know to decide.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    /// How many units.
    pub(super) quantity: Quantity,
    /// Units of the SKU that the buyer has already, for the limit.
    pub(super) buyer_has: u64,
    /// Most lots that the order may still draw from.
    pub(super) draws_max: usize,
}

/// The owner's answer.
#[derive(Debug)]
pub struct HoldReply {
    pub(super) order: OrderId,
    pub(super) buyer: BuyerDigest,
    pub(super) result: Result<Grant, Denial>,
}

/// Units set aside, with the SKU's terms.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) draws: Draws,
    pub(super) currency: Currency,
    pub(super) hold_seconds: u32,
}

/// Why an order gets nothing. Small and copied freely; names are added when it is answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Denial {
    SkuNotFound,
    BuyerLimit { limit: u32, has: u64 },
    SoldOut,
    PriceChanged { amount: Amount },
    AmountTooLarge,
    CurrenciesDiffer,
    OrderIdTaken,
    Capacity { ceiling: &'static str },
    DiskReserve,
    Overloaded,
}

impl Denial {
    /// As the answer says it; `sku` is the first of which nothing is held.
    pub(super) fn about(self, sku: Option<&SkuId>) -> Refusal {
        let sku = || sku.expect("a SKU was asked for").clone();
        match self {
            Self::SkuNotFound => Refusal::SkuNotFound,
            Self::BuyerLimit { limit, has } => Refusal::BuyerLimit { sku: sku(), limit, has },
            Self::SoldOut => Refusal::SoldOut { sku: sku() },
            Self::PriceChanged { amount } => Refusal::PriceChanged { amount },
            Self::AmountTooLarge => Refusal::AmountTooLarge,
            Self::CurrenciesDiffer => Refusal::CurrenciesDiffer,
            Self::OrderIdTaken => Refusal::OrderIdTaken,
            Self::Capacity { ceiling } => Refusal::Capacity { ceiling },
            Self::DiskReserve => Refusal::DiskReserve,
            Self::Overloaded => Refusal::Overloaded,
        }
    }
}

/// A value on its way to another shard.
#[derive(Debug)]
pub enum Value {
    /// The SKU stocks of a bucket.
    Bucket(u16, Vec<Box<SkuStock>>),
    /// A buyer slot, with its orders in flight.
    Slot(Box<BuyerSlot>),
}

impl Value {
    /// What it is.
    pub fn movable(&self) -> Movable {
        match self {
            Self::Bucket(bucket, _) => Movable::Bucket(*bucket),
            Self::Slot(slot) => Movable::Slot(slot.id()),
        }
    }
}
