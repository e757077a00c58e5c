//! The deadlines of one slot's holds, earliest first.
//!
//! Holds of one length end in the order in which they begin, so nearly all deadlines arrive in
//! order and stand in a queue; those that do not stand in a heap. An entry whose order is no
//! longer reserved is skipped by whoever takes it out.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::time::Timestamp;

/// A deadline and the number of its order.
type Deadline = (Timestamp, u32);

/// Deadlines, earliest first.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    in_order: VecDeque<Deadline>,
    others: BinaryHeap<Reverse<Deadline>>,
}

impl Deadlines {
    pub(super) fn push(&mut self, due: Timestamp, order: u32) {
        if self.in_order.back().is_none_or(|(last, _)| *last <= due) {
            self.in_order.push_back((due, order));
        } else {
            self.others.push(Reverse((due, order)));
        }
    }

    /// The earliest deadline.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let first = self.in_order.front().map(|(due, _)| *due);
        let other = self.others.peek().map(|Reverse((due, _))| *due);
        match (first, other) {
            (Some(first), Some(other)) => Some(first.min(other)),
            (first, other) => first.or(other),
        }
    }

    /// Takes out the earliest deadline if it is not after `now`.
    pub(super) fn pop_over(&mut self, now: Timestamp) -> Option<u32> {
        let due = self.next_due().filter(|due| *due <= now)?;
        if self.in_order.front().is_some_and(|(first, _)| *first == due) {
            return self.in_order.pop_front().map(|(_, order)| order);
        }
        self.others.pop().map(|Reverse((_, order))| order)
    }

    pub(super) fn bytes(&self) -> usize {
        (self.in_order.capacity() + self.others.capacity()) * size_of::<Deadline>()
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
        for (order, due) in dues.into_iter().enumerate() {
            deadlines.push(Timestamp::from_micros(due), order as u32);
        }
        assert_eq!(deadlines.next_due(), Some(Timestamp::from_micros(1)));
        let mut out = Vec::new();
        while let Some(order) = deadlines.pop_over(Timestamp::from_micros(9)) {
            out.push(dues[order as usize]);
        }
        assert_eq!(out, [1, 3, 5, 7, 9, 9]);
        assert_eq!(deadlines.next_due(), Some(Timestamp::from_micros(12)));
    }
}
