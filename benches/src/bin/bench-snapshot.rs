//! `scripts/bench snapshot`: what a snapshot of many live orders costs, and what it spares a start.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use serde_json::json;
use sluice_benches::history;
use sluice_benches::quantiles::Quantiles;
use sluice_benches::rush::{self, Rush};
use sluice_benches::server::on_a_disk;
use sluice_core::limits::{DEFAULT, Limits};

/// Fills a journal in process, then places orders at a pace: first with nothing beside, then while
/// all that lives goes into a snapshot. Then starts from the journal alone and from the snapshot.
/// Everything is synced; the pacing thread shares the cores with the engine.
#[derive(Parser)]
#[command(name = "scripts/bench snapshot")]
struct Flags {
    /// Live orders
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..=50_000_000))]
    orders: u64,
    /// Orders a second while latency is measured
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    rate: u32,
    /// Seconds of the quiet measurement
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Do not append the result to benches/history.jsonl
    #[arg(long)]
    no_history: bool,
}

/// Never a snapshot.
const QUIET: Limits =
    Limits { live_orders_max: usize::MAX, snapshot_segments: u64::MAX, ..DEFAULT };

/// Snapshots as the server makes them.
const BUSY: Limits = Limits { live_orders_max: usize::MAX, ..DEFAULT };

/// Orders that a measurement places are numbered from here on, so that their ids are new.
const FAR: u64 = 1 << 40;

fn main() -> Result<()> {
    let flags = Flags::parse();
    let folder = tempfile::tempdir_in(on_a_disk())?;
    let gap = Duration::from_secs(1) / flags.rate;
    fill(folder.path(), flags.orders);

    let (replay, (engine, handle)) = timed(|| rush::open(folder.path(), 1, QUIET));
    println!("start from the journal alone: {:.1} s", replay.as_secs_f64());
    let quiet = Quantiles::of(
        Rush::new(handle, FAR).pace(gap, |since| since >= Duration::from_secs(flags.seconds)),
    );
    engine.drain();
    println!("orders at {}/s, nothing beside:      {quiet}", flags.rate);

    let (engine, handle) = rush::open(folder.path(), 1, BUSY);
    let mut took = Duration::ZERO;
    let watched = handle.clone();
    let busy = Quantiles::of(Rush::new(handle.clone(), 2 * FAR).pace(gap, |since| {
        took = since;
        watched.upkeep_metrics().snapshots.get() > 0
    }));
    let bytes = handle.upkeep_metrics().snapshot_bytes.get();
    engine.drain();
    ensure!(bytes > 0, "no snapshot was made");
    println!("orders at {}/s, during the snapshot: {busy}", flags.rate);
    println!("the snapshot: {} MB in {:.1} s", bytes / 1_000_000, took.as_secs_f64());

    let (restart, (engine, _)) = timed(|| rush::open(folder.path(), 1, QUIET));
    let read = engine.recovered().records;
    engine.drain();
    println!("start from the snapshot: {:.1} s, {read} records read", restart.as_secs_f64());
    let ratio = f64::from(busy.p99) / f64::from(quiet.p99.max(1));
    println!("\np99 during the snapshot / without: {ratio:.2}");
    if !flags.no_history {
        let figures = json!({
            "orders": flags.orders, "rate": flags.rate,
            "p99_us_quiet": quiet.p99, "p99_us_snapshot": busy.p99, "p99_ratio": ratio,
            "p50_us_quiet": quiet.p50, "p50_us_snapshot": busy.p50,
            "snapshot_s": took.as_secs_f64(), "snapshot_bytes": bytes,
            "start_from_journal_s": replay.as_secs_f64(),
            "start_from_snapshot_s": restart.as_secs_f64(),
        });
        let command: Vec<String> = std::env::args().skip(1).collect();
        let command = format!("scripts/bench snapshot {}", command.join(" "));
        history::append("snapshot", &command, &figures)?;
    }
    Ok(())
}

fn fill(folder: &Path, orders: u64) {
    let (engine, handle) = rush::open(folder, 1, QUIET);
    rush::stock(&handle, "sku-0", 60);
    let mut rush = Rush::new(handle, 0);
    let mut placed = 0;
    while placed < orders {
        let count = 500_000.min(orders - placed);
        rush.run(count, 8_192);
        placed += count;
        eprint!("\r{placed} of {orders} orders are placed");
    }
    eprintln!();
    engine.drain();
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn timed<T>(act: impl FnOnce() -> T) -> (Duration, T) {
    let began = Instant::now();
    let done = act();
    (began.elapsed(), done)
}
