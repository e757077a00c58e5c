//! Sales, and which of them SKUs are in.

use sluice_core::command::{Command, DefineSale, DefineSku, SkipRecord};
use sluice_core::event::{SaleMove, SinkName};
use sluice_core::limits::{DEFAULT, TINY};
use sluice_core::money::{Amount, Currency};
use sluice_core::name::{SaleId, SkuId};
use sluice_core::outcome::Outcome;
use sluice_core::time::Timestamp;
use sluice_services::Redis;

use crate::in_redis::node::{Node, cli, everything, redis, until};
use crate::living::life::Life;
use crate::living::more::sell_more;
use crate::living::selling::{REQUEST, ask};

/// Defines a sale of some of the SKUs `m-0`, `m-1`, ….
fn define(node: &Node, sale: &str, members: std::ops::Range<usize>) {
    let mut skus: Vec<SkuId> =
        members.map(|number| SkuId::new(&format!("m-{number}")).expect("a name")).collect();
    skus.sort_unstable();
    let define = DefineSale {
        sale: SaleId::new(sale).expect("a name"),
        title: Box::from("Many"),
        starts_at: Timestamp::from_micros(1),
        ends_at: node.handle.now().plus_seconds(3_600),
        per_buyer_limit: 5,
        skus,
        if_revision: None,
        request: REQUEST,
    };
    let outcome = ask(&node.handle, Command::DefineSale(Box::new(define)));
    assert!(matches!(outcome, Outcome::Sale { .. }), "{outcome:?}");
}

fn define_sku(node: &Node, sku: &str) {
    let define = DefineSku {
        sku: SkuId::new(sku).expect("a name"),
        title: Box::from(sku),
        unit_price: Amount::new(500).expect("an amount"),
        currency: Currency::new("CNY").expect("a currency"),
        per_buyer_limit: 0,
        hold_seconds: 600,
        standby_pass: false,
        if_revision: None,
        request: REQUEST,
    };
    ask(&node.handle, Command::DefineSku(Box::new(define)));
}

fn move_sale(node: &Node, sale: &str, to: SaleMove) {
    let sale = SaleId::new(sale).expect("a name");
    let outcome = ask(&node.handle, Command::MoveSale { sale, to, request: REQUEST });
    assert!(matches!(outcome, Outcome::Sale { .. }), "{outcome:?}");
}

/// The sale that Redis says a SKU is in.
fn in_sale(redis: &Redis, sku: &str) -> String {
    cli(redis, &["HGET", "sluice:{1}:sku_sales", sku])
}

/// How often the server ran a command.
fn calls(redis: &Redis, command: &str) -> u64 {
    let stats = cli(redis, &["INFO", "commandstats"]);
    let start = format!("cmdstat_{command}:calls=");
    let line = stats.lines().find_map(|line| line.strip_prefix(&start));
    line.and_then(|line| line.split(',').next()).map_or(0, |calls| calls.parse().expect("a number"))
}

#[test]
fn a_sale_costs_a_handful_of_commands_however_many_skus_it_has() {
    let (node, redis) = (Node::lived(DEFAULT), redis());
    let sale = |number: usize| format!("sale-{number}");
    node.copy(&redis);
    cli(&redis, &["CONFIG", "RESETSTAT"]);
    for number in 0..20 {
        define(&node, &sale(number), 400 * number..400 * (number + 1));
    }
    node.copy(&redis);
    assert!(calls(&redis, "fcall") >= 20, "a batch has no two of them");
    assert_eq!((in_sale(&redis, "m-0"), in_sale(&redis, "m-1199")), (sale(0), sale(2)));
    // A SKU of one goes to another.
    define(&node, &sale(0), 1..399);
    define(&node, &sale(2), 800..1_199);
    define(&node, &sale(1), 399..799);
    node.copy(&redis);
    let each = ["hset", "hget", "hmget", "hdel"].map(|command| calls(&redis, command));
    let touched: u64 = each.iter().sum();
    assert!(touched < 20 * 23, "{touched} commands for 23 definitions");
    assert_eq!((in_sale(&redis, "m-0"), in_sale(&redis, "m-399")), (String::new(), sale(1)));
    node.is_well(&redis.url());
    assert_eq!(everything(&redis), node.untroubled());
}

#[test]
fn a_large_sale_is_stored_alone() {
    let (node, redis) = (Node::lived(DEFAULT), redis());
    node.copy(&redis);
    let before = calls(&redis, "fcall");
    sell_more(&node.handle, 5);
    define(&node, "large", 0..400);
    sell_more(&node.handle, 5);
    node.copy(&redis);
    assert!(calls(&redis, "fcall") >= before + 3, "before it, with it, behind it");
    node.is_well(&redis.url());
}

#[test]
fn whatever_an_index_says_wrongly_is_told() {
    let (node, redis) = (Node::lived(DEFAULT), redis());
    define(&node, "ghosts", 0..100);
    let deeds: [(&[&str], &str, &str); 6] = [
        (&["HSET", "sluice:{1}:sku_sales", "m-7", "night"], "redis:sku_sales", "m-7"),
        (&["HDEL", "sluice:{1}:sku_sales", "m-99"], "redis:sku_sales", "m-99"),
        (&["HSET", "sluice:{1}:sku_sales", "gold", "ghosts"], "redis:sku_sales", "gold"),
        (&["HSET", "sluice:{1}:sku_sales", "no name", "ghosts"], "redis:sku_sales", "no name"),
        (&["SADD", "sluice:{1}:skus", "phantom"], "redis:skus", "phantom"),
        (&["SADD", "sluice:{1}:sales", "phantom"], "redis:sales", "phantom"),
    ];
    for (deed, table, key) in deeds {
        node.copy(&redis);
        cli(&redis, deed);
        for limits in [DEFAULT, TINY] {
            let report = node.audit_within(&redis.url(), limits).expect("both can be read");
            assert_eq!(report.differences_count, 1, "{deed:?}: {report:?}");
            let told = &report.differences[0];
            assert_eq!((told.table, told.key.as_str()), (table, key), "{deed:?}");
        }
        cli(&redis, &["FLUSHALL"]);
    }
}

/// Whatever was before, what is left of a journal accounts for what it made.
#[test]
fn what_is_left_of_a_life_is_compared() {
    let (node, redis) = (Node::of_small_segments(), redis());
    define(&node, "early", 0..3);
    define(&node, "paused", 3..6);
    define(&node, "other", 6..9);
    define_sku(&node, "untold");
    Life::lived(&node.handle);
    move_sale(&node, "early", SaleMove::Ended);
    move_sale(&node, "paused", SaleMove::Paused);
    sell_more(&node.handle, 40);
    node.copy(&redis);
    let mut first = 1;
    while let [oldest, _, ..] = &node.segments()[..] {
        std::fs::remove_file(oldest).expect("removed");
        for limits in [DEFAULT, TINY] {
            let report = node.audit_within(&redis.url(), limits).expect("both can be read");
            assert!(report.is_clean(), "{report:?}");
            assert!(limits == TINY || report.first > first, "{report:?}");
            first = report.first;
        }
        if first > node.durable() / 4 {
            break;
        }
    }
    assert!(first > 10, "what defines the sales is gone");
    for (deed, key) in [
        (&["HSET", "sluice:{1}:sku_sales", "m-1", "early"][..], "m-1"),
        (&["HSET", "sluice:{1}:sale:early", "ended", "0"], "early"),
        (&["HSET", "sluice:{1}:sale:paused", "paused", "0"], "paused"),
        (&["DEL", "sluice:{1}:sale:paused"], "paused"),
        (&["SADD", "sluice:{1}:skus", "phantom"], "phantom"),
        (&["SREM", "sluice:{1}:skus", "untold"], "untold"),
        (&["SET", "sluice:{1}:sku:nothing", "x"], "nothing"),
    ] {
        cli(&redis, deed);
        let report = node.audit(&redis.url());
        let told = report.differences.iter().any(|difference| difference.key == key);
        assert!(told, "{deed:?}: {report:?}");
    }
}

#[test]
fn a_sale_that_was_passed_over_is_judged_by_what_was_stored() {
    let (node, redis) = (Node::lived(DEFAULT), redis());
    define(&node, "first", 0..3);
    let sink = node.sink(&redis.url());
    let status = sink.status().clone();
    node.caught_up(&status);
    // It refuses the next definition, which gives a SKU away.
    let key = "sluice:{1}:sale:first";
    let skus = cli(&redis, &["HGET", key, "skus"]);
    cli(&redis, &["HSET", key, "skus", "no list"]);
    define(&node, "first", 1..3);
    until("it stops", || status.poison().is_some());
    let (sequence, why) = (status.poison().expect("a record"), Box::from("a test"));
    let skip = SkipRecord { sink: SinkName::Redis, sequence, why, request: REQUEST };
    ask(&node.handle, Command::SkipRecord(Box::new(skip)));
    node.caught_up(&status);
    cli(&redis, &["HSET", key, "skus", &skus]);
    define(&node, "second", 0..1);
    move_sale(&node, "first", SaleMove::Paused);
    node.caught_up(&status);
    sink.stop();
    assert_eq!((in_sale(&redis, "m-0"), in_sale(&redis, "m-1")), ("second".into(), "first".into()));
    let report = node.audit(&redis.url());
    assert!(report.is_clean() && report.skipped.len() == 1, "{report:?}");
}

#[test]
fn what_was_trimmed_comes_back_from_the_archive() {
    let (mut node, redis) = (Node::of_small_segments(), redis());
    define(&node, "early", 0..3);
    Life::lived(&node.handle);
    node.copy(&redis);
    let whole = everything(&redis);
    let archive = tempfile::tempdir().expect("temporary folder");
    let segments = node.segments();
    for segment in &segments[..segments.len() / 2] {
        let name = segment.file_name().expect("a name");
        std::fs::rename(segment, archive.path().join(name)).expect("moved");
    }
    node.archive = Some(archive.path().to_path_buf());
    cli(&redis, &["FLUSHALL"]);
    node.copy(&redis);
    assert_eq!(everything(&redis), whole);
    node.is_well(&redis.url());
}
