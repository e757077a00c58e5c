//! How many units were surely taken at one and the same moment, from when each order was taken and given back.
//!
//! Orders that are cancelled or expire give their units back to be sold again. That more was sold in all than there
//! was proves nothing then; that more was held at one moment does.

use crate::book::{Acknowledged, Book};
use crate::payments::Timing;
use crate::script::Script;

/// The most units that orders of a run took at one moment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Peaks {
    /// Of each SKU.
    pub(crate) by_sku: Vec<u64>,
    /// Buyer, SKU and units, of each buyer who had more of a SKU than the limit.
    pub(crate) over_limit: Vec<(u32, u32, u64)>,
}

impl Peaks {
    /// Of all orders of `book`; `limits` gives what one buyer may have of each SKU, 0 without limit.
    pub(crate) fn of(script: &Script, book: &Book, limits: &[u64]) -> Peaks {
        let units = u64::from(script.quantity());
        let mut holds = Vec::with_capacity(book.orders.len());
        for order in &book.orders {
            let hold = Hold { from_ns: order.from_ns, until_ns: order.until_ns, units };
            add(&mut holds, script, order, hold);
        }
        holds.sort_unstable_by_key(|(whose, _)| *whose);
        let mut over_limit = Vec::new();
        for of_buyer in holds.chunk_by(|(left, _), (right, _)| left == right) {
            let (sku, buyer) = of_buyer[0].0;
            let limit = limits[sku as usize];
            if limit == 0 || of_buyer.len() as u64 * units <= limit {
                continue;
            }
            let most = most_at_once(of_buyer.iter().map(|(_, hold)| *hold));
            if most > limit {
                over_limit.push((buyer, sku, most));
            }
        }
        // What a late payment takes again counts for no limit, by the contract.
        add_taken_again(&mut holds, script, book, units);
        holds.sort_unstable_by_key(|(whose, _)| *whose);
        let mut by_sku = vec![0; script.skus().len()];
        for of_sku in holds.chunk_by(|((left, _), _), ((right, _), _)| left == right) {
            by_sku[of_sku[0].0.0 as usize] = most_at_once(of_sku.iter().map(|(_, hold)| *hold));
        }
        Peaks { by_sku, over_limit }
    }
}

/// Adds a hold of every SKU of an order.
fn add(holds: &mut Vec<((u32, u32), Hold)>, script: &Script, order: &Acknowledged, hold: Hold) {
    let wanted = script.wanted(order.number);
    holds.extend(wanted.lines.as_slice().iter().map(|&sku| ((sku, wanted.buyer), hold)));
}

/// Adds what late payments took again.
fn add_taken_again(holds: &mut Vec<((u32, u32), Hold)>, script: &Script, book: &Book, units: u64) {
    for payment in &book.payments.list {
        let order = &book.orders[payment.place];
        let Some(from_ns) = payment.success.answered_ns else { continue };
        if payment.is_paid && payment.timing(order, &book.clock) == Timing::Late {
            add(holds, script, order, Hold { from_ns, until_ns: u64::MAX, units });
        }
    }
}

/// Units of one order between two moments of our clock: from its acknowledgement until it may have ended at the
/// earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hold {
    /// Acknowledged.
    from_ns: u64,
    /// It may have ended from here on; `u64::MAX` while it is still taken.
    until_ns: u64,
    /// Units.
    units: u64,
}

/// The most units that were taken at one moment.
fn most_at_once(holds: impl IntoIterator<Item = Hold>) -> u64 {
    let mut starts = Vec::new();
    let mut ends = Vec::new();
    for hold in holds {
        if hold.from_ns < hold.until_ns {
            starts.push((hold.from_ns, hold.units));
            ends.push((hold.until_ns, hold.units));
        }
    }
    starts.sort_unstable();
    ends.sort_unstable();
    let (mut taken, mut most) = (0, 0);
    let mut ended = ends.into_iter().peekable();
    for (from_ns, units) in starts {
        // What ends at a moment is given back before it is taken again.
        while let Some((_, back)) = ended.next_if(|&(until_ns, _)| until_ns <= from_ns) {
            taken -= back;
        }
        taken += units;
        most = most.max(taken);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::{Hold, Peaks, most_at_once};
    use crate::book::tests::{AT, body};
    use crate::book::{Book, How};
    use crate::limits::Limits;
    use crate::payments::tests::one_payment;
    use crate::script::tests::script;
    use crate::workload::Sent;

    fn most(holds: &[(u64, u64, u64)]) -> u64 {
        most_at_once(holds.iter().map(|&(from_ns, until_ns, units)| Hold {
            from_ns,
            until_ns,
            units,
        }))
    }

    #[test]
    fn only_what_overlaps_is_added() {
        assert_eq!(most(&[]), 0);
        assert_eq!(most(&[(0, u64::MAX, 2), (5, u64::MAX, 3)]), 5);
        assert_eq!(most(&[(0, 5, 2), (5, 9, 3)]), 3);
        assert_eq!(most(&[(0, 6, 2), (5, 9, 3), (8, u64::MAX, 1)]), 5);
    }

    #[test]
    fn a_hold_that_may_have_ended_at_once_proves_nothing() {
        assert_eq!(most(&[(5, 5, 9), (7, 3, 9)]), 0);
    }

    #[test]
    fn peaks_are_found_by_sku_and_by_buyer() {
        // Two buyers of one SKU take turns; each order is acknowledged a second after the one before.
        let script = script(2, 1);
        let mut book = Book::new(&script, &Limits::DEFAULT, true);
        for number in 0..6 {
            let now_ns = (number + 1) * 1_000_000_000;
            let sent = Sent { sent_ns: now_ns, now_ns, ..AT };
            let order = body(&script, number, &format!("order-{number}"));
            book.acknowledge(&script, number, How::Made, &sent, &order);
        }
        let peaks = Peaks::of(&script, &book, &[2]);
        assert_eq!((peaks.by_sku, peaks.over_limit), (vec![6], vec![(0, 0, 3), (1, 0, 3)]));
        // The first buyer's first order is given back before his third.
        book.orders[0].until_ns = 4_500_000_000;
        let peaks = Peaks::of(&script, &book, &[2]);
        assert_eq!((peaks.by_sku, peaks.over_limit), (vec![5], vec![(1, 0, 3)]));
        assert_eq!(Peaks::of(&script, &book, &[0]).over_limit, []);
    }

    #[test]
    fn what_a_late_payment_takes_again_counts_for_the_sku_and_for_no_limit() {
        let (script, mut book) = one_payment();
        book.orders[0].until_ns = 600_000_000_000;
        let payment = book.payments.of_mut(0).unwrap();
        payment.success.send(700_000_000_000);
        payment.success.answer(700_000_000_000);
        (payment.was_over, payment.is_paid) = (true, true);
        // The same buyer orders once more before the payment comes.
        let sent = Sent { sent_ns: 650_000_000_000, now_ns: 650_000_000_000, ..AT };
        book.acknowledge(&script, 9, How::Made, &sent, &body(&script, 9, "order-9")).unwrap();
        let peaks = Peaks::of(&script, &book, &[1]);
        assert_eq!((peaks.by_sku, peaks.over_limit), (vec![2], vec![]));
    }
}
