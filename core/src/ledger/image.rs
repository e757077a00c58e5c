//! The values of a ledger, spelled out for a snapshot and put together again from one.
//!
//! An image holds what replaying events cannot give back in another way. Indexes, limits in use,
//! deadlines and the like follow from it and are built anew.

use std::sync::Arc;

use crate::event::{OrderStatus, SkuDefined};
use crate::id::{PaymentId, SlotId};
use crate::outcome::{LotView, SaleView, StateDigest};
use crate::planted::{self, Bug};
use crate::router::Movable;

use super::buyers::NO_ORDER;
use super::digest::{of_register, of_slot, of_stock};
use super::offers::Offer;
use super::orders::{Holding, NewOrder, Order, Units, Wish};
use super::paying::UNMATCHED_MAX;
use super::payments::Payment;
use super::protocol::Value;
use super::queue::{Stage, Waiter};
use super::{BuyerSlot, Ledger, SkuStock};

mod shape;

pub use shape::{
    HoldingImage, LotImage, OfferImage, OrderImage, PaymentImage, SaleImage, SlotImage, StockImage,
    WaiterImage, WishImage,
};

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

    /// The images of all sales, in order of name.
    pub fn sale_images(&self) -> Vec<SaleImage> {
        let image = |sale: &Arc<SaleView>| SaleImage {
            sale: Arc::clone(sale),
            awaited: self
                .awaited
                .iter()
                .filter(|(_, awaits)| awaits.sale == sale.sale)
                .map(|(sku, _)| sku.clone())
                .collect(),
        };
        self.sales().map(image).collect()
    }

    /// Puts a sale in. To be done before its SKUs are put in.
    pub fn install_sale(&mut self, image: &SaleImage) {
        self.register().install(&image.sale);
        let awaited = image.awaited.iter();
        self.awaited.extend(awaited.map(|sku| (sku.clone(), Arc::clone(&image.sale))));
    }

    /// The digest of all sales.
    pub fn sales_digest(&self) -> StateDigest {
        self.register.as_deref().map(of_register).unwrap_or_default()
    }

    /// Puts a stock in.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub fn install_stock(&mut self, image: &StockImage) -> Result<(), &'static str> {
        if self.stocks.contains_key(&image.sku) {
            return Err("a SKU stands there twice");
        }
        let mut stock =
            SkuStock::from_image(image).ok_or("the counters of a lot do not balance")?;
        if let Some(sale) = &image.sale {
            let sale = self.register().get(sale).ok_or("a SKU names a sale that is not there")?;
            stock.sale = Some(Arc::clone(sale));
        }
        let sales = image.waiters.iter().map(|waiter| &waiter.sale).chain([&image.sale]);
        for sale in sales.flatten() {
            // Of a sale that the SKU had left before it ended nobody waits in vain.
            let was_in = |sale: &&Arc<SaleView>| sale.skus.binary_search(&image.sku).is_ok();
            let ended = self.register().get(sale).filter(|sale| sale.ended).filter(was_in);
            if ended.is_some() {
                stock.dismiss_all_of(sale);
            }
        }
        self.awaited.remove(&image.sku);
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
        let waiter = |(ticket, waiter): (u64, &Waiter)| WaiterImage {
            ticket,
            order: waiter.order,
            buyer: waiter.buyer,
            quantity: waiter.quantity,
            sale: waiter.sale.clone(),
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
            sale: view.sale,
            next_ticket: self.queue.next_ticket(),
            waiters: self.queue.iter().map(waiter).collect(),
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
            sale: None,
        });
        for lot in &image.lots {
            if !lot.counters.balanced() {
                return None;
            }
            stock.lots.install(lot.lot.clone(), lot.unit_price, lot.counters);
        }
        for waiter in image.waiters.iter().filter(|_| !planted::is(Bug::SnapshotWithoutQueue)) {
            let WaiterImage { ticket, order, buyer, quantity, sale } = waiter.clone();
            if stock.queue.get(ticket).is_some() {
                return None;
            }
            let waiter = Waiter { order, buyer, quantity, sale, stage: Stage::Waiting };
            stock.queue.insert(ticket, waiter);
        }
        stock.queue.skip_to(image.next_ticket);
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
            sale: offer.sale.map(|sale| self.offers.sale(sale).clone()),
        });
        let unmatched = self.unmatched.iter().copied().collect();
        SlotImage { slot, offers: offers.collect(), orders, unmatched }
    }

    fn order_image(&self, order: &Order) -> OrderImage {
        let number = self.orders.find(order.id).expect("it is among them");
        let mut payments: Vec<_> = self.payments.of_order(number).map(payment_image).collect();
        payments.reverse();
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
            extended_s: order.extended_s,
            holding: self.holding_image(&order.holding),
            payments,
            parcel: self.parcels.get(&number).copied(),
        }
    }

    fn holding_image(&self, holding: &Holding) -> HoldingImage {
        match holding {
            Holding::Nothing(wish) => HoldingImage::Wish(Box::new(WishImage {
                sku: self.offers.sku(wish.sku).clone(),
                sale: wish.sale.map(|sale| self.offers.sale(sale).clone()),
                quantity: wish.quantity,
                ticket: wish.ticket,
                max_amount: wish.max_amount,
                currency: wish.currency,
            })),
            holding => {
                let units = holding.units().iter();
                HoldingImage::Units(units.map(|it| (it.offer, it.quantity)).collect())
            }
        }
    }

    fn from_image(image: &SlotImage) -> Result<Self, &'static str> {
        if image.unmatched.len() > UNMATCHED_MAX {
            return Err("too many notices that fitted no payment");
        }
        let mut slot = Self::new(image.slot);
        slot.unmatched.extend(&image.unmatched);
        for offer in &image.offers {
            let sku = slot.offers.sku_number(&offer.sku);
            let sale = offer.sale.as_ref().map(|sale| slot.offers.sale_number(sale));
            slot.offers.install(Offer {
                sku,
                lot: offer.lot.clone(),
                ordinal: offer.ordinal,
                unit_price: offer.unit_price,
                currency: offer.currency,
                sale,
            });
        }
        let (mut reserved, mut finished) = (Vec::new(), Vec::new());
        for order in &image.orders {
            let number = slot.install_order(order)?;
            if order.status.is_final() {
                finished.push((slot.orders.get(number).final_at(), number));
            } else if order.status == OrderStatus::Reserved {
                reserved.push((slot.orders.get(number).first_due(), number));
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
        if image.version == 0 || image.order.slot() != self.id() {
            return Err("an order has no version or another slot");
        }
        let holding = self.holding_of(&image.holding)?;
        let waits = image.status == OrderStatus::Waiting;
        if waits && !matches!(holding, Holding::Nothing(_)) {
            return Err("an order that waits has units");
        }
        let buyer = self.buyers.number(image.buyer);
        let row = self.buyers.get_mut(buyer);
        row.waiting += u16::from(waits);
        let previous = row.newest;
        let number = self.orders.insert(
            NewOrder {
                id: image.order,
                key: image.key,
                fingerprint: image.fingerprint,
                created_at: image.created_at,
                expires_at: image.expires_at,
                status: image.status,
                holding,
                buyer,
                previous,
            },
            true,
        );
        let row = self.buyers.get_mut(buyer);
        row.newest = number;
        row.keys += u16::from(image.key.is_some());
        if previous != NO_ORDER {
            self.orders.get_mut(previous).newer = number;
        }
        let order = self.orders.get_mut(number);
        (order.version, order.extended_s) = (image.version, image.extended_s);
        order.final_after_s = image.final_after_s;
        if image.status.counts_against_limits() {
            self.count_units(number, true);
        }
        for image in &image.payments {
            if self.payments.get(image.payment).is_some() {
                return Err("a payment stands there twice");
            }
            let payment = self.payments.insert(image.payment, number, image.amount);
            payment.status = image.status;
            payment.ends_order = image.ends_order;
            payment.refund_failed = image.refund_failed;
        }
        if let Some(parcel) = image.parcel {
            self.parcels.insert(number, parcel);
        }
        Ok(number)
    }

    fn holding_of(&mut self, image: &HoldingImage) -> Result<Holding, &'static str> {
        let units = match image {
            HoldingImage::Units(units) => units,
            HoldingImage::Wish(wish) => {
                return Ok(Holding::Nothing(Box::new(Wish {
                    sku: self.offers.sku_number(&wish.sku),
                    sale: wish.sale.as_ref().map(|sale| self.offers.sale_number(sale)),
                    quantity: wish.quantity,
                    ticket: wish.ticket,
                    max_amount: wish.max_amount,
                    currency: wish.currency,
                })));
            }
        };
        if units.is_empty() {
            return Err("an order has no units");
        }
        if units.iter().any(|(offer, _)| *offer as usize >= self.offers.len()) {
            return Err("an order names an offer that is not there");
        }
        let mut units =
            units.iter().map(|(offer, quantity)| Units { offer: *offer, quantity: *quantity });
        Ok(match units.len() {
            1 => Holding::One(units.next().expect("there is one")),
            _ => Holding::Many(units.collect()),
        })
    }
}

fn payment_image((id, payment): (PaymentId, &Payment)) -> PaymentImage {
    PaymentImage {
        payment: id,
        amount: payment.amount,
        status: payment.status,
        ends_order: payment.ends_order,
        refund_failed: payment.refund_failed,
    }
}
