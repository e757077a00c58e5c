//! Migrations on a server that others may be migrating at the same time.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use super::super::error::SinkError;
use super::super::schema::{BEGIN, Dialect, pending};
use super::super::sql::MIGRATED;
use super::{LOCKS, MIGRATING, answered, judge_encoding};

/// How the connection is set up meanwhile. An index over millions of rows takes its time.
pub(super) const SETUP: &str = "SET lock_timeout = '5s'; SET statement_timeout = 0";

/// Runs the migrations that the database lacks.
///
/// A database that has them all is only read: whoever runs the server need not own the tables.
pub(super) async fn migrate(connection: &mut PgConnection) -> Result<(), SinkError> {
    if answered(is_complete(connection)).await? {
        return Ok(());
    }
    // Two that create the same table at the same time would get in each other's way.
    let lock = format!("SELECT pg_advisory_lock({LOCKS}, {MIGRATING})");
    connection.execute(AssertSqlSafe(lock)).await?;
    connection.execute(BEGIN).await?;
    for (number, migration) in lacking(connection).await? {
        let migration = Dialect::Postgres.spell(migration);
        let both = format!("BEGIN; {migration}; INSERT INTO migrations VALUES ({number}); COMMIT");
        connection.execute(AssertSqlSafe(both)).await?;
    }
    let unlock = format!("SELECT pg_advisory_unlock({LOCKS}, {MIGRATING})");
    connection.execute(AssertSqlSafe(unlock)).await?;
    Ok(())
}

/// Whether the database has all migrations; an error if its texts cannot hold ours.
async fn is_complete(connection: &mut PgConnection) -> Result<bool, SinkError> {
    let row = connection
        .fetch_one("SELECT current_setting('server_encoding'), to_regclass('migrations') IS NULL")
        .await?;
    judge_encoding(row.try_get(0)?)?;
    let is_new: bool = row.try_get(1)?;
    Ok(!is_new && lacking(connection).await?.is_empty())
}

async fn lacking(connection: &mut PgConnection) -> Result<Vec<(i64, &'static str)>, SinkError> {
    let row = connection.fetch_one(MIGRATED).await?;
    Ok(pending(row.try_get(0)?, row.try_get(1)?)?.collect())
}
