//! Decisions of one shard in memory: `cargo bench -p sluice-benches --bench ledger`.
//!
//! A decision is one command decided and applied, with its outcome made; no journal, no lanes.
//! Commands are prepared and outcomes dropped outside the measured time.
//! The small set is a thousand buyers with up to 20,000 orders of one SKU.
//! `SLUICE_BENCH_BUYERS` sets the size of the large set (default 1,000,000).

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sluice_benches::commands::{buyer, define, place, sku};
use sluice_benches::single::{Nowhere, Single};
use sluice_core::command::{Buyer, Place};
use sluice_core::event::{Event, Meta, record};
use sluice_core::ledger::Recorder;
use sluice_core::outcome::Outcome;

/// Orders that are prepared at a time: about what a busy step takes.
const ROUND: u64 = 1_000;

/// Orders at which the small set is thrown away and begun anew.
const SMALL: u64 = 20_000;

/// Encodes events into memory, as a step does.
#[derive(Default)]
struct Encoded {
    bytes: Vec<u8>,
}

impl Recorder for Encoded {
    fn record(&mut self, meta: &Meta, event: &Event<'_>) {
        if self.bytes.len() > 1 << 20 {
            self.bytes.clear();
        }
        record::encode(meta, event, &mut self.bytes);
    }
}

/// Places `commands` and says how long it took.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#[expect(clippy::vec_box, reason = "commands come boxed")]
fn time(single: &mut Single, commands: Vec<Box<Place>>, recorder: &mut dyn Recorder) -> Duration {
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(commands.len());
    let began = Instant::now();
    single.place_all(commands, recorder, &mut outcomes);
    let spent = began.elapsed();
    drop(black_box(outcomes));
    spent
}

/// Calls `round` with sizes that add up to `count`, and adds the times up.
fn in_rounds(count: u64, mut round: impl FnMut(u64) -> Duration) -> Duration {
    let sizes = (0..count).step_by(ROUND as usize).map(|done| ROUND.min(count - done));
    sizes.map(&mut round).sum()
}

#[expect(clippy::vec_box, reason = "commands come boxed")]
fn orders(buyers: &[Buyer], numbers: std::ops::Range<u64>) -> Vec<Box<Place>> {
    let hot = sku("sku-0");
    numbers.map(|n| place(&buyers[n as usize % buyers.len()], hot.clone(), n)).collect()
}

/// A thousand buyers and a ledger that stays small: it is thrown away after each round.
fn small_set(c: &mut Criterion) {
    let mut group = c.benchmark_group("ledger/small");
    group.throughput(Throughput::Elements(1));
    let buyers: Vec<Buyer> = (0..1_000).map(buyer).collect();
    for (name, recorder) in [
        ("placed", &mut Nowhere as &mut dyn Recorder),
        ("placed, encoded", &mut Encoded::default()),
    ] {
        let (mut single, mut number) = (Single::stocked(1 << 20, 1, 1), 0);
        group.bench_function(name, |b| {
            b.iter_custom(|count| {
                in_rounds(count, |size| {
                    if number >= SMALL {
                        (single, number) = (Single::stocked(1 << 20, 1, 1), 0);
                    }
                    let commands = orders(&buyers, number..number + size);
                    number += size;
                    time(&mut single, commands, recorder)
                })
            });
        });
    }
    group.bench_function("repeated", |b| {
        let mut single = Single::stocked(1 << 20, 1, 1);
        time(&mut single, orders(&buyers, 0..SMALL), &mut Nowhere);
        b.iter_custom(|count| {
            in_rounds(count, |size| time(&mut single, orders(&buyers, 0..size), &mut Nowhere))
        });
    });
    group.bench_function("sold_out", |b| {
        let mut single = Single::stocked(1 << 20, 1, 0);
        b.iter_custom(|count| {
            in_rounds(count, |size| time(&mut single, orders(&buyers, 0..size), &mut Nowhere))
        });
    });
    group.finish();
}

/// Every buyer has an order already; each order is the second of its buyer.
fn large_set(c: &mut Criterion) {
    let size: u64 = std::env::var("SLUICE_BENCH_BUYERS")
        .map_or(1_000_000, |text| text.parse().expect("SLUICE_BENCH_BUYERS is a number"));
    let mut single = Single::stocked(usize::MAX, 1, 100);
    let hot = sku("sku-0");
    let mut number = 0;
    for n in 0..size {
        single.place(place(&buyer(n), hot.clone(), n), &mut Nowhere);
        number += 1;
    }
    report(&single);
    let mut group = c.benchmark_group(format!("ledger/{size} buyers"));
    group.throughput(Throughput::Elements(1)).sample_size(10);
    group.bench_function("placed", |b| {
        b.iter_custom(|count| {
            in_rounds(count, |round| {
                let commands = (number..number + round)
                    .map(|n| place(&buyer(n.wrapping_mul(7_919) % size), hot.clone(), n))
                    .collect();
                number += round;
                time(&mut single, commands, &mut Nowhere)
            })
        });
    });
    group.bench_function("sold_out", |b| {
        single.command(define("empty"), &mut Nowhere);
        b.iter_custom(|count| {
            in_rounds(count, |round| {
                let commands = (number..number + round)
                    .map(|n| place(&buyer(n.wrapping_mul(7_919) % size), sku("empty"), n))
                    .collect();
                number += round;
                time(&mut single, commands, &mut Nowhere)
            })
        });
    });
    group.finish();
}

/// Prints what a live order costs, by part.
fn report(single: &Single) {
    let footprint = single.ledger.footprint();
    let each = |bytes: usize| bytes as f64 / footprint.orders as f64;
    println!(
        "a live order costs {:.0} bytes: row {:.0}, id index {:.0}, key index {:.0}, buyer row {:.0}, \
         buyer index {:.0}, deadline {:.0}, offers {:.1} ({} orders, one a buyer)",
        each(footprint.bytes()),
        each(footprint.order_rows),
        each(footprint.id_index),
        each(footprint.key_index),
        each(footprint.buyer_rows),
        each(footprint.buyer_index),
        each(footprint.deadlines),
        each(footprint.offers),
        footprint.orders,
    );
}

criterion_group!(benches, small_set, large_set);
criterion_main!(benches);
