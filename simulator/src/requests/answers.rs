//! Whether an answer fits its question and is true.

use sluice_core::command::{Notice, Place, Ship};
use sluice_core::event::{NoticeKind, OrderStatus, SaleMove};
use sluice_core::outcome::{OrderView, Outcome, PaymentStatus, SaleView, StockView};

use crate::marks::{Mark, Marks};
use crate::model::{Model, Payment, at};
use crate::refusals::Case;

use super::shown::{listed, on_sale, paying, shown, stocked};
use super::{Body, Request, Requests, Verdict, words_of};

impl Requests {
    /// Whether the answer is true; says whether the request must, or must not, have made a record.
    pub(super) fn judge(
        &self,
        model: &Model,
        request: &Request,
        outcome: &Outcome,
        to: u64,
        marks: &mut Marks,
    ) -> Result<Option<bool>, String> {
        let seen = (request, to);
        let never = |()| Some(false);
        match (&request.body, outcome) {
            (_, Outcome::Refused(refusal)) => {
                let (limits, now) = (&self.limits, self.now);
                let disk_was_full = self.disk_was_full;
                let case = Case { model, request, to, limits, now, disk_was_full };
                case.judge(refusal, marks).map(never)
            }
            (Body::Place(place), Outcome::Placed(view)) => {
                self.made(model, place, view, seen, marks).map(|()| Some(true))
            }
            (Body::Place(place), Outcome::Repeated(view)) => {
                self.repeated(model, place, view, seen, marks).map(never)
            }
            (Body::ReadByKey(buyer, key), Outcome::Order(view)) => {
                shown(model, view, Some(buyer), seen)?;
                match model.orders[&view.order].key.as_ref() == Some(key) {
                    true => Ok(Some(false)),
                    false => Err("I3 the order of another key".to_owned()),
                }
            }
            (body, Outcome::Order(view)) => changed(model, body, view, seen, marks),
            (Body::StartPayment(start, buyer), Outcome::Payment { created, payment }) => {
                paying(model, payment, seen, *created)?;
                let own = model.orders[&payment.order].buyer == *buyer;
                let right = own
                    && payment.order == start.order
                    && payment.status == PaymentStatus::Open
                    && (payment.payment == start.payment || !*created);
                right.then_some(Some(*created)).ok_or_else(|| "another payment".to_owned())
            }
            (Body::Notify(notice), Outcome::Noted) => {
                noted(model, notice, seen, marks).map(|()| None)
            }
            // It has a record, and that is durable: `answered` looks for it.
            (Body::SkipRecord(_), Outcome::Noted) => Ok(Some(true)),
            (Body::List(list, buyer), Outcome::Orders(page)) => {
                listed(model, (list, buyer), page, seen, marks).map(never)
            }
            (body, Outcome::Stock { created, stock }) => {
                supplied(model, body, (*created, stock), seen)
            }
            (Body::DefineSale(define), Outcome::Sale { sale, .. }) if sale.sale == define.sale => {
                on_sale(model, sale, seen).map(|()| Some(true))
            }
            (Body::MoveSale(id, to), Outcome::Sale { created: false, sale })
                if sale.sale == *id =>
            {
                on_sale(model, sale, seen)?;
                match is_moved(sale, *to) {
                    true => Ok(None),
                    false => Err("the sale is not moved".to_owned()),
                }
            }
            (Body::Relocate(..), Outcome::Relocated) => Ok(Some(false)),
            _ => Err("no answer to that question".to_owned()),
        }
    }

    /// A new order, just made.
    fn made(
        &self,
        model: &Model,
        place: &Place,
        view: &OrderView,
        (request, to): (&Request, u64),
        marks: &mut Marks,
    ) -> Verdict {
        if view.order != place.order || view.version != 1 {
            return Err("another order was placed".to_owned());
        }
        if let Some(key) = &place.key
            && model.made_by(&place.buyer.name, &key.name).count() > 1
        {
            marks.hit(Mark::KeyUsedAnew);
        }
        if place.key.is_some() && self.was_lost(place, request.run) {
            marks.hit(Mark::OrderMadeAfterLoss);
        }
        shown(model, view, Some(&place.buyer.name.to_string()), (request, to))
    }

    /// The order of an earlier request.
    fn repeated(
        &self,
        model: &Model,
        place: &Place,
        view: &OrderView,
        (request, to): (&Request, u64),
        marks: &mut Marks,
    ) -> Verdict {
        shown(model, view, Some(&place.buyer.name.to_string()), (request, to))?;
        let order = &model.orders[&view.order];
        if order.key.as_deref() != place.key.as_ref().map(|key| &*key.name)
            || order.fingerprint != place.fingerprint
        {
            return Err("I3 the order of another key or request".to_owned());
        }
        if order.states[0].0 > request.from {
            marks.hit(Mark::RetryMeetsFirst);
        }
        if self.placed.get(&view.order).is_some_and(|run| *run < request.run) {
            marks.hit(Mark::RetryAfterCrash);
        }
        Ok(())
    }
}

/// One order, that was read or changed.
fn changed(
    model: &Model,
    body: &Body,
    view: &OrderView,
    (request, to): (&Request, u64),
    marks: &mut Marks,
) -> Result<Option<bool>, String> {
    let (order, buyer) = body.order().ok_or("nobody asked for an order")?;
    if view.order != order {
        return Err("another order".to_owned());
    }
    shown(model, view, buyer, (request, to))?;
    let (right, id) = match body {
        Body::Cancel(cancel, _) => (view.status == OrderStatus::Cancelled, Some(cancel.request)),
        Body::Ship(ship) => return shipped(model, ship, (request, to), marks),
        Body::Deliver(_) => (view.status == OrderStatus::Delivered, None),
        Body::Refund(_) => {
            (matches!(view.status, OrderStatus::Refunding | OrderStatus::Refunded), None)
        }
        _ => return Ok(Some(false)),
    };
    if !right {
        return Err("it is not in the state asked for".to_owned());
    }
    // Whoever was first has the record.
    let sequence = model.orders[&order].entered(view.version);
    Ok(id.map(|id| model.requests.get(&id.bits()) == Some(&sequence) && sequence > request.from))
}

/// An order that is or was on its way: a repeat is answered by what became of it since.
fn shipped(
    model: &Model,
    ship: &Ship,
    (request, to): (&Request, u64),
    marks: &mut Marks,
) -> Result<Option<bool>, String> {
    let parcel = model.orders[&ship.order].parcel.as_ref();
    let parcel = parcel.filter(|parcel| parcel.is_of(ship) && parcel.since <= to);
    let since = parcel.ok_or("it was not shipped so")?.since;
    let first = model.requests.get(&ship.request.bits()) == Some(&since) && since > request.from;
    if !first {
        marks.hit(Mark::ShippedAgain);
    }
    Ok(Some(first))
}

/// A stock that was read or changed.
fn supplied(
    model: &Model,
    body: &Body,
    (created, stock): (bool, &StockView),
    (request, to): (&Request, u64),
) -> Result<Option<bool>, String> {
    let sku = body.sku().ok_or("nobody asked for a stock")?;
    stocked(model, request, (sku, stock), to)?;
    match body {
        Body::ReadStock(_) if created => Err("reading makes nothing".to_owned()),
        Body::Receive(receive) if !stock.lots.iter().any(|lot| lot.lot == receive.lot) => {
            Err("the lot is not there".to_owned())
        }
        Body::Define(_) => Ok(Some(true)),
        _ => Ok(Some(created)),
    }
}

fn is_moved(sale: &SaleView, to: SaleMove) -> bool {
    match to {
        SaleMove::Paused => sale.paused,
        SaleMove::Resumed => !sale.paused,
        SaleMove::Ended => sale.ended,
    }
}

/// What a provider said is durable when it is told so: its effect, or that it fitted nothing (I2).
fn noted(model: &Model, notice: &Notice, (_, to): (&Request, u64), marks: &mut Marks) -> Verdict {
    let unmatched = model.unmatched.get(&words_of(notice)).is_some_and(|since| *since <= to);
    let about = (&*notice.payment, &*notice.order, notice.amount, &*notice.currency);
    let known = model.ever_matching(about);
    let done = |payment: &Payment| {
        use PaymentStatus as S;
        let status = at(&payment.states, to).copied();
        let failed = payment.refund_failed.is_some_and(|since| since <= to);
        match notice.kind {
            NoticeKind::PaymentSucceeded => {
                matches!(status, Some(S::Succeeded | S::Refunding | S::Refunded))
            }
            NoticeKind::PaymentFailed => status.is_some_and(|status| status != S::Open),
            NoticeKind::RefundSucceeded => status == Some(S::Refunded),
            NoticeKind::RefundFailed => failed || status == Some(S::Refunded),
        }
    };
    let right = unmatched || known.is_some_and(|(_, payment)| done(payment));
    if unmatched && known.is_some() {
        marks.hit(Mark::NoticeTooEarly);
    }
    right.then_some(()).ok_or_else(|| format!("I2 nothing came of it; known is {known:?}"))
}
