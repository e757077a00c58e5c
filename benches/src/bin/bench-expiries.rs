//! `scripts/bench expiries`: what it costs that many holds end in the same second.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::json;
use sluice_benches::commands::sku;
use sluice_benches::quantiles::Quantiles;
use sluice_benches::rush::{self, Rush};
use sluice_benches::server::on_a_disk;
use sluice_benches::{goal, history};
use sluice_core::engine::Handle;
use sluice_core::event::{Event, record};
use sluice_core::id::OrderId;
use sluice_core::journal::Reader;
use sluice_core::limits::{DEFAULT, Limits};
use sluice_core::storage::Directory;
use sluice_core::time::Timestamp;

/// Fills a journal in process with holds that all end within one second, and places other orders at
/// a pace: first with nothing beside, then while the holds end. Everything is synced; the pacing
/// thread shares the cores with the engine. How late each hold ended is read from the journal.
#[derive(Parser)]
#[command(name = "scripts/bench expiries")]
struct Flags {
    /// Holds that end in the same second
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    holds: u64,
    /// Orders a second while latency is measured
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    rate: u32,
    /// Seconds of the quiet measurement
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Rounds, each on a journal of its own; the median of their ratios counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Do not append the result to benches/history.jsonl
    #[arg(long)]
    no_history: bool,
}

const LIMITS: Limits =
    Limits { live_orders_max: usize::MAX, snapshot_segments: u64::MAX, ..DEFAULT };

/// Holds that are placed between two looks at the clock.
const CHUNK: u64 = 50_000;

/// What a chunk takes at most, in microseconds.
const CHUNK_US: u64 = 400_000;

/// Seconds in which the holds are to be placed, before the quiet measurement.
const FILLING: u64 = 30;

/// Orders that a measurement places are numbered from here on, so that their ids are new.
const FAR: u64 = 1 << 40;

fn main() -> Result<()> {
    let flags = Flags::parse();
    let mut rounds = Vec::new();
    for number in 1..=flags.rounds {
        println!("round {number} of {}", flags.rounds);
        rounds.push(round(&flags)?);
    }
    let latest = rounds.iter().map(|round| round.latest_us).max().expect("one at least");
    let mut ratios: Vec<f64> = rounds.iter().map(Round::ratio).collect();
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    println!();
    if !flags.no_history {
        let rounds: Vec<_> = rounds.iter().map(Round::figures).collect();
        let figures = json!({
            "holds": flags.holds, "rate": flags.rate, "rounds": rounds,
            "p99_ratio": median, "latest_us": latest,
        });
        let command: Vec<String> = std::env::args().skip(1).collect();
        let command = format!("scripts/bench expiries {}", command.join(" "));
        history::append("expiries", &command, &figures)?;
    }
    goal::at_most("the latest end, in seconds", latest as f64 / 1e6, LATEST_MAX_S)?;
    goal::at_most("p99 while the holds end / without, the median round", median, P99_MAX)
}

/// What a round measured.
struct Round {
    quiet: Quantiles,
    ending: Quantiles,
    latest_us: u64,
}

impl Round {
    fn ratio(&self) -> f64 {
        f64::from(self.ending.p99) / f64::from(self.quiet.p99.max(1))
    }

    fn figures(&self) -> serde_json::Value {
        json!({
            "p50_us_quiet": self.quiet.p50, "p50_us_ending": self.ending.p50,
            "p99_us_quiet": self.quiet.p99, "p99_us_ending": self.ending.p99,
            "p99_ratio": self.ratio(), "latest_us": self.latest_us,
        })
    }
}

/// On a journal of its own: orders with nothing beside, then while the holds end.
fn round(flags: &Flags) -> Result<Round> {
    let folder = tempfile::tempdir_in(on_a_disk())?;
    let gap = Duration::from_secs(1) / flags.rate;
    let (engine, handle) = rush::open(folder.path(), 1, LIMITS);
    rush::stock(&handle, "doomed", u32::try_from(flags.holds.div_ceil(1_000_000))?);
    rush::stock(&handle, "sku-0", 10);
    let ends_at = handle.now().plus_micros((FILLING + flags.seconds + 1) * 1_000_000);
    fill(&handle, flags.holds, ends_at)?;
    let quiet = Quantiles::of(
        Rush::new(handle.clone(), FAR)
            .pace(gap, |since| since >= Duration::from_secs(flags.seconds)),
    );
    println!("orders at {}/s, nothing beside:       {quiet}", flags.rate);
    // The second in which they end begins.
    while handle.now().plus_micros(1_000_000) < ends_at {
        std::hint::spin_loop();
    }
    let expired = |handle: &Handle| handle.shard_metrics(0).expired.get();
    let before = expired(&handle);
    ensure!(before < flags.holds, "the holds ended before they were watched");
    let (watched, ended) = (handle.clone(), handle.clone());
    let ending =
        Quantiles::of(Rush::new(handle, 2 * FAR).pace(gap, |_| expired(&watched) >= flags.holds));
    println!("orders at {}/s, while the holds end:  {ending}", flags.rate);
    engine.drain();
    let durable = ended.journal_metrics().durable.get();
    let latest_us = latest(folder.path(), durable, flags.holds)?;
    let late = latest_us as f64 / 1e3;
    println!("{} holds ended, the latest {late:.0} ms after its deadline", flags.holds);
    Ok(Round { quiet, ending, latest_us })
}

/// How late the last hold may end.
const LATEST_MAX_S: f64 = 1.0;

/// By how much the p99 may grow meanwhile.
const P99_MAX: f64 = 2.0;

/// Places holds that all end in the second before `ends_at`.
fn fill(handle: &Handle, holds: u64, ends_at: Timestamp) -> Result<()> {
    let mut rush = Rush::new(handle.clone(), 0).of(vec![sku("doomed")]);
    let (mut placed, mut shown) = (0, 0);
    while placed < holds {
        let left = ends_at.micros_since(handle.now()) / 1_000_000;
        ensure!(left > 1, "{placed} holds took too long to place");
        rush::terms(handle, "doomed", u32::try_from(left)?);
        // Later they would end in the second behind.
        let until = ends_at.micros() - left * 1_000_000;
        while placed < holds && handle.now().micros() + CHUNK_US < until {
            let count = CHUNK.min(holds - placed);
            rush.run(count, 8_192);
            placed += count;
        }
        if placed > shown {
            eprint!("\r{placed} of {holds} holds are placed");
            shown = placed;
        }
    }
    eprintln!();
    Ok(())
}

/// By how much the latest hold ended after its deadline, in microseconds.
fn latest(folder: &Path, durable: u64, holds: u64) -> Result<u64> {
    let directory = Directory::read_only(folder)?;
    let mut reader = Reader::open(directory)?;
    let mut deadlines: BTreeMap<OrderId, Timestamp> = BTreeMap::new();
    let (mut ended, mut latest) = (0, 0);
    while let Some(frame) = reader.next_durable(durable)? {
        for (_, bytes) in frame.located() {
            let (meta, event) = record::decode(bytes)?;
            match event {
                Event::OrderPlaced(placed) => {
                    deadlines.insert(placed.order, placed.expires_at);
                }
                Event::OrderExpired(over) => {
                    let deadline = deadlines.get(&over.order).context("it was placed")?;
                    ensure!(meta.time >= *deadline, "I10 a hold ended early");
                    latest = latest.max(meta.time.micros_since(*deadline));
                    ended += 1;
                }
                _ => {}
            }
        }
    }
    ensure!(ended == holds, "{ended} holds ended, not {holds}");
    Ok(latest)
}
