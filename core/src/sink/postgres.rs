//! The store on PostgreSQL: one connection, held for life.
//!
//! **Who may write.** Every transaction takes the cell's lock first, then reads the watermark under
//! a lock of its row, and goes on only if the store ends where the batch begins. So two that write
//! the same cell, whoever they are, never mix: one of them finds the store elsewhere. The lock is
//! an advisory one, because a row that is not there yet cannot be locked.
//!
//! **What is synced.** A commit is on the server's disk when it is answered; if the server is set
//! to answer sooner, this connection is not. So what is stored is synced.
//!
//! **How it ends.** A transaction is seen through or the connection is dropped, with which the
//! server rolls back; so nothing is ever begun on a connection that has failed. A server that
//! cannot reach this side any more gives up by itself after a while, so that its locks do not stay.

use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use tokio::time::timeout;

use crate::event::SinkName;
use crate::id::JournalId;
use crate::limits::Limits;
use crate::time::Timestamp;

use super::batch::Batch;
use super::database::PostgresAddress;
use super::error::{SinkError, Trouble};
use super::sql::changes::{CHANGES, replacements};
use super::sql::{MARK, advance};
use super::store::{Gathered as _, Mark, Store, Stored, Target};
use super::table::Value;

mod arrays;
mod copying;
mod migrating;

/// How long a server may take to let somebody in.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// The first number of every advisory lock that is taken here; the second is the cell's, or one
/// that no cell has.
const LOCKS: i32 = 0x51_1CE;

/// What the lock for migrations has in the place of a cell.
const MIGRATING: i32 = -1;

/// How the connection that stores is set up. A statement that waits for a lock, or takes too long,
/// ends before this side loses its patience and leaves the transaction open. Rows are found by
/// their keys alone: statistics of a table that grows must not talk the server into reading it all.
const STORING: &str = "SET lock_timeout = '2s'; SET statement_timeout = '20s'; \
     SET idle_in_transaction_session_timeout = '30s'; SET tcp_keepalives_idle = 30; \
     SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
     SELECT set_config('synchronous_commit', 'on', false) \
     WHERE current_setting('synchronous_commit') = 'off'";

/// A database on a server, open or not.
#[derive(Clone, Debug)]
pub(super) struct PostgresTarget(pub(super) PostgresAddress);

/// The open store.
#[derive(Debug)]
pub(super) struct PostgresStore {
    connection: PgConnection,
    cell: u16,
    journal: String,
}

/// Lets a connection read and no more, and nothing that takes longer than `patience`.
pub(super) fn read_only(patience: Duration) -> String {
    let most = patience.as_millis();
    format!("SET default_transaction_read_only = on; SET statement_timeout = {most}")
}

/// Opens a connection, and says how it is to be.
pub(super) async fn connect(
    address: &PostgresAddress,
    setup: &str,
) -> Result<PgConnection, SinkError> {
    let connecting = async {
        let mut connection = address.options().connect().await?;
        // That something is there already is no news.
        let setup = format!("SET client_min_messages = warning; {setup}");
        connection.execute(AssertSqlSafe(setup)).await?;
        Ok(connection)
    };
    let unanswered = |_| Err(SinkError::unanswered(CONNECT_PATIENCE));
    let connected: Result<_, SinkError> =
        timeout(CONNECT_PATIENCE, connecting).await.unwrap_or_else(unanswered);
    connected.map_err(|error| SinkError { what: format!("{address}: {}", error.what), ..error })
}

/// What a server answers to a question that needs no work, if it does in time.
async fn answered<A>(answer: impl Future<Output = Result<A, SinkError>>) -> Result<A, SinkError> {
    let patience = PostgresTarget::PATIENCE;
    timeout(patience, answer).await.unwrap_or_else(|_| Err(SinkError::unanswered(patience)))
}

/// Where the store of `cell` stands. The row is kept from others if the statement's `end` says so.
async fn mark(connection: &mut PgConnection, cell: u16, end: &str) -> Result<Mark, SinkError> {
    let query = sqlx::query(AssertSqlSafe(format!("{MARK}$1{end}"))).bind(i64::from(cell));
    let Some(row) = query.fetch_optional(connection).await? else { return Ok(Mark::NONE) };
    Ok(Mark {
        sequence: row.try_get::<i64, _>(0)?.max(0) as u64,
        time: Timestamp::from_micros(row.try_get::<i64, _>(1)?.max(0) as u64),
        journal: Some(row.try_get(2)?),
    })
}

/// Begins a transaction that alone writes the rows of `cell`, and says where they end.
pub(super) async fn begin(connection: &mut PgConnection, cell: u16) -> Result<Mark, SinkError> {
    let begin = format!("BEGIN; SELECT pg_advisory_xact_lock({LOCKS}, {cell})");
    connection.execute(AssertSqlSafe(begin)).await?;
    // A statement of its own, so that it sees what the one before waited for.
    mark(connection, cell, " FOR UPDATE").await
}

impl PostgresStore {
    /// Opens the database, creates or completes its tables, and says where it stands.
    pub(super) async fn open(
        address: &PostgresAddress,
        cell: u16,
        journal: JournalId,
    ) -> Result<(Self, Mark), SinkError> {
        let mut connection = connect(address, migrating::SETUP).await?;
        migrating::migrate(&mut connection).await?;
        let mark = answered(async {
            connection.execute(STORING).await?;
            mark(&mut connection, cell, "").await
        });
        let mark = mark.await?;
        Ok((Self { connection, cell, journal: journal.to_string() }, mark))
    }

    /// Inserts all rows of a batch.
    async fn insert(&mut self, batch: &Batch) -> Result<(), SinkError> {
        for rows in batch.tables() {
            copying::insert(&mut self.connection, rows.table, &rows.values).await?;
        }
        Ok(())
    }

    /// Changes what a batch changes.
    async fn change(&mut self, batch: &Batch) -> Result<(), SinkError> {
        for replacement in replacements(batch) {
            let (table, keys) = (replacement.table, &replacement.keys);
            if !keys.is_empty() {
                let (name, key) = (table.name, table.columns[1]);
                let delete = format!("DELETE FROM {name} WHERE cell = $1 AND {key} = ANY($2)");
                let mut arguments = arrays::arguments(&[], &[])?;
                arrays::add(&mut arguments, &Value::number(self.cell))?;
                arrays::add_column(&mut arguments, key, keys.iter())?;
                self.execute(delete, arguments).await?;
            }
            copying::insert(&mut self.connection, table, &replacement.rows).await?;
        }
        for change in &CHANGES {
            let values = (change.values)(batch);
            let rows = (values.len() / change.columns.len()) as u64;
            if rows > 0 {
                let from = format!("{} AS change ({})", arrays::unnest(change.columns), {
                    let names = (1..=change.columns.len()).map(|place| format!("column{place}"));
                    names.collect::<Vec<_>>().join(", ")
                });
                let statement = change.statement(&from, &self.cell.to_string());
                let arguments = arrays::arguments(change.columns, &values)?;
                change.judge(rows, self.execute(statement, arguments).await?)?;
            }
        }
        Ok(())
    }

    async fn execute(
        &mut self,
        statement: String,
        arguments: PgArguments,
    ) -> Result<u64, SinkError> {
        let query = sqlx::query_with(AssertSqlSafe(statement), arguments);
        Ok(query.execute(&mut self.connection).await?.rows_affected())
    }
}

impl Target for PostgresTarget {
    type Store = PostgresStore;

    const NAME: SinkName = SinkName::Sql;

    const PATIENCE: Duration = Duration::from_secs(30);

    // Connecting has a patience of its own; what else there is to wait for is an index being built.
    const PATIENCE_TO_OPEN: Duration = Duration::from_secs(3_600);

    fn batch(&self, cell: u16, limits: &Limits) -> Batch {
        Batch::new(cell, limits.sink_names_max)
    }

    fn records_max(&self, limits: &Limits) -> u64 {
        limits.sink_batch_records_max as u64
    }

    async fn open(
        &self,
        cell: u16,
        journal: JournalId,
    ) -> Result<(PostgresStore, Mark), SinkError> {
        PostgresStore::open(&self.0, cell, journal).await
    }
}

impl Store for PostgresStore {
    type Batch = Batch;

    async fn is_replaced(&mut self, stored: u64) -> Result<bool, SinkError> {
        let mark = mark(&mut self.connection, self.cell, "").await?;
        Ok(mark.sequence != stored || mark.journal.is_some_and(|journal| journal != self.journal))
    }

    async fn store(&mut self, batch: &Batch) -> Result<Stored, SinkError> {
        let mark = begin(&mut self.connection, self.cell).await?;
        let is_ours = mark.journal.is_none_or(|journal| journal == self.journal);
        if mark.sequence != batch.extent().after || !is_ours {
            self.connection.execute("ROLLBACK").await?;
            return Ok(Stored::Elsewhere);
        }
        self.insert(batch).await?;
        self.change(batch).await?;
        let mut arguments = arrays::arguments(&[], &[])?;
        for value in [
            Value::number(self.cell),
            Value::number(batch.extent().through),
            Value::number(batch.extent().last_time.micros()),
            Value::text(&self.journal),
        ] {
            arrays::add(&mut arguments, &value)?;
        }
        self.execute(advance(["$1", "$2", "$3", "$4"]), arguments).await?;
        self.connection.execute("COMMIT").await?;
        Ok(Stored::Whole)
    }

    async fn sync(&mut self, _sequence: u64, _at_rest: bool) -> Result<bool, SinkError> {
        Ok(true)
    }

    async fn close(self) -> Result<(), SinkError> {
        Ok(self.connection.close().await?)
    }
}

/// Refuses a database whose texts are of another encoding.
fn judge_encoding(encoding: &str) -> Result<(), SinkError> {
    if encoding == "UTF8" {
        return Ok(());
    }
    let what = format!("the database's encoding is {encoding}; it must be created with UTF8");
    Err(SinkError::new(Trouble::Unusable, what))
}
