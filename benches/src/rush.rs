//! Orders at an engine in process: as many as it takes, or at a pace.

use std::path::Path;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use sluice_core::command::{Buyer, Command, Key, Place, PlaceLine, ReplyTo};
use sluice_core::config::EngineConfig;
use sluice_core::engine::{Engine, Handle, OnFatal};
use sluice_core::id::{OrderId, RequestId};
use sluice_core::limits::Limits;
use sluice_core::name::SkuId;
use sluice_core::outcome::Outcome;
use sluice_core::quantity::Quantity;
use sluice_core::storage::Directory;

use crate::commands::{define, random, receive, sku};

/// Wakes a parked thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// One order after the other, each by another of 100,000 buyers.
pub struct Rush {
    handle: Handle,
    number: u64,
    /// What each order is for, a unit of each, in ascending order.
    skus: Vec<SkuId>,
}

impl Rush {
    /// Orders that begin behind the `number`th.
    pub fn new(handle: Handle, number: u64) -> Self {
        Self { handle, number, skus: vec![sku("sku-0")] }
    }

    /// Orders of these SKUs, one unit of each; in ascending order.
    #[must_use]
    pub fn of(self, skus: Vec<SkuId>) -> Self {
        Self { skus, ..self }
    }

    fn order(&mut self) -> Command {
        self.number += 1;
        let buyer = Buyer::new(self.handle.hash_key(), &format!("buyer-{}", self.number % 100_000));
        let line = |sku: &SkuId| PlaceLine { sku: sku.clone(), quantity: Quantity::ONE };
        let lines: smallvec::SmallVec<[PlaceLine; 1]> = self.skus.iter().map(line).collect();
        Command::Place(Box::new(Place {
            order: OrderId::new(self.handle.now(), 1, buyer.slot, random(self.number)),
            key: Some(Key::new(self.handle.hash_key(), &buyer, &self.number.to_string())),
            fingerprint: Place::fingerprint_of(&lines, false, None),
            buyer,
            lines,
            standby: false,
            max_amount: None,
            request: RequestId::from_bits(u128::from(self.number)),
        }))
    }

    fn submit(&mut self) {
        let command = self.order();
        let reply = ReplyTo::Port { port: 0, ticket: self.number };
        self.handle.submit(command, reply, self.handle.now()).expect("room in the lane");
    }

    /// Places `count` orders, `depth` of them under way at a time. Says how long it took.
    ///
    /// # Panics
    /// If one is refused.
    #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
    pub fn run(&mut self, count: u64, depth: u64) -> Duration {
        let port = self.handle.port(0);
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let began = Instant::now();
        let (mut submitted, mut answered) = (0, 0);
        while answered < count {
            while submitted < count && submitted - answered < depth {
                self.submit();
                submitted += 1;
            }
            port.register(&waker);
            let Some(first) = port.take() else {
                thread::park();
                continue;
            };
            for (_, outcome) in
                std::iter::once(first).chain(std::iter::from_fn(|| port.take())).flatten()
            {
                assert!(matches!(outcome, Outcome::Placed(_)), "{outcome:?}");
                answered += 1;
            }
        }
        began.elapsed()
    }

    /// Places an order every `gap`, each when it is due whatever answers do, until `stop` says so.
    /// Gives how long each took from when it was due, in microseconds.
    ///
    /// # Panics
    /// If one is refused, or more than the lane holds are under way.
    #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
    pub fn pace(&mut self, gap: Duration, mut stop: impl FnMut(Duration) -> bool) -> Vec<u32> {
        let (mut due, mut took) = (Vec::<Duration>::new(), Vec::new());
        let first = self.number + 1;
        let port = self.handle.port(0);
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let began = Instant::now();
        let mut answered = 0;
        let mut stopped = false;
        while !stopped || answered < due.len() {
            let now = began.elapsed();
            stopped = stopped || stop(now);
            while !stopped && gap * due.len() as u32 <= now {
                due.push(gap * due.len() as u32);
                self.submit();
            }
            port.register(&waker);
            for (ticket, outcome) in std::iter::from_fn(|| port.take()).flatten() {
                assert!(matches!(outcome, Outcome::Placed(_)), "{outcome:?}");
                let late = began.elapsed().saturating_sub(due[(ticket - first) as usize]);
                took.push(u32::try_from(late.as_micros()).unwrap_or(u32::MAX));
                answered += 1;
            }
            let next = (gap * due.len() as u32).saturating_sub(began.elapsed());
            thread::park_timeout(if stopped { Duration::from_millis(1) } else { next });
        }
        took
    }
}

/// Opens an engine over a directory.
///
/// # Panics
/// If it cannot be opened.
pub fn open(folder: &Path, shards: usize, limits: Limits) -> (Engine, Handle) {
    let config = EngineConfig { shards, limits, ..EngineConfig::new([3; 32]) };
    let directory = Directory::lock(folder).expect("free");
    let on_fatal: OnFatal = Arc::new(|fatal| panic!("{fatal}"));
    Engine::open(directory, None, &config, &on_fatal).expect("the engine opens")
}

/// No hold ends while a benchmark lasts.
pub const LONG: u32 = 86_400;

/// Defines a SKU whose holds last `hold_seconds`.
///
/// # Panics
/// If the engine refuses.
pub fn terms(handle: &Handle, name: &str, hold_seconds: u32) {
    let mut defined = define(name);
    if let Command::DefineSku(define) = &mut defined {
        define.hold_seconds = hold_seconds;
    }
    ask(handle, defined);
}

/// Defines a SKU and receives so many lots of a million units.
///
/// # Panics
/// If the engine refuses.
pub fn stock(handle: &Handle, name: &str, lots: u32) {
    terms(handle, name, LONG);
    (0..lots).for_each(|lot| ask(handle, receive(name, lot)));
}

fn ask(handle: &Handle, command: Command) {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let reply = ReplyTo::Call(Box::new(move |outcome| sender.send(outcome).expect("heard")));
    handle.submit(command, reply, handle.now()).expect("room in the lane");
    let outcome = receiver.recv().expect("an answer");
    assert!(matches!(outcome, Outcome::Stock { .. }), "{outcome:?}");
}
