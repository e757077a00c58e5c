//! The store on SQLite: one connection, held for life, that alone writes.
//!
//! **What is synced when.** The database keeps its changes in a log (WAL) that is synced only when
//! it is worked into the file. A power cut may therefore take back the last transactions, each of
//! them whole, watermark and all: the sink then finds the older watermark and stores them again.
//! Whoever retires orders or trims the journal must not go by a watermark that can fall: they are
//! told what [`Store::sync`] has synced. So a commit costs no sync, and the journal's own syncs are
//! left alone.
//!
//! **Files under the connection.** A database may be deleted or replaced while it is open; SQLite
//! would go on with the file that no longer has a name. [`Store::is_replaced`] tells. And a copy
//! may be put beside the log of a newer file, which SQLite would work into it, page by page, to
//! something that never was: [`Store::open`] removes such a log, by the note that
//! [`DatabaseFile`] keeps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::sqlite::{
    Sqlite, SqliteArguments, SqliteArgumentsBuffer, SqliteConnectOptions, SqliteConnection,
    SqliteJournalMode, SqliteSynchronous, SqliteTypeInfo,
};
use sqlx::{
    Arguments as _, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row,
};

use crate::id::JournalId;
use crate::storage::{DatabaseFile, FileIdentity};
use crate::time::Timestamp;

use super::batch::{Batch, Rows};
use super::error::{SinkError, Trouble};
use super::schema::{BEGIN, Dialect, MIGRATIONS};
use super::table::{SKUS, Table, Value};

/// How long SQLite itself waits for a lock. Whoever waits longer comes again after a while.
const BUSY_PATIENCE: Duration = Duration::from_millis(250);

/// Pages kept in memory, in KiB (the minus says so): the upper part of the trees.
const CACHE_KIB: &str = "-32768";

/// Rows of one statement. A statement is compiled once for each, and cached by the connection.
const CHUNKS: [usize; 4] = [256, 32, 4, 1];

/// Where a store stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The last sequence that is stored; 0 for none.
    pub(super) sequence: u64,
    /// When that record was decided.
    pub(super) time: Timestamp,
    /// Whose journal it is; `None` if nothing was stored yet.
    pub(super) journal: Option<String>,
}

/// What came of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// It is stored.
    Whole,
    /// Nothing was stored: the store ends elsewhere than where the batch begins.
    Elsewhere,
}

/// The open store.
#[derive(Debug)]
pub(super) struct Store {
    connection: SqliteConnection,
    file: DatabaseFile,
    identity: FileIdentity,
    cell: u16,
    journal: String,
    statements: BTreeMap<(&'static str, usize), Arc<str>>,
}

/// How every connection is opened.
pub(super) fn options(file: &DatabaseFile) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file.path())
        .foreign_keys(false)
        .busy_timeout(BUSY_PATIENCE)
        .pragma("cache_size", CACHE_KIB)
        .thread_name(|_| "sqlite".to_owned())
        .disable_statement_logging()
}

/// Where the store of `cell` stands.
pub(super) async fn mark(connection: &mut SqliteConnection, cell: u16) -> Result<Mark, SinkError> {
    let row = sqlx::query("SELECT sequence, recorded_at, journal FROM watermarks WHERE cell = ?")
        .bind(i64::from(cell))
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else {
        return Ok(Mark { sequence: 0, time: Timestamp::ZERO, journal: None });
    };
    Ok(Mark {
        sequence: row.try_get::<i64, _>(0)?.max(0) as u64,
        time: Timestamp::from_micros(row.try_get::<i64, _>(1)?.max(0) as u64),
        journal: Some(row.try_get(2)?),
    })
}

impl Store {
    /// Opens the database, creates or completes its tables, and says where it stands.
    pub(super) async fn open(
        file: DatabaseFile,
        cell: u16,
        journal: JournalId,
    ) -> Result<(Self, Mark), SinkError> {
        file.create()?;
        let before = file.identity()?;
        remove_strange_log(&file, cell).await?;
        let mut connection = options(&file)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            // `sync` does it, so that it is known what is synced.
            .pragma("wal_autocheckpoint", "0")
            .connect()
            .await?;
        migrate(&mut connection).await?;
        let mark = mark(&mut connection, cell).await?;
        let identity = file.identity()?.filter(|now| before == Some(*now));
        let identity = identity.ok_or_else(|| {
            SinkError::new(Trouble::Unreachable, "the database was replaced while it was opened")
        })?;
        let (journal, statements) = (journal.to_string(), BTreeMap::new());
        let store = Self { connection, file, identity, cell, journal, statements };
        Ok((store, mark))
    }

    /// Whether the file was deleted or replaced since it was opened.
    pub(super) fn is_replaced(&self) -> Result<bool, SinkError> {
        Ok(self.file.identity()? != Some(self.identity))
    }

    /// Stores a batch and its watermark in one transaction. After an error the store must be
    /// closed: the transaction may be open still.
    pub(super) async fn store(&mut self, batch: &Batch) -> Result<Stored, SinkError> {
        // Takes the lock for writing at once, so that what is read now is what is written upon.
        self.connection.execute("BEGIN IMMEDIATE").await?;
        if mark(&mut self.connection, self.cell).await?.sequence != batch.after {
            self.connection.execute("ROLLBACK").await?;
            return Ok(Stored::Elsewhere);
        }
        self.insert(batch).await?;
        self.change_orders(batch).await?;
        self.move_units(batch).await?;
        let advance = "INSERT INTO watermarks (cell, sequence, recorded_at, journal) \
                       VALUES (?, ?, ?, ?) ON CONFLICT (cell) DO UPDATE SET \
                       sequence = excluded.sequence, recorded_at = excluded.recorded_at";
        sqlx::query(advance)
            .bind(i64::from(self.cell))
            .bind(batch.through as i64)
            .bind(batch.last_time.micros() as i64)
            .bind(self.journal.as_str())
            .execute(&mut self.connection)
            .await?;
        self.connection.execute("COMMIT").await?;
        Ok(Stored::Whole)
    }

    /// Makes durable what is stored, up to `sequence`; empties the log if the store is `at_rest`.
    /// Says whether it could: a reader may stand in the way for a while.
    pub(super) async fn sync(&mut self, sequence: u64, at_rest: bool) -> Result<bool, SinkError> {
        let checkpoint = match at_rest {
            true => "PRAGMA wal_checkpoint(TRUNCATE)",
            false => "PRAGMA wal_checkpoint(PASSIVE)",
        };
        let row = self.connection.fetch_one(checkpoint).await?;
        let (busy, log, done): (i64, i64, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let synced = busy == 0 && log == done;
        if synced {
            self.file.note(sequence)?;
        }
        Ok(synced)
    }

    /// Closes the connection. What was not committed is gone.
    pub(super) async fn close(self) -> Result<(), SinkError> {
        Ok(self.connection.close().await?)
    }

    /// Inserts all rows of a batch. While the database works on one statement, the values of the
    /// next are made ready.
    async fn insert(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let mut parts = Vec::new();
        for rows in batch.tables() {
            self.part(rows, &mut parts);
        }
        let mut parts = parts.into_iter();
        let mut ready = parts.next().map(arguments).transpose()?;
        while let Some((statement, arguments_now)) = ready {
            let query = sqlx::query_with(AssertSqlSafe(statement), arguments_now);
            let next = async { parts.next().map(arguments).transpose() };
            let (done, next) = tokio::join!(query.execute(&mut self.connection), next);
            done?;
            ready = next?;
        }
        Ok(())
    }

    /// Parts rows of one table into statements.
    fn part<'b>(&mut self, rows: &'b Rows, parts: &mut Vec<Part<'b>>) {
        let width = rows.table.columns.len();
        let mut values = rows.values.as_slice();
        for chunk in CHUNKS {
            while values.len() >= chunk * width {
                let (now, rest) = values.split_at(chunk * width);
                values = rest;
                let spell = || insertion(rows.table, chunk);
                parts.push((self.statement(rows.table.name, chunk, spell), now));
            }
        }
    }

    async fn change_orders(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let values = batch.order_changes.values().flat_map(|change| {
            [
                Value::Text(Arc::clone(&change.order)),
                Value::Text(Arc::clone(&change.status)),
                Value::number(change.version),
                Value::number(change.updated_at.micros()),
                Value::number(change.sequence),
            ]
        });
        let set = "UPDATE orders SET status = change.column2, version = change.column3, \
                   updated_at = change.column4, sequence = change.column5";
        let of = "orders.order_id = change.column1";
        self.update("orders", set, of, 5, values.collect()).await
    }

    async fn move_units(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let values = batch.moved.iter().flat_map(|((sku, lot), moved)| {
            [
                Value::text(sku.as_str()),
                Value::text(lot.as_str()),
                Value::Integer(moved.available),
                Value::Integer(moved.held),
                Value::Integer(moved.sold),
                Value::Integer(moved.withdrawn),
                Value::number(moved.sequence),
            ]
        });
        let set = "UPDATE lots SET available = available + change.column3, \
                   held = held + change.column4, sold = sold + change.column5, \
                   withdrawn = withdrawn + change.column6, sequence = change.column7";
        let of = "lots.sku = change.column1 AND lots.lot = change.column2";
        self.update("lots", set, of, 7, values.collect()).await
    }

    /// Changes rows that the store must have.
    async fn update(
        &mut self,
        table: &'static str,
        set: &str,
        of: &str,
        width: usize,
        values: Vec<Value>,
    ) -> Result<(), SinkError> {
        let cell = self.cell;
        let mut values = values.as_slice();
        for chunk in CHUNKS {
            while values.len() >= chunk * width {
                let (now, rest) = values.split_at(chunk * width);
                values = rest;
                // A number of columns that no insertion into the table has.
                let statement = self.statement(table, chunk + 1_000 * width, || {
                    let rows = placeholders(width, chunk);
                    format!(
                        "{set} FROM (VALUES {rows}) AS change WHERE {table}.cell = {cell} AND {of}"
                    )
                });
                let (statement, arguments) = arguments((statement, now))?;
                let query = sqlx::query_with(AssertSqlSafe(statement), arguments);
                let changed = query.execute(&mut self.connection).await?.rows_affected();
                if changed != chunk as u64 {
                    let what = format!(
                        "the table {table} lacks {} of {chunk} rows that earlier records made",
                        chunk as u64 - changed
                    );
                    return Err(SinkError::new(Trouble::Contradiction, what));
                }
            }
        }
        Ok(())
    }

    fn statement(
        &mut self,
        table: &'static str,
        number: usize,
        spell: impl FnOnce() -> String,
    ) -> Arc<str> {
        let statement = self.statements.entry((table, number));
        Arc::clone(statement.or_insert_with(|| spell().into()))
    }
}

/// A statement and the values of its rows.
type Part<'b> = (Arc<str>, &'b [Value]);

fn arguments((statement, values): Part<'_>) -> Result<(Arc<str>, SqliteArguments), SinkError> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        arguments.add(value.clone()).map_err(sqlx::Error::Encode)?;
    }
    Ok((statement, arguments))
}

/// Removes the log beside a file that is older than what was once known to be in the file alone.
async fn remove_strange_log(file: &DatabaseFile, cell: u16) -> Result<(), SinkError> {
    let noted = file.noted();
    if noted == 0 || !file.has_log()? {
        return Ok(());
    }
    // Reads the file without its log, and takes no lock.
    let alone = options(file).read_only(true).immutable(true).connect().await;
    let Ok(mut connection) = alone else { return Ok(()) };
    let found = mark(&mut connection, cell).await;
    connection.close().await?;
    // A file that cannot be read alone proves nothing: its log may be what completes it.
    if let Ok(mark) = found
        && mark.sequence < noted
    {
        tracing::warn!(
            "the database holds records up to {} and held them up to {noted} before: it is an older \
             copy; the log beside it is not its own and is removed",
            mark.sequence
        );
        file.remove_log()?;
    }
    Ok(())
}

/// Runs the migrations that the database lacks.
async fn migrate(connection: &mut SqliteConnection) -> Result<(), SinkError> {
    connection.execute(BEGIN).await?;
    let row = connection.fetch_one("SELECT COALESCE(MAX(number), 0) FROM migrations").await?;
    let done = row.try_get::<i64, _>(0)?;
    let known = MIGRATIONS.len() as i64;
    if done > known {
        let what = format!("the database has schema {done}, this program knows {known}");
        return Err(SinkError::new(Trouble::Unusable, what));
    }
    for (migration, number) in MIGRATIONS.iter().zip(1..).skip(done as usize) {
        connection.execute(AssertSqlSafe(Dialect::Sqlite.spell(migration))).await?;
        let record = sqlx::query("INSERT INTO migrations (number) VALUES (?)").bind(number as i64);
        record.execute(&mut *connection).await?;
    }
    Ok(())
}

/// A statement that inserts so many rows into a table. A SKU that is there takes on new terms.
fn insertion(table: &Table, rows: usize) -> String {
    let columns = table.columns.join(", ");
    let values = placeholders(table.columns.len(), rows);
    let mut statement = format!("INSERT INTO {} ({columns}) VALUES {values}", table.name);
    if table == &SKUS {
        let terms = table.columns[table.key..].iter().filter(|column| **column != "created_at");
        let terms: Vec<_> = terms.map(|column| format!("{column} = excluded.{column}")).collect();
        statement.push_str(" ON CONFLICT (cell, sku) DO UPDATE SET ");
        statement.push_str(&terms.join(", "));
    }
    statement
}

fn placeholders(width: usize, rows: usize) -> String {
    let row = format!("({})", vec!["?"; width].join(","));
    vec![row.as_str(); rows].join(",")
}

impl sqlx::Type<Sqlite> for Value {
    fn type_info() -> SqliteTypeInfo {
        <str as sqlx::Type<Sqlite>>::type_info()
    }
}

impl sqlx::Encode<'_, Sqlite> for Value {
    fn encode(self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(number) => sqlx::Encode::<Sqlite>::encode(number, buffer),
            Self::Text(text) => sqlx::Encode::<Sqlite>::encode(text, buffer),
        }
    }

    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        self.clone().encode(buffer)
    }
}
