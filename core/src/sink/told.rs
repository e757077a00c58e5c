//! What every copy tells of an event in the same way: the word for it, and which units it moves.

use crate::event::{Event, Line, Returned};

/// One of a lot's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counter {
    Available,
    Held,
    Sold,
    Withdrawn,
}

/// From where to where units move.
pub(super) type Move = (Counter, Counter);

/// The word for what happened to an order; `None` if it is about none.
pub(super) const fn kind(event: &Event<'_>) -> Option<&'static str> {
    Some(match event {
        Event::OrderPlaced(_) => "placed",
        Event::OrderQueued(_) => "queued",
        Event::OrderPromoted(_) => "promoted",
        Event::StandbyLeft(_) | Event::OrderCancelled(_) => "cancelled",
        Event::OrderExpired(_) => "expired",
        Event::PaymentStarted(_) => "payment_started",
        Event::PaymentFailed(_) => "payment_failed",
        Event::OrderPaid(paid) if paid.late => "paid_late",
        Event::OrderPaid(_) => "paid",
        Event::RefundRequested(_) => "refund_requested",
        Event::RefundSucceeded(_) => "refund_succeeded",
        Event::RefundFailed(_) => "refund_failed",
        Event::OrderShipped(_) => "shipped",
        Event::OrderDelivered(_) => "delivered",
        Event::OrderRetired(_) => "retired",
        Event::Genesis(_)
        | Event::FormatRaised(_)
        | Event::SkuDefined(_)
        | Event::LotReceived(_)
        | Event::UnitsWithdrawn(_)
        | Event::NoticeUnmatched(_)
        | Event::SaleDefined(_)
        | Event::SaleMoved(_)
        | Event::RecordSkipped(_) => return None,
    })
}

/// The units of orders that an event moves, and how. Units that arrive or are withdrawn are no
/// order's.
pub(super) fn moves<'e>(event: &'e Event<'_>) -> Option<(&'e [Line], Move)> {
    use Counter::{Available, Held, Sold, Withdrawn};
    Some(match event {
        Event::OrderPlaced(placed) => (&placed.lines, (Available, Held)),
        Event::OrderPromoted(promoted) => (std::slice::from_ref(&promoted.line), (Available, Held)),
        Event::OrderCancelled(ended) | Event::OrderExpired(ended) => {
            (&ended.lines, (Held, Available))
        }
        Event::OrderPaid(paid) if paid.late => (&paid.lines, (Available, Sold)),
        Event::OrderPaid(paid) => (&paid.lines, (Held, Sold)),
        Event::RefundRequested(requested) => match requested.returned {
            Returned::Nothing => return None,
            Returned::ToStock => (&requested.lines, (Sold, Available)),
            Returned::Withdrawn => (&requested.lines, (Sold, Withdrawn)),
        },
        _ => return None,
    })
}
