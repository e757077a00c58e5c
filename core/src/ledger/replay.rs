//! Replay: what the journal's events do to stocks and to homes.
//!
//! The two halves share nothing but the events, so that they can be rebuilt at the same time.

use crate::command::{Notice, Ship};
use crate::event::{
    Event, FORMAT, Line, Meta, OrderEnded, OrderPaid, OrderPlaced, OrderPromoted, OrderQueued,
    OrderStatus, PaymentFailed, PaymentStarted, RefundEnded, RefundRequested, Returned,
    StandbyLeft,
};
use crate::id::{OrderId, SlotId};

use super::paying::fingerprint_of;
use super::protocol::Shift;
use super::queue::{Stage, Waiter};

use super::{Glimpse, Ledger};

/// What an event does to the home of an order.
#[derive(Clone, Debug)]
pub enum HomeEvent {
    /// An order holds its units.
    Placed(OrderPlaced<'static>),
    /// An order waits.
    Queued(OrderQueued<'static>),
    /// A waiting order got its units.
    Promoted(OrderPromoted),
    /// A waiting order ended.
    Left(StandbyLeft),
    /// A hold ended, and how.
    Ended(OrderEnded, OrderStatus),
    /// A payment was begun.
    PaymentStarted(PaymentStarted),
    /// A payment failed.
    PaymentFailed(PaymentFailed),
    /// An order is paid.
    Paid(OrderPaid),
    /// A payment is to be given back.
    RefundRequested(RefundRequested),
    /// Something was heard of a refund: whether it succeeded.
    RefundEnded(RefundEnded, bool),
    /// An order was shipped: its version then, and the fingerprint of its parcel.
    Shipped(OrderId, u32, u64),
    /// An order was handed over: its version then.
    Delivered(OrderId, u32),
    /// A notice fitted no payment: where it was looked into, and its fingerprint.
    Unmatched(SlotId, u64),
    /// An order left.
    Retired(OrderId),
}

impl HomeEvent {
    /// Of an event; `None` if it is about no order. Raw names stay behind: a home knows digests.
    pub fn of(event: Event<'_>) -> Option<Self> {
        Some(match event {
            Event::OrderPlaced(placed) => Self::Placed(placed.without_names()),
            Event::OrderQueued(queued) => Self::Queued(queued.without_names()),
            Event::OrderPromoted(promoted) => Self::Promoted(promoted),
            Event::StandbyLeft(left) => Self::Left(left),
            Event::OrderCancelled(ended) => Self::Ended(ended, OrderStatus::Cancelled),
            Event::OrderExpired(ended) => Self::Ended(ended, OrderStatus::Expired),
            Event::PaymentStarted(started) => Self::PaymentStarted(started),
            Event::PaymentFailed(failed) => Self::PaymentFailed(failed),
            Event::OrderPaid(paid) => Self::Paid(paid),
            Event::RefundRequested(requested) => Self::RefundRequested(requested),
            Event::RefundSucceeded(ended) => Self::RefundEnded(ended, true),
            Event::RefundFailed(ended) => Self::RefundEnded(ended, false),
            Event::OrderShipped(shipped) => {
                let parcel = Ship::fingerprint_of(shipped.carrier, shipped.tracking_number);
                Self::Shipped(shipped.order, shipped.version, parcel)
            }
            Event::OrderDelivered(delivered) => Self::Delivered(delivered.order, delivered.version),
            Event::NoticeUnmatched(notice) => {
                Self::Unmatched(Notice::slot_of(notice.payment), fingerprint_of(&notice))
            }
            Event::OrderRetired(retired) => Self::Retired(retired.order),
            Event::Genesis(_)
            | Event::FormatRaised(_)
            | Event::SkuDefined(_)
            | Event::LotReceived(_)
            | Event::UnitsWithdrawn(_)
            | Event::SaleDefined(_)
            | Event::SaleMoved(_)
            | Event::RecordSkipped(_) => return None,
        })
    }

    /// The slot of the order that an event is about; `None` if it is about none.
    pub fn slot_of(event: &Event<'_>) -> Option<SlotId> {
        match event {
            Event::NoticeUnmatched(notice) => Some(Notice::slot_of(notice.payment)),
            event => event.order().map(OrderId::slot),
        }
    }

    /// What it will make the home look up, if that may be far from the caches.
    pub fn glimpse(&self) -> Option<Glimpse> {
        match self {
            Self::Placed(placed) => {
                Some((placed.order, placed.buyer, placed.key.map(|(digest, _)| digest)))
            }
            _ => None,
        }
    }
}

impl Ledger {
    /// Takes the homes out, into a ledger without stocks.
    #[must_use]
    pub fn take_homes(&mut self) -> Self {
        let mut homes = Self::bare(self.limits);
        std::mem::swap(&mut homes.slots, &mut self.slots);
        homes.live_orders = std::mem::take(&mut self.live_orders);
        homes.in_flight = std::mem::take(&mut self.in_flight);
        homes
    }

    /// Puts homes back that [`Ledger::take_homes`] took out.
    pub fn put_homes(&mut self, mut homes: Self) {
        for (id, slot) in homes.slots.drain() {
            self.install_home(id, slot);
        }
    }

    /// Applies an event to the stocks.
    ///
    /// # Errors
    /// What makes the journal unreadable for this program.
    ///
    /// # Panics
    /// If the event contradicts the state (I1).
    pub fn replay_stocks(&mut self, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Genesis(genesis) if genesis.format > FORMAT => {
                return Err(format!("the journal has format {}", genesis.format));
            }
            Event::FormatRaised(raised) if raised.format > FORMAT => {
                return Err(format!("the journal needs {} or newer", raised.program));
            }
            Event::Genesis(_) | Event::FormatRaised(_) | Event::RecordSkipped(_) => {}
            Event::SkuDefined(defined) => self.apply_sku_defined(defined),
            Event::LotReceived(received) => self.stock_mut(&received.sku).receive(received),
            Event::UnitsWithdrawn(withdrawn) => self.stock_mut(&withdrawn.sku).withdraw(withdrawn),
            Event::OrderPlaced(placed) => self.shift_all(&placed.lines, Shift::Reserve),
            Event::OrderCancelled(ended) | Event::OrderExpired(ended) => {
                self.shift_all(&ended.lines, Shift::Restore);
            }
            Event::OrderQueued(queued) => {
                let waiter = Waiter {
                    order: queued.order,
                    buyer: queued.buyer,
                    quantity: queued.quantity,
                    sale: queued.sale.clone(),
                    stage: Stage::Waiting,
                };
                self.stock_mut(&queued.sku).queue.insert(queued.ticket, waiter);
            }
            Event::OrderPromoted(promoted) => {
                let line = std::slice::from_ref(&promoted.line);
                self.shift_all(line, Shift::Promote(promoted.ticket));
            }
            Event::StandbyLeft(left) => {
                let waiter = self.stock_mut(&left.sku).queue.remove(left.ticket);
                let (ticket, sku) = (left.ticket, &left.sku);
                assert!(waiter.is_some(), "I11 nobody has ticket {ticket} of {sku}");
            }
            Event::OrderPaid(paid) => {
                let shift = if paid.late { Shift::SellAtOnce } else { Shift::Sell };
                self.shift_all(&paid.lines, shift);
            }
            Event::RefundRequested(requested) => match requested.returned {
                Returned::Nothing => {}
                Returned::ToStock => self.shift_all(&requested.lines, Shift::TakeBack),
                Returned::Withdrawn => self.shift_all(&requested.lines, Shift::WriteOff),
            },
            Event::SaleDefined(defined) => {
                let change = self.register().defined(defined);
                self.apply_sale(&change);
            }
            Event::SaleMoved(moved) => {
                let change = self.register().moved(moved);
                self.apply_sale(&change);
            }
            // These move no units. What a retired order held went back or was sold before.
            Event::PaymentStarted(_)
            | Event::PaymentFailed(_)
            | Event::RefundSucceeded(_)
            | Event::RefundFailed(_)
            | Event::NoticeUnmatched(_)
            | Event::OrderShipped(_)
            | Event::OrderDelivered(_)
            | Event::OrderRetired(_) => {}
        }
        Ok(())
    }

    /// Applies an event to an order's home.
    ///
    /// # Panics
    /// If the event contradicts the state (I3, I10).
    pub fn replay_home(&mut self, meta: &Meta, event: &HomeEvent) {
        match event {
            HomeEvent::Placed(placed) => self.apply_placed(meta, placed, None),
            HomeEvent::Queued(queued) => self.apply_queued(meta, queued),
            HomeEvent::Promoted(promoted) => self.apply_promoted(meta, promoted),
            HomeEvent::Left(left) => self.slot_mut(left.order.slot()).leave_queue(meta, left),
            HomeEvent::Ended(ended, status) => {
                self.slot_mut(ended.order.slot()).end(meta, ended, *status);
            }
            HomeEvent::PaymentStarted(started) => {
                self.slot_mut(started.order.slot()).start_payment(meta, started);
            }
            HomeEvent::PaymentFailed(failed) => {
                self.slot_mut(failed.order.slot()).fail_payment(meta, failed);
            }
            HomeEvent::Paid(paid) => self.slot_mut(paid.order.slot()).pay(meta, paid),
            HomeEvent::RefundRequested(requested) => {
                self.slot_mut(requested.order.slot()).request_refund(meta, requested);
            }
            HomeEvent::RefundEnded(ended, succeeded) => {
                self.slot_mut(ended.order.slot()).end_refund(meta, ended, *succeeded);
            }
            HomeEvent::Shipped(order, version, parcel) => {
                self.slot_mut(order.slot()).ship(meta, (*order, *version), *parcel);
            }
            HomeEvent::Delivered(order, version) => {
                self.slot_mut(order.slot()).deliver(meta, *order, *version);
            }
            HomeEvent::Unmatched(slot, fingerprint) => {
                self.slot_mut(*slot).remember_unmatched(*fingerprint);
            }
            HomeEvent::Retired(order) => self.apply_retired(*order),
        }
    }

    fn shift_all(&mut self, lines: &[Line], shift: Shift) {
        for line in lines {
            self.stock_mut(&line.sku).shift(&line.draws, shift);
        }
    }
}
