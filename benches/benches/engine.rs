//! The whole engine in process, synced: `cargo bench -p sluice-benches --bench engine`.
//!
//! One thread keeps so many orders under way and submits the next ones as answers come. It shares
//! the cores with the shards and, where there are several, with the journal's thread.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sluice_benches::rush::{self, Rush};
use sluice_core::engine::{Engine, Handle};
use sluice_core::limits::{DEFAULT, Limits};

fn open(folder: &std::path::Path, shards: usize) -> (Engine, Handle) {
    let limits = Limits { live_orders_max: usize::MAX, ..DEFAULT };
    let (engine, handle) = rush::open(folder, shards, limits);
    rush::stock(&handle, 50);
    (engine, handle)
}

fn orders(c: &mut Criterion) {
    let mut group = c.benchmark_group("engine");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for shards in [1, 2] {
        for depth in [1, 256, 8_192] {
            let folder = tempfile::tempdir().expect("temporary folder");
            let (engine, handle) = open(folder.path(), shards);
            let mut rush = Rush::new(handle, 0);
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
