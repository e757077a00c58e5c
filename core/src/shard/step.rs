//! One step of a shard: the one place where ledger and journal meet.
//!
//! ```text
//! take from the lanes → decide and apply → stage the records → send to the other shards
//!   → once durable (I2): publish views, give answers
//! ```
//!
//! A step needs no thread and no clock, so that the simulator drives the same code.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::command::{Command, Envelope, ReplyTo};
use crate::event::{Event, Meta, record};
use crate::journal::{Batch, Fatal, Log, Space, Ticket};
use crate::ledger::{Effects, Ledger, Message, Recorder, Turn};
use crate::limits::Limits;
use crate::metrics::ShardMetrics;
use crate::outcome::{Outcome, SaleView};
use crate::planted::{self, Bug};
use crate::router::{Movable, Router};
use crate::time::Timestamp;
use crate::view::Board;

use super::inbox::{Inbox, Parcel};
use super::moving::Moves;
use super::publish::{Pages, Publication};
use super::reply::{Answer, Port};
use super::retention::{Retention, Stored};

/// New orders that are looked at before the first of them is decided.
const LOOKAHEAD: usize = 16;

/// What a shard shares with the rest of the node.
#[derive(Debug)]
pub struct Surroundings {
    /// The ceilings.
    pub limits: Limits,
    /// Who owns what.
    pub router: Arc<Router>,
    /// The lanes of all shards.
    pub inboxes: Vec<Arc<Inbox>>,
    /// The reply ports of all gateway workers.
    pub ports: Vec<Arc<Port>>,
    /// The published pages.
    pub board: Arc<Board>,
    /// Which orders may leave.
    pub retention: Retention,
    /// Whether the disk has room for more than endings.
    pub space: Space,
    /// How long a hold lasts at least from the first start of its payment, in microseconds.
    pub payment_extension_us: u64,
    /// What this shard counts.
    pub metrics: Arc<ShardMetrics>,
}

/// One shard.
pub struct Shard<L: Log> {
    pub(super) number: usize,
    pub(super) ledger: Ledger,
    pub(super) log: L,
    pub(super) around: Surroundings,
    records: Batch,
    effects: Effects,
    /// Batches for the other shards that did not fit into their rings.
    outboxes: Vec<Vec<Parcel>>,
    pub(super) moves: Moves,
    /// Steps whose answers wait for the journal, oldest first.
    unanswered: VecDeque<Unanswered>,
    pub(super) pages: Pages,
    /// Answers on their way to each port.
    deliveries: Vec<Vec<Answer>>,
    /// The latest time it has seen.
    pub(super) now: Timestamp,
    pub(super) stored: Stored,
}

/// What a step has to say once everything staged when it was decided is durable.
struct Unanswered {
    ticket: Ticket,
    publications: Vec<Publication>,
    sales: Vec<Arc<SaleView>>,
    answers: Vec<(ReplyTo, Outcome)>,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Whether it took anything from a lane, ended a hold, or gave an answer.
    pub worked: bool,
    /// Whether something still waits: another step may be taken at once.
    pub more: bool,
    /// Whether nothing can be taken before the journal has caught up.
    pub blocked: bool,
    /// Whether something waits that only other shards can set going: look again before long.
    pub held_up: bool,
    /// No hold ends before this.
    pub next_due: Timestamp,
}

/// Writes events into the batch of a step.
struct Scribe<'a>(&'a mut Batch);

impl Recorder for Scribe<'_> {
    fn record(&mut self, meta: &Meta, event: &Event<'_>) {
        self.0.push_with(|out| record::encode(meta, event, out));
    }
}

impl<L: Log> Shard<L> {
    /// The shard with this number, its values and its log.
    pub fn new(number: usize, mut ledger: Ledger, log: L, around: Surroundings) -> Self {
        // Recovery ends by serving whoever is due.
        ledger.resume();
        let shards = around.inboxes.len();
        let ports = around.ports.len();
        Self {
            number,
            ledger,
            log,
            around,
            records: Batch::new(),
            effects: Effects::default(),
            outboxes: (0..shards).map(|_| Vec::new()).collect(),
            moves: Moves::new(shards),
            unanswered: VecDeque::new(),
            pages: Pages::default(),
            deliveries: (0..ports).map(|_| Vec::new()).collect(),
            now: Timestamp::ZERO,
            stored: Stored::default(),
        }
    }

    /// Takes what waits, up to a batch, and does all that follows from it.
    ///
    /// # Errors
    /// The journal has ended: no answer leaves any more, and the process must end (I12).
    pub fn step(&mut self, now: Timestamp) -> Result<Progress, Fatal> {
        self.now = self.now.max(now);
        let watermark = self.around.retention.sql.as_ref();
        self.stored.look(watermark, self.now, self.log.staged().get());
        let mut worked = self.release();
        let room = self.has_room();
        if room {
            let taken = self.take();
            worked |= taken > 0;
            self.settle()?;
            worked |= self.release();
            self.ship();
        } else {
            self.around.metrics.unanswered_full.add(1);
        }
        self.post();
        let next_due = self.ledger.next_due();
        let depths = self.around.inboxes[self.number].depths();
        let shipped = self.outboxes.iter().all(Vec::is_empty);
        let may_order = shipped && self.may_ask();
        let waiting = depths.is_urgent() || (depths.orders > 0 && may_order);
        let more = room && (waiting || next_due <= self.now);
        let held_up = room && !more && (!shipped || depths.orders > 0);
        Ok(Progress { worked, more, blocked: !room, held_up, next_due })
    }

    /// Nothing waits: lets the log finish what it does when idle.
    ///
    /// # Errors
    /// The journal has ended.
    pub fn idle(&mut self, now: Timestamp) -> Result<(), Fatal> {
        self.now = self.now.max(now);
        self.log.idle(self.now)
    }

    /// Whether all that it took has been answered and sent.
    pub fn is_quiet(&self) -> bool {
        self.unanswered.is_empty()
            && self.outboxes.iter().all(Vec::is_empty)
            && self.moves.is_quiet()
            && self.ledger.in_flight() == 0
    }

    /// Whether the journal has caught up so far that more can be taken.
    pub(super) fn has_room(&self) -> bool {
        self.unanswered.len() < self.around.limits.steps_unanswered_max && self.log.has_room()
    }

    /// Whether answers could be given now.
    pub(super) fn has_answers(&self) -> bool {
        self.waits_for(self.log.completed())
    }

    /// Brings the gauges up to date that are too dear for every step.
    pub(super) fn observe(&self) {
        let (skus, slots) = self.ledger.values();
        self.around.metrics.skus.set(skus as u64);
        self.around.metrics.slots.set(slots as u64);
        self.around.metrics.live_orders.set(self.ledger.live_orders() as u64);
    }

    /// Its values, for checks.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Its log, for checks.
    pub fn log(&self) -> &L {
        &self.log
    }

    /// Takes from the lanes: other shards first, then holds that are over, then what is vital,
    /// then new orders. Says how much it took.
    fn take(&mut self) -> usize {
        let inbox = Arc::clone(&self.around.inboxes[self.number]);
        let mut taken = 0;
        for from in 0..self.around.inboxes.len() {
            // What arrives meanwhile is for the next step, lest two shards keep each other busy.
            let most = self.around.limits.inbox_peer_max;
            for batch in std::iter::from_fn(|| inbox.pop_peer(from)).take(most) {
                taken += batch.len();
                self.around.metrics.messages.add(batch.len() as u64);
                for parcel in batch {
                    self.open(from, parcel);
                }
            }
        }
        taken += self.turn(|ledger, turn| {
            let ended = ledger.end_sales(turn) + ledger.expire(turn);
            ended + ledger.serve_due(turn) + ledger.retire(turn)
        });
        let most = self.around.limits.batch_commands_max;
        let mut commands = 0;
        for envelope in std::iter::from_fn(|| inbox.pop_vital()).take(most) {
            commands += 1;
            self.command(envelope);
        }
        if self.takes_orders() {
            let rest = most - commands.min(most);
            commands += self.take_orders(&inbox, rest);
        }
        self.around.metrics.commands.add(commands as u64);
        taken + commands
    }

    /// Takes up to `most` new orders, a few at a time, so that their cache misses overlap.
    fn take_orders(&mut self, inbox: &Inbox, most: usize) -> usize {
        let mut group = SmallVec::<[Envelope; LOOKAHEAD]>::new();
        let mut taken = 0;
        loop {
            let room = LOOKAHEAD.min(most - taken);
            group.extend(std::iter::from_fn(|| inbox.pop_order()).take(room));
            if group.is_empty() {
                return taken;
            }
            taken += group.len();
            self.ledger.warm(group.iter().filter_map(|envelope| match &envelope.command {
                Command::Place(place) => Some(place.glimpse()),
                _ => None,
            }));
            group.drain(..).for_each(|envelope| self.command(envelope));
        }
    }

    /// Whether new orders may be taken: other shards keep up and not too many are in flight.
    fn takes_orders(&self) -> bool {
        if self.outboxes.iter().any(|outbox| !outbox.is_empty()) {
            self.around.metrics.peer_lane_full.add(1);
            return false;
        }
        self.may_ask()
    }

    /// Whether one more order may wait for other shards.
    fn may_ask(&self) -> bool {
        self.around.inboxes.len() == 1
            || self.ledger.in_flight() < self.around.limits.orders_in_flight_max
    }

    fn command(&mut self, envelope: Envelope) {
        if let Command::Relocate { value, to } = envelope.command
            && self.owns(value)
        {
            return self.relocate(value, to, envelope.reply);
        }
        self.turn(|ledger, turn| {
            if turn.is_here(envelope.command.target()) {
                ledger.command(turn, envelope);
            } else {
                turn.effects.messages.push(Message::Forward(Box::new(envelope)));
            }
        });
    }

    /// Whether the value is here and not about to leave.
    fn owns(&self, value: Movable) -> bool {
        self.around.router.owner(value) == self.number && !self.moves.away().contains(&value)
    }

    /// Lets the ledger do something and delivers the messages that stay on this shard, until
    /// there are none.
    pub(super) fn turn<T>(&mut self, act: impl FnOnce(&mut Ledger, &mut Turn<'_>) -> T) -> T {
        let Self { ledger, records, effects, around, moves, outboxes, stored, .. } = self;
        let (away, parked) = moves.parts();
        let mut scribe = Scribe(records);
        let mut turn = Turn {
            now: self.now,
            shard: self.number,
            router: &around.router,
            away,
            disk_reserve: around.space.is_low(),
            payment_extension_us: around.payment_extension_us,
            retires: around.retention.retires(stored, self.now),
            metrics: &around.metrics,
            recorder: &mut scribe,
            effects,
        };
        let result = act(ledger, &mut turn);
        while !turn.effects.messages.is_empty() {
            for message in std::mem::take(&mut turn.effects.messages) {
                let target = message.target();
                if turn.is_here(target) {
                    ledger.message(&mut turn, message);
                } else if let Some(value) = turn.is_away(target) {
                    parked.push((value, message));
                } else {
                    outboxes[turn.router.shard_of(target)].push(Parcel::Message(message));
                }
            }
        }
        result
    }

    pub(super) fn send(&mut self, to: usize, parcel: Parcel) {
        self.outboxes[to].push(parcel);
    }

    pub(super) fn answer(&mut self, reply: ReplyTo, outcome: Outcome) {
        self.effects.answers.push((reply, outcome));
    }

    /// Stages the records of this step; its answers wait for all that is staged on the node (I2).
    fn settle(&mut self) -> Result<(), Fatal> {
        let anything = !self.records.is_empty()
            || !self.effects.answers.is_empty()
            || !self.effects.touched.is_empty()
            || !self.effects.sales.is_empty();
        if !anything {
            return Ok(());
        }
        self.around.metrics.batches.add(1);
        self.around.metrics.records.add(self.records.len() as u64);
        let mut unanswered = Unanswered {
            ticket: Ticket::NOTHING,
            publications: self.pages.capture(
                &mut self.effects.touched,
                &self.ledger,
                &self.around.board,
            ),
            sales: std::mem::take(&mut self.effects.sales),
            answers: std::mem::take(&mut self.effects.answers),
        };
        if planted::is(Bug::ViewBeforeSync) {
            for publication in unanswered.publications.drain(..) {
                publication.publish(&self.around.board);
            }
        }
        if planted::is(Bug::AckBeforeSync) {
            self.give(unanswered);
            self.log.stage(&mut self.records, self.now)?;
            return Ok(());
        }
        let without_records = self.records.is_empty();
        self.log.stage(&mut self.records, self.now)?;
        if without_records && planted::is(Bug::RefusalBeforeSync) {
            self.give(unanswered);
            return Ok(());
        }
        let ticket = self.log.staged();
        self.unanswered.push_back(Unanswered { ticket, ..unanswered });
        Ok(())
    }

    /// Publishes and answers what has become durable, in this order.
    fn release(&mut self) -> bool {
        let completed = self.log.completed();
        let mut released = false;
        while self.unanswered.front().is_some_and(|front| front.ticket <= completed) {
            let unanswered = self.unanswered.pop_front().expect("there is one");
            self.give(unanswered);
            released = true;
        }
        for (port, delivery) in self.deliveries.iter_mut().enumerate() {
            if !delivery.is_empty() {
                self.around.ports[port].deliver(std::mem::take(delivery));
            }
        }
        released
    }

    fn give(&mut self, unanswered: Unanswered) {
        for publication in unanswered.publications {
            publication.publish(&self.around.board);
        }
        for sale in unanswered.sales {
            self.around.board.publish_sale(sale);
        }
        for (reply, outcome) in unanswered.answers {
            match reply {
                ReplyTo::Port { port, ticket } => {
                    self.deliveries[usize::from(port)].push((ticket, outcome));
                }
                ReplyTo::Call(call) => call(outcome),
            }
        }
    }

    /// Sends what is for other shards. After `settle`: a record that rests on another has the
    /// higher sequence, because the first was staged before anything that rests on it left.
    fn post(&mut self) {
        for (to, outbox) in self.outboxes.iter_mut().enumerate() {
            if outbox.is_empty() {
                continue;
            }
            let batch = std::mem::take(outbox);
            if let Err(batch) = self.around.inboxes[to].try_push_peer(self.number, batch) {
                *outbox = batch;
            }
        }
    }

    /// Opens a parcel of another shard's.
    fn open(&mut self, from: usize, parcel: Parcel) {
        match parcel {
            Parcel::Message(message) => {
                self.turn(|_, turn| turn.effects.messages.push(message));
            }
            Parcel::Pause(value) => {
                self.moves.pause(value);
                self.send(from, Parcel::Paused(value));
            }
            Parcel::Paused(value) => self.paused(value),
            Parcel::Install(value, from) => self.arrived(value, from),
            Parcel::Moved(value) => self.moved(value),
        }
    }

    /// What is still to be answered that was decided no later than `ticket`.
    pub(super) fn waits_for(&self, ticket: Ticket) -> bool {
        self.unanswered.front().is_some_and(|front| front.ticket <= ticket)
    }
}
