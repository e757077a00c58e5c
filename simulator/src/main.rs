//! The simulator's command line: many seeds, one seed, or the planted bugs.

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::thread;

use clap::Parser;

use sluice_core::planted::Bug;
use sluice_simulator::cuts::Cuts;
use sluice_simulator::marks::Mark;
use sluice_simulator::run::{self, Failure, Summary};
use sluice_simulator::{mutants, profile::Profile};

/// The server's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Wrong settings.
const USAGE: u8 = 64;

/// Seeds that a hunt for a planted bug may take.
const HUNT_SEEDS: u64 = 10_000;

/// Seeds from which on every mark is expected to be hit.
const MARKS_SEEDS: u64 = 2_000;

/// Hunts bugs in the engine with the deterministic simulator.
#[derive(Parser)]
#[command(name = "sluice-simulator", version, next_line_help = false)]
struct Arguments {
    /// Run so many seeds and stop at the first that breaks something
    #[arg(long, value_name = "N", required_unless_present_any = ["seed", "mutants"])]
    seeds: Option<u64>,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 1, requires = "seeds")]
    from: u64,
    /// Run one seed
    #[arg(long, value_name = "S", conflicts_with_all = ["seeds", "mutants"])]
    seed: Option<u64>,
    /// Print the last events of the one seed
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Plant each bug in turn and demand that some seed finds it
    #[arg(long)]
    mutants: bool,
    /// Plant this bug alone
    #[arg(long, value_name = "BUG", requires = "mutants", value_parser = bug_of)]
    bug: Option<Bug>,
    /// How many seeds run at once (default: one per core)
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = arguments.threads.unwrap_or(cores);
    if arguments.mutants {
        return hunt_all(arguments.bug, arguments.seeds.unwrap_or(HUNT_SEEDS), threads);
    }
    match arguments.seed {
        Some(seed) => one(seed, arguments.trace),
        None => many(arguments.from, arguments.seeds.unwrap_or(0), threads),
    }
}

fn one(seed: u64, trace: bool) -> ExitCode {
    println!("{:?}", Profile::draw(seed));
    match run::seed(seed, &Cuts::default(), trace) {
        Ok(report) => {
            println!("seed {seed}: {} records, hash {:016x}", report.records, report.hash);
            ExitCode::SUCCESS
        }
        Err(failure) => tell(&failure),
    }
}

fn many(from: u64, count: u64, threads: usize) -> ExitCode {
    let summary = run::seeds(from, count, threads, None);
    if let Some(failure) = &summary.failure {
        return tell(failure);
    }
    let Summary { seeds, records, hash, marks, .. } = &summary;
    println!("{seeds} seeds, {records} records, hash {hash:016x}: nothing broke");
    for mark in Mark::ALL {
        println!("  {:<26}{:>10}", format!("{mark:?}"), marks.hits(mark));
    }
    let missing = marks.missing();
    if missing.is_empty() || *seeds < MARKS_SEEDS {
        return ExitCode::SUCCESS;
    }
    println!("never met: {missing:?}");
    ExitCode::FAILURE
}

/// Shrinks a failure and prints all that is needed to see it again.
fn tell(failure: &Failure) -> ExitCode {
    println!("seed {} broke: {}", failure.seed, failure.what);
    let small = run::shrink(failure);
    println!("the last events of the shrunk run:");
    small.events.iter().for_each(|event| println!("  {event}"));
    println!("it broke: {}", small.what);
    println!("to keep it, put this into simulator/regressions/:\n");
    println!("# {}\nseed {}\n{}", run::kind(&small.what), small.seed, small.cuts);
    ExitCode::FAILURE
}

fn bug_of(name: &str) -> Result<Bug, String> {
    let bug = Bug::ALL.into_iter().find(|bug| format!("{bug:?}") == name);
    bug.ok_or_else(|| format!("the bugs are {:?}", Bug::ALL))
}

fn hunt_all(alone: Option<Bug>, seeds: u64, threads: usize) -> ExitCode {
    let mut missed = 0;
    println!("{:<26}{:>7}  found by", "planted bug", "seed");
    for bug in Bug::ALL.into_iter().filter(|bug| alone.is_none_or(|alone| alone == *bug)) {
        let mutant = mutants::hunt(bug, seeds, threads);
        match mutant.found {
            Some(failure) => {
                let what: String =
                    failure.what.lines().next().unwrap_or("").chars().take(90).collect();
                println!("{:<26}{:>7}  {what}", format!("{bug:?}"), failure.seed);
            }
            None => {
                missed += 1;
                println!("{:<26}{:>7}  NOT in {} seeds", format!("{bug:?}"), "-", mutant.seeds);
            }
        }
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
