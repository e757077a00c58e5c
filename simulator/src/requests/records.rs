//! Whether a record is what somebody asked for, or what time brought about.

use sluice_core::command::{Notice, Place};
use sluice_core::event::{
    Actor, Event, LeftReason, Line, Meta, NoticeKind, OrderPlaced, OrderQueued, RefundReason,
    RefundRequested, Returned, SaleMove, total,
};
use sluice_core::id::PaymentId;
use sluice_core::time::Timestamp;

use crate::marks::{Mark, Marks};
use crate::model::{Model, is_over, within};

use super::{Body, Request, Requests, Verdict, words_of};

impl Requests {
    /// A record that a request made.
    pub(super) fn asked_for(
        &self,
        model: &Model,
        (meta, event): (&Meta, &Event<'_>),
        request: &Request,
        marks: &mut Marks,
    ) -> Verdict {
        let right = match (event, &request.body) {
            (Event::OrderPlaced(placed), Body::Place(place)) => {
                if placed.lines.len() > 1 && request.shards > 1 {
                    marks.hit(Mark::LinesOverShards);
                }
                return self.placed_as_asked(model, (meta, placed), (place, request));
            }
            (Event::OrderQueued(queued), Body::Place(place)) => {
                marks.hit(Mark::OrderWaits);
                return self.queued_as_asked(model, (meta, queued), (place, request));
            }
            (Event::OrderCancelled(ended), Body::Cancel(cancel, buyer)) => {
                ended.order == cancel.order && model.orders[&ended.order].buyer == *buyer
            }
            (Event::StandbyLeft(left), Body::Cancel(cancel, buyer)) => {
                let own = model.orders[&left.order].buyer == *buyer;
                left.order == cancel.order && own && meta.actor == Actor::Buyer
            }
            (Event::PaymentStarted(started), Body::StartPayment(start, buyer)) => {
                let order = &model.orders[&started.order];
                if order.deadlines.windows(2).any(|pair| pair[0].1 < pair[1].1) {
                    marks.hit(Mark::DeadlinePutOff);
                }
                let own = order.buyer == *buyer;
                started.order == start.order && started.payment == start.payment && own
            }
            (event, Body::Notify(notice)) => {
                return noticed(model, (meta, event), (notice, request), marks);
            }
            (Event::RefundRequested(asked), Body::Refund(refund)) => {
                let returned = match refund.return_to_stock {
                    true => Returned::ToStock,
                    false => Returned::Withdrawn,
                };
                marks.hit(match refund.return_to_stock {
                    true => Mark::RefundedToStock,
                    false => Mark::RefundedAndWithdrawn,
                });
                asked.order == refund.order
                    && asked.returned == returned
                    && asked.reason == RefundReason::Operator
            }
            (event, body) => is_of_operator(model, event, body, marks),
        };
        right.then_some(()).ok_or_else(|| format!("nobody asked for {event:?}, but {request:?}"))
    }

    /// A record that no request made.
    pub(super) fn happened(
        &self,
        model: &Model,
        meta: &Meta,
        event: &Event<'_>,
        marks: &mut Marks,
    ) -> Verdict {
        match event {
            Event::OrderRetired(_) => marks.hit(Mark::OrderRetired),
            Event::OrderPromoted(promoted) => {
                let sku = &model.skus[&promoted.line.sku];
                if !model.alone {
                    marks.hit(Mark::PromotedAcrossShards);
                }
                if model.waiting(sku).any(|(ticket, _)| ticket < promoted.ticket) {
                    marks.hit(Mark::StandbyPassed);
                }
            }
            Event::StandbyLeft(left) => {
                marks.hit(match left.reason {
                    LeftReason::Price => Mark::StandbyTooDear,
                    _ => Mark::SaleEndedWithWaiting,
                });
            }
            Event::SaleMoved(moved) if moved.to == SaleMove::Ended => {
                marks.hit(Mark::SaleEndedByTime);
            }
            Event::OrderExpired(_) | Event::Genesis(_) => {}
            event => return Err(format!("nobody asked for {event:?}")),
        }
        let by_engine = meta.actor == Actor::Engine || matches!(event, Event::Genesis(_));
        by_engine.then_some(()).ok_or_else(|| format!("{meta:?} of {event:?}"))
    }

    fn placed_as_asked(
        &self,
        model: &Model,
        (meta, placed): (&Meta, &OrderPlaced<'_>),
        (place, request): (&Place, &Request),
    ) -> Verdict {
        let lines = placed.lines.iter().map(|line| (&line.sku, line.quantity));
        let same = placed.order == place.order
            && placed.buyer_name == &*place.buyer.name
            && placed.key.map(|(_, key)| key) == place.key.as_ref().map(|key| &*key.name)
            && placed.fingerprint == place.fingerprint
            && lines.eq(place.lines.iter().map(|line| (&line.sku, line.quantity)));
        if !same {
            return Err(format!("I9 asked was {place:?}, the journal has {placed:?}"));
        }
        if total(&placed.lines).is_none_or(|sum| place.max_amount.is_some_and(|most| sum > most)) {
            return Err(format!("{placed:?} costs more than the buyer agreed to"));
        }
        let draws: usize = placed.lines.iter().map(|line| line.draws.len()).sum();
        if draws > self.limits.draws_per_order_max {
            return Err(format!("I6 order {} draws from {draws} lots", placed.order));
        }
        self.is_within_ceilings(model)?;
        let now = model.last_sequence();
        let mut ends_right = false;
        for line in &placed.lines {
            may_have(model, (meta, line), placed.buyer_name, request)?;
            model.overtakes(line, request.from, meta.time)?;
            let sku = &model.skus[&line.sku];
            ends_right |= within(&sku.terms, request.from, now)
                .any(|t| meta.time.plus_seconds(t.hold_seconds) == placed.expires_at);
            let drawn = line.draws.iter().map(|draw| (draw.ordinal, draw.quantity.units()));
            if model.alone && !sku.first_in_first_out_before(line).into_iter().eq(drawn) {
                return Err(format!("{line:?} is not first in first out"));
            }
        }
        if !ends_right {
            return Err(format!("the hold of {} ends at {}", placed.order, placed.expires_at));
        }
        Ok(())
    }

    fn queued_as_asked(
        &self,
        model: &Model,
        (meta, queued): (&Meta, &OrderQueued<'_>),
        (place, request): (&Place, &Request),
    ) -> Verdict {
        let wish = &place.lines[0];
        let same = queued.order == place.order
            && queued.buyer_name == &*place.buyer.name
            && queued.key.map(|(_, key)| key) == place.key.as_ref().map(|key| &*key.name)
            && queued.fingerprint == place.fingerprint
            && queued.max_amount == place.max_amount
            && (&queued.sku, queued.quantity) == (&wish.sku, wish.quantity)
            && place.standby
            && place.lines.len() == 1;
        if !same {
            return Err(format!("asked was {place:?}, the journal has {queued:?}"));
        }
        self.is_within_ceilings(model)?;
        let line = &model.orders[&queued.order].lines()[0];
        may_have(model, (meta, line), queued.buyer_name, request)?;
        let sku = &model.skus[&queued.sku];
        let before = |order: &crate::model::Order| order.states[0].0 <= request.from;
        let mut waiting = model.waiting(sku).filter(|(_, order)| before(order));
        if waiting.any(|(ticket, _)| ticket > queued.ticket) {
            return Err(format!("I11 ticket {} comes before earlier ones", queued.ticket));
        }
        let waiting = model.waiting(sku).filter(|(ticket, _)| *ticket != queued.ticket);
        let passes = sku.newest_terms().standby_pass;
        let units = sku.now().available;
        let blocked = waiting.map(|(_, order)| order.wish()).any(|wish| !passes || wish <= units);
        if model.alone && !blocked && wish.quantity.units() <= units {
            return Err(format!("{queued:?} waits for nobody"));
        }
        let own = model.buyers[queued.buyer_name].iter().map(|order| &model.orders[order]);
        let own = own.filter(|order| order.status() == sluice_core::event::OrderStatus::Waiting);
        if own.count() > self.limits.standby_per_buyer_max {
            return Err(format!("I6 {} waits too often", queued.buyer_name));
        }
        Ok(())
    }

    fn is_within_ceilings(&self, model: &Model) -> Verdict {
        let live = model.orders.values().filter(|order| order.retired.is_none()).count();
        match model.alone && live > self.limits.live_orders_max {
            true => Err("I6 the order is one too many".to_owned()),
            false => Ok(()),
        }
    }
}

/// Whether an operator asked for what was recorded.
fn is_of_operator(model: &Model, event: &Event<'_>, body: &Body, marks: &mut Marks) -> bool {
    match (event, body) {
        (Event::OrderShipped(shipped), Body::Ship(ship)) => {
            shipped.order == ship.order && shipped.carrier == &*ship.carrier
        }
        (Event::OrderDelivered(delivered), Body::Deliver(order)) => {
            marks.hit(Mark::Delivered);
            delivered.order == *order
        }
        (Event::SaleDefined(defined), Body::DefineSale(define)) => {
            defined.sale == define.sale
                && defined.skus == define.skus
                && defined.starts_at == define.starts_at
                && defined.ends_at == define.ends_at
                && defined.per_buyer_limit == define.per_buyer_limit
        }
        (Event::SaleMoved(moved), Body::MoveSale(sale, to)) => {
            moved.sale == *sale && moved.to == *to
        }
        (Event::SkuDefined(defined), Body::Define(_)) => {
            let sale = model.sale_of(&defined.sku, model.last_sequence());
            if sale.is_some() && defined.revision == 1 {
                marks.hit(Mark::SkuMadeAfterSale);
            }
            true
        }
        (Event::RecordSkipped(said), Body::SkipRecord(skip)) => {
            (said.sink, said.sequence, said.why) == (skip.sink, skip.sequence, &*skip.why)
        }
        (Event::LotReceived(_), Body::Receive(_))
        | (Event::UnitsWithdrawn(_), Body::Withdraw(_)) => true,
        _ => false,
    }
}

/// Whether a buyer may have what they just got or wait for: the limits, and the SKU's sale.
fn may_have(
    model: &Model,
    (meta, line): (&Meta, &Line),
    buyer: &str,
    request: &Request,
) -> Verdict {
    let now = model.last_sequence();
    let sku = &model.skus[&line.sku];
    let mut terms = within(&sku.terms, request.from, now);
    let past = model.units_of(buyer, &line.sku);
    let has = past.and_then(|past| past.last()).map_or(0, |(_, units)| *units);
    if !terms.any(|t| t.per_buyer_limit == 0 || has <= u64::from(t.per_buyer_limit)) {
        return Err(format!("{buyer} has {has} units of {}", line.sku));
    }
    let concerns = |news: &u64| {
        let sale = |n| model.sale_of(&line.sku, n).map(|sale| (&sale.sale, sale.revision));
        sale(*news) != sale(*news - 1)
    };
    let told = request.told.iter().copied().filter(concerns).max().unwrap_or(0);
    let from = if model.alone { now } else { request.settled.max(told) };
    let since = if model.alone { meta.time } else { request.asked_at };
    let mut sales = model.sales_within(&line.sku, (from, now));
    let right = sales.any(|sale| match sale {
        None => line.sale.is_none(),
        Some(sale) => {
            let had = line.sale.as_ref().and_then(|sale| model.units_in(buyer, sale));
            let has = had.and_then(|past| past.last()).map_or(0, |(_, units)| *units);
            let open = sale.starts_at <= meta.time && !is_over(sale, since) && !sale.paused;
            let limit = u64::from(sale.per_buyer_limit);
            line.sale.as_ref() == Some(&sale.sale) && open && (limit == 0 || has <= limit)
        }
    });
    let sale = model.sale_of(&line.sku, now);
    right.then_some(()).ok_or_else(|| format!("SALE {line:?} is placed, its sale is {sale:?}"))
}

/// What came of a provider's notice.
fn noticed(
    model: &Model,
    (meta, event): (&Meta, &Event<'_>),
    (notice, request): (&Notice, &Request),
    marks: &mut Marks,
) -> Verdict {
    let order = event.order().map(|order| &model.orders[&order]);
    if order.is_some_and(|order| order.ended_at == Some(meta.time)) {
        marks.hit(Mark::PaidAtDeadline);
    }
    let (kind, of) = match event {
        Event::OrderPaid(paid) => {
            if paid.late {
                marks.hit(Mark::LatePaymentConfirmed);
                for line in &paid.lines {
                    model.overtakes(line, request.from, meta.time)?;
                }
            }
            (NoticeKind::PaymentSucceeded, paid.payment)
        }
        Event::RefundRequested(asked) => {
            may_be_asked_back(model, asked, meta.time, marks)?;
            (NoticeKind::PaymentSucceeded, asked.payment)
        }
        Event::PaymentFailed(failed) => (NoticeKind::PaymentFailed, failed.payment),
        Event::RefundSucceeded(ended) => {
            marks.hit(Mark::RefundSettled);
            (NoticeKind::RefundSucceeded, ended.payment)
        }
        Event::RefundFailed(ended) => {
            marks.hit(Mark::RefundFailed);
            (NoticeKind::RefundFailed, ended.payment)
        }
        Event::NoticeUnmatched(unmatched) => {
            marks.hit(Mark::NoticeUnmatched);
            let same = format!("{unmatched:?}") == words_of(notice);
            return same.then_some(()).ok_or_else(|| format!("{unmatched:?} is not {notice:?}"));
        }
        event => return Err(format!("no provider asked for {event:?}")),
    };
    let known = &model.payments[&of];
    let right = notice.kind == kind
        && PaymentId::parse(&notice.payment) == Some(of)
        && *notice.order == *known.order.to_string()
        && notice.amount == known.amount
        && notice.currency == model.orders[&known.order].currency.as_str()
        && meta.actor == Actor::Provider;
    right.then_some(()).ok_or_else(|| format!("{event:?} is not of {notice:?}"))
}

/// Whether a success is rightly answered by giving the money back: on one shard it is known why.
fn may_be_asked_back(
    model: &Model,
    asked: &RefundRequested,
    now: Timestamp,
    marks: &mut Marks,
) -> Verdict {
    if asked.reason != RefundReason::Late {
        marks.hit(Mark::SecondPaymentRefunded);
        return Ok(());
    }
    marks.hit(Mark::LatePaymentRefunded);
    if !model.alone {
        return Ok(());
    }
    let order = &model.orders[&asked.order];
    let lots: usize = order.lines().iter().map(|line| model.skus[&line.sku].lots.len()).sum();
    let reason = order.lines().iter().any(|line| {
        let sku = &model.skus[&line.sku];
        let units = line.quantity.units();
        let last = |past: Option<&crate::model::Past<u64>>| {
            past.and_then(|past| past.last()).map_or(0, |(_, units)| *units)
        };
        let has = last(model.units_of(&order.buyer, &line.sku));
        let limit = u64::from(sku.newest_terms().per_buyer_limit);
        let sale = model.sale_of(&line.sku, model.last_sequence());
        let over = sale.is_some_and(|sale| {
            let all = order.lines().iter().map(|line| line.quantity.units()).sum::<u64>();
            let has = last(model.units_in(&order.buyer, &sale.sale));
            sale.per_buyer_limit > 0 && has + all > u64::from(sale.per_buyer_limit)
        });
        units > sku.now().available
            || model.waiting(sku).next().is_some()
            || (limit > 0 && has + units > limit)
            || over
    });
    let scattered = lots > 3 || order.lines().len() > 1;
    match reason || scattered {
        true => Ok(()),
        false => Err(format!("at {now} money goes back though units are there: {asked:?}")),
    }
}
