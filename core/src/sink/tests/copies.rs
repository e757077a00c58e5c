//! A database that is deleted, replaced by an older copy, locked: the sink catches up (I8).

use std::fs;

use sqlx::{ConnectOptions as _, Connection as _, Executor as _};

use super::super::sqlite::options;
use super::super::status::SinkState;
use super::super::{Trouble, table};
use super::node::{Node, all_rows};
use super::until;
use crate::limits::{DEFAULT, TINY};

#[tokio::test(start_paused = true)]
async fn a_database_that_is_deleted_is_built_anew() {
    let mut node = Node::new(TINY);
    node.sale();
    node.place(1);
    let (sink, status) = node.sink();
    let sink = tokio::spawn(sink.run());
    until(|| status.synced.get() == node.last()).await;
    let before = all_rows(&node.database).await;
    fs::remove_file(node.database.path()).expect("removed");
    until(|| status.records.get() == 2 * node.last()).await;
    until(|| status.synced.get() == node.last()).await;
    assert_eq!(all_rows(&node.database).await, before);
    assert_eq!((status.rewinds.get(), node.watermark.get()), (1, node.last()));
    node.stop();
    sink.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn an_older_copy_is_caught_up() {
    let mut node = Node::new(TINY);
    node.sale();
    let order = node.place(1);
    let (sink, status) = node.sink();
    let sink = tokio::spawn(sink.run());
    until(|| status.synced.get() == node.last()).await;
    let copied = node.last();
    let copy = node.folder.path().join("older.db");
    fs::copy(node.database.path(), &copy).expect("a database at rest is one file");
    node.cancel(order);
    node.place(2);
    until(|| status.synced.get() == node.last()).await;
    let before = all_rows(&node.database).await;
    fs::rename(copy, node.database.path()).expect("replaced");
    until(|| status.records.get() == 2 * node.last() - copied).await;
    until(|| status.synced.get() == node.last()).await;
    assert_eq!(all_rows(&node.database).await, before);
    assert_eq!(status.rewinds.get(), 1);
    node.stop();
    sink.await.expect("no panic");
}

/// What a kill leaves and a careless restore makes: an older file beside the log of the newer one.
#[tokio::test(start_paused = true)]
async fn an_older_copy_beside_a_newer_log_is_caught_up() {
    // More than a page of the database holds, so that the log alone is not everything.
    const ORDERS: u64 = 300;
    let mut node = Node::new(DEFAULT);
    node.sale();
    let (sink, status) = node.sink();
    let sink = tokio::spawn(sink.run());
    until(|| status.synced.get() == node.last()).await;
    let path = node.database.path().to_path_buf();
    let older = fs::read(&path).expect("read");
    for number in 0..ORDERS {
        node.place(number);
    }
    until(|| status.synced.get() == node.last()).await;
    // A reader keeps the log from being worked in, as a kill would.
    let mut reader = options(&node.database).read_only(true).connect().await.expect("opened");
    reader.execute("BEGIN").await.expect("begun");
    reader.execute("SELECT COUNT(*) FROM orders").await.expect("read");
    node.place(ORDERS);
    until(|| status.watermark.get() == node.last()).await;
    let log = fs::read(format!("{}-wal", path.display())).expect("read");
    assert!(!log.is_empty());
    reader.close().await.expect("closed");
    node.stop();
    sink.await.expect("no panic");
    let before = all_rows(&node.database).await;

    fs::write(&path, &older).expect("restored");
    fs::write(format!("{}-wal", path.display()), &log).expect("left over");
    let (sink, status) = node.sink();
    let sink = tokio::spawn(sink.run());
    until(|| status.synced.get() == node.last()).await;
    node.stop();
    sink.await.expect("no panic");
    assert_eq!(all_rows(&node.database).await["orders"].len(), before["orders"].len());
    assert_eq!(all_rows(&node.database).await, before);
}

#[tokio::test(start_paused = true)]
async fn a_locked_database_is_waited_for() {
    let mut node = Node::new(DEFAULT);
    node.sale();
    let (sink, status) = node.sink();
    let sink = tokio::spawn(sink.run());
    until(|| status.synced.get() == node.last()).await;
    let mut other = options(&node.database).connect().await.expect("opened");
    other.execute("BEGIN EXCLUSIVE").await.expect("locked");
    node.place(1);
    until(|| status.troubles(Trouble::Locked) >= 2).await;
    assert!(status.lag_records(node.last()) > 0);
    assert!(status.last_error().is_some());
    other.execute("ROLLBACK").await.expect("released");
    until(|| status.watermark.get() == node.last()).await;
    assert_eq!((status.last_error(), status.state()), (None, SinkState::Following));
    other.close().await.expect("closed");
    node.stop();
    sink.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn a_folder_in_the_place_of_the_database_is_waited_for() {
    let mut node = Node::new(DEFAULT);
    node.sale();
    fs::create_dir(node.database.path()).expect("created");
    let (sink, status) = node.sink();
    let sink = tokio::spawn(sink.run());
    until(|| status.troubles(Trouble::Unreachable) >= 3).await;
    assert_eq!(status.state(), SinkState::Waiting);
    fs::remove_dir(node.database.path()).expect("removed");
    until(|| status.watermark.get() == node.last()).await;
    node.stop();
    sink.await.expect("no panic");
    assert_eq!(all_rows(&node.database).await[table::LOTS.name].len(), 2);
}
