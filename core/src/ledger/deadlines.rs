//! The deadlines of one slot's holds, earliest first.
//!
//! Holds of one length end in the order in which they begin, so nearly all deadlines arrive in
//! order and stand in a queue of order numbers: when each is due stands in the order's row. Those
//! that do not arrive in order stand in a heap. An entry whose order is no longer reserved is
//! skipped by whoever takes it out.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::time::Timestamp;

/// Deadlines, earliest first. `due` tells an order's.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    in_order: VecDeque<u32>,
    /// The latest deadline that went into the queue.
    last: Timestamp,
    others: BinaryHeap<Reverse<(Timestamp, u32)>>,
}

impl Deadlines {
    pub(super) fn push(&mut self, due: Timestamp, order: u32) {
        if self.in_order.is_empty() || self.last <= due {
            self.in_order.push_back(order);
            self.last = due;
        } else {
            self.others.push(Reverse((due, order)));
        }
    }

    /// Puts a deadline in again that was put off, whatever its row says of the first one.
    pub(super) fn put_off(&mut self, due: Timestamp, order: u32) {
        self.others.push(Reverse((due, order)));
    }

    /// The earliest deadline.
    pub(super) fn next_due(&self, due: impl Fn(u32) -> Timestamp) -> Option<Timestamp> {
        let first = self.in_order.front().map(|order| due(*order));
        let other = self.others.peek().map(|Reverse((due, _))| *due);
        match (first, other) {
            (Some(first), Some(other)) => Some(first.min(other)),
            (first, other) => first.or(other),
        }
    }

    /// Takes out the earliest deadline if it is not after `now`.
    pub(super) fn pop_over(
        &mut self,
        now: Timestamp,
        due: impl Fn(u32) -> Timestamp,
    ) -> Option<u32> {
        let next = self.next_due(&due).filter(|next| *next <= now)?;
        if self.in_order.front().is_some_and(|order| due(*order) == next) {
            return self.in_order.pop_front();
        }
        self.others.pop().map(|Reverse((_, order))| order)
    }

    pub(super) fn bytes(&self) -> usize {
        self.in_order.capacity() * size_of::<u32>()
            + self.others.capacity() * size_of::<(Timestamp, u32)>()
    }
}

#[cfg(test)]
mod tests {
    use super::Deadlines;
    use crate::time::Timestamp;

    #[test]
    fn come_out_in_order_however_they_went_in() {
        let mut deadlines = Deadlines::default();
        let dues = [5, 9, 3, 9, 1, 12, 7];
        let due = |order: u32| Timestamp::from_micros(dues[order as usize]);
        for order in 0..dues.len() as u32 {
            deadlines.push(due(order), order);
        }
        assert_eq!(deadlines.next_due(due), Some(Timestamp::from_micros(1)));
        let mut out = Vec::new();
        while let Some(order) = deadlines.pop_over(Timestamp::from_micros(9), due) {
            out.push(dues[order as usize]);
        }
        assert_eq!(out, [1, 3, 5, 7, 9, 9]);
        assert_eq!(deadlines.next_due(due), Some(Timestamp::from_micros(12)));
    }
}
