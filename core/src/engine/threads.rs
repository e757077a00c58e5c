//! The threads of an engine: shards, the journal if there are several shards, the segment
//! preparer, and the timekeeper, which slews the clock and watches the disk.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::config::EngineConfig;
use crate::journal::{Committer, InlineLog, Log, Preparer, Preparing, Waited, queued};
use crate::ledger::Ledger;
use crate::metrics::{JournalMetrics, ShardMetrics};
use crate::router::Router;
use crate::shard::inbox::Inbox;
use crate::shard::reply::Port;
use crate::shard::worker::{self, Ending};
use crate::shard::{Retention, Shard, Surroundings};
use crate::snapshot::{self, Upkeep, UpkeepMetrics, Upkept};
use crate::storage::Storage;
use crate::time::Timestamp;
use crate::view::Board;

use super::clock::Reading;
use super::fatal::Fatal;
use super::handle::{Handle, Shared};
use super::open::{Replayed, publish};
use super::timed::{TimedLog, Timing};
use super::{Engine, OnFatal};

/// How often the clock is slewed and the disk looked after.
const TIMEKEEPER_EVERY: Duration = Duration::from_millis(100);

/// A sync that takes longer makes the node not ready: new orders are refused.
const SYNC_LATE_US: u64 = 10_000_000;

/// A sync that takes longer ends the process.
const SYNC_LOST_US: u64 = 30_000_000;

/// How soon after going idle the journal thread marks its last frame: within 10 ms.
const MARK_AFTER: Duration = Duration::from_millis(5);

/// How nice the thread of snapshots and trimming is to the others: a tenth of a core's share, when
/// they want all of it.
const UPKEEP_NICE: i32 = 10;

/// Most bytes that it writes a second.
const UPKEEP_BYTES_PER_S: u64 = 64 << 20;

/// How often it looks for something to do.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

/// How long it waits after something failed.
const UPKEEP_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Longest wait of a thread with nothing to do.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// Starts all threads over a replayed journal.
pub(super) fn start<S: Storage + Clone>(
    replayed: Replayed<S>,
    upkeep: Upkeep<S>,
    config: &EngineConfig,
    on_fatal: &OnFatal,
) -> Engine {
    let Replayed { opened, ledger, hash_key, clock } = replayed;
    let router = Arc::new(Router::new(config.shards));
    let board = Arc::new(Board::default());
    publish(&ledger, &board);
    let shared = Arc::new(Shared {
        cell: config.cell,
        hash_key,
        limits: config.limits,
        router: Arc::clone(&router),
        inboxes: (0..config.shards)
            .map(|_| Arc::new(Inbox::new(&config.limits, config.shards)))
            .collect(),
        ports: (0..config.ports)
            .map(|_| Arc::new(Port::new(config.limits.port_requests_max)))
            .collect(),
        board,
        shard_metrics: (0..config.shards).map(|_| Arc::new(ShardMetrics::default())).collect(),
        journal_metrics: Arc::new(JournalMetrics::default()),
        upkeep_metrics: UpkeepMetrics::default(),
        space: opened.space.clone(),
        clock: Arc::new(clock),
        accepting: AtomicBool::new(true),
        disk_late: AtomicBool::new(false),
    });
    shared.journal_metrics.durable.set(opened.writer.durable());
    let ledgers = ledger.split(config.shards, |value| router.owner(value));
    let starter = Starter {
        shared: Arc::clone(&shared),
        ending: Arc::new(Ending::default()),
        at_rest: (0..config.shards).map(|_| Arc::new(AtomicBool::new(false))).collect(),
        on_fatal: Arc::clone(on_fatal),
        retention: Retention { sql: config.sql.clone(), retention_us: config.retention_us },
        payment_extension_us: config.payment_extension_us,
    };
    let mut threads = starter.shards_and_journal(ledgers, opened.writer, config);
    threads.push(starter.preparer(opened.preparer));
    threads.push(starter.timekeeper());
    threads.push(starter.upkeep(upkeep));
    Engine {
        handle: Handle { shared },
        recovered: opened.recovered,
        ending: starter.ending,
        at_rest: starter.at_rest,
        threads,
    }
}

struct Starter {
    shared: Arc<Shared>,
    ending: Arc<Ending>,
    at_rest: Vec<Arc<AtomicBool>>,
    on_fatal: OnFatal,
    retention: Retention,
    payment_extension_us: u64,
}

impl Starter {
    /// One shard commits by itself; several share a journal thread.
    fn shards_and_journal<S: Storage>(
        &self,
        mut ledgers: Vec<Ledger>,
        writer: crate::journal::Writer<S>,
        config: &EngineConfig,
    ) -> Vec<JoinHandle<()>> {
        if config.shards == 1 {
            let log = TimedLog {
                log: InlineLog::new(writer),
                metrics: Arc::clone(&self.shared.journal_metrics),
                clock: Arc::clone(&self.shared.clock),
            };
            return vec![self.shard(0, ledgers.remove(0), log)];
        }
        let (committer, logs) = queued(writer, config.shards, &config.limits);
        let shards = ledgers.into_iter().zip(logs).enumerate();
        let mut threads: Vec<_> =
            shards.map(|(number, (ledger, log))| self.shard(number, ledger, log)).collect();
        threads.push(self.journal(committer));
        threads
    }

    fn shard<L: Log + Send + 'static>(
        &self,
        number: usize,
        ledger: Ledger,
        log: L,
    ) -> JoinHandle<()> {
        let around = Surroundings {
            limits: self.shared.limits,
            router: Arc::clone(&self.shared.router),
            inboxes: self.shared.inboxes.clone(),
            ports: self.shared.ports.clone(),
            board: Arc::clone(&self.shared.board),
            retention: self.retention.clone(),
            space: self.shared.space.clone(),
            payment_extension_us: self.payment_extension_us,
            metrics: Arc::clone(&self.shared.shard_metrics[number]),
        };
        let inbox = Arc::clone(&self.shared.inboxes[number]);
        let clock = Arc::clone(&self.shared.clock);
        let ending = Arc::clone(&self.ending);
        let at_rest = Arc::clone(&self.at_rest[number]);
        self.spawn(format!("shard-{number}"), move || {
            let mut shard = Shard::new(number, ledger, log, around);
            worker::run(&mut shard, &inbox, || clock.now(), &ending, &at_rest)?;
            Ok(())
        })
    }

    fn journal<S: Storage>(&self, mut committer: Committer<S>) -> JoinHandle<()> {
        let shared = Arc::clone(&self.shared);
        self.spawn("journal".to_owned(), move || {
            let mut wait = WAIT_MAX;
            loop {
                let waited = committer.wait(wait);
                let now = shared.clock.now();
                if waited == Waited::TimedOut {
                    let timing = Timing::begin(&shared.journal_metrics, &shared.clock);
                    committer.idle(now)?;
                    timing.end_uncounted();
                    wait = WAIT_MAX;
                    continue;
                }
                let before = shared.journal_metrics.durable.get();
                let timing = Timing::begin(&shared.journal_metrics, &shared.clock);
                let progress = committer.step(now)?;
                let durable = progress.completed.get();
                if progress.advanced {
                    timing.end(durable - before, durable);
                    shared.inboxes.iter().for_each(|inbox| inbox.parker().wake());
                } else {
                    timing.end_uncounted();
                }
                if waited == Waited::Closed {
                    return Ok(committer.idle(shared.clock.now())?);
                }
                wait = MARK_AFTER;
            }
        })
    }

    fn preparer<S: Storage>(&self, mut preparer: Preparer<S>) -> JoinHandle<()> {
        let ending = Arc::clone(&self.ending);
        let clock = Arc::clone(&self.shared.clock);
        self.spawn("segments".to_owned(), move || {
            while !ending.stop.load(Ordering::Acquire) {
                let began = clock.now();
                // A disk that refuses here will refuse the writer as well: no need to wait for it.
                let preparing = match preparer.step()? {
                    Preparing::Idle | Preparing::Full => preparer.wait(WAIT_MAX),
                    Preparing::More => {
                        let took = Duration::from_micros(clock.now().micros_since(began));
                        preparer.wait(preparer.rest_after(took))
                    }
                    Preparing::Closed => Preparing::Closed,
                };
                if preparing == Preparing::Closed {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Snapshots and trimming. What fails there is tried again later: no promise rests on it.
    fn upkeep<S: Storage + Clone>(&self, mut upkeep: Upkeep<S>) -> JoinHandle<()> {
        let ending = Arc::clone(&self.ending);
        let shared = Arc::clone(&self.shared);
        self.spawn("upkeep".to_owned(), move || {
            // Of this thread alone. Without the right to it, upkeep takes its full share.
            let _ = rustix::process::setpriority_process(None, UPKEEP_NICE);
            let stops = || ending.stop.load(Ordering::Acquire);
            while !stops() {
                let pause = match upkeep.step(&shared.upkeep_metrics) {
                    Ok(Upkept::Idle) => UPKEEP_EVERY,
                    Ok(Upkept::More { written }) => {
                        Duration::from_micros(written * 1_000_000 / UPKEEP_BYTES_PER_S)
                    }
                    Err(error @ snapshot::Error::Digest { .. }) => return Err(error.into()),
                    Err(error) => {
                        shared.upkeep_metrics.failed.add(1);
                        tracing::error!("no snapshot or no trimming for now: {error}");
                        UPKEEP_AGAIN_AFTER
                    }
                };
                let until = shared.clock.now().plus_micros(pause.as_micros() as u64);
                while !stops() && shared.clock.now() < until {
                    let rest = Duration::from_micros(until.micros_since(shared.clock.now()));
                    thread::park_timeout(rest.min(TIMEKEEPER_EVERY));
                }
            }
            Ok(())
        })
    }

    fn timekeeper(&self) -> JoinHandle<()> {
        let ending = Arc::clone(&self.ending);
        let shared = Arc::clone(&self.shared);
        self.spawn("timekeeper".to_owned(), move || {
            let mut late = false;
            while !ending.stop.load(Ordering::Acquire) {
                thread::park_timeout(TIMEKEEPER_EVERY);
                shared.clock.slew(Reading::now());
                watch_disk(&shared, &mut late)?;
            }
            Ok(())
        })
    }

    /// Starts a thread whose failure is the engine's.
    fn spawn(
        &self,
        name: String,
        body: impl FnOnce() -> Result<(), Fatal> + Send + 'static,
    ) -> JoinHandle<()> {
        let on_fatal = Arc::clone(&self.on_fatal);
        let metrics = Arc::clone(&self.shared.journal_metrics);
        let run = move || match catch_unwind(AssertUnwindSafe(body)) {
            Ok(Ok(())) => {}
            Ok(Err(fatal)) => on_fatal(&fatal),
            Err(panic) => {
                let what = panic_text(&*panic);
                on_fatal(&Fatal::Broken { sequence: metrics.durable.get(), what });
            }
        };
        thread::Builder::new().name(name).spawn(run).expect("the system gives a thread")
    }
}

/// Refuses new orders while a sync is late, and ends the process when it is lost.
fn watch_disk(shared: &Shared, was_late: &mut bool) -> Result<(), Fatal> {
    let late = is_late(shared.journal_metrics.began_us.get(), shared.clock.now())?;
    match (*was_late, late) {
        (false, true) => tracing::error!("a sync is late: new orders are refused"),
        (true, false) => tracing::warn!("the disk answers again: new orders are taken"),
        _ => {}
    }
    *was_late = late;
    shared.disk_late.store(late, Ordering::Release);
    Ok(())
}

/// Whether a sync that began at `began_us` (0: none is under way) is late by `now`.
fn is_late(began_us: u64, now: Timestamp) -> Result<bool, Fatal> {
    let since = if began_us == 0 { 0 } else { now.micros().saturating_sub(began_us) };
    if since > SYNC_LOST_US {
        return Err(Fatal::Stalled { seconds: since / 1_000_000 });
    }
    Ok(since > SYNC_LATE_US)
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

#[cfg(test)]
mod tests {
    use super::is_late;
    use crate::engine::Fatal;
    use crate::time::Timestamp;

    #[test]
    fn a_sync_is_late_after_ten_seconds_and_lost_after_thirty() {
        let after = |seconds: u64| is_late(7, Timestamp::from_micros(7 + seconds * 1_000_000 + 1));
        assert!(matches!(is_late(0, Timestamp::MAX), Ok(false)), "none is under way");
        assert!(matches!(after(9), Ok(false)));
        assert!(matches!(after(10), Ok(true)));
        assert!(matches!(after(29), Ok(true)));
        assert!(matches!(after(30), Err(Fatal::Stalled { seconds: 30 })));
    }
}
