//! The lots of one SKU: drawn first-in first-out, counted one by one.

use crate::event::{Draw, Draws, LotReceived};
use crate::money::Amount;
use crate::name::LotId;
use crate::outcome::{Counters, LotView};
use crate::planted::{self, Bug};
use crate::quantity::Quantity;

/// One lot.
#[derive(Clone, Debug)]
pub(super) struct Lot {
    pub(super) name: LotId,
    pub(super) unit_price: Option<Amount>,
    pub(super) counters: Counters,
    /// Available units that are set aside for orders in flight. In no record and no digest.
    provisional: u64,
}

/// The lots of a SKU, in order of arrival.
#[derive(Clone, Debug, Default)]
pub(super) struct Lots {
    lots: Vec<Lot>,
    /// All lots before this one have nothing available.
    first: usize,
    totals: Counters,
    provisional: u64,
}

impl Lots {
    pub(super) fn totals(&self) -> Counters {
        self.totals
    }

    pub(super) fn provisional(&self) -> u64 {
        self.provisional
    }

    /// Units that a newcomer can get.
    pub(super) fn free(&self) -> u64 {
        self.totals.available - self.provisional
    }

    pub(super) fn as_slice(&self) -> &[Lot] {
        &self.lots
    }

    pub(super) fn by_name(&self, name: &LotId) -> Option<&Lot> {
        self.lots.iter().find(|lot| lot.name == *name)
    }

    /// The price of the next unit that a newcomer would get.
    pub(super) fn next_price(&self, list_price: Amount) -> Amount {
        let next = self.lots[self.first.min(self.lots.len())..].iter().find(|lot| lot.free() > 0);
        next.and_then(|lot| lot.unit_price).unwrap_or(list_price)
    }

    /// Where `quantity` units would come from, first in first out. `None` if fewer are free.
    pub(super) fn draw(&self, quantity: Quantity, list_price: Amount) -> Option<Draws> {
        let mut missing = quantity.get();
        let mut draws = Draws::new();
        for (ordinal, lot) in self.lots.iter().enumerate().skip(self.first) {
            let one_more = u64::from(planted::is(Bug::OffByOneInStock));
            let units = (lot.free() + one_more).min(u64::from(missing)) as u32;
            let Some(quantity) = Quantity::new(units) else { continue };
            draws.push(Draw {
                lot: lot.name.clone(),
                ordinal: ordinal as u32,
                quantity,
                unit_price: lot.unit_price.unwrap_or(list_price),
            });
            missing -= units;
            if missing == 0 {
                return Some(draws);
            }
        }
        None
    }

    pub(super) fn receive(&mut self, received: &LotReceived) {
        assert_eq!(received.ordinal as usize, self.lots.len(), "I1 lots arrive in order");
        let units = received.quantity.units();
        self.lots.push(Lot {
            name: received.lot.clone(),
            unit_price: received.unit_price,
            counters: Counters { received: units, available: units, ..Counters::default() },
            provisional: 0,
        });
        self.totals.received += units;
        self.totals.available += units;
    }

    /// Puts the next lot in as it is.
    pub(super) fn install(&mut self, name: LotId, unit_price: Option<Amount>, counters: Counters) {
        if counters.available == 0 && self.first == self.lots.len() {
            self.first += 1;
        }
        self.lots.push(Lot { name, unit_price, counters, provisional: 0 });
        self.totals.received += counters.received;
        self.totals.available += counters.available;
        self.totals.held += counters.held;
        self.totals.sold += counters.sold;
        self.totals.withdrawn += counters.withdrawn;
    }

    /// available → held.
    pub(super) fn reserve(&mut self, draws: &[Draw]) {
        self.shift(draws, |counters, units| {
            counters.available = taken(counters.available, units, "available");
            counters.held += units;
        });
    }

    /// held → available.
    pub(super) fn restore(&mut self, draws: &[Draw]) {
        self.shift(draws, |counters, units| {
            counters.held = taken(counters.held, units, "held");
            counters.available += units;
        });
    }

    /// held → sold.
    pub(super) fn sell(&mut self, draws: &[Draw]) {
        self.shift(draws, |counters, units| {
            counters.held = taken(counters.held, units, "held");
            counters.sold += units;
        });
    }

    /// available → sold.
    pub(super) fn sell_available(&mut self, draws: &[Draw]) {
        self.shift(draws, |counters, units| {
            counters.available = taken(counters.available, units, "available");
            counters.sold += units;
        });
    }

    /// sold → available.
    pub(super) fn take_back(&mut self, draws: &[Draw]) {
        self.shift(draws, |counters, units| {
            counters.sold = taken(counters.sold, units, "sold");
            counters.available += units;
        });
    }

    /// sold → withdrawn.
    pub(super) fn write_off(&mut self, draws: &[Draw]) {
        self.shift(draws, |counters, units| {
            counters.sold = taken(counters.sold, units, "sold");
            counters.withdrawn += units;
        });
    }

    /// available → withdrawn.
    pub(super) fn withdraw(&mut self, draws: &[Draw]) {
        self.shift(draws, |counters, units| {
            counters.available = taken(counters.available, units, "available");
            counters.withdrawn += units;
        });
    }

    /// Sets available units aside for an order in flight.
    pub(super) fn set_aside(&mut self, draws: &[Draw]) {
        for draw in draws {
            let lot = &mut self.lots[draw.ordinal as usize];
            lot.provisional += draw.quantity.units();
            self.provisional += draw.quantity.units();
            assert!(lot.provisional <= lot.counters.available, "I1 set aside what is not there");
        }
    }

    /// The order in flight is decided: its units are no longer set aside.
    pub(super) fn settle(&mut self, draws: &[Draw]) {
        for draw in draws {
            let units = draw.quantity.units();
            let lot = &mut self.lots[draw.ordinal as usize];
            lot.provisional = taken(lot.provisional, units, "provisional");
            self.provisional -= units;
        }
    }

    pub(super) fn views(&self) -> Vec<LotView> {
        let view = |lot: &Lot| LotView {
            lot: lot.name.clone(),
            unit_price: lot.unit_price,
            counters: lot.counters,
        };
        self.lots.iter().map(view).collect()
    }

    fn shift(&mut self, draws: &[Draw], mut change: impl FnMut(&mut Counters, u64)) {
        for draw in draws {
            let ordinal = draw.ordinal as usize;
            let Some(lot) = self.lots.get_mut(ordinal) else {
                panic!("I1 an event names lot {}, which never arrived", draw.lot);
            };
            assert!(lot.name == draw.lot, "I1 lot {ordinal} is {}, not {}", lot.name, draw.lot);
            change(&mut lot.counters, draw.quantity.units());
            change(&mut self.totals, draw.quantity.units());
            assert!(lot.counters.balanced(), "I1 lot {} {:?}", lot.name, lot.counters);
            if lot.counters.available > 0 {
                self.first = self.first.min(ordinal);
            }
        }
        assert!(self.totals.balanced(), "I1 {:?}", self.totals);
        while self.lots.get(self.first).is_some_and(|lot| lot.counters.available == 0) {
            self.first += 1;
        }
    }
}

impl Lot {
    fn free(&self) -> u64 {
        self.counters.available - self.provisional
    }
}

fn taken(from: u64, units: u64, counter: &str) -> u64 {
    match from.checked_sub(units) {
        Some(rest) => rest,
        None => panic!("I1 {units} units leave {counter}, which has {from}"),
    }
}
