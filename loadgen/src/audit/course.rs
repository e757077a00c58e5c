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
    let told_us = order.expires_us().ok().flatten();
    // The start of a payment may extend a hold.
    let is_extended = has_payment && told_us > known.expires_us;
    if !is_extended && told_us != known.expires_us {
        book.findings.add(Kind::ChangedOrder, || format!("{}, expires_at", example()));
    }
    let expires_us = if is_extended { told_us } else { known.expires_us };
    // Surely held until now, and until the deadline may have come; who waits may have its units then.
    let over_ns = expires_us.and_then(|expires_us| book.clock.earliest_ns(expires_us));
    known.until_ns = over_ns.map_or(u64::MAX, |over_ns| over_ns.max(sent.now_ns));
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

#[cfg(test)]
mod tests {
    use super::{Seen, check};
    use crate::book::tests::{AT, body};
    use crate::finding::Kind;
    use crate::order::Order;
    use crate::payments::Payment;
    use crate::payments::tests::one_payment;
    use crate::workload::Sent;

    const SECOND: u64 = 1_000_000_000;

    /// What is found when an order with such a payment is read as `status` after 700 s.
    fn read(status: &str, change: impl Fn(&mut Payment)) -> Vec<Kind> {
        let (script, mut book) = one_payment();
        change(book.payments.of_mut(0).unwrap());
        let told = String::from_utf8(body(&script, 0, "order-0")).unwrap();
        let told = told.replace("reserved", status);
        let order = Order::read(told.as_bytes()).unwrap();
        let sent = Sent { sent_ns: 700 * SECOND, now_ns: 700 * SECOND, ..AT };
        check(&script, &mut book, &mut Seen::nothing(1), 0, &order, &sent);
        book.findings.kinds()
    }

    fn in_time(payment: &mut Payment) {
        payment.success.send(3 * SECOND);
        payment.success.answer(3 * SECOND);
    }

    fn late(payment: &mut Payment) {
        payment.was_over = true;
        payment.success.send(690 * SECOND);
        payment.success.answer(690 * SECOND);
    }

    fn refund_granted(payment: &mut Payment) {
        in_time(payment);
        payment.refund.send(4 * SECOND);
        payment.refund.answer(4 * SECOND);
    }

    fn refund_settled(payment: &mut Payment) {
        refund_granted(payment);
        payment.refunded.send(5 * SECOND);
        payment.refunded.answer(5 * SECOND);
    }

    #[test]
    fn what_was_paid_in_time_is_paid_and_nothing_else() {
        for status in ["paid", "shipped", "delivered"] {
            assert_eq!(read(status, in_time), [], "{status}");
        }
        assert_eq!(read("expired", in_time), [Kind::PaymentLost]);
        assert_eq!(read("refunding", in_time), [Kind::PaymentLost]);
        assert_eq!(read("reserved", in_time), [Kind::HeldTooLong, Kind::PaymentLost]);
        assert_eq!(read("cancelled", in_time), [Kind::CancelledUnasked, Kind::PaymentLost]);
    }

    #[test]
    fn what_was_paid_late_is_confirmed_or_goes_back() {
        for status in ["paid", "refunding"] {
            assert_eq!(read(status, late), [], "{status}");
        }
        assert_eq!(read("expired", late), [Kind::LatePaymentLost]);
        // Nobody had told that the money is back.
        assert_eq!(read("refunded", late), [Kind::PaidUnasked]);
    }

    #[test]
    fn what_nobody_paid_is_not_paid() {
        assert_eq!(read("paid", |_| {}), [Kind::PaidUnasked]);
        assert_eq!(read("refunding", |_| {}), [Kind::PaidUnasked]);
        assert_eq!(read("expired", |_| {}), []);
        // Told, and not answered: either is right.
        for status in ["paid", "expired"] {
            assert_eq!(read(status, |payment| payment.success.send(3 * SECOND)), [], "{status}");
        }
    }

    #[test]
    fn a_refund_that_was_granted_and_settled_is_in_force() {
        assert_eq!(read("refunded", refund_settled), []);
        assert_eq!(read("refunding", refund_granted), []);
        assert_eq!(read("refunding", refund_settled), [Kind::RefundUndone]);
        assert_eq!(read("paid", refund_granted), [Kind::RefundUndone]);
    }
}
