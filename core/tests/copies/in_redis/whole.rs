//! Copies of a whole life, in batches of any size.

use std::sync::Arc;

use sluice_core::command::Command;
use sluice_core::id::OrderId;
use sluice_core::limits::{DEFAULT, TINY};
use sluice_services::{Redis, RedisOptions};

use crate::in_redis::node::{Node, cli, everything, redis, until};
use crate::living::more::sell_for;
use crate::living::selling::ask;

#[test]
fn wherever_a_batch_ends_the_keys_are_the_same() {
    let mut node = Node::lived(DEFAULT);
    let whole = node.untroubled();
    node.limits = TINY;
    assert_eq!(node.untroubled(), whole, "in batches of two");
    node.limits.redis_batch_records_max = 1;
    assert_eq!(node.untroubled(), whole, "in batches of one");
    let redis = redis();
    let all = node.durable();
    for end in (1..all).step_by(7) {
        let sink = node.sink_up_to(&redis.url(), Arc::new(move || end));
        let status = Arc::clone(sink.status());
        until("so far", || status.watermark.get() >= end);
        sink.stop();
    }
    node.copy(&redis);
    assert_eq!(everything(&redis), whole, "with pauses");
    node.is_well(&redis.url());
}

#[test]
fn orders_that_left_the_ledger_leave_no_keys() {
    let (node, redis) = (Node::forgetful(), redis());
    sell_for(&node.handle, 9, 1);
    let sink = node.sink(&redis.url());
    let orders = || cli(&redis, &["KEYS", "sluice:{1}:order:*"]).lines().count();
    // Their holds must be over, the cancelled ones' too.
    until("they left", || {
        // A shard that nobody asks anything sleeps.
        for slot in 0..64 {
            let order = OrderId::from_bits(slot << 54);
            ask(&node.handle, Command::ReadOrder { order, buyer: None });
        }
        sink.status().watermark.get() == node.durable() && orders() == 0
    });
    node.caught_up(sink.status());
    sink.stop();
    let kinds = cli(&redis, &["XRANGE", "sluice:{1}:events", "-", "+"]);
    assert_eq!(kinds.lines().filter(|word| *word == "retired").count(), 9);
    node.is_well(&redis.url());
    assert_eq!(everything(&redis), node.untroubled());
}

#[test]
fn a_product_page_reads_one_hash() {
    let (node, redis) = (Node::lived(DEFAULT), redis());
    node.copy(&redis);
    let get = |key: &str, fields: &[&str]| cli(&redis, &[&["HMGET", key], fields].concat());
    let fields = ["name", "unit_price", "currency", "available", "held", "sold", "withdrawn"];
    assert_eq!(get("sluice:{1}:sku:gold", &fields), "gold\n500\nCNY\n0\n2\n0\n0");
    assert_eq!(get("sluice:{1}:sku:gold", &["received", "standby"]), "2\n0");
    assert_eq!(cli(&redis, &["SCARD", "sluice:{1}:skus"]), "6");
    assert_eq!(get("sluice:{1}:sale:night", &["name", "ended", "paused"]), "The night\n1\n0");
    assert_eq!(get("sluice:{1}:sale:night", &["skus"]), "[\"gold\",\"iron\"]");
}

#[test]
fn the_stream_is_trimmed_and_says_from_where_it_is_whole() {
    let mut node = Node::lived(DEFAULT);
    node.stream_max = 5;
    let settings = vec![("stream-node-max-entries".to_owned(), "4".to_owned())];
    let options = RedisOptions { settings, ..RedisOptions::default() };
    let redis = Redis::start(&options).expect("Redis starts");
    node.copy(&redis);
    let length: u64 = cli(&redis, &["XLEN", "sluice:{1}:events"]).parse().expect("a number");
    assert!((5..12).contains(&length), "{length}");
    let from = cli(&redis, &["HGET", "sluice:{1}:watermark", "events_from"]);
    let first = cli(&redis, &["XRANGE", "sluice:{1}:events", "-", "+", "COUNT", "1"]);
    assert!(first.starts_with(&format!("{from}-0\n")), "{from} {first}");
}

#[test]
fn the_newer_protocol_says_the_same() {
    let (node, redis) = (Node::lived(DEFAULT), redis());
    let url = format!("{}/?protocol=resp3", redis.url().trim_end_matches('/'));
    let sink = node.sink(&url);
    node.caught_up(sink.status());
    sink.stop();
    node.is_well(&url);
    assert_eq!(everything(&redis), node.untroubled());
}

#[test]
fn a_cluster_takes_it() {
    let settings = vec![("cluster-enabled".to_owned(), "yes".to_owned())];
    let options = RedisOptions { settings, ..RedisOptions::default() };
    let redis = Redis::start(&options).expect("Redis starts");
    cli(&redis, &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    until("a cluster", || cli(&redis, &["CLUSTER", "INFO"]).contains("cluster_state:ok"));
    let node = Node::lived(DEFAULT);
    node.copy(&redis);
    assert_eq!(everything(&redis), node.untroubled());
}
