//! Whether what answers show was so: orders, pages of orders, stocks, payments, sales.

use sluice_core::command::ListOrders;
use sluice_core::id::OrderId;
use sluice_core::name::SkuId;
use sluice_core::outcome::{OrderPage, OrderView, PaymentView, SaleView, StockView};

use crate::marks::{Mark, Marks};
use crate::model::{Model, Order, at, within};

use super::{Request, Verdict};

/// An order, as its buyer or an operator sees it.
pub(super) fn shown(
    model: &Model,
    view: &OrderView,
    buyer: Option<&String>,
    (request, to): (&Request, u64),
) -> Verdict {
    let order = model.orders.get(&view.order);
    let order = order.ok_or_else(|| format!("I2 order {} is in no journal", view.order))?;
    if buyer.is_some_and(|buyer| order.buyer != *buyer) {
        return Err(format!("{buyer:?} was shown an order of {}", order.buyer));
    }
    order.shows(view, request.from, to)?;
    match view.waits {
        Some(waits) => placed_in_line(model, order, waits.position, (request, to)),
        None => Ok(()),
    }
}

/// A place in a queue: one more than there were waiting orders with lower tickets. Among several
/// shards the owner counts those in who have their ticket and no record yet, and those who have
/// left and of whom it has not heard.
fn placed_in_line(
    model: &Model,
    order: &Order,
    position: u64,
    (request, to): (&Request, u64),
) -> Verdict {
    let sku = &model.skus[&order.lines()[0].sku];
    let ticket = order.ticket.unwrap_or_default();
    let before = |sequence| {
        let waiting = model.waited_at(sku, sequence);
        1 + waiting.take_while(|(other, _)| *other < ticket).count() as u64
    };
    let from = request.from.max(order.states[0].0);
    let right = if request.shards == 1 {
        (from..=to).any(|sequence| before(sequence) == position)
    } else {
        let all_along = |order: &Order| {
            let waits = |n| order.state_at(n).is_some_and(|(s, _)| s == order.states[0].1);
            waits(request.from) && waits(to)
        };
        let waiting = model.waited_at(sku, to).take_while(|(other, _)| *other < ticket);
        let least = 1 + waiting.filter(|(_, order)| all_along(order)).count() as u64;
        let earlier = sku.tickets.range(..ticket).map(|(_, id)| &model.orders[id]);
        let gone = earlier.filter(|order| {
            order.state_at(request.settled).is_some_and(|(s, _)| s != order.states[0].1)
        });
        (least..=1 + ticket - gone.count() as u64).contains(&position)
    };
    right.then_some(()).ok_or_else(|| format!("I11 place {position} of ticket {ticket} is wrong"))
}

/// A page of a buyer's orders: all from its place on down to where the next one begins, newest first,
/// but for those that leave meanwhile.
pub(super) fn listed(
    model: &Model,
    (list, buyer): (&ListOrders, &String),
    page: &OrderPage,
    (request, to): (&Request, u64),
    marks: &mut Marks,
) -> Verdict {
    for view in &page.orders {
        shown(model, view, Some(buyer), (request, to))?;
        if list.status.is_some_and(|status| status != view.status) {
            return Err(format!("order {} is not in the state asked for", view.order));
        }
    }
    let place = |view: &OrderView| (view.created_at, view.order);
    let is_between =
        |place| list.after.is_none_or(|after| place < after) && page.next <= Some(place);
    let falls = page.orders.windows(2).all(|pair| place(&pair[0]) > place(&pair[1]));
    let goes_on = page.next.is_none_or(|next| list.after.is_none_or(|after| next < after));
    if page.orders.len() > list.limit || !falls || !goes_on {
        return Err("the page is too long, out of order, or not behind the one before".to_owned());
    }
    if !page.orders.iter().all(|view| is_between(place(view))) {
        return Err("the page has what is not between its ends".to_owned());
    }
    let is_missing = |id: &&OrderId| {
        let order = &model.orders[*id];
        let stays = order.state_at(request.from).is_some()
            && order.retired.is_none_or(|retired| retired > to);
        let fits = list.status.is_none_or(|status| {
            within(&order.states, request.from, to).all(|other| *other == status)
        });
        let is_there = page.orders.iter().any(|view| view.order == **id);
        stays && fits && is_between((order.created_at, **id)) && !is_there
    };
    if let Some(order) = model.buyers.get(buyer).into_iter().flatten().find(is_missing) {
        return Err(format!("the page leaves out order {order}"));
    }
    let is_gone = |(_, order): (_, OrderId)| {
        let order = model.orders.get(&order);
        order.is_none_or(|order| order.retired.is_some_and(|retired| retired <= request.from))
    };
    if list.after.is_some_and(is_gone) && !page.orders.is_empty() {
        marks.hit(Mark::PageBehindNone);
    }
    if page.orders.windows(2).any(|pair| pair[0].created_at == pair[1].created_at) {
        marks.hit(Mark::MomentListed);
    }
    if page.next.is_some() && page.orders.len() < list.limit {
        marks.hit(Mark::PageLookedFar);
    }
    Ok(())
}

/// Whether a page's place is so far from the newest order that the ledger does not look for it.
pub(crate) fn is_far(
    model: &Model,
    (list, buyer): (&ListOrders, &String),
    passed_max: usize,
    to: u64,
) -> bool {
    let orders = model.buyers.get(buyer).into_iter().flatten();
    let newer = |order: &&OrderId| {
        let order = &model.orders[*order];
        let placed = order.state_at(to).is_some();
        placed && list.after.is_some_and(|after| order.created_at > after.0)
    };
    orders.filter(newer).count() > passed_max
}

/// A SKU as an operator sees it. Among several shards units that are held may lag behind.
pub(super) fn stocked(
    model: &Model,
    request: &Request,
    (id, view): (&SkuId, &StockView),
    to: u64,
) -> Verdict {
    let sku = model.skus.get(id).ok_or("I2 the SKU is in no journal")?;
    let (Some(newest), Some(last)) = (at(&sku.terms, to), at(&sku.counters, to)) else {
        return Err("I2 the SKU was shown before it was durable".to_owned());
    };
    let first = at(&sku.counters, request.from).copied().unwrap_or_default();
    let oldest = at(&sku.terms, request.from).map_or(1, |terms| terms.revision);
    let now = &view.counters;
    let several = request.shards > 1;
    // Refunds withdraw units too, of which the owner hears late.
    let withdrawn = if several { 0 } else { first.withdrawn };
    let right = view.sku == *id
        && view.revision <= newest.revision
        && view.revision >= oldest
        && now.balanced()
        && (first.received..=last.received).contains(&now.received)
        && (withdrawn..=last.withdrawn).contains(&now.withdrawn)
        && view.lots.iter().map(|lot| lot.counters.received).sum::<u64>() == now.received;
    let exact = several || within(&sku.counters, request.from, to).any(|c| c == now);
    let standby = several
        || (request.from..=to).any(|n| model.waited_at(sku, n).count() as u64 == view.standby);
    let from = if several { request.settled } else { request.from };
    let sale = model
        .sales_within(id, (from, to))
        .any(|sale| sale.map(|sale| &sale.sale) == view.sale.as_ref());
    let all = right && exact && standby && sale;
    if all { Ok(()) } else { Err(format!("I2 the journal has {sku:?}")) }
}

/// A payment, as the buyer of its order sees it.
pub(super) fn paying(
    model: &Model,
    view: &PaymentView,
    (request, to): (&Request, u64),
    created: bool,
) -> Verdict {
    let payment = model.payments.get(&view.payment);
    let payment = payment.ok_or("I2 the payment is in no journal")?;
    let begun = payment.states[0].0;
    let so = within(&payment.states, request.from, to).any(|status| *status == view.status);
    let right = begun <= to
        && so
        && (begun > request.from || !created)
        && view.order == payment.order
        && view.amount == payment.amount
        && view.currency == model.orders[&payment.order].currency;
    right.then_some(()).ok_or_else(|| format!("I2 the journal has {payment:?}"))
}

/// A sale, as an operator sees it.
pub(super) fn on_sale(model: &Model, view: &SaleView, (request, to): (&Request, u64)) -> Verdict {
    let past = model.sales.get(&view.sale).ok_or("I2 the sale is in no journal")?;
    let right = within(past, request.from, to).any(|sale| sale == view);
    right.then_some(()).ok_or_else(|| format!("I2 the journal has {past:?}"))
}
