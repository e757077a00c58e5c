//! Events: what the journal holds and what changes the ledger.
//!
//! An event is a fact and carries results, not recipes: the lots drawn with their prices, the
//! ids, the times. [`record`] turns one into bytes and back; its layouts are the journal's format.

use crate::id::{HashKey, OrderId, RequestId};
use crate::money::{Amount, Currency};
use crate::name::{LotId, SaleId, SkuId, WithdrawalId};
use crate::quantity::Quantity;
use crate::time::Timestamp;

mod layout;
mod line;
mod order;
mod payment;
pub mod record;
mod sale;
mod skip;
mod standby;
mod status;

pub use line::{Draw, Draws, Line, Lines, total};
pub use order::{OrderDelivered, OrderEnded, OrderPlaced, OrderRetired, OrderShipped};
pub use payment::{
    NoticeKind, NoticeUnmatched, OrderPaid, PaymentFailed, PaymentStarted, RefundEnded,
    RefundReason, RefundRequested, Returned,
};
pub use sale::{SaleDefined, SaleMove, SaleMoved};
pub use skip::{RecordSkipped, SinkName};
pub use standby::{LeftReason, OrderPromoted, OrderQueued, StandbyLeft};
pub use status::OrderStatus;

/// The format of the records that this program writes.
pub const FORMAT: u32 = 4;

/// Who caused an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A buyer, by a request of theirs.
    Buyer,
    /// An operator.
    Operator,
    /// A payment provider.
    Provider,
    /// The engine itself, because time passed.
    Engine,
}

/// What every event carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// When it was decided, in engine time.
    pub time: Timestamp,
    /// Who caused it.
    pub actor: Actor,
    /// The request that caused it, or [`RequestId::NONE`].
    pub request: RequestId,
}

/// A fact about the sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The first record of a journal.
    Genesis(Genesis),
    /// From here on the journal may hold what only a newer program understands.
    FormatRaised(FormatRaised<'a>),
    /// A SKU was created or its terms replaced.
    SkuDefined(SkuDefined<'a>),
    /// Units of a SKU arrived.
    LotReceived(LotReceived),
    /// Units that nobody held were taken back.
    UnitsWithdrawn(UnitsWithdrawn<'a>),
    /// An order holds its units.
    OrderPlaced(OrderPlaced<'a>),
    /// A hold ended because it was cancelled.
    OrderCancelled(OrderEnded),
    /// A hold ended because its time was over.
    OrderExpired(OrderEnded),
    /// An order left the ledger: it is final, its retention is over, and SQL has it.
    OrderRetired(OrderRetired),
    /// An order waits for units that come back.
    OrderQueued(OrderQueued<'a>),
    /// A waiting order got its units.
    OrderPromoted(OrderPromoted),
    /// A waiting order ended without having got any.
    StandbyLeft(StandbyLeft),
    /// A buyer began to pay.
    PaymentStarted(PaymentStarted),
    /// A provider said that a payment failed.
    PaymentFailed(PaymentFailed),
    /// An order is paid.
    OrderPaid(OrderPaid),
    /// A payment is to be given back.
    RefundRequested(RefundRequested),
    /// A provider gave a payment back.
    RefundSucceeded(RefundEnded),
    /// A provider could not give a payment back.
    RefundFailed(RefundEnded),
    /// A provider said something that fits no payment.
    NoticeUnmatched(NoticeUnmatched<'a>),
    /// An order is on its way.
    OrderShipped(OrderShipped<'a>),
    /// An order was handed over.
    OrderDelivered(OrderDelivered),
    /// A sale was created or replaced.
    SaleDefined(SaleDefined<'a>),
    /// A sale was paused, resumed or ended.
    SaleMoved(SaleMoved),
    /// A sink is to pass over a record that its store cannot take.
    RecordSkipped(RecordSkipped<'a>),
}

impl Event<'_> {
    /// The order that it is about, if it is about one.
    pub const fn order(&self) -> Option<OrderId> {
        Some(match self {
            Self::OrderPlaced(placed) => placed.order,
            Self::OrderCancelled(ended) | Self::OrderExpired(ended) => ended.order,
            Self::OrderRetired(retired) => retired.order,
            Self::OrderQueued(queued) => queued.order,
            Self::OrderPromoted(promoted) => promoted.order,
            Self::StandbyLeft(left) => left.order,
            Self::PaymentStarted(started) => started.order,
            Self::PaymentFailed(failed) => failed.order,
            Self::OrderPaid(paid) => paid.order,
            Self::RefundRequested(requested) => requested.order,
            Self::RefundSucceeded(ended) | Self::RefundFailed(ended) => ended.order,
            Self::OrderShipped(shipped) => shipped.order,
            Self::OrderDelivered(delivered) => delivered.order,
            Self::Genesis(_)
            | Self::FormatRaised(_)
            | Self::SkuDefined(_)
            | Self::LotReceived(_)
            | Self::UnitsWithdrawn(_)
            | Self::NoticeUnmatched(_)
            | Self::SaleDefined(_)
            | Self::SaleMoved(_)
            | Self::RecordSkipped(_) => return None,
        })
    }
}

/// The identity of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The cell.
    pub cell: u16,
    /// The key by which buyers and idempotency keys are hashed.
    pub hash_key: HashKey,
    /// The format of the records that follow.
    pub format: u32,
}

/// The first use of a newer format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatRaised<'a> {
    /// The format of the records that follow.
    pub format: u32,
    /// The program that is needed from here on, e.g. `sluice 0.2.0`.
    pub program: &'a str,
}

/// The terms of a SKU, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkuDefined<'a> {
    /// The SKU.
    pub sku: SkuId,
    /// 1 when created, one more at each replacement.
    pub revision: u32,
    /// Its title, for people.
    pub title: &'a str,
    /// The price of a unit from a lot without a price of its own.
    pub unit_price: Amount,
    /// The currency of all its prices.
    pub currency: Currency,
    /// Most units one buyer may have; 0 for no limit.
    pub per_buyer_limit: u32,
    /// How long a hold lasts, in seconds.
    pub hold_seconds: u32,
    /// Whether smaller standby orders may pass larger ones.
    pub standby_pass: bool,
    /// The sale that it came into when it was created: one that named it already and, as far as its
    /// owner had heard, had not ended.
    pub sale: Option<SaleId>,
}

/// Units that arrived together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LotReceived {
    /// The SKU.
    pub sku: SkuId,
    /// The lot's name.
    pub lot: LotId,
    /// The lot's place among the SKU's lots: 0, 1, 2 … in order of arrival.
    pub ordinal: u32,
    /// How many units.
    pub quantity: Quantity,
    /// The lot's own price, if it has one.
    pub unit_price: Option<Amount>,
}

/// Units taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitsWithdrawn<'a> {
    /// The SKU.
    pub sku: SkuId,
    /// The withdrawal's name.
    pub withdrawal: WithdrawalId,
    /// How many units.
    pub quantity: Quantity,
    /// Why, in an operator's words.
    pub reason: &'a str,
    /// The lots they were taken from.
    pub draws: Draws,
}
