//! The journal: `cargo bench -p sluice-benches --bench journal`, in folders under `target/`.
//!
//! `synced/N` writes N records of an order's size as one batch and syncs it; `unsynced/N` does the
//! same on a storage that does not sync, which leaves what the journal itself and the write cost.
//! No segment is made ahead: the writer makes each when it needs it, and that counts.
//! `fdatasync` beside them is what one bare 4 KiB write and sync costs in the same run, on the same
//! file system. `replay` reads, checks, decodes and applies placed orders, as a start does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sluice_benches::commands::{BEGIN, HASH_KEY, buyer, define, place, receive, sku};
use sluice_benches::server::on_a_disk;
use sluice_benches::single::{Nowhere, Single};
use sluice_core::engine::Replay;
use sluice_core::event::{Actor, Event, FORMAT, Genesis, Meta, record};
use sluice_core::id::RequestId;
use sluice_core::journal::{Batch, JournalConfig, Opened, open};
use sluice_core::ledger::Recorder;
use sluice_core::limits::{DEFAULT, Limits};
use sluice_core::storage::{Directory, Storage, StorageFile};
use tempfile::TempDir;

/// Records that `replay` reads.
const REPLAYED: u64 = 1_000_000;

/// What may wait in memory for the disk: well below where Linux makes writers wait.
const GATHERED_BYTES_MAX: u64 = 256 << 20;

/// Records of one batch.
const BATCHES: [u64; 4] = [1, 16, 256, 4096];

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

fn begin<S: Storage + Clone>(storage: S) -> Opened<S> {
    open(storage, config(), None, BEGIN, &mut |_, _, _| Ok(()), &mut || {})
        .expect("the journal opens")
}

/// A directory in which nothing is synced before [`Unsynced::settle`].
#[derive(Clone)]
struct Unsynced {
    directory: Directory,
    /// Bytes written since it settled last.
    written: Arc<AtomicU64>,
}

struct UnsyncedFile {
    file: <Directory as Storage>::File,
    written: Arc<AtomicU64>,
}

impl Unsynced {
    fn new(directory: Directory) -> Self {
        Self { directory, written: Arc::default() }
    }

    /// Brings to the disk what has gathered, before the kernel makes writers wait for it.
    fn settle(&self) {
        if self.written.load(Ordering::Relaxed) < GATHERED_BYTES_MAX {
            return;
        }
        for name in self.directory.list().expect("listed") {
            let file = self.directory.open(&name).expect("opened");
            file.sync_data().expect("synced");
        }
        self.written.store(0, Ordering::Relaxed);
    }

    fn unsynced(&self, file: <Directory as Storage>::File) -> UnsyncedFile {
        UnsyncedFile { file, written: Arc::clone(&self.written) }
    }
}

impl Storage for Unsynced {
    type File = UnsyncedFile;

    fn create(&self, name: &str) -> io::Result<UnsyncedFile> {
        self.directory.create(name).map(|file| self.unsynced(file))
    }

    fn open(&self, name: &str) -> io::Result<UnsyncedFile> {
        self.directory.open(name).map(|file| self.unsynced(file))
    }

    fn open_read(&self, name: &str) -> io::Result<UnsyncedFile> {
        self.directory.open_read(name).map(|file| self.unsynced(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.directory.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.directory.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.directory.list()
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.directory.free_bytes()
    }
}

impl StorageFile for UnsyncedFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.write_at(bytes, offset)
    }

    fn allocate(&mut self, length: u64) -> io::Result<()> {
        self.file.allocate(length)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A folder on a disk: what lies in memory is synced for nothing.
fn folder() -> TempDir {
    tempfile::tempdir_in(on_a_disk()).expect("a folder under target/")
}

/// `count` placed orders of one SKU by as many buyers.
fn orders(count: u64, before: &mut dyn Recorder) -> Batch {
    let mut single = Single::new(usize::MAX);
    single.command(define("sku-0"), before);
    single.command(receive("sku-0", 0), before);
    let mut collected = Collected(Batch::new());
    for n in 0..count {
        single.place(place(&buyer(n), sku("sku-0"), n), &mut collected);
    }
    collected.0
}

/// What a new journal begins with.
fn genesis() -> Collected {
    let mut collected = Collected(Batch::new());
    let meta = Meta { time: BEGIN, actor: Actor::Engine, request: RequestId::NONE };
    let genesis = Genesis { cell: 1, hash_key: HASH_KEY, format: FORMAT };
    collected.record(&meta, &Event::Genesis(genesis));
    collected
}

fn fdatasync(c: &mut Criterion) {
    let folder = folder();
    let directory = Directory::lock(folder.path()).expect("free");
    let mut bare = directory.create("bare").expect("created");
    bare.write_at(&[1; 4096], 0).expect("written");
    c.benchmark_group("journal").bench_function("fdatasync", |b| {
        b.iter(|| {
            bare.write_at(&[2; 4096], 0).expect("written");
            bare.sync_data().expect("synced");
        });
    });
}

fn commit(c: &mut Criterion) {
    let mut group = c.benchmark_group("journal");
    // Short, for a journal grows by some hundred megabytes a second; each has a folder of its own.
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    for count in BATCHES {
        let batch = orders(count, &mut Nowhere);
        group.throughput(Throughput::Elements(batch.len() as u64));
        let (synced, unsynced) = (folder(), folder());
        let directory = Directory::lock(synced.path()).expect("free");
        let mut writer = begin(directory).writer;
        group.bench_function(BenchmarkId::new("synced", count), |b| {
            b.iter(|| writer.commit(&mut std::iter::once(&batch), BEGIN).expect("durable"));
        });
        let directory = Unsynced::new(Directory::lock(unsynced.path()).expect("free"));
        let mut writer = begin(directory.clone()).writer;
        group.bench_function(BenchmarkId::new("unsynced", count), |b| {
            b.iter_batched(
                || directory.settle(),
                |()| writer.commit(&mut std::iter::once(&batch), BEGIN).expect("written"),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn replay(c: &mut Criterion) {
    let folder = folder();
    let directory = Directory::lock(folder.path()).expect("free");
    let mut before = genesis();
    let placed = orders(REPLAYED, &mut before);
    let records = (before.0.len() + placed.len()) as u64;
    let mut opened = begin(directory.clone());
    let through = opened.writer.commit(&mut [&before.0, &placed].into_iter(), BEGIN);
    assert_eq!(through.expect("durable").through(), records);
    drop(opened);
    let limits = Limits { live_orders_max: usize::MAX, ..DEFAULT };
    let mut group = c.benchmark_group("journal");
    group.throughput(Throughput::Elements(records)).sample_size(10);
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
                assert_eq!(replayed.expect("intact").recovered.records, records);
                replay.finish()
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, fdatasync, commit, replay);
criterion_main!(benches);
