//! What befalls Redis and the way to it. Afterwards the audit finds no difference.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sluice_core::limits::{DEFAULT, TINY};
use sluice_core::sink::{SinkState, Trouble, erase_redis, stored_in_redis};
use sluice_services::{Persistence, Redis, RedisOptions};

use crate::in_redis::node::{Node, cli, everything, on_a_runtime, redis, until};
use crate::in_redis::proxy::Proxy;
use crate::living::more::sell_more;
use crate::living::times;

fn start(options: &RedisOptions) -> Redis {
    Redis::start(options).expect("Redis starts")
}

#[test]
fn a_batch_whose_answer_was_lost_is_not_stored_twice() {
    for limits in [DEFAULT, TINY] {
        let (node, redis) = (Node::lived(limits), redis());
        let proxy = Proxy::to(redis.port());
        proxy.lose_one_answer();
        let sink = node.sink(&proxy.url());
        until("lost", || proxy.has_lost());
        for _ in 1..times(20) {
            proxy.lose_one_answer();
            sell_more(&node.handle, 1);
            until("lost", || proxy.has_lost());
        }
        node.caught_up(sink.status());
        assert!(sink.status().connections.get() > times(20));
        sink.stop();
        assert_eq!(everything(&redis), node.untroubled());
        node.is_well(&redis.url());
    }
}

#[test]
fn a_wiped_redis_is_filled_again() {
    let (node, redis) = (Node::lived(DEFAULT), redis());
    let sink = node.sink(&redis.url());
    let status = Arc::clone(sink.status());
    for round in 1..=times(3) {
        node.caught_up(&status);
        // At rest the first time; while orders come the others.
        cli(&redis, &["FLUSHALL"]);
        if round > 1 {
            sell_more(&node.handle, 20);
        }
        until("it was seen", || status.rewinds.get() >= round);
    }
    node.caught_up(&status);
    node.is_well(&redis.url());
    sink.stop();
    assert_eq!(everything(&redis), node.untroubled());
}

#[test]
fn a_redis_that_forgets_or_comes_back_older_is_brought_up() {
    for persistence in [Persistence::Nothing, Persistence::Snapshot, Persistence::LogEverySecond] {
        let node = Node::lived(DEFAULT);
        let mut redis = start(&RedisOptions { persistence, ..RedisOptions::default() });
        let sink = node.sink(&redis.url());
        let status = Arc::clone(sink.status());
        node.caught_up(&status);
        if persistence == Persistence::Snapshot {
            cli(&redis, &["SAVE"]);
        }
        sell_more(&node.handle, 20);
        node.caught_up(&status);
        redis.kill();
        sell_more(&node.handle, 20);
        until("it is missed", || status.state() == SinkState::Waiting);
        redis.start_again().expect("it starts");
        node.caught_up(&status);
        sink.stop();
        node.is_well(&redis.url());
        assert_eq!(everything(&redis), node.untroubled(), "{persistence:?}");
    }
}

#[test]
fn full_memory_is_waited_out() {
    let (node, redis) = (Node::lived(DEFAULT), redis());
    let sink = node.sink(&redis.url());
    let status = Arc::clone(sink.status());
    node.caught_up(&status);
    cli(&redis, &["CONFIG", "SET", "maxmemory", "1mb"]);
    sell_more(&node.handle, 20);
    until("it is full", || status.troubles(Trouble::Full) > 0);
    // What gives memory back needs none.
    let erased = on_a_runtime(erase_redis(&node.config(&redis.url()), 1)).expect("erased");
    assert!(erased > 5, "{erased}");
    cli(&redis, &["CONFIG", "SET", "maxmemory", "0"]);
    node.caught_up(&status);
    sink.stop();
    node.is_well(&redis.url());
}

#[test]
fn a_redis_that_may_drop_keys_is_left_alone() {
    let node = Node::lived(DEFAULT);
    let settings = vec![("maxmemory-policy".to_owned(), "allkeys-lru".to_owned())];
    let memory_bytes_max = Some(100 << 20);
    let redis = start(&RedisOptions { settings, memory_bytes_max, ..RedisOptions::default() });
    let sink = node.sink(&redis.url());
    let status = Arc::clone(sink.status());
    until("it is refused", || status.troubles(Trouble::Evicting) > 0);
    let error = status.last_error().expect("it says why");
    assert!(error.contains("noeviction"), "{error}");
    assert_eq!(cli(&redis, &["DBSIZE"]), "0");
    cli(&redis, &["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    node.caught_up(&status);
    sink.stop();
    node.is_well(&redis.url());
}

#[test]
fn a_replica_that_lagged_behind_is_brought_up() {
    let (node, redis) = (Node::lived(DEFAULT), redis());
    let replica =
        start(&RedisOptions { replica_of: Some(redis.port()), ..RedisOptions::default() });
    let proxy = Proxy::to(redis.port());
    let sink = node.sink(&proxy.url());
    let status = Arc::clone(sink.status());
    node.caught_up(&status);
    let before = status.watermark.get().to_string();
    until("it follows", || {
        let mark = ["HGET", "sluice:{1}:watermark", "sequence"];
        cli(&replica, &mark) == before
    });
    // It hears no more of its master, and says so to nobody.
    cli(&replica, &["REPLICAOF", "127.0.0.1", "1"]);
    sell_more(&node.handle, 20);
    node.caught_up(&status);
    proxy.lead_to(replica.port());
    until("it is refused", || status.troubles(Trouble::ReadOnly) > 0);
    cli(&replica, &["REPLICAOF", "NO", "ONE"]);
    until("it begins again", || status.rewinds.get() > 0);
    node.caught_up(&status);
    sink.stop();
    node.is_well(&replica.url());
    assert_eq!(everything(&replica), node.untroubled());
}

#[test]
fn who_is_led_elsewhere_than_the_sink_is_noticed() {
    let (node, other) = (Node::lived(DEFAULT), redis());
    let redis = redis();
    let proxy = Proxy::to(redis.port());
    let sink = node.sink(&proxy.url());
    let status = Arc::clone(sink.status());
    node.caught_up(&status);
    proxy.lead_newcomers_to(other.port());
    until("it is noticed", || status.read_error().is_some());
    let error = status.read_error().expect("it says why");
    assert!(error.contains("leads to another server"), "{error}");
    assert_eq!(status.state(), SinkState::Following, "the sink itself gets on");
    proxy.lead_newcomers_to(redis.port());
    until("all is well", || status.read_error().is_none());
    sink.stop();
    node.is_well(&redis.url());
}

#[test]
fn a_wrong_password_is_told_and_never_shown() {
    let node = Node::lived(DEFAULT);
    let password = Some("right-canary".to_owned());
    let redis = start(&RedisOptions { password, ..RedisOptions::default() });
    for (entry, code) in [(":wrong-canary@", "WRONGPASS"), ("", "NOAUTH")] {
        let url = format!("redis://{entry}127.0.0.1:{}/", redis.port());
        let sink = node.sink(&url);
        let status = Arc::clone(sink.status());
        until("it is refused", || status.troubles(Trouble::Forbidden) > 0);
        let error = status.last_error().expect("it says why");
        assert!(!error.contains("canary"), "{error} {code}");
        let place = format!("redis://127.0.0.1:{}/0: ", redis.port());
        assert!(error.starts_with(&place), "{error}");
        sink.stop();
        let config = node.config(&url);
        let refused = on_a_runtime(stored_in_redis(&config, 1)).expect_err("refused");
        assert_eq!(refused.trouble, Trouble::Forbidden);
        assert!(!format!("{refused:?} {config:?}").contains("canary"));
    }
    node.copy(&redis);
    node.is_well(&redis.url());
}

#[test]
fn a_redis_that_is_told_to_drop_keys_is_left_alone_until_it_no_longer_does() {
    let (node, redis) = (Node::lived(DEFAULT), redis());
    let sink = node.sink(&redis.url());
    let status = Arc::clone(sink.status());
    node.caught_up(&status);
    cli(&redis, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", "100mb"]);
    until("it is noticed at rest", || status.troubles(Trouble::Evicting) > 0);
    cli(&redis, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    node.caught_up(&status);
    sink.stop();
    node.is_well(&redis.url());
}

#[test]
fn a_redis_that_hangs_for_a_while_is_waited_for() {
    let (node, redis) = (Node::lived(TINY), redis());
    let sink = node.sink(&redis.url());
    redis.pause();
    let resumed = Arc::new(AtomicBool::new(false));
    let says = Arc::clone(&resumed);
    thread::scope(|scope| {
        scope.spawn(|| {
            // What is to pass here is time: the server is to hang.
            thread::park_timeout(Duration::from_secs(3));
            says.store(true, Ordering::Release);
            redis.resume();
        });
        sell_more(&node.handle, 40);
        assert!(!resumed.load(Ordering::Acquire), "I7 nobody waits for Redis");
    });
    node.caught_up(sink.status());
    sink.stop();
    node.is_well(&redis.url());
}

#[test]
fn functions_and_watermarks_that_somebody_deleted_are_made_again() {
    let (node, redis) = (Node::lived(DEFAULT), redis());
    let sink = node.sink(&redis.url());
    let status = Arc::clone(sink.status());
    node.caught_up(&status);
    for command in [
        &["FUNCTION", "FLUSH"][..],
        &["DEL", "sluice:{1}:watermark"],
        &["HSET", "sluice:{1}:watermark", "layout", "0"],
    ] {
        let connections = status.connections.get();
        cli(&redis, command);
        sell_more(&node.handle, 5);
        until("it begins again", || status.connections.get() > connections);
        node.caught_up(&status);
        node.is_well(&redis.url());
    }
    sink.stop();
    assert_eq!(everything(&redis), node.untroubled());
}

#[test]
fn a_copy_that_is_erased_is_made_anew_and_others_are_left_alone() {
    let (node, redis) = (Node::lived(DEFAULT), redis());
    cli(&redis, &["SET", "sluice:{12}:skus", "another cell's"]);
    cli(&redis, &["SET", "other", "somebody's"]);
    let sink = node.sink(&redis.url());
    let status = Arc::clone(sink.status());
    let config = node.config(&redis.url());
    for round in 1..4 {
        node.caught_up(&status);
        let stored = on_a_runtime(stored_in_redis(&config, 1)).expect("it answers");
        assert_eq!(stored.map(|stored| stored.0), Some(node.durable()));
        let keys = on_a_runtime(erase_redis(&config, 1)).expect("erased");
        assert!(keys > 5, "{keys}");
        sell_more(&node.handle, 10);
        until("it begins again", || status.rewinds.get() >= round);
    }
    node.caught_up(&status);
    sink.stop();
    node.is_well(&redis.url());
    assert_eq!(cli(&redis, &["GET", "sluice:{12}:skus"]), "another cell's");
    assert_eq!(cli(&redis, &["GET", "other"]), "somebody's");
}

#[test]
fn nobody_stores_while_somebody_erases() {
    let (node, redis) = (Node::lived(DEFAULT), redis());
    let sink = node.sink(&redis.url());
    let status = Arc::clone(sink.status());
    node.caught_up(&status);
    cli(&redis, &["SET", "sluice:{1}:erasing", "somebody's"]);
    let before = everything(&redis);
    sell_more(&node.handle, 10);
    until("it is kept away", || status.troubles(Trouble::Locked) > 1);
    assert_eq!(everything(&redis), before);
    let refused = on_a_runtime(erase_redis(&node.config(&redis.url()), 1));
    assert_eq!(refused.expect_err("one at a time").trouble, Trouble::Locked);
    cli(&redis, &["DEL", "sluice:{1}:erasing"]);
    node.caught_up(&status);
    sink.stop();
    node.is_well(&redis.url());
}

#[test]
fn a_key_that_was_lost_stops_the_sink_until_it_is_made_anew() {
    let (node, redis) = (Node::lived(DEFAULT), redis());
    let sink = node.sink(&redis.url());
    let status = Arc::clone(sink.status());
    sell_more(&node.handle, 1);
    node.caught_up(&status);
    cli(&redis, &["DEL", "sluice:{1}:sku:more"]);
    sell_more(&node.handle, 10);
    until("it stops", || status.state() == SinkState::Stopped);
    let error = status.last_error().expect("it says why");
    assert!(error.contains("sluice:{1}:sku:more"), "{error}");
    on_a_runtime(erase_redis(&node.config(&redis.url()), 1)).expect("erased");
    node.caught_up(&status);
    sink.stop();
    node.is_well(&redis.url());
}

#[test]
fn a_counter_that_redis_would_not_count_on_is_found_before_anything_is_written() {
    let key = "sluice:{1}:sku:more";
    for odd in ["007", "-0", "12345678901234567890", "9223372036854775807", "-99999999999999999"] {
        let (node, redis) = (Node::lived(DEFAULT), redis());
        let sink = node.sink(&redis.url());
        let status = Arc::clone(sink.status());
        sell_more(&node.handle, 1);
        node.caught_up(&status);
        cli(&redis, &["HSET", key, "held", odd]);
        sell_more(&node.handle, 10);
        until("it stops", || status.state() == SinkState::Stopped);
        // What came before the record has been stored one by one; of the record itself nothing was.
        let (before, error) = (everything(&redis), status.last_error().expect("it says why"));
        assert!(error.contains(key) && error.contains("held"), "{error}");
        assert!(before.contains(&format!("held={odd}")), "{odd}");
        let stored = status.watermark.get();
        sink.stop();
        let again = node.sink(&redis.url());
        until("it stops again", || again.status().state() == SinkState::Stopped);
        assert_eq!((everything(&redis), again.status().watermark.get()), (before, stored));
        on_a_runtime(erase_redis(&node.config(&redis.url()), 1)).expect("erased");
        node.caught_up(again.status());
        again.stop();
        node.is_well(&redis.url());
    }
}

#[test]
fn a_batch_that_fails_half_way_is_never_applied_again() {
    let (node, redis) = (Node::lived(DEFAULT), redis());
    let sink = node.sink(&redis.url());
    let status = Arc::clone(sink.status());
    sell_more(&node.handle, 1);
    node.caught_up(&status);
    // Orders are written before SKUs are counted.
    cli(&redis, &["ACL", "SETUSER", "default", "-hincrby"]);
    sell_more(&node.handle, 10);
    until("it stops", || status.state() == SinkState::Stopped);
    let (half, error) = (everything(&redis), status.last_error().expect("it says why"));
    assert!(error.contains("rebuild it"), "{error}");
    assert!(half.contains("unfinished="), "{half}");
    sink.stop();
    cli(&redis, &["ACL", "SETUSER", "default", "+hincrby"]);
    let again = node.sink(&redis.url());
    until("it stops again", || again.status().state() == SinkState::Stopped);
    assert_eq!(everything(&redis), half);
    on_a_runtime(erase_redis(&node.config(&redis.url()), 1)).expect("erased");
    node.caught_up(again.status());
    again.stop();
    node.is_well(&redis.url());
    assert_eq!(everything(&redis), node.untroubled());
}
