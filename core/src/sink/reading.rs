//! Reading the copy: orders that have left the ledger, and what operators ask for. Never writes.

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Column as _, ColumnIndex, ConnectOptions as _, Row as _, ValueRef as _};

use crate::storage::{DatabaseFile, FileIdentity};
use crate::time::Timestamp;

use super::error::{SinkError, Trouble};
use super::sqlite::options;

mod orders;
mod payments;
mod timeline;

pub use orders::{FoundOrders, OrderSearch, StoredOrder};
pub use payments::{StoredNotice, StoredPayment};
pub use timeline::{Timeline, TimelineEvent};

/// A connection that reads orders and payments.
#[derive(Debug)]
pub struct Reading {
    connection: SqliteConnection,
    file: DatabaseFile,
    identity: Option<FileIdentity>,
}

impl Reading {
    /// Opens the database at `file`, which must be there.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open(file: DatabaseFile) -> Result<Self, SinkError> {
        let identity = file.identity()?;
        let connection = options(&file).read_only(true).connect().await?;
        Ok(Self { connection, file, identity })
    }

    /// Whether the file was deleted or replaced since it was opened.
    ///
    /// # Errors
    /// The directory cannot be searched.
    pub fn is_replaced(&self) -> Result<bool, SinkError> {
        Ok(self.file.identity()? != self.identity)
    }
}

/// Any page's size as the database takes it.
fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Whether there is nothing in a column.
fn is_null(row: &SqliteRow, column: &'static str) -> Result<bool, SinkError> {
    Ok(row.try_get_raw(column)?.is_null())
}

fn number(row: &SqliteRow, column: &'static str) -> Result<i64, SinkError> {
    Ok(row.try_get(column)?)
}

/// A number, turned into what it stands for.
fn ranged<T>(
    row: &SqliteRow,
    column: &'static str,
    check: impl FnOnce(u64) -> Option<T>,
) -> Result<T, SinkError> {
    let number = u64::try_from(number(row, column)?).ok();
    number.and_then(check).ok_or_else(|| out_of_range(row, column))
}

/// A text, turned into what it stands for.
fn read<T>(
    row: &SqliteRow,
    column: &'static str,
    check: impl FnOnce(&str) -> Option<T>,
) -> Result<T, SinkError> {
    check(row.try_get(column)?).ok_or_else(|| out_of_range(row, column))
}

fn time(row: &SqliteRow, column: &'static str) -> Result<Timestamp, SinkError> {
    ranged(row, column, |micros| Some(Timestamp::from_micros(micros)))
}

fn text(row: &SqliteRow, column: &'static str) -> Result<Box<str>, SinkError> {
    Ok(row.try_get::<String, _>(column)?.into_boxed_str())
}

/// What `read` makes of a column, if anything is in it.
fn optional<T>(
    row: &SqliteRow,
    column: &'static str,
    read: impl FnOnce(&SqliteRow, &'static str) -> Result<T, SinkError>,
) -> Result<Option<T>, SinkError> {
    if is_null(row, column)? { Ok(None) } else { read(row, column).map(Some) }
}

fn out_of_range(row: &SqliteRow, column: &'static str) -> SinkError {
    let order: String = row.try_get("order_id").unwrap_or_default();
    let column = column.index(row).map_or(column, |place| row.column(place).name());
    SinkError::new(Trouble::Damaged, format!("order {order}: {column} is out of its range"))
}
