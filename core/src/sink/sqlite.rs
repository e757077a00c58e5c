//! The store on SQLite: one connection, held for life, that alone writes.
//!
//! **What is synced when.** The database keeps its changes in a log (WAL) that is synced only when
//! it is worked into the file. A power cut may therefore take back the last transactions, each of
//! them whole, watermark and all: the sink then finds the older watermark and stores them again.
//! Whoever retires orders or trims the journal must not go by a watermark that can fall: they are
//! told what [`SqliteStore::sync`] has synced. So a commit costs no sync, and the journal's own syncs are
//! left alone.
//!
//! **Files under the connection.** A database may be deleted or replaced while it is open; SQLite
//! would go on with the file that no longer has a name. [`SqliteStore::is_replaced`] tells. And a copy
//! may be put beside the log of a newer file, which SQLite would work into it, page by page, to
//! something that never was: [`SqliteStore::open`] removes such a log, by the note that
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

use crate::event::SinkName;
use crate::id::JournalId;
use crate::limits::Limits;
use crate::storage::{DatabaseFile, FileIdentity};
use crate::time::Timestamp;

use super::batch::Batch;
use super::error::{SinkError, Trouble};
use super::schema::{BEGIN, Dialect, pending};
use super::sql::{MARK, MIGRATED, advance, on_conflict};
use super::store::{Gathered as _, Mark, Store, Stored, Target};
use super::table::{Table, Value};

mod changes;

/// How long SQLite itself waits for a lock. Whoever waits longer comes again after a while.
const BUSY_PATIENCE: Duration = Duration::from_millis(250);

/// Pages kept in memory, in KiB (the minus says so): the upper part of the trees.
const CACHE_KIB: &str = "-32768";

/// Rows of one statement. A statement is compiled once for each, and cached by the connection.
const CHUNKS: [usize; 4] = [256, 32, 4, 1];

/// A database in a file, open or not.
#[derive(Clone, Debug)]
pub(super) struct SqliteTarget(pub(super) DatabaseFile);

/// The open store.
#[derive(Debug)]
pub(super) struct SqliteStore {
    connection: SqliteConnection,
    file: DatabaseFile,
    identity: FileIdentity,
    cell: u16,
    journal: String,
    statements: BTreeMap<StatementName, Arc<str>>,
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
    let query = sqlx::query(AssertSqlSafe(format!("{MARK}?"))).bind(i64::from(cell));
    let row = query.fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(Mark::NONE) };
    Ok(Mark {
        sequence: row.try_get::<i64, _>(0)?.max(0) as u64,
        time: Timestamp::from_micros(row.try_get::<i64, _>(1)?.max(0) as u64),
        journal: Some(row.try_get(2)?),
    })
}

impl SqliteStore {
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

    /// Inserts all rows of a batch.
    async fn insert(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let mut parts = Vec::new();
        for rows in batch.tables() {
            self.part(rows.table, &rows.values, &mut parts);
        }
        self.run(parts).await
    }

    /// Runs statements. While the database works on one, the values of the next are made ready.
    async fn run(&mut self, parts: Vec<Part<'_>>) -> Result<(), SinkError> {
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
    fn part<'b>(&mut self, table: &'static Table, rows: &'b [Value], parts: &mut Vec<Part<'b>>) {
        let width = table.columns.len();
        let mut values = rows;
        for chunk in CHUNKS {
            while values.len() >= chunk * width {
                let (now, rest) = values.split_at(chunk * width);
                values = rest;
                let spell = || insertion(table, chunk);
                parts.push((self.statement((table.name, "insert", chunk), spell), now));
            }
        }
    }

    /// A statement of so many rows, spelled once.
    fn statement(&mut self, name: StatementName, spell: impl FnOnce() -> String) -> Arc<str> {
        Arc::clone(self.statements.entry(name).or_insert_with(|| spell().into()))
    }
}

impl Target for SqliteTarget {
    type Store = SqliteStore;

    const NAME: SinkName = SinkName::Sql;

    // A file answers, or a lock is in the way, for which SQLite has a patience of its own.
    const PATIENCE: Duration = Duration::MAX;

    fn batch(&self, cell: u16, limits: &Limits) -> Batch {
        Batch::new(cell, limits.sink_names_max)
    }

    fn records_max(&self, limits: &Limits) -> u64 {
        limits.sink_batch_records_max as u64
    }

    async fn open(&self, cell: u16, journal: JournalId) -> Result<(SqliteStore, Mark), SinkError> {
        SqliteStore::open(self.0.clone(), cell, journal).await
    }
}

impl Store for SqliteStore {
    type Batch = Batch;

    async fn is_replaced(&mut self, stored: u64) -> Result<bool, SinkError> {
        if self.file.identity()? != Some(self.identity) {
            return Ok(true);
        }
        Ok(mark(&mut self.connection, self.cell).await?.sequence != stored)
    }

    async fn store(&mut self, batch: &Batch) -> Result<Stored, SinkError> {
        if self.file.identity()? != Some(self.identity) {
            return Ok(Stored::Elsewhere);
        }
        // Takes the lock for writing at once, so that what is read now is what is written upon.
        self.connection.execute("BEGIN IMMEDIATE").await?;
        if mark(&mut self.connection, self.cell).await?.sequence != batch.extent().after {
            self.connection.execute("ROLLBACK").await?;
            return Ok(Stored::Elsewhere);
        }
        self.insert(batch).await?;
        self.change(batch).await?;
        sqlx::query(AssertSqlSafe(advance(["?"; 4])))
            .bind(i64::from(self.cell))
            .bind(batch.extent().through as i64)
            .bind(batch.extent().last_time.micros() as i64)
            .bind(self.journal.as_str())
            .execute(&mut self.connection)
            .await?;
        self.connection.execute("COMMIT").await?;
        Ok(Stored::Whole)
    }

    async fn sync(&mut self, sequence: u64, at_rest: bool) -> Result<bool, SinkError> {
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

    async fn close(self) -> Result<(), SinkError> {
        Ok(self.connection.close().await?)
    }
}

/// A table, what is done to it, and to how many rows.
type StatementName = (&'static str, &'static str, usize);

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
    let row = connection.fetch_one(MIGRATED).await?;
    for (number, migration) in pending(row.try_get(0)?, row.try_get(1)?)? {
        connection.execute(AssertSqlSafe(Dialect::Sqlite.spell(migration))).await?;
        let record = sqlx::query("INSERT INTO migrations (number) VALUES (?)").bind(number);
        record.execute(&mut *connection).await?;
    }
    Ok(())
}

/// A statement that inserts so many rows into a table.
fn insertion(table: &Table, rows: usize) -> String {
    let columns = table.columns.join(", ");
    let values = placeholders(table.columns.len(), rows);
    let conflict = on_conflict(table);
    format!("INSERT INTO {} ({columns}) VALUES {values}{conflict}", table.name)
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
