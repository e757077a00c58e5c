//! What was read lately: orders, and ids that no order has. Both under a ceiling, both forgotten
//! after a while, no two at the same moment.

use std::sync::Arc;

use quick_cache::sync::Cache;

use sluice_core::id::OrderId;
use sluice_core::sink::StoredOrder;
use sluice_core::time::Timestamp;

/// How long an order is remembered, in microseconds: five minutes, and up to a quarter more.
const ORDER_US: u64 = 300_000_000;

/// How long it is remembered that there is none: ten seconds, and up to a quarter more.
const NOTHING_US: u64 = 10_000_000;

/// What is remembered of an id.
#[derive(Clone, Debug)]
pub(super) enum Remembered {
    /// The order.
    Order(Arc<StoredOrder>),
    /// There is none.
    Nothing,
}

/// The memory. Orders and ids of none do not push each other out.
pub(super) struct Memory {
    orders: Cache<OrderId, (Arc<StoredOrder>, Timestamp)>,
    nothing: Cache<OrderId, Timestamp>,
}

impl Memory {
    pub(super) fn new(orders_max: usize, nothing_max: usize) -> Self {
        Self { orders: Cache::new(orders_max), nothing: Cache::new(nothing_max) }
    }

    /// What is remembered of an id at `now`.
    pub(super) fn recall(&self, order: OrderId, now: Timestamp) -> Option<Remembered> {
        if let Some((found, until)) = self.orders.get(&order)
            && now < until
        {
            return Some(Remembered::Order(found));
        }
        let until = self.nothing.get(&order)?;
        (now < until).then_some(Remembered::Nothing)
    }

    pub(super) fn remember(&self, order: Arc<StoredOrder>, now: Timestamp) {
        let id = order.view.order;
        self.orders.insert(id, (order, now.plus_micros(jittered(id, ORDER_US))));
    }

    pub(super) fn remember_none(&self, order: OrderId, now: Timestamp) {
        self.nothing.insert(order, now.plus_micros(jittered(order, NOTHING_US)));
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.orders.len(), self.nothing.len())
    }
}

/// A span and up to a quarter more, by the random bits of the id.
fn jittered(order: OrderId, span: u64) -> u64 {
    span + (order.bits() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) % (span / 4)
}

#[cfg(test)]
mod tests {
    use super::{Memory, NOTHING_US, Remembered};
    use sluice_core::id::OrderId;
    use sluice_core::time::Timestamp;

    #[test]
    fn what_is_not_there_is_remembered_for_a_while_and_not_for_too_many() {
        let memory = Memory::new(8, 8);
        let at = Timestamp::from_micros;
        for number in 0..1_000 {
            memory.remember_none(OrderId::from_bits(number), at(0));
        }
        assert!(memory.sizes().1 <= 8, "I6");
        let id = OrderId::from_bits(5_000);
        memory.remember_none(id, at(0));
        assert!(matches!(memory.recall(id, at(NOTHING_US - 1)), Some(Remembered::Nothing)));
        assert!(memory.recall(id, at(NOTHING_US * 5 / 4)).is_none());
    }
}
