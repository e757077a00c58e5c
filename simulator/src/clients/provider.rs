//! Who pays, and the payment provider: its notices come late, several times, in any order, and
//! some of them are wrong.

use sluice_core::command::{Notice, StartPayment};
use sluice_core::event::{NoticeKind, OrderStatus};
use sluice_core::id::{OrderId, PaymentId, RequestId, SlotId};
use sluice_core::money::Amount;
use sluice_core::outcome::PaymentStatus;

use crate::chance::Chance;
use crate::model::{Model, Payment};
use crate::requests::Body;

use super::{CELL, Clients, Question, Sight};

/// Notices that are kept to be said again.
const KEPT_MAX: usize = 8;

impl Clients {
    /// A start of payment, mostly of a hold of the buyer's own.
    pub(super) fn start_payment(&self, chance: &mut Chance, sight: Sight<'_>) -> Body {
        let (mut order, mut asker) = self.some_order(chance, sight);
        let held: Vec<OrderId> = sight.model.reserved().map(|(id, _)| id).collect();
        let begun = |id: &OrderId| sight.model.orders[id].payments.len();
        let most = held.iter().copied().max_by_key(begun);
        if !chance.one_in(4)
            && let Some(id) = if chance.one_in(2) { most } else { pick(chance, &held) }
        {
            order = id;
            asker = sight.model.orders[&id].buyer.clone();
        }
        let begun = sight.model.orders.get(&order).and_then(|order| order.payments.last());
        let again = begun.copied().filter(|_| chance.one_in(20));
        let again = again.filter(|_| sight.may_be_drawn_again(order));
        let start = StartPayment {
            payment: again.unwrap_or(PaymentId::from_bits(0)),
            order,
            buyer: sight.hash_key.buyer(&asker),
            request: RequestId::NONE,
        };
        Body::StartPayment(start, asker)
    }

    /// What the provider says next, once or up to five times.
    pub(super) fn notices(&mut self, chance: &mut Chance, sight: Sight<'_>) -> Vec<Question> {
        if sight.model.payments.is_empty() && !chance.one_in(8) {
            return self.place(chance, sight);
        }
        let notice = match pick(chance, &self.notices) {
            Some(earlier) if chance.one_in(4) => earlier,
            _ => self.notice(chance, sight),
        };
        if self.notices.len() == KEPT_MAX {
            self.notices.remove(0);
        }
        self.notices.push(notice.clone());
        let times = if chance.one_in(3) { chance.between(2, 5) } else { 1 };
        (0..times).map(|_| self.question(chance, Body::Notify(notice.clone()), sight)).collect()
    }

    fn notice(&self, chance: &mut Chance, sight: Sight<'_>) -> Notice {
        let recent: Vec<PaymentId> = sight.model.payments.keys().rev().take(8).copied().collect();
        let late = recent.iter().copied().filter(|id| is_late(sight.model, *id));
        let late: Vec<PaymentId> = late.collect();
        let id = match pick(chance, &late) {
            Some(id) if chance.one_in(2) => Some(id),
            _ => pick(chance, &recent),
        };
        let Some(id) = id.filter(|_| !chance.one_in(16)) else {
            return unknown(chance, sight);
        };
        let payment = &sight.model.payments[&id];
        let refunding = payment.status() == PaymentStatus::Refunding;
        let kind = match chance.below(8) {
            0 | 1 if refunding => NoticeKind::RefundFailed,
            2..=6 if refunding => NoticeKind::RefundSucceeded,
            0..=4 => NoticeKind::PaymentSucceeded,
            5 | 6 => NoticeKind::PaymentFailed,
            _ => chance.pick(&NoticeKind::ALL).0,
        };
        let mut notice = true_notice(sight.model, (id, payment), kind);
        match chance.below(24) {
            0 => notice.amount = Amount::new(notice.amount.minor() + 1).expect("in range"),
            1 => notice.currency = "USD".into(),
            2 => notice.order = id.to_string().into(),
            _ => {}
        }
        notice
    }

    /// Some order that was paid.
    pub(super) fn some_paid(&self, chance: &mut Chance, sight: Sight<'_>) -> OrderId {
        let was_paid = |order: &&OrderId| {
            let status = sight.model.orders[*order].status();
            matches!(status, OrderStatus::Paid | OrderStatus::Shipped | OrderStatus::Delivered)
        };
        let paid = sight.model.payments.values().map(|payment| &payment.order).filter(was_paid);
        let paid: Vec<OrderId> = paid.copied().collect();
        match pick(chance, &paid) {
            Some(order) if !chance.one_in(6) => order,
            _ => self.some_order(chance, sight).0,
        }
    }

    /// That each refund which was asked for and not settled succeeds.
    pub(crate) fn settle_refunds(
        &mut self,
        chance: &mut Chance,
        sight: Sight<'_>,
    ) -> Vec<Question> {
        let open = sight.model.payments.iter();
        let open = open.filter(|(_, payment)| payment.status() == PaymentStatus::Refunding);
        let open = open.filter(|(_, payment)| sight.model.orders[&payment.order].retired.is_none());
        let notices: Vec<Notice> = open
            .map(|(id, payment)| {
                true_notice(sight.model, (*id, payment), NoticeKind::RefundSucceeded)
            })
            .collect();
        let bodies = notices.into_iter().map(Body::Notify);
        bodies.map(|body| self.question(chance, body, sight)).collect()
    }
}

fn pick<T: Clone>(chance: &mut Chance, all: &[T]) -> Option<T> {
    (!all.is_empty()).then(|| chance.pick(all).clone())
}

/// Whether the hold has ended of which the payment is.
fn is_late(model: &Model, id: PaymentId) -> bool {
    let payment = &model.payments[&id];
    let order = &model.orders[&payment.order];
    matches!(order.status(), OrderStatus::Expired | OrderStatus::Cancelled)
        && matches!(payment.status(), PaymentStatus::Open | PaymentStatus::Failed)
}

fn true_notice(model: &Model, (id, payment): (PaymentId, &Payment), kind: NoticeKind) -> Notice {
    Notice {
        kind,
        payment: id.to_string().into(),
        order: payment.order.to_string().into(),
        amount: payment.amount,
        currency: model.orders[&payment.order].currency.as_str().into(),
        request: RequestId::NONE,
    }
}

/// About a payment that nobody began, or in words that are no id.
fn unknown(chance: &mut Chance, sight: Sight<'_>) -> Notice {
    let slot = SlotId::new(chance.below(1_024) as u16).expect("in range");
    let id = PaymentId::new(sight.now, CELL, slot, chance.below(3)).to_string();
    Notice {
        kind: chance.pick(&NoticeKind::ALL).0,
        payment: if chance.one_in(2) { id.into() } else { "pay-7".into() },
        order: "order-7".into(),
        amount: Amount::new(chance.below(3)).expect("in range"),
        currency: if chance.one_in(2) { "CNY" } else { "¥" }.into(),
        request: RequestId::NONE,
    }
}
