//! What the owner of a SKU does for orders: sets units aside, moves them, lets requests wait.

use crate::event::Draw;
use crate::id::{BuyerDigest, OrderId};
use crate::name::SkuId;
use crate::planted::{self, Bug};

use super::Ledger;
use super::attempt::Attempt;
use super::protocol::{
    Ask, Denial, Granted, HoldReply, HoldRequest, Message, Nothing, Place, Purpose, Shift,
};
use super::queue::{Stage, Waiter};
use super::stock::{Offer, SkuStock};
use super::turn::Turn;

impl Ledger {
    /// Asks a SKU that is here for the next line of an attempt. `false` if nothing can be said yet.
    pub(super) fn ask_here(
        &mut self,
        turn: &mut Turn<'_>,
        attempt: &mut Attempt,
        ask: &Ask,
    ) -> bool {
        let line = attempt.next_line().expect("a line is asked for");
        let Some(stock) = self.stocks.get_mut(&line.sku) else {
            attempt.refuse(Denial::SkuNotFound);
            return true;
        };
        let offer = match stock.offer_newcomer(ask, &self.limits, turn.now) {
            Offer::Denied(denial) if !ask.of_basket => {
                attempt.refuse(denial);
                return true;
            }
            offer => offer,
        };
        let whose = (attempt.order(), attempt.buyer_digest());
        let answer = stock.grant_offer(offer, ask, whose);
        answer.map(|answer| attempt.take(answer)).is_some()
    }

    /// Owner: sets units aside, waits, or refuses.
    pub(super) fn hold(&mut self, turn: &mut Turn<'_>, request: HoldRequest) {
        let Some(stock) = self.stocks.get_mut(&request.sku) else {
            return turn.effects.send(request.answered(Err(Denial::SkuNotFound)));
        };
        let offer = stock.offer_newcomer(&request.ask, &self.limits, turn.now);
        let result = match stock.grant_offer(offer, &request.ask, request.whose()) {
            Some(result) => result,
            None if stock.parked.len() < self.limits.parked_per_sku_max => {
                return stock.parked.push_back(request);
            }
            None => Err(Denial::Overloaded),
        };
        turn.effects.touch(&request.sku);
        turn.effects.send(request.answered(result));
    }

    /// Owner: requests that waited are decided, in order of arrival, as far as they can be.
    pub(super) fn retry_parked(&mut self, turn: &mut Turn<'_>, sku: &SkuId) {
        let Some(stock) = self.stocks.get_mut(sku) else { return };
        while let Some(request) = stock.parked.pop_front() {
            let offer = stock.offer(&request.ask, &self.limits, turn.now);
            match stock.grant_offer(offer, &request.ask, request.whose()) {
                Some(result) => turn.effects.send(request.answered(result)),
                None => return stock.parked.push_front(request),
            }
        }
    }

    /// Owner: units move. What comes free goes to those who wait, then to those who asked.
    pub(super) fn shift_line(
        &mut self,
        turn: &mut Turn<'_>,
        sku: &SkuId,
        draws: &[Draw],
        shift: Shift,
    ) {
        let stock = self.stock_mut(sku);
        let keeps = shift == Shift::Reserve && planted::is(Bug::ConfirmKeepsProvisional);
        if shift.settles() && !keeps {
            stock.lots.settle(draws);
        }
        stock.shift(draws, shift);
        turn.effects.touch(sku);
        self.stir(turn, sku);
    }

    /// Owner: something has changed for those who wait.
    pub(super) fn stir(&mut self, turn: &mut Turn<'_>, sku: &SkuId) {
        let stock = self.stock_mut(sku);
        if !stock.queue.is_empty() {
            self.serve(turn, sku);
        }
        if !self.stock_mut(sku).parked.is_empty() {
            self.retry_parked(turn, sku);
        }
    }
}

impl SkuStock {
    /// Does what was offered; `None` if that cannot be said yet.
    fn grant_offer(
        &mut self,
        offer: Offer,
        ask: &Ask,
        (order, buyer): (OrderId, BuyerDigest),
    ) -> Option<Result<Granted, Denial>> {
        Some(match offer {
            Offer::Denied(denial) if ask.of_basket && matches!(denial, Denial::SoldOut) => {
                Ok(Granted::Nothing(self.nothing(Some(denial))))
            }
            Offer::Denied(denial) => Err(denial),
            _ if ask.purpose == Purpose::Probe => Ok(Granted::Nothing(self.nothing(None))),
            Offer::Granted(grant) => {
                self.lots.set_aside(&grant.draws);
                Ok(Granted::Units(grant))
            }
            Offer::Queue => {
                let (ticket, position) = (self.queue.next_ticket(), self.queue.len() + 1);
                let (currency, sale) = (self.currency(), self.sale().map(|it| it.sale.clone()));
                let (quantity, stage) = (ask.quantity, Stage::Joining);
                let waiter = Waiter { order, buyer, quantity, sale: sale.clone(), stage };
                self.queue.insert(ticket, waiter);
                Ok(Granted::Place(Place { ticket, position, currency, sale }))
            }
            Offer::Unsettled => return None,
        })
    }

    /// What a line of a basket counts for that gets nothing here.
    fn nothing(&self, denial: Option<Denial>) -> Nothing {
        let sale = self.sale().map(|it| it.sale.clone());
        Nothing { denial, currency: self.currency(), sale }
    }
}

impl HoldRequest {
    fn whose(&self) -> (OrderId, BuyerDigest) {
        (self.order, self.buyer)
    }

    fn answered(&self, result: Result<Granted, Denial>) -> Message {
        let reply = HoldReply { order: self.order, buyer: self.buyer, result };
        Message::Held(Box::new(reply))
    }
}
