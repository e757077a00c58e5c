//! Payments: begun by buyers, told by providers, given back.
//!
//! Money that moved is never forgotten: each payment that succeeded ends with its order paid, or
//! with one refund asked for. What a provider says may come twice, late, or in any order.

use std::collections::VecDeque;
use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::command::{Command, Envelope, Notice, PlaceLine, Refund, ReplyTo, StartPayment};
use crate::event::{
    Actor, Event, Lines, Meta, NoticeKind, NoticeUnmatched, OrderPaid, OrderStatus, PaymentFailed,
    PaymentStarted, RefundEnded, RefundReason, RefundRequested, Returned,
};
use crate::id::{OrderId, PaymentId};
use crate::outcome::{Outcome, PaymentStatus, PaymentView, Refusal};
use crate::planted::{self, Bug};
use crate::time::Timestamp;

use super::attempt::{Aim, Attempt, LatePayment};
use super::life::at_former_prices;
use super::protocol::{Denial, Shift};
use super::turn::Turn;
use super::{BuyerSlot, Ledger};

/// Notices that fitted no payment and are remembered, of one slot. A snapshot holds no more either.
pub(super) const UNMATCHED_MAX: usize = 64;

impl Ledger {
    pub(super) fn start_payment(&mut self, turn: &mut Turn<'_>, start: &StartPayment) -> Outcome {
        let home = self.slot(start.order.slot());
        let Some(order) = home.own(start.order, start.buyer) else {
            return Outcome::Refused(Refusal::OrderNotFound);
        };
        if order.status != OrderStatus::Reserved {
            return Outcome::Refused(Refusal::OrderState { status: order.status });
        }
        let number = home.orders.find(start.order).expect("it was just found");
        let open = home.payments.find(number, PaymentStatus::Open);
        if let Some((id, _)) = open {
            let payment = home.payment_view(id).expect("it was just found");
            return Outcome::Payment { created: false, payment: Box::new(payment) };
        }
        let begun = home.payments.of_order(number).count();
        if begun >= self.limits.payments_per_order_max {
            return Outcome::Refused(Refusal::Capacity { ceiling: "payments of one order" });
        }
        if home.payments.get(start.payment).is_some() {
            return Outcome::Refused(Refusal::IdTaken);
        }
        let view = home.show(order);
        // A hold that is about to end, because its time is over, is not brought back.
        let extends = begun == 0 && view.expires_at > turn.now;
        let extended = if extends { turn.payment_extension_us } else { 0 };
        let started = PaymentStarted {
            payment: start.payment,
            order: start.order,
            version: view.version + 1,
            amount: view.amount.expect("what is reserved has a price"),
            currency: view.currency,
            expires_at: match extended {
                0 => view.expires_at,
                extended => put_off(view.expires_at, turn.now.plus_micros(extended)),
            },
        };
        let meta = Meta { time: turn.now, actor: Actor::Buyer, request: start.request };
        turn.recorder.record(&meta, &Event::PaymentStarted(started));
        self.slot_mut(start.order.slot()).start_payment(&meta, &started);
        let payment = self.slot(start.order.slot()).payment_view(start.payment);
        let payment = Box::new(payment.expect("it was just begun"));
        Outcome::Payment { created: true, payment }
    }

    /// Takes what a provider says.
    pub(super) fn notify(
        &mut self,
        turn: &mut Turn<'_>,
        notice: Box<Notice>,
        reply: ReplyTo,
        arrived: Timestamp,
    ) {
        let meta = Meta { time: turn.now, actor: Actor::Provider, request: notice.request };
        let Some(id) = self.slot(notice.slot()).matching(&notice) else {
            self.take_down_unmatched(turn, &meta, &notice);
            return turn.effects.answer(reply, Outcome::Noted);
        };
        match notice.kind {
            NoticeKind::PaymentSucceeded => {
                return self.payment_succeeded(turn, id, notice, reply, arrived);
            }
            NoticeKind::PaymentFailed => self.payment_failed(turn, &meta, id),
            NoticeKind::RefundSucceeded => self.refund_ended(turn, &meta, id, true),
            NoticeKind::RefundFailed => self.refund_ended(turn, &meta, id, false),
        }
        turn.effects.answer(reply, Outcome::Noted);
    }

    fn payment_succeeded(
        &mut self,
        turn: &mut Turn<'_>,
        id: PaymentId,
        notice: Box<Notice>,
        reply: ReplyTo,
        arrived: Timestamp,
    ) {
        let meta = Meta { time: turn.now, actor: Actor::Provider, request: notice.request };
        let home = self.slot(id.slot());
        let payment = home.payments.get(id).expect("it matches");
        let known = !matches!(payment.status, PaymentStatus::Open | PaymentStatus::Failed);
        if known && !planted::is(Bug::PaidTwiceRefunded) {
            return turn.effects.answer(reply, Outcome::Noted);
        }
        let order = home.orders.get(payment.order);
        match order.status {
            OrderStatus::Reserved => {
                let lines = home.lines(order);
                let (order, version) = (order.id, order.version + 1);
                let units = lines.clone();
                let paid = OrderPaid { payment: id, order, version, late: false, lines };
                self.record_paid(turn, &meta, &paid, (units, Shift::Sell));
            }
            OrderStatus::Expired | OrderStatus::Cancelled => {
                let buyer = home.buyers.get(order.buyer).digest();
                let slot = id.slot();
                if home.flights.contains_key(&buyer) {
                    let command = Command::Notify(notice);
                    let envelope = Envelope { command, reply, arrived };
                    return self.wait_behind(turn, slot, buyer, envelope);
                }
                let was = home.lines(order);
                let lines = was.iter();
                let late = LatePayment {
                    payment: id,
                    order: order.id,
                    buyer,
                    lines: lines
                        .map(|line| PlaceLine { sku: line.sku.clone(), quantity: line.quantity })
                        .collect(),
                    was,
                    request: notice.request,
                };
                let attempt =
                    Attempt::new(Aim::LatePayment(Box::new(late)), reply, Some(order.buyer));
                return self.advance(turn, attempt, VecDeque::new());
            }
            _ => self.ask_back(turn, &meta, id, RefundReason::Second),
        }
        turn.effects.answer(reply, Outcome::Noted);
    }

    /// Decides on a late payment that all SKU owners have answered: its order gets its units again,
    /// or the money goes back.
    pub(super) fn finish_late_payment(&mut self, turn: &mut Turn<'_>, attempt: &mut Attempt) {
        let Aim::LatePayment(late) = &attempt.aim else { unreachable!("it is about a payment") };
        let meta = Meta { time: turn.now, actor: Actor::Provider, request: late.request };
        let id = late.payment;
        let home = self.slot(id.slot());
        // Meanwhile the order may have left, or another payment of it may have been taken.
        let waits = home.payments.get(id).is_some_and(|payment| {
            matches!(payment.status, PaymentStatus::Open | PaymentStatus::Failed)
        });
        let order = home.order(late.order).filter(|order| {
            waits && matches!(order.status, OrderStatus::Expired | OrderStatus::Cancelled)
        });
        if matches!(attempt.refused, Some((_, Denial::Overloaded))) {
            // Nothing is decided: the provider is to tell it again.
            self.let_go_of(turn, attempt);
            let refusal = Outcome::Refused(Refusal::Overloaded);
            return turn.effects.answer(attempt.take_reply(), refusal);
        }
        let mut lines = attempt.held.clone();
        let fits = attempt.refused.is_none() && {
            at_former_prices(&late.was, &mut lines);
            let draws: usize = lines.iter().map(|line| line.draws.len()).sum();
            draws <= self.limits.draws_per_order_max
        };
        match order {
            Some(order) if fits => {
                let (order, version) = (order.id, order.version + 1);
                let paid = OrderPaid { payment: id, order, version, late: true, lines };
                turn.metrics.paid_late.add(1);
                let units = std::mem::take(&mut attempt.held);
                self.record_paid(turn, &meta, &paid, (units, Shift::SellAtOnce));
            }
            Some(_) => {
                self.let_go_of(turn, attempt);
                self.ask_back(turn, &meta, id, RefundReason::Late);
            }
            None => {
                self.let_go_of(turn, attempt);
                if waits {
                    self.ask_back(turn, &meta, id, RefundReason::Second);
                }
            }
        }
        turn.effects.answer(attempt.take_reply(), Outcome::Noted);
    }

    /// Records that an order is paid; `units` are what its lines come from.
    fn record_paid(
        &mut self,
        turn: &mut Turn<'_>,
        meta: &Meta,
        paid: &OrderPaid,
        (units, shift): (Lines, Shift),
    ) {
        turn.recorder.record(meta, &Event::OrderPaid(paid.clone()));
        turn.metrics.paid.add(1);
        self.slot_mut(paid.order.slot()).pay(meta, paid);
        for line in units {
            self.shift(turn, (line.sku, line.draws), shift);
        }
    }

    fn payment_failed(&mut self, turn: &mut Turn<'_>, meta: &Meta, id: PaymentId) {
        let home = self.slot(id.slot());
        let payment = home.payments.get(id).expect("it matches");
        if payment.status != PaymentStatus::Open {
            return;
        }
        let order = home.orders.get(payment.order);
        let failed = PaymentFailed { payment: id, order: order.id, version: order.version + 1 };
        turn.recorder.record(meta, &Event::PaymentFailed(failed));
        self.slot_mut(id.slot()).fail_payment(meta, &failed);
    }

    fn refund_ended(&mut self, turn: &mut Turn<'_>, meta: &Meta, id: PaymentId, succeeded: bool) {
        let home = self.slot(id.slot());
        let payment = home.payments.get(id).expect("it matches");
        let heard_before = !succeeded && payment.refund_failed;
        if payment.status != PaymentStatus::Refunding || heard_before {
            return;
        }
        let order = home.orders.get(payment.order);
        let ends = succeeded && payment.ends_order;
        let status = if ends { OrderStatus::Refunded } else { order.status };
        let ended =
            RefundEnded { payment: id, order: order.id, version: order.version + 1, status };
        let event = match succeeded {
            true => Event::RefundSucceeded(ended),
            false => Event::RefundFailed(ended),
        };
        turn.recorder.record(meta, &event);
        let count = if succeeded { &turn.metrics.refunded } else { &turn.metrics.refunds_failed };
        count.add(1);
        self.slot_mut(id.slot()).end_refund(meta, &ended, succeeded);
    }

    /// Asks the provider to give a payment back of which no units are held.
    fn ask_back(&mut self, turn: &mut Turn<'_>, meta: &Meta, id: PaymentId, reason: RefundReason) {
        let home = self.slot(id.slot());
        let payment = home.payments.get(id).expect("it matches");
        let order = home.orders.get(payment.order);
        let status = match reason {
            RefundReason::Second => order.status,
            _ => OrderStatus::Refunding,
        };
        let requested = RefundRequested {
            payment: id,
            order: order.id,
            version: order.version + 1,
            status,
            amount: payment.amount,
            currency: home.show(order).currency,
            reason,
            returned: Returned::Nothing,
            lines: Lines::new(),
        };
        self.record_refund(turn, meta, requested);
    }

    fn record_refund(&mut self, turn: &mut Turn<'_>, meta: &Meta, requested: RefundRequested) {
        turn.recorder.record(meta, &Event::RefundRequested(requested.clone()));
        turn.metrics.refunds_requested.add(1);
        self.slot_mut(requested.order.slot()).request_refund(meta, &requested);
        let shift = match requested.returned {
            Returned::Nothing => return,
            Returned::ToStock => Shift::TakeBack,
            Returned::Withdrawn => Shift::WriteOff,
        };
        for line in requested.lines {
            self.shift(turn, (line.sku, line.draws), shift);
        }
    }

    /// Gives a paid order's money back, because an operator says so.
    pub(super) fn refund(&mut self, turn: &mut Turn<'_>, refund: &Refund) -> Outcome {
        let home = self.slot(refund.order.slot());
        let Some(order) = home.order(refund.order) else {
            return Outcome::Refused(Refusal::OrderNotFound);
        };
        match order.status {
            OrderStatus::Paid | OrderStatus::Shipped | OrderStatus::Delivered => {}
            // A retry of a refund whose answer was lost.
            OrderStatus::Refunding | OrderStatus::Refunded => {
                return Outcome::Order(Box::new(home.show(order)));
            }
            status => return Outcome::Refused(Refusal::OrderState { status }),
        }
        let number = home.orders.find(refund.order).expect("it was just found");
        let paid = home.payments.find(number, PaymentStatus::Succeeded);
        let (payment, amount) = paid.map(|(id, payment)| (id, payment.amount)).expect("it is paid");
        let requested = RefundRequested {
            payment,
            order: order.id,
            version: order.version + 1,
            status: OrderStatus::Refunding,
            amount,
            currency: home.show(order).currency,
            reason: RefundReason::Operator,
            returned: match refund.return_to_stock {
                true => Returned::ToStock,
                false => Returned::Withdrawn,
            },
            lines: home.lines(order),
        };
        let meta = Meta { time: turn.now, actor: Actor::Operator, request: refund.request };
        self.record_refund(turn, &meta, requested);
        self.shown(refund.order)
    }

    /// The order as it is now.
    pub(super) fn shown(&self, order: OrderId) -> Outcome {
        let home = self.slot(order.slot());
        let order = home.order(order).expect("it was there");
        Outcome::Order(Box::new(home.show(order)))
    }

    fn take_down_unmatched(&mut self, turn: &mut Turn<'_>, meta: &Meta, notice: &Notice) {
        let unmatched = NoticeUnmatched {
            kind: notice.kind,
            payment: &notice.payment,
            order: &notice.order,
            amount: notice.amount,
            currency: &notice.currency,
        };
        let home = self.slot_mut(notice.slot());
        if home.unmatched.contains(&fingerprint_of(&unmatched)) {
            return;
        }
        home.remember_unmatched(fingerprint_of(&unmatched));
        turn.recorder.record(meta, &Event::NoticeUnmatched(unmatched));
        turn.metrics.unmatched.add(1);
    }
}

/// A deadline put off to `until`, by whole seconds; never brought forward.
fn put_off(deadline: Timestamp, until: Timestamp) -> Timestamp {
    let seconds = until.micros_since(deadline).div_ceil(1_000_000);
    deadline.plus_micros(seconds * 1_000_000)
}

/// By what a notice is recognised that fitted no payment. SipHash-1-3 with the zero key; part of the
/// format of snapshots.
pub(super) fn fingerprint_of(notice: &NoticeUnmatched<'_>) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write_u8(notice.kind as u8);
    hasher.write(&notice.amount.minor().to_le_bytes());
    for words in [notice.payment, notice.order, notice.currency] {
        hasher.write_u8(words.len() as u8);
        hasher.write(words.as_bytes());
    }
    hasher.finish()
}

impl BuyerSlot {
    /// The payment that a notice is about, if all that it says of it is so.
    fn matching(&self, notice: &Notice) -> Option<PaymentId> {
        let id = PaymentId::parse(&notice.payment)?;
        let payment = self.payments.get(id)?;
        let order = self.orders.get(payment.order);
        let currency = self.show(order).currency;
        let same = OrderId::parse(&notice.order) == Some(order.id)
            && payment.amount == notice.amount
            && currency.as_str() == notice.currency;
        if !same && !planted::is(Bug::MismatchConfirmed) {
            return None;
        }
        let of_refund =
            matches!(notice.kind, NoticeKind::RefundSucceeded | NoticeKind::RefundFailed);
        let asked = matches!(payment.status, PaymentStatus::Refunding | PaymentStatus::Refunded);
        (!of_refund || asked).then_some(id)
    }

    /// Remembers a notice that fitted no payment.
    pub(super) fn remember_unmatched(&mut self, fingerprint: u64) {
        if self.unmatched.len() == UNMATCHED_MAX {
            self.unmatched.pop_front();
        }
        self.unmatched.push_back(fingerprint);
    }

    fn payment_view(&self, id: PaymentId) -> Option<PaymentView> {
        let payment = self.payments.get(id)?;
        let order = self.orders.get(payment.order);
        Some(PaymentView {
            payment: id,
            order: order.id,
            amount: payment.amount,
            currency: self.show(order).currency,
            status: payment.status,
        })
    }
}
