//! Migrations on a server that others may be migrating at the same time.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use super::super::error::SinkError;
use super::super::schema::{BEGIN, Dialect, pending};
use super::super::sql::MIGRATED;
use super::{LOCKS, MIGRATING, judge_encoding};

/// How the connection is set up meanwhile. An index over millions of rows takes its time.
pub(super) const SETUP: &str = "SET lock_timeout = '5s'; SET statement_timeout = 0";

/// Runs the migrations that the database lacks.
///
/// A database that has them all is only read: whoever runs the server need not own the tables.
pub(super) async fn migrate(connection: &mut PgConnection) -> Result<(), SinkError> {
    let row = connection
        .fetch_one("SELECT current_setting('server_encoding'), to_regclass('migrations') IS NULL")
        .await?;
    judge_encoding(row.try_get(0)?)?;
    let is_new: bool = row.try_get(1)?;
    if !is_new && lacking(connection).await?.is_empty() {
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

async fn lacking(connection: &mut PgConnection) -> Result<Vec<(i64, &'static str)>, SinkError> {
    let row = connection.fetch_one(MIGRATED).await?;
    Ok(pending(row.try_get(0)?, row.try_get(1)?)?.collect())
}
