//! Placing an order: one protocol for one line or twenty, on one shard or several.
//!
//! The home claims the key and the limits, asks the SKU owners for provisional holds in ascending
//! order of SKU, decides, and confirms or releases. What is on this shard is a function call; what
//! is elsewhere is a message, and the order is *in flight* until the answer comes. One buyer has
//! at most one order in flight; the buyer's next ones, and reads by key, wait behind it.

use std::collections::VecDeque;

use crate::command::{Command, Envelope, Place, PlaceLine, ReplyTo};
use crate::event::{
    Actor, Draws, Event, Lines, Meta, OrderPlaced, OrderQueued, OrderStatus, total,
};
use crate::id::{BuyerDigest, KeyDigest, SlotId};
use crate::money::Amount;
use crate::name::SkuId;
use crate::outcome::{OrderView, Outcome, Refusal, Waits};
use crate::planted::{self, Bug};
use crate::router::Target;
use crate::time::Timestamp;

use super::Ledger;
use super::attempt::{Aim, Attempt, InFlight};
use super::protocol::{Ask, Denial, HoldReply, Message, Otherwise, Purpose, Shift};
use super::turn::Turn;

/// Most units of one SKU, or of one sale, that the ledger counts for one buyer.
const BUYER_UNITS_MAX: u64 = u32::MAX as u64;

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
            return self.answer_ranked(turn, reply, outcome);
        }
        if !self.lately_placed && self.is_sold_out_for(turn, &place, buyer) {
            turn.metrics.sold_out.add(1);
            let sku = place.lines[0].sku.clone();
            return turn.effects.answer(reply, Outcome::Refused(Refusal::SoldOut { sku }));
        }
        let attempt = Attempt::new(Aim::Order(place), reply, buyer);
        self.advance(turn, attempt, VecDeque::new());
    }

    /// Whether nothing but `sold_out` can come of an order, as far as a glance tells. What a sold-out
    /// sale is asked a million times takes this shortest way.
    fn is_sold_out_for(&self, turn: &Turn<'_>, place: &Place, buyer: Option<u32>) -> bool {
        let [line] = &place.lines[..] else { return false };
        if place.standby || !turn.is_here(Target::Bucket(line.sku.bucket())) {
            return false;
        }
        let stock = self.stocks.get(&line.sku);
        stock.is_some_and(|it| it.is_sold_out_for(line.quantity, buyer.is_none(), turn.now))
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
            if usize::from(keys) >= self.limits.keys_per_buyer_max {
                return Some(Outcome::Refused(Refusal::TooManyKeys));
            }
        }
        None
    }

    /// Gathers units as far as they are at hand, then decides or waits.
    pub(super) fn advance(
        &mut self,
        turn: &mut Turn<'_>,
        mut attempt: Attempt,
        waiting: VecDeque<Envelope>,
    ) {
        if !self.gather(turn, &mut attempt) {
            let (slot, buyer) = (attempt.order().slot(), attempt.buyer_digest());
            let in_flight = InFlight { attempt, waiting };
            self.slot_mut(slot).flights.insert(buyer, in_flight);
            self.in_flight += 1;
            return;
        }
        match attempt.aim {
            Aim::Order(_) => self.finish_order(turn, &mut attempt),
            Aim::LatePayment(_) => self.finish_late_payment(turn, &mut attempt),
        }
        for envelope in waiting {
            self.command(turn, envelope);
        }
    }

    /// Asks for what is not asked for yet. Says whether all is answered; otherwise the next answer
    /// is on its way.
    fn gather(&mut self, turn: &mut Turn<'_>, attempt: &mut Attempt) -> bool {
        while let Some(line) = attempt.next_line() {
            if matches!(attempt.aim, Aim::LatePayment(_)) && attempt.refused.is_some() {
                return true;
            }
            let ask = self.ask(attempt, line);
            // Which sale the line is in only its owner knows.
            let of_sales = ask.buyer_has_in.iter().map(|(_, units)| *units);
            let most = of_sales.fold(ask.buyer_has, u64::max);
            if most + ask.quantity.units() > BUYER_UNITS_MAX {
                attempt.refuse(Denial::Capacity { ceiling: "units of one buyer" });
                continue;
            }
            let is_here = turn.is_here(Target::Bucket(line.sku.bucket()));
            if !is_here || !self.ask_here(turn, attempt, &ask) {
                turn.effects.send(attempt.hold(ask));
                return false;
            }
        }
        true
    }

    fn ask(&self, attempt: &Attempt, line: &PlaceLine) -> Ask {
        let home = self.slot(attempt.order().slot());
        let mut buyer_has_in = home.units_in_sales(attempt.buyer);
        for (sale, more) in &attempt.counted {
            match buyer_has_in.iter_mut().find(|(known, _)| known == sale) {
                Some((_, units)) => *units += more,
                None => buyer_has_in.push((sale.clone(), *more)),
            }
        }
        Ask {
            quantity: line.quantity,
            buyer_has: home.units_of(attempt.buyer, &line.sku),
            buyer_has_in,
            draws_max: self.limits.draws_per_order_max.saturating_sub(attempt.draws()),
            otherwise: self.otherwise(attempt),
            purpose: match attempt.aim {
                _ if attempt.refused.is_some() => Purpose::Probe,
                Aim::Order(_) => Purpose::Order,
                Aim::LatePayment(_) => Purpose::LatePayment,
            },
            of_basket: attempt.lines().len() > 1,
        }
    }

    fn otherwise(&self, attempt: &Attempt) -> Otherwise {
        let Aim::Order(place) = &attempt.aim else { return Otherwise::Refuse };
        if !place.standby {
            return Otherwise::Refuse;
        }
        let buyers = &self.slot(place.buyer.slot).buyers;
        let waiting = attempt.buyer.map_or(0, |buyer| buyers.get(buyer).waiting);
        match usize::from(waiting) < self.limits.standby_per_buyer_max {
            true => Otherwise::Wait,
            false => Otherwise::WaitNoMore,
        }
    }

    /// Decides on a new order that all SKU owners have answered.
    fn finish_order(&mut self, turn: &mut Turn<'_>, attempt: &mut Attempt) {
        let verdict = match attempt.refused {
            Some((_, denial)) => Err(denial),
            None => self.judge(turn, attempt),
        };
        match verdict {
            Ok(amount) => self.conclude(turn, attempt, amount),
            Err(denial) => self.give_up(turn, attempt, denial),
        }
    }

    /// Decides on an attempt that got all it asked for: what it costs, if it has a price yet, or
    /// why not. Changes nothing.
    fn judge(&self, turn: &Turn<'_>, attempt: &Attempt) -> Result<Option<Amount>, Denial> {
        let Aim::Order(place) = &attempt.aim else { unreachable!("only new orders are judged") };
        let mut amount = None;
        if attempt.place.is_none() {
            let sum = total(&attempt.held).ok_or(Denial::AmountTooLarge)?;
            if place.max_amount.is_some_and(|most| sum > most) {
                return Err(Denial::PriceChanged { amount: sum });
            }
            amount = Some(sum);
        }
        if turn.disk_reserve && !planted::is(Bug::ReserveTakenByOrders) {
            return Err(Denial::DiskReserve);
        }
        let slot = self.slot(place.buyer.slot);
        if self.live_orders >= self.live_orders_max() {
            return Err(Denial::Capacity { ceiling: "live orders" });
        }
        if slot.orders.find(place.order).is_some() {
            return Err(Denial::IdTaken);
        }
        Ok(amount)
    }

    /// Records the order, and answers.
    fn conclude(&mut self, turn: &mut Turn<'_>, attempt: &mut Attempt, amount: Option<Amount>) {
        let held = std::mem::take(&mut attempt.held);
        let reply = attempt.take_reply();
        let Aim::Order(place) = &attempt.aim else { unreachable!("only new orders are judged") };
        let meta = Meta { time: turn.now, actor: Actor::Buyer, request: place.request };
        let view = match amount {
            Some(amount) => self.conclude_placed(turn, &meta, (place, held, amount), attempt),
            None => self.conclude_queued(turn, &meta, place, attempt),
        };
        turn.effects.answer(reply, Outcome::Placed(Box::new(view)));
    }

    /// Records an order that got its units, which are held for good from here on.
    fn conclude_placed(
        &mut self,
        turn: &mut Turn<'_>,
        meta: &Meta,
        (place, held, amount): (&Place, Lines, Amount),
        attempt: &Attempt,
    ) -> OrderView {
        let event = Event::OrderPlaced(OrderPlaced {
            order: place.order,
            buyer: place.buyer.digest,
            buyer_name: &place.buyer.name,
            key: place.key.as_ref().map(|key| (key.digest, &*key.name)),
            fingerprint: place.fingerprint,
            currency: attempt.currency.expect("a line was held"),
            expires_at: turn.now.plus_seconds(attempt.hold_seconds),
            lines: held,
        });
        turn.recorder.record(meta, &event);
        let Event::OrderPlaced(placed) = event else { unreachable!("made above") };
        self.apply_placed(meta, &placed, attempt.buyer);
        turn.metrics.placed.add(1);
        for line in &placed.lines {
            if turn.is_here(Target::Bucket(line.sku.bucket())) {
                self.shift_line(turn, &line.sku, &line.draws, Shift::Reserve);
            } else {
                let units = (line.sku.clone(), line.draws.clone());
                self.shift(turn, units, Shift::Reserve);
            }
        }
        OrderView {
            order: placed.order,
            version: 1,
            status: OrderStatus::Reserved,
            amount: Some(amount),
            currency: placed.currency,
            created_at: meta.time,
            expires_at: placed.expires_at,
            lines: placed.lines,
            waits: None,
        }
    }

    /// Records an order that waits.
    fn conclude_queued(
        &mut self,
        turn: &mut Turn<'_>,
        meta: &Meta,
        place: &Place,
        attempt: &Attempt,
    ) -> OrderView {
        let granted = attempt.place.as_ref().expect("it got a place");
        let line = &place.lines[0];
        let queued = OrderQueued {
            order: place.order,
            buyer: place.buyer.digest,
            buyer_name: &place.buyer.name,
            key: place.key.as_ref().map(|key| (key.digest, &*key.name)),
            fingerprint: place.fingerprint,
            currency: granted.currency,
            sku: line.sku.clone(),
            quantity: line.quantity,
            sale: granted.sale.clone(),
            ticket: granted.ticket,
            max_amount: place.max_amount,
        };
        turn.recorder.record(meta, &Event::OrderQueued(queued.clone()));
        self.apply_queued(meta, &queued);
        turn.metrics.queued.add(1);
        let (sku, ticket) = (line.sku.clone(), granted.ticket);
        turn.effects.send(Message::Joined { sku, ticket });
        let waits = Waits { ticket, position: granted.position };
        let slot = self.slot(place.buyer.slot);
        let order = slot.orders.find(place.order).expect("it was just placed");
        OrderView { waits: Some(waits), ..slot.show(slot.orders.get(order)) }
    }

    /// Answers why, and gives back what was gathered.
    fn give_up(&mut self, turn: &mut Turn<'_>, attempt: &mut Attempt, denial: Denial) {
        match denial {
            Denial::SoldOut => {
                self.lately_placed = false;
                turn.metrics.sold_out.add(1);
            }
            Denial::Overloaded => turn.metrics.overloaded.add(1),
            _ => turn.metrics.refused.add(1),
        }
        let lines = attempt.lines();
        let about = attempt.refused.map_or(lines.len() - 1, |(line, _)| line);
        let refusal = denial.about(lines.get(about).map(|line| &line.sku));
        self.let_go_of(turn, attempt);
        turn.effects.answer(attempt.take_reply(), Outcome::Refused(refusal));
    }

    /// Gives back what an attempt gathered.
    pub(super) fn let_go_of(&mut self, turn: &mut Turn<'_>, attempt: &Attempt) {
        if let Some(place) = &attempt.place
            && !planted::is(Bug::ReleasedTicketStays)
        {
            let sku = attempt.lines()[0].sku.clone();
            turn.effects.send(Message::Left { sku, ticket: place.ticket });
        }
        for line in &attempt.held {
            if !planted::is(Bug::ProvisionalLeaked) {
                let units = (line.sku.clone(), line.draws.clone());
                self.shift(turn, units, Shift::Release);
            }
        }
    }

    /// Moves units, wherever their owner is.
    pub(super) fn shift(
        &mut self,
        turn: &mut Turn<'_>,
        (sku, draws): (SkuId, Draws),
        shift: Shift,
    ) {
        if turn.is_here(Target::Bucket(sku.bucket())) {
            self.shift_line(turn, &sku, &draws, shift);
        } else {
            turn.effects.send(Message::Shift { sku, draws, shift });
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

    /// Applies the home's part of an order that waits.
    pub(super) fn apply_queued(&mut self, meta: &Meta, queued: &OrderQueued<'_>) {
        self.live_orders += 1;
        self.slot_mut(queued.order.slot()).queue(meta, queued);
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
        assert!(attempt.order() == reply.order, "an answer has its order in flight");
        attempt.buyer = buyer;
        attempt.take(reply.result);
        self.advance(turn, attempt, waiting);
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
        self.answer_ranked(turn, reply, outcome);
    }

    pub(super) fn wait_behind(
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
