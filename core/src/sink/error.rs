//! What goes wrong between a sink and its store, by who must act.

use std::io;
use std::time::Duration;

use sqlx::postgres::PgDatabaseError;

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
    /// The store may drop what it holds without a word.
    Evicting,
    /// The store does not let this user in, or not do what must be done.
    Forbidden,
    /// A record cannot be read, or the store refuses its rows, or lacks some that it should have.
    Poison,
    /// The store is a copy of another journal, or of another past of this one.
    Foreign,
    /// The store belongs to a newer program; or the journal no longer holds what the store lacks.
    Unusable,
    /// All else.
    Other,
}

impl Trouble {
    /// All kinds, in the order in which they are counted.
    pub const ALL: [Self; 12] = [
        Self::Locked,
        Self::ReadOnly,
        Self::Full,
        Self::Unreachable,
        Self::Damaged,
        Self::Disk,
        Self::Evicting,
        Self::Forbidden,
        Self::Poison,
        Self::Foreign,
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
            Self::Evicting => "evicting",
            Self::Forbidden => "forbidden",
            Self::Poison => "poison",
            Self::Foreign => "foreign",
            Self::Unusable => "unusable",
            Self::Other => "other",
        }
    }

    /// Whether trying again can only end the same way, until somebody does something.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Poison | Self::Foreign | Self::Unusable)
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
    /// Of a kind, with what is to be said.
    pub fn new(trouble: Trouble, what: impl Into<String>) -> Self {
        Self { trouble, what: what.into() }
    }

    /// An answer did not come in time.
    pub(super) fn unanswered(patience: Duration) -> Self {
        Self::new(Trouble::Unreachable, format!("no answer within {} s", patience.as_secs()))
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
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => {
                match database.try_downcast_ref::<PgDatabaseError>() {
                    Some(postgres) => Self::of_postgres(postgres),
                    None => Self::of_sqlite(&error, database.code().as_deref()),
                }
            }
            // SQLite has no connections that break. The server, or the way to it, is gone.
            sqlx::Error::Io(io) => {
                Self::new(Trouble::Unreachable, format!("the connection to the database: {io}"))
            }
            sqlx::Error::Tls(tls) => {
                Self::new(Trouble::Unreachable, format!("TLS with the database: {tls}"))
            }
            _ => Self::new(Trouble::Other, error.to_string()),
        }
    }
}

impl SinkError {
    /// Result codes: <https://www.sqlite.org/rescode.html>; the primary one is in the low byte.
    fn of_sqlite(error: &sqlx::Error, code: Option<&str>) -> Self {
        let code = code.and_then(|code| code.parse::<i32>().ok());
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

    /// What a server says: its message and its code. Never its detail, which may quote a row.
    fn of_postgres(error: &PgDatabaseError) -> Self {
        let (trouble, hint) = trouble_of_state(error.code());
        Self::new(trouble, format!("{} (SQLSTATE {}){hint}", error.message(), error.code()))
    }
}

/// What a server's error means, and what more is to be said about it. States:
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn trouble_of_state(state: &str) -> (Trouble, &'static str) {
    let trouble = match state {
        "42501" => Trouble::Forbidden,
        "53100" | "53200" => Trouble::Full,
        "25006" => Trouble::ReadOnly,
        "55P03" | "40001" | "40P01" | "57014" => Trouble::Locked,
        // No such database, too many connections.
        "3D000" | "53300" => Trouble::Unreachable,
        "XX001" | "XX002" => Trouble::Damaged,
        // No table, column, schema: whoever took it away took rows with it.
        "42P01" | "42703" | "3F000" => {
            let hint = ": something of the copy was taken away, or a table of this name is somebody \
                        else's. Give Sluice a database or a schema of its own; where nobody else has \
                        anything, drop what is left, and the copy is made anew";
            return (Trouble::Unusable, hint);
        }
        _ => match state.get(..2).unwrap_or("") {
            "22" | "23" => Trouble::Poison,
            "28" => Trouble::Forbidden,
            "08" | "57" => Trouble::Unreachable,
            "58" => Trouble::Disk,
            _ => Trouble::Other,
        },
    };
    (trouble, "")
}

#[cfg(test)]
mod tests {
    use super::{Trouble, trouble_of_state};

    #[test]
    fn states_are_sorted_by_who_must_act() {
        for (state, trouble) in [
            ("23505", Trouble::Poison),
            ("22021", Trouble::Poison),
            ("28P01", Trouble::Forbidden),
            ("42501", Trouble::Forbidden),
            ("53300", Trouble::Unreachable),
            ("57P03", Trouble::Unreachable),
            ("57014", Trouble::Locked),
            ("40001", Trouble::Locked),
            ("53100", Trouble::Full),
            ("25006", Trouble::ReadOnly),
            ("XX001", Trouble::Damaged),
            ("42P01", Trouble::Unusable),
            ("58030", Trouble::Disk),
            ("0A000", Trouble::Other),
            ("", Trouble::Other),
        ] {
            assert_eq!(trouble_of_state(state).0, trouble, "{state}");
        }
    }
}
