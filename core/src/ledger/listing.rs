//! Listing one buyer's orders, newest first.
//!
//! A buyer's chain leads from the newest order to the oldest, by when they were placed. Orders of one
//! moment stand in it as they came; a page has them by their ids, as every other listing does. A place
//! is a time and an id, so that it outlives its order.

use std::cmp::Reverse;

use crate::command::ListOrders;
use crate::id::{BuyerDigest, OrderId};
use crate::limits::Limits;
use crate::outcome::{OrderPage, Outcome, Refusal};
use crate::planted::{self, Bug};
use crate::time::Timestamp;

use super::buyers::NO_ORDER;
use super::orders::Order;
use super::slot::BuyerSlot;

type Place = (Timestamp, OrderId);

fn place(order: &Order) -> Place {
    (order.created_at, order.id)
}

impl BuyerSlot {
    /// A page of a buyer's orders, or `overloaded` if too many newer ones would have to be passed.
    pub(super) fn list(&self, list: &ListOrders, limits: &Limits) -> Outcome {
        let Some(buyer) = self.buyers.find(list.buyer) else {
            return Outcome::Orders(OrderPage::default());
        };
        let newest = self.buyers.get(buyer).newest;
        let first = list.after.map_or(Some(newest), |after| {
            self.moment_of(after, list.buyer).or_else(|| self.pass(newest, after, limits))
        });
        match first {
            Some(first) => Outcome::Orders(self.page(first, list, limits)),
            None => Outcome::Refused(Refusal::Overloaded),
        }
    }

    /// The newest order of the moment of `after`, if that is the place of one that is there.
    fn moment_of(&self, (placed, order): Place, buyer: BuyerDigest) -> Option<u32> {
        let mut number = self.orders.find(order)?;
        self.own(order, buyer).filter(|order| order.created_at == placed)?;
        loop {
            let newer = self.orders.get(number).newer;
            if newer == NO_ORDER || self.orders.get(newer).created_at != placed {
                return Some(number);
            }
            number = newer;
        }
    }

    /// The newest order of the moment of `after` or of an earlier one; `NO_ORDER` if there is none.
    fn pass(&self, newest: u32, after: Place, limits: &Limits) -> Option<u32> {
        if planted::is(Bug::PageEndsWithItsOrder) {
            return Some(NO_ORDER);
        }
        let mut number = newest;
        for _ in 0..=limits.page_passed_max {
            if number == NO_ORDER || self.orders.get(number).created_at <= after.0 {
                return Some(number);
            }
            number = self.orders.get(number).previous;
        }
        None
    }

    /// A buyer's orders from this one on, newest first but for those of one moment.
    fn chain(&self, first: u32) -> impl Iterator<Item = &Order> {
        let get = |number| (number != NO_ORDER).then(|| self.orders.get(number));
        std::iter::successors(get(first), move |order| get(order.previous))
    }

    fn page(&self, first: u32, list: &ListOrders, limits: &Limits) -> OrderPage {
        let (mut fitting, mut looked_at, mut last) = (Vec::new(), 0, None::<Place>);
        let mut more = false;
        // Those of the moment of `after` that stand before it were on an earlier page.
        let is_behind = |order: &&Order| list.after.is_none_or(|after| place(order) < after);
        for order in self.chain(first).filter(is_behind) {
            let enough = fitting.len() > list.limit || looked_at >= limits.page_looked_at_max;
            // Those of one moment are looked at together.
            if enough && last.is_some_and(|last| order.created_at < last.0) {
                more = true;
                break;
            }
            looked_at += 1;
            last = Some(last.map_or(place(order), |last| last.min(place(order))));
            if list.status.is_none_or(|status| status == order.status) {
                fitting.push(order);
            }
        }
        if !planted::is(Bug::MomentOutOfOrder) {
            fitting.sort_unstable_by_key(|order| Reverse(place(order)));
        }
        let mut next = last.filter(|_| more && !planted::is(Bug::PageLookedFarEnough));
        if fitting.len() > list.limit {
            fitting.truncate(list.limit);
            next = fitting.last().map(|order| place(order));
        }
        OrderPage { orders: fitting.into_iter().map(|order| self.show(order)).collect(), next }
    }
}
