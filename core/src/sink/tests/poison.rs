//! Records that a store refuses: found among others, waited for, passed over when an operator says so.

use std::sync::Arc;

use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tokio::task::JoinHandle;

use super::super::sqlite::options;
use super::super::status::SinkState;
use super::super::{SinkStatus, Trouble};
use super::node::{Node, all_rows, order_id};
use super::until;
use crate::event::{Actor, Event, RecordSkipped, SinkName};
use crate::limits::{DEFAULT, TINY};

/// Makes the database refuse the second buyer's orders.
const REFUSE: &str = "CREATE TRIGGER refuse BEFORE INSERT ON orders WHEN NEW.buyer = 'buyer-2' \
                      BEGIN SELECT RAISE(ABORT, 'not this one'); END";

/// A sink that has stopped at the second of three orders, and that order's record.
async fn stopped_in_the_middle(node: &mut Node) -> (JoinHandle<()>, Arc<SinkStatus>, u64) {
    node.sale();
    let (sink, status) = node.sink();
    let sink = tokio::spawn(sink.run());
    until(|| status.synced.get() == node.last()).await;
    tell(node, REFUSE).await;
    node.place(1);
    node.place(2);
    let poison = node.last();
    node.place(3);
    until(|| status.poison().is_some()).await;
    assert_eq!((status.poison(), status.watermark.get()), (Some(poison), poison - 1));
    assert_eq!((status.state(), status.troubles(Trouble::Poison)), (SinkState::Stopped, 1));
    let error = status.last_error().expect("it says why");
    assert!(error.contains(&poison.to_string()) && error.contains("not this one"), "{error}");
    (sink, status, poison)
}

async fn tell(node: &Node, statement: &'static str) {
    let mut connection = options(&node.database).connect().await.expect("opened");
    connection.execute(statement).await.expect("done");
    connection.close().await.expect("closed");
}

fn skip(node: &mut Node, sink: SinkName, sequence: u64) {
    let skipped = RecordSkipped { sink, sequence, why: "the database forbids it" };
    node.write(Actor::Operator, &Event::RecordSkipped(skipped));
}

/// Steps the paused clock, so that the sink looks at whatever it waits for.
async fn step_a_minute() {
    for _ in 0..600 {
        tokio::time::advance(std::time::Duration::from_millis(100)).await;
    }
}

async fn orders(node: &Node) -> Vec<String> {
    let rows = all_rows(&node.database).await;
    rows["orders"].iter().map(|row| row[1].to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn one_record_stops_the_sink_until_it_is_passed_over() {
    for limits in [DEFAULT, TINY] {
        let mut node = Node::new(limits);
        let (sink, status, poison) = stopped_in_the_middle(&mut node).await;
        // Others' words and other records are not meant.
        skip(&mut node, SinkName::Redis, poison);
        skip(&mut node, SinkName::Sql, poison + 1_000);
        // It goes on trying, and goes on being refused.
        until(|| status.troubles(Trouble::Poison) >= 10).await;
        assert_eq!((status.state(), status.watermark.get()), (SinkState::Stopped, poison - 1));
        assert!(!status.promise_skip(poison + 1));
        until(|| status.promise_skip(poison)).await;
        skip(&mut node, SinkName::Sql, poison);
        until(|| status.watermark.get() == node.last()).await;
        assert_eq!((status.state(), status.poison()), (SinkState::Following, None));
        node.stop();
        sink.await.expect("no panic");
        let there = [1, 3].map(|number| format!("\"{}\"", order_id(number)));
        assert_eq!(orders(&node).await, there);
        assert_eq!(all_rows(&node.database).await["skipped_records"].len(), 3);

        // A copy that is made anew leaves it out as well, whether or not it would be taken now.
        std::fs::remove_file(node.database.path()).expect("it was there");
        let (sink, status) = node.sink();
        let sink = tokio::spawn(sink.run());
        until(|| status.watermark.get() == node.last()).await;
        node.stop();
        sink.await.expect("no panic");
        assert_eq!(orders(&node).await, there);
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_taken_after_all_ends_the_wait() {
    let mut node = Node::new(TINY);
    let (sink, status, _) = stopped_in_the_middle(&mut node).await;
    tell(&node, "DROP TRIGGER refuse").await;
    until(|| status.watermark.get() == node.last()).await;
    assert_eq!((status.state(), status.poison()), (SinkState::Following, None));
    assert_eq!(status.last_error(), None);
    node.stop();
    sink.await.expect("no panic");
    assert_eq!(orders(&node).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn only_what_was_refused_together_is_stored_one_by_one() {
    let mut node = Node::new(DEFAULT);
    let (sink, status, _) = stopped_in_the_middle(&mut node).await;
    tell(&node, "DROP TRIGGER refuse").await;
    for number in 4..40 {
        node.place(number);
    }
    until(|| status.watermark.get() == node.last()).await;
    let before = status.batches.get();
    std::fs::remove_file(node.database.path()).expect("it was there");
    until(|| status.rewinds.get() == 1 && status.watermark.get() == node.last()).await;
    let batches = status.batches.get() - before;
    assert!(batches < 4, "{batches} batches for a copy that is made anew");
    node.stop();
    sink.await.expect("no panic");
    assert_eq!(orders(&node).await.len(), 39);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_promised_is_not_tried_again() {
    let mut node = Node::new(DEFAULT);
    let (sink, status, poison) = stopped_in_the_middle(&mut node).await;
    until(|| status.promise_skip(poison)).await;
    tell(&node, "DROP TRIGGER refuse").await;
    step_a_minute().await;
    assert_eq!(status.watermark.get(), poison - 1, "the word may come yet");
    // Of two who promised one thinks better of it, and of another record nothing was said.
    assert!(status.promise_skip(poison));
    status.withdraw_promise(poison);
    status.withdraw_promise(poison + 1);
    step_a_minute().await;
    assert_eq!(status.watermark.get(), poison - 1, "the other's word may come yet");
    assert!(status.promise_skip(poison), "nor is it being tried");
    status.withdraw_promise(poison);
    status.withdraw_promise(poison);
    until(|| status.watermark.get() == node.last()).await;
    node.stop();
    sink.await.expect("no panic");
    assert_eq!(orders(&node).await.len(), 3);
}
