//! Placing an order: one protocol for one line or twenty, on one shard or several.
//!
//! The home claims the key and the limits, asks the SKU owners for provisional holds in ascending
//! order of SKU, decides, and confirms or releases. What is on this shard is a function call; what
//! is elsewhere is a message, and the order is *in flight* until the answer comes. One buyer has
//! at most one order in flight; the buyer's next ones, and reads by key, wait behind it.

use std::collections::VecDeque;

use crate::command::{Command, Envelope, Place, PlaceLine, ReplyTo};
use crate::event::{Actor, Draw, Event, Line, Lines, Meta, OrderPlaced, OrderStatus, total};
use crate::id::{BuyerDigest, KeyDigest, SlotId};
use crate::money::{Amount, Currency};
use crate::name::SkuId;
use crate::outcome::{OrderView, Outcome, Refusal};
use crate::planted::{self, Bug};
use crate::router::Target;
use crate::time::Timestamp;

use super::Ledger;
use super::protocol::{Ask, Denial, Grant, HoldReply, HoldRequest, Message};
use super::stock::Offer;
use super::turn::Turn;

/// Most units of one SKU that the ledger counts for one buyer.
const BUYER_UNITS_MAX: u64 = u32::MAX as u64;

/// An order whose holds are being gathered.
#[derive(Debug)]
pub(super) struct Attempt {
    place: Box<Place>,
    reply: ReplyTo,
    /// The buyer's number in the slot, if they have one: they get it with their first order, and
    /// have at most one in flight.
    buyer: Option<u32>,
    /// Lines that hold their units, provisionally.
    held: Lines,
    currency: Option<Currency>,
    hold_seconds: u32,
}

/// An attempt that waits for a SKU owner, and what of the same buyer waits behind it.
#[derive(Debug)]
pub(super) struct InFlight {
    attempt: Attempt,
    pub(super) waiting: VecDeque<Envelope>,
}

/// How far gathering got.
enum Gathered {
    All,
    Asked,
    Denied(Denial),
}

impl Ledger {
    pub(super) fn place(
        &mut self,
        turn: &mut Turn<'_>,
        place: Box<Place>,
        reply: ReplyTo,
        arrived: Timestamp,
    ) {
        let (slot, buyer) = (place.buyer.slot, place.buyer.digest);
        if self.slot(slot).flights.contains_key(&buyer) {
            let command = Command::Place(place);
            return self.wait_behind(turn, slot, buyer, Envelope { command, reply, arrived });
        }
        if turn.now.micros_since(arrived) > self.limits.order_patience_us {
            turn.metrics.overloaded.add(1);
            return turn.effects.answer(reply, Outcome::Refused(Refusal::Overloaded));
        }
        let buyer = self.slot(slot).buyers.find(buyer);
        if let Some(outcome) = self.admit(&place, buyer) {
            match &outcome {
                Outcome::Repeated(_) => turn.metrics.repeated.add(1),
                _ => turn.metrics.refused.add(1),
            }
            return turn.effects.answer(reply, outcome);
        }
        let (held, currency, hold_seconds) = (Lines::new(), None, u32::MAX);
        let attempt = Attempt { place, reply, buyer, held, currency, hold_seconds };
        self.advance(turn, attempt, VecDeque::new());
    }

    /// What the home can say before it asks for stock: an earlier order, or a refusal.
    fn admit(&self, place: &Place, buyer: Option<u32>) -> Option<Outcome> {
        let slot = self.slot(place.buyer.slot);
        if let Some(key) = &place.key {
            if let Some(order) = slot.by_key(key.digest) {
                let same = order.fingerprint == place.fingerprint;
                return Some(match same {
                    true => Outcome::Repeated(Box::new(slot.show(order))),
                    false => Outcome::Refused(Refusal::KeyReused),
                });
            }
            let keys = buyer.map_or(0, |buyer| slot.buyers.get(buyer).keys);
            if keys as usize >= self.limits.keys_per_buyer_max {
                return Some(Outcome::Refused(Refusal::TooManyKeys));
            }
        }
        None
    }

    /// Gathers holds as far as they are at hand, then decides or waits.
    fn advance(&mut self, turn: &mut Turn<'_>, mut attempt: Attempt, waiting: VecDeque<Envelope>) {
        let gathered = self.gather(turn, &mut attempt);
        let verdict = match gathered {
            Gathered::Asked => {
                let (slot, buyer) = (attempt.place.buyer.slot, attempt.place.buyer.digest);
                let in_flight = InFlight { attempt, waiting };
                self.slot_mut(slot).flights.insert(buyer, in_flight);
                self.in_flight += 1;
                return;
            }
            Gathered::All => self.judge(turn, &attempt),
            Gathered::Denied(denial) => Err(denial),
        };
        match verdict {
            Ok(amount) => self.conclude(turn, attempt, amount),
            Err(denial) => self.give_up(turn, attempt, denial),
        }
        for envelope in waiting {
            self.command(turn, envelope);
        }
    }

    fn gather(&mut self, turn: &mut Turn<'_>, attempt: &mut Attempt) -> Gathered {
        while let Some(line) = attempt.next_line() {
            let ask = self.ask(attempt, line);
            if ask.buyer_has + ask.quantity.units() > BUYER_UNITS_MAX {
                return Gathered::Denied(Denial::Capacity { ceiling: "units of one buyer" });
            }
            if !turn.is_here(Target::Bucket(line.sku.bucket())) {
                turn.effects.send(attempt.hold(ask));
                return Gathered::Asked;
            }
            let Some(stock) = self.stocks.get_mut(&line.sku) else {
                return Gathered::Denied(Denial::SkuNotFound);
            };
            match stock.offer_newcomer(&ask) {
                Offer::Granted(grant) => {
                    stock.lots.set_aside(&grant.draws);
                    if let Err(denial) = attempt.take(grant) {
                        return Gathered::Denied(denial);
                    }
                }
                Offer::Denied(denial) => return Gathered::Denied(denial),
                Offer::Unsettled => {
                    turn.effects.send(attempt.hold(ask));
                    return Gathered::Asked;
                }
            }
        }
        Gathered::All
    }

    fn ask(&self, attempt: &Attempt, line: &PlaceLine) -> Ask {
        let home = self.slot(attempt.place.buyer.slot);
        Ask {
            quantity: line.quantity,
            buyer_has: home.units_of(attempt.buyer, &line.sku),
            draws_max: self.limits.draws_per_order_max.saturating_sub(attempt.draws()),
        }
    }

    /// Decides on an attempt that holds all its lines: what it costs, or why not. Changes nothing.
    fn judge(&self, turn: &Turn<'_>, attempt: &Attempt) -> Result<Amount, Denial> {
        let Some(amount) = total(&attempt.held) else {
            return Err(Denial::AmountTooLarge);
        };
        if attempt.place.max_amount.is_some_and(|most| amount > most) {
            return Err(Denial::PriceChanged { amount });
        }
        if turn.disk_reserve && !planted::is(Bug::ReserveTakenByOrders) {
            return Err(Denial::DiskReserve);
        }
        let slot = self.slot(attempt.place.buyer.slot);
        if self.live_orders >= self.live_orders_max() {
            return Err(Denial::Capacity { ceiling: "live orders" });
        }
        if slot.orders.find(attempt.place.order).is_some() {
            return Err(Denial::OrderIdTaken);
        }
        Ok(amount)
    }

    /// Records the order, holds its units for good, and answers.
    fn conclude(&mut self, turn: &mut Turn<'_>, attempt: Attempt, amount: Amount) {
        let Attempt { place, reply, buyer, held, currency, hold_seconds } = attempt;
        let meta = Meta { time: turn.now, actor: Actor::Buyer, request: place.request };
        let event = Event::OrderPlaced(OrderPlaced {
            order: place.order,
            buyer: place.buyer.digest,
            buyer_name: &place.buyer.name,
            key: place.key.as_ref().map(|key| (key.digest, &*key.name)),
            fingerprint: place.fingerprint,
            currency: currency.expect("a line was held"),
            expires_at: turn.now.plus_seconds(hold_seconds),
            lines: held,
        });
        turn.recorder.record(&meta, &event);
        let Event::OrderPlaced(placed) = event else { unreachable!("made above") };
        self.apply_placed(&meta, &placed, buyer);
        turn.metrics.placed.add(1);
        for line in &placed.lines {
            if turn.is_here(Target::Bucket(line.sku.bucket())) {
                self.confirm_line(turn, &line.sku, &line.draws);
            } else {
                let (sku, draws) = (line.sku.clone(), line.draws.clone());
                turn.effects.send(Message::Confirm { sku, draws });
            }
        }
        let order = OrderView {
            order: placed.order,
            version: 1,
            status: OrderStatus::Reserved,
            amount,
            currency: placed.currency,
            created_at: meta.time,
            expires_at: placed.expires_at,
            lines: placed.lines,
        };
        turn.effects.answer(reply, Outcome::Placed(Box::new(order)));
    }

    /// Answers why, and releases what was held.
    fn give_up(&mut self, turn: &mut Turn<'_>, attempt: Attempt, denial: Denial) {
        match denial {
            Denial::SoldOut => {
                self.lately_placed = false;
                turn.metrics.sold_out.add(1);
            }
            Denial::Overloaded => turn.metrics.overloaded.add(1),
            _ => turn.metrics.refused.add(1),
        }
        let refusal = denial.about(attempt.next_line().map(|line| &line.sku));
        turn.effects.answer(attempt.reply, Outcome::Refused(refusal));
        for line in attempt.held {
            if planted::is(Bug::ProvisionalLeaked) {
                continue;
            }
            if turn.is_here(Target::Bucket(line.sku.bucket())) {
                self.release_line(turn, &line.sku, &line.draws);
            } else {
                turn.effects.send(Message::Release { sku: line.sku, draws: line.draws });
            }
        }
    }

    /// Applies the home's part of a placed order. Whoever knows the buyer's number gives it.
    pub(super) fn apply_placed(
        &mut self,
        meta: &Meta,
        placed: &OrderPlaced<'_>,
        buyer: Option<u32>,
    ) {
        self.expiries.note(placed.expires_at);
        self.live_orders += 1;
        self.lately_placed = true;
        self.slot_mut(placed.order.slot()).place(meta, placed, buyer);
    }

    /// Home: the owner answered.
    pub(super) fn held(&mut self, turn: &mut Turn<'_>, reply: HoldReply) {
        let slot = self.slot_mut(reply.order.slot());
        let in_flight =
            slot.flights.remove(&reply.buyer).expect("an answer has its order in flight");
        // Meanwhile the buyer's other orders may have left, and with them the buyer's number.
        let buyer = slot.buyers.find(reply.buyer);
        self.in_flight -= 1;
        let InFlight { mut attempt, waiting } = in_flight;
        assert!(attempt.place.order == reply.order, "an answer has its order in flight");

        attempt.buyer = buyer;
        let taken = reply.result.and_then(|grant| attempt.take(grant));
        match taken {
            Ok(()) => self.advance(turn, attempt, waiting),
            Err(denial) => {
                self.give_up(turn, attempt, denial);
                for envelope in waiting {
                    self.command(turn, envelope);
                }
            }
        }
    }

    /// Owner: sets units aside, waits, or refuses.
    pub(super) fn hold(&mut self, turn: &mut Turn<'_>, request: HoldRequest) {
        let Some(stock) = self.stocks.get_mut(&request.sku) else {
            return turn.effects.send(held(&request, Err(Denial::SkuNotFound)));
        };
        let result = match stock.offer_newcomer(&request.ask) {
            Offer::Granted(grant) => {
                stock.lots.set_aside(&grant.draws);
                turn.effects.touch(&request.sku);
                Ok(grant)
            }
            Offer::Denied(denial) => Err(denial),
            Offer::Unsettled if stock.parked.len() < self.limits.parked_per_sku_max => {
                return stock.parked.push_back(request);
            }
            Offer::Unsettled => Err(Denial::Overloaded),
        };
        turn.effects.send(held(&request, result));
    }

    /// Owner: what was set aside is held for good.
    pub(super) fn confirm_line(&mut self, turn: &mut Turn<'_>, sku: &SkuId, draws: &[Draw]) {
        let stock = self.stock_mut(sku);
        if !planted::is(Bug::ConfirmKeepsProvisional) {
            stock.lots.settle(draws);
        }
        stock.reserve(draws);
        turn.effects.touch(sku);
        if !stock.parked.is_empty() {
            self.retry_parked(turn, sku);
        }
    }

    /// Owner: what was set aside is free again.
    pub(super) fn release_line(&mut self, turn: &mut Turn<'_>, sku: &SkuId, draws: &[Draw]) {
        self.stock_mut(sku).lots.settle(draws);
        turn.effects.touch(sku);
        self.retry_parked(turn, sku);
    }

    /// Owner: holds that waited are decided, in order of arrival, as far as they can be.
    pub(super) fn retry_parked(&mut self, turn: &mut Turn<'_>, sku: &SkuId) {
        let Some(stock) = self.stocks.get_mut(sku) else { return };
        while let Some(request) = stock.parked.front() {
            let result = match stock.offer(&request.ask) {
                Offer::Unsettled => return,
                Offer::Denied(denial) => Err(denial),
                Offer::Granted(grant) => {
                    stock.lots.set_aside(&grant.draws);
                    Ok(grant)
                }
            };
            let request = stock.parked.pop_front().expect("there was one");
            turn.effects.send(held(&request, result));
        }
    }

    /// Shows the order that a key made; waits for one in flight.
    pub(super) fn read_by_key(
        &mut self,
        turn: &mut Turn<'_>,
        (slot, buyer, key): (SlotId, BuyerDigest, KeyDigest),
        reply: ReplyTo,
        arrived: Timestamp,
    ) {
        let home = self.slot(slot);
        if home.flights.contains_key(&buyer) && home.by_key(key).is_none() {
            let command = Command::ReadByKey { slot, buyer, key };
            return self.wait_behind(turn, slot, buyer, Envelope { command, reply, arrived });
        }
        let outcome = match home.by_key(key) {
            Some(order) => Outcome::Order(Box::new(home.show(order))),
            None => Outcome::Refused(Refusal::OrderNotFound),
        };
        turn.effects.answer(reply, outcome);
    }

    fn wait_behind(
        &mut self,
        turn: &mut Turn<'_>,
        slot: SlotId,
        buyer: BuyerDigest,
        envelope: Envelope,
    ) {
        let most = self.limits.parked_per_buyer_max;
        let in_flight = self.slot_mut(slot).flights.get_mut(&buyer).expect("there is one");
        if in_flight.waiting.len() < most {
            in_flight.waiting.push_back(envelope);
        } else {
            turn.metrics.overloaded.add(1);
            turn.effects.answer(envelope.reply, Outcome::Refused(Refusal::Overloaded));
        }
    }
}

impl Attempt {
    /// Lots that its held lines draw from: the order has one ceiling over all of them.
    fn draws(&self) -> usize {
        self.held.iter().map(|line| line.draws.len()).sum()
    }

    /// The first line that holds nothing yet.
    fn next_line(&self) -> Option<&PlaceLine> {
        self.place.lines.get(self.held.len())
    }

    /// Asks the owner of the next line's SKU.
    fn hold(&self, ask: Ask) -> Message {
        let line = self.next_line().expect("a line is asked for");
        Message::Hold(Box::new(HoldRequest {
            order: self.place.order,
            buyer: self.place.buyer.digest,
            sku: line.sku.clone(),
            ask,
        }))
    }

    /// Takes what the owner of the next line's SKU granted.
    fn take(&mut self, grant: Grant) -> Result<(), Denial> {
        let line = self.next_line().expect("a line was asked for");
        let (sku, quantity) = (line.sku.clone(), line.quantity);
        self.held.push(Line { sku, quantity, draws: grant.draws });
        self.hold_seconds = self.hold_seconds.min(grant.hold_seconds);
        match self.currency {
            Some(currency) if currency != grant.currency => Err(Denial::CurrenciesDiffer),
            _ => {
                self.currency = Some(grant.currency);
                Ok(())
            }
        }
    }
}

fn held(request: &HoldRequest, result: Result<Grant, Denial>) -> Message {
    let reply = HoldReply { order: request.order, buyer: request.buyer, result };
    Message::Held(Box::new(reply))
}
