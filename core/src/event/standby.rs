//! What happens to an order that waits for units.

use crate::id::{BuyerDigest, KeyDigest, OrderId};
use crate::money::{Amount, Currency};
use crate::name::{SaleId, SkuId};
use crate::quantity::Quantity;
use crate::time::Timestamp;

use super::Line;

/// An order that waits for units of one SKU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderQueued<'a> {
    /// The order.
    pub order: OrderId,
    /// The buyer, as the ledger knows them.
    pub buyer: BuyerDigest,
    /// The buyer's raw id.
    pub buyer_name: &'a str,
    /// The idempotency key, hashed and raw.
    pub key: Option<(KeyDigest, &'a str)>,
    /// What "the same request" means: see [`crate::command::Place::fingerprint`].
    pub fingerprint: u64,
    /// The currency of the SKU's prices.
    pub currency: Currency,
    /// The SKU.
    pub sku: SkuId,
    /// How many units it waits for.
    pub quantity: Quantity,
    /// The sale that the SKU is in.
    pub sale: Option<SaleId>,
    /// Its place in the SKU's queue: a lower ticket came earlier.
    pub ticket: u64,
    /// The most that the buyer pays.
    pub max_amount: Option<Amount>,
}

impl OrderQueued<'_> {
    /// Without the raw names of buyer and key, whose digests stay.
    pub fn without_names(self) -> OrderQueued<'static> {
        OrderQueued { buyer_name: "", key: self.key.map(|(digest, _)| (digest, "")), ..self }
    }
}

/// A waiting order that got its units, as a hold with a deadline of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderPromoted {
    /// The order.
    pub order: OrderId,
    /// The order's version after this event.
    pub version: u32,
    /// Its place in the SKU's queue, which it leaves.
    pub ticket: u64,
    /// When the hold ends.
    pub expires_at: Timestamp,
    /// What it holds.
    pub line: Line,
}

/// A waiting order that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandbyLeft {
    /// The order.
    pub order: OrderId,
    /// The order's version after this event.
    pub version: u32,
    /// The SKU.
    pub sku: SkuId,
    /// Its place in the SKU's queue, which it leaves.
    pub ticket: u64,
    /// Why.
    pub reason: LeftReason,
}

/// Why a waiting order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LeftReason {
    /// Its buyer cancelled it.
    Cancelled = 1,
    /// The sale is over.
    SaleEnded = 2,
    /// Its units would cost more than the buyer pays, or than an amount can be.
    Price = 3,
}

impl LeftReason {
    /// The one with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Cancelled),
            2 => Some(Self::SaleEnded),
            3 => Some(Self::Price),
            _ => None,
        }
    }

    /// The words for it; none where the actor says it all.
    pub const fn detail(self) -> Option<&'static str> {
        match self {
            Self::Cancelled => None,
            Self::SaleEnded => Some("the sale ended"),
            Self::Price => Some("the price is above max_amount"),
        }
    }
}
