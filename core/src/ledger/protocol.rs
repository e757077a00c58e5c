//! The owners' protocol: what the home of an order and the owners of its SKUs say to each other.
//!
//! ```text
//! home                               SKU owner
//!  claim key and limits
//!  Hold ─────────────────────────────▶ set units aside, provisionally
//!        ◀───────────────────────────── Held: granted or refused
//!  … next SKU, in ascending order …
//!  record, apply
//!  Shift: reserve (or release) ──────▶ held (or free again)
//!  … later: cancel, expiry, payment, refund …
//!  Shift: restore, sell, take back … ▶ available, sold, available …
//! ```
//!
//! An order that may wait gets a ticket instead of units: then the home records that it waits, and
//! says `Joined` (or `Left`). When units come back the owner sets them aside again and asks the
//! home: `Promote`. The home records, and the units are held; or the order has ended meanwhile.
//!
//! Messages between two shards keep their order. A provisional hold is in no record: a crash
//! before the order's record leaves nothing. A hold waits, bounded, while it lacks only units
//! that are set aside provisionally; since holds are asked for in ascending order of SKU, no
//! ring of waiting orders can form.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::command::{Envelope, ReplyTo};
use crate::event::Draws;
use crate::id::{BuyerDigest, OrderId};
use crate::money::{Amount, Currency};
use crate::name::{SaleId, SkuId};
use crate::outcome::{Outcome, Refusal, SaleView};
use crate::quantity::Quantity;
use crate::router::Movable;
use crate::time::Timestamp;

use super::slot::BuyerSlot;
use super::stock::SkuStock;

/// A message to the owner of a value.
#[derive(Debug)]
pub enum Message {
    /// Home to owner: set units aside.
    Hold(Box<HoldRequest>),
    /// Owner to home: granted or refused.
    Held(Box<HoldReply>),
    /// Home to owner: units move from one counter to another.
    Shift {
        /// The SKU.
        sku: SkuId,
        /// Of which lots.
        draws: Draws,
        /// From where to where.
        shift: Shift,
    },
    /// Home to owner: an order is recorded as waiting.
    Joined {
        /// The SKU.
        sku: SkuId,
        /// Its ticket.
        ticket: u64,
    },
    /// Home to owner: an order waits no more, or never did.
    Left {
        /// The SKU.
        sku: SkuId,
        /// Its ticket.
        ticket: u64,
    },
    /// Owner to home: units are set aside for an order that waits.
    Promote(Box<Promotion>),
    /// Owner to home: an order waits in vain.
    Dismiss(Box<Dismissal>),
    /// Home to owner: an answer shows orders that wait; their places are missing.
    Rank(Box<Ranking>),
    /// Register to owner: the sale that a SKU is in.
    SaleTerms {
        /// The SKU.
        sku: SkuId,
        /// Which; `None`: in none.
        sale: Option<Arc<SaleView>>,
        /// What is to be confirmed.
        number: u64,
    },
    /// Owner to register: the SKU's owner knows what was told with this number.
    SaleTermsKnown(u64),
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
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// How many units.
    pub(super) quantity: Quantity,
    /// Units of the SKU that the buyer has already, for its limit.
    pub(super) buyer_has: u64,
    /// Units that the buyer has already by sale, for theirs.
    pub(super) buyer_has_in: SmallVec<[(SaleId, u64); 1]>,
    /// Most lots that the order may still draw from.
    pub(super) draws_max: usize,
    /// What to do if units are lacking.
    pub(super) otherwise: Otherwise,
    /// What is to come of it.
    pub(super) purpose: Purpose,
    /// Whether it is one of several lines.
    pub(super) of_basket: bool,
}

/// What an order does if units are lacking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Otherwise {
    /// It is refused.
    Refuse,
    /// It waits.
    Wait,
    /// It would wait, but its buyer has as many waiting orders as one may have.
    WaitNoMore,
}

/// What is to come of a request for units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A new order.
    Order,
    /// Nothing: another line is refused; is this one for a reason that is named first?
    Probe,
    /// A late payment, which takes units that nobody waits for.
    LatePayment,
}

/// The owner's answer.
#[derive(Debug)]
pub struct HoldReply {
    pub(super) order: OrderId,
    pub(super) buyer: BuyerDigest,
    pub(super) result: Result<Granted, Denial>,
}

/// What an owner grants.
#[derive(Debug)]
pub(super) enum Granted {
    /// Units.
    Units(Grant),
    /// A place in the queue.
    Place(Place),
    /// Nothing: other lines of the basket may be refused for a reason that is named first.
    Nothing(Nothing),
}

/// What a line of a basket would count for, although it gets nothing.
#[derive(Debug)]
pub(super) struct Nothing {
    /// Why it gets nothing; `None` if it was not to get anything.
    pub(super) denial: Option<Denial>,
    pub(super) currency: Currency,
    pub(super) sale: Option<SaleId>,
}

/// Units set aside, with the SKU's terms.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) draws: Draws,
    pub(super) currency: Currency,
    pub(super) hold_seconds: u32,
    pub(super) sale: Option<SaleId>,
}

/// A place in the queue, with the SKU's terms.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) ticket: u64,
    pub(super) position: u64,
    pub(super) currency: Currency,
    pub(super) sale: Option<SaleId>,
}

/// Units for an order that waits.
#[derive(Debug)]
pub struct Promotion {
    pub(super) order: OrderId,
    pub(super) sku: SkuId,
    pub(super) ticket: u64,
    pub(super) grant: Grant,
}

/// No units ever for an order that waits.
#[derive(Debug)]
pub struct Dismissal {
    pub(super) order: OrderId,
    pub(super) sku: SkuId,
    pub(super) ticket: u64,
}

/// An answer on its way past the owners of the SKUs for which its orders wait.
#[derive(Debug)]
pub struct Ranking {
    pub(super) outcome: Outcome,
    pub(super) reply: ReplyTo,
}

/// From where to where units move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// Set aside → held.
    Reserve,
    /// Set aside → free.
    Release,
    /// Held → available.
    Restore,
    /// Held → sold.
    Sell,
    /// Set aside → sold.
    SellAtOnce,
    /// Sold → available.
    TakeBack,
    /// Sold → withdrawn.
    WriteOff,
    /// Set aside → held, for the order with this ticket, which leaves the queue.
    Promote(u64),
}

impl Shift {
    /// Whether the units were set aside until now.
    pub(super) const fn settles(self) -> bool {
        matches!(self, Self::Reserve | Self::Release | Self::SellAtOnce | Self::Promote(_))
    }
}

/// Why an order gets nothing. Small and copied freely; names are added when it is answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Denial {
    SkuNotFound,
    SaleNotOpen { opens_at: Timestamp },
    SalePaused,
    SaleEnded,
    BuyerLimit { limit: u32, has: u64 },
    SaleLimit { limit: u32, has: u64 },
    SoldOut,
    PriceChanged { amount: Amount },
    AmountTooLarge,
    CurrenciesDiffer,
    IdTaken,
    Capacity { ceiling: &'static str },
    DiskReserve,
    Overloaded,
}

impl Denial {
    /// Of several, the one with the lowest rank is named: the contract's order of refusals.
    pub(super) const fn rank(&self) -> u8 {
        match self {
            Self::AmountTooLarge | Self::CurrenciesDiffer => 7,
            Self::SkuNotFound => 9,
            Self::SaleNotOpen { .. } | Self::SalePaused | Self::SaleEnded => 10,
            Self::BuyerLimit { .. } | Self::SaleLimit { .. } => 11,
            Self::PriceChanged { .. } | Self::SoldOut => 12,
            _ => 13,
        }
    }

    /// As the answer says it; `sku` is the first of which nothing is held.
    pub(super) fn about(self, sku: Option<&SkuId>) -> Refusal {
        let sku = || sku.expect("a SKU was asked for").clone();
        match self {
            Self::SkuNotFound => Refusal::SkuNotFound,
            Self::SaleNotOpen { opens_at } => Refusal::SaleNotOpen { opens_at },
            Self::SalePaused => Refusal::SalePaused,
            Self::SaleEnded => Refusal::SaleEnded,
            Self::BuyerLimit { limit, has } => Refusal::BuyerLimit { sku: sku(), limit, has },
            Self::SaleLimit { limit, has } => Refusal::SaleLimit { sku: sku(), limit, has },
            Self::SoldOut => Refusal::SoldOut { sku: sku() },
            Self::PriceChanged { amount } => Refusal::PriceChanged { amount },
            Self::AmountTooLarge => Refusal::AmountTooLarge,
            Self::CurrenciesDiffer => Refusal::CurrenciesDiffer,
            Self::IdTaken => Refusal::IdTaken,
            Self::Capacity { ceiling } => Refusal::Capacity { ceiling },
            Self::DiskReserve => Refusal::DiskReserve,
            Self::Overloaded => Refusal::Overloaded,
        }
    }
}

/// A value on its way to another shard.
#[derive(Debug)]
pub enum Value {
    /// The SKU stocks of a bucket, and the sales of SKUs that are still to be made.
    Bucket(u16, Vec<Box<SkuStock>>, Vec<(SkuId, Arc<SaleView>)>),
    /// A buyer slot, with its orders in flight.
    Slot(Box<BuyerSlot>),
}

impl Value {
    /// What it is.
    pub fn movable(&self) -> Movable {
        match self {
            Self::Bucket(bucket, ..) => Movable::Bucket(*bucket),
            Self::Slot(slot) => Movable::Slot(slot.id()),
        }
    }
}
