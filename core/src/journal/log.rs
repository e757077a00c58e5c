//! What a shard sees of the journal: it stages records and learns what is durable.
//!
//! Two forms behind one interface: [`InlineLog`] for one shard that writes by itself, and
//! [`QueuedLog`] for several shards in front of a journal thread (see `committer`).
//!
//! **The rule of causes.** A shard stages before any message that rests on the staged records
//! leaves it. Then a record that rests on another has the higher sequence, so that what a crash
//! leaves (a run of sequences from 1 on without a gap) never holds an effect without its cause.

use super::batch::Batch;
use super::durable_mark::DurableMark;
use super::error::Fatal;
use super::writer::Writer;
use crate::storage::Storage;
use crate::time::Timestamp;

/// A promise about the journal: everything up to this sequence. 0 is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl Ticket {
    /// Nothing at all.
    pub const NOTHING: Self = Self(0);

    /// Everything up to this sequence.
    pub const fn through(sequence: u64) -> Self {
        Self(sequence)
    }

    /// The highest sequence it speaks of; 0 if none.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// The journal from a shard's side.
///
/// An answer may leave when `completed() >= ticket`, with the ticket that `stage` returned or,
/// for an answer without a record, the one that [`Log::staged`] gave when it was decided (I2).
pub trait Log {
    /// Takes the records out of the batch and gives them the next sequences. The batch comes back
    /// empty, with memory to use again. An empty batch stages nothing.
    ///
    /// Returns the ticket of the last record in the batch; of everything staged on the node so far
    /// if the batch is empty.
    ///
    /// # Errors
    /// The journal has ended; the process must too.
    fn stage(&mut self, batch: &mut Batch, now: Timestamp) -> Result<Ticket, Fatal>;

    /// The highest sequence given out on this node, by any shard.
    fn staged(&self) -> Ticket;

    /// What is durable.
    fn completed(&self) -> Ticket;

    /// Tells that there is nothing to stage for the moment. Proves the last frame if it is this
    /// thread's business; else does nothing.
    ///
    /// # Errors
    /// The journal has ended; the process must too.
    fn idle(&mut self, now: Timestamp) -> Result<(), Fatal>;

    /// Whether `stage` would return without waiting for the journal thread.
    fn has_room(&self) -> bool {
        true
    }
}

/// The journal of one shard that writes by itself: what is staged is durable at return.
pub struct InlineLog<S: Storage> {
    writer: Writer<S>,
    mark: DurableMark,
}

impl<S: Storage> InlineLog<S> {
    /// Around the journal's writer.
    pub fn new(writer: Writer<S>) -> Self {
        let mark = DurableMark::new(writer.durable());
        Self { writer, mark }
    }

    /// The mark that views and sinks on other threads go by.
    pub const fn durable_mark(&self) -> &DurableMark {
        &self.mark
    }

    /// The writer, e.g. for its last mark.
    pub const fn writer(&self) -> &Writer<S> {
        &self.writer
    }
}

impl<S: Storage> Log for InlineLog<S> {
    fn stage(&mut self, batch: &mut Batch, now: Timestamp) -> Result<Ticket, Fatal> {
        if !batch.is_empty() {
            self.mark.reserve(batch.len() as u64);
            let committed = self.writer.commit(&mut std::iter::once(&*batch), now)?;
            self.mark.advance(committed.through());
            batch.clear();
        }
        Ok(self.staged())
    }

    fn staged(&self) -> Ticket {
        Ticket(self.mark.reserved())
    }

    fn completed(&self) -> Ticket {
        Ticket(self.mark.durable())
    }

    fn idle(&mut self, now: Timestamp) -> Result<(), Fatal> {
        self.writer.mark(now)
    }
}
