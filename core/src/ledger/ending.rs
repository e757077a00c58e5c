//! How holds end without payment: cancelled by their buyer, or expired.

use crate::command::Cancel;
use crate::event::{Actor, Event, LeftReason, Lines, Meta, OrderEnded, OrderStatus, StandbyLeft};
use crate::id::{OrderId, RequestId, SlotId};
use crate::limits::SLOTS;
use crate::outcome::{Outcome, Refusal};
use crate::planted::{self, Bug};
use crate::time::Timestamp;

use super::agenda::Agenda;
use super::orders::Holding;
use super::protocol::Shift;
use super::turn::Turn;
use super::{BuyerSlot, Ledger};

/// How often the slots are looked through while holds are running out, in microseconds. A hold
/// ends at most this much late, plus the length of the steps that the ends are sliced into.
const LOOK_EVERY_US: u64 = 10_000;

/// For holds: when one ends is noted.
pub(super) const fn agenda() -> Agenda {
    Agenda::new(LOOK_EVERY_US, Timestamp::MAX)
}

impl Ledger {
    pub(super) fn cancel(&mut self, turn: &mut Turn<'_>, cancel: &Cancel) -> Outcome {
        let home = self.slot(cancel.order.slot());
        let Some(order) = home.own(cancel.order, cancel.buyer) else {
            return Outcome::Refused(Refusal::OrderNotFound);
        };
        match order.status {
            OrderStatus::Reserved => {}
            OrderStatus::Waiting => return self.cancel_waiting(turn, cancel),
            // A retry of a cancel whose answer was lost.
            OrderStatus::Cancelled => return Outcome::Order(Box::new(home.show(order))),
            status => return Outcome::Refused(Refusal::OrderState { status }),
        }
        let ended =
            OrderEnded { order: order.id, version: order.version + 1, lines: home.lines(order) };
        let meta = Meta { time: turn.now, actor: Actor::Buyer, request: cancel.request };
        turn.metrics.cancelled.add(1);
        self.end_hold(turn, &meta, ended, OrderStatus::Cancelled);
        let order = self.slot(cancel.order.slot()).view(cancel.order, cancel.buyer);
        Outcome::Order(Box::new(order.expect("it was there")))
    }

    fn cancel_waiting(&mut self, turn: &mut Turn<'_>, cancel: &Cancel) -> Outcome {
        let home = self.slot(cancel.order.slot());
        let order = home.order(cancel.order).expect("it was just found");
        let Holding::Nothing(wish) = &order.holding else { unreachable!("it waits") };
        let left = StandbyLeft {
            order: order.id,
            version: order.version + 1,
            sku: home.offers.sku(wish.sku).clone(),
            ticket: wish.ticket,
            reason: LeftReason::Cancelled,
        };
        let meta = Meta { time: turn.now, actor: Actor::Buyer, request: cancel.request };
        self.leave_queue(turn, &meta, left);
        self.shown(cancel.order)
    }

    /// Ends holds whose time is over: at most `expiries_per_step_max`. Says how many.
    pub fn expire(&mut self, turn: &mut Turn<'_>) -> usize {
        let early = if planted::is(Bug::ExpiresEarly) { 50_000 } else { 0 };
        let now = turn.now.plus_micros(early);
        let Some(start) = self.expiries.begin(now) else { return 0 };
        let most = self.limits.expiries_per_step_max;
        let mut ended = 0;
        for index in start..SLOTS {
            let slot = SlotId::new(index as u16).expect("in range");
            while let Some(over) =
                self.slots.filled_at_mut(index).and_then(|home| home.pop_over(now))
            {
                self.expire_one(turn, slot, over);
                ended += 1;
                if ended == most {
                    self.expiries.cut_short(index);
                    return ended;
                }
            }
            if let Some(due) = self.slots.filled_at(index).and_then(|home| home.next_due()) {
                self.expiries.note(due);
            }
        }
        self.expiries.end(turn.now);
        ended
    }

    fn expire_one(&mut self, turn: &mut Turn<'_>, slot: SlotId, order: OrderId) {
        let home = self.slot(slot);
        let number = home.orders.find(order).expect("its deadline named it");
        let order = home.orders.get(number);
        let ended =
            OrderEnded { order: order.id, version: order.version + 1, lines: home.lines(order) };
        let meta = Meta { time: turn.now, actor: Actor::Engine, request: RequestId::NONE };
        turn.metrics.expired.add(1);
        self.end_hold(turn, &meta, ended, OrderStatus::Expired);
    }

    fn end_hold(
        &mut self,
        turn: &mut Turn<'_>,
        meta: &Meta,
        ended: OrderEnded,
        status: OrderStatus,
    ) {
        let event = match status {
            OrderStatus::Cancelled => Event::OrderCancelled(ended.clone()),
            _ => Event::OrderExpired(ended.clone()),
        };
        turn.recorder.record(meta, &event);
        self.slot_mut(ended.order.slot()).end(meta, &ended, status);
        if planted::is(Bug::ReturnedTwice) && ended.version == 2 && status == OrderStatus::Cancelled
        {
            self.give_back(turn, ended.lines.clone());
        }
        self.give_back(turn, ended.lines);
    }

    fn give_back(&mut self, turn: &mut Turn<'_>, lines: Lines) {
        for line in lines {
            self.shift(turn, (line.sku, line.draws), Shift::Restore);
        }
    }
}

impl BuyerSlot {
    /// Takes the earliest deadline that is over and still concerns a hold.
    fn pop_over(&mut self, now: Timestamp) -> Option<OrderId> {
        let Self { deadlines, orders, .. } = self;
        while let Some(number) = deadlines.pop_over(now, |order| orders.get(order).first_due()) {
            let order = orders.get(number);
            let again = order.status == OrderStatus::Cancelled;
            if order.status == OrderStatus::Reserved
                || (again && planted::is(Bug::ExpiresAfterCancel))
            {
                if order.expires_at <= now || planted::is(Bug::ExtensionForgotten) {
                    return Some(order.id);
                }
                deadlines.put_off(order.expires_at, number);
            }
        }
        None
    }
}
