//! Commands: what can be asked of the ledger, and where the answer goes.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::event::{NoticeKind, OrderStatus, SaleMove, SinkName};
use crate::id::{BuyerDigest, HashKey, KeyDigest, OrderId, PaymentId, RequestId, SlotId};
use crate::money::{Amount, Currency};
use crate::name::{LotId, SaleId, SkuId, WithdrawalId};
use crate::outcome::Outcome;
use crate::quantity::Quantity;
use crate::router::{Movable, Target};
use crate::time::Timestamp;

/// A command with the address of its answer.
#[derive(Debug)]
pub struct Envelope {
    /// What is asked.
    pub command: Command,
    /// Where the answer goes.
    pub reply: ReplyTo,
    /// When it came in, in engine time.
    pub arrived: Timestamp,
}

/// Where an answer goes.
pub enum ReplyTo {
    /// To a gateway worker's port: one wake per worker and batch.
    Port {
        /// The port's number.
        port: u16,
        /// The request's ticket at that port.
        ticket: u64,
    },
    /// To a function, which must not block. For what is rare.
    Call(Box<dyn FnOnce(Outcome) + Send>),
}

impl fmt::Debug for ReplyTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port { port, ticket } => write!(f, "Port({port}, {ticket})"),
            Self::Call(_) => f.write_str("Call"),
        }
    }
}

/// Which lane a command takes, and thereby what goes first when all are full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Cancels, operators, reads of one's own orders.
    Vital,
    /// New orders.
    Orders,
}

/// What can be asked.
#[derive(Debug)]
pub enum Command {
    /// Place an order.
    Place(Box<Place>),
    /// End a hold.
    Cancel(Box<Cancel>),
    /// Begin to pay an order.
    StartPayment(Box<StartPayment>),
    /// Take what a payment provider says.
    Notify(Box<Notice>),
    /// Give a paid order's money back.
    Refund(Box<Refund>),
    /// A paid order is on its way.
    Ship(Box<Ship>),
    /// A shipped order was handed over.
    Deliver {
        /// The order.
        order: OrderId,
        /// The request, for tracing.
        request: RequestId,
    },
    /// Show one order.
    ReadOrder {
        /// The order.
        order: OrderId,
        /// The buyer who asks; another's order is answered like none. `None`: an operator asks.
        buyer: Option<BuyerDigest>,
    },
    /// Show the order that a key made; waits for one in flight.
    ReadByKey {
        /// The buyer's home.
        slot: SlotId,
        /// The buyer.
        buyer: BuyerDigest,
        /// The key.
        key: KeyDigest,
    },
    /// List a buyer's orders, newest first.
    ListOrders(Box<ListOrders>),
    /// Create a SKU or replace its terms.
    DefineSku(Box<DefineSku>),
    /// Receive a lot.
    ReceiveLot(Box<ReceiveLot>),
    /// Take back units.
    Withdraw(Box<Withdraw>),
    /// Create a sale or replace its terms.
    DefineSale(Box<DefineSale>),
    /// Pause, resume or end a sale.
    MoveSale {
        /// The sale.
        sale: SaleId,
        /// How.
        to: SaleMove,
        /// The request, for tracing.
        request: RequestId,
    },
    /// Let a sink pass over a record that its store does not take.
    SkipRecord(Box<SkipRecord>),
    /// Show one SKU's stock.
    ReadStock(SkuId),
    /// Show stocks that a shard owns, in order of SKU.
    ListStocks {
        /// The shard.
        shard: usize,
        /// Begin behind this SKU.
        after: Option<SkuId>,
        /// Show at most so many.
        limit: usize,
        /// Whether their lots are shown too, of which each may have a thousand.
        lots: bool,
    },
    /// The digest of all that a shard owns.
    Digest {
        /// The shard.
        shard: usize,
    },
    /// Move a value to another shard.
    Relocate {
        /// What.
        value: Movable,
        /// The shard it goes to.
        to: usize,
    },
}

/// A buyer, as a command names them.
#[derive(Clone, Debug)]
pub struct Buyer {
    /// The raw id. Inline if it is short: commands cross threads, and a counter that two cores
    /// write costs more than copying it.
    pub name: SmolStr,
    /// As the ledger knows them.
    pub digest: BuyerDigest,
    /// Their home.
    pub slot: SlotId,
}

impl Buyer {
    /// Of a raw id of 1 … 255 bytes, which the caller has checked.
    pub fn new(hash_key: &HashKey, name: &str) -> Self {
        Self {
            name: SmolStr::new(name),
            digest: hash_key.buyer(name),
            slot: SlotId::of_buyer(name),
        }
    }
}

/// An idempotency key, as a command names it.
#[derive(Clone, Debug)]
pub struct Key {
    /// The raw key, 1 … 255 bytes.
    pub name: SmolStr,
    /// As the ledger knows it.
    pub digest: KeyDigest,
}

impl Key {
    /// Of a raw key of 1 … 255 bytes, which the caller has checked.
    pub fn new(hash_key: &HashKey, buyer: &Buyer, name: &str) -> Self {
        Self { name: SmolStr::new(name), digest: hash_key.key(buyer.digest, name) }
    }
}

/// A new order.
#[derive(Clone, Debug)]
pub struct Place {
    /// The id it will have, drawn by the caller with the buyer's slot in it.
    pub order: OrderId,
    /// Who orders.
    pub buyer: Buyer,
    /// The idempotency key, if one was given.
    pub key: Option<Key>,
    /// What is ordered, in ascending order of SKU, each SKU once.
    pub lines: SmallVec<[PlaceLine; 1]>,
    /// Whether it waits if units are lacking; then it has one line.
    pub standby: bool,
    /// Refuse above this amount.
    pub max_amount: Option<Amount>,
    /// The request, for tracing.
    pub request: RequestId,
    /// See [`Place::fingerprint_of`].
    pub fingerprint: u64,
}

/// One line of a new order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceLine {
    /// The SKU.
    pub sku: SkuId,
    /// How many units.
    pub quantity: Quantity,
}

impl Place {
    /// What of it says where the ledger will look it up.
    pub fn glimpse(&self) -> (OrderId, BuyerDigest, Option<KeyDigest>) {
        (self.order, self.buyer.digest, self.key.as_ref().map(|key| key.digest))
    }

    /// What "the same request" means under one key: the set of (SKU, quantity), standby and the
    /// largest amount. SipHash-1-3 with the zero key; part of the journal's format.
    pub fn fingerprint_of(lines: &[PlaceLine], standby: bool, max_amount: Option<Amount>) -> u64 {
        let mut hasher = SipHasher13::new();
        for line in lines {
            hasher.write_u8(line.sku.as_bytes().len() as u8);
            hasher.write(line.sku.as_bytes());
            hasher.write(&line.quantity.get().to_le_bytes());
        }
        hasher.write_u8(u8::from(standby));
        hasher.write(&max_amount.map_or(u64::MAX, Amount::minor).to_le_bytes());
        hasher.finish()
    }
}

/// The end of a hold, by its buyer.
#[derive(Clone, Debug)]
pub struct Cancel {
    /// The order.
    pub order: OrderId,
    /// Who asks; another's order is answered like none.
    pub buyer: BuyerDigest,
    /// The request, for tracing.
    pub request: RequestId,
}

/// The beginning of a payment, by the order's buyer.
#[derive(Clone, Debug)]
pub struct StartPayment {
    /// The id it will have, drawn by the caller with the order's slot in it.
    pub payment: PaymentId,
    /// The order.
    pub order: OrderId,
    /// Who asks; another's order is answered like none.
    pub buyer: BuyerDigest,
    /// The request, for tracing.
    pub request: RequestId,
}

/// What a payment provider says. Whoever passes it on has checked who says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What.
    pub kind: NoticeKind,
    /// Of which payment, in its own words: at most [`NOTICE_ID_BYTES_MAX`] bytes of them.
    ///
    /// [`NOTICE_ID_BYTES_MAX`]: crate::limits::NOTICE_ID_BYTES_MAX
    pub payment: SmolStr,
    /// Of which order, as much of its own words.
    pub order: SmolStr,
    /// The amount it names.
    pub amount: Amount,
    /// The currency it names, in its own words, whatever that is: at most
    /// [`NOTICE_CURRENCY_BYTES_MAX`] bytes of them.
    ///
    /// [`NOTICE_CURRENCY_BYTES_MAX`]: crate::limits::NOTICE_CURRENCY_BYTES_MAX
    pub currency: SmolStr,
    /// The request, for tracing.
    pub request: RequestId,
}

impl Notice {
    /// Where it is looked into: at the payment's home; wherever that would be, if it names none.
    pub fn slot(&self) -> SlotId {
        Self::slot_of(&self.payment)
    }

    /// Where a notice about this payment is looked into.
    pub fn slot_of(payment: &str) -> SlotId {
        let home = PaymentId::parse(payment).map(PaymentId::slot);
        home.unwrap_or_else(|| SlotId::of_buyer(payment))
    }
}

/// The end of a paid order, by an operator.
#[derive(Clone, Debug)]
pub struct Refund {
    /// The order.
    pub order: OrderId,
    /// Whether its units are available again; otherwise they are withdrawn.
    pub return_to_stock: bool,
    /// The request, for tracing.
    pub request: RequestId,
}

/// A paid order that is on its way.
#[derive(Clone, Debug)]
pub struct Ship {
    /// The order.
    pub order: OrderId,
    /// Who carries it, at most 255 bytes.
    pub carrier: Box<str>,
    /// The carrier's number for it, at most 255 bytes.
    pub tracking_number: Box<str>,
    /// The request, for tracing.
    pub request: RequestId,
}

impl Ship {
    /// What "the same parcel" means: carrier and number. SipHash-1-3 with the zero key; part of the
    /// format of snapshots.
    pub fn fingerprint_of(carrier: &str, tracking_number: &str) -> u64 {
        let mut hasher = SipHasher13::new();
        hasher.write_u8(carrier.len() as u8);
        hasher.write(carrier.as_bytes());
        hasher.write(tracking_number.as_bytes());
        hasher.finish()
    }
}

/// The terms of a sale.
#[derive(Clone, Debug)]
pub struct DefineSale {
    /// The sale.
    pub sale: SaleId,
    /// Its title, at most 255 bytes.
    pub title: Box<str>,
    /// When it opens.
    pub starts_at: Timestamp,
    /// When it ends, later than that.
    pub ends_at: Timestamp,
    /// Most units one buyer may have over all its SKUs; 0 for no limit.
    pub per_buyer_limit: u32,
    /// Its SKUs, sorted, each once.
    pub skus: Vec<SkuId>,
    /// Only if the sale is at this revision (0: does not exist).
    pub if_revision: Option<u32>,
    /// The request, for tracing.
    pub request: RequestId,
}

/// A listing of a buyer's orders.
#[derive(Clone, Debug)]
pub struct ListOrders {
    /// The buyer's home.
    pub slot: SlotId,
    /// The buyer.
    pub buyer: BuyerDigest,
    /// Only orders in this state.
    pub status: Option<OrderStatus>,
    /// Only orders behind this place: placed earlier, or at the same time with a lower id.
    pub after: Option<(Timestamp, OrderId)>,
    /// At most so many, 1 … `page_orders_max`.
    pub limit: usize,
}

/// The terms of a SKU.
#[derive(Clone, Debug)]
pub struct DefineSku {
    /// The SKU.
    pub sku: SkuId,
    /// Its title, at most 255 bytes.
    pub title: Box<str>,
    /// The price of a unit.
    pub unit_price: Amount,
    /// The currency.
    pub currency: Currency,
    /// Most units one buyer may have; 0 for no limit.
    pub per_buyer_limit: u32,
    /// How long a hold lasts, in seconds.
    pub hold_seconds: u32,
    /// Whether smaller standby orders may pass larger ones.
    pub standby_pass: bool,
    /// Only if the SKU is at this revision (0: does not exist).
    pub if_revision: Option<u32>,
    /// The request, for tracing.
    pub request: RequestId,
}

/// A lot that arrives.
#[derive(Clone, Debug)]
pub struct ReceiveLot {
    /// The SKU.
    pub sku: SkuId,
    /// The lot's name.
    pub lot: LotId,
    /// How many units.
    pub quantity: Quantity,
    /// Its own price, if it has one.
    pub unit_price: Option<Amount>,
    /// The request, for tracing.
    pub request: RequestId,
}

/// Units to take back.
#[derive(Clone, Debug)]
pub struct Withdraw {
    /// The SKU.
    pub sku: SkuId,
    /// The withdrawal's name.
    pub withdrawal: WithdrawalId,
    /// How many units.
    pub quantity: Quantity,
    /// Why, at most 255 bytes.
    pub reason: Box<str>,
    /// The request, for tracing.
    pub request: RequestId,
}

/// Let a sink pass over a record. The caller has made sure that the record is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkipRecord {
    /// The sink.
    pub sink: SinkName,
    /// The record.
    pub sequence: u64,
    /// Why, at most 255 bytes.
    pub why: Box<str>,
    /// The request, for tracing.
    pub request: RequestId,
}

impl Command {
    /// The lane it takes.
    pub const fn lane(&self) -> Lane {
        match self {
            Self::Place(_) => Lane::Orders,
            _ => Lane::Vital,
        }
    }

    /// Whose value it is about.
    pub fn target(&self) -> Target {
        match self {
            Self::Place(place) => Target::Slot(place.buyer.slot),
            Self::Cancel(cancel) => Target::Slot(cancel.order.slot()),
            Self::StartPayment(start) => Target::Slot(start.order.slot()),
            Self::Notify(notice) => Target::Slot(notice.slot()),
            Self::Refund(refund) => Target::Slot(refund.order.slot()),
            Self::Ship(ship) => Target::Slot(ship.order.slot()),
            Self::Deliver { order, .. } | Self::ReadOrder { order, .. } => {
                Target::Slot(order.slot())
            }
            Self::ReadByKey { slot, .. } => Target::Slot(*slot),
            Self::ListOrders(list) => Target::Slot(list.slot),
            Self::DefineSku(define) => Target::Bucket(define.sku.bucket()),
            Self::ReceiveLot(receive) => Target::Bucket(receive.sku.bucket()),
            Self::Withdraw(withdraw) => Target::Bucket(withdraw.sku.bucket()),
            // Where what concerns the whole node is decided.
            Self::DefineSale(_) | Self::MoveSale { .. } | Self::SkipRecord(_) => Target::REGISTRY,
            Self::ReadStock(sku) => Target::Bucket(sku.bucket()),
            Self::ListStocks { shard, .. } | Self::Digest { shard } => Target::Shard(*shard),
            Self::Relocate { value: Movable::Slot(slot), .. } => Target::Slot(*slot),
            Self::Relocate { value: Movable::Bucket(bucket), .. } => Target::Bucket(*bucket),
        }
    }
}
