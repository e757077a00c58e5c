//! How orders leave the ledger: final, their retention over, and stored by SQL.

use crate::event::{Actor, Event, Meta, OrderRetired, OrderStatus};
use crate::id::{OrderId, RequestId};
use crate::limits::SLOTS;
use crate::outcome::PaymentStatus;
use crate::planted::{self, Bug};
use crate::time::Timestamp;

use super::agenda::Agenda;
use super::buyers::NO_ORDER;
use super::orders::Order;
use super::turn::Turn;
use super::{BuyerSlot, Ledger};

/// How often the slots are looked through for orders that may leave, in microseconds.
const LOOK_EVERY_US: u64 = 1_000_000;

/// Orders that are looked at for one that may leave: those that wait for a refund stay.
const LOOKED_AT_MAX: usize = 64;

/// For orders that leave: nobody notes when one may.
pub(super) const fn agenda() -> Agenda {
    Agenda::new(LOOK_EVERY_US, Timestamp::ZERO)
}

impl Ledger {
    /// Retires orders that became final no later than `turn.retires`: at most as many as holds may
    /// end in a step. Says how many.
    pub fn retire(&mut self, turn: &mut Turn<'_>) -> usize {
        let Some(over) = turn.retires else { return 0 };
        let Some(start) = self.retirements.begin(turn.now) else { return 0 };
        // Nobody tells when an order becomes due: the slots are asked each time.
        self.retirements.note(Timestamp::ZERO);
        let most = self.limits.expiries_per_step_max;
        let mut retired = 0;
        for index in start..SLOTS {
            while let Some(order) = self.slots.filled_at(index).and_then(|slot| slot.over(over)) {
                let meta = Meta { time: turn.now, actor: Actor::Engine, request: RequestId::NONE };
                turn.recorder.record(&meta, &Event::OrderRetired(OrderRetired { order }));
                turn.metrics.retired.add(1);
                self.apply_retired(order);
                retired += 1;
                if retired == most {
                    self.retirements.cut_short(index);
                    return retired;
                }
            }
        }
        self.retirements.end(turn.now);
        retired
    }

    /// Applies the home's part of an order that leaves.
    pub(super) fn apply_retired(&mut self, order: OrderId) {
        self.slot_mut(order.slot()).retire(order);
        self.live_orders -= 1;
    }
}

impl BuyerSlot {
    /// The order that became final first among those that may leave, if that was no later than `by`.
    fn over(&self, by: Timestamp) -> Option<OrderId> {
        let orders = self.finished.iter().map(|number| (*number, self.orders.get(*number)));
        let old = orders.take(LOOKED_AT_MAX).take_while(|(_, order)| order.final_at() <= by);
        old.into_iter().find(|(number, order)| self.may_leave(*number, order)).map(|it| it.1.id)
    }

    fn may_leave(&self, number: u32, order: &Order) -> bool {
        // Its deadline must not be found any more once its row is another's.
        let forgotten = self.next_due().is_none_or(|due| due > order.expires_at);
        // A payment that came late may be about to bring it back.
        let buyer = self.buyers.get(order.buyer).digest();
        let refunding = self.payments.find(number, PaymentStatus::Refunding).is_some();
        forgotten && !refunding && !self.flights.contains_key(&buyer)
    }

    /// Applies an order's leaving.
    ///
    /// # Panics
    /// If the order is not there, or may still hold units (I10).
    fn retire(&mut self, id: OrderId) {
        let number = self.orders.find(id);
        let number = number.unwrap_or_else(|| panic!("I10 order {id} does not exist"));
        let place = self.finished.iter().position(|finished| *finished == number);
        let place = place.unwrap_or_else(|| panic!("I10 order {id} leaves before it is final"));
        self.finished.remove(place);
        // What was delivered counts against limits as long as its order is known.
        if self.orders.get(number).status.counts_against_limits() {
            self.count_units(number, false);
        }
        let Self { deadlines, orders, .. } = self;
        let order = orders.get(number);
        // A replay does not take deadlines out as time passes.
        while let Some(n) = deadlines.pop_over(order.expires_at, |n| orders.get(n).first_due()) {
            let other = orders.get(n);
            if other.status == OrderStatus::Reserved && other.expires_at > order.expires_at {
                deadlines.put_off(other.expires_at, n);
            }
        }
        let (previous, newer, buyer) = (order.previous, order.newer, order.buyer);
        let row = self.buyers.get_mut(buyer);
        row.keys -= u16::from(order.key().is_some());
        match newer {
            NO_ORDER => row.newest = previous,
            newer => self.orders.get_mut(newer).previous = previous,
        }
        if previous != NO_ORDER {
            self.orders.get_mut(previous).newer = newer;
        }
        if self.buyers.get(buyer).newest == NO_ORDER {
            self.buyers.remove(buyer);
        }
        self.payments.remove_of(number);
        self.parcels.remove(&number);
        if !planted::is(Bug::RetiredOrderStays) {
            self.orders.remove(number);
        }
    }
}
