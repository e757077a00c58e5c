//! The way into a shard and back, without deciding anything:
//! `cargo bench -p sluice-benches --bench inbox`.

use std::sync::Arc;
use std::task::Waker;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sluice_benches::commands::{BEGIN, sku};
use sluice_core::command::{Command, Envelope, ReplyTo};
use sluice_core::limits::DEFAULT;
use sluice_core::outcome::{Outcome, Refusal};
use sluice_core::shard::inbox::Inbox;
use sluice_core::shard::reply::Port;

/// Commands that go through at a time.
const BATCH: u64 = 256;

fn lanes(c: &mut Criterion) {
    let mut group = c.benchmark_group("inbox");
    group.throughput(Throughput::Elements(BATCH));
    let inbox = Inbox::new(&DEFAULT, 1);
    let hot = sku("sku-0");
    group.bench_function("push and pop, one thread", |b| {
        b.iter(|| {
            for ticket in 0..BATCH {
                let reply = ReplyTo::Port { port: 0, ticket };
                let command = Command::ReadStock(hot.clone());
                inbox.try_push(Envelope { command, reply, arrived: BEGIN }).expect("room");
            }
            while inbox.pop_vital().is_some() {}
        });
    });
    let port = Arc::new(Port::new(DEFAULT.port_requests_max));
    port.register(Waker::noop());
    group.bench_function("deliver and take a batch of answers", |b| {
        b.iter(|| {
            let refused = Outcome::Refused(Refusal::Overloaded);
            let batch: Vec<_> = (0..BATCH).map(|ticket| (ticket, refused.clone())).collect();
            port.deliver(batch);
            port.take().expect("delivered")
        });
    });
    group.finish();
}

criterion_group!(benches, lanes);
criterion_main!(benches);
