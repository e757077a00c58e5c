//! Standby in memory, with few and with many who wait: `cargo bench -p sluice-benches --bench standby`.
//!
//! Joining is an order that gets a place behind all others. Serving is a unit that comes back, by a
//! cancel, and goes to whoever is next; a new order joins outside the measured time, so that the
//! queue stays as long as it was. Passing is the same where so many wait in front for more units
//! than ever come back, and the SKU lets smaller orders pass.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sluice_benches::commands::{buyer, define, place, sku};
use sluice_benches::single::{Nowhere, Single};
use sluice_core::command::{Cancel, Command, Place, ReceiveLot};
use sluice_core::id::{BuyerDigest, OrderId, RequestId};
use sluice_core::name::LotId;
use sluice_core::outcome::Outcome;
use sluice_core::quantity::Quantity;

/// Orders that hold a unit, and that are cancelled one after the other.
const HOLDING: u64 = 1_000;

/// Units of an order for which there are never enough: they come back one by one, and go on.
const LARGE: u32 = 2;

/// A SKU for which some wait, and who holds its units.
struct Shop {
    single: Single,
    number: u64,
    holding: VecDeque<(OrderId, BuyerDigest)>,
    waiting: VecDeque<(OrderId, BuyerDigest)>,
}

impl Shop {
    /// So many wait, each order another buyer's.
    fn with_waiting(count: u64) -> Self {
        let mut shop = Self::sold_out(false);
        (0..count).for_each(|_| shop.join());
        shop
    }

    /// So many wait for more units than come back, and a few behind them for one.
    fn with_passing(count: u64) -> Self {
        let mut shop = Self::sold_out(true);
        for _ in 0..count {
            let mut place = shop.next();
            place.lines[0].quantity = Quantity::new(LARGE).expect("in range");
            let outcome = shop.single.place(place, &mut Nowhere);
            assert!(matches!(outcome, Outcome::Placed(_)), "{outcome:?}");
        }
        (0..HOLDING).for_each(|_| shop.join());
        shop
    }

    fn sold_out(standby_pass: bool) -> Self {
        let mut single = Single::new(usize::MAX);
        let mut terms = define("sku-0");
        if let Command::DefineSku(terms) = &mut terms {
            terms.standby_pass = standby_pass;
        }
        single.command(terms, &mut Nowhere);
        let lot = Command::ReceiveLot(Box::new(ReceiveLot {
            sku: sku("sku-0"),
            lot: LotId::new("L0").expect("a name"),
            quantity: Quantity::new(HOLDING as u32).expect("in range"),
            unit_price: None,
            request: RequestId::NONE,
        }));
        single.command(lot, &mut Nowhere);
        let (holding, waiting) = (VecDeque::new(), VecDeque::new());
        let mut shop = Self { single, number: 0, holding, waiting };
        for _ in 0..HOLDING {
            let place = shop.next();
            shop.holding.push_back((place.order, place.buyer.digest));
            shop.single.place(place, &mut Nowhere);
        }
        shop
    }

    fn next(&mut self) -> Box<Place> {
        self.number += 1;
        let mut place = place(&buyer(self.number), sku("sku-0"), self.number);
        place.standby = true;
        place
    }

    fn join(&mut self) {
        let place = self.next();
        self.waiting.push_back((place.order, place.buyer.digest));
        let outcome = self.single.place(place, &mut Nowhere);
        let Outcome::Placed(view) = outcome else { panic!("{outcome:?}") };
        assert!(view.waits.is_some(), "it waits");
    }

    /// Cancels whoever holds a unit, so that the next who waits gets it.
    fn serve(&mut self) {
        let (order, buyer) = self.holding.pop_front().expect("somebody holds a unit");
        let request = RequestId::NONE;
        let cancel = Command::Cancel(Box::new(Cancel { order, buyer, request }));
        self.single.command(cancel, &mut Nowhere);
        self.holding.extend(self.waiting.pop_front());
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn timed(act: impl FnOnce()) -> Duration {
    let began = Instant::now();
    act();
    began.elapsed()
}

fn standby(c: &mut Criterion) {
    let mut group = c.benchmark_group("standby");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for waiting in [10, 1_000_000] {
        let mut shop = Shop::with_waiting(waiting);
        group.bench_function(BenchmarkId::new("join", waiting), |b| {
            b.iter_custom(|count| {
                (0..count)
                    .map(|_| {
                        let place = shop.next();
                        let (order, buyer) = (place.order, place.buyer.digest);
                        let took = timed(|| {
                            shop.single.place(place, &mut Nowhere);
                        });
                        let request = RequestId::NONE;
                        let leave = Command::Cancel(Box::new(Cancel { order, buyer, request }));
                        shop.single.command(leave, &mut Nowhere);
                        took
                    })
                    .sum()
            });
        });
        for (name, passing) in [("serve", false), ("pass", true)] {
            let mut shop = match passing {
                true => Shop::with_passing(waiting),
                false => Shop::with_waiting(waiting),
            };
            group.bench_function(BenchmarkId::new(name, waiting), |b| {
                b.iter_custom(|count| {
                    (0..count)
                        .map(|_| {
                            let took = timed(|| shop.serve());
                            shop.join();
                            took
                        })
                        .sum()
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, standby);
criterion_main!(benches);
