//! A contest over HTTP: entrants in turns within one run, the same client, connections and body
//! for each.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use sluice_loadgen::Stop;

use crate::entrant::Entrant;
use crate::history;
use crate::standing::{Figures, Standing};

/// Disturbed rounds for each that counts, at most.
const DISTURBED_MAX: u32 = 3;

/// How long and how hard.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Terms {
    /// Turns of each server; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Seconds of each turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// Connections, each with one request under way
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub connections: u32,
    /// Buyers who take turns
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub buyers: u32,
    /// Percent of one core: a round in which all else on the machine used more is held again
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub others_max: u32,
    /// Do not append the result to benches/history.jsonl
    #[arg(long)]
    pub no_history: bool,
}

/// Lets `entrants` take turns, prints what each did and their `ratios` (ours, theirs), and appends
/// the result to the trail as `bench`. SIGINT and SIGTERM end it early, with everything that it
/// started.
///
/// # Errors
/// If an entrant cannot be started or does not do its work, or on a signal.
pub fn hold(
    bench: &str,
    entrants: &[Entrant],
    ratios: &[(&str, &str)],
    terms: &Terms,
) -> Result<()> {
    let stop = Stop::new();
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, stop.flag()).context("cannot listen for signals")?;
    }
    let mut standing = Standing::new(entrants.iter().map(|e| (e.letter(), e.what())));
    for entrant in entrants {
        if let Some(settings) = entrant.rehearse()? {
            println!("({:2}) {settings}", entrant.letter());
        }
    }
    let (mut held, mut disturbed) = (0, 0);
    while held < terms.rounds && disturbed < terms.rounds * DISTURBED_MAX {
        match round(held + 1, entrants, terms, &stop)? {
            Some(turns) => {
                held += 1;
                for (entrant, figures) in entrants.iter().zip(turns) {
                    standing.add(entrant.letter(), figures);
                }
            }
            None => disturbed += 1,
        }
    }
    ensure!(held > 0, "all {disturbed} rounds were disturbed");
    println!("\n{held} rounds, {disturbed} more were disturbed and do not count");
    print!("{standing}\n{}", standing.ratios_text(ratios));
    if !terms.no_history {
        let mut figures = standing.summary(ratios);
        figures.extend([
            ("rounds".to_owned(), json!(held)),
            ("rounds_disturbed".to_owned(), json!(disturbed)),
            ("seconds".to_owned(), json!(terms.seconds)),
            ("connections".to_owned(), json!(terms.connections)),
            ("buyers".to_owned(), json!(terms.buyers)),
        ]);
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let command = format!("scripts/bench {bench} {}", arguments.join(" "));
        history::append(bench, command.trim_end(), &figures.into())?;
    }
    Ok(())
}

/// A turn of each; nothing if the machine was disturbed.
fn round(
    number: u32,
    entrants: &[Entrant],
    terms: &Terms,
    stop: &Stop,
) -> Result<Option<Vec<Figures>>> {
    let mut turns = Vec::new();
    for entrant in entrants {
        let turn = entrant.turn(terms, stop)?;
        ensure!(!turn.report.run.stopped_early, "stopped by a signal");
        let figures = Figures::of(&turn);
        println!("round {number}  ({:2}) {figures}", entrant.letter());
        if figures.others_percent > f64::from(terms.others_max) {
            println!(
                "round {number} is held again: all else used more than {} %",
                terms.others_max
            );
            return Ok(None);
        }
        turns.push(figures);
    }
    Ok(Some(turns))
}
