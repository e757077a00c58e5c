//! Whatever is done to the copy behind the sink's back, the audit finds it and names it.

use std::thread;

use sluice_core::limits::{DEFAULT, TINY};

use crate::in_redis::node::{Node, cli, redis};
use crate::living::more::sell_more;

/// What is done, and how often in the audit's words: table, part of the key, column.
type Deed<'a> = (&'a [&'a str], &'a str, &'a str, &'a str);

#[test]
fn whatever_is_done_to_a_key_is_found() {
    let (node, redis) = (Node::lived(DEFAULT), redis());
    node.copy(&redis);
    let first = |pattern: &str| {
        let keys = cli(&redis, &["KEYS", pattern]);
        keys.lines().min().expect("there is one").to_owned()
    };
    let order = first("sluice:{1}:order:*");
    let (_, id) = order.rsplit_once(':').expect("an id");
    let entry = cli(&redis, &["XRANGE", "sluice:{1}:events", "-", "+", "COUNT", "2"]);
    let entry = entry.lines().filter(|line| line.ends_with("-0")).nth(1).expect("two").to_owned();
    let extra = "sluice:{1}:order:70000000000000000000000000";
    let deeds: [Deed<'_>; 18] = [
        (&["HSET", &order, "status", "lost"], "redis:orders", id, "status"),
        (&["HSET", &order, "items", "[]"], "redis:orders", id, "items"),
        (&["HDEL", &order, "buyer"], "redis:orders", id, "buyer"),
        (&["HSET", &order, "more", "1"], "redis:orders", id, "row"),
        (&["DEL", &order], "redis:orders", id, "row"),
        (&["HSET", extra, "sequence", "3"], "redis:orders", "7000000", "row"),
        (&["HINCRBY", "sluice:{1}:sku:gold", "held", "1"], "redis:skus", "gold", "held"),
        (&["HDEL", "sluice:{1}:sku:gold", "name"], "redis:skus", "gold", "name"),
        (&["HSET", "sluice:{1}:sku:gold", "sale", "x"], "redis:skus", "gold", "row"),
        (&["DEL", "sluice:{1}:sku:tin"], "redis:skus", "tin", "row"),
        (&["HSET", "sluice:{1}:sku:none", "held", "1"], "redis:skus", "none", "row"),
        (&["SREM", "sluice:{1}:skus", "tin"], "redis:skus", "tin", "set"),
        (&["HSET", "sluice:{1}:sku_sales", "gold", "x"], "redis:sku_sales", "gold", "sale"),
        (&["HSET", "sluice:{1}:sale:night", "ends_at", "1"], "redis:sales", "night", "ends_at"),
        (&["DEL", "sluice:{1}:sale:other"], "redis:sales", "other", "row"),
        (&["XDEL", "sluice:{1}:events", &entry], "redis:events", &entry, "row"),
        (&["XADD", "sluice:{1}:events", "*", "a", "b"], "redis:events", "-", "row"),
        (&["SET", "sluice:{1}:stray", "1"], "redis:keys", "stray", "row"),
    ];
    for (deed, table, key, column) in deeds {
        cli(&redis, deed);
        for limits in [DEFAULT, TINY] {
            let report = node.audit_within(&redis.url(), limits).expect("both can be read");
            let told = report.differences.iter().find(|it| it.table == table);
            let told = told.unwrap_or_else(|| panic!("{deed:?}: {report:?}"));
            assert!(told.key.contains(key), "{deed:?}: {told:?}");
            assert_eq!(told.column, column, "{deed:?}: {told:?}");
            assert_eq!(report.differences_count, 1, "{deed:?}: {report:?}");
        }
        cli(&redis, &["FLUSHALL"]);
        node.copy(&redis);
    }
    node.is_well(&redis.url());
}

#[test]
fn a_key_of_another_type_is_told() {
    let (node, redis) = (Node::lived(DEFAULT), redis());
    for key in ["sku:gold", "sale:night", "skus", "sku_sales"] {
        let key = &format!("sluice:{{1}}:{key}");
        node.copy(&redis);
        cli(&redis, &["DEL", key]);
        cli(&redis, &["SET", key, "a text"]);
        let report = node.audit(&redis.url());
        assert!(!report.is_clean(), "{key}: {report:?}");
        cli(&redis, &["FLUSHALL"]);
    }
}

#[test]
fn who_may_not_read_several_keys_together_is_told_so() {
    let (node, redis) = (Node::lived(DEFAULT), redis());
    node.copy(&redis);
    let without = ["ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@all", "-multi"];
    cli(&redis, &without);
    let url = format!("redis://reader:secret@127.0.0.1:{}", redis.port());
    let error = node.audit_within(&url, DEFAULT).expect_err("it may not").to_string();
    assert!(error.contains("'multi'"), "{error}");
    cli(&redis, &["ACL", "SETUSER", "reader", "+multi"]);
    node.is_well(&url);
}

#[test]
fn a_copy_that_moves_on_is_compared_as_exactly() {
    let (node, redis) = (Node::lived(TINY), redis());
    let sink = node.sink(&redis.url());
    node.caught_up(sink.status());
    thread::scope(|scope| {
        let seller = scope.spawn(|| (0..40).for_each(|_| sell_more(&node.handle, 10)));
        while !seller.is_finished() {
            let report = node.audit(&redis.url());
            assert!(report.is_clean(), "{report:?}");
        }
    });
    node.caught_up(sink.status());
    sink.stop();
    node.is_well(&redis.url());
}
