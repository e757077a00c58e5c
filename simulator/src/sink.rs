//! Sinks: the production follower, between the journal on the simulated disk and a store that
//! loses, forgets, refuses and takes its time.
//!
//! A follower is polled by hand until it waits for something. What it waits for is the time, or an
//! answer of its store, which is a matter of time as well. Its clock is tokio's, stopped, and goes
//! on when the world's does, and at moments of its own: sinks' waits are seconds where a run has
//! milliseconds, and nothing of theirs depends on what time it is elsewhere.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use sluice_core::event::SinkName;
use sluice_core::limits::Limits;
use sluice_core::sink::{Follower, SinkConfig, SinkStatus};
use sluice_core::watermark::Watermark;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::yield_now;

use crate::chance::Chance;
use crate::disk::SimDisk;
use crate::node::Node;

mod checks;
mod events;
mod store;

pub use store::StoreRates;
use store::{Shared, SimTarget, State};

/// The least time that is worth a look at sinks, in microseconds.
const LOOK_US: u64 = 2_000;

/// Into how many pieces a leap of time is cut at most.
const PIECES_MAX: u64 = 4;

/// Turns within which a follower must wait for something.
const TURNS_MAX: u32 = 100_000;

/// What a sink's store is like.
#[derive(Clone, Copy, Debug)]
pub struct Character {
    /// Whether what is stored is synced.
    pub syncs_itself: bool,
    /// Whether it loses its power when the node does.
    pub is_here: bool,
    /// How often things go wrong.
    pub rates: StoreRates,
    /// Of so many leaps of time, one has something befall it.
    pub calm: u64,
    /// More rows at once take longer than anybody waits, and come to nothing.
    pub rows_max: u64,
}

impl Character {
    /// Some store.
    pub fn draw(chance: &mut Chance) -> Self {
        let mut rate = |often: u64| match chance.below(3) {
            0 => 0,
            _ => chance.between(1, often),
        };
        let rates = StoreRates {
            lost: rate(1_500),
            unheard: rate(1_500),
            slow: rate(4_000),
            locked: rate(800),
        };
        let (syncs_itself, is_here) = (chance.one_in(3), chance.one_in(2));
        Self { syncs_itself, is_here, rates, calm: chance.between(2, 6), rows_max: u64::MAX }
    }
}

/// All sinks of a run.
pub(crate) struct Sinks {
    all: Vec<Sink>,
    /// Questions of operators who have promised something: the number of the sink, and the record.
    asked: BTreeMap<u128, (usize, u64)>,
    /// Time that went by and was not worth a look.
    owed_us: u64,
    /// What was noted of them last.
    seen: Vec<u64>,
    runtime: Option<Runtime>,
}

/// A sink and its store.
struct Sink {
    name: SinkName,
    number: usize,
    character: Character,
    store: Shared,
    running: Option<Running>,
    /// How many rows were compared with the journal.
    compared: u64,
    /// How many words of operators were.
    words: usize,
    /// What was seen of it last.
    was_detached: bool,
    connections: u64,
    rewinds: u64,
}

/// A follower that runs.
struct Running {
    follower: Option<Pin<Box<dyn Future<Output = ()>>>>,
    woken: Arc<Woken>,
    stop: watch::Sender<bool>,
    status: Arc<SinkStatus>,
    watermark: Watermark,
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Running {
    /// Polls it if it was woken. Says whether it was.
    fn poll(&mut self) -> bool {
        let Some(follower) = self.follower.as_mut() else { return false };
        if !self.woken.0.swap(false, Ordering::AcqRel) {
            return false;
        }
        let waker = Waker::from(Arc::clone(&self.woken));
        if follower.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            self.follower = None;
        }
        true
    }
}

impl Sinks {
    /// With their stores empty.
    pub(crate) fn new(characters: &[Character]) -> Self {
        let runtime = (!characters.is_empty()).then(|| {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_time().start_paused(true).build().expect("a runtime without threads")
        });
        let sink = |(number, character): (usize, &Character)| Sink {
            name: SinkName::ALL[number],
            number,
            character: *character,
            store: Rc::new(RefCell::new(State::new(*character))),
            running: None,
            compared: 0,
            words: 0,
            was_detached: false,
            connections: 0,
            rewinds: 0,
        };
        let all = characters.iter().enumerate().map(sink).collect();
        Self { all, asked: BTreeMap::new(), owed_us: 0, seen: Vec::new(), runtime }
    }

    /// Whether there are none.
    pub(crate) fn is_none(&self) -> bool {
        self.all.is_empty()
    }

    /// Starts them beside a node that has just started; their watermarks are those that it got.
    pub(crate) fn start(
        &mut self,
        node: &Node,
        (disk, archive): (&SimDisk, Option<&SimDisk>),
        (limits, watermarks, seed): (Limits, &[Watermark], u64),
    ) {
        for (sink, watermark) in self.all.iter_mut().zip(watermarks) {
            let durable = node.durable.clone();
            let config = SinkConfig {
                storage: disk.clone(),
                archive: archive.cloned(),
                cell: 9,
                journal: node.hash_key().journal(),
                durable: Arc::new(move || durable.durable()),
                watermark: watermark.clone(),
                limits,
                seed: seed ^ sink.number as u64,
            };
            sink.start(config);
        }
    }

    /// The node is gone, and its followers with it, whatever they were at.
    pub(crate) fn end(&mut self) {
        self.asked.clear();
        self.all.iter_mut().for_each(|sink| sink.running = None);
    }

    /// Lets time go by for the sinks, and lets them do what they can.
    fn run(&mut self, micros: u64) {
        let Self { all, runtime, .. } = self;
        let Some(runtime) = runtime else { return };
        runtime.block_on(async {
            tokio::time::advance(Duration::from_micros(micros)).await;
            settle(all).await;
        });
    }
}

/// Polls followers until all of them wait.
async fn settle(sinks: &mut [Sink]) {
    for _ in 0..TURNS_MAX {
        let mut polled = false;
        for running in sinks.iter_mut().filter_map(|sink| sink.running.as_mut()) {
            polled |= running.poll();
        }
        if !polled {
            return;
        }
        // Gives the clock its turn, and this task a new budget.
        yield_now().await;
    }
    panic!("LIVENESS a sink never waits");
}

impl Sink {
    fn start(&mut self, config: SinkConfig<SimDisk>) {
        let status = Arc::new(SinkStatus::new(self.name));
        let watermark = config.watermark.clone();
        let (stop, asked) = watch::channel(false);
        let (store, told) = (Rc::clone(&self.store), Arc::clone(&status));
        let follower: Pin<Box<dyn Future<Output = ()>>> = match self.number {
            0 => Box::pin(Follower::new(config, SimTarget::<0>(store), told, asked).run()),
            _ => Box::pin(Follower::new(config, SimTarget::<1>(store), told, asked).run()),
        };
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        (self.was_detached, self.connections, self.rewinds) = (false, 0, 0);
        self.running = Some(Running { follower: Some(follower), woken, stop, status, watermark });
    }
}

/// A digest of a record's bytes: FNV-1a over words (Fowler, Noll, Vo).
fn digest(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3);
        hash ^= hash >> 32;
    }
    hash
}
