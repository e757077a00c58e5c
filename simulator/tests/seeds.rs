//! A few thousand seeds: nothing breaks, every mark is hit, a seed is the same run each time; runs
//! that once broke something do not any more; planted bugs are found.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;

use sluice_core::planted::Bug;
use sluice_simulator::cuts::Cuts;
use sluice_simulator::{mutants, run};

/// Seeds within which every mark is hit.
const SEEDS: u64 = 2_000;

fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

#[test]
fn nothing_breaks_and_every_mark_is_hit() {
    let summary = run::seeds(1, SEEDS, threads(), None);
    if let Some(failure) = summary.failure {
        panic!("seed {}: {}", failure.seed, failure.what);
    }
    assert_eq!(summary.seeds, SEEDS);
    assert_eq!(summary.marks.missing(), [], "never met");
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    for seed in [1, 7, 23, 99] {
        let hash =
            |tracing| run::seed(seed, &Cuts::default(), tracing).expect("nothing broke").hash;
        assert_eq!(hash(false), hash(true), "seed {seed}");
    }
    let hash = |seed| run::seed(seed, &Cuts::default(), false).expect("nothing broke").hash;
    assert_ne!(hash(1), hash(2));
}

#[test]
fn what_broke_once_holds_now() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    for entry in fs::read_dir(folder).expect("there are regressions") {
        let path = entry.expect("a file").path();
        let text = fs::read_to_string(&path).expect("a regression");
        let (seed, cuts) = Cuts::parse(&text).expect("as it is printed");
        if let Err(failure) = run::seed(seed, &cuts, false) {
            panic!("{}: {}", path.display(), failure.what);
        }
    }
}

#[test]
fn planted_bugs_are_found() {
    let bugs = [
        Bug::AckBeforeSync,
        Bug::OffByOneInStock,
        Bug::KeyForgotten,
        Bug::TailTrusted,
        Bug::UnsyncedTold,
        Bug::RestOfFrameLost,
    ];
    for bug in bugs {
        let mutant = mutants::hunt(bug, 500, threads());
        assert!(mutant.found.is_some(), "{bug:?} was not found in {} seeds", mutant.seeds);
    }
}

#[test]
fn a_failure_is_shrunk_and_can_be_kept() {
    sluice_core::planted::plant(Some(Bug::ExpiresEarly));
    let found = (1..100).find_map(|seed| run::seed(seed, &Cuts::default(), false).err());
    let failure = found.expect("the planted bug is found");
    let small = run::shrink(&failure);
    assert!(!small.cuts.skip.is_empty() && !small.events.is_empty());
    let text = format!("seed {}\n{}", small.seed, small.cuts);
    let (seed, cuts) = Cuts::parse(&text).expect("as it is printed");
    let again = run::seed(seed, &cuts, false).expect_err("it breaks again");
    assert_eq!(again.what, small.what);
    sluice_core::planted::plant(None);
}
