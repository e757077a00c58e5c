//! What stops the process: errors of the journal, sorted by nothing, for all of them are final.
//!
//! They can be cloned, because a poisoned writer repeats its first error for ever (I12).

use std::io::{self, ErrorKind};
use std::sync::Arc;

/// A name and a place, for the operator: which segment, which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the segment, as in its file name.
    pub segment: u64,
    /// Byte in the segment's file.
    pub offset: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, offset {}", super::segment::name(self.segment), self.offset)
    }
}

/// Which call to the disk failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskCall {
    /// Listing the directory.
    List,
    /// Creating a file.
    Create,
    /// Opening a file.
    Open,
    /// Reading.
    Read,
    /// Reserving blocks.
    Allocate,
    /// Writing.
    Write,
    /// Making a file durable.
    Sync,
    /// Giving a file its name.
    Rename,
    /// Removing a file.
    Remove,
    /// Making names durable.
    SyncDirectory,
}

impl std::fmt::Display for DiskCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::List => "listing the directory",
            Self::Create => "creating",
            Self::Open => "opening",
            Self::Read => "reading",
            Self::Allocate => "allocating",
            Self::Write => "writing",
            Self::Sync => "syncing",
            Self::Rename => "renaming",
            Self::Remove => "removing",
            Self::SyncDirectory => "syncing the directory of",
        })
    }
}

/// The journal cannot go on, and neither can the process. Nothing is retried.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fatal {
    /// The disk refused. Whether what was staged is stored, only the next start will tell.
    #[error("{call} {place}: {source}")]
    Disk {
        /// What was tried.
        call: DiskCall,
        /// Where.
        place: Place,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// What the disk holds is not what was written there.
    #[error("damaged journal: {place}, sequence {sequence}: {what}")]
    Corrupt {
        /// Where the first wrong byte or frame stands.
        place: Place,
        /// The sequence that was expected there.
        sequence: u64,
        /// What is wrong.
        what: String,
    },
    /// A record is intact, but whoever reads it cannot use it.
    #[error("record {sequence} ({place}): {what}")]
    Record {
        /// The frame that holds it.
        place: Place,
        /// Its sequence.
        sequence: u64,
        /// What the visitor said.
        what: String,
    },
    /// The journal thread is gone.
    #[error("the journal thread has ended")]
    Closed,
}

impl Fatal {
    /// What the process exits with: 65 for a damaged journal, 74 for a disk that failed.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Corrupt { .. } | Self::Record { .. } => 65,
            Self::Disk { .. } | Self::Closed => 74,
        }
    }

    /// Whether the disk refused because it is full.
    pub(super) fn is_no_space(&self) -> bool {
        let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded];
        matches!(self, Self::Disk { source, .. } if full.contains(&source.kind()))
    }

    pub(super) fn disk(
        call: DiskCall,
        segment: u64,
        offset: u64,
    ) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk {
            call,
            place: Place { segment, offset },
            source: Arc::new(source),
        }
    }
}

impl PartialEq for Fatal {
    /// Same variant, same place, same system error: a poisoned writer says the same thing again.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Disk { call, place, source },
                Self::Disk { call: call_2, place: place_2, source: source_2 },
            ) => call == call_2 && place == place_2 && source.kind() == source_2.kind(),
            (
                Self::Corrupt { place, sequence, what },
                Self::Corrupt { place: place_2, sequence: sequence_2, what: what_2 },
            )
            | (
                Self::Record { place, sequence, what },
                Self::Record { place: place_2, sequence: sequence_2, what: what_2 },
            ) => place == place_2 && sequence == sequence_2 && what == what_2,
            (Self::Closed, Self::Closed) => true,
            _ => false,
        }
    }
}

/// Why a visitor cannot use a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct RecordError {
    /// What is wrong with it.
    pub what: String,
}

impl RecordError {
    /// From anything that can be said.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::{DiskCall, Fatal, Place};

    #[test]
    fn names_the_place_and_the_exit_code() {
        let place = Place { segment: 18, offset: 512 };
        let corrupt = Fatal::Corrupt { place, sequence: 7, what: "checksum".into() };
        assert_eq!(
            corrupt.to_string(),
            "damaged journal: 0000000000000012.segment, offset 512, sequence 7: checksum"
        );
        assert_eq!(corrupt.exit_code(), 65);
        let disk = Fatal::disk(DiskCall::Sync, 1, 512)(std::io::Error::other("pulled"));
        assert_eq!(disk.to_string(), "syncing 0000000000000001.segment, offset 512: pulled");
        assert_eq!(disk.exit_code(), 74);
        assert_eq!(disk, disk.clone());
        assert_ne!(disk, corrupt);
    }
}
