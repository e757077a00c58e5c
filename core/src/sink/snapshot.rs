//! The copy as it was at one moment, for the audit. Never writes.

use std::time::Duration;

use crate::event::SinkName;

use super::connection::{Connection, Row};
use super::database::Database;
use super::error::{SinkError, Trouble};
use super::table::{Table, Value};

/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// The copy as it was at one moment.
#[derive(Debug)]
pub struct Snapshot {
    connection: Connection,
    cell: u16,
    sequence: u64,
    journal: Option<String>,
}

impl Snapshot {
    /// Takes one of the rows of `cell`. Holds nobody up; while it is there a file's log grows, and a
    /// server keeps what is out of date.
    ///
    /// # Errors
    /// There are no tables of a copy, or another program's, or what the database says.
    pub async fn take(database: &Database, cell: u16) -> Result<Self, SinkError> {
        let mut connection = Connection::open(database, PATIENCE).await?;
        if !connection.has_tables().await? {
            let what = "the database holds no copy: no sink has been connected to it yet";
            return Err(SinkError::new(Trouble::Unusable, what));
        }
        connection.hold_still().await?;
        // The first read is what fixes the moment.
        let mark = connection.mark(cell).await?;
        let (sequence, journal) = (mark.sequence, mark.journal);
        Ok(Self { connection, cell, sequence, journal })
    }

    /// The last sequence that is stored; 0 if none is.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Which sink's copy it is.
    pub const fn sink(&self) -> SinkName {
        SinkName::Sql
    }

    /// Whose journal it is a copy of; `None` if nothing is stored.
    pub fn journal(&self) -> Option<&str> {
        self.journal.as_deref()
    }

    /// The next rows of a table in the order of their keys: behind the key `after` and, if given,
    /// with a first column of the key, `cell` not counted, less than `below`. At most `limit`, in
    /// the order of the table's columns.
    ///
    /// # Errors
    /// What the database says.
    pub async fn page(
        &mut self,
        table: &'static Table,
        after: &[Value],
        below: Option<&Value>,
        limit: usize,
    ) -> Result<Vec<Vec<Value>>, SinkError> {
        let key = table.columns[1..table.key].join(", ");
        let mut statement = format!("SELECT {} FROM {}", table.columns.join(", "), table.name);
        statement.push_str(" WHERE cell = ?");
        if !after.is_empty() {
            let places = vec!["?"; after.len()].join(", ");
            statement.push_str(&format!(" AND ({key}) > ({places})"));
        }
        if below.is_some() {
            statement.push_str(&format!(" AND {} < ?", table.columns[1]));
        }
        statement.push_str(&format!(" ORDER BY cell, {key} LIMIT ?"));
        let mut values = vec![Value::number(self.cell)];
        values.extend(after.iter().chain(below).cloned());
        values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
        let rows = self.connection.query(&statement, values).await?;
        Ok(rows.into_iter().map(Row::into_values).collect())
    }

    /// Gives it up.
    ///
    /// # Errors
    /// What the database says.
    pub async fn end(self) -> Result<(), SinkError> {
        self.connection.close().await
    }
}
