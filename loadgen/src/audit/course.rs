//! An order's state against what its buyer did, what its provider told, and its deadline.

use super::{HOLD_LATE_MAX_US, Seen};
use crate::book::{Acknowledged, Book, Course};
use crate::finding::Kind;
use crate::order::Order;
use crate::payments::{Payment, Timing};
use crate::script::Script;
use crate::workload::Sent;

/// Checks the order at `place` of the book, read as `order`, and notes until when it surely took its units.
pub(crate) fn check(
    script: &Script,
    book: &mut Book,
    seen: &mut Seen,
    place: usize,
    order: &Order<'_>,
    sent: &Sent,
) {
    let Acknowledged { number, id, .. } = book.orders[place];
    let example = || format!("order {id:?}, {}: {}", script.name(number), order.status);
    match &*order.status {
        "cancelled" => cancelled(book, seen, place, &example),
        "expired" => expired(book, seen, place, sent, &example),
        "reserved" => reserved(book, place, order, sent, &example),
        "waiting" if !book.orders[place].is_waiting => {
            book.findings.add(Kind::ChangedOrder, || format!("{}, status", example()));
        }
        // Their ends are those of their payments.
        "refunding" | "refunded" if book.payments.of(place).is_some() => {}
        _ if order.takes_units() => book.orders[place].until_ns = u64::MAX,
        _ => {
            let known = &mut book.orders[place];
            known.until_ns = known.until_ns.min(known.from_ns);
        }
    }
    if order.status != "cancelled" && book.orders[place].course == Course::Cancelled {
        book.findings.add(Kind::CancelUndone, example);
    }
    paid(book, seen, place, order, &example);
}

fn cancelled(book: &mut Book, seen: &mut Seen, place: usize, example: &dyn Fn() -> String) {
    let known = &mut book.orders[place];
    match known.course {
        Course::Cancelled => seen.cancelled += 1,
        Course::CancelSent => {}
        Course::Kept | Course::Abandoned => {
            known.until_ns = known.from_ns;
            book.findings.add(Kind::CancelledUnasked, example);
        }
    }
}

fn expired(
    book: &mut Book,
    seen: &mut Seen,
    place: usize,
    sent: &Sent,
    example: &dyn Fn() -> String,
) {
    end_by_deadline(book, place);
    let known = &book.orders[place];
    seen.abandoned_expired += u64::from(known.course == Course::Abandoned);
    if let (Some(expires_us), Some((_, most_us))) =
        (known.expires_us, book.clock.shown_us(sent.now_ns))
        && most_us < expires_us
    {
        book.findings.add(Kind::ExpiredEarly, || {
            format!("{}, {} ms early at least", example(), (expires_us - most_us) / 1_000)
        });
    }
}

/// Surely held until the server's clock may have reached the deadline.
fn end_by_deadline(book: &mut Book, place: usize) {
    let known = &mut book.orders[place];
    let over_ns = known.expires_us.and_then(|expires_us| book.clock.earliest_ns(expires_us));
    let over_ns = over_ns.map_or(known.from_ns, |over_ns| over_ns.max(known.from_ns));
    known.until_ns = known.until_ns.min(over_ns);
}

fn reserved(
    book: &mut Book,
    place: usize,
    order: &Order<'_>,
    sent: &Sent,
    example: &dyn Fn() -> String,
) {
    let has_payment = book.payments.of(place).is_some();
    let known = &mut book.orders[place];
    known.until_ns = u64::MAX;
    let told_us = order.expires_us().ok().flatten();
    // The start of a payment may extend a hold.
    let is_extended = has_payment && told_us > known.expires_us;
    if !is_extended && told_us != known.expires_us {
        book.findings.add(Kind::ChangedOrder, || format!("{}, expires_at", example()));
    }
    let expires_us = if is_extended { told_us } else { known.expires_us };
    if let (Some(expires_us), Some((least_us, _))) = (expires_us, book.clock.shown_us(sent.sent_ns))
        && least_us > expires_us + HOLD_LATE_MAX_US
    {
        book.findings.add(Kind::HeldTooLong, || {
            format!("{}, {} ms late at least", example(), (least_us - expires_us) / 1_000)
        });
    }
}

/// Checks what became of a payment, and that nobody was paid or refunded without one.
fn paid(
    book: &mut Book,
    seen: &mut Seen,
    place: usize,
    order: &Order<'_>,
    example: &dyn Fn() -> String,
) {
    let is_refunded = matches!(&*order.status, "refunding" | "refunded");
    let is_paid = matches!(&*order.status, "paid" | "shipped" | "delivered");
    let told = book.payments.of(place).filter(|payment| payment.success.sent_ns.is_some()).copied();
    let Some(payment) = told else {
        if is_paid || is_refunded {
            book.findings.add(Kind::PaidUnasked, example);
        }
        return;
    };
    if let Some(known) = book.payments.of_mut(place) {
        known.is_paid = is_paid;
    }
    let timing = payment.timing(&book.orders[place], &book.clock);
    let is_asked_back = payment.refund.sent_ns.is_some();
    match timing {
        Timing::InTime if is_paid || (is_refunded && is_asked_back) => seen.paid_in_time += 1,
        Timing::InTime => book.findings.add(Kind::PaymentLost, example),
        Timing::Late | Timing::Unsure if is_paid || is_refunded => {
            seen.late_confirmed += u64::from(is_paid && timing == Timing::Late);
            seen.late_refunded += u64::from(is_refunded && timing == Timing::Late);
        }
        Timing::Late | Timing::Unsure => book.findings.add(Kind::LatePaymentLost, example),
        Timing::Open => {}
    }
    check_refund(book, seen, &payment, order, example);
    if timing != Timing::InTime {
        // Between its deadline and its payment it may have had no units.
        end_by_deadline(book, place);
    } else if is_refunded {
        let known = &mut book.orders[place];
        known.until_ns = payment.refund.sent_ns.unwrap_or(known.from_ns);
    }
}

fn check_refund(
    book: &mut Book,
    seen: &mut Seen,
    payment: &Payment,
    order: &Order<'_>,
    example: &dyn Fn() -> String,
) {
    let is_granted = payment.refund.answered_ns.is_some();
    let is_settled = payment.refunded.answered_ns.is_some();
    if order.status == "refunded" {
        seen.refunded += u64::from(is_granted);
        if payment.refunded.sent_ns.is_none() {
            book.findings.add(Kind::PaidUnasked, || format!("{}, told by nobody", example()));
        }
    } else if is_settled || (is_granted && order.status != "refunding") {
        book.findings.add(Kind::RefundUndone, example);
    }
}
