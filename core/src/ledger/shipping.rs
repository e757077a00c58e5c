//! What operators do with what was paid: ship it, and say that it was handed over.

use crate::command::Ship;
use crate::event::{Actor, Event, Meta, OrderDelivered, OrderShipped, OrderStatus};
use crate::id::{OrderId, RequestId};
use crate::outcome::{Outcome, Refusal};

use super::Ledger;
use super::turn::Turn;

impl Ledger {
    pub(super) fn ship(&mut self, turn: &mut Turn<'_>, ship: &Ship) -> Outcome {
        let fingerprint = Ship::fingerprint_of(&ship.carrier, &ship.tracking_number);
        let version = match self.next_version(ship.order, OrderStatus::Paid) {
            Ok(version) => version,
            // A retry of a call whose answer was lost, whatever became of the order since.
            Err(_) if self.slot(ship.order.slot()).parcel(ship.order) == Some(fingerprint) => {
                return self.shown(ship.order);
            }
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let shipped = OrderShipped {
            order: ship.order,
            version,
            carrier: &ship.carrier,
            tracking_number: &ship.tracking_number,
        };
        let meta = Meta { time: turn.now, actor: Actor::Operator, request: ship.request };
        turn.recorder.record(&meta, &Event::OrderShipped(shipped));
        let home = self.slot_mut(ship.order.slot());
        home.ship(&meta, (ship.order, version), fingerprint);
        self.shown(ship.order)
    }

    pub(super) fn deliver(
        &mut self,
        turn: &mut Turn<'_>,
        order: OrderId,
        request: RequestId,
    ) -> Outcome {
        let version = match self.next_version(order, OrderStatus::Shipped) {
            Ok(version) => version,
            // A retry of a call whose answer was lost.
            Err(Refusal::OrderState { status: OrderStatus::Delivered }) => {
                return self.shown(order);
            }
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let delivered = OrderDelivered { order, version };
        let meta = Meta { time: turn.now, actor: Actor::Operator, request };
        turn.recorder.record(&meta, &Event::OrderDelivered(delivered));
        self.slot_mut(order.slot()).deliver(&meta, order, version);
        self.shown(order)
    }

    /// The version after the next event of an order that must be in this state.
    fn next_version(&self, order: OrderId, status: OrderStatus) -> Result<u32, Refusal> {
        let order = self.slot(order.slot()).order(order).ok_or(Refusal::OrderNotFound)?;
        match order.status == status {
            true => Ok(order.version + 1),
            false => Err(Refusal::OrderState { status: order.status }),
        }
    }
}
