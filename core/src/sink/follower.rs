//! Follows the journal: reads what is durable, turns it into rows, stores them, and begins again
//! after any trouble with what the store says it has.
//!
//! The journal is the only queue (I7): when the store is slow or gone nothing piles up here but one
//! batch, and whoever places orders does not notice.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::event::record::{self, LastNames};
use crate::id::JournalId;
use crate::journal::Reader;
use crate::limits::Limits;
use crate::storage::{DatabaseFile, Storage};
use crate::watermark::Watermark;

use super::backoff::Backoff;
use super::batch::Batch;
use super::error::{SinkError, Trouble};
use super::sqlite::{Store, Stored};
use super::status::{SinkState, SinkStatus};

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

/// How long a sink goes on after it was told to end, if it gets on.
const FINISH: Duration = Duration::from_millis(700);

/// Records that are read before the store has its turn.
const RECORDS_A_TURN: u64 = 32;

/// Says up to which sequence the running journal is durable.
pub type Durable = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What a sink is started with.
pub struct SinkConfig<S: Storage> {
    /// The journal's directory.
    pub storage: S,
    /// The database.
    pub database: DatabaseFile,
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
    /// The store is another than before: ask it anew.
    Replaced,
}

/// A sink on its own thread.
pub(super) struct Follower<S: Storage> {
    config: SinkConfig<S>,
    status: Arc<SinkStatus>,
    stop: watch::Receiver<bool>,
    backoff: Backoff,
    /// What is being stored, and what is being read meanwhile.
    batches: [Batch; 2],
}

/// What a session keeps count of.
struct Session<S: Storage> {
    store: Store,
    source: Source<S>,
    /// The last sequence that the store has.
    stored: u64,
    /// The last sequence that it has synced.
    synced: u64,
    unsynced_bytes: usize,
    synced_at: Instant,
    checked_at: Instant,
}

/// What keeps a sink from going on, once all before it is stored.
type Poison = Option<SinkError>;

/// The journal, from where the store ends.
struct Source<S: Storage> {
    reader: Reader<S>,
    names: LastNames,
    durable: Durable,
    limits: Limits,
}

impl<S: Storage> Source<S> {
    /// Reads records into the batch, as many as one transaction may have and the journal holds.
    /// Lets the store go on now and then.
    async fn gather(&mut self, batch: &mut Batch) -> Result<(), SinkError> {
        let durable = (self.durable)();
        while batch.records() < self.limits.sink_batch_records_max as u64
            && batch.bytes < self.limits.sink_batch_bytes_max
        {
            let frame = self.reader.next_durable(durable).map_err(|fatal| unreadable(&fatal))?;
            let Some(frame) = frame else { return Ok(()) };
            for (sequence, bytes) in (frame.first_sequence..).zip(frame.records) {
                // A frame may begin with records that the store has.
                if sequence <= batch.through {
                    continue;
                }
                let taken = record::decode_next(bytes, &mut self.names)
                    .map_err(|error| error.to_string())
                    .and_then(|(meta, event)| {
                        let taken = batch.take(sequence, &meta, &event, bytes.len());
                        taken.map_err(|error| error.to_string())
                    });
                taken.map_err(|what| {
                    let what = format!("record {sequence} cannot be stored: {what}");
                    SinkError::new(Trouble::Unusable, what)
                })?;
                if sequence.is_multiple_of(RECORDS_A_TURN) {
                    yield_now().await;
                }
            }
        }
        Ok(())
    }
}

impl<S: Storage + Clone> Follower<S> {
    pub(super) fn new(
        config: SinkConfig<S>,
        status: Arc<SinkStatus>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            status,
            stop,
            backoff: Backoff::new(config.seed),
            batches: [(); 2].map(|()| Batch::new(config.cell, config.limits.sink_names_max)),
            config,
        }
    }

    /// Follows until it is told to end, or until nothing but a person can help.
    pub(super) async fn run(mut self) {
        while !self.is_asked() {
            self.status.enter(SinkState::Connecting);
            let ended = self.session().await;
            if !matches!(ended, Ok(End::Asked)) {
                // Until it has been opened again nobody knows what it has.
                self.tell(0);
            }
            let error = match ended {
                Ok(End::Asked) => return,
                Ok(End::Replaced) => {
                    tracing::warn!("the database is another than before: it is opened anew");
                    // Two that replace it in turns must not keep a core busy.
                    self.wait(LOOK_MAX).await;
                    continue;
                }
                Err(error) => error,
            };
            let is_news = self.status.failed(&error);
            if error.trouble.is_final() {
                self.status.enter(SinkState::Stopped);
                tracing::error!(
                    "the SQL sink stops behind sequence {}: {error}; orders go on without it",
                    self.status.watermark.get()
                );
                return;
            }
            self.status.enter(SinkState::Waiting);
            if is_news {
                tracing::warn!("the SQL sink waits: {error}");
            }
            let wait = self.backoff.next();
            // Ends early if it is told to end; a sender that is gone says so as well.
            let _ = timeout(wait, self.stop.wait_for(|stop| *stop)).await;
        }
    }

    fn is_asked(&self) -> bool {
        // Nobody is left who could say so: that says it as well.
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    /// Opens the store and follows the journal from where the store ends.
    async fn session(&mut self) -> Result<End, SinkError> {
        let config = &self.config;
        let opened = Store::open(config.database.clone(), config.cell, config.journal).await;
        let (store, mark) = opened?;
        let journal = config.journal.to_string();
        if let Some(other) = mark.journal.filter(|other| *other != journal) {
            let what = format!("the database belongs to journal {other}, this one is {journal}");
            return Err(SinkError::new(Trouble::Unusable, what));
        }
        let durable = (config.durable)();
        if mark.sequence > durable {
            let what = format!(
                "the database holds records up to {}, the journal ends at {durable}: it is an older \
                 copy of the journal, or another",
                mark.sequence
            );
            return Err(SinkError::new(Trouble::Unusable, what));
        }
        if mark.sequence < self.status.watermark_max.get() {
            self.status.rewinds.add(1);
        }
        self.status.connections.add(1);
        self.status.reached(mark.sequence, mark.time);
        let reader = self.reader_behind(mark.sequence)?;
        let (durable, limits) = (Arc::clone(&self.config.durable), self.config.limits);
        let source = Source { reader, names: LastNames::default(), durable, limits };
        let now = Instant::now();
        let mut session = Session {
            store,
            source,
            stored: mark.sequence,
            synced: 0,
            unsynced_bytes: 0,
            synced_at: now,
            checked_at: now,
        };
        // What an earlier process stored may not be synced yet.
        self.sync(&mut session, true).await?;
        if session.synced < mark.sequence {
            self.tell(0);
        }
        self.status.enter(SinkState::Following);
        let ended = self.follow(&mut session).await;
        let closed = session.store.close().await;
        let end = ended?;
        closed?;
        Ok(end)
    }

    /// A reader behind a sequence.
    fn reader_behind(&self, sequence: u64) -> Result<Reader<S>, SinkError> {
        let opened = Reader::open_after(self.config.storage.clone(), sequence);
        let reader = opened.map_err(|fatal| unreadable(&fatal))?;
        if reader.next_sequence() > sequence + 1 {
            let what = format!(
                "the database holds records up to {sequence}, the journal begins with {}: it was \
                 trimmed, and the database must be rebuilt from the archive",
                reader.next_sequence()
            );
            return Err(SinkError::new(Trouble::Unusable, what));
        }
        Ok(reader)
    }

    async fn follow(&mut self, session: &mut Session<S>) -> Result<End, SinkError> {
        let mut pause = LOOK_FIRST;
        let mut finish_by = None;
        self.batches[0].begin(session.stored);
        let mut poison = None;
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
            if self.batches[0].records() == 0 && poison.is_none() {
                poison = session.source.gather(&mut self.batches[0]).await.err();
            }
            if self.batches[0].records() > 0 {
                let Some(met) = self.store(session, poison).await? else {
                    return Ok(End::Replaced);
                };
                poison = met;
                pause = LOOK_FIRST;
            } else if let Some(poison) = poison {
                self.sync(session, true).await?;
                return Err(poison);
            } else {
                if now >= session.checked_at + CHECK_EVERY {
                    session.checked_at = now;
                    if session.store.is_replaced()? {
                        return Ok(End::Replaced);
                    }
                }
                self.wait(pause).await;
                pause = (pause * 2).min(LOOK_MAX);
            }
            self.sync_when_due(session).await?;
        }
    }

    /// Stores the first batch, and gathers the next one meanwhile unless what comes next is
    /// `poison`. Gives the poison that lies behind the next batch, if any; nothing if the store is
    /// not the one that was opened.
    async fn store(
        &mut self,
        session: &mut Session<S>,
        poison: Poison,
    ) -> Result<Option<Poison>, SinkError> {
        if session.store.is_replaced()? {
            return Ok(None);
        }
        session.checked_at = Instant::now();
        let [batch, next] = &mut self.batches;
        next.begin(batch.through);
        let gathering = async {
            match poison {
                Some(poison) => Some(poison),
                None => session.source.gather(next).await.err(),
            }
        };
        // Neither is ever dropped half-way: a transaction that has begun is seen through.
        let (stored, poison) = tokio::join!(session.store.store(batch), gathering);
        if stored? == Stored::Elsewhere {
            return Ok(None);
        }
        let status = &self.status;
        session.stored = batch.through;
        session.unsynced_bytes += batch.bytes;
        status.reached(batch.through, batch.last_time);
        status.records.add(batch.records());
        status.rows.add(batch.rows());
        status.batches.add(1);
        status.batch_records.set(batch.records());
        self.backoff.reset();
        if status.well() {
            tracing::info!("the SQL sink goes on at sequence {}", batch.through);
        }
        self.batches.swap(0, 1);
        Ok(Some(poison))
    }

    async fn sync_when_due(&mut self, session: &mut Session<S>) -> Result<(), SinkError> {
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

    async fn sync(&mut self, session: &mut Session<S>, at_rest: bool) -> Result<(), SinkError> {
        session.synced_at = Instant::now();
        session.unsynced_bytes = 0;
        if session.store.sync(session.stored, at_rest).await? {
            session.synced = session.stored;
            self.tell(session.stored);
        }
        Ok(())
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

fn unreadable(fatal: &crate::journal::Fatal) -> SinkError {
    SinkError::new(Trouble::Unusable, format!("the journal cannot be read: {fatal}"))
}
