//! Sinks over a journal on disk and a database in a file.
//!
//! Waits run on paused time: the clock jumps ahead whenever the sink has nothing to do.

mod copies;
mod node;
mod poison;
mod refused;

use std::sync::Arc;

use tokio::time::{Duration, sleep};

use super::batch::Batch;
use super::sqlite::SqliteStore;
use super::status::SinkState;
use super::store::{Gathered as _, Store as _, Stored};
use super::table::{ORDER_EVENTS, ORDERS, Value};
use super::{Database, Reading, Sink, Snapshot, Trouble};
use crate::event::{Actor, Event, OrderStatus, SinkName};
use crate::limits::{DEFAULT, TINY};
use node::{JOURNAL, Node, all_rows, meta, order_id};

/// Far more looks than any of these tests needs.
const LOOKS_MAX: u32 = 10_000_000;

/// Lets the sink go on until `reached` holds.
async fn until(reached: impl Fn() -> bool) {
    for _ in 0..LOOKS_MAX {
        if reached() {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
    panic!("it was never reached");
}

#[tokio::test(start_paused = true)]
async fn rows_follow_from_events() {
    let mut node = Node::new(DEFAULT);
    node.sale();
    let kept = node.place(1);
    let cancelled = node.place(2);
    node.cancel(cancelled);
    node.withdraw(3);
    let expired = node.place(3);
    let (sink, status) = node.sink();
    let sink = tokio::spawn(sink.run());
    until(|| status.watermark.get() == node.last()).await;
    // Of an order that an earlier transaction stored.
    node.expire(expired);
    node.retire(cancelled);
    until(|| status.synced.get() == node.last()).await;
    node.stop();
    sink.await.expect("no panic");

    let rows = all_rows(&node.database).await;
    let text = |row: &[Value], column: usize| row[column].to_string();
    let orders = &rows["orders"];
    let states: Vec<String> = orders.iter().map(|row| text(row, ORDERS.column("status"))).collect();
    assert_eq!(states, ["\"reserved\"", "\"cancelled\"", "\"expired\""]);
    let versions: Vec<String> =
        orders.iter().map(|row| text(row, ORDERS.column("version"))).collect();
    assert_eq!(versions, ["1", "2", "2"]);
    let kinds: Vec<String> =
        rows["order_events"].iter().map(|row| text(row, ORDER_EVENTS.column("kind"))).collect();
    let wanted = ["placed", "placed", "cancelled", "placed", "expired", "retired"];
    assert_eq!(kinds, wanted.map(|kind| format!("{kind:?}")));
    // 10 units of the first lot, 5 of the second; the third order took one of each.
    let lots: Vec<Vec<String>> =
        rows["lots"].iter().map(|row| (4..10).map(|column| text(row, column)).collect()).collect();
    assert_eq!(lots, [["10", "null", "6", "1", "0", "3"], ["5", "700", "5", "0", "0", "0"]]);
    assert_eq!(text(&rows["skus"][0], 2), "2", "the terms of the last revision");
    assert_eq!((rows["withdrawals"].len(), rows["withdrawal_draws"].len()), (1, 1));
    assert_eq!((rows["order_lines"].len(), rows["order_draws"].len()), (3, 4));
    assert_eq!((status.state(), status.lag_records(node.last())), (SinkState::Following, 0));

    let mut reading = Reading::open(Database::Sqlite(node.database.clone())).await.expect("opened");
    let asked = [kept, order_id(99), expired];
    let found = reading.orders(1, &asked).await.expect("read");
    assert_eq!((found.sequence, found.orders.len()), (node.last(), 2), "one does not exist");
    let order = found.orders.iter().find(|order| order.view.order == expired).expect("it is there");
    assert_eq!((&*order.buyer, order.view.status), ("buyer-3", OrderStatus::Expired));
    assert_eq!(order.view, node.view(expired), "as the ledger would show it");
    let none = reading.orders(1, &asked[1..2]).await.expect("read");
    assert_eq!((none.sequence, none.orders.len()), (node.last(), 0));
    let elsewhere = reading.orders(2, &asked).await.expect("read");
    assert_eq!((elsewhere.sequence, elsewhere.orders.len()), (0, 0), "cells are apart");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_stored_again_changes_nothing() {
    let node = Node::new(DEFAULT);
    let mut batch = Batch::new(1, 16);
    batch.begin(0);
    for (number, event) in node::sale_events().iter().enumerate() {
        batch.take(number as u64 + 1, &meta(Actor::Operator), event, 10).expect("storable");
    }
    let placed = node::placed(order_id(1), 1);
    let sequence = batch.extent().through + 1;
    batch.take(sequence, &meta(Actor::Buyer), &Event::OrderPlaced(placed), 10).expect("storable");
    let (mut store, mark) =
        SqliteStore::open(node.database.clone(), 1, JOURNAL).await.expect("opened");
    assert_eq!((mark.sequence, mark.journal), (0, None));
    assert_eq!(store.store(&batch).await.expect("stored"), Stored::Whole);
    let once = all_rows(&node.database).await;
    assert_eq!(store.store(&batch).await.expect("asked"), Stored::Elsewhere);
    assert_eq!(all_rows(&node.database).await, once);
    store.close().await.expect("closed");
    let (store, mark) = SqliteStore::open(node.database.clone(), 1, JOURNAL).await.expect("opened");
    assert_eq!((mark.sequence, mark.journal), (sequence, Some(JOURNAL.to_string())));
    store.close().await.expect("closed");
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_was_not_finished_leaves_nothing() {
    let node = Node::new(DEFAULT);
    let mut batch = Batch::new(1, 16);
    batch.begin(0);
    let lot = node::sale_events().remove(2);
    batch.take(1, &meta(Actor::Operator), &lot, 10).expect("storable");
    // The same lot twice: the store refuses the second, and with it the first.
    batch.take(2, &meta(Actor::Operator), &lot, 10).expect("storable");
    let (mut store, _) =
        SqliteStore::open(node.database.clone(), 1, JOURNAL).await.expect("opened");
    let error = store.store(&batch).await.expect_err("refused");
    assert_eq!(error.trouble, Trouble::Poison, "{error}");
    store.close().await.expect("closed");
    assert!(all_rows(&node.database).await.values().all(Vec::is_empty));
}

#[tokio::test(start_paused = true)]
async fn tiny_batches_come_to_the_same_rows_as_large_ones() {
    let mut copies = Vec::new();
    for limits in [TINY, DEFAULT] {
        let mut node = Node::new(limits);
        node.sale();
        for number in 0..6 {
            let order = node.place(number);
            if number % 2 == 0 {
                node.cancel(order);
            }
        }
        let (sink, status) = node.sink();
        let sink = tokio::spawn(sink.run());
        until(|| status.synced.get() == node.last()).await;
        node.stop();
        sink.await.expect("no panic");
        assert!(limits == DEFAULT || status.batches.get() > 2, "several transactions");
        assert_eq!(status.records.get(), node.last());
        copies.push(all_rows(&node.database).await);
    }
    assert_eq!(copies[0], copies[1]);
}

#[tokio::test(start_paused = true)]
async fn pages_of_a_snapshot_are_in_the_order_of_keys_and_of_one_moment() {
    let mut node = Node::new(DEFAULT);
    node.sale();
    for number in 0..5 {
        node.place(number);
    }
    let (sink, status) = node.sink();
    let sink = tokio::spawn(sink.run());
    until(|| status.watermark.get() == node.last()).await;
    let mut snapshot =
        Snapshot::take(&Database::Sqlite(node.database.clone()), 1).await.expect("taken");
    let before = node.last();
    node.place(5);
    until(|| status.watermark.get() == node.last()).await;
    assert_eq!(snapshot.sequence(), before, "later rows are not in it");
    let mut ids = Vec::new();
    loop {
        let after: Vec<Value> = ids.last().cloned().into_iter().collect();
        let below = Value::text(&order_id(4).to_string());
        let page = snapshot.page(&ORDERS, &after, Some(&below), 2).await.expect("read");
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        ids.extend(page.into_iter().map(|mut row| row.swap_remove(1)));
    }
    let wanted: Vec<Value> =
        (0..4).map(|number| Value::text(&order_id(number).to_string())).collect();
    assert_eq!(ids, wanted);
    snapshot.end().await.expect("ended");
    node.stop();
    sink.await.expect("no panic");
}

#[test]
fn a_sink_on_its_thread_ends_when_told_to() {
    let mut node = Node::new(DEFAULT);
    node.sale();
    let sink = Sink::sql(Database::Sqlite(node.database.clone()), node.config()).expect("a thread");
    let status = Arc::clone(sink.status());
    sink.stop();
    assert_eq!(status.name(), SinkName::Sql);
    // Begun or not, it has ended: nobody writes any more.
    assert!(status.watermark.get() <= node.last());
}
