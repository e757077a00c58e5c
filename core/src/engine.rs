//! The engine: opens the journal, recovers, starts the threads, takes commands, drains.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::config::EngineConfig;
use crate::journal::Recovered;
use crate::shard::worker::Ending;
use crate::snapshot::{Retain, Upkeep};
use crate::storage::Storage;

mod clock;
mod fatal;
mod handle;
mod open;
mod replay;
mod threads;
mod timed;

pub use clock::{EngineClock, Reading};
pub use fatal::Fatal;
pub use handle::{Busy, Handle, Shared};
pub use open::{Replayed, publish, recover};
pub use replay::Replay;

/// How often a drain looks whether all shards have come to rest.
const REST_LOOK: Duration = Duration::from_micros(500);

/// What is told when the engine cannot go on: the process must end with the code it names.
pub type OnFatal = Arc<dyn Fn(&Fatal) + Send + Sync>;

/// A running engine: its threads.
pub struct Engine {
    handle: Handle,
    recovered: Recovered,
    ending: Arc<Ending>,
    at_rest: Vec<Arc<AtomicBool>>,
    /// Shards first, then the journal, then helpers: the order in which they end.
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Opens the journal in `storage`, replays it, and starts the threads. Ready at return. Segments
    /// that need not be kept go to `archive`, if there is one.
    ///
    /// # Errors
    /// [`Fatal`]: the journal is damaged or newer than this program, or the disk failed.
    pub fn open<S: Storage + Clone>(
        storage: S,
        archive: Option<S>,
        config: &EngineConfig,
        on_fatal: &OnFatal,
    ) -> Result<(Self, Handle), Fatal> {
        let opened = recover(storage.clone(), config, Reading::now())?;
        let retain = Retain {
            bytes: config.journal_keep_bytes,
            bytes_max: config.journal_max_bytes,
            archive,
            sinks: config.sql.iter().chain(&config.other_sinks).cloned().collect(),
        };
        let sealed = opened.opened.sealed.clone();
        let space = opened.opened.space.clone();
        let upkeep = Upkeep::new(storage, config.limits, sealed, space, retain)?;
        let engine = threads::start(opened, upkeep, config, on_fatal);
        let handle = engine.handle.clone();
        Ok((engine, handle))
    }

    /// What recovery found.
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// Takes no new orders, finishes what was admitted, writes the closing mark and ends all
    /// threads. The caller submits nothing any more; what it does submit may stay unanswered.
    pub fn drain(self) {
        self.handle.stop_accepting();
        self.ending.closing.store(true, Ordering::Release);
        while !self.is_at_rest() {
            self.wake_all();
            thread::park_timeout(REST_LOOK);
        }
        self.ending.stop.store(true, Ordering::Release);
        self.wake_all();
        for thread in self.threads {
            // A thread that failed has called `on_fatal` already.
            let _ = thread.join();
        }
    }

    fn is_at_rest(&self) -> bool {
        self.at_rest.iter().all(|at_rest| at_rest.load(Ordering::Acquire))
            && self.handle.shared.inboxes.iter().all(|inbox| inbox.is_empty())
    }

    fn wake_all(&self) {
        for inbox in &self.handle.shared.inboxes {
            inbox.parker().wake();
        }
    }
}

#[cfg(test)]
mod tests;
