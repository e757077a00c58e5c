//! What was done, each thing under the journal and the sequence of its event, in a database of the
//! service's own. Another journal, such as that of a new data directory, counts from 1 again.
//!
//! The effect and the note that it happened are one transaction. For an effect outside of a database
//! (a mail that really leaves) the row is the order to send it, and the sender marks it as sent.

use std::path::Path;

use anyhow::Context as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};

use crate::stream::Entry;

/// How long another consumer may hold the database.
const BUSY_PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// The database of effects.
pub(crate) struct Effects {
    connection: SqliteConnection,
}

impl Effects {
    /// Opens it, or makes it.
    pub(crate) async fn open(path: &Path) -> anyhow::Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(BUSY_PATIENCE);
        let opened = options.connect().await;
        let mut connection = opened.with_context(|| format!("cannot open {}", path.display()))?;
        for statement in [
            "CREATE TABLE IF NOT EXISTS events (
                source TEXT NOT NULL, sequence INTEGER NOT NULL, kind TEXT NOT NULL,
                order_id TEXT NOT NULL, PRIMARY KEY (source, sequence))",
            "CREATE TABLE IF NOT EXISTS mails (
                source TEXT NOT NULL, sequence INTEGER NOT NULL, order_id TEXT NOT NULL,
                subject TEXT NOT NULL, PRIMARY KEY (source, sequence))",
            "CREATE TABLE IF NOT EXISTS floor (
                source TEXT NOT NULL, of TEXT NOT NULL, sequence INTEGER NOT NULL,
                PRIMARY KEY (source, of))",
        ] {
            connection.execute(statement).await?;
        }
        Ok(Self { connection })
    }

    /// Applies events of a source (a journal and its cell) whose sequence was not applied yet. Says
    /// how many those were.
    pub(crate) async fn apply(&mut self, source: &str, entries: &[Entry]) -> anyhow::Result<u64> {
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        let mut applied = 0;
        for entry in entries {
            let note = "INSERT INTO events (source, sequence, kind, order_id) VALUES (?, ?, ?, ?) \
                        ON CONFLICT (source, sequence) DO NOTHING";
            let sequence = i64::try_from(entry.sequence)?;
            let noted = sqlx::query(note)
                .bind(source)
                .bind(sequence)
                .bind(entry.field("kind"))
                .bind(entry.field("order_id"))
                .execute(&mut *transaction)
                .await?;
            if noted.rows_affected() == 0 {
                continue;
            }
            applied += 1;
            if let Some(subject) = subject(entry) {
                // Without `OR IGNORE`: a second mail would be an error and not be kept quiet about.
                let mail = "INSERT INTO mails (source, sequence, order_id, subject) \
                            VALUES (?, ?, ?, ?)";
                sqlx::query(mail)
                    .bind(source)
                    .bind(sequence)
                    .bind(entry.field("order_id"))
                    .bind(subject)
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        transaction.commit().await?;
        Ok(applied)
    }

    /// The sequence up to which a group has applied everything, as it last noted.
    pub(crate) async fn floor(&mut self, source: &str, group: &str) -> anyhow::Result<u64> {
        let select = "SELECT sequence FROM floor WHERE source = ? AND of = ?";
        let found: Option<i64> = sqlx::query_scalar(select)
            .bind(source)
            .bind(group)
            .fetch_optional(&mut self.connection)
            .await?;
        Ok(u64::try_from(found.unwrap_or(0))?)
    }

    /// Notes it. It never falls.
    pub(crate) async fn raise_floor(
        &mut self,
        source: &str,
        group: &str,
        sequence: u64,
    ) -> anyhow::Result<()> {
        let raise = "INSERT INTO floor (source, of, sequence) VALUES (?, ?, ?) ON CONFLICT (source, of) \
                     DO UPDATE SET sequence = MAX(sequence, excluded.sequence)";
        sqlx::query(raise)
            .bind(source)
            .bind(group)
            .bind(i64::try_from(sequence)?)
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }
}

/// What the buyer is told, if this is worth a mail.
fn subject(entry: &Entry) -> Option<String> {
    let order = entry.field("order_id");
    Some(match entry.field("kind") {
        "placed" | "promoted" => format!("Order {order} is reserved for you"),
        "queued" => format!("Order {order} waits for units that come back"),
        "paid" | "paid_late" => format!("Order {order} is paid"),
        "expired" => format!("Order {order} was not paid in time"),
        "refund_requested" => {
            let (amount, currency) = (entry.field("amount"), entry.field("currency"));
            format!("{amount} {currency} of order {order} will be given back")
        }
        "shipped" => {
            let (carrier, number) = (entry.field("carrier"), entry.field("tracking_number"));
            format!("Order {order} is on its way: {carrier} {number}")
        }
        _ => return None,
    })
}
