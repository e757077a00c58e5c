//! Running seeds: one, many over all cores, and the shrinking of a run that failed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;

use sluice_core::planted::{self, Bug};

use crate::cuts::Cuts;
use crate::marks::Marks;
use crate::profile::{Fault, Profile};
use crate::world::World;

/// Most runs that shrinking takes.
const SHRINKING_RUNS_MAX: u32 = 300;

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// The hash over all its events.
    pub hash: u64,
    /// Records in the journal at the end.
    pub records: u64,
    /// Marks it hit.
    pub marks: Marks,
}

/// A run that broke something.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What was left out of it.
    pub cuts: Cuts,
    /// What broke.
    pub what: String,
    /// The last tick that was begun.
    pub tick: u64,
    /// The last events, oldest first, if they were kept.
    pub events: Vec<String>,
}

/// Runs one seed.
///
/// # Errors
/// What it broke.
pub fn seed(seed: u64, cuts: &Cuts, tracing: bool) -> Result<Report, Box<Failure>> {
    quiet_panics();
    let mut world = World::new(seed, cuts.clone(), tracing);
    let lived = catch_unwind(AssertUnwindSafe(|| world.live()));
    planted::dawdle(false);
    let what = match lived {
        Ok(Ok(())) => {
            let (hash, records) = (world.hash(), world.records());
            return Ok(Report { hash, records, marks: world.marks().clone() });
        }
        Ok(Err(what)) => what,
        Err(panic) => format!("PANIC {}", panic_text(&*panic)),
    };
    let (tick, events) = (world.tick_number(), world.events().cloned().collect());
    Err(Box::new(Failure { seed, cuts: cuts.clone(), what, tick, events }))
}

/// What many seeds came to.
#[derive(Debug, Default)]
pub struct Summary {
    /// Seeds that ran.
    pub seeds: u64,
    /// Records in all their journals.
    pub records: u64,
    /// All marks.
    pub marks: Marks,
    /// The sum of the hashes.
    pub hash: u64,
    /// The failure with the lowest seed, if any.
    pub failure: Option<Box<Failure>>,
}

/// Runs seeds `from … from + count − 1` on as many threads, with this bug planted in each; ends
/// soon after the first failure.
pub fn seeds(from: u64, count: u64, threads: usize, bug: Option<Bug>) -> Summary {
    let next = AtomicU64::new(from);
    let end = from.saturating_add(count);
    let stop = AtomicU64::new(end);
    let summary = Mutex::new(Summary::default());
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                planted::plant(bug);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let result = seed(number, &Cuts::default(), false);
                    let mut sum = summary.lock().unwrap_or_else(PoisonError::into_inner);
                    sum.seeds += 1;
                    match result {
                        Ok(report) => {
                            sum.records += report.records;
                            sum.marks.add(&report.marks);
                            sum.hash = sum.hash.wrapping_add(report.hash);
                        }
                        Err(failure) => {
                            stop.fetch_min(number, Ordering::Relaxed);
                            if sum.failure.as_ref().is_none_or(|f| f.seed > failure.seed) {
                                sum.failure = Some(failure);
                            }
                        }
                    }
                }
                planted::plant(None);
            });
        }
    });
    summary.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Leaves out of a failing run what it can do without, and still fails. Bounded; greedy. The
/// result has its last events.
pub fn shrink(failure: &Failure) -> Failure {
    let mut best = failure.clone();
    let mut runs = 0;
    let mut attempt = |best: &mut Failure, cuts: Cuts| {
        runs += 1;
        if runs > SHRINKING_RUNS_MAX {
            return false;
        }
        match seed(best.seed, &cuts, false) {
            Err(smaller) if kind(&smaller.what) == kind(&failure.what) => {
                *best = *smaller;
                true
            }
            _ => false,
        }
    };
    let ticks = Profile::draw(failure.seed).ticks;
    let mut shorter = best.cuts.clone();
    shorter.ticks_max = best.tick.min(ticks);
    attempt(&mut best, shorter);
    for (fault, _) in Fault::ALL {
        let mut without = best.cuts.clone();
        without.off.push(fault);
        attempt(&mut best, without);
    }
    let last = best.cuts.ticks_max.min(ticks);
    let mut length = last.div_ceil(2).max(1);
    loop {
        let mut from = 1;
        while from <= last {
            let mut without = best.cuts.clone();
            without.skip.push((from, (from + length - 1).min(last)));
            attempt(&mut best, without);
            from += length;
        }
        if length == 1 {
            break;
        }
        length = length.div_ceil(2);
    }
    best.cuts.skip = joined(best.cuts.skip);
    match seed(best.seed, &best.cuts, true) {
        Err(traced) => *traced,
        Ok(_) => best,
    }
}

/// The kind of a failure: its first word.
pub fn kind(what: &str) -> &str {
    what.split([' ', ':']).next().unwrap_or(what)
}

/// Ranges in order, those that touch made one.
fn joined(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (from, to) in ranges {
        match joined.last_mut() {
            Some(last) if from <= last.1 + 1 => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// A panic is a finding here, and is told with its seed.
fn quiet_panics() {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let own = place.contains("simulator/") || !place.contains("core/src");
            if own && thread::current().name().is_some_and(|name| name != "main") {
                loud(info);
            }
        }));
    });
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("of another kind").to_owned()
}
