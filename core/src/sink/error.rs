//! What goes wrong between a sink and its store, by who must act.

use std::io;

/// The kinds of trouble that are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Somebody else has the store locked.
    Locked,
    /// The store may not be written to.
    ReadOnly,
    /// There is no room.
    Full,
    /// The store cannot be opened.
    Unreachable,
    /// What is there is damaged, or is no database.
    Damaged,
    /// A read or write failed.
    Disk,
    /// The store does not let this user in, or not do what must be done.
    Forbidden,
    /// A record cannot be read, or the store refuses its rows, or lacks some that it should have.
    Poison,
    /// The store belongs to another journal, or to a newer program; or the journal no longer holds
    /// what the store lacks.
    Unusable,
    /// All else.
    Other,
}

impl Trouble {
    /// All kinds, in the order in which they are counted.
    pub const ALL: [Self; 10] = [
        Self::Locked,
        Self::ReadOnly,
        Self::Full,
        Self::Unreachable,
        Self::Damaged,
        Self::Disk,
        Self::Forbidden,
        Self::Poison,
        Self::Unusable,
        Self::Other,
    ];

    /// The word for it in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::ReadOnly => "read_only",
            Self::Full => "full",
            Self::Unreachable => "unreachable",
            Self::Damaged => "damaged",
            Self::Disk => "disk",
            Self::Forbidden => "forbidden",
            Self::Poison => "poison",
            Self::Unusable => "unusable",
            Self::Other => "other",
        }
    }

    /// Whether trying again can only end the same way, until somebody does something.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Poison | Self::Unusable)
    }
}

/// Trouble, and what is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct SinkError {
    /// Its kind.
    pub trouble: Trouble,
    /// What happened, and where.
    pub what: String,
}

impl SinkError {
    pub(super) fn new(trouble: Trouble, what: impl Into<String>) -> Self {
        Self { trouble, what: what.into() }
    }
}

impl From<io::Error> for SinkError {
    fn from(error: io::Error) -> Self {
        let trouble = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Trouble::Full,
            io::ErrorKind::ReadOnlyFilesystem => Trouble::ReadOnly,
            io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::NotADirectory => Trouble::Unreachable,
            _ => Trouble::Disk,
        };
        Self::new(trouble, format!("the database's file: {error}"))
    }
}

impl From<sqlx::Error> for SinkError {
    /// Result codes: <https://www.sqlite.org/rescode.html>; the primary one is in the low byte.
    fn from(error: sqlx::Error) -> Self {
        let code = match &error {
            sqlx::Error::Database(error) => error.code().and_then(|code| code.parse::<i32>().ok()),
            _ => None,
        };
        let trouble = match code.map(|code| code & 0xff) {
            Some(5 | 6) => Trouble::Locked,
            Some(8) => Trouble::ReadOnly,
            Some(13) => Trouble::Full,
            Some(14) => Trouble::Unreachable,
            Some(11 | 26) => Trouble::Damaged,
            Some(10) => Trouble::Disk,
            Some(19) => Trouble::Poison,
            _ => Trouble::Other,
        };
        Self::new(trouble, error.to_string())
    }
}
