//! Outcomes: what a command is answered with.

use crate::event::{Lines, OrderStatus};
use crate::id::OrderId;
use crate::money::{Amount, Currency};
use crate::name::{LotId, SkuId};
use crate::time::Timestamp;

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This request made the order.
    Placed(Box<OrderView>),
    /// An earlier request with the same key made the order; here it is as it is now.
    Repeated(Box<OrderView>),
    /// The order that was asked for or changed.
    Order(Box<OrderView>),
    /// A page of a buyer's orders.
    Orders(OrderPage),
    /// The SKU's stock; `created` if the command made what it names.
    Stock {
        /// Whether something came into being.
        created: bool,
        /// The stock after the command.
        stock: Box<StockView>,
    },
    /// Stocks of a shard, sorted by SKU.
    Stocks(Vec<StockView>),
    /// The digest of a shard's state, and what is half-way in it.
    Digest(StateDigest),
    /// The value is on its way, or where it was to go already.
    Relocated,
    /// Nothing happened.
    Refused(Refusal),
}

/// An order, for showing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderView {
    /// Its id.
    pub order: OrderId,
    /// 1 when placed, one more at each event.
    pub version: u32,
    /// Its state.
    pub status: OrderStatus,
    /// What it holds or held.
    pub lines: Lines,
    /// The sum of its lines.
    pub amount: Amount,
    /// The currency of all its prices.
    pub currency: Currency,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When its hold ends, or ended.
    pub expires_at: Timestamp,
}

/// A page of orders, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderPage {
    /// The orders.
    pub orders: Vec<OrderView>,
    /// The last order looked at, if there may be more after it.
    pub next: Option<OrderId>,
}

/// A SKU's stock, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockView {
    /// The SKU.
    pub sku: SkuId,
    /// Its terms' revision.
    pub revision: u32,
    /// Its title.
    pub title: Box<str>,
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
    /// Its counters.
    pub counters: Counters,
    /// Its lots, in order of arrival.
    pub lots: Vec<LotView>,
    /// The shard that owns it.
    pub shard: usize,
}

/// A lot, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LotView {
    /// Its name.
    pub lot: LotId,
    /// Its own price, if it has one.
    pub unit_price: Option<Amount>,
    /// Its counters.
    pub counters: Counters,
}

/// Where units are. I1: `received == available + held + sold + withdrawn`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Units that ever arrived.
    pub received: u64,
    /// Units that a newcomer can get.
    pub available: u64,
    /// Units that are held for orders.
    pub held: u64,
    /// Units that were paid for.
    pub sold: u64,
    /// Units that were taken back.
    pub withdrawn: u64,
}

impl Counters {
    /// Whether I1 holds.
    pub const fn balanced(&self) -> bool {
        self.received == self.available + self.held + self.sold + self.withdrawn
    }
}

/// The state of a set of values, independent of how they are spread over shards (I5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateDigest {
    /// The sum of the digests of all values.
    pub sum: u128,
    /// Orders, messages and moves that are half-way; digests compare only at 0.
    pub half_way: usize,
}

impl StateDigest {
    /// The digest of two disjoint sets together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { sum: self.sum.wrapping_add(other.sum), half_way: self.half_way + other.half_way }
    }
}

/// Why nothing happened (I4). Each has one status and code in the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such SKU.
    SkuNotFound,
    /// No such order, or somebody else's.
    OrderNotFound,
    /// The buyer would have more units of the SKU than one buyer may.
    BuyerLimit {
        /// The SKU.
        sku: SkuId,
        /// The limit.
        limit: u32,
        /// What the buyer has already.
        has: u64,
    },
    /// The SKU has fewer units left than asked for.
    SoldOut {
        /// The SKU.
        sku: SkuId,
    },
    /// The order would cost more than the buyer agreed to.
    PriceChanged {
        /// What it would cost.
        amount: Amount,
    },
    /// The order would cost more than an amount can hold.
    AmountTooLarge,
    /// The order's SKUs are sold in different currencies.
    CurrenciesDiffer,
    /// The order's state does not allow it.
    OrderState {
        /// The state.
        status: OrderStatus,
    },
    /// The key was used for another request.
    KeyReused,
    /// The buyer has as many live keys as one buyer may.
    TooManyKeys,
    /// A lot of this name is there with another body.
    LotExists,
    /// A withdrawal of this name is there with another body.
    WithdrawalExists,
    /// The SKU is at another revision than the operator thought; 0 if it does not exist.
    RevisionChanged {
        /// The revision it is at.
        revision: u32,
    },
    /// The currency is fixed since the first lot.
    CurrencyFixed {
        /// The currency it has.
        currency: Currency,
    },
    /// The drawn order id is taken; draw again.
    OrderIdTaken,
    /// A ceiling on what lives is met: nothing of this kind fits any more.
    Capacity {
        /// The ceiling.
        ceiling: &'static str,
    },
    /// The disk has room for endings only; the same request may be sent again.
    DiskReserve,
    /// A queue is full or the order waited too long in one; the same request may be sent again.
    Overloaded,
    /// There is no such shard.
    NoSuchShard,
}
