//! The whole engine in process, synced: `cargo bench -p sluice-benches --bench engine`.
//!
//! One thread keeps so many orders under way and submits the next ones as answers come. It shares
//! the cores with the shards and, where there are several, with the journal's thread.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sluice_benches::commands::sku;
use sluice_benches::rush::{self, Rush};
use sluice_core::engine::{Engine, Handle};
use sluice_core::limits::{DEFAULT, Limits};
use sluice_core::name::SkuId;
use sluice_core::router::Router;

fn open(folder: &std::path::Path, shards: usize) -> (Engine, Handle) {
    let limits = Limits { live_orders_max: usize::MAX, ..DEFAULT };
    let (engine, handle) = rush::open(folder, shards, limits);
    rush::stock(&handle, "sku-0", 50);
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

/// Orders of one line, and baskets of three whose SKUs belong to three shards.
fn baskets(c: &mut Criterion) {
    const SHARDS: usize = 3;
    let router = Router::new(SHARDS);
    let of_shard = |shard: usize| {
        let names = (0..).map(|n| sku(&format!("sku-{n}")));
        names.into_iter().find(|sku| router.bucket(sku.bucket()) == shard).expect("there is one")
    };
    let mut skus: Vec<SkuId> = (0..SHARDS).map(of_shard).collect();
    skus.sort_unstable();
    let mut group = c.benchmark_group("engine");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for (name, wanted) in [("one line", &skus[..1]), ("three lines", &skus[..])] {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (engine, handle) = open(folder.path(), SHARDS);
        skus.iter().for_each(|sku| rush::stock(&handle, sku.as_str(), 50));
        let mut rush = Rush::new(handle, 0).of(wanted.to_vec());
        group.bench_function(BenchmarkId::new("3 shards, 8,192 under way", name), |b| {
            b.iter_custom(|count| rush.run(count, 8_192));
        });
        engine.drain();
    }
    group.finish();
}

criterion_group!(benches, orders, baskets);
criterion_main!(benches);
