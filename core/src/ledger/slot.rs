//! One buyer slot: its orders, keys, limits, deadlines and orders in flight.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;

use crate::event::{Draw, Draws, Line, Lines, OrderStatus, total};
use crate::id::{BuyerDigest, KeyDigest, OrderId, SlotId};
use crate::name::{SaleId, SkuId};
use crate::outcome::{OrderView, Waits};
use crate::quantity::Quantity;
use crate::time::Timestamp;

use super::attempt::InFlight;
use super::buyers::Buyers;
use super::deadlines::Deadlines;
use super::offers::Offers;
use super::orders::{Holding, Order, Orders};
use super::payments::Payments;

/// One of 1,024 groups of buyers. Owned by one shard; moves as a whole.
#[derive(Debug)]
pub struct BuyerSlot {
    id: SlotId,
    pub(super) orders: Orders,
    pub(super) buyers: Buyers,
    pub(super) offers: Offers,
    pub(super) deadlines: Deadlines,
    pub(super) payments: Payments,
    /// Fingerprints of what was shipped, by number of order; nothing for the many that were not.
    pub(super) parcels: HashMap<u32, u64, FxBuildHasher>,
    /// Fingerprints of the latest notices that fitted no payment, so that one is taken down once.
    pub(super) unmatched: VecDeque<u64>,
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
            payments: Payments::default(),
            parcels: HashMap::default(),
            unmatched: VecDeque::new(),
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
        self.deadlines.next_due(|order| self.orders.get(order).first_due())
    }

    /// Units of a SKU that count against the limit of a buyer, if there is one with this number.
    pub(super) fn units_of(&self, buyer: Option<u32>, sku: &SkuId) -> u64 {
        let Some(buyer) = buyer else { return 0 };
        let sku = self.offers.find_sku(sku);
        sku.map_or(0, |sku| self.buyers.get(buyer).skus.of(sku))
    }

    /// The same by sale, for all sales.
    pub(super) fn units_in_sales(&self, buyer: Option<u32>) -> SmallVec<[(SaleId, u64); 1]> {
        let Some(buyer) = buyer else { return SmallVec::new() };
        let sales = self.buyers.get(buyer).sales.iter();
        sales.map(|(sale, units)| (self.offers.sale(sale).clone(), u64::from(units))).collect()
    }

    /// The order, whoever's it is.
    pub(super) fn order(&self, order: OrderId) -> Option<&Order> {
        self.orders.find(order).map(|number| self.orders.get(number))
    }

    /// The fingerprint of the parcel that an order became, if it was shipped.
    pub(super) fn parcel(&self, order: OrderId) -> Option<u64> {
        self.parcels.get(&self.orders.find(order)?).copied()
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

    pub(super) fn show(&self, order: &Order) -> OrderView {
        let lines = self.lines(order);
        let (currency, amount, waits) = match &order.holding {
            Holding::Nothing(wish) => {
                let waits = Waits { ticket: wish.ticket, position: 0 };
                let waits = (order.status == OrderStatus::Waiting).then_some(waits);
                (wish.currency, None, waits)
            }
            holding => {
                let currency = self.offers.get(holding.units()[0].offer).currency;
                (currency, Some(total(&lines).expect("checked when it got its units")), None)
            }
        };
        OrderView {
            order: order.id,
            version: order.version,
            status: order.status,
            amount,
            currency,
            created_at: order.created_at,
            expires_at: order.expires_at,
            lines,
            waits,
        }
    }

    /// What an order holds or held, or waits for, spelled out.
    pub(super) fn lines(&self, order: &Order) -> Lines {
        if let Holding::Nothing(wish) = &order.holding {
            let sku = self.offers.sku(wish.sku).clone();
            let sale = wish.sale.map(|sale| self.offers.sale(sale).clone());
            let line = Line { sku, quantity: wish.quantity, sale, draws: Draws::new() };
            return std::iter::once(line).collect();
        }
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
                line.quantity = Quantity::new(sum).expect("checked when it got its units");
            } else {
                let sku = self.offers.sku(offer.sku).clone();
                let sale = offer.sale.map(|sale| self.offers.sale(sale).clone());
                let draws = std::iter::once(draw).collect();
                lines.push(Line { sku, quantity: units.quantity, sale, draws });
            }
            last = Some(offer.sku);
        }
        lines
    }
}
