//! One node without threads: the production shards, journal and preparer, stepped by whoever
//! holds it. Knows no chance and judges nothing.

use std::sync::{Arc, Mutex, PoisonError};

use sluice_core::command::{Command, Envelope, ReplyTo};
use sluice_core::config::EngineConfig;
use sluice_core::engine::{self, EngineClock, Reading, Replayed, publish, recover};
use sluice_core::id::HashKey;
use sluice_core::journal::{
    Committer, DurableMark, Fatal, InlineLog, Preparer, Preparing, QueuedLog, Recovered, Space,
    queued,
};
use sluice_core::ledger::Ledger;
use sluice_core::metrics::ShardMetrics;
use sluice_core::outcome::{Outcome, StateDigest};
use sluice_core::router::Router;
use sluice_core::shard::inbox::Inbox;
use sluice_core::shard::reply::Port;
use sluice_core::shard::{Progress, Retention, Shard, Surroundings};
use sluice_core::snapshot::{self, Retain, Upkeep, UpkeepMetrics, Upkept};
use sluice_core::time::Timestamp;
use sluice_core::view::Board;

use crate::disk::SimDisk;

/// An answer, and what was durable when it left.
pub type Answer = (u128, Outcome, u64);

enum Parts {
    /// One shard commits by itself.
    Alone(Box<Shard<InlineLog<SimDisk>>>),
    /// Several share a journal.
    Several(Vec<Shard<QueuedLog>>, Box<Committer<SimDisk>>),
}

/// A node that runs.
pub struct Node {
    parts: Parts,
    preparer: Option<Preparer<SimDisk>>,
    space: Space,
    upkeep: Upkeep<SimDisk>,
    upkeep_metrics: UpkeepMetrics,
    disk: SimDisk,
    clock: EngineClock,
    hash_key: HashKey,
    inboxes: Vec<Arc<Inbox>>,
    port: Arc<Port>,
    board: Arc<Board>,
    metrics: Vec<Arc<ShardMetrics>>,
    router: Arc<Router>,
    mailbox: Arc<Mutex<Vec<Answer>>>,
    /// What is durable, as sinks see it.
    pub durable: DurableMark,
    /// What recovery found.
    pub recovered: Recovered,
    /// The digest of what recovery replayed.
    pub replayed: StateDigest,
}

impl Node {
    /// Opens the journal on the disk and deals its values out.
    ///
    /// # Errors
    /// What recovery refused, or what the disk did.
    pub fn open(
        disk: &SimDisk,
        archive: Option<&SimDisk>,
        config: &EngineConfig,
        reading: Reading,
    ) -> Result<Self, engine::Fatal> {
        let Replayed { opened, ledger, hash_key, clock } = recover(disk.clone(), config, reading)?;
        let retain = Retain {
            bytes: config.journal_keep_bytes,
            bytes_max: config.journal_max_bytes,
            archive: archive.cloned(),
            sinks: config.sql.iter().chain(&config.other_sinks).cloned().collect(),
        };
        let sealed = opened.sealed.clone();
        let space = opened.space.clone();
        let upkeep = Upkeep::new(disk.clone(), config.limits, sealed, space.clone(), retain)?;
        let shards = config.shards;
        let router = Arc::new(Router::new(shards));
        let board = Arc::new(Board::default());
        publish(&ledger, &board);
        let inboxes: Vec<_> =
            (0..shards).map(|_| Arc::new(Inbox::new(&config.limits, shards))).collect();
        let port = Arc::new(Port::new(config.limits.port_requests_max));
        let metrics: Vec<_> = (0..shards).map(|_| Arc::new(ShardMetrics::default())).collect();
        let around = |number: usize| Surroundings {
            limits: config.limits,
            router: Arc::clone(&router),
            inboxes: inboxes.clone(),
            ports: vec![Arc::clone(&port)],
            board: Arc::clone(&board),
            space: space.clone(),
            retention: Retention { sql: config.sql.clone(), retention_us: config.retention_us },
            payment_extension_us: config.payment_extension_us,
            metrics: Arc::clone(&metrics[number]),
        };
        let replayed = ledger.digest();
        let ledgers = ledger.split(shards, |value| router.owner(value));
        let (parts, durable) = match shards {
            1 => {
                let log = InlineLog::new(opened.writer);
                let durable = log.durable_mark().clone();
                let ledger = ledgers.into_iter().next().expect("one part");
                (Parts::Alone(Box::new(Shard::new(0, ledger, log, around(0)))), durable)
            }
            _ => {
                let (committer, logs) = queued(opened.writer, shards, &config.limits);
                let durable = logs[0].durable_mark().clone();
                let parts = ledgers.into_iter().zip(logs).enumerate();
                let parts = parts.map(|(n, (ledger, log))| Shard::new(n, ledger, log, around(n)));
                (Parts::Several(parts.collect(), Box::new(committer)), durable)
            }
        };
        Ok(Self {
            parts,
            preparer: Some(opened.preparer),
            space: space.clone(),
            upkeep,
            upkeep_metrics: UpkeepMetrics::default(),
            disk: disk.clone(),
            clock,
            hash_key,
            inboxes,
            port,
            board,
            metrics,
            router,
            mailbox: Arc::default(),
            durable,
            recovered: opened.recovered,
            replayed,
        })
    }

    /// How many shards it has.
    pub fn shards(&self) -> usize {
        self.inboxes.len()
    }

    /// Engine time.
    pub fn now(&self, reading: Reading) -> Timestamp {
        self.clock.at(reading.boot_us)
    }

    /// Compares with the wall clock.
    pub fn slew(&self, reading: Reading) {
        self.clock.slew(reading);
    }

    /// By which buyers and keys are hashed.
    pub fn hash_key(&self) -> &HashKey {
        &self.hash_key
    }

    /// The published pages.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// What one shard counts.
    pub fn metrics(&self, shard: usize) -> &ShardMetrics {
        &self.metrics[shard]
    }

    /// Puts a command into its lane. The answer goes to the mailbox or, by `port`, to the port.
    ///
    /// # Errors
    /// The lane is full.
    pub fn submit(
        &self,
        id: u128,
        command: Command,
        by_port: bool,
        now: Timestamp,
    ) -> Result<(), Envelope> {
        let reply = if by_port {
            ReplyTo::Port { port: 0, ticket: id as u64 }
        } else {
            let (mailbox, disk) = (Arc::clone(&self.mailbox), self.disk.clone());
            ReplyTo::Call(Box::new(move |outcome| {
                let answer = (id, outcome, disk.durable_through());
                mailbox.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
            }))
        };
        let shard = self.router.shard_of(command.target());
        self.inboxes[shard].try_push(Envelope { command, reply, arrived: now })
    }

    /// Takes the answers that have left.
    pub fn take_answers(&self) -> Vec<Answer> {
        let mut mailbox = self.mailbox.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answers = std::mem::take(&mut *mailbox);
        let durable = self.disk.durable_through();
        while let Some(batch) = self.port.take() {
            answers
                .extend(batch.into_iter().map(|(id, outcome)| (u128::from(id), outcome, durable)));
        }
        answers
    }

    /// One step of one shard.
    ///
    /// # Errors
    /// The journal has ended.
    pub fn step(&mut self, shard: usize, now: Timestamp) -> Result<Progress, Fatal> {
        match &mut self.parts {
            Parts::Alone(alone) => alone.step(now),
            Parts::Several(shards, _) => shards[shard].step(now),
        }
    }

    /// What the thread of a shard does when nothing waits.
    ///
    /// # Errors
    /// The journal has ended.
    pub fn idle(&mut self, shard: usize, now: Timestamp) -> Result<(), Fatal> {
        match &mut self.parts {
            Parts::Alone(alone) => alone.idle(now),
            Parts::Several(shards, _) => shards[shard].idle(now),
        }
    }

    /// One step of the journal thread, if there is one.
    ///
    /// # Errors
    /// The journal has ended.
    pub fn commit(&mut self, now: Timestamp) -> Result<(), Fatal> {
        match &mut self.parts {
            Parts::Alone(_) => Ok(()),
            Parts::Several(_, committer) => committer.step(now).map(|_| ()),
        }
    }

    /// What the journal thread does when nothing waits.
    ///
    /// # Errors
    /// The journal has ended.
    pub fn mark(&mut self, now: Timestamp) -> Result<(), Fatal> {
        match &mut self.parts {
            Parts::Alone(_) => Ok(()),
            Parts::Several(_, committer) => committer.idle(now),
        }
    }

    /// Batches that the journal keeps until a gap is filled.
    pub fn early(&self) -> usize {
        match &self.parts {
            Parts::Alone(_) => 0,
            Parts::Several(_, committer) => committer.early(),
        }
    }

    /// One step of the helper that makes segments. It ends at its first error, as its thread does.
    pub fn prepare(&mut self) {
        if let Some(preparer) = &mut self.preparer
            && matches!(preparer.step(), Err(_) | Ok(Preparing::Closed))
        {
            self.preparer = None;
        }
    }

    /// Whether that helper has met no error. Its thread would have ended the process.
    pub fn can_prepare(&self) -> bool {
        self.preparer.is_some()
    }

    /// One step of the helper that makes snapshots and trims.
    ///
    /// # Errors
    /// What went wrong; a later step begins anew.
    pub fn upkeep(&mut self) -> Result<Upkept, snapshot::Error> {
        self.upkeep.step(&self.upkeep_metrics)
    }

    /// Whether the disk is full and what is left is kept for endings.
    pub fn is_low(&self) -> bool {
        self.space.is_low()
    }

    /// Whether it has a snapshot on its way.
    pub fn is_building(&self) -> bool {
        self.upkeep.is_building()
    }

    /// What that helper counts.
    pub fn upkeep_metrics(&self) -> &UpkeepMetrics {
        &self.upkeep_metrics
    }

    /// The ledgers of all shards.
    pub fn ledgers(&self) -> Vec<&Ledger> {
        match &self.parts {
            Parts::Alone(alone) => vec![alone.ledger()],
            Parts::Several(shards, _) => shards.iter().map(Shard::ledger).collect(),
        }
    }

    /// Whether all that was taken is answered, and nothing is under way.
    pub fn is_quiet(&self) -> bool {
        let at_rest = match &self.parts {
            Parts::Alone(alone) => alone.is_quiet(),
            Parts::Several(shards, _) => shards.iter().all(Shard::is_quiet),
        };
        at_rest && self.inboxes.iter().all(|inbox| inbox.is_empty())
    }

    /// The digest over all shards.
    pub fn digest(&self) -> StateDigest {
        let digests = self.ledgers().into_iter().map(Ledger::digest);
        digests.fold(StateDigest::default(), StateDigest::plus)
    }
}
