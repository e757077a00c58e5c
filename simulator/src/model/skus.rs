//! SKUs: their terms, lots and counters, and what operators do to them.

use std::collections::BTreeMap;

use sluice_core::event::{Draw, Line, LotReceived, SkuDefined, UnitsWithdrawn};
use sluice_core::id::OrderId;
use sluice_core::money::{Amount, Currency};
use sluice_core::name::{LotId, SkuId, WithdrawalId};
use sluice_core::outcome::{Counters, SaleView, StockView};
use sluice_core::time::Timestamp;

use super::{Model, Past};

/// The terms of a SKU at one revision.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The revision.
    pub revision: u32,
    /// The price.
    pub unit_price: Amount,
    /// The currency.
    pub currency: Currency,
    /// The limit, 0 for none.
    pub per_buyer_limit: u32,
    /// How long holds last.
    pub hold_seconds: u32,
    /// Whether smaller waiting orders may pass larger ones.
    pub standby_pass: bool,
    /// The title.
    pub title: Box<str>,
}

/// A lot.
#[derive(Clone, Debug)]
pub struct Lot {
    /// Its name.
    pub name: LotId,
    /// Its own price.
    pub unit_price: Option<Amount>,
    /// Where its units are.
    pub counters: Counters,
}

/// A SKU.
#[derive(Clone, Debug, Default)]
pub struct Sku {
    /// Its terms over time.
    pub terms: Past<Terms>,
    /// Its lots.
    pub lots: Vec<Lot>,
    /// Its withdrawals: quantity, reason and sequence.
    pub withdrawals: BTreeMap<WithdrawalId, (u32, String)>,
    /// All its counters over time.
    pub counters: Past<Counters>,
    /// All orders that ever waited for it, by ticket.
    pub tickets: BTreeMap<u64, OrderId>,
    /// The highest ticket that was promoted while nobody could pass.
    pub promoted: Option<u64>,
    /// When units came back last, and how many at that time.
    pub came_back: (Timestamp, u64),
}

/// From where to where units move.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// Available → held.
    Reserve,
    /// Held → available.
    Restore,
    /// Available → withdrawn.
    Withdraw,
    /// Held → sold.
    Sell,
    /// Available → sold.
    SellLate,
    /// Sold → available.
    TakeBack,
    /// Sold → withdrawn.
    WriteOff,
}

impl Sku {
    /// What holds now.
    pub fn now(&self) -> Counters {
        self.counters.last().map(|(_, counters)| *counters).unwrap_or_default()
    }

    /// The newest terms.
    pub fn newest_terms(&self) -> &Terms {
        &self.terms.last().expect("a SKU begins with its terms").1
    }

    /// Whether a view shows all of it as it is now, but for who waits and for its sale.
    pub fn equals(&self, view: &StockView) -> bool {
        let terms = self.newest_terms();
        let lots = self.lots.iter().map(|lot| (&lot.name, lot.unit_price, lot.counters));
        view.revision == terms.revision
            && view.title == terms.title
            && view.unit_price == terms.unit_price
            && view.currency == terms.currency
            && view.per_buyer_limit == terms.per_buyer_limit
            && view.hold_seconds == terms.hold_seconds
            && view.standby_pass == terms.standby_pass
            && view.counters == self.now()
            && lots.eq(view.lots.iter().map(|lot| (&lot.lot, lot.unit_price, lot.counters)))
    }

    /// Where the units of a line that was just drawn had to come from, first in first out.
    pub fn first_in_first_out_before(&self, line: &Line) -> Vec<(u32, u64)> {
        let mut missing = line.quantity.units();
        let mut draws = Vec::new();
        for (ordinal, lot) in self.lots.iter().enumerate() {
            let drawn = line.draws.iter().filter(|draw| draw.ordinal as usize == ordinal);
            let had = lot.counters.available + drawn.map(|draw| draw.quantity.units()).sum::<u64>();
            let taken = had.min(missing);
            if taken > 0 {
                draws.push((ordinal as u32, taken));
            }
            missing -= taken;
        }
        draws
    }

    /// Whether each draw has its lot's price, or one that the SKU had.
    pub(super) fn priced(&self, draws: &[Draw]) -> bool {
        draws.iter().all(|draw| match self.lots[draw.ordinal as usize].unit_price {
            Some(price) => price == draw.unit_price,
            None => self.terms.iter().any(|(_, terms)| terms.unit_price == draw.unit_price),
        })
    }

    /// Moves units, lot by lot, and counts.
    pub(super) fn shift(
        &mut self,
        (sequence, time): (u64, Timestamp),
        draws: &[Draw],
        change: Change,
    ) -> Result<(), String> {
        for draw in draws {
            let lot = self.lots.get_mut(draw.ordinal as usize);
            let lot = lot.filter(|lot| lot.name == draw.lot);
            let lot = lot.ok_or_else(|| format!("I1 no lot {} at {}", draw.lot, draw.ordinal))?;
            let units = draw.quantity.units();
            let Counters { available, held, sold, withdrawn, .. } = &mut lot.counters;
            let (from, to) = match change {
                Change::Reserve => (available, held),
                Change::Restore => (held, available),
                Change::Withdraw => (available, withdrawn),
                Change::Sell => (held, sold),
                Change::SellLate => (available, sold),
                Change::TakeBack => (sold, available),
                Change::WriteOff => (sold, withdrawn),
            };
            *from = from.checked_sub(units).ok_or_else(|| {
                format!("I1 {change:?} of {units} units from lot {}, which has {from}", draw.lot)
            })?;
            *to += units;
            if matches!(change, Change::Restore | Change::TakeBack) {
                self.come_back(time, units);
            }
        }
        self.count(sequence);
        Ok(())
    }

    fn come_back(&mut self, time: Timestamp, units: u64) {
        let before = if self.came_back.0 == time { self.came_back.1 } else { 0 };
        self.came_back = (time, before + units);
    }

    /// Units that came back at this very time.
    pub(super) fn back_at(&self, time: Timestamp) -> u64 {
        if self.came_back.0 == time { self.came_back.1 } else { 0 }
    }

    fn count(&mut self, sequence: u64) {
        let mut sum = Counters::default();
        for lot in &self.lots {
            sum.received += lot.counters.received;
            sum.available += lot.counters.available;
            sum.held += lot.counters.held;
            sum.sold += lot.counters.sold;
            sum.withdrawn += lot.counters.withdrawn;
        }
        self.counters.push((sequence, sum));
    }
}

impl Model {
    pub(super) fn sku_mut(&mut self, sku: &SkuId) -> Result<&mut Sku, String> {
        self.skus.get_mut(sku).ok_or_else(|| format!("I1 SKU {sku} does not exist"))
    }

    pub(super) fn defined(
        &mut self,
        sequence: u64,
        defined: &SkuDefined<'_>,
    ) -> Result<(), String> {
        if !self.skus.contains_key(&defined.sku) {
            self.created_in(sequence, defined)?;
        } else if defined.sale.is_some() {
            return Err(format!("SALE {} is not made", defined.sku));
        }
        let waited = self.skus.get(&defined.sku).is_some_and(|sku| self.waiting(sku).count() > 0);
        let sku = self.skus.entry(defined.sku.clone()).or_default();
        let revision = sku.terms.last().map_or(0, |(_, terms)| terms.revision) + 1;
        if defined.revision != revision {
            return Err(format!("revision {} instead of {revision}", defined.revision));
        }
        let is_priced = waited || !sku.lots.is_empty();
        if is_priced && sku.newest_terms().currency != defined.currency {
            return Err("the currency changed when it was fixed".to_owned());
        }
        let terms = Terms {
            revision,
            unit_price: defined.unit_price,
            currency: defined.currency,
            per_buyer_limit: defined.per_buyer_limit,
            hold_seconds: defined.hold_seconds,
            standby_pass: defined.standby_pass,
            title: Box::from(defined.title),
        };
        sku.terms.push((sequence, terms));
        sku.count(sequence);
        Ok(())
    }

    /// A SKU that is made when its sale is over was never in it; but its owner may hear of the end,
    /// and of a new sale, a moment later.
    fn created_in(&mut self, sequence: u64, defined: &SkuDefined<'_>) -> Result<(), String> {
        let from = if self.alone { sequence } else { self.settled };
        let said = defined.sale.as_ref();
        let running = |sale: &&SaleView| !sale.ended;
        let known = |sale: Option<&SaleView>| sale.filter(running).map(|sale| &sale.sale) == said;
        if !self.sales_within(&defined.sku, (from, sequence)).any(known) {
            return Err(format!("SALE {} is not in its sale but in {said:?}", defined.sku));
        }
        let now = self.sale_of(&defined.sku, sequence);
        if now.is_some_and(|sale| sale.ended && Some(&sale.sale) != said) {
            self.sale_of.entry(defined.sku.clone()).or_default().push((sequence, None));
            self.sale_news.push(sequence);
        }
        Ok(())
    }

    pub(super) fn received(
        &mut self,
        (sequence, time): (u64, Timestamp),
        received: &LotReceived,
    ) -> Result<(), String> {
        let sku = self.sku_mut(&received.sku)?;
        if sku.lots.iter().any(|lot| lot.name == received.lot)
            || received.ordinal as usize != sku.lots.len()
        {
            return Err(format!("I1 lot {} arrives twice or out of order", received.lot));
        }
        let units = received.quantity.units();
        let counters = Counters { received: units, available: units, ..Counters::default() };
        let lot = Lot { name: received.lot.clone(), unit_price: received.unit_price, counters };
        sku.lots.push(lot);
        sku.come_back(time, units);
        sku.count(sequence);
        Ok(())
    }

    pub(super) fn withdrawn(
        &mut self,
        at: (u64, Timestamp),
        withdrawn: &UnitsWithdrawn<'_>,
    ) -> Result<(), String> {
        let sku = self.sku_mut(&withdrawn.sku)?;
        let drawn: u64 = withdrawn.draws.iter().map(|draw| draw.quantity.units()).sum();
        if drawn != withdrawn.quantity.units() {
            return Err(format!("{drawn} units are withdrawn instead of {}", withdrawn.quantity));
        }
        let body = (withdrawn.quantity.get(), withdrawn.reason.to_owned());
        if sku.withdrawals.insert(withdrawn.withdrawal.clone(), body).is_some() {
            return Err(format!("I3 withdrawal {} happens twice", withdrawn.withdrawal));
        }
        sku.shift(at, &withdrawn.draws, Change::Withdraw)
    }
}
