//! What a sink refuses to go on with: it stops alone and says why.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use super::super::schema::{BEGIN, Dialect, FIRST, MIGRATIONS};
use super::super::sqlite::{SqliteStore, options};
use super::super::status::SinkState;
use super::super::store::{Gathered as _, Store as _};
use super::super::{SinkStatus, Trouble};
use super::node::{JOURNAL, Node, all_rows};
use super::until;
use crate::id::JournalId;
use crate::limits::{DEFAULT, TINY};
use crate::storage::DatabaseFile;
use crate::time::Timestamp;

async fn stopped(node: &mut Node) -> Arc<SinkStatus> {
    stopped_by(node, Trouble::Unusable).await
}

/// Lets a sink go on until it stops.
async fn stopped_by(node: &mut Node, trouble: Trouble) -> Arc<SinkStatus> {
    let (sink, status) = node.sink();
    let sink = tokio::spawn(sink.run());
    until(|| status.state() == SinkState::Stopped).await;
    assert_eq!(status.troubles(trouble), 1);
    node.stop();
    sink.await.expect("no panic");
    status
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_stops_the_sink_behind_all_before_it() {
    for limits in [DEFAULT, TINY] {
        let mut node = Node::new(limits);
        node.sale();
        let before = node.last();
        node.write_bytes(&[0xff; 40]);
        node.place(1);
        let status = stopped_by(&mut node, Trouble::Poison).await;
        assert_eq!((status.watermark.get(), status.poison()), (before, Some(before + 1)));
        assert_eq!(node.watermark.get(), 0, "nobody goes by a store that is not open");
        let error = status.last_error().expect("it says why");
        assert!(error.contains(&format!("record {}", before + 1)), "{error}");
        assert!(all_rows(&node.database).await["orders"].is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_of_another_journal_is_left_alone() {
    let mut node = Node::new(DEFAULT);
    node.sale();
    let other = JournalId::from_bits(8);
    let (mut store, _) = SqliteStore::open(node.database.clone(), 1, other).await.expect("opened");
    let mut batch = super::Batch::new(1, 16);
    batch.begin(0);
    batch.pass_over(1, Timestamp::from_micros(1), 1);
    store.store(&batch).await.expect("stored");
    store.close().await.expect("closed");
    let error = stopped_by(&mut node, Trouble::Foreign).await.last_error().expect("it says why");
    assert!(error.contains(&other.to_string()) && error.contains(&JOURNAL.to_string()), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_database_ahead_of_the_journal_is_left_alone() {
    let mut node = Node::new(DEFAULT);
    let (mut store, _) =
        SqliteStore::open(node.database.clone(), 1, JOURNAL).await.expect("opened");
    let mut batch = super::Batch::new(1, 16);
    batch.begin(0);
    (1..=99).for_each(|sequence| batch.pass_over(sequence, Timestamp::from_micros(1), 1));
    store.store(&batch).await.expect("stored");
    store.close().await.expect("closed");
    let error = stopped_by(&mut node, Trouble::Foreign).await.last_error().expect("it says why");
    assert!(error.contains("99"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_database_of_another_past_is_left_alone() {
    let mut node = Node::new(DEFAULT);
    node.sale();
    let (mut store, _) =
        SqliteStore::open(node.database.clone(), 1, JOURNAL).await.expect("opened");
    let mut batch = super::Batch::new(1, 16);
    batch.begin(0);
    // As many records as the journal has or fewer, but not those.
    (1..=2).for_each(|sequence| batch.pass_over(sequence, Timestamp::from_micros(99), 1));
    store.store(&batch).await.expect("stored");
    store.close().await.expect("closed");
    let status = stopped_by(&mut node, Trouble::Foreign).await;
    let error = status.last_error().expect("it says why");
    assert!(error.contains("was set back"), "{error}");
    assert_eq!(status.is_own(), Some(false), "nobody reads it");
    assert_eq!(status.watermark.get(), 0, "it has nothing of this journal");
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_was_trimmed_too_far_stops_the_sink() {
    let mut node = Node::new(TINY);
    node.sale();
    for number in 0..12 {
        node.place(number);
    }
    let first = node.folder.path().join("journal/0000000000000001.segment");
    std::fs::remove_file(first).expect("there were several");
    let error = stopped(&mut node).await.last_error().expect("it says why");
    assert!(error.contains("trimmed"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn migrations_that_stopped_half_way_are_finished() {
    for done in 0..=MIGRATIONS.len() {
        for recorded in [done, done.saturating_sub(1)] {
            let folder = tempfile::tempdir().expect("temporary folder");
            let file = DatabaseFile::new(folder.path().join("copy.db"));
            let mut half = options(&file).create_if_missing(true).connect().await.expect("opened");
            half.execute(BEGIN).await.expect("begun");
            for migration in &MIGRATIONS[..done] {
                let statement = AssertSqlSafe(Dialect::Sqlite.spell(migration));
                half.execute(statement).await.expect("migrated");
            }
            for number in (FIRST..).take(recorded) {
                let record = format!("INSERT INTO migrations (number) VALUES ({number})");
                half.execute(AssertSqlSafe(record)).await.expect("recorded");
            }
            half.close().await.expect("closed");
            for _ in 0..2 {
                let (store, mark) =
                    SqliteStore::open(file.clone(), 1, JOURNAL).await.expect("opened");
                assert_eq!(mark.sequence, 0);
                store.close().await.expect("closed");
            }
            assert!(all_rows(&file).await.values().all(Vec::is_empty));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_newer_schema_is_left_alone() {
    let mut node = Node::new(DEFAULT);
    let (store, _) = SqliteStore::open(node.database.clone(), 1, JOURNAL).await.expect("opened");
    store.close().await.expect("closed");
    let mut newer = options(&node.database).connect().await.expect("opened");
    newer.execute("INSERT INTO migrations (number) VALUES (1000)").await.expect("recorded");
    newer.close().await.expect("closed");
    let error = stopped(&mut node).await.last_error().expect("it says why");
    assert!(error.contains("1000"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_schema_from_before_the_first_release_is_left_alone() {
    let mut node = Node::new(DEFAULT);
    node.database.create().expect("created");
    let mut older = options(&node.database).connect().await.expect("opened");
    older.execute(BEGIN).await.expect("begun");
    older.execute("INSERT INTO migrations (number) VALUES (1), (2)").await.expect("recorded");
    older.close().await.expect("closed");
    let error = stopped(&mut node).await.last_error().expect("it says why");
    assert!(error.contains("built anew"), "{error}");
}
