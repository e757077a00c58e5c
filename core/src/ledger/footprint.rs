//! What the ledger costs in memory, by part.

use super::Ledger;

/// Bytes that the buyer slots of a ledger take, with what is reserved for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Orders.
    pub orders: usize,
    /// Bytes of order rows.
    pub order_rows: usize,
    /// Bytes of the index by order id.
    pub id_index: usize,
    /// Bytes of the index by key.
    pub key_index: usize,
    /// Bytes of buyer rows.
    pub buyer_rows: usize,
    /// Bytes of the index of buyers.
    pub buyer_index: usize,
    /// Bytes of deadlines.
    pub deadlines: usize,
    /// Bytes of offers.
    pub offers: usize,
    /// Bytes of payments.
    pub payments: usize,
    /// Bytes of what is known of parcels.
    pub parcels: usize,
}

impl Footprint {
    /// All parts together.
    pub const fn bytes(&self) -> usize {
        self.order_rows
            + self.id_index
            + self.key_index
            + self.buyer_rows
            + self.buyer_index
            + self.deadlines
            + self.offers
            + self.payments
            + self.parcels
    }
}

impl Ledger {
    /// What its buyer slots cost.
    pub fn footprint(&self) -> Footprint {
        let mut sum = Footprint::default();
        for slot in self.slots.iter() {
            let (id_index, key_index) = slot.orders.index_bytes();
            sum.orders += slot.orders.len();
            sum.order_rows += slot.orders.row_bytes();
            sum.id_index += id_index;
            sum.key_index += key_index;
            sum.buyer_rows += slot.buyers.row_bytes();
            sum.buyer_index += slot.buyers.index_bytes();
            sum.deadlines += slot.deadlines.bytes() + slot.finished.capacity() * size_of::<u32>();
            sum.offers += slot.offers.bytes();
            sum.payments += slot.payments.bytes();
            sum.parcels += slot.parcels.allocation_size();
        }
        sum
    }
}
