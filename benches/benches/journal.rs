//! The journal: `cargo bench -p sluice-benches --bench journal`. Every commit is synced.
//!
//! `commit/N` writes and syncs N records of an order's size; `fdatasync` beside it is what one
//! bare 4 KiB write and sync costs in the same run, on the same file system. `replay` reads,
//! checks, decodes and applies placed orders, as a start does.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sluice_benches::commands::{BEGIN, HASH_KEY, buyer, define, place, receive, sku};
use sluice_benches::single::Single;
use sluice_core::engine::Replay;
use sluice_core::event::{Actor, Event, FORMAT, Genesis, Meta, record};
use sluice_core::id::RequestId;
use sluice_core::journal::{Batch, JournalConfig, Opened, open};
use sluice_core::ledger::Recorder;
use sluice_core::limits::{DEFAULT, Limits};
use sluice_core::storage::{Directory, Storage, StorageFile};

/// Records that `replay` reads.
const REPLAYED: u64 = 1_000_000;

/// Collects records as a step does.
struct Collected(Batch);

impl Recorder for Collected {
    fn record(&mut self, meta: &Meta, event: &Event<'_>) {
        self.0.push_with(|out| record::encode(meta, event, out));
    }
}

fn config() -> JournalConfig {
    JournalConfig {
        cell: 1,
        segment_bytes: DEFAULT.segment_bytes,
        limits: DEFAULT,
        segment_seed: 7,
    }
}

fn begin(directory: &Directory) -> Opened<Directory> {
    open(directory.clone(), config(), None, BEGIN, &mut |_, _, _| Ok(()), &mut || {})
        .expect("the journal opens")
}

/// `count` placed orders of one SKU by as many buyers, with the records that come before them.
fn records(count: u64) -> Batch {
    let mut single = Single::new(usize::MAX);
    let mut collected = Collected(Batch::new());
    let meta = Meta { time: BEGIN, actor: Actor::Engine, request: RequestId::NONE };
    let genesis = Genesis { cell: 1, hash_key: HASH_KEY, format: FORMAT };
    collected.record(&meta, &Event::Genesis(genesis));
    single.command(define("sku-0"), &mut collected);
    single.command(receive("sku-0", 0), &mut collected);
    for n in 0..count {
        single.place(place(&buyer(n), sku("sku-0"), n), &mut collected);
    }
    collected.0
}

fn commit(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let directory = Directory::lock(folder.path()).expect("free");
    let mut group = c.benchmark_group("journal");
    let mut bare = directory.create("bare").expect("created");
    bare.write_at(&[1; 4096], 0).expect("written");
    group.bench_function("fdatasync", |b| {
        b.iter(|| {
            bare.write_at(&[2; 4096], 0).expect("written");
            bare.sync_data().expect("synced");
        });
    });
    let mut writer = begin(&directory).writer;
    for count in [1, 16, 256, 4096] {
        let batch = records(count);
        group.throughput(Throughput::Elements(batch.len() as u64));
        group.bench_function(BenchmarkId::new("commit", count), |b| {
            b.iter(|| writer.commit(&mut std::iter::once(&batch), BEGIN).expect("durable"));
        });
    }
    group.finish();
}

fn replay(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let directory = Directory::lock(folder.path()).expect("free");
    let batch = records(REPLAYED);
    let mut opened = begin(&directory);
    let through = opened.writer.commit(&mut std::iter::once(&batch), BEGIN).expect("durable");
    assert_eq!(through.through(), batch.len() as u64);
    drop(opened);
    let limits = Limits { live_orders_max: usize::MAX, ..DEFAULT };
    let mut group = c.benchmark_group("journal");
    group.throughput(Throughput::Elements(batch.len() as u64)).sample_size(10);
    group.bench_function("replay", |b| {
        b.iter_batched(
            || Replay::new(limits),
            |mut replay| {
                let replayed = open(
                    directory.clone(),
                    config(),
                    None,
                    BEGIN,
                    &mut |sequence, _, bytes| replay.take(sequence, bytes),
                    &mut || {},
                );
                assert_eq!(replayed.expect("intact").recovered.records, batch.len() as u64);
                replay.finish()
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, commit, replay);
criterion_main!(benches);
