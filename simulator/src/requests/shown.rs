//! Whether what answers show was so: orders, pages of orders, stocks, payments, sales.

use sluice_core::command::ListOrders;
use sluice_core::name::SkuId;
use sluice_core::outcome::{OrderPage, OrderView, PaymentView, SaleView, StockView};

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

/// A page of a buyer's orders.
pub(super) fn listed(
    model: &Model,
    (list, buyer): (&ListOrders, &String),
    page: &OrderPage,
    (request, to): (&Request, u64),
) -> Verdict {
    for view in &page.orders {
        shown(model, view, Some(buyer), (request, to))?;
        if list.status.is_some_and(|status| status != view.status) {
            return Err(format!("order {} is not in the state asked for", view.order));
        }
    }
    let orders = model.buyers.get(buyer).map(Vec::as_slice).unwrap_or_default();
    let place = |order| orders.iter().position(|other| *other == order);
    let places: Vec<usize> = page.orders.iter().filter_map(|view| place(view.order)).collect();
    if page.orders.len() > list.limit || !places.windows(2).all(|pair| pair[0] > pair[1]) {
        return Err("the page is too long or out of order".to_owned());
    }
    let left = |order| model.orders[&order].retired.is_some_and(|retired| retired <= to);
    if list.status.is_some() || list.after.is_some_and(left) {
        return Ok(());
    }
    // Without a filter a page is a run of the buyer's orders, down to the first if none follows;
    // orders may leave from anywhere in it.
    let before = list.after.and_then(place);
    let end = before.unwrap_or_else(|| {
        let durable = |order| model.orders[order].state_at(request.from).is_some();
        orders.iter().rposition(durable).map_or(0, |newest| newest + 1)
    });
    let begin = if page.next.is_none() { 0 } else { places.last().copied().unwrap_or(end) };
    let missing = (begin..end).find(|n| !places.contains(n) && !left(orders[*n]));
    match missing {
        Some(n) => Err(format!("the page leaves out order {}", orders[n])),
        None => Ok(()),
    }
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
