//! The payments of one slot's orders: found by id, and along an order's chain, newest first.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use crate::id::PaymentId;
use crate::money::Amount;
use crate::outcome::PaymentStatus;

/// One payment.
#[derive(Clone, Debug)]
pub(super) struct Payment {
    /// The number of its order.
    pub(super) order: u32,
    pub(super) amount: Amount,
    pub(super) status: PaymentStatus,
    /// Whether giving it back gives the order back; otherwise it was one too many.
    pub(super) ends_order: bool,
    /// Whether the provider said that it cannot give it back.
    pub(super) refund_failed: bool,
    /// The order's payment before this one.
    previous: Option<PaymentId>,
}

/// All payments of a slot.
#[derive(Debug, Default)]
pub(super) struct Payments {
    by_id: HashMap<PaymentId, Payment, FxBuildHasher>,
    newest: HashMap<u32, PaymentId, FxBuildHasher>,
}

impl Payments {
    pub(super) fn get(&self, id: PaymentId) -> Option<&Payment> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: PaymentId) -> Option<&mut Payment> {
        self.by_id.get_mut(&id)
    }

    /// The payments of an order, newest first.
    pub(super) fn of_order(&self, order: u32) -> impl Iterator<Item = (PaymentId, &Payment)> {
        let mut next = self.newest.get(&order).copied();
        std::iter::from_fn(move || {
            let id = next?;
            let payment = &self.by_id[&id];
            next = payment.previous;
            Some((id, payment))
        })
    }

    /// The newest payment of an order that is in this state.
    pub(super) fn find(&self, order: u32, status: PaymentStatus) -> Option<(PaymentId, &Payment)> {
        self.of_order(order).find(|(_, payment)| payment.status == status)
    }

    /// Adds an order's newest payment.
    ///
    /// # Panics
    /// If the id is there already.
    pub(super) fn insert(&mut self, id: PaymentId, order: u32, amount: Amount) -> &mut Payment {
        let previous = self.newest.insert(order, id);
        let payment = Payment {
            order,
            amount,
            status: PaymentStatus::Open,
            ends_order: false,
            refund_failed: false,
            previous,
        };
        let place = self.by_id.entry(id);
        assert!(matches!(place, hashbrown::hash_map::Entry::Vacant(_)), "I3 payment {id} exists");
        place.insert(payment).into_mut()
    }

    /// Takes an order's payments out.
    pub(super) fn remove_of(&mut self, order: u32) {
        let mut next = self.newest.remove(&order);
        while let Some(id) = next {
            next = self.by_id.remove(&id).and_then(|payment| payment.previous);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.by_id.allocation_size() + self.newest.allocation_size()
    }
}
