//! One shard's ledger without a thread, a lane or a journal around it.

use sluice_core::command::{Command, Envelope, Place, ReplyTo};
use sluice_core::event::{Event, Meta};
use sluice_core::ledger::{Effects, Ledger, Recorder, Turn};
use sluice_core::limits::{DEFAULT, Limits};
use sluice_core::metrics::ShardMetrics;
use sluice_core::outcome::Outcome;
use sluice_core::router::Router;
use sluice_core::time::Timestamp;

use crate::commands;

/// The ledger of a node with one shard.
pub struct Single {
    /// The ledger.
    pub ledger: Ledger,
    router: Router,
    metrics: ShardMetrics,
    effects: Effects,
}

/// Takes events down nowhere.
pub struct Nowhere;

impl Recorder for Nowhere {
    fn record(&mut self, _: &Meta, _: &Event<'_>) {}
}

impl Single {
    /// An empty ledger that has room for `live_orders_max` orders.
    pub fn new(live_orders_max: usize) -> Self {
        let limits = Limits { live_orders_max, ..DEFAULT };
        Self {
            ledger: Ledger::new(limits),
            router: Router::new(1),
            metrics: ShardMetrics::default(),
            effects: Effects::default(),
        }
    }

    /// One with `skus` SKUs of `lots` million units each.
    pub fn stocked(live_orders_max: usize, skus: u32, lots: u32) -> Self {
        let mut single = Self::new(live_orders_max);
        for sku in 0..skus {
            let name = format!("sku-{sku}");
            single.command(commands::define(&name), &mut Nowhere);
            for lot in 0..lots {
                single.command(commands::receive(&name, lot), &mut Nowhere);
            }
        }
        single
    }

    /// Decides and applies one command, and gives its outcome.
    pub fn command(&mut self, command: Command, recorder: &mut dyn Recorder) -> Outcome {
        self.at(commands::BEGIN, recorder, |ledger, turn| {
            let reply = ReplyTo::Port { port: 0, ticket: 0 };
            ledger.command(turn, Envelope { command, reply, arrived: commands::BEGIN });
        });
        let (_, outcome) = self.effects.answers.pop().expect("one shard answers at once");
        self.effects.touched.clear();
        outcome
    }

    /// Places one order.
    pub fn place(&mut self, place: Box<Place>, recorder: &mut dyn Recorder) -> Outcome {
        self.command(Command::Place(place), recorder)
    }

    /// Places orders as a step does: a few at a time, looked up before the first is decided.
    pub fn place_all(
        &mut self,
        orders: Vec<Box<Place>>,
        recorder: &mut dyn Recorder,
        outcomes: &mut Vec<Outcome>,
    ) {
        let mut orders = orders.into_iter();
        let mut group = smallvec::SmallVec::<[Box<Place>; 16]>::new();
        loop {
            group.extend(orders.by_ref().take(16));
            if group.is_empty() {
                return;
            }
            self.ledger.warm(group.iter().map(|place| place.glimpse()));
            outcomes.extend(group.drain(..).map(|place| self.place(place, recorder)));
        }
    }

    /// Serves those who wait; says how many.
    pub fn serve(&mut self) -> usize {
        let served = self.at(commands::BEGIN, &mut Nowhere, |ledger, turn| ledger.serve_due(turn));
        self.effects.touched.clear();
        served
    }

    /// Ends the holds that are over at `now`; says how many.
    pub fn expire(&mut self, now: Timestamp) -> usize {
        let ended = self.at(now, &mut Nowhere, |ledger, turn| ledger.expire(turn));
        self.effects.touched.clear();
        ended
    }

    fn at<T>(
        &mut self,
        now: Timestamp,
        recorder: &mut dyn Recorder,
        act: impl FnOnce(&mut Ledger, &mut Turn<'_>) -> T,
    ) -> T {
        let mut turn = Turn {
            now,
            shard: 0,
            router: &self.router,
            away: &[],
            retires: None,
            disk_reserve: false,
            payment_extension_us: 0,
            metrics: &self.metrics,
            recorder,
            effects: &mut self.effects,
        };
        let done = act(&mut self.ledger, &mut turn);
        while !turn.effects.messages.is_empty() {
            for message in std::mem::take(&mut turn.effects.messages) {
                self.ledger.message(&mut turn, message);
            }
        }
        done
    }
}
