//! Follows the journal: reads what is durable, gives it to the store, and begins again after any
//! trouble with what the store says it has.
//!
//! The journal is the only queue (I7): when the store is slow or gone nothing piles up here but one
//! batch, and whoever places orders does not notice.
//!
//! A record that the store refuses, whatever is tried, stops this sink alone. Which record it is
//! shows by storing those of the refused batch one by one. From then on the sink waits until the
//! store takes it after all, or until an operator's word to pass it over is durable in the journal.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::id::JournalId;
use crate::limits::Limits;
use crate::planted::{self, Bug};
use crate::storage::{Archived, Storage};
use crate::watermark::Watermark;

use super::backoff::Backoff;
use super::error::{SinkError, Trouble};
use super::source::{Durable, Poison, Room, Source, Stop};
use super::status::{SinkState, SinkStatus};
use super::store::{Extent, Gathered, Store, Stored, Target};

mod opening;
mod poison;
mod size;

use poison::refused;
use size::Size;

/// How soon a sink that has caught up looks for more; twice as long each time it finds nothing.
const LOOK_FIRST: Duration = Duration::from_millis(2);

/// The longest pause between two looks.
const LOOK_MAX: Duration = Duration::from_millis(50);

/// How often the store syncs while records keep coming, and how soon when they do not.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// How long a store at rest may take to sync.
const SYNC_AT_REST: Duration = Duration::from_millis(100);

/// How often a sink at rest looks whether its store is still there.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// How soon after one batch the next is stored, unless it is full. A store works less for a few large
/// batches than for many small ones, and under load it shares the cores with who serves.
const BATCH_EVERY: Duration = Duration::from_millis(50);

/// How long a sink goes on after it was told to end, if it gets on.
const FINISH: Duration = Duration::from_millis(700);

/// How soon after that it ends, whatever it waits for.
const ABANDON: Duration = Duration::from_millis(300);

/// How often a sink that only a person can help looks whether somebody has.
const STOPPED_LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a sink is started with, whatever its store.
pub struct SinkConfig<S: Storage> {
    /// The journal's directory.
    pub storage: S,
    /// Where segments are that were trimmed, if they are kept.
    pub archive: Option<S>,
    /// The number of this cell.
    pub cell: u16,
    /// Which journal it is.
    pub journal: JournalId,
    /// How far the journal is durable.
    pub durable: Durable,
    /// Is told what the store has synced, and nothing that it could lose again.
    pub watermark: Watermark,
    /// Every ceiling.
    pub limits: Limits,
    /// Random bits, for the waits after trouble.
    pub seed: u64,
}

/// Why a session with the store ended.
enum End {
    /// The sink was told to end.
    Asked,
    /// The store is another than before, or set back: ask it anew.
    Replaced,
    /// A batch was refused: the records behind these are to be stored one by one.
    Singly(Range<u64>),
    /// The store cannot take this record.
    Poison(Poison),
}

type BatchOf<T> = <<T as Target>::Store as Store>::Batch;

/// A sink that nobody runs yet.
pub struct Follower<S: Storage, T: Target> {
    config: SinkConfig<S>,
    target: T,
    status: Arc<SinkStatus>,
    stop: watch::Receiver<bool>,
    backoff: Backoff,
    /// What is being stored, and what is being read meanwhile.
    batches: [BatchOf<T>; 2],
    /// Records behind these are stored one by one.
    singly_behind: Range<u64>,
    /// How many are stored at once.
    size: Size,
}

/// What a session keeps count of.
struct Session<S: Storage, T: Target> {
    store: T::Store,
    source: Source<S>,
    /// The last sequence that the store has.
    stored: u64,
    /// The last sequence that it has synced.
    synced: u64,
    unsynced_bytes: usize,
    /// When the next batch may be stored although it is not full.
    next_at: Instant,
    synced_at: Instant,
    checked_at: Instant,
}

impl<S: Storage + Clone, T: Target> Follower<S, T> {
    /// Of a journal, for a store. It ends once `stop` holds `true`, or nobody is left who could say so.
    pub fn new(
        config: SinkConfig<S>,
        target: T,
        status: Arc<SinkStatus>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            status,
            stop,
            backoff: Backoff::new(config.seed),
            batches: [(); 2].map(|()| target.batch(config.cell, &config.limits)),
            singly_behind: 0..0,
            size: Size::new(target.records_max(&config.limits), T::PATIENCE),
            config,
            target,
        }
    }

    /// Follows until it is told to end.
    pub async fn run(mut self) {
        let mut stop = self.stop.clone();
        let name = T::NAME.as_str();
        let abandoned = async {
            // A sender that is gone says so as well.
            let _ = stop.wait_for(|stop| *stop).await;
            sleep(FINISH + ABANDON).await;
        };
        tokio::select! {
            // In this order, so that the same calls make the same run.
            biased;
            () = self.sessions() => {}
            // With the connection goes whatever it had not committed.
            () = abandoned => tracing::warn!("the {name} sink ends in the middle: no answer"),
        }
    }

    async fn sessions(&mut self) {
        while !self.is_asked() {
            // Something else went wrong while it was being tried: it may be promised by now.
            if let Some(sequence) = self.status.waits_at()
                && let Err(error) = self.word_or_time(sequence, Instant::now()).await
            {
                self.stopped(&error);
                self.wait(STOPPED_LOOK_EVERY).await;
                continue;
            }
            if self.status.state() != SinkState::Stopped {
                self.status.enter(SinkState::Connecting);
            }
            let ended = self.session().await;
            if !matches!(ended, Ok(End::Asked)) {
                // Until it has been opened again nobody knows what it has.
                self.tell(0);
            }
            match ended {
                Ok(End::Asked) => return,
                Ok(End::Replaced) => {
                    tracing::warn!("{}: another than before; it is opened anew", T::NAME.as_str());
                    // Two that replace it in turns must not keep a core busy.
                    self.wait(LOOK_MAX).await;
                }
                Ok(End::Singly(behind)) => self.singly_behind = behind,
                Ok(End::Poison(poison)) => self.stopped_by(poison).await,
                Err(error) if error.trouble.is_final() => {
                    self.stopped(&error);
                    self.wait(STOPPED_LOOK_EVERY).await;
                }
                Err(error) => self.troubled(&error).await,
            }
        }
    }

    fn is_asked(&self) -> bool {
        // Nobody is left who could say so: that says it as well.
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    /// Says that nothing but a person can help.
    fn stopped(&self, error: &SinkError) {
        let is_news = self.status.failed(error);
        self.status.enter(SinkState::Stopped);
        if is_news {
            tracing::error!(
                "the {} sink stops behind sequence {}: {error}; orders go on without it",
                T::NAME.as_str(),
                self.status.watermark.get()
            );
        }
    }

    /// Waits a while after trouble that may pass.
    async fn troubled(&mut self, error: &SinkError) {
        let is_news = self.status.failed(error);
        self.status.enter(SinkState::Waiting);
        if is_news {
            tracing::warn!("the {} sink waits: {error}", T::NAME.as_str());
        }
        let pause = self.backoff.next();
        self.wait(pause).await;
    }

    fn journal(&self) -> Archived<S> {
        Archived::new(self.config.storage.clone(), self.config.archive.clone())
    }

    /// Opens the store and follows the journal from where the store ends.
    async fn session(&mut self) -> Result<End, SinkError> {
        let config = &self.config;
        let opening = self.target.open(config.cell, config.journal);
        let (store, mut mark) = answered(T::PATIENCE_TO_OPEN, opening).await?;
        if planted::is(Bug::SinkTrustsItsMemory) {
            mark.sequence = mark.sequence.max(self.status.watermark_max.get());
        }
        let mut session = match self.begin(store, &mark).await {
            Ok(session) => session,
            Err((store, error)) => {
                // What is wrong has been found; that it cannot be closed is no news.
                let _ = answered(T::PATIENCE, store.close()).await;
                return Err(error);
            }
        };
        // After an error the connection may wait for an answer that never comes: it is dropped.
        let end = self.follow(&mut session).await?;
        answered(T::PATIENCE, session.store.close()).await?;
        Ok(end)
    }

    async fn follow(&mut self, session: &mut Session<S, T>) -> Result<End, SinkError> {
        if planted::is(Bug::EarlierUnsyncedTold) {
            session.synced = session.stored;
            self.tell(session.stored);
        } else {
            // What an earlier process stored may not be synced yet.
            self.sync(session, true).await?;
        }
        if session.synced < session.stored {
            self.tell(0);
        }
        // One that stopped at a record follows again once that is stored.
        if self.status.poison().is_none() {
            self.status.enter(SinkState::Following);
        }
        if session.stored >= (self.config.durable)() {
            self.status.well();
        }
        let mut pause = LOOK_FIRST;
        let mut finish_by = None;
        self.batches[0].begin(session.stored);
        let mut stop = None;
        loop {
            let now = Instant::now();
            if self.is_asked() {
                let by = *finish_by.get_or_insert(now + FINISH);
                let done = session.stored >= (self.config.durable)();
                if done || now >= by {
                    self.sync(session, true).await?;
                    return Ok(End::Asked);
                }
            }
            let room = self.room();
            if self.batches[0].extent().records() == 0 && stop.is_none() {
                stop = session.source.gather(&mut self.batches[0], room.clone()).await.err();
            }
            if self.may_grow(session, stop.as_ref()) {
                self.wait(session.next_at.saturating_duration_since(now)).await;
                stop = session.source.gather(&mut self.batches[0], room).await.err();
            }
            if self.batches[0].extent().records() > 0 {
                match self.store(session, stop).await? {
                    Ok(met) => stop = met,
                    Err(end) => return Ok(end),
                }
                pause = LOOK_FIRST;
            } else if let Some(stop) = stop {
                self.sync(session, true).await?;
                return match stop {
                    Stop::Poison(poison) => Ok(End::Poison(poison)),
                    Stop::Error(error) => Err(error),
                };
            } else {
                self.status.caught_up();
                // What it could lose again must not be gone from the journal when it is attached.
                if session.synced >= session.stored {
                    self.attach();
                }
                if now >= session.checked_at + CHECK_EVERY {
                    session.checked_at = now;
                    let looked = session.store.is_replaced(session.stored);
                    if answered(T::PATIENCE, looked).await? {
                        return Ok(End::Replaced);
                    }
                }
                self.wait(pause).await;
                pause = (pause * 2).min(LOOK_MAX);
            }
            self.sync_when_due(session).await?;
        }
    }

    /// Whether the batch to be stored is small, and the last one only just was.
    fn may_grow(&self, session: &Session<S, T>, stop: Option<&Stop>) -> bool {
        let records = self.batches[0].extent().records();
        let is_small = records > 0 && records < self.room().records / 2;
        // One record that is to be stored alone does not grow.
        let is_alone = self.singly_behind.contains(&session.stored);
        is_small
            && !self.batches[0].is_full()
            && !session.source.is_cut()
            && !is_alone
            && stop.is_none()
            && !self.is_asked()
            && Instant::now() < session.next_at
    }

    fn room(&self) -> Room {
        Room { records: self.size.records(), singly_behind: self.singly_behind.clone() }
    }

    /// Stores the first batch, and gathers the next one meanwhile unless `stop` says that no more
    /// can be. Gives what stops the gathering behind the next batch, if anything does; or why the
    /// session is over.
    async fn store(
        &mut self,
        session: &mut Session<S, T>,
        stop: Option<Stop>,
    ) -> Result<Result<Option<Stop>, End>, SinkError> {
        let room = self.room();
        let [batch, next] = &mut self.batches;
        let extent = *batch.extent();
        next.begin(extent.through);
        let gathering = async {
            match stop {
                Some(stop) => Some(stop),
                None => session.source.gather(next, room).await.err(),
            }
        };
        let began = Instant::now();
        let storing = async {
            let stored = answered(T::PATIENCE, session.store.store(batch)).await;
            (stored, began.elapsed())
        };
        // Neither is ever dropped half-way: a transaction that has begun is seen through.
        let ((mut stored, took), stop) = tokio::join!(storing, gathering);
        if planted::is(Bug::BatchRepeatedBlindly) && stored.is_err() {
            stored = answered(T::PATIENCE, session.store.store(batch)).await;
        }
        match stored {
            Ok(Stored::Whole) => self.size.stored(took),
            Ok(Stored::Elsewhere) => return Ok(Err(End::Replaced)),
            Err(error) if error.trouble == Trouble::Poison => {
                return Ok(Err(refused(&extent, &error)));
            }
            Err(error) => {
                self.size.failed(extent.records());
                return Err(error);
            }
        }
        session.checked_at = Instant::now();
        session.next_at = session.checked_at + BATCH_EVERY;
        session.stored = extent.through;
        session.unsynced_bytes += extent.bytes;
        self.count(&extent);
        if planted::is(Bug::UnsyncedTold) {
            self.tell(extent.through);
        }
        self.batches.swap(0, 1);
        Ok(Ok(stop))
    }

    /// Counts a batch that is stored.
    fn count(&mut self, extent: &Extent) {
        let status = &self.status;
        status.cured();
        status.reached(extent.through, extent.last_time);
        status.records.add(extent.records());
        status.rows.add(self.batches[0].rows());
        status.batches.add(1);
        status.batch_records.set(extent.records());
        status.enter(SinkState::Following);
        self.backoff.reset();
        if status.well() {
            tracing::info!("the {} sink goes on at sequence {}", T::NAME.as_str(), extent.through);
        }
    }

    async fn sync_when_due(&mut self, session: &mut Session<S, T>) -> Result<(), SinkError> {
        if session.synced >= session.stored {
            return Ok(());
        }
        let at_rest = session.stored >= (self.config.durable)();
        let patience = if at_rest { SYNC_AT_REST } else { SYNC_EVERY };
        if session.unsynced_bytes < self.config.limits.sink_unsynced_bytes_max
            && Instant::now() < session.synced_at + patience
        {
            return Ok(());
        }
        self.sync(session, at_rest).await
    }

    async fn sync(&mut self, session: &mut Session<S, T>, at_rest: bool) -> Result<(), SinkError> {
        session.synced_at = Instant::now();
        session.unsynced_bytes = 0;
        let syncing = session.store.sync(session.stored, at_rest);
        if answered(T::PATIENCE, syncing).await? {
            session.synced = session.stored;
            self.tell(session.stored);
        }
        Ok(())
    }

    /// The journal is kept for this sink again: it has all, so nothing that was gone was missing.
    fn attach(&self) {
        if self.config.watermark.is_detached() {
            self.config.watermark.attach();
            tracing::warn!("the {} sink has caught up and is attached again", T::NAME.as_str());
        }
    }

    /// Tells whoever must not lose what the store has.
    fn tell(&self, synced: u64) {
        self.status.synced.set(synced);
        self.config.watermark.set(synced);
    }

    /// Waits, or ends early once it is told to end.
    async fn wait(&mut self, pause: Duration) {
        match self.is_asked() {
            true => sleep(LOOK_FIRST).await,
            // That the time is over is what is expected.
            false => {
                let _ = timeout_at(Instant::now() + pause, self.stop.wait_for(|stop| *stop)).await;
            }
        }
    }
}

/// What the store answers, if it does in time.
async fn answered<A>(
    patience: Duration,
    answer: impl Future<Output = Result<A, SinkError>>,
) -> Result<A, SinkError> {
    // A file keeps nobody waiting for ever, and needs no clock.
    if patience == Duration::MAX {
        return answer.await;
    }
    timeout(patience, answer).await.unwrap_or_else(|_| Err(SinkError::unanswered(patience)))
}
