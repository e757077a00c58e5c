//! What an image is made of.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::event::OrderStatus;
use crate::id::{BuyerDigest, KeyDigest, OrderId, PaymentId, SlotId};
use crate::money::{Amount, Currency};
use crate::name::{LotId, SaleId, SkuId, WithdrawalId};
use crate::outcome::{Counters, PaymentStatus, SaleView};
use crate::quantity::Quantity;
use crate::time::Timestamp;

/// One SKU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockImage {
    /// The SKU.
    pub sku: SkuId,
    /// The revision of its terms.
    pub revision: u32,
    /// Its title.
    pub title: Box<str>,
    /// The price of a unit from a lot without a price of its own.
    pub list_price: Amount,
    /// The currency of all its prices.
    pub currency: Currency,
    /// Most units one buyer may have; 0 for no limit.
    pub per_buyer_limit: u32,
    /// How long a hold lasts, in seconds.
    pub hold_seconds: u32,
    /// Whether smaller standby orders may pass larger ones.
    pub standby_pass: bool,
    /// Its lots, in order of arrival.
    pub lots: Vec<LotImage>,
    /// Its withdrawals: name, quantity, reason.
    pub withdrawals: Vec<(WithdrawalId, Quantity, Box<str>)>,
    /// The sale that it is in, or was in last.
    pub sale: Option<SaleId>,
    /// The ticket that the next who waits gets.
    pub next_ticket: u64,
    /// Those who wait, by ticket.
    pub waiters: Vec<WaiterImage>,
}

/// One order that waits for a SKU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaiterImage {
    /// Its ticket.
    pub ticket: u64,
    /// The order.
    pub order: OrderId,
    /// Its buyer.
    pub buyer: BuyerDigest,
    /// How many units it waits for.
    pub quantity: Quantity,
    /// The sale in which it was ordered.
    pub sale: Option<SaleId>,
}

/// One lot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LotImage {
    /// Its name.
    pub lot: LotId,
    /// Its own price, if it has one.
    pub unit_price: Option<Amount>,
    /// Where its units are.
    pub counters: Counters,
}

/// One sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaleImage {
    /// The sale.
    pub sale: Arc<SaleView>,
    /// Those of its SKUs that are still to be made.
    pub awaited: Vec<SkuId>,
}

/// One buyer slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotImage {
    /// The slot.
    pub slot: SlotId,
    /// What its orders were offered; orders name them by their place here.
    pub offers: Vec<OfferImage>,
    /// Its orders, a buyer's together, oldest first.
    pub orders: Vec<OrderImage>,
    /// Fingerprints of the latest notices that fitted no payment, oldest first.
    pub unmatched: Vec<u64>,
}

impl SlotImage {
    /// Of a slot in which nothing has happened yet.
    pub const fn empty(slot: SlotId) -> Self {
        Self { slot, offers: Vec::new(), orders: Vec::new(), unmatched: Vec::new() }
    }
}

/// Units of one lot at one price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferImage {
    /// The SKU.
    pub sku: SkuId,
    /// The lot.
    pub lot: LotId,
    /// The lot's place among the SKU's lots.
    pub ordinal: u32,
    /// What a unit costs.
    pub unit_price: Amount,
    /// In which currency.
    pub currency: Currency,
    /// In which sale.
    pub sale: Option<SaleId>,
}

/// One order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderImage {
    /// The order.
    pub order: OrderId,
    /// The buyer.
    pub buyer: BuyerDigest,
    /// The key that made it.
    pub key: Option<KeyDigest>,
    /// What "the same request" means.
    pub fingerprint: u64,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When its hold ends, or was to end.
    pub expires_at: Timestamp,
    /// How long after it was placed it became final, in seconds, rounded up.
    pub final_after_s: u32,
    /// Its version.
    pub version: u32,
    /// Its state.
    pub status: OrderStatus,
    /// By how much its deadline was put off, in seconds.
    pub extended_s: u16,
    /// What it holds or held, or waits for.
    pub holding: HoldingImage,
    /// Its payments, oldest first.
    pub payments: Vec<PaymentImage>,
    /// The fingerprint of its parcel, if it was shipped.
    pub parcel: Option<u64>,
}

/// What an order holds or held, or waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldingImage {
    /// Place of the offer and units.
    Units(SmallVec<[(u32, Quantity); 1]>),
    /// It waits, or waited in vain.
    Wish(Box<WishImage>),
}

/// What an order waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WishImage {
    /// The SKU.
    pub sku: SkuId,
    /// The SKU's sale when it was ordered.
    pub sale: Option<SaleId>,
    /// How many units.
    pub quantity: Quantity,
    /// Its ticket.
    pub ticket: u64,
    /// The most that its buyer pays.
    pub max_amount: Option<Amount>,
    /// The currency of the SKU's prices.
    pub currency: Currency,
}

/// One payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentImage {
    /// The payment.
    pub payment: PaymentId,
    /// What is to be paid.
    pub amount: Amount,
    /// Its state.
    pub status: PaymentStatus,
    /// Whether giving it back gives the order back.
    pub ends_order: bool,
    /// Whether its provider said that it cannot give it back.
    pub refund_failed: bool,
}
