//! `scripts/bench http`: the server and its yardsticks behind real sockets, in turns.

use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use serde_json::{Value, json};
use sluice_benches::contest::{Entrant, JWT_SECRET, Round};
use sluice_benches::history;
use sluice_benches::peer::{self, Peer};

/// Compares Sluice over HTTP with bare servers: same client, connections and body, in turns
/// within one run. The generator runs on the same cores. Figures of two runs do not compare.
#[derive(Parser)]
#[command(name = "scripts/bench http")]
struct Flags {
    /// Turns of each server; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of each turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Connections, each with one request under way
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4096))]
    connections: u32,
    /// Buyers who take turns
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    buyers: u32,
    /// Do not append the result to benches/history.jsonl
    #[arg(long)]
    no_history: bool,
    /// Serve as one of the yardsticks; what the bench starts
    #[arg(long, hide = true)]
    peer: Option<Peer>,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    if let Some(peer) = flags.peer {
        return Ok(peer::serve(peer, JWT_SECRET)?);
    }
    let round = Round {
        duration: Duration::from_secs(flags.seconds),
        connections: flags.connections,
        buyers: flags.buyers,
    };
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); Entrant::ALL.len()];
    for number in 1..=flags.rounds {
        for (entrant, rates) in Entrant::ALL.iter().zip(&mut rates) {
            let report = entrant.turn(&round)?;
            let answers = &report.answers;
            let rate = answers.answered_per_s;
            let latency = answers.latency_accepted.as_ref().filter(|_| answers.accepted > 1);
            let latency = latency.or(answers.latency_refused.as_ref());
            println!(
                "round {number}  ({:2}) {rate:>9.0}/s  p50 {:>6} µs  generator busy {:>3.0} %",
                entrant.letter(),
                latency.map_or(0, |latency| latency.p50_us),
                report.sending.busy_percent
            );
            rates.push(rate);
        }
    }
    println!();
    for (entrant, rates) in Entrant::ALL.iter().zip(&rates) {
        println!("({:2}) {:>9.0}/s  {}", entrant.letter(), median(rates.clone()), entrant.what());
    }
    let [a, a2, a3, b, c] = &rates[..] else { unreachable!("five entrants") };
    let ratios = [
        ("b_per_a2", ratio(b, a2)),
        ("b_per_a", ratio(b, a)),
        ("c_per_a2", ratio(c, a2)),
        ("b_per_a3", ratio(b, a3)),
        ("c_per_a3", ratio(c, a3)),
    ];
    println!("\nmedians of the rounds' ratios:");
    for (name, ratio) in ratios {
        println!("  {name:8} {ratio:.3}");
    }
    if !flags.no_history {
        let per_s: serde_json::Map<String, Value> = (Entrant::ALL.iter().zip(&rates))
            .map(|(entrant, rates)| {
                (entrant.letter().to_owned(), median(rates.clone()).round().into())
            })
            .collect();
        let ratios: serde_json::Map<String, Value> =
            ratios.iter().map(|(name, ratio)| ((*name).to_owned(), (*ratio).into())).collect();
        let figures = json!({
            "per_s": per_s, "ratios": ratios,
            "rounds": flags.rounds, "seconds": flags.seconds,
            "connections": flags.connections, "buyers": flags.buyers,
        });
        let command: Vec<String> = std::env::args().skip(1).collect();
        history::append("http", &format!("scripts/bench http {}", command.join(" ")), &figures)?;
    }
    Ok(())
}

/// The median of `ours` to `peers`, round by round: what disturbs the machine for longer than a
/// turn disturbs both.
fn ratio(ours: &[f64], peers: &[f64]) -> f64 {
    median(ours.iter().zip(peers).map(|(ours, peers)| ours / peers).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
