//! Why an engine cannot go on, and what the process exits with.

use crate::{journal, snapshot};

/// The operator's business: the process ends (I12).
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fatal {
    /// The journal is damaged, newer than this program, or its disk failed.
    #[error(transparent)]
    Journal(#[from] journal::Fatal),
    /// A snapshot could not be read, or contradicts what it was made from.
    #[error(transparent)]
    Snapshot(#[from] snapshot::Error),
    /// An invariant is broken.
    #[error("broken invariant after sequence {sequence}: {what}")]
    Broken {
        /// The last sequence known to be durable.
        sequence: u64,
        /// What the assertion said.
        what: String,
    },
    /// A record is intact, but this program cannot use it.
    #[error("unreadable journal: {what}")]
    Unreadable {
        /// Which record, and why.
        what: String,
    },
    /// A sync did not come back.
    #[error("a write or sync of the journal has not come back for {seconds} s")]
    Stalled {
        /// How long it has been under way.
        seconds: u64,
    },
}

impl Fatal {
    /// 65 for a damaged journal, 70 for a broken invariant, 74 for a disk that failed or hangs.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Journal(fatal) => fatal.exit_code(),
            Self::Snapshot(error) => error.exit_code(),
            Self::Unreadable { .. } => 65,
            Self::Broken { .. } => 70,
            Self::Stalled { .. } => 74,
        }
    }
}
