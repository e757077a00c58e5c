//! The values of a ledger, spelled out for a snapshot and put together again from one.
//!
//! An image holds what replaying events cannot give back in another way. Indexes, limits in use,
//! deadlines and the like follow from it and are built anew.

use smallvec::SmallVec;

use crate::event::{OrderStatus, SkuDefined};
use crate::id::{BuyerDigest, KeyDigest, OrderId, SlotId};
use crate::money::{Amount, Currency};
use crate::name::{LotId, SkuId, WithdrawalId};
use crate::outcome::{Counters, LotView, StateDigest};
use crate::planted::{self, Bug};
use crate::quantity::Quantity;
use crate::router::Movable;
use crate::time::Timestamp;

use super::buyers::NO_ORDER;
use super::digest::{of_slot, of_stock};
use super::offers::Offer;
use super::orders::{Holding, NewOrder, Order, Units};
use super::protocol::Value;
use super::{BuyerSlot, Ledger, SkuStock};

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

/// One buyer slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotImage {
    /// The slot.
    pub slot: SlotId,
    /// What its orders were offered; orders name them by their place here.
    pub offers: Vec<OfferImage>,
    /// Its orders, a buyer's together, oldest first.
    pub orders: Vec<OrderImage>,
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
    /// What it holds or held: place of the offer and units.
    pub holding: SmallVec<[(u32, Quantity); 1]>,
}

impl Ledger {
    /// The images of all stocks, sorted by SKU.
    pub fn stock_images(&self) -> Vec<StockImage> {
        let mut images: Vec<_> = self.stocks().map(SkuStock::image).collect();
        images.sort_unstable_by(|a, b| a.sku.cmp(&b.sku));
        images
    }

    /// The image of a slot that is here.
    pub fn slot_image(&self, slot: SlotId) -> SlotImage {
        self.slot(slot).image(slot)
    }

    /// Puts a stock in.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub fn install_stock(&mut self, image: &StockImage) -> Result<(), &'static str> {
        if self.stocks.contains_key(&image.sku) {
            return Err("a SKU stands there twice");
        }
        let stock = SkuStock::from_image(image).ok_or("the counters of a lot do not balance")?;
        self.stocks.insert(image.sku.clone(), Box::new(stock));
        Ok(())
    }

    /// Puts a slot in, in place of the one that is here, if there is one.
    ///
    /// # Errors
    /// What is wrong with the image.
    ///
    /// # Panics
    /// If an order or a key stands there twice (I3).
    pub fn install_slot(&mut self, image: &SlotImage) -> Result<(), &'static str> {
        let slot = BuyerSlot::from_image(image)?;
        if self.slots.is_here(image.slot) {
            self.let_go(image.slot);
        }
        self.install(Value::Slot(Box::new(slot)));
        Ok(())
    }

    /// Lets a slot go that is here, with its orders.
    pub fn let_go(&mut self, slot: SlotId) {
        drop(self.extract(Movable::Slot(slot)));
    }

    /// The digest of one slot that is here.
    pub fn slot_digest(&self, slot: SlotId) -> StateDigest {
        of_slot(self.slot(slot))
    }
}

impl SkuStock {
    /// Its digest.
    pub fn digest(&self) -> StateDigest {
        of_stock(self)
    }

    fn image(&self) -> StockImage {
        let view = self.view(0);
        let lot = |lot: LotView| LotImage {
            lot: lot.lot,
            unit_price: lot.unit_price,
            counters: lot.counters,
        };
        let withdrawals = self.withdrawals.iter();
        StockImage {
            sku: view.sku,
            revision: view.revision,
            title: view.title,
            list_price: view.unit_price,
            currency: view.currency,
            per_buyer_limit: view.per_buyer_limit,
            hold_seconds: view.hold_seconds,
            standby_pass: view.standby_pass,
            lots: view.lots.into_iter().map(lot).collect(),
            withdrawals: withdrawals
                .map(|(name, (quantity, reason))| (name.clone(), *quantity, reason.clone()))
                .collect(),
        }
    }

    fn from_image(image: &StockImage) -> Option<Self> {
        let mut stock = Self::new(&SkuDefined {
            sku: image.sku.clone(),
            revision: image.revision,
            title: &image.title,
            unit_price: image.list_price,
            currency: image.currency,
            per_buyer_limit: image.per_buyer_limit,
            hold_seconds: image.hold_seconds,
            standby_pass: image.standby_pass,
        });
        for lot in &image.lots {
            if !lot.counters.balanced() {
                return None;
            }
            stock.lots.install(lot.lot.clone(), lot.unit_price, lot.counters);
        }
        let withdrawals = image.withdrawals.iter();
        stock.withdrawals = withdrawals
            .map(|(name, quantity, reason)| (name.clone(), (*quantity, reason.clone())))
            .collect();
        Some(stock)
    }
}

impl BuyerSlot {
    fn image(&self, slot: SlotId) -> SlotImage {
        let mut orders = Vec::with_capacity(self.orders.len());
        for newest in self.orders.iter().filter(|order| order.newer == NO_ORDER) {
            let first = orders.len();
            let mut order = newest;
            loop {
                orders.push(self.order_image(order));
                if order.previous == NO_ORDER {
                    break;
                }
                order = self.orders.get(order.previous);
            }
            orders[first..].reverse();
        }
        let offers = self.offers.iter().map(|offer| OfferImage {
            sku: self.offers.sku(offer.sku).clone(),
            lot: offer.lot.clone(),
            ordinal: offer.ordinal,
            unit_price: offer.unit_price,
            currency: offer.currency,
        });
        SlotImage { slot, offers: offers.collect(), orders }
    }

    fn order_image(&self, order: &Order) -> OrderImage {
        let units = order.holding.units().iter();
        OrderImage {
            order: order.id,
            buyer: self.buyers.get(order.buyer).digest(),
            key: order.key().filter(|_| !planted::is(Bug::SnapshotWithoutKeys)),
            fingerprint: order.fingerprint,
            created_at: order.created_at,
            expires_at: order.expires_at,
            final_after_s: order.final_after_s,
            version: order.version,
            status: order.status,
            holding: units.map(|units| (units.offer, units.quantity)).collect(),
        }
    }

    fn from_image(image: &SlotImage) -> Result<Self, &'static str> {
        let mut slot = Self::new(image.slot);
        for offer in &image.offers {
            let sku = slot.offers.sku_number(&offer.sku);
            slot.offers.install(Offer {
                sku,
                lot: offer.lot.clone(),
                ordinal: offer.ordinal,
                unit_price: offer.unit_price,
                currency: offer.currency,
            });
        }
        let (mut reserved, mut finished) = (Vec::new(), Vec::new());
        for order in &image.orders {
            let number = slot.install_order(order)?;
            match order.status.is_final() {
                true => finished.push((slot.orders.get(number).final_at(), number)),
                false => reserved.push((order.expires_at, number)),
            }
        }
        reserved.sort_unstable();
        finished.sort_unstable();
        for (due, number) in reserved {
            slot.deadlines.push(due, number);
        }
        slot.finished = finished.into_iter().map(|(_, number)| number).collect();
        Ok(slot)
    }

    fn install_order(&mut self, image: &OrderImage) -> Result<u32, &'static str> {
        if image.holding.is_empty() || image.version == 0 || image.order.slot() != self.id() {
            return Err("an order has no units, no version or another slot");
        }
        if image.holding.iter().any(|(offer, _)| *offer as usize >= self.offers.len()) {
            return Err("an order names an offer that is not there");
        }
        let buyer = self.buyers.number(image.buyer);
        let row = self.buyers.get_mut(buyer);
        for (offer, quantity) in &image.holding {
            if image.status.counts_against_limits() {
                row.add_units(self.offers.get(*offer).sku, quantity.get());
            }
        }
        let mut units = image
            .holding
            .iter()
            .map(|(offer, quantity)| Units { offer: *offer, quantity: *quantity });
        let holding = match image.holding.len() {
            1 => Holding::One(units.next().expect("there is one")),
            _ => Holding::Many(units.collect()),
        };
        let previous = row.newest;
        let number = self.orders.insert(
            NewOrder {
                id: image.order,
                key: image.key,
                fingerprint: image.fingerprint,
                created_at: image.created_at,
                expires_at: image.expires_at,
                holding,
                buyer,
                previous,
            },
            true,
        );
        let row = self.buyers.get_mut(buyer);
        row.newest = number;
        row.keys += u32::from(image.key.is_some());
        if previous != NO_ORDER {
            self.orders.get_mut(previous).newer = number;
        }
        let order = self.orders.get_mut(number);
        (order.status, order.version) = (image.status, image.version);
        order.final_after_s = image.final_after_s;
        Ok(number)
    }
}
