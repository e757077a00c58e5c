//! Rows inserted by themselves, as fast as a store takes them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use sluice_core::sink::table::{Table, Value};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sqlx::{Arguments as _, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

/// Rows of one statement.
const STATEMENT_ROWS: usize = 256;

/// Tables with their rows.
pub type Rows = Vec<(&'static Table, Vec<Vec<Value>>)>;

/// The share of one of so many transactions.
fn share(rows: &[Vec<Value>], transaction: u64, transactions: u64) -> &[Vec<Value>] {
    let place = |number: u64| (rows.len() as u64 * number / transactions) as usize;
    &rows[place(transaction)..place(transaction + 1)]
}

/// The time.
#[expect(clippy::disallowed_methods, reason = "a benchmark judges time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Into a SQLite database that has the tables, in so many transactions.
///
/// # Errors
/// What the database says.
pub async fn into_file(path: &Path, rows: &Rows, transactions: u64) -> Result<Duration> {
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .pragma("cache_size", "-32768")
        .disable_statement_logging()
        .connect()
        .await?;
    let begun = now();
    for transaction in 0..transactions {
        connection.execute("BEGIN IMMEDIATE").await?;
        for (table, rows) in rows {
            insert(&mut connection, table, share(rows, transaction, transactions)).await?;
        }
        connection.execute("COMMIT").await?;
    }
    let took = begun.elapsed();
    connection.close().await?;
    Ok(took)
}

async fn insert(
    connection: &mut SqliteConnection,
    table: &Table,
    rows: &[Vec<Value>],
) -> Result<()> {
    for rows in rows.chunks(STATEMENT_ROWS) {
        let row = format!("({})", vec!["?"; table.columns.len()].join(","));
        let values = vec![row.as_str(); rows.len()].join(",");
        let statement = format!("INSERT INTO {} VALUES {values}", table.name);
        let mut arguments = SqliteArguments::default();
        arguments.reserve(rows.len() * table.columns.len(), 0);
        for value in rows.iter().flatten() {
            arguments.add(value.clone()).map_err(sqlx::Error::Encode)?;
        }
        let query = sqlx::query_with(AssertSqlSafe(statement), arguments);
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Into a PostgreSQL database that has the tables, in so many transactions.
///
/// # Errors
/// What the database says.
pub async fn into_server(url: &str, rows: &Rows, transactions: u64) -> Result<Duration> {
    let options: PgConnectOptions = url.parse()?;
    let mut connection = options.disable_statement_logging().connect().await?;
    let begun = now();
    for transaction in 0..transactions {
        connection.execute("BEGIN").await?;
        for (table, rows) in rows {
            copy(&mut connection, table, share(rows, transaction, transactions)).await?;
        }
        connection.execute("COMMIT").await?;
    }
    let took = begun.elapsed();
    connection.close().await?;
    Ok(took)
}

/// COPY in its binary form: <https://www.postgresql.org/docs/current/sql-copy.html>.
async fn copy(connection: &mut PgConnection, table: &Table, rows: &[Vec<Value>]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for row in rows {
        bytes.extend((row.len() as i16).to_be_bytes());
        for value in row {
            match value {
                Value::Null => bytes.extend((-1_i32).to_be_bytes()),
                Value::Integer(number) => {
                    bytes.extend(8_i32.to_be_bytes());
                    bytes.extend(number.to_be_bytes());
                }
                Value::Text(text) => {
                    bytes.extend((text.len() as i32).to_be_bytes());
                    bytes.extend(text.as_bytes());
                }
            }
        }
    }
    bytes.extend((-1_i16).to_be_bytes());
    let statement = format!("COPY {} FROM STDIN WITH (FORMAT binary)", table.name);
    let mut copy = connection.copy_in_raw(&statement).await?;
    copy.send(bytes).await?;
    copy.finish().await?;
    Ok(())
}
