//! The copy as it was at one moment, for the audit. Never writes.

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use sqlx::{TypeInfo as _, ValueRef as _};

use crate::event::SinkName;
use crate::storage::DatabaseFile;

use super::error::SinkError;
use super::sqlite::{mark, options};
use super::table::{Table, Value};

/// The copy as it was at one moment.
#[derive(Debug)]
pub struct Snapshot {
    connection: SqliteConnection,
    cell: i64,
    sequence: u64,
    journal: Option<String>,
}

impl Snapshot {
    /// Takes one of the rows of `cell`. Holds nobody up; while it is there the database's log grows.
    ///
    /// # Errors
    /// What the database says.
    pub async fn take(file: &DatabaseFile, cell: u16) -> Result<Self, SinkError> {
        let mut connection = options(file).read_only(true).connect().await?;
        // The first read is what fixes the moment.
        connection.execute("BEGIN").await?;
        let mark = mark(&mut connection, cell).await?;
        let (sequence, journal) = (mark.sequence, mark.journal);
        Ok(Self { connection, cell: i64::from(cell), sequence, journal })
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
        let mut query = sqlx::query(AssertSqlSafe(statement)).bind(self.cell);
        for value in after.iter().chain(below) {
            query = query.bind(value.clone());
        }
        let query = query.bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = query.fetch_all(&mut self.connection).await?;
        rows.iter().map(|row| (0..row.len()).map(|column| value(row, column)).collect()).collect()
    }

    /// Gives it up.
    ///
    /// # Errors
    /// What the database says.
    pub async fn end(self) -> Result<(), SinkError> {
        Ok(self.connection.close().await?)
    }
}

fn value(row: &SqliteRow, column: usize) -> Result<Value, SinkError> {
    let raw = row.try_get_raw(column)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    match raw.type_info().name() {
        "INTEGER" => Ok(Value::Integer(row.try_get(column)?)),
        "TEXT" => Ok(Value::text(row.try_get(column)?)),
        // Whoever wrote that, it was not this program.
        other => Ok(Value::text(&format!("a value of the type {other}"))),
    }
}
