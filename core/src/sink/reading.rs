//! Reading the copy: orders that have left the ledger, and what operators ask for. Never writes.

use std::time::Duration;

use crate::storage::FileIdentity;
use crate::time::Timestamp;

use super::connection::{Connection, Row};
use super::database::Database;
use super::error::{SinkError, Trouble};
use super::table::Value;

mod orders;
mod payments;
mod timeline;

pub use orders::{FoundOrders, OrderSearch, StoredOrder};
pub use payments::{StoredNotice, StoredPayment};
pub use timeline::{Timeline, TimelineEvent};

/// How long an answer may take. Whoever asked has gone by then.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that reads orders and payments.
#[derive(Debug)]
pub struct Reading {
    connection: Connection,
    database: Database,
    identity: Option<FileIdentity>,
}

impl Reading {
    /// Opens a database, which must be there.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open(database: Database) -> Result<Self, SinkError> {
        let identity = identity(&database)?;
        let connection = Connection::open(&database, PATIENCE).await?;
        Ok(Self { connection, database, identity })
    }

    /// Makes sure that what is stored of a cell, if anything is, is the copy of this journal.
    ///
    /// # Errors
    /// It is another's; or what the database says.
    pub async fn must_be_of(&mut self, cell: u16, journal: &str) -> Result<(), SinkError> {
        let mark = self.connection.mark(cell).await?;
        match mark.journal.filter(|other| other != journal) {
            None => Ok(()),
            Some(other) => {
                let what = format!("the store belongs to journal {other}, this one is {journal}");
                Err(SinkError::new(Trouble::Foreign, what))
            }
        }
    }

    /// Whether the file was deleted or replaced since it was opened. That a server was replaced
    /// shows by the connection, which breaks.
    ///
    /// # Errors
    /// The directory cannot be searched.
    pub fn is_replaced(&self) -> Result<bool, SinkError> {
        Ok(identity(&self.database)? != self.identity)
    }
}

fn identity(database: &Database) -> Result<Option<FileIdentity>, SinkError> {
    match database {
        Database::Sqlite(file) => Ok(file.identity()?),
        Database::Postgres(_) => Ok(None),
    }
}

/// Any page's size as the database takes it.
fn at_most(limit: usize) -> Value {
    Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX))
}

/// A number, turned into what it stands for.
fn ranged<T>(
    row: &Row,
    column: &'static str,
    check: impl FnOnce(u64) -> Option<T>,
) -> Result<T, SinkError> {
    let number = u64::try_from(row.number(column)?).ok();
    number.and_then(check).ok_or_else(|| out_of_range(row, column))
}

/// A text, turned into what it stands for.
fn read<T>(
    row: &Row,
    column: &'static str,
    check: impl FnOnce(&str) -> Option<T>,
) -> Result<T, SinkError> {
    check(row.text(column)?).ok_or_else(|| out_of_range(row, column))
}

fn time(row: &Row, column: &'static str) -> Result<Timestamp, SinkError> {
    ranged(row, column, |micros| Some(Timestamp::from_micros(micros)))
}

fn text(row: &Row, column: &'static str) -> Result<Box<str>, SinkError> {
    Ok(Box::from(row.text(column)?))
}

/// What `read` makes of a column, if anything is in it.
fn optional<T>(
    row: &Row,
    column: &'static str,
    read: impl FnOnce(&Row, &'static str) -> Result<T, SinkError>,
) -> Result<Option<T>, SinkError> {
    if row.is_null(column)? { Ok(None) } else { read(row, column).map(Some) }
}

fn out_of_range(row: &Row, column: &'static str) -> SinkError {
    let order = row.text("order_id").unwrap_or_default();
    SinkError::new(Trouble::Damaged, format!("order {order}: {column} is out of its range"))
}
