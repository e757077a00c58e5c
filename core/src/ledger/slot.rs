//! One buyer slot: its orders, keys, limits, deadlines and orders in flight.

use std::collections::{BTreeMap, VecDeque};

use crate::command::ListOrders;
use crate::event::{Draw, Line, Lines, Meta, OrderEnded, OrderPlaced, OrderStatus, total};
use crate::id::{BuyerDigest, KeyDigest, OrderId, SlotId};
use crate::name::SkuId;
use crate::outcome::{OrderPage, OrderView};
use crate::planted::{self, Bug};
use crate::quantity::Quantity;
use crate::time::Timestamp;

use super::buyers::{Buyers, NO_ORDER};
use super::deadlines::Deadlines;
use super::offers::Offers;
use super::orders::{Holding, NewOrder, Order, Orders, Units};
use super::placing::InFlight;

/// Orders that one page of a listing looks at, matching or not; the next page goes on from there.
const LOOKED_AT_MAX: usize = 1_000;

/// One of 1,024 groups of buyers. Owned by one shard; moves as a whole.
#[derive(Debug)]
pub struct BuyerSlot {
    id: SlotId,
    pub(super) orders: Orders,
    pub(super) buyers: Buyers,
    pub(super) offers: Offers,
    pub(super) deadlines: Deadlines,
    /// Orders of which nothing more will become, in the order in which that was so.
    pub(super) finished: VecDeque<u32>,
    /// Orders that wait for other shards: at most one a buyer.
    pub(super) flights: BTreeMap<BuyerDigest, InFlight>,
}

impl BuyerSlot {
    pub(super) fn new(id: SlotId) -> Self {
        Self {
            id,
            orders: Orders::default(),
            buyers: Buyers::default(),
            offers: Offers::default(),
            deadlines: Deadlines::default(),
            finished: VecDeque::new(),
            flights: BTreeMap::new(),
        }
    }

    /// Its number.
    pub fn id(&self) -> SlotId {
        self.id
    }

    pub(super) fn live_orders(&self) -> usize {
        self.orders.len()
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.deadlines.next_due(|order| self.orders.get(order).expires_at)
    }

    /// Units of a SKU that count against the limit of a buyer, if there is one with this number.
    pub(super) fn units_of(&self, buyer: Option<u32>, sku: &SkuId) -> u64 {
        let Some(buyer) = buyer else { return 0 };
        let sku = self.offers.find_sku(sku);
        sku.map_or(0, |sku| self.buyers.get(buyer).units_of(sku))
    }

    /// The order, if it is this buyer's.
    pub(super) fn own(&self, order: OrderId, buyer: BuyerDigest) -> Option<&Order> {
        let order = self.orders.get(self.orders.find(order)?);
        (self.buyers.get(order.buyer).digest() == buyer).then_some(order)
    }

    pub(super) fn view(&self, order: OrderId, buyer: BuyerDigest) -> Option<OrderView> {
        self.own(order, buyer).map(|order| self.show(order))
    }

    /// The order that a key made. Keys are hashed together with their buyer.
    pub(super) fn by_key(&self, key: KeyDigest) -> Option<&Order> {
        self.orders.find_key(key).map(|number| self.orders.get(number))
    }

    pub(super) fn list(&self, list: &ListOrders) -> OrderPage {
        let mut page = OrderPage::default();
        let Some(buyer) = self.buyers.find(list.buyer) else { return page };
        let mut number = match list.after {
            None => self.buyers.get(buyer).newest,
            Some(after) => match self.own(after, list.buyer) {
                Some(order) => order.previous,
                None => return page,
            },
        };
        let (mut looked_at, mut newer) = (0, None);
        while number != NO_ORDER {
            let order = self.orders.get(number);
            looked_at += 1;
            if looked_at > LOOKED_AT_MAX {
                page.next = newer;
                break;
            }
            newer = Some(order.id);
            if list.status.is_none_or(|status| status == order.status) {
                if page.orders.len() == list.limit {
                    page.next = page.orders.last().map(|last| last.order);
                    break;
                }
                page.orders.push(self.show(order));
            }
            number = order.previous;
        }
        page
    }

    pub(super) fn show(&self, order: &Order) -> OrderView {
        let lines = self.lines(order);
        let first = order.holding.units()[0].offer;
        OrderView {
            order: order.id,
            version: order.version,
            status: order.status,
            amount: total(&lines).expect("checked when the order was placed"),
            currency: self.offers.get(first).currency,
            created_at: order.created_at,
            expires_at: order.expires_at,
            lines,
        }
    }

    /// What an order holds or held, spelled out.
    pub(super) fn lines(&self, order: &Order) -> Lines {
        let mut lines = Lines::new();
        let mut last = None;
        for units in order.holding.units() {
            let offer = self.offers.get(units.offer);
            let draw = Draw {
                lot: offer.lot.clone(),
                ordinal: offer.ordinal,
                quantity: units.quantity,
                unit_price: offer.unit_price,
            };
            if last == Some(offer.sku) {
                let line: &mut Line = lines.last_mut().expect("there was one");
                line.draws.push(draw);
                let sum = line.quantity.get() + units.quantity.get();
                line.quantity = Quantity::new(sum).expect("checked when the order was placed");
            } else {
                let sku = self.offers.sku(offer.sku).clone();
                let draws = std::iter::once(draw).collect();
                lines.push(Line { sku, quantity: units.quantity, draws });
            }
            last = Some(offer.sku);
        }
        lines
    }

    /// Applies the home's part of a placed order. Whoever knows the buyer's number gives it.
    pub(super) fn place(&mut self, meta: &Meta, placed: &OrderPlaced<'_>, buyer: Option<u32>) {
        let buyer = buyer.unwrap_or_else(|| self.buyers.number(placed.buyer));
        debug_assert!(self.buyers.get(buyer).digest() == placed.buyer, "the number is the buyer's");
        let holding = self.take_down(placed, buyer);
        let claim_key = !planted::is(Bug::KeyForgotten);
        let row = self.buyers.get_mut(buyer);
        let number = self.orders.insert(
            NewOrder {
                id: placed.order,
                key: placed.key.map(|(digest, _)| digest),
                fingerprint: placed.fingerprint,
                created_at: meta.time,
                expires_at: placed.expires_at,
                holding,
                buyer,
                previous: row.newest,
            },
            claim_key,
        );
        let previous = std::mem::replace(&mut row.newest, number);
        row.keys += u32::from(placed.key.is_some());
        if previous != NO_ORDER {
            self.orders.get_mut(previous).newer = number;
        }
        self.deadlines.push(placed.expires_at, number);
    }

    /// Applies the home's part of an order that ended.
    ///
    /// # Panics
    /// If the order is not reserved: a hold ends once (I10).
    pub(super) fn end(&mut self, meta: &Meta, ended: &OrderEnded, status: OrderStatus) {
        let number = self.orders.find(ended.order);
        let number = number.unwrap_or_else(|| panic!("I10 order {} does not exist", ended.order));
        let order = self.orders.get_mut(number);
        assert!(
            order.status == OrderStatus::Reserved && order.version + 1 == ended.version,
            "I10 order {} is {:?} at version {}",
            order.id,
            order.status,
            order.version
        );
        (order.status, order.version) = (status, ended.version);
        order.finish(meta.time);
        self.finished.push_back(number);
        let buyer = order.buyer;
        for line in &ended.lines {
            let sku = self.offers.sku_number(&line.sku);
            self.buyers.get_mut(buyer).take_units(sku, line.quantity.get());
        }
    }

    /// Takes down what an order holds, and counts it against its buyer's limits.
    fn take_down(&mut self, placed: &OrderPlaced<'_>, buyer: u32) -> Holding {
        let mut all = smallvec::SmallVec::<[Units; 1]>::new();
        for line in &placed.lines {
            let sku = self.offers.sku_number(&line.sku);
            self.buyers.get_mut(buyer).add_units(sku, line.quantity.get());
            for draw in &line.draws {
                let offer = self.offers.number(sku, draw, placed.currency);
                all.push(Units { offer, quantity: draw.quantity });
            }
        }
        match all[..] {
            [one] => Holding::One(one),
            _ => Holding::Many(all.into_vec().into_boxed_slice()),
        }
    }
}
