//! The whole engine in process, synced: `cargo bench -p sluice-benches --bench engine`.
//!
//! One thread keeps so many orders under way and submits the next ones as answers come. It shares
//! the cores with the shards and, where there are several, with the journal's thread.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sluice_benches::commands::{define, random, receive, sku};
use sluice_core::command::{Buyer, Command, Key, Place, PlaceLine, ReplyTo};
use sluice_core::config::EngineConfig;
use sluice_core::engine::{Engine, Handle, OnFatal};
use sluice_core::id::{OrderId, RequestId};
use sluice_core::limits::{DEFAULT, Limits};
use sluice_core::outcome::Outcome;
use sluice_core::quantity::Quantity;
use sluice_core::storage::Directory;

/// Wakes a parked thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// One order after the other, each by another of 100,000 buyers.
struct Rush {
    handle: Handle,
    number: u64,
}

impl Rush {
    fn order(&mut self) -> Command {
        self.number += 1;
        let buyer = Buyer::new(self.handle.hash_key(), &format!("buyer-{}", self.number % 100_000));
        let lines: smallvec::SmallVec<[PlaceLine; 1]> =
            smallvec::smallvec![PlaceLine { sku: sku("sku-0"), quantity: Quantity::ONE }];
        Command::Place(Box::new(Place {
            order: OrderId::new(self.handle.now(), 1, buyer.slot, random(self.number)),
            key: Some(Key::new(self.handle.hash_key(), &buyer, &self.number.to_string())),
            fingerprint: Place::fingerprint_of(&lines, false, None),
            buyer,
            lines,
            max_amount: None,
            request: RequestId::from_bits(u128::from(self.number)),
        }))
    }

    fn submit(&mut self) {
        let command = self.order();
        let reply = ReplyTo::Port { port: 0, ticket: self.number };
        self.handle.submit(command, reply, self.handle.now()).expect("room in the lane");
    }

    /// Places `count` orders, `depth` of them under way at a time.
    #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
    fn run(&mut self, count: u64, depth: u64) -> Duration {
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
}

fn open(folder: &std::path::Path, shards: usize) -> (Engine, Handle) {
    let limits = Limits { live_orders_max: usize::MAX, ..DEFAULT };
    let config = EngineConfig { shards, limits, ..EngineConfig::new([3; 32]) };
    let directory = Directory::lock(folder).expect("free");
    let on_fatal: OnFatal = Arc::new(|fatal| panic!("{fatal}"));
    let (engine, handle) =
        Engine::open(directory, None, &config, &on_fatal).expect("the engine opens");
    let (sender, receiver) = std::sync::mpsc::sync_channel(64);
    let setup = std::iter::once(define("sku-0")).chain((0..50).map(|lot| receive("sku-0", lot)));
    for command in setup {
        let sender = sender.clone();
        let reply = ReplyTo::Call(Box::new(move |outcome| sender.send(outcome).expect("heard")));
        handle.submit(command, reply, handle.now()).expect("room in the lane");
        receiver.recv().expect("an answer");
    }
    (engine, handle)
}

fn orders(c: &mut Criterion) {
    let mut group = c.benchmark_group("engine");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for shards in [1, 2] {
        for depth in [1, 256, 8_192] {
            let folder = tempfile::tempdir().expect("temporary folder");
            let (engine, handle) = open(folder.path(), shards);
            let mut rush = Rush { handle, number: 0 };
            let name = format!("{shards} shards, orders under way");
            group.bench_function(BenchmarkId::new(name, depth), |b| {
                b.iter_custom(|count| rush.run(count, depth));
            });
            engine.drain();
        }
    }
    group.finish();
}

criterion_group!(benches, orders);
criterion_main!(benches);
