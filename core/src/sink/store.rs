//! What a follower needs of the place where it keeps its copy.

use std::time::Duration;

use crate::event::{Event, Meta, SinkName};
use crate::id::JournalId;
use crate::limits::Limits;
use crate::time::Timestamp;

use super::error::SinkError;

/// Where a store stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The last sequence that is stored; 0 for none.
    pub sequence: u64,
    /// When that record was decided.
    pub time: Timestamp,
    /// Whose journal it is; `None` if nothing was stored yet.
    pub journal: Option<String>,
}

impl Mark {
    /// Of a store with nothing in it.
    pub const NONE: Self = Self { sequence: 0, time: Timestamp::ZERO, journal: None };
}

/// What came of a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is stored.
    Whole,
    /// Nothing was stored: the store ends elsewhere than where the batch begins, or is another one.
    Elsewhere,
}

/// How many records of one run of the journal a batch covers, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The sequence behind which it begins.
    pub after: u64,
    /// The sequence of its last record; `after` if it has none.
    pub through: u64,
    /// When its last record was decided.
    pub last_time: Timestamp,
    /// Encoded bytes of its records.
    pub bytes: usize,
}

impl Extent {
    /// Of nothing, behind a sequence.
    pub const fn behind(after: u64) -> Self {
        Self { after, through: after, last_time: Timestamp::ZERO, bytes: 0 }
    }

    /// How many records it covers.
    pub const fn records(&self) -> u64 {
        self.through - self.after
    }

    /// Goes on to the next record.
    ///
    /// # Panics
    /// If a record is left out.
    pub fn cover(&mut self, sequence: u64, time: Timestamp, bytes: usize) {
        assert_eq!(sequence, self.through + 1, "I8 no record is left out");
        self.through = sequence;
        self.last_time = time;
        self.bytes += bytes;
    }
}

/// A record whose event the store cannot hold, whatever is tried.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Unstorable {
    /// Why not.
    pub what: String,
}

/// What a store takes at once: the effects of a run of records, without a gap.
pub trait Gathered {
    /// Empties it; the next one begins behind `after`.
    fn begin(&mut self, after: u64);

    /// What it covers.
    fn extent(&self) -> &Extent;

    /// Whether the event of the next record goes well with what it has. One with no records yet takes
    /// any.
    fn has_room_for(&self, _event: &Event<'_>) -> bool {
        true
    }

    /// Takes the event of the next record, which has `bytes` bytes.
    ///
    /// # Errors
    /// The store cannot hold it. The batch is as it was.
    fn take(
        &mut self,
        sequence: u64,
        meta: &Meta,
        event: &Event<'_>,
        bytes: usize,
    ) -> Result<(), Unstorable>;

    /// Passes the next record over: an operator has said so.
    fn pass_over(&mut self, sequence: u64, time: Timestamp, bytes: usize);

    /// Rows, or keys, that it adds or changes.
    fn rows(&self) -> u64;

    /// Whether it has enough, however few records it covers. One with none of them never has.
    fn is_full(&self) -> bool {
        false
    }
}

/// An open store.
pub trait Store {
    /// What it takes at once.
    type Batch: Gathered;

    /// Whether it is another one than was opened, or no longer ends at `stored`. Asked at rest.
    fn is_replaced(&mut self, stored: u64) -> impl Future<Output = Result<bool, SinkError>>;

    /// Stores a batch and its watermark, both or neither. After an error the store must be closed:
    /// a transaction may be open still.
    fn store(&mut self, batch: &Self::Batch) -> impl Future<Output = Result<Stored, SinkError>>;

    /// Makes durable what is stored, up to `sequence`, and tidies up if the store is `at_rest`.
    /// Says whether it could: a reader may stand in the way for a while.
    fn sync(
        &mut self,
        sequence: u64,
        at_rest: bool,
    ) -> impl Future<Output = Result<bool, SinkError>>;

    /// Closes it. What was not committed is gone.
    fn close(self) -> impl Future<Output = Result<(), SinkError>>;
}

/// A place where a copy is kept, open or not.
pub trait Target {
    /// The open store.
    type Store: Store;

    /// What the sink is called.
    const NAME: SinkName;

    /// How long the store may take to answer before its connection is given up.
    /// [`Duration::MAX`]: it always answers.
    const PATIENCE: Duration;

    /// How long it may take to open, which may have to build an index first.
    const PATIENCE_TO_OPEN: Duration = Self::PATIENCE;

    /// An empty batch for a cell.
    fn batch(&self, cell: u16, limits: &Limits) -> <Self::Store as Store>::Batch;

    /// Most records that are stored at once.
    fn records_max(&self, limits: &Limits) -> u64;

    /// Opens the store, makes it ready to be written to, and says where it stands.
    ///
    /// # Errors
    /// What the store says.
    fn open(
        &self,
        cell: u16,
        journal: JournalId,
    ) -> impl Future<Output = Result<(Self::Store, Mark), SinkError>>;
}
