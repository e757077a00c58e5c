//! Standby: orders that wait for units, served in their order of arrival (I11).
//!
//! The SKU's owner keeps the queue and sets units aside for whoever is next; the order's home
//! decides, because there the order may have ended meanwhile, and records. A crash between the two
//! loses nothing: whoever is due is served again at the next start.

use crate::command::ReplyTo;
use crate::event::{
    Actor, Event, LeftReason, Line, Meta, OrderPromoted, OrderStatus, StandbyLeft, total,
};
use crate::id::RequestId;
use crate::name::SkuId;
use crate::outcome::{OrderView, Outcome, SaleState};
use crate::planted::{self, Bug};
use crate::router::Target;
use crate::time::Timestamp;

use super::Ledger;
use super::orders::Holding;
use super::protocol::{Dismissal, Message, Promotion, Ranking, Shift};
use super::queue::Stage;
use super::turn::Turn;

/// How soon those who wait are looked at again while the disk has room for endings only, in
/// microseconds.
const HELD_BACK_US: u64 = 100_000;

impl Ledger {
    /// Owner: serves those who are next, as far as units reach, and as far as the step may serve any.
    /// What is left is due in the next step.
    pub(super) fn serve(&mut self, turn: &mut Turn<'_>, sku: &SkuId) {
        if !self.due.contains(sku) {
            self.serve_within(turn, sku);
        }
    }

    /// A step begins: serves all SKUs that are due, up to a batch in all. Says how many it served.
    pub fn serve_due(&mut self, turn: &mut Turn<'_>) -> usize {
        self.served = 0;
        if self.due.is_empty() || turn.now < self.held_back {
            return 0;
        }
        while self.served < self.limits.expiries_per_step_max
            && let Some(sku) = self.due.pop_first()
        {
            // A SKU on its way to another shard is served there.
            if !turn.is_here(Target::Bucket(sku.bucket())) || !self.stocks.contains_key(&sku) {
                continue;
            }
            self.serve_within(turn, &sku);
            if !self.stock_mut(&sku).parked.is_empty() {
                self.retry_parked(turn, &sku);
            }
            if turn.now < self.held_back {
                break;
            }
        }
        self.served
    }

    /// How many were served in the last step, or told that they wait in vain.
    pub fn served(&self) -> usize {
        self.served
    }

    /// Serves those who wait for a SKU as far as the step may serve any more. Whoever is served may
    /// decline, which serves the next: all of a step are counted.
    fn serve_within(&mut self, turn: &mut Turn<'_>, sku: &SkuId) {
        let rest = match planted::is(Bug::ServedWithoutEnd) {
            true => usize::MAX,
            false => self.limits.expiries_per_step_max.saturating_sub(self.served),
        };
        let served = self.serve_up_to(turn, sku, rest);
        self.served += served;
        if served == rest {
            self.due.insert(sku.clone());
        }
    }

    /// All who wait are looked at in the next steps: recovery ends so, and a move.
    pub fn resume(&mut self) {
        let waited_for = self.stocks.values().filter(|stock| !stock.queue.is_empty());
        self.due.extend(waited_for.map(|stock| stock.sku().clone()));
    }

    /// When somebody who waits is to be looked at.
    pub(super) fn next_served(&self) -> Timestamp {
        if self.due.is_empty() { Timestamp::MAX } else { self.held_back }
    }

    fn serve_up_to(&mut self, turn: &mut Turn<'_>, sku: &SkuId, most: usize) -> usize {
        let mut served = self.dismiss_up_to(turn, sku, most);
        let stock = self.stocks.get_mut(sku).expect("it is here");
        let sale = stock.sale();
        if sale.is_some_and(|sale| !sale.ended && sale.state(turn.now) == SaleState::Ended) {
            // Its end is about to be recorded.
            return served;
        }
        while served < most {
            let next = match stock.passes() {
                true => stock.queue.next_within(stock.lots.free()),
                false if planted::is(Bug::StandbyLastFirst) => stock.queue.last_open(),
                false => stock.queue.next(),
            };
            let Some((ticket, waiter)) = next else { break };
            // One who waits in vain is told first, behind whoever is about to join.
            if waiter.stage == Stage::Joining || stock.waits_in_vain(waiter) {
                break;
            }
            if turn.disk_reserve {
                self.due.insert(sku.clone());
                self.held_back = turn.now.plus_micros(HELD_BACK_US);
                break;
            }
            let Some(draws) = stock.draw(waiter.quantity) else { break };
            let order = waiter.order;
            stock.lots.set_aside(&draws);
            stock.queue.set_stage(ticket, Stage::Offered);
            let grant = stock.grant(draws);
            let promotion = Promotion { order, sku: sku.clone(), ticket, grant };
            turn.effects.send(Message::Promote(Box::new(promotion)));
            served += 1;
        }
        if served > 0 {
            turn.effects.touch(sku);
        }
        served
    }

    /// Owner: whoever waits in a sale that is over is told, whatever sale the SKU is in now.
    fn dismiss_up_to(&mut self, turn: &mut Turn<'_>, sku: &SkuId, most: usize) -> usize {
        let stock = self.stock_mut(sku);
        if !stock.dismisses() || planted::is(Bug::DismissedNever) {
            return 0;
        }
        let mut told = 0;
        while told < most
            && let Some((ticket, order, stage)) = stock.next_in_vain()
            && stage == Stage::Waiting
        {
            stock.queue.set_stage(ticket, Stage::Dismissed);
            let dismissal = Dismissal { order, sku: sku.clone(), ticket };
            turn.effects.send(Message::Dismiss(Box::new(dismissal)));
            told += 1;
        }
        told
    }

    /// Owner: an order is recorded as waiting.
    pub(super) fn joined(&mut self, turn: &mut Turn<'_>, sku: &SkuId, ticket: u64) {
        self.stock_mut(sku).queue.set_stage(ticket, Stage::Waiting);
        turn.effects.touch(sku);
        self.stir(turn, sku);
    }

    /// Owner: an order waits no more, or never did.
    pub(super) fn left(&mut self, turn: &mut Turn<'_>, sku: &SkuId, ticket: u64) {
        let waiter = self.stock_mut(sku).queue.remove(ticket);
        assert!(waiter.is_some(), "I11 nobody has ticket {ticket} of {sku}");
        turn.effects.touch(sku);
        self.stir(turn, sku);
    }

    /// Home: units are set aside for an order, if it still waits.
    pub(super) fn promoted(&mut self, turn: &mut Turn<'_>, promotion: Promotion) {
        let Promotion { order, sku, ticket, grant } = promotion;
        let home = self.slot(order.slot());
        let waits = home.order(order).filter(|order| order.status == OrderStatus::Waiting);
        let Some((row, Holding::Nothing(wish))) = waits.map(|row| (row, &row.holding)) else {
            // It ended meanwhile, and its leaving is on its way before this.
            return self.shift(turn, (sku, grant.draws), Shift::Release);
        };
        let (version, sale) = (row.version + 1, wish.sale.map(|n| home.offers.sale(n).clone()));
        let line = Line { sku, quantity: wish.quantity, sale, draws: grant.draws };
        let most = wish.max_amount;
        let amount = total(std::slice::from_ref(&line));
        if amount.is_none_or(|amount| most.is_some_and(|most| amount > most)) {
            let left = StandbyLeft {
                order,
                version,
                sku: line.sku.clone(),
                ticket,
                reason: LeftReason::Price,
            };
            self.leave_queue(turn, &by_engine(turn), left);
            return self.shift(turn, (line.sku, line.draws), Shift::Release);
        }
        let expires_at = turn.now.plus_seconds(grant.hold_seconds);
        let promoted = OrderPromoted { order, version, ticket, expires_at, line };
        let meta = by_engine(turn);
        turn.recorder.record(&meta, &Event::OrderPromoted(promoted.clone()));
        turn.metrics.promoted.add(1);
        self.apply_promoted(&meta, &promoted);
        let OrderPromoted { line, .. } = promoted;
        self.shift(turn, (line.sku, line.draws), Shift::Promote(ticket));
    }

    /// Applies the home's part of a promoted order.
    pub(super) fn apply_promoted(&mut self, meta: &Meta, promoted: &OrderPromoted) {
        self.expiries.note(promoted.expires_at);
        self.slot_mut(promoted.order.slot()).promote(meta, promoted);
    }

    /// Home: an order waits in vain, if it still does.
    pub(super) fn dismissed(&mut self, turn: &mut Turn<'_>, dismissal: Dismissal) {
        let Dismissal { order, sku, ticket } = dismissal;
        let row = self.slot(order.slot()).order(order);
        if let Some(row) = row.filter(|row| row.status == OrderStatus::Waiting) {
            let (version, reason) = (row.version + 1, LeftReason::SaleEnded);
            let left = StandbyLeft { order, version, sku, ticket, reason };
            self.leave_queue(turn, &by_engine(turn), left);
        }
    }

    /// Home: records that an order waits no more, and tells the owner.
    pub(super) fn leave_queue(&mut self, turn: &mut Turn<'_>, meta: &Meta, left: StandbyLeft) {
        turn.recorder.record(meta, &Event::StandbyLeft(left.clone()));
        turn.metrics.cancelled.add(1);
        self.slot_mut(left.order.slot()).leave_queue(meta, &left);
        let StandbyLeft { sku, ticket, .. } = left;
        turn.effects.send(Message::Left { sku, ticket });
    }

    /// Answers once the places of all orders that wait are known.
    pub(super) fn answer_ranked(&self, turn: &mut Turn<'_>, reply: ReplyTo, mut outcome: Outcome) {
        while let Some((sku, view)) = unranked(&mut outcome) {
            if !turn.is_here(Target::Bucket(sku.bucket())) {
                let ranking = Ranking { outcome, reply };
                return turn.effects.send(Message::Rank(Box::new(ranking)));
            }
            let queue = self.stock(&sku).map(|stock| &stock.queue);
            if let Some(waits) = &mut view.waits {
                waits.position = queue.map_or(1, |queue| queue.position(waits.ticket));
            }
        }
        turn.effects.answer(reply, outcome);
    }
}

fn by_engine(turn: &Turn<'_>) -> Meta {
    Meta { time: turn.now, actor: Actor::Engine, request: RequestId::NONE }
}

/// The first order that waits and whose place is not known, with the SKU that it waits for.
fn unranked(outcome: &mut Outcome) -> Option<(SkuId, &mut OrderView)> {
    let views = match outcome {
        Outcome::Repeated(view) | Outcome::Order(view) => std::slice::from_mut(&mut **view),
        Outcome::Orders(page) => page.orders.as_mut_slice(),
        _ => return None,
    };
    let view = views.iter_mut().find(|view| view.waits.is_some_and(|it| it.position == 0))?;
    let sku = view.lines[0].sku.clone();
    Some((sku, view))
}

impl Ranking {
    /// The SKU of the first order whose place is missing.
    pub(super) fn sku(&self) -> &SkuId {
        let views = match &self.outcome {
            Outcome::Repeated(view) | Outcome::Order(view) => std::slice::from_ref(&**view),
            Outcome::Orders(page) => page.orders.as_slice(),
            _ => &[],
        };
        let view = views.iter().find(|view| view.waits.is_some_and(|it| it.position == 0));
        &view.expect("it was sent for its place").lines[0].sku
    }
}
