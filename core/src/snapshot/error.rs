//! What goes wrong with a snapshot.

use std::io;
use std::sync::Arc;

use crate::event::FORMAT;
use crate::journal;

/// Why a snapshot could not be made or used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused. No promise rests on a snapshot: it may be tried again.
    #[error("{name}: {source}")]
    Disk {
        /// The file.
        name: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The file is not what was written.
    #[error("damaged snapshot {name}, offset {offset}: {what}")]
    Damaged {
        /// The file.
        name: String,
        /// The byte where the section begins.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// A newer program wrote it, or the journal that it was made from.
    #[error("snapshot {name}: the journal has format {format}, this program knows up to {FORMAT}")]
    Newer {
        /// The file.
        name: String,
        /// The format of the records.
        format: u32,
    },
    /// A finished segment could not be read.
    #[error(transparent)]
    Journal(#[from] journal::Fatal),
    /// What was read back is not what was written: the program contradicts itself (I5).
    #[error("I5 the snapshot up to sequence {sequence} does not give the state it was made from")]
    Digest {
        /// The last sequence that it holds.
        sequence: u64,
    },
}

impl Error {
    /// What the process exits with if it cannot go on without the snapshot: 65 for what is
    /// damaged, 70 for a contradiction, 74 for a disk that failed.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Disk { .. } => 74,
            Self::Damaged { .. } | Self::Newer { .. } => 65,
            Self::Journal(fatal) => fatal.exit_code(),
            Self::Digest { .. } => 70,
        }
    }

    pub(super) fn disk(name: &str) -> impl FnOnce(io::Error) -> Self {
        let name = name.to_owned();
        move |source| Self::Disk { name, source: Arc::new(source) }
    }
}
