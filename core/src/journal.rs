//! The journal: the node's write-ahead log, the only source of truth.
//!
//! Records are opaque bytes here; what they say is the ledger's business. Starts no thread, reads
//! no clock, takes no lock, draws no random number, and reaches files only through
//! [`Storage`](crate::storage::Storage).
//!
//! * [`open`] replays and repairs, and gives a [`Writer`] and a [`Preparer`].
//! * [`InlineLog`] around the writer serves one shard; [`queued`] makes a [`Committer`] for a
//!   journal thread and a [`QueuedLog`] for each of several shards.
//! * [`Reader`] and [`verify`] read beside all that.

mod batch;
mod committer;
mod durable_mark;
mod error;
mod excerpts;
mod layout;
mod log;
mod preparer;
mod reader;
mod recovery;
mod scan;
mod sealed;
mod segment;
mod space;
mod trim;
mod verdict;
mod walk;
mod writer;

pub use batch::{Batch, Records};
pub use committer::{Committer, Progress, QueuedLog, Waited, queued};
pub use durable_mark::DurableMark;
pub use error::{DiskCall, Fatal, Place, RecordError};
pub use excerpts::{Excerpts, Location};
pub use layout::Kind;
pub use log::{InlineLog, Log, Ticket};
pub use preparer::{Preparer, Preparing};
pub use reader::{Frame, Reader, Summary, verify};
pub use recovery::{JournalConfig, Opened, Recovered, open};
pub use sealed::Sealed;
pub use space::Space;
pub use trim::{Kept, Oldest, Trimmed, kept, oldest, trim_oldest};
pub use walk::{Base, TornTail, Visit};
pub use writer::{Committed, Writer};
