//! Replay: what the journal's events do to stocks and to homes.
//!
//! The two halves share nothing but the events, so that they can be rebuilt at the same time.

use crate::event::{Event, FORMAT, Line, Meta, OrderEnded, OrderPlaced, OrderStatus};
use crate::id::{OrderId, SlotId};

use super::{Glimpse, Ledger};

/// What an event does to the home of an order.
#[derive(Clone, Debug)]
pub enum HomeEvent {
    /// An order holds its units.
    Placed(OrderPlaced<'static>),
    /// A hold ended, and how.
    Ended(OrderEnded, OrderStatus),
    /// An order left.
    Retired(OrderId),
}

impl HomeEvent {
    /// Of an event; `None` if it is about no order. Raw names stay behind: a home knows digests.
    pub fn of(event: Event<'_>) -> Option<Self> {
        match event {
            Event::OrderPlaced(placed) => Some(Self::Placed(placed.without_names())),
            Event::OrderCancelled(ended) => Some(Self::Ended(ended, OrderStatus::Cancelled)),
            Event::OrderExpired(ended) => Some(Self::Ended(ended, OrderStatus::Expired)),
            Event::OrderRetired(retired) => Some(Self::Retired(retired.order)),
            _ => None,
        }
    }

    /// The slot of the order that an event is about; `None` if it is about none.
    pub fn slot_of(event: &Event<'_>) -> Option<SlotId> {
        match event {
            Event::OrderPlaced(placed) => Some(placed.order.slot()),
            Event::OrderCancelled(ended) | Event::OrderExpired(ended) => Some(ended.order.slot()),
            Event::OrderRetired(retired) => Some(retired.order.slot()),
            _ => None,
        }
    }

    /// What it will make the home look up, if that may be far from the caches.
    pub fn glimpse(&self) -> Option<Glimpse> {
        match self {
            Self::Placed(placed) => {
                Some((placed.order, placed.buyer, placed.key.map(|(digest, _)| digest)))
            }
            Self::Ended(..) | Self::Retired(_) => None,
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
            Event::Genesis(_) | Event::FormatRaised(_) => {}
            Event::SkuDefined(defined) => self.apply_sku_defined(defined),
            Event::LotReceived(received) => self.stock_mut(&received.sku).receive(received),
            Event::UnitsWithdrawn(withdrawn) => self.stock_mut(&withdrawn.sku).withdraw(withdrawn),
            Event::OrderPlaced(placed) => {
                for line in &placed.lines {
                    self.stock_mut(&line.sku).reserve(&line.draws);
                }
            }
            Event::OrderCancelled(ended) | Event::OrderExpired(ended) => {
                self.restore_lines(&ended.lines);
            }
            // What it held went back or was sold before.
            Event::OrderRetired(_) => {}
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
            HomeEvent::Ended(ended, status) => {
                self.slot_mut(ended.order.slot()).end(meta, ended, *status);
            }
            HomeEvent::Retired(order) => self.apply_retired(*order),
        }
    }

    fn restore_lines(&mut self, lines: &[Line]) {
        for line in lines {
            self.stock_mut(&line.sku).restore(&line.draws);
        }
    }
}
