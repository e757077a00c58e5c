//! Events: what the journal holds and what changes the ledger.
//!
//! An event is a fact and carries results, not recipes: the lots drawn with their prices, the
//! ids, the times. [`record`] turns one into bytes and back; its layouts are the journal's format.

use smallvec::SmallVec;

use crate::id::{BuyerDigest, HashKey, KeyDigest, OrderId, RequestId};
use crate::money::{Amount, Currency};
use crate::name::{LotId, SkuId, WithdrawalId};
use crate::quantity::Quantity;
use crate::time::Timestamp;

mod layout;
pub mod record;

/// The format of the records that this program writes.
pub const FORMAT: u32 = 1;

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

/// The lines of an order. Nearly always one.
pub type Lines = SmallVec<[Line; 1]>;

/// The lots that a line draws from. Nearly always one.
pub type Draws = SmallVec<[Draw; 1]>;

/// One SKU of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The SKU.
    pub sku: SkuId,
    /// How many units.
    pub quantity: Quantity,
    /// Where they were drawn from; their quantities add up to `quantity`.
    pub draws: Draws,
}

/// Units of one lot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The lot.
    pub lot: LotId,
    /// The lot's place among the SKU's lots.
    pub ordinal: u32,
    /// How many units.
    pub quantity: Quantity,
    /// What each costs.
    pub unit_price: Amount,
}

impl Line {
    /// The sum over its draws. `None` beyond [`crate::money::AMOUNT_MAX`].
    pub fn amount(&self) -> Option<Amount> {
        self.draws.iter().try_fold(Amount::ZERO, |sum, draw| {
            sum.plus(draw.unit_price.times(draw.quantity.units())?)
        })
    }
}

/// The sum over all lines. `None` beyond [`crate::money::AMOUNT_MAX`].
pub fn total(lines: &[Line]) -> Option<Amount> {
    lines.iter().try_fold(Amount::ZERO, |sum, line| sum.plus(line.amount()?))
}

/// The states of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OrderStatus {
    /// On standby for units that come back.
    Waiting = 1,
    /// Holding its units.
    Reserved = 2,
    /// Paid.
    Paid = 3,
    /// Ended by the buyer or an operator.
    Cancelled = 4,
    /// Ended by its deadline.
    Expired = 5,
    /// On its way.
    Shipped = 6,
    /// Handed over.
    Delivered = 7,
    /// Money is on its way back.
    Refunding = 8,
    /// Money is back.
    Refunded = 9,
}

impl OrderStatus {
    /// All states, as the contract spells them.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::Waiting, "waiting"),
        (Self::Reserved, "reserved"),
        (Self::Paid, "paid"),
        (Self::Cancelled, "cancelled"),
        (Self::Expired, "expired"),
        (Self::Shipped, "shipped"),
        (Self::Delivered, "delivered"),
        (Self::Refunding, "refunding"),
        (Self::Refunded, "refunded"),
    ];

    /// Whether nothing more will become of the order.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Cancelled | Self::Expired | Self::Delivered | Self::Refunded)
    }

    /// Whether its units count against the limits of its buyer.
    pub const fn counts_against_limits(self) -> bool {
        matches!(
            self,
            Self::Waiting | Self::Reserved | Self::Paid | Self::Shipped | Self::Delivered
        )
    }

    /// The state with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.iter().map(|(status, _)| *status).find(|status| *status as u8 == number)
    }

    /// The contract's word for it.
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize - 1].1
    }

    /// The state that the contract spells so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, word)| *word == text).map(|(status, _)| *status)
    }
}

#[cfg(test)]
mod tests {
    use super::OrderStatus;

    #[test]
    fn states_are_spelled_as_in_the_contract() {
        for (status, word) in OrderStatus::ALL {
            assert_eq!(status.as_str(), word);
            assert_eq!(OrderStatus::parse(word), Some(status));
        }
        assert_eq!(OrderStatus::parse("Reserved"), None);
    }
}
