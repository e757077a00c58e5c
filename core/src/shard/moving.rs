//! Moving a value to another shard, while selling.
//!
//! ```text
//! old owner                others (the new owner too)
//!  Pause ────────────────▶ keep back what they have for the value
//!        ◀──────────────── Paused: nothing about it is on its way any more
//!  keep back commands for it; wait until all it staged is durable and published
//!  Install ──────────────▶ new owner: takes it in, flips the routing entry
//!        ◀──────────────── Moved, to all: send what was kept back to the new owner
//! ```
//!
//! A SKU's owner goes on taking messages about it until all have paused. A slot's home stops at
//! once, and says `Pause` only when nothing that the slot sent is kept back here for a SKU that
//! moves as well: so `Paused` proves that the owners have taken all that the slot sent from here,
//! and nothing that it sends from its new home can overtake (a `Restore` its own `Confirm`).
//!
//! Batches between two shards keep their order, so that no message about a value can overtake an
//! earlier one by another way, and none can reach the new owner before the value itself.
//! Commands that come late to the old owner are forwarded.

use crate::command::ReplyTo;
use crate::journal::{Log, Ticket};
use crate::ledger::{Message, Value};
use crate::outcome::{Outcome, Refusal};
use crate::planted::{self, Bug};
use crate::router::Movable;
use crate::time::Timestamp;

use super::inbox::Parcel;
use super::step::Shard;

/// The moves that a shard takes part in.
pub(super) struct Moves {
    shards: usize,
    /// Values about which nothing may be sent or decided here for the moment.
    away: Vec<Movable>,
    /// What was kept back, in order.
    parked: Vec<(Movable, Message)>,
    departures: Vec<Departure>,
}

/// A value that leaves this shard.
struct Departure {
    value: Movable,
    to: usize,
    reply: ReplyTo,
    /// Whether the others were told to pause.
    announced: bool,
    /// Shards that have not paused yet.
    acks_missing: usize,
    /// All that was staged when the value stopped changing here.
    staged: Option<Ticket>,
    shipped: bool,
}

impl Moves {
    pub(super) fn new(shards: usize) -> Self {
        Self { shards, away: Vec::new(), parked: Vec::new(), departures: Vec::new() }
    }

    pub(super) fn away(&self) -> &[Movable] {
        &self.away
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.away.is_empty() && self.parked.is_empty() && self.departures.is_empty()
    }

    /// What is away, and where messages about it are kept back.
    pub(super) fn parts(&mut self) -> (&[Movable], &mut Vec<(Movable, Message)>) {
        (&self.away, &mut self.parked)
    }

    pub(super) fn pause(&mut self, value: Movable) {
        self.away.push(value);
    }

    /// Whether messages for a SKU are kept back.
    fn keeps_for_stock(&self) -> bool {
        self.parked.iter().any(|(of, _)| matches!(of, Movable::Bucket(_)))
    }

    /// The value is where it belongs again: gives out what was kept back, in order.
    fn unpark(&mut self, value: Movable) -> Vec<Message> {
        self.away.retain(|other| *other != value);
        let (back, rest) =
            std::mem::take(&mut self.parked).into_iter().partition(|(of, _)| *of == value);
        self.parked = rest;
        let back: Vec<(Movable, Message)> = back;
        back.into_iter().map(|(_, message)| message).collect()
    }
}

impl<L: Log> Shard<L> {
    /// Begins a move of a value that is here.
    pub(super) fn relocate(&mut self, value: Movable, to: usize, reply: ReplyTo) {
        if to >= self.moves.shards {
            return self.answer(reply, Outcome::Refused(Refusal::NoSuchShard));
        }
        if self.moves.departures.iter().any(|departure| departure.value == value) {
            return self.answer(reply, Outcome::Refused(Refusal::Overloaded));
        }
        if to == self.number {
            return self.answer(reply, Outcome::Relocated);
        }
        let mut acks_missing = self.moves.shards - 1;
        let mut announced = false;
        if planted::is(Bug::MoveWithoutBarrier) {
            (acks_missing, announced) = (0, true);
            self.moves.pause(value);
        } else if let Movable::Slot(_) = value {
            self.moves.pause(value);
        }
        let (staged, shipped) = (None, false);
        let departure = Departure { value, to, reply, announced, acks_missing, staged, shipped };
        self.moves.departures.push(departure);
    }

    /// Another shard has paused.
    pub(super) fn paused(&mut self, value: Movable) {
        let departure = self.moves.departures.iter_mut().find(|departure| departure.value == value);
        let Some(departure) = departure else { return };
        if departure.acks_missing == 0 {
            return;
        }
        departure.acks_missing -= 1;
        if departure.acks_missing == 0 && matches!(value, Movable::Bucket(_)) {
            self.moves.away.push(value);
        }
    }

    /// Tells the others to pause, as soon as that proves what it must.
    fn announce(&mut self, place: usize) {
        let Departure { value, announced, .. } = self.moves.departures[place];
        let waits = matches!(value, Movable::Slot(_)) && self.moves.keeps_for_stock();
        if !announced && !waits {
            self.moves.departures[place].announced = true;
            self.send_others(|| Parcel::Pause(value));
        }
    }

    /// Sends off the values that stopped changing and whose changes are durable and published.
    pub(super) fn ship(&mut self) {
        for place in 0..self.moves.departures.len() {
            self.announce(place);
            let departure = &mut self.moves.departures[place];
            if departure.acks_missing > 0 || departure.shipped {
                continue;
            }
            let staged = *departure.staged.get_or_insert(self.log.staged());
            let (value, to) = (departure.value, departure.to);
            if self.waits_for(staged) {
                continue;
            }
            self.moves.departures[place].shipped = true;
            if let Movable::Bucket(bucket) = value {
                self.pages.forget(bucket);
            }
            let value = self.ledger.extract(value);
            self.send(to, Parcel::Install(value, self.now));
        }
    }

    /// A value has arrived.
    pub(super) fn arrived(&mut self, value: Value, from: Timestamp) {
        self.now = self.now.max(from);
        let moved = value.movable();
        self.ledger.install(value);
        self.stored.forget();
        self.around.router.set(moved, self.number);
        self.around.metrics.moved_in.add(1);
        self.send_others(|| Parcel::Moved(moved));
        self.resume(moved);
    }

    /// A value has arrived at another shard.
    pub(super) fn moved(&mut self, value: Movable) {
        self.resume(value);
        let place = self.moves.departures.iter().position(|departure| departure.value == value);
        if let Some(place) = place {
            let departure = self.moves.departures.swap_remove(place);
            self.answer(departure.reply, Outcome::Relocated);
        }
    }

    fn send_others(&mut self, parcel: impl Fn() -> Parcel) {
        for other in 0..self.moves.shards {
            if other != self.number {
                self.send(other, parcel());
            }
        }
    }

    fn resume(&mut self, value: Movable) {
        let mut back = self.moves.unpark(value);
        self.turn(|_, turn| turn.effects.messages.append(&mut back));
    }
}
