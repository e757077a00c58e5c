//! Random ids: orders and requests. Each thread draws from a generator of its own.

use std::cell::RefCell;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use sluice_core::id::{OrderId, PaymentId, RequestId, SlotId};
use sluice_core::time::Timestamp;

/// A thread's source of ids: ChaCha12, seeded by the operating system.
pub(crate) struct Ids(StdRng);

impl Ids {
    /// A new source.
    ///
    /// # Panics
    /// If the operating system has no randomness to give.
    pub(crate) fn new() -> Self {
        Self(StdRng::from_seed(seed()))
    }

    /// The id of a request.
    pub(crate) fn request(&mut self) -> RequestId {
        RequestId::from_bits(u128::from(self.0.next_u64()) << 64 | u128::from(self.0.next_u64()))
    }

    /// The id of a payment whose order's home is `slot`.
    pub(crate) fn payment(&mut self, now: Timestamp, cell: u16, slot: SlotId) -> PaymentId {
        PaymentId::new(now, cell, slot, self.0.next_u64())
    }

    /// The id of an order whose home is `slot`.
    pub(crate) fn order(&mut self, now: Timestamp, cell: u16, slot: SlotId) -> OrderId {
        OrderId::new(now, cell, slot, self.0.next_u64())
    }
}

thread_local! {
    static OWN: RefCell<Ids> = RefCell::new(Ids::new());
}

/// Draws from this thread's own source, for handlers that may run on any thread.
pub(crate) fn draw<T>(draw: impl FnOnce(&mut Ids) -> T) -> T {
    OWN.with_borrow_mut(draw)
}

/// How often an id is drawn again when the drawn one is taken: once in 2^54.
pub(crate) const DRAWS_MAX: usize = 4;

/// 32 bytes from the operating system.
///
/// # Panics
/// If it has none to give: nothing secret could be made then.
pub(crate) fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("the operating system has randomness");
    seed
}

#[cfg(test)]
mod tests {
    use super::Ids;
    use sluice_core::id::SlotId;
    use sluice_core::time::Timestamp;

    #[test]
    fn an_order_id_is_drawn_for_its_slot_and_never_the_same() {
        let mut ids = Ids::new();
        let slot = SlotId::new(77).expect("in range");
        let (a, b) = (ids.order(Timestamp::ZERO, 3, slot), ids.order(Timestamp::ZERO, 3, slot));
        assert_eq!((a.slot(), a.cell()), (slot, 3));
        assert_ne!(a, b);
        assert_ne!(ids.request(), ids.request());
    }
}
