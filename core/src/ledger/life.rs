//! What events do to an order's home. Applying cannot refuse: an event is a fact.

use smallvec::SmallVec;

use crate::event::{
    Draw, Draws, Line, Lines, Meta, OrderEnded, OrderPaid, OrderPlaced, OrderPromoted, OrderQueued,
    OrderStatus, PaymentFailed, PaymentStarted, RefundEnded, RefundReason, RefundRequested,
    StandbyLeft,
};
use crate::id::{KeyDigest, OrderId};
use crate::money::Currency;
use crate::outcome::PaymentStatus;
use crate::planted::{self, Bug};
use crate::quantity::Quantity;
use crate::time::Timestamp;

use super::BuyerSlot;
use super::buyers::NO_ORDER;
use super::orders::{Holding, NewOrder, Units, Wish};

/// What every new order has.
struct New {
    order: OrderId,
    buyer: u32,
    key: Option<KeyDigest>,
    fingerprint: u64,
    expires_at: Timestamp,
    status: OrderStatus,
}

impl BuyerSlot {
    /// A placed order. Whoever knows the buyer's number gives it.
    pub(super) fn place(&mut self, meta: &Meta, placed: &OrderPlaced<'_>, buyer: Option<u32>) {
        let buyer = buyer.unwrap_or_else(|| self.buyers.number(placed.buyer));
        debug_assert!(self.buyers.get(buyer).digest() == placed.buyer, "the number is the buyer's");
        let holding = self.take_down(&placed.lines, placed.currency);
        let new = New {
            order: placed.order,
            buyer,
            key: placed.key.map(|(digest, _)| digest),
            fingerprint: placed.fingerprint,
            expires_at: placed.expires_at,
            status: OrderStatus::Reserved,
        };
        let number = self.add(meta, &new, holding);
        self.deadlines.push(placed.expires_at, number);
    }

    /// An order that waits.
    pub(super) fn queue(&mut self, meta: &Meta, queued: &OrderQueued<'_>) {
        let buyer = self.buyers.number(queued.buyer);
        let sale = queued.sale.as_ref().map(|sale| self.offers.sale_number(sale));
        let wish = Wish {
            sku: self.offers.sku_number(&queued.sku),
            sale,
            quantity: queued.quantity,
            ticket: queued.ticket,
            max_amount: queued.max_amount,
            currency: queued.currency,
        };
        let new = New {
            order: queued.order,
            buyer,
            key: queued.key.map(|(digest, _)| digest),
            fingerprint: queued.fingerprint,
            expires_at: meta.time,
            status: OrderStatus::Waiting,
        };
        self.add(meta, &new, Holding::Nothing(Box::new(wish)));
        self.buyers.get_mut(buyer).waiting += 1;
    }

    fn add(&mut self, meta: &Meta, new: &New, holding: Holding) -> u32 {
        let claim_key = !planted::is(Bug::KeyForgotten);
        let row = self.buyers.get_mut(new.buyer);
        let number = self.orders.insert(
            NewOrder {
                id: new.order,
                key: new.key,
                fingerprint: new.fingerprint,
                created_at: meta.time,
                expires_at: new.expires_at,
                status: new.status,
                holding,
                buyer: new.buyer,
                previous: row.newest,
            },
            claim_key,
        );
        let previous = std::mem::replace(&mut row.newest, number);
        row.keys += u16::from(new.key.is_some());
        if previous != NO_ORDER {
            self.orders.get_mut(previous).newer = number;
        }
        self.count_units(number, true);
        number
    }

    /// An order that got the units it waited for.
    pub(super) fn promote(&mut self, meta: &Meta, promoted: &OrderPromoted) {
        let number = self.number(promoted.order);
        let lines = std::slice::from_ref(&promoted.line);
        let currency = match &self.orders.get(number).holding {
            Holding::Nothing(wish) => wish.currency,
            _ => panic!("I11 order {} does not wait", promoted.order),
        };
        let holding = self.take_down(lines, currency);
        self.enter(meta, number, promoted.version, OrderStatus::Reserved);
        let order = self.orders.get_mut(number);
        (order.holding, order.expires_at) = (holding, promoted.expires_at);
        let buyer = order.buyer;
        self.buyers.get_mut(buyer).waiting -= 1;
        self.deadlines.push(promoted.expires_at, number);
    }

    /// An order that waits no more.
    pub(super) fn leave_queue(&mut self, meta: &Meta, left: &StandbyLeft) {
        let number = self.number(left.order);
        let order = self.orders.get(number);
        assert!(order.status == OrderStatus::Waiting, "I11 order {} does not wait", left.order);
        let buyer = order.buyer;
        self.enter(meta, number, left.version, OrderStatus::Cancelled);
        self.buyers.get_mut(buyer).waiting -= 1;
    }

    /// A hold that ended without payment.
    ///
    /// # Panics
    /// If the order is not reserved: a hold ends once (I10).
    pub(super) fn end(&mut self, meta: &Meta, ended: &OrderEnded, status: OrderStatus) {
        let number = self.number(ended.order);
        let order = self.orders.get(number);
        assert!(
            order.status == OrderStatus::Reserved,
            "I10 order {} is {:?} at version {}",
            order.id,
            order.status,
            order.version
        );
        self.enter(meta, number, ended.version, status);
    }

    /// A payment that was begun.
    pub(super) fn start_payment(&mut self, meta: &Meta, started: &PaymentStarted) {
        let number = self.number(started.order);
        self.payments.insert(started.payment, number, started.amount);
        self.enter(meta, number, started.version, OrderStatus::Reserved);
        let order = self.orders.get_mut(number);
        let more_us = started.expires_at.micros_since(order.expires_at);
        order.extended_s += u16::try_from(more_us / 1_000_000).expect("at most an hour");
        order.expires_at = started.expires_at;
    }

    /// A payment that failed.
    pub(super) fn fail_payment(&mut self, meta: &Meta, failed: &PaymentFailed) {
        let payment = self.payments.get_mut(failed.payment).expect("I10 its beginning is recorded");
        payment.status = PaymentStatus::Failed;
        self.touch(meta, failed.order, failed.version);
    }

    /// An order that is paid.
    ///
    /// # Panics
    /// If it holds nothing, but for a late payment, which brings its units (I10).
    pub(super) fn pay(&mut self, meta: &Meta, paid: &OrderPaid) {
        let number = self.number(paid.order);
        let was = self.orders.get(number).status;
        let ended = matches!(was, OrderStatus::Expired | OrderStatus::Cancelled);
        assert!(
            if paid.late { ended } else { was == OrderStatus::Reserved },
            "I10 order {} is {was:?} and paid",
            paid.order
        );
        if paid.late {
            let first = self.orders.get(number).holding.units()[0].offer;
            let currency = self.offers.get(first).currency;
            let holding = self.take_down(&paid.lines, currency);
            self.orders.get_mut(number).holding = holding;
        }
        self.enter(meta, number, paid.version, OrderStatus::Paid);
        let payment = self.payments.get_mut(paid.payment).expect("I10 its beginning is recorded");
        payment.status = PaymentStatus::Succeeded;
    }

    /// A payment that is to be given back.
    pub(super) fn request_refund(&mut self, meta: &Meta, requested: &RefundRequested) {
        let number = self.number(requested.order);
        self.enter(meta, number, requested.version, requested.status);
        let payment = self.payments.get_mut(requested.payment);
        let payment = payment.expect("I10 its beginning is recorded");
        payment.status = PaymentStatus::Refunding;
        payment.ends_order = requested.reason != RefundReason::Second;
    }

    /// A refund of which something was heard.
    pub(super) fn end_refund(&mut self, meta: &Meta, ended: &RefundEnded, succeeded: bool) {
        let number = self.number(ended.order);
        self.enter(meta, number, ended.version, ended.status);
        let payment = self.payments.get_mut(ended.payment);
        let payment = payment.expect("I10 its beginning is recorded");
        payment.refund_failed = !succeeded;
        if succeeded {
            payment.status = PaymentStatus::Refunded;
        }
    }

    /// An order that is on its way, and the fingerprint of its parcel.
    pub(super) fn ship(&mut self, meta: &Meta, (order, version): (OrderId, u32), parcel: u64) {
        let number = self.number(order);
        self.enter(meta, number, version, OrderStatus::Shipped);
        self.parcels.insert(number, parcel);
    }

    /// An order that was handed over.
    pub(super) fn deliver(&mut self, meta: &Meta, order: OrderId, version: u32) {
        let number = self.number(order);
        self.enter(meta, number, version, OrderStatus::Delivered);
    }

    fn touch(&mut self, meta: &Meta, order: OrderId, version: u32) {
        let number = self.number(order);
        let status = self.orders.get(number).status;
        self.enter(meta, number, version, status);
    }

    fn number(&self, order: OrderId) -> u32 {
        let number = self.orders.find(order);
        number.unwrap_or_else(|| panic!("I10 order {order} does not exist"))
    }

    /// Enters a state, which may be the same; counts units against limits or no more.
    fn enter(&mut self, meta: &Meta, number: u32, version: u32, status: OrderStatus) {
        let order = self.orders.get_mut(number);
        assert!(
            order.version + 1 == version,
            "I10 order {} is {:?} at version {}, not before {version}",
            order.id,
            order.status,
            order.version
        );
        let was = order.status;
        (order.status, order.version) = (status, version);
        if was == status && !was.is_final() {
            return;
        }
        // What is said of a final order must be stored too before it leaves: it is final anew.
        if was.is_final() {
            let place = self.finished.iter().position(|finished| *finished == number);
            self.finished.remove(place.expect("I10 what is final is among the final"));
        }
        if status.is_final() {
            self.orders.get_mut(number).finish(meta.time);
            self.finished.push_back(number);
        }
        match (was.counts_against_limits(), status.counts_against_limits()) {
            (true, false) => self.count_units(number, false),
            (false, true) => self.count_units(number, true),
            _ => {}
        }
    }

    /// Counts what an order has or waits for against its buyer's limits, or no more.
    pub(super) fn count_units(&mut self, number: u32, more: bool) {
        let order = self.orders.get(number);
        let buyer = self.buyers.get_mut(order.buyer);
        let mut count = |sku: u32, sale: Option<u32>, units: u32| {
            let of_sale = sale.map(|sale| (&mut buyer.sales, sale));
            for (counted, what) in [(&mut buyer.skus, sku)].into_iter().chain(of_sale) {
                if more { counted.add(what, units) } else { counted.take(what, units) }
            }
        };
        if let Holding::Nothing(wish) = &order.holding {
            return count(wish.sku, wish.sale, wish.quantity.get());
        }
        for units in order.holding.units() {
            let offer = self.offers.get(units.offer);
            count(offer.sku, offer.sale, units.quantity.get());
        }
    }

    /// Takes down what an order holds.
    fn take_down(&mut self, lines: &[Line], currency: Currency) -> Holding {
        let mut all = SmallVec::<[Units; 1]>::new();
        for line in lines {
            let sku = self.offers.sku_number(&line.sku);
            let sale = line.sale.as_ref().map(|sale| self.offers.sale_number(sale));
            for draw in &line.draws {
                let offer = self.offers.number((sku, sale), draw, currency);
                all.push(Units { offer, quantity: draw.quantity });
            }
        }
        match all[..] {
            [one] => Holding::One(one),
            _ => Holding::Many(all.into_vec().into_boxed_slice()),
        }
    }
}

/// What new draws cost when an order keeps the prices it had: unit for unit, in order.
pub(super) fn at_former_prices(was: &Lines, now: &mut Lines) {
    for (was, now) in was.iter().zip(now.iter_mut()) {
        let mut prices = was.draws.iter().map(|draw| (draw.quantity.get(), draw.unit_price));
        let (mut left, mut price) = prices.next().expect("a line that was held has draws");
        let mut draws = Draws::new();
        for draw in now.draws.drain(..) {
            let mut units = draw.quantity.get();
            while units > 0 {
                if left == 0 {
                    (left, price) = prices.next().expect("both have as many units");
                }
                let some = units.min(left);
                let quantity = Quantity::new(some).expect("not 0");
                draws.push(Draw { quantity, unit_price: price, ..draw.clone() });
                (units, left) = (units - some, left - some);
            }
        }
        now.draws = draws;
        now.sale.clone_from(&was.sale);
    }
}
