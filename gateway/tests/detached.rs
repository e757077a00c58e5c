//! A copy that is gone for longer than the journal is kept for it.

use sluice_services::{Redis, RedisOptions};

use crate::harness::{Client, Server, audit};
use crate::outages::sell;
use crate::sinks::sink;
use crate::upkeep::{metric, order_until};

#[test]
fn a_copy_that_is_gone_too_long_is_let_go_and_comes_back_by_the_archive() {
    let (folder, archive) = (tempfile::tempdir(), tempfile::tempdir());
    let (folder, archive) = (folder.expect("a folder"), archive.expect("another"));
    let redis = Redis::start(&RedisOptions::default()).expect("Redis starts");
    let (url, archived) = (redis.url(), archive.path().display().to_string());
    let copies = ["--redis-url", &url, "--archive-dir", &archived];
    let upkeep = [
        ["--snapshot-segments", "1"],
        ["--journal-keep-bytes", "0"],
        ["--journal-max-bytes", "6291456"],
    ];
    let server = Server::start(folder.path(), &[&copies, upkeep.as_flattened()].concat());
    server.stock("phone", 1_000_000, 0);
    sell(&mut Client::connect(server.buyers), "first", 1);
    while server.metric("sluice_sink_lag_records{sink=\"redis\"}") > 0.0 {}

    redis.pause();
    let ordered = order_until(&server, || {
        metric(&server, "sluice_sink_detached{sink=\"redis\"}") == 1
            && metric(&server, "sluice_segments_trimmed_total") >= 1
    });
    assert!(!ordered.is_empty());
    assert_eq!(server.operate("GET", "/healthz", None).json()["status"], "degraded");
    assert_eq!(server.operate("GET", "/readyz", None).status, 200, "orders are taken");
    let (code, told) = sink(&server, folder.path(), &["status"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("detached: the journal is kept no longer for it"), "{told}");

    redis.resume();
    while metric(&server, "sluice_sink_detached{sink=\"redis\"}") == 1 {}
    while server.metric("sluice_sink_lag_records{sink=\"redis\"}") > 0.0 {}
    while server.operate("GET", "/healthz", None).json()["status"] != "ok" {}
    let held = redis.cli(&["HGET", "sluice:{1}:sku:phone", "held"]).expect("read");
    assert_eq!(held, server.counters("phone")["held"].to_string());
    let (code, text) = audit(folder.path(), &copies);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("redis:orders"), "{text}");
    server.stop();
}
