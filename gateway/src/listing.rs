//! One buyer's orders, newest first: those of the ledger, and among and behind them those that have
//! left it, from the copy in SQL.
//!
//! What is younger than the retention, and was younger at the start than any retention before, is in
//! the ledger: for that the copy is not asked. If it is needed and cannot tell, the page ends before the first order behind which
//! one may be missing, and only a page of nothing else is refused.

use sluice_core::command::{Buyer, Command, ListOrders};
use sluice_core::event::OrderStatus;
use sluice_core::id::OrderId;
use sluice_core::outcome::{OrderPage, OrderView, Outcome};
use sluice_core::sink::OrderSearch;
use sluice_core::time::Timestamp;

use crate::call;
use crate::gate::Gate;
use crate::lookup::PATIENCE;
use crate::problem::{Code, Problem};

/// Where an order stands in a list: when it was placed, and its id.
pub(crate) type Place = (Timestamp, OrderId);

/// Where this one stands.
pub(crate) fn place_of(view: &OrderView) -> Place {
    (view.created_at, view.order)
}

/// A place as the bytes of a cursor.
pub(crate) fn cursor((placed, order): Place) -> Vec<u8> {
    [&placed.micros().to_be_bytes()[..], &order.bits().to_be_bytes()].concat()
}

/// The place that the bytes of a cursor are.
pub(crate) fn place_at(bytes: &[u8]) -> Option<Place> {
    let (placed, order) = bytes.split_first_chunk()?;
    let placed = Timestamp::from_micros(u64::from_be_bytes(*placed));
    Some((placed, OrderId::from_bits(u128::from_be_bytes(order.try_into().ok()?))))
}

/// A page of a buyer's orders.
///
/// # Errors
/// 503 if the page may lack an order that has left the ledger.
pub(crate) async fn page(
    gate: &Gate,
    buyer: &Buyer,
    list: ListOrders,
) -> Result<OrderPage, Problem> {
    let ListOrders { status, after, limit, .. } = list;
    let live = match call::ask(gate, Command::ListOrders(Box::new(list))).await? {
        Outcome::Orders(page) => page,
        other => return Err(call::unexpected(&other)),
    };
    // Afterwards: what has left meanwhile was old enough.
    let now = gate.handle.now();
    let first = live.next.map_or(Timestamp::ZERO, |next| next.0);
    if !gate.retired.may_have_some_since(first, now) {
        return Ok(live);
    }
    let none_left_since = gate.retired.none_since(now);
    let search =
        OrderSearch { buyer: Some(Box::from(&*buyer.name)), sku: None, status, before: after };
    match retired(gate, search, limit).await {
        Some(retired) => {
            let retired = still_gone(gate, buyer, retired, (&live, status)).await?;
            Ok(merged(live, retired, none_left_since, limit))
        }
        None => young(live, none_left_since).ok_or_else(|| gate.retired.nobody_knows()),
    }
}

/// A page of the copy's orders, if it can tell of all that have left the ledger.
async fn retired(gate: &Gate, search: OrderSearch, limit: usize) -> Option<OrderPage> {
    let least = gate.retired.least_copy();
    let found = gate.buyers_lookup.orders(search, limit + 1, PATIENCE).await;
    let found = found.inspect_err(|why| tracing::debug!("a buyer's orders: {}", why.0)).ok()?;
    if found.sequence < least {
        return None;
    }
    let orders: Vec<OrderView> = found.orders.into_iter().map(|order| order.view).collect();
    let next = orders.last().filter(|_| orders.len() > limit).map(place_of);
    Some(OrderPage { orders, next })
}

/// The same without those that are in the ledger, where they were in another state.
async fn still_gone(
    gate: &Gate,
    buyer: &Buyer,
    mut page: OrderPage,
    (live, status): (&OrderPage, Option<OrderStatus>),
) -> Result<OrderPage, Problem> {
    page.orders.retain(|order| live.orders.iter().all(|other| other.order != order.order));
    if status.is_none() {
        return Ok(page);
    }
    let mut gone = Vec::with_capacity(page.orders.len());
    for view in page.orders {
        let command = Command::ReadOrder { order: view.order, buyer: Some(buyer.digest) };
        match call::order(gate, command).await {
            Ok(_) => {}
            Err(problem) if problem.code == Code::OrderNotFound => gone.push(view),
            Err(problem) => return Err(problem),
        }
    }
    Ok(OrderPage { orders: gone, next: page.next })
}

/// Both pages as one, as far as both go. None of `retired` was placed at `none_left_since` or later:
/// such a one is not in `live` because it came after that was read.
fn merged(
    live: OrderPage,
    retired: OrderPage,
    none_left_since: Timestamp,
    limit: usize,
) -> OrderPage {
    let end = live.next.max(retired.next);
    let gone = retired.orders.into_iter().filter(|view| view.created_at < none_left_since);
    let mut orders: Vec<OrderView> = live.orders.into_iter().chain(gone).collect();
    orders.retain(|view| end <= Some(place_of(view)));
    orders.sort_unstable_by_key(|view| std::cmp::Reverse(place_of(view)));
    let mut next = end;
    if orders.len() > limit {
        orders.truncate(limit);
        next = orders.last().map(place_of);
    }
    OrderPage { orders, next }
}

/// As much of a page as lacks nothing, if that is anything.
fn young(mut page: OrderPage, none_left_since: Timestamp) -> Option<OrderPage> {
    page.orders.retain(|view| view.created_at >= none_left_since);
    page.next = Some(place_of(page.orders.last()?));
    Some(page)
}

#[cfg(test)]
mod tests;
