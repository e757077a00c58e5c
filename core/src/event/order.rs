//! What happens to an order, but for paying and waiting.

use crate::id::{BuyerDigest, KeyDigest, OrderId};
use crate::money::Currency;
use crate::time::Timestamp;

use super::Lines;

/// An order that holds all its units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderPlaced<'a> {
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
    /// The currency of all prices.
    pub currency: Currency,
    /// When the hold ends.
    pub expires_at: Timestamp,
    /// What it holds.
    pub lines: Lines,
}

impl OrderPlaced<'_> {
    /// Without the raw names of buyer and key, whose digests stay.
    pub fn without_names(self) -> OrderPlaced<'static> {
        OrderPlaced { buyer_name: "", key: self.key.map(|(digest, _)| (digest, "")), ..self }
    }
}

/// A hold that ended without payment, and what came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderEnded {
    /// The order.
    pub order: OrderId,
    /// The order's version after this event.
    pub version: u32,
    /// What came back, to the lots it was drawn from.
    pub lines: Lines,
}

/// An order that left the ledger. Its key may be used anew from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderRetired {
    /// The order.
    pub order: OrderId,
}

/// An order that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderShipped<'a> {
    /// The order.
    pub order: OrderId,
    /// The order's version after this event.
    pub version: u32,
    /// Who carries it, in an operator's words.
    pub carrier: &'a str,
    /// The carrier's number for it.
    pub tracking_number: &'a str,
}

/// An order that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderDelivered {
    /// The order.
    pub order: OrderId,
    /// The order's version after this event.
    pub version: u32,
}
