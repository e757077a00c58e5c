//! The loop of a shard's thread: step while there is work, sleep while there is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::journal::{Fatal, Log};
use crate::time::Timestamp;

use super::inbox::Inbox;
use super::step::Shard;

/// How soon after going idle the log is told, which then marks its last frame: within 10 ms.
const IDLE_AFTER: Duration = Duration::from_millis(5);

/// How often the gauges are brought up to date under load, in microseconds.
const OBSERVE_EVERY_US: u64 = 100_000;

/// Longest sleep while something waits for other shards, which do not say when they have moved.
const HELD_UP_MAX: Duration = Duration::from_micros(100);

/// Longest sleep while idle.
const SLEEP_MAX: Duration = Duration::from_millis(500);

/// How a node comes to its end.
#[derive(Debug, Default)]
pub struct Ending {
    /// Nothing new comes in: come to rest.
    pub closing: AtomicBool,
    /// All shards have come to rest: end the thread.
    pub stop: AtomicBool,
}

/// Runs a shard until it is told to stop. While the node is closing, `at_rest` says whether all
/// that the shard took is answered.
///
/// # Errors
/// The journal has ended: the process must end too.
pub fn run<L: Log>(
    shard: &mut Shard<L>,
    inbox: &Arc<Inbox>,
    clock: impl Fn() -> Timestamp,
    ending: &Ending,
    at_rest: &AtomicBool,
) -> Result<(), Fatal> {
    inbox.parker().adopt();
    let mut told_idle = false;
    let mut observed_at = Timestamp::ZERO;
    loop {
        let now = clock();
        if now.micros_since(observed_at) > OBSERVE_EVERY_US {
            shard.observe();
            observed_at = now;
        }
        let progress = shard.step(now)?;
        if progress.worked || progress.more {
            told_idle = false;
            at_rest.store(false, Ordering::Release);
            continue;
        }
        if ending.closing.load(Ordering::Acquire) {
            at_rest.store(shard.is_quiet() && inbox.is_empty(), Ordering::Release);
        }
        if ending.stop.load(Ordering::Acquire) {
            return shard.idle(clock());
        }
        // Nothing ends before the journal has caught up.
        let until_due = match progress.blocked {
            true => SLEEP_MAX,
            false => Duration::from_micros(progress.next_due.micros_since(now)),
        };
        let longest = match (progress.held_up, told_idle) {
            (true, _) => HELD_UP_MAX,
            (false, true) => SLEEP_MAX,
            (false, false) => IDLE_AFTER,
        };
        let signalled = || {
            let takes = match (progress.blocked, progress.held_up) {
                (true, _) => shard.has_room(),
                (false, true) => inbox.depths().is_urgent(),
                (false, false) => !inbox.is_empty(),
            };
            takes || shard.has_answers() || ending.stop.load(Ordering::Acquire)
        };
        inbox.parker().sleep(longest.min(until_due), signalled);
        if !told_idle && !progress.held_up && inbox.is_empty() && !shard.has_answers() {
            shard.observe();
            shard.idle(clock())?;
            told_idle = true;
        }
    }
}
