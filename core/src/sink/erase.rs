//! What a copy holds, and taking all of a cell out of it, beside a sink that may be filling it.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use crate::storage::DatabaseFile;
use crate::time::Timestamp;

use super::connection::Connection;
use super::database::{Database, PostgresAddress};
use super::error::SinkError;
use super::table::{TABLES, Table};
use super::{postgres, sqlite};

/// How long a question may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long others' transactions are waited for: the sink's are short.
const BUSY_PATIENCE: Duration = Duration::from_secs(10);

/// How a connection to a server is set up.
const ERASING: &str = "SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s'";

/// What a copy of a cell holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The last sequence that is stored.
    pub sequence: u64,
    /// When that record was decided.
    pub time: Timestamp,
    /// Whose journal it is a copy of.
    pub journal: String,
}

/// What a database holds of a cell; `None` if it holds nothing, or there is no such file.
///
/// # Errors
/// The database cannot be read, or has another schema.
pub async fn stored(database: &Database, cell: u16) -> Result<Option<Copied>, SinkError> {
    if let Database::Sqlite(file) = database
        && file.identity()?.is_none()
    {
        return Ok(None);
    }
    let mut connection = Connection::open(database, PATIENCE).await?;
    let mark = match connection.has_tables().await? {
        true => Some(connection.mark(cell).await?),
        false => None,
    };
    connection.close().await?;
    let copied = |mark: super::store::Mark| {
        let (sequence, time) = (mark.sequence, mark.time);
        mark.journal.map(|journal| Copied { sequence, time, journal })
    };
    Ok(mark.and_then(copied))
}

/// Takes all rows of a cell out of a database, in one transaction, so that a sink that fills it
/// begins anew. Gives how many there were, rows that no watermark speaks of included.
///
/// # Errors
/// What the database says.
pub async fn erase(database: &Database, cell: u16) -> Result<u64, SinkError> {
    if let Database::Sqlite(file) = database
        && file.identity()?.is_none()
    {
        return Ok(0);
    }
    let mut connection = Connection::open(database, PATIENCE).await?;
    let has_tables = connection.has_tables().await?;
    connection.close().await?;
    match database {
        _ if !has_tables => Ok(0),
        Database::Sqlite(file) => erase_file(file, cell).await,
        Database::Postgres(address) => erase_server(address, cell).await,
    }
}

async fn erase_file(file: &DatabaseFile, cell: u16) -> Result<u64, SinkError> {
    let mut connection = sqlite::options(file).busy_timeout(BUSY_PATIENCE).connect().await?;
    // From now on the file may hold less than it did.
    file.note(0)?;
    connection.execute("BEGIN IMMEDIATE").await?;
    let mut rows = 0;
    for table in TABLES {
        rows += delete(&mut connection, table, cell).await?;
    }
    connection.execute("COMMIT").await?;
    connection.close().await?;
    Ok(rows)
}

async fn erase_server(address: &PostgresAddress, cell: u16) -> Result<u64, SinkError> {
    let mut connection = postgres::connect(address, ERASING).await?;
    postgres::begin(&mut connection, cell).await?;
    let mut rows = 0;
    for table in TABLES {
        rows += delete_there(&mut connection, table, cell).await?;
    }
    connection.execute("COMMIT").await?;
    connection.close().await?;
    Ok(rows)
}

async fn delete(
    connection: &mut SqliteConnection,
    table: &Table,
    cell: u16,
) -> Result<u64, SinkError> {
    let delete = AssertSqlSafe(statement(table, cell));
    Ok(connection.execute(delete).await?.rows_affected())
}

async fn delete_there(
    connection: &mut PgConnection,
    table: &Table,
    cell: u16,
) -> Result<u64, SinkError> {
    let delete = AssertSqlSafe(statement(table, cell));
    Ok(connection.execute(delete).await?.rows_affected())
}

fn statement(table: &Table, cell: u16) -> String {
    format!("DELETE FROM {} WHERE cell = {cell}", table.name)
}
