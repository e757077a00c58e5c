//! Payments: each succeeds at most once, and is given back at most once.

use sluice_core::event::{
    Lines, Meta, NoticeUnmatched, OrderPaid, OrderStatus, PaymentFailed, PaymentStarted,
    RefundEnded, RefundReason, RefundRequested, Returned, total,
};
use sluice_core::id::{OrderId, PaymentId};
use sluice_core::money::Amount;
use sluice_core::name::{SaleId, SkuId};
use sluice_core::outcome::PaymentStatus;
use sluice_core::time::Timestamp;

use super::skus::Change;
use super::{Model, Past};

/// A payment.
#[derive(Clone, Debug)]
pub struct Payment {
    /// The order that it is for.
    pub order: OrderId,
    /// What is paid.
    pub amount: Amount,
    /// Its states over time.
    pub states: Past<PaymentStatus>,
    /// Whether giving it back ends its order.
    pub ends_order: bool,
    /// With which record it was asked back.
    pub asked_back: Option<u64>,
    /// With which record the provider first said that it cannot give it back.
    pub refund_failed: Option<u64>,
}

impl Payment {
    /// Its state now.
    pub fn status(&self) -> PaymentStatus {
        self.states.last().expect("it was begun").1
    }
}

/// What a line is, whatever lots it comes from.
fn wishes(lines: &Lines) -> Vec<(&SkuId, u32, &Option<SaleId>)> {
    lines.iter().map(|line| (&line.sku, line.quantity.get(), &line.sale)).collect()
}

impl Model {
    fn payment(&self, id: PaymentId, order: OrderId) -> Result<&Payment, String> {
        let found = self.payments.get(&id).filter(|payment| payment.order == order);
        found.ok_or_else(|| format!("I10 order {order} has no payment {id}"))
    }

    /// A payment's next state.
    fn settle(&mut self, sequence: u64, id: PaymentId, status: PaymentStatus) -> &mut Payment {
        let payment = self.payments.get_mut(&id).expect("it was looked up");
        payment.states.push((sequence, status));
        payment
    }

    pub(super) fn payment_started(
        &mut self,
        sequence: u64,
        meta: &Meta,
        started: &PaymentStarted,
    ) -> Result<(), String> {
        let PaymentStarted { payment: id, order, version, .. } = *started;
        let known = self.order(order)?;
        let open = |id: &PaymentId| self.payments[id].status() == PaymentStatus::Open;
        if known.status() != OrderStatus::Reserved || known.payments.iter().any(open) {
            return Err(format!("I10 {id} is begun for {known:?}"));
        }
        if Some(started.amount) != total(known.lines()) || started.currency != known.currency {
            return Err(format!("{started:?} is for {known:?}"));
        }
        let extends = known.payments.is_empty() && self.extension_us > 0;
        let due = known.expires_at();
        if !self.is_put_off(extends, due, (meta.time, started.expires_at)) {
            return Err(format!("I10 {id} puts {due} off to {}", started.expires_at));
        }
        let payment = Payment {
            order,
            amount: started.amount,
            states: vec![(sequence, PaymentStatus::Open)],
            ends_order: false,
            asked_back: None,
            refund_failed: None,
        };
        if self.payments.insert(id, payment).is_some() {
            return Err(format!("I3 payment {id} is begun twice"));
        }
        self.enter((sequence, meta.time), order, (version, OrderStatus::Reserved))?;
        let known = self.order_mut(order);
        known.payments.push(id);
        known.deadlines.push((sequence, started.expires_at));
        Ok(())
    }

    /// Whether a deadline is put off as it should: by whole seconds, once, as far as it must be.
    fn is_put_off(
        &self,
        extends: bool,
        due: Timestamp,
        (now, put_off): (Timestamp, Timestamp),
    ) -> bool {
        let until = now.plus_micros(self.extension_us);
        if !extends || until <= due || due <= now {
            return put_off == due;
        }
        put_off >= until
            && put_off.micros_since(until) < 1_000_000
            && put_off.micros_since(due).is_multiple_of(1_000_000)
    }

    pub(super) fn payment_failed(
        &mut self,
        sequence: u64,
        meta: &Meta,
        failed: &PaymentFailed,
    ) -> Result<(), String> {
        let payment = self.payment(failed.payment, failed.order)?;
        if payment.status() != PaymentStatus::Open {
            return Err(format!("{payment:?} fails"));
        }
        let status = self.order(failed.order)?.status();
        self.settle(sequence, failed.payment, PaymentStatus::Failed);
        self.enter((sequence, meta.time), failed.order, (failed.version, status))
    }

    pub(super) fn paid(
        &mut self,
        sequence: u64,
        meta: &Meta,
        paid: &OrderPaid,
    ) -> Result<(), String> {
        let payment = self.payment(paid.payment, paid.order)?;
        if !matches!(payment.status(), PaymentStatus::Open | PaymentStatus::Failed) {
            return Err(format!("{payment:?} succeeds again"));
        }
        let order = self.order(paid.order)?;
        let right = match order.status() {
            OrderStatus::Reserved => !paid.late && paid.lines == *order.lines(),
            OrderStatus::Expired | OrderStatus::Cancelled => {
                paid.late
                    && order.status() != OrderStatus::Waiting
                    && wishes(&paid.lines) == wishes(order.lines())
                    && total(&paid.lines) == total(order.lines())
            }
            _ => false,
        };
        if !right {
            return Err(format!("I10 {paid:?} is of {order:?}"));
        }
        self.settle(sequence, paid.payment, PaymentStatus::Succeeded);
        let change = if paid.late { Change::SellLate } else { Change::Sell };
        for line in &paid.lines {
            self.sku_mut(&line.sku)?.shift((sequence, meta.time), &line.draws, change)?;
        }
        if paid.late {
            self.order_mut(paid.order).held.push((sequence, paid.lines.clone()));
        }
        self.enter((sequence, meta.time), paid.order, (paid.version, OrderStatus::Paid))
    }

    pub(super) fn refund_requested(
        &mut self,
        sequence: u64,
        meta: &Meta,
        asked: &RefundRequested,
    ) -> Result<(), String> {
        use OrderStatus as S;
        let payment = self.payment(asked.payment, asked.order)?;
        let order = self.order(asked.order)?;
        if payment.asked_back.is_some() {
            return Err(format!("{} is asked back twice", asked.payment));
        }
        let is_paid = payment.status() == PaymentStatus::Succeeded;
        let (was, goes_on) = (order.status(), asked.status);
        let back = asked.returned != Returned::Nothing;
        let right = match asked.reason {
            RefundReason::Operator => {
                matches!(was, S::Paid | S::Shipped | S::Delivered) && goes_on == S::Refunding
            }
            RefundReason::Late => {
                matches!(was, S::Expired | S::Cancelled) && goes_on == S::Refunding
            }
            RefundReason::Second => {
                !matches!(was, S::Waiting | S::Reserved | S::Expired | S::Cancelled)
                    && goes_on == was
            }
        };
        let by_operator = asked.reason == RefundReason::Operator;
        let all = if by_operator { *order.lines() == asked.lines } else { asked.lines.is_empty() };
        let same = asked.amount == payment.amount && asked.currency == order.currency;
        if !right || is_paid != by_operator || back != by_operator || !all || !same {
            return Err(format!("I10 {asked:?} of {payment:?}, {order:?}"));
        }
        let payment = self.settle(sequence, asked.payment, PaymentStatus::Refunding);
        payment.asked_back = Some(sequence);
        payment.ends_order = asked.reason != RefundReason::Second;
        let change = match asked.returned {
            Returned::Withdrawn => Change::WriteOff,
            _ => Change::TakeBack,
        };
        for line in &asked.lines {
            self.sku_mut(&line.sku)?.shift((sequence, meta.time), &line.draws, change)?;
        }
        self.enter((sequence, meta.time), asked.order, (asked.version, asked.status))
    }

    pub(super) fn refund_ended(
        &mut self,
        sequence: u64,
        meta: &Meta,
        ended: &RefundEnded,
        succeeded: bool,
    ) -> Result<(), String> {
        let payment = self.payment(ended.payment, ended.order)?;
        let was = self.order(ended.order)?.status();
        let ends = succeeded && payment.ends_order;
        let status = if ends { OrderStatus::Refunded } else { was };
        if payment.status() != PaymentStatus::Refunding || ended.status != status {
            return Err(format!("{ended:?} of {payment:?}"));
        }
        let status = match succeeded {
            true => PaymentStatus::Refunded,
            false => PaymentStatus::Refunding,
        };
        let payment = self.settle(sequence, ended.payment, status);
        if !succeeded {
            payment.refund_failed.get_or_insert(sequence);
        }
        self.enter((sequence, meta.time), ended.order, (ended.version, ended.status))
    }

    pub(super) fn unmatched(
        &mut self,
        sequence: u64,
        notice: &NoticeUnmatched<'_>,
    ) -> Result<(), String> {
        let about = (notice.payment, notice.order, notice.amount, notice.currency);
        if let Some((id, payment)) = self.matching(about) {
            let asked = payment.asked_back.is_some();
            let of_refund = notice.kind as u8 >= 3;
            if !of_refund || asked {
                return Err(format!("a notice about {id} is taken for nobody's"));
            }
        }
        let words = format!("{notice:?}");
        self.unmatched.entry(words).or_insert(sequence);
        Ok(())
    }

    /// The payment in the ledger of which all this is true.
    fn matching(&self, about: (&str, &str, Amount, &str)) -> Option<(PaymentId, &Payment)> {
        self.ever_matching(about).filter(|(_, payment)| self.order(payment.order).is_ok())
    }

    /// The payment of which all this is true, whether its order has left or not.
    pub fn ever_matching(
        &self,
        (payment, order, amount, currency): (&str, &str, Amount, &str),
    ) -> Option<(PaymentId, &Payment)> {
        let id = PaymentId::parse(payment)?;
        let known = self.payments.get(&id)?;
        let same = order == known.order.to_string()
            && amount == known.amount
            && currency == self.orders[&known.order].currency.as_str();
        same.then_some((id, known))
    }
}
