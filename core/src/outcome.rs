//! Outcomes: what a command is answered with.

use std::sync::Arc;

use crate::event::{Lines, OrderStatus};
use crate::id::{OrderId, PaymentId};
use crate::money::{Amount, Currency};
use crate::name::{LotId, SaleId, SkuId};
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
    /// The payment that the buyer may go on with; `created` if this request began it.
    Payment {
        /// Whether it came into being.
        created: bool,
        /// The payment.
        payment: Box<PaymentView>,
    },
    /// What a provider or an operator said is taken down, or was already.
    Noted,
    /// The sale; `created` if the command made it.
    Sale {
        /// Whether it came into being.
        created: bool,
        /// The sale after the command.
        sale: Arc<SaleView>,
    },
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
    /// What it holds or held, or waits for.
    pub lines: Lines,
    /// The sum of its lines; `None` if it never got units, for then nothing has a price.
    pub amount: Option<Amount>,
    /// The currency of all its prices.
    pub currency: Currency,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When its hold ends, or ended; means nothing while it waits.
    pub expires_at: Timestamp,
    /// While it waits: its ticket and how many are to be served up to it, itself included.
    pub waits: Option<Waits>,
}

/// An order's place in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// Its ticket: a lower one came earlier.
    pub ticket: u64,
    /// 1 for the one that is served next.
    pub position: u64,
}

/// A payment, for showing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentView {
    /// Its id.
    pub payment: PaymentId,
    /// The order it is for.
    pub order: OrderId,
    /// What is to be paid.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
    /// Its state.
    pub status: PaymentStatus,
}

/// The states of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PaymentStatus {
    /// Begun; nothing was heard of it.
    Open = 1,
    /// The buyer paid.
    Succeeded = 2,
    /// The buyer did not pay. They may yet: what a provider says last may arrive first.
    Failed = 3,
    /// It is to be given back.
    Refunding = 4,
    /// It was given back.
    Refunded = 5,
}

impl PaymentStatus {
    /// All states, as the contract spells them.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Open, "open"),
        (Self::Succeeded, "succeeded"),
        (Self::Failed, "failed"),
        (Self::Refunding, "refunding"),
        (Self::Refunded, "refunded"),
    ];

    /// The state with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.iter().map(|(status, _)| *status).find(|status| *status as u8 == number)
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize - 1].1
    }
}

/// A sale, for showing. Which of its states it is in follows from the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaleView {
    /// Its name.
    pub sale: SaleId,
    /// 1 when created, one more at each change.
    pub revision: u32,
    /// Its title, for people.
    pub title: Box<str>,
    /// When it opens.
    pub starts_at: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
    /// Most units one buyer may have over all its SKUs; 0 for no limit.
    pub per_buyer_limit: u32,
    /// Its SKUs, sorted.
    pub skus: Vec<SkuId>,
    /// Whether an operator paused it.
    pub paused: bool,
    /// Whether its end is recorded.
    pub ended: bool,
}

/// The states of a sale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaleState {
    /// It has not opened.
    Scheduled,
    /// It takes orders.
    Open,
    /// An operator paused it.
    Paused,
    /// It is over.
    Ended,
}

impl SaleView {
    /// Its state at `now`, in engine time.
    pub fn state(&self, now: Timestamp) -> SaleState {
        if self.ended || now >= self.ends_at {
            SaleState::Ended
        } else if now < self.starts_at {
            SaleState::Scheduled
        } else if self.paused {
            SaleState::Paused
        } else {
            SaleState::Open
        }
    }
}

impl SaleState {
    /// The contract's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Open => "open",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }
}

/// A page of orders, newest first: by when they were placed, then by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderPage {
    /// The orders.
    pub orders: Vec<OrderView>,
    /// The place of the last order looked at, if there may be more behind it.
    pub next: Option<(Timestamp, OrderId)>,
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
    /// Orders that wait for its units.
    pub standby: u64,
    /// The sale it is in, or was in last.
    pub sale: Option<SaleId>,
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
    /// No such sale.
    SaleNotFound,
    /// The SKU's sale has not opened.
    SaleNotOpen {
        /// When it opens.
        opens_at: Timestamp,
    },
    /// The SKU's sale is paused.
    SalePaused,
    /// The SKU's sale is over.
    SaleEnded,
    /// A new sale would be over already.
    SaleWouldBeOver,
    /// A SKU is in another sale that has not ended.
    SkuInSale {
        /// The SKU.
        sku: SkuId,
        /// The other sale.
        sale: SaleId,
    },
    /// The buyer would have more units of the SKU than one buyer may.
    BuyerLimit {
        /// The SKU.
        sku: SkuId,
        /// The limit.
        limit: u32,
        /// What the buyer has already.
        has: u64,
    },
    /// The buyer would have more units of a sale's SKUs than one buyer may.
    SaleLimit {
        /// One of the SKUs.
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
    /// The drawn order or payment id is taken; draw again.
    IdTaken,
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
