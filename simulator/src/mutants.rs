//! Planted bugs: the simulator is blind until it finds them.

use sluice_core::planted::Bug;

use crate::run::{self, Failure};

/// A planted bug, and the run that gave it away.
#[derive(Debug)]
pub struct Mutant {
    /// The bug.
    pub bug: Bug,
    /// Seeds that ran.
    pub seeds: u64,
    /// The run that found it.
    pub found: Option<Box<Failure>>,
}

/// Looks for one planted bug in at most so many seeds.
pub fn hunt(bug: Bug, seeds: u64, threads: usize) -> Mutant {
    let summary = run::seeds(1, seeds, threads, Some(bug));
    Mutant { bug, seeds: summary.seeds, found: summary.failure }
}
