//! What became of orders beyond being placed: payments, refunds, standby.

use serde::{Deserialize, Serialize};

use crate::audit::Seen;
use crate::book::{Baskets, Book};
use crate::payments::{self, Timing};
use crate::report::Audit;

impl Audit {
    /// What became of orders beyond being placed, in words.
    pub(crate) fn courses(&self) -> Vec<(&'static str, String)> {
        let Baskets { placed, refused } = self.baskets;
        let baskets = format!("{placed} placed, {refused} refused");
        let mut rows = Vec::new();
        rows.extend(self.standby.row());
        rows.extend((placed + refused > 0).then_some(("baskets", baskets)));
        rows.extend(self.payments.rows());
        rows.extend(self.refunds.row());
        let refused = format!("{} looked up, none has an order", self.refused_without_order);
        rows.extend((self.refused_without_order > 0).then_some(("refused keys", refused)));
        rows
    }
}

/// What became of payments. A webhook is in time if it was answered with 200 while the order was certainly held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payments {
    /// Payments started.
    pub started: u64,
    /// Payments that the server would not start.
    pub refused: u64,
    /// Webhooks sent, repeats and refunds included.
    pub webhooks: u64,
    /// Payments that succeeded in time.
    pub in_time: u64,
    /// Of those, found paid, or refunded as asked.
    pub in_time_found: u64,
    /// Payments that succeeded when the hold had certainly ended.
    pub late: u64,
    /// Of those, found paid.
    pub late_confirmed: u64,
    /// Of those, found refunding or refunded.
    pub late_refunded: u64,
    /// Payments of which nobody can tell whether they were in time.
    pub unsure: u64,
    /// Payments whose success was never answered with 200, or never told.
    pub open: u64,
}

impl Payments {
    pub(crate) fn of(book: &Book, seen: &Seen) -> Payments {
        let timed = |timing: Timing| {
            let is_timed = |payment: &&payments::Payment| {
                payment.timing(&book.orders[payment.place], &book.clock) == timing
            };
            book.payments.list.iter().filter(is_timed).count() as u64
        };
        Payments {
            started: book.payments.list.len() as u64,
            refused: book.payments.refused,
            webhooks: book.payments.webhooks,
            in_time: timed(Timing::InTime),
            in_time_found: seen.paid_in_time,
            late: timed(Timing::Late),
            late_confirmed: seen.late_confirmed,
            late_refunded: seen.late_refunded,
            unsure: timed(Timing::Unsure),
            open: timed(Timing::Open),
        }
    }

    /// What is worth telling, in words.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        if self.started + self.refused == 0 {
            return Vec::new();
        }
        vec![
            (
                "payments",
                format!(
                    "{} started, {} refused; {} webhooks sent",
                    self.started, self.refused, self.webhooks
                ),
            ),
            ("paid in time", format!("{}, as it should be {}", self.in_time, self.in_time_found)),
            (
                "paid late",
                format!(
                    "{}, confirmed {}, refunded {}; in time or late {}, open {}",
                    self.late, self.late_confirmed, self.late_refunded, self.unsure, self.open
                ),
            ),
        ]
    }
}

/// What became of refunds that an operator asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refunds {
    /// Asked for.
    pub asked: u64,
    /// Granted by the server.
    pub granted: u64,
    /// Of those, found refunded.
    pub refunded: u64,
}

impl Refunds {
    pub(crate) fn of(book: &Book, seen: &Seen) -> Refunds {
        let asked = || book.payments.list.iter().filter(|payment| payment.refund.sent_ns.is_some());
        let granted = asked().filter(|payment| payment.refund.answered_ns.is_some());
        Refunds {
            asked: asked().count() as u64,
            granted: granted.count() as u64,
            refunded: seen.refunded,
        }
    }

    /// What is worth telling, in words.
    pub(crate) fn row(&self) -> Option<(&'static str, String)> {
        let text =
            format!("{} asked, {} granted, {} refunded", self.asked, self.granted, self.refunded);
        (self.asked > 0).then_some(("refunds", text))
    }
}

/// What became of orders that were told to wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standby {
    /// Told to wait.
    pub waited: u64,
    /// Of those, seen to get units.
    pub promoted: u64,
    /// Of those, found waiting in the end.
    pub still_waiting: u64,
}

impl Standby {
    pub(crate) fn of(book: &Book, seen: &Seen) -> Standby {
        Standby {
            waited: book.waiters.count(),
            promoted: book.waiters.promoted(),
            still_waiting: seen.by_status.get("waiting").copied().unwrap_or(0),
        }
    }

    /// What is worth telling, in words.
    pub(crate) fn row(&self) -> Option<(&'static str, String)> {
        let text = format!(
            "{} told to wait, {} promoted, {} still waiting",
            self.waited, self.promoted, self.still_waiting
        );
        (self.waited > 0).then_some(("standby", text))
    }
}
