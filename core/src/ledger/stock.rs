//! One SKU: its terms, lots, withdrawals, and the holds that wait for others to settle.

use std::collections::{BTreeMap, VecDeque};

use crate::event::{Draw, Draws, LotReceived, SkuDefined, UnitsWithdrawn};
use crate::money::{Amount, Currency};
use crate::name::{SkuId, WithdrawalId};
use crate::outcome::StockView;
use crate::planted::{self, Bug};
use crate::quantity::Quantity;

use super::lots::Lots;
use super::protocol::{Ask, Denial, Grant, HoldRequest};

/// One SKU's stock. Owned by one shard; moves as a whole.
#[derive(Debug)]
pub struct SkuStock {
    sku: SkuId,
    revision: u32,
    title: Box<str>,
    list_price: Amount,
    currency: Currency,
    per_buyer_limit: u32,
    hold_seconds: u32,
    standby_pass: bool,
    pub(super) lots: Lots,
    pub(super) withdrawals: BTreeMap<WithdrawalId, (Quantity, Box<str>)>,
    /// Holds that lack only units set aside provisionally, in order of arrival.
    pub(super) parked: VecDeque<HoldRequest>,
}

/// What the owner says to a request for units.
pub(super) enum Offer {
    /// Here they are.
    Granted(Grant),
    /// Some are set aside; whether they come free is not decided yet.
    Unsettled,
    /// No.
    Denied(Denial),
}

/// What the owner says to a withdrawal.
pub(super) enum Withdrawable {
    /// Here they are.
    Here(Draws),
    /// Some are set aside; whether they come free is not decided yet.
    Unsettled,
    /// There are not as many.
    Lacking,
}

impl SkuStock {
    pub(super) fn new(defined: &SkuDefined<'_>) -> Self {
        Self {
            sku: defined.sku.clone(),
            revision: defined.revision,
            title: Box::from(defined.title),
            list_price: defined.unit_price,
            currency: defined.currency,
            per_buyer_limit: defined.per_buyer_limit,
            hold_seconds: defined.hold_seconds,
            standby_pass: defined.standby_pass,
            lots: Lots::default(),
            withdrawals: BTreeMap::new(),
            parked: VecDeque::new(),
        }
    }

    pub(super) fn redefine(&mut self, defined: &SkuDefined<'_>) {
        self.revision = defined.revision;
        self.title = Box::from(defined.title);
        self.list_price = defined.unit_price;
        self.currency = defined.currency;
        self.per_buyer_limit = defined.per_buyer_limit;
        self.hold_seconds = defined.hold_seconds;
        self.standby_pass = defined.standby_pass;
    }

    /// The SKU.
    pub fn sku(&self) -> &SkuId {
        &self.sku
    }

    /// The revision of its terms.
    pub fn revision(&self) -> u32 {
        self.revision
    }

    /// Its title.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Its currency.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// The price that a newcomer pays for the next unit.
    pub fn next_price(&self) -> Amount {
        self.lots.next_price(self.list_price)
    }

    /// Units that a newcomer can get.
    pub fn available(&self) -> u64 {
        self.lots.free()
    }

    /// Holds that wait here until provisional ones settle.
    pub fn parked_holds(&self) -> usize {
        self.parked.len()
    }

    /// Decides on a request for units; changes nothing.
    ///
    /// `sold_out` is said only if the units would be lacking even if every provisional hold were
    /// released.
    pub(super) fn offer(&self, ask: &Ask) -> Offer {
        let units = ask.quantity.units();
        let limit = u64::from(self.per_buyer_limit);
        let has = if planted::is(Bug::BuyerLimitPerOrder) { 0 } else { ask.buyer_has };
        if limit != 0 && has + units > limit {
            let limit = self.per_buyer_limit;
            return Offer::Denied(Denial::BuyerLimit { limit, has });
        }
        if units > self.lots.totals().available {
            return Offer::Denied(Denial::SoldOut);
        }
        match self.lots.draw(ask.quantity, self.list_price) {
            Some(draws) if draws.len() > ask.draws_max => {
                Offer::Denied(Denial::Capacity { ceiling: "lots one order may draw from" })
            }
            Some(draws) => Offer::Granted(Grant {
                draws,
                currency: self.currency,
                hold_seconds: self.hold_seconds,
            }),
            None if planted::is(Bug::SoldOutWhileProvisional) => Offer::Denied(Denial::SoldOut),
            None if self.lots.provisional() == 0 => Offer::Denied(Denial::SoldOut),
            None => Offer::Unsettled,
        }
    }

    /// [`SkuStock::offer`] for a request that has not waited yet: it queues behind those that have.
    pub(super) fn offer_newcomer(&self, ask: &Ask) -> Offer {
        match self.offer(ask) {
            Offer::Granted(_) if !self.parked.is_empty() => Offer::Unsettled,
            other => other,
        }
    }

    /// Where a withdrawal would come from.
    pub(super) fn offer_withdrawal(&self, quantity: Quantity) -> Withdrawable {
        match self.lots.draw(quantity, self.list_price) {
            Some(draws) => Withdrawable::Here(draws),
            None if quantity.units() > self.lots.totals().available => Withdrawable::Lacking,
            None => Withdrawable::Unsettled,
        }
    }

    pub(super) fn receive(&mut self, received: &LotReceived) {
        self.lots.receive(received);
    }

    pub(super) fn reserve(&mut self, draws: &[Draw]) {
        self.lots.reserve(draws);
    }

    pub(super) fn restore(&mut self, draws: &[Draw]) {
        if planted::is(Bug::UnitsReturnedToFirstLot)
            && let Some(first) = self.lots.as_slice().first().map(|lot| lot.name.clone())
            && self.lots.as_slice()[0].counters.held
                >= draws.iter().map(|draw| draw.quantity.units()).sum()
        {
            let moved: Draws = draws
                .iter()
                .map(|draw| Draw { lot: first.clone(), ordinal: 0, ..draw.clone() })
                .collect();
            return self.lots.restore(&moved);
        }
        self.lots.restore(draws);
    }

    pub(super) fn withdraw(&mut self, withdrawn: &UnitsWithdrawn<'_>) {
        self.lots.withdraw(&withdrawn.draws);
        let body = (withdrawn.quantity, Box::from(withdrawn.reason));
        let earlier = self.withdrawals.insert(withdrawn.withdrawal.clone(), body);
        assert!(earlier.is_none(), "I3 withdrawal {} happens once", withdrawn.withdrawal);
    }

    /// Its stock, for operators.
    pub fn view(&self, shard: usize) -> StockView {
        self.view_with(shard, true)
    }

    /// As [`SkuStock::view`], with its lots or without.
    pub(super) fn view_with(&self, shard: usize, lots: bool) -> StockView {
        StockView {
            sku: self.sku.clone(),
            revision: self.revision,
            title: self.title.clone(),
            unit_price: self.list_price,
            currency: self.currency,
            per_buyer_limit: self.per_buyer_limit,
            hold_seconds: self.hold_seconds,
            standby_pass: self.standby_pass,
            counters: self.lots.totals(),
            lots: if lots { self.lots.views() } else { Vec::new() },
            shard,
        }
    }
}
