//! The journal for several shards: they reserve and send, one thread puts in order and writes.
//!
//! A [`QueuedLog`] reserves its sequences by one `fetch_add` and sends the batch over the one
//! bounded channel. Between the two steps another shard may overtake, so batches arrive slightly
//! out of order. The [`Committer`] keeps what came too early until the gap is filled; it must go
//! on receiving meanwhile, for what fills the gap may stand further back in the channel. How much
//! it keeps is bounded by what the shards may have unanswered (`limits.steps_unanswered_max`
//! each). Starts no thread: the engine calls [`Committer::wait`] and [`Committer::step`] in a
//! loop, the simulator calls `step` when it likes.

use std::cmp::{Ordering as Order, Reverse};
use std::collections::BinaryHeap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::batch::Batch;
use super::durable_mark::DurableMark;
use super::error::Fatal;
use super::log::{Log, Ticket};
use super::writer::Writer;
use crate::limits::Limits;
use crate::planted::{self, Bug};
use crate::storage::Storage;
use crate::time::Timestamp;

/// A batch on its way to the journal thread.
#[derive(Debug)]
struct Staged {
    first: u64,
    time: Timestamp,
    shard: usize,
    batch: Batch,
}

/// Smallest first sequence first, in a heap.
#[derive(Debug)]
struct ByFirst(Reverse<u64>, Staged);

impl PartialEq for ByFirst {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for ByFirst {}

impl PartialOrd for ByFirst {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl Ord for ByFirst {
    fn cmp(&self, other: &Self) -> Order {
        self.0.cmp(&other.0)
    }
}

/// The journal of one shard among several.
#[derive(Debug)]
pub struct QueuedLog {
    shard: usize,
    mark: DurableMark,
    failed: Arc<OnceLock<Fatal>>,
    sender: Sender<Staged>,
    spare: Receiver<Batch>,
    /// Only the planted bug, and a shard that dawdles, keep a batch here.
    #[cfg(feature = "planted-bugs")]
    held_back: Option<Staged>,
}

/// The body of the journal thread.
pub struct Committer<S: Storage> {
    writer: Writer<S>,
    mark: DurableMark,
    failed: Arc<OnceLock<Fatal>>,
    receiver: Receiver<Staged>,
    spares: Vec<Sender<Batch>>,
    early: BinaryHeap<ByFirst>,
    ready: Vec<Staged>,
}

/// What a step of the [`Committer`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is durable now.
    pub completed: Ticket,
    /// Whether that is more than before: wake the shards.
    pub advanced: bool,
}

/// What [`Committer::wait`] came back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// Something was staged: step.
    Staged,
    /// Nothing for so long: idle.
    TimedOut,
    /// All shards are gone: step and idle once more, then end the thread.
    Closed,
}

/// The journal thread's body and one log per shard.
pub fn queued<S: Storage>(
    writer: Writer<S>,
    shards: usize,
    limits: &Limits,
) -> (Committer<S>, Vec<QueuedLog>) {
    let mark = DurableMark::new(writer.durable());
    let failed = Arc::new(OnceLock::new());
    let (sender, receiver) = bounded(limits.journal_queue_max);
    let mut spares = Vec::with_capacity(shards);
    let logs = (0..shards)
        .map(|shard| {
            let (spare_sender, spare) = bounded(limits.steps_unanswered_max);
            spares.push(spare_sender);
            QueuedLog {
                shard,
                mark: mark.clone(),
                failed: Arc::clone(&failed),
                sender: sender.clone(),
                spare,
                #[cfg(feature = "planted-bugs")]
                held_back: None,
            }
        })
        .collect();
    let committer = Committer {
        writer,
        mark,
        failed,
        receiver,
        spares,
        early: BinaryHeap::with_capacity(limits.journal_queue_max),
        ready: Vec::with_capacity(limits.journal_queue_max),
    };
    (committer, logs)
}

impl QueuedLog {
    /// The mark that this log and all views go by.
    pub const fn durable_mark(&self) -> &DurableMark {
        &self.mark
    }

    fn send(&self, staged: Staged) -> Result<(), Fatal> {
        self.sender.send(staged).map_err(|_| self.failure())
    }

    fn failure(&self) -> Fatal {
        self.failed.get().cloned().unwrap_or(Fatal::Closed)
    }

    /// Sends what was kept back, and keeps this batch instead. What the planted bug kept gets its
    /// sequences only now.
    #[cfg(feature = "planted-bugs")]
    fn hold_back(&mut self, staged: Option<Staged>) -> Result<(), Fatal> {
        let Some(mut earlier) = std::mem::replace(&mut self.held_back, staged) else {
            return Ok(());
        };
        if earlier.first == 0 {
            earlier.first = self.mark.reserve(earlier.batch.len() as u64);
        }
        self.send(earlier)
    }

    /// Batches that will be sent beside the next one.
    #[cfg(feature = "planted-bugs")]
    fn held_back(&self) -> usize {
        usize::from(self.held_back.is_some())
    }

    #[cfg(not(feature = "planted-bugs"))]
    const fn held_back(&self) -> usize {
        0
    }

    #[cfg(not(feature = "planted-bugs"))]
    fn hold_back(&self, _staged: Option<Staged>) -> Result<(), Fatal> {
        Ok(())
    }
}

impl Log for QueuedLog {
    fn stage(&mut self, batch: &mut Batch, now: Timestamp) -> Result<Ticket, Fatal> {
        if self.failed.get().is_some() {
            return Err(self.failure());
        }
        if batch.is_empty() {
            return Ok(self.staged());
        }
        let count = batch.len() as u64;
        let batch = std::mem::replace(batch, self.spare.try_recv().unwrap_or_default());
        let mut staged = Staged { first: 0, time: now, shard: self.shard, batch };
        if planted::is(Bug::SequenceOutOfOrder) {
            self.hold_back(Some(staged))?;
            return Ok(self.staged());
        }
        staged.first = self.mark.reserve(count);
        let ticket = Ticket::through(staged.first + count - 1);
        if planted::dawdles() {
            self.hold_back(Some(staged))?;
        } else {
            self.hold_back(None)?;
            self.send(staged)?;
        }
        Ok(ticket)
    }

    fn staged(&self) -> Ticket {
        Ticket::through(self.mark.reserved())
    }

    fn completed(&self) -> Ticket {
        Ticket::through(self.mark.durable())
    }

    fn idle(&mut self, _now: Timestamp) -> Result<(), Fatal> {
        if !self.sender.is_full() {
            self.hold_back(None)?;
        }
        if self.failed.get().is_some() { Err(self.failure()) } else { Ok(()) }
    }

    fn has_room(&self) -> bool {
        self.sender.len() + self.held_back() < self.sender.capacity().unwrap_or(usize::MAX)
    }
}

impl<S: Storage> Committer<S> {
    /// The mark that all logs and views go by.
    pub const fn durable_mark(&self) -> &DurableMark {
        &self.mark
    }

    /// Waits until something is staged, at most `timeout`, and keeps it for the next step.
    pub fn wait(&mut self, timeout: Duration) -> Waited {
        match self.receiver.recv_timeout(timeout) {
            Ok(staged) => {
                self.keep(staged);
                Waited::Staged
            }
            Err(RecvTimeoutError::Timeout) => Waited::TimedOut,
            Err(RecvTimeoutError::Disconnected) => Waited::Closed,
        }
    }

    /// Takes all that waits, writes what has no gap before it, and moves the durable mark.
    /// After that come the views, then the answers (I2): wake the shards if it `advanced`.
    ///
    /// # Errors
    /// The first error of the writer, again at every later call; all logs return it as well. Drop
    /// the committer then: a shard that waits for room in the queue hears of it only by that.
    pub fn step(&mut self, now: Timestamp) -> Result<Progress, Fatal> {
        self.receive();
        let next = self.take_contiguous();
        let before = self.writer.durable();
        debug_assert!(next >= self.writer.next_sequence());
        let time = self.ready.iter().map(|staged| staged.time).fold(now, Timestamp::max);
        let mut batches = self.ready.iter().map(|staged| &staged.batch);
        let committed = match self.writer.commit(&mut batches, time) {
            Ok(committed) => committed,
            Err(fatal) => return Err(self.fail(fatal)),
        };
        let advanced = committed.through() > before;
        if advanced {
            self.mark.advance(committed.through());
        }
        self.give_back();
        Ok(Progress { completed: Ticket::through(committed.through()), advanced })
    }

    /// Proves the last frame, if nothing waits to be written behind it.
    ///
    /// # Errors
    /// The first error of the writer, again at every later call; all logs return it as well.
    pub fn idle(&mut self, now: Timestamp) -> Result<(), Fatal> {
        self.writer.mark(now).map_err(|fatal| self.fail(fatal))
    }

    /// Whether [`Committer::idle`] would write.
    pub const fn needs_mark(&self) -> bool {
        self.writer.needs_mark()
    }

    /// Batches that came too early and wait for a gap to be filled.
    pub fn early(&self) -> usize {
        self.early.len()
    }

    fn fail(&self, fatal: Fatal) -> Fatal {
        self.failed.get_or_init(|| fatal).clone()
    }

    fn keep(&mut self, staged: Staged) {
        self.early.push(ByFirst(Reverse(staged.first), staged));
    }

    /// At most as many as the queue holds, so that a step ends. What is behind a gap is taken too:
    /// what fills the gap may stand further back.
    fn receive(&mut self) {
        let mut received = 0;
        let queue_max = self.receiver.capacity().unwrap_or(usize::MAX);
        while received < queue_max {
            let Ok(staged) = self.receiver.try_recv() else { break };
            self.keep(staged);
            received += 1;
        }
    }

    /// Moves what has no gap before it from `early` to `ready`. Returns the sequence behind it.
    fn take_contiguous(&mut self) -> u64 {
        let mut next = self.writer.next_sequence();
        while self.early.peek().is_some_and(|top| top.1.first == next) {
            let Some(ByFirst(_, staged)) = self.early.pop() else { break };
            next += staged.batch.len() as u64;
            self.ready.push(staged);
        }
        next
    }

    /// Returns the memory of what was written to the shards. What a shard has no room for, or a
    /// shard that is gone, loses it.
    fn give_back(&mut self) {
        for mut staged in self.ready.drain(..) {
            staged.batch.clear();
            let _ = self.spares[staged.shard].try_send(staged.batch);
        }
    }
}

#[cfg(test)]
mod tests;
