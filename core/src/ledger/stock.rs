//! One SKU: its terms, lots, withdrawals, and the holds that wait for others to settle.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::event::{Draw, Draws, LotReceived, SkuDefined, UnitsWithdrawn};
use crate::id::OrderId;
use crate::limits::Limits;
use crate::money::{Amount, Currency};
use crate::name::{SaleId, SkuId, WithdrawalId};
use crate::outcome::{SaleState, SaleView, StockView};
use crate::planted::{self, Bug};
use crate::quantity::Quantity;
use crate::time::Timestamp;
use crate::view::Terms;

use super::lots::Lots;
use super::protocol::{Ask, Denial, Grant, HoldRequest, Otherwise, Purpose, Shift};
use super::queue::{Queue, Stage, Waiter};

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
    /// Orders that wait for units to come back.
    pub(super) queue: Queue,
    /// The sale that it is in, or was in last.
    pub(super) sale: Option<Arc<SaleView>>,
    /// Sales that are over and whose orders do not all know yet that they wait in vain.
    ended: Vec<SaleId>,
    /// The ticket from which on they are still to be told.
    pub(super) dismiss_from: u64,
}

/// What the owner says to a request for units.
pub(super) enum Offer {
    /// Here they are.
    Granted(Grant),
    /// None, but a place in the queue.
    Queue,
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
            queue: Queue::default(),
            sale: None,
            ended: Vec::new(),
            dismiss_from: 0,
        }
    }

    /// Enters a sale, or none. Once it is over, whoever waits waits in vain.
    pub(super) fn enter_sale(&mut self, sale: Option<Arc<SaleView>>) {
        self.sale = sale;
        if let Some(over) = self.sale.as_ref().filter(|sale| sale.ended).map(|it| it.sale.clone()) {
            self.dismiss_all_of(&over);
        }
    }

    /// All who ordered in this sale, which is over, are to be told that they wait in vain.
    pub(super) fn dismiss_all_of(&mut self, sale: &SaleId) {
        self.dismiss_from = 0;
        if !self.ended.contains(sale) && !self.queue.is_empty() {
            self.ended.push(sale.clone());
        }
    }

    /// Whether somebody may wait in vain who was not told.
    pub(super) fn dismisses(&self) -> bool {
        !self.ended.is_empty()
    }

    /// The next who waits in vain and was not told: in a sale that is over, or in whatever sale if
    /// the SKU's own is over. Once there is none, that is done.
    pub(super) fn next_in_vain(&mut self) -> Option<(u64, OrderId, Stage)> {
        while let Some((ticket, waiter)) = self.queue.next_from(self.dismiss_from) {
            self.dismiss_from = ticket;
            if self.waits_in_vain(waiter) {
                return Some((ticket, waiter.order, waiter.stage));
            }
            self.dismiss_from += 1;
        }
        self.ended.clear();
        None
    }

    /// Whether somebody waits in a sale that is over, or in whatever sale if the SKU's own is over.
    pub(super) fn waits_in_vain(&self, waiter: &Waiter) -> bool {
        let closed = self.sale.as_ref().is_some_and(|sale| sale.ended);
        closed || waiter.sale.as_ref().is_some_and(|sale| self.ended.contains(sale))
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

    /// Whether its currency is fixed: it has a lot, or somebody waits for one and was told in which
    /// currency it is sold.
    pub(super) fn is_priced(&self) -> bool {
        !self.lots.as_slice().is_empty() || !self.queue.is_empty()
    }

    /// The price that a newcomer pays for the next unit.
    pub fn next_price(&self) -> Amount {
        self.lots.next_price(self.list_price)
    }

    /// Holds that wait for others to settle, for checks.
    pub fn parked_holds(&self) -> usize {
        self.parked.len()
    }

    /// Orders for which units are set aside while their homes are asked, for checks.
    pub fn offered(&self) -> impl Iterator<Item = OrderId> {
        let offered = self.queue.iter().filter(|(_, waiter)| waiter.stage == Stage::Offered);
        offered.map(|(_, waiter)| waiter.order)
    }

    /// Units that a newcomer can get.
    pub fn available(&self) -> u64 {
        if !self.standby_pass && self.queue.has_open() { 0 } else { self.lots.free() }
    }

    /// What anybody may know of it, but for how much there is.
    pub fn terms(&self) -> Terms {
        Terms {
            title: self.title.clone(),
            unit_price: self.next_price(),
            currency: self.currency,
            sale: self.sale.clone(),
        }
    }

    /// Whether smaller standby orders may pass larger ones.
    pub(super) fn passes(&self) -> bool {
        self.standby_pass
    }

    /// The sale that it is in, or was in last.
    pub fn sale(&self) -> Option<&Arc<SaleView>> {
        self.sale.as_ref()
    }

    /// Decides on a request for units; changes nothing.
    ///
    /// `sold_out` is said only if the units would be lacking even if every provisional hold were
    /// released and every ticket whose order is not recorded yet were given back.
    pub(super) fn offer(&self, ask: &Ask, limits: &Limits, now: Timestamp) -> Offer {
        if let Some(denial) = self.objection(ask, now) {
            return Offer::Denied(denial);
        }
        let jumps = match ask.purpose {
            Purpose::LatePayment => planted::is(Bug::LatePaymentJumps),
            _ => planted::is(Bug::NewcomerPasses),
        };
        let first = self.first_in_line().filter(|_| !jumps);
        let Some(first) = first else { return self.offer_units(ask, limits) };
        let enough = ask.quantity.units() <= self.lots.totals().available;
        match ask.otherwise {
            Otherwise::Refuse if first == Stage::Joining && enough => Offer::Unsettled,
            _ => self.lacking(ask, limits),
        }
    }

    /// Who is served before any newcomer or late payment, if somebody is (I11).
    fn first_in_line(&self) -> Option<Stage> {
        if !self.queue.has_open() {
            return None;
        }
        if !self.standby_pass {
            return Some(if self.queue.has_recorded() { Stage::Waiting } else { Stage::Joining });
        }
        self.queue.next_within(self.lots.free()).map(|(_, waiter)| waiter.stage)
    }

    /// Whether units are lacking and nothing else can speak against a request for them, as far as a
    /// glance tells; `new`: the buyer has none yet.
    pub(super) fn is_sold_out_for(&self, quantity: Quantity, new: bool, now: Timestamp) -> bool {
        let allows = |limit: u32| limit == 0 || (new && quantity.get() <= limit);
        let open = self
            .sale
            .as_ref()
            .is_none_or(|sale| sale.state(now) == SaleState::Open && allows(sale.per_buyer_limit));
        let open = open && self.list_price.times(quantity.units()).is_some();
        open && allows(self.per_buyer_limit) && quantity.units() > self.lots.totals().available
    }

    fn offer_units(&self, ask: &Ask, limits: &Limits) -> Offer {
        if ask.quantity.units() > self.lots.totals().available {
            return self.lacking(ask, limits);
        }
        match self.lots.draw(ask.quantity, self.list_price) {
            Some(draws) if draws.len() > ask.draws_max => {
                Offer::Denied(Denial::Capacity { ceiling: "lots one order may draw from" })
            }
            Some(draws) => Offer::Granted(self.grant(draws)),
            None if planted::is(Bug::SoldOutWhileProvisional) => Offer::Denied(Denial::SoldOut),
            None if self.lots.provisional() == 0 => self.lacking(ask, limits),
            None => Offer::Unsettled,
        }
    }

    /// Units set aside, with this SKU's terms.
    pub(super) fn grant(&self, draws: Draws) -> Grant {
        Grant {
            draws,
            currency: self.currency,
            hold_seconds: self.hold_seconds,
            sale: self.sale.as_ref().map(|sale| sale.sale.clone()),
        }
    }

    /// Where units for the next who waits would come from.
    pub(super) fn draw(&self, quantity: Quantity) -> Option<Draws> {
        self.lots.draw(quantity, self.list_price)
    }

    /// What speaks against a request, however many units there are.
    fn objection(&self, ask: &Ask, now: Timestamp) -> Option<Denial> {
        let units = ask.quantity.units();
        // The money is there already: nothing but units may be lacking.
        if ask.purpose == Purpose::LatePayment {
            return None;
        }
        if self.list_price.times(units).is_none() {
            return Some(Denial::AmountTooLarge);
        }
        if let Some(sale) = &self.sale {
            match sale.state(now) {
                SaleState::Open => {}
                SaleState::Scheduled => {
                    return Some(Denial::SaleNotOpen { opens_at: sale.starts_at });
                }
                SaleState::Paused => return Some(Denial::SalePaused),
                SaleState::Ended => return Some(Denial::SaleEnded),
            }
            let in_sale = ask.buyer_has_in.iter().filter(|(other, _)| *other == sale.sale);
            let has: u64 = in_sale.map(|(_, units)| *units).sum();
            let limit = sale.per_buyer_limit;
            if limit != 0 && has + units > u64::from(limit) && !planted::is(Bug::SaleLimitForgotten)
            {
                return Some(Denial::SaleLimit { limit, has });
            }
        }
        let limit = self.per_buyer_limit;
        let has = if planted::is(Bug::BuyerLimitPerOrder) { 0 } else { ask.buyer_has };
        (limit != 0 && has + units > u64::from(limit)).then_some(Denial::BuyerLimit { limit, has })
    }

    /// What an order gets for which there are no units.
    fn lacking(&self, ask: &Ask, limits: &Limits) -> Offer {
        match ask.otherwise {
            Otherwise::Refuse => Offer::Denied(Denial::SoldOut),
            Otherwise::WaitNoMore => {
                Offer::Denied(Denial::Capacity { ceiling: "waiting orders of one buyer" })
            }
            Otherwise::Wait if self.queue.len() >= limits.standby_per_sku_max => {
                Offer::Denied(Denial::Capacity { ceiling: "waiting orders of one SKU" })
            }
            Otherwise::Wait => Offer::Queue,
        }
    }

    /// [`SkuStock::offer`] for a request that has not waited yet: it queues behind those that have.
    pub(super) fn offer_newcomer(&self, ask: &Ask, limits: &Limits, now: Timestamp) -> Offer {
        match self.offer(ask, limits, now) {
            Offer::Granted(_) | Offer::Queue if !self.parked.is_empty() => Offer::Unsettled,
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

    /// Applies what became of units.
    ///
    /// # Panics
    /// If they are not where the shift takes them from (I1).
    pub(super) fn shift(&mut self, draws: &[Draw], shift: Shift) {
        match shift {
            Shift::Reserve => self.lots.reserve(draws),
            Shift::Release => {}
            Shift::Restore => self.restore(draws),
            Shift::Sell => self.lots.sell(draws),
            Shift::SellAtOnce => self.lots.sell_available(draws),
            Shift::TakeBack => self.lots.take_back(draws),
            Shift::WriteOff => self.lots.write_off(draws),
            Shift::Promote(ticket) => {
                self.lots.reserve(draws);
                let waiter = self.queue.remove(ticket);
                assert!(waiter.is_some(), "I11 nobody has ticket {ticket} of {}", self.sku);
            }
        }
    }

    fn restore(&mut self, draws: &[Draw]) {
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
            standby: self.queue.len(),
            sale: self.sale.as_ref().map(|sale| sale.sale.clone()),
            lots: if lots { self.lots.views() } else { Vec::new() },
            shard,
        }
    }
}
