//! What bad things the database meets, and what orders notice of it: nothing (I7). The lag is seen,
//! the copy catches up, the audit finds no difference (I8).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};

use crate::harness::{Client, Server, audit, buyer};
use crate::small_disk::SmallDisk;

const LAG: &str = "sluice_sink_lag_records{sink=\"sql\"}";

/// Places orders, all of which must be taken, and cancels every second one.
fn sell(server: &Server, round: &str, orders: usize) {
    let mut client = Client::connect(server.buyers);
    for number in 0..orders {
        let token = buyer(&format!("b{number}"));
        let fields = format!("{token}Idempotency-Key: {round}-{number}\r\n");
        let body = json!({"sku": "phone", "quantity": 1});
        let answer = client.call("POST", "/v1/orders", &fields, Some(&body));
        assert_eq!(answer.status, 201, "{round} {number}: {}", answer.json());
        if number % 2 == 0 {
            let order = answer.json();
            let path = format!("/v1/orders/{}/cancel", order["order_id"].as_str().expect("an id"));
            assert_eq!(client.call("POST", &path, &token, None).status, 200);
        }
    }
}

/// Waits until there was trouble of a kind, while orders go on.
fn until_trouble(server: &Server, kind: &str) {
    let name = format!("sluice_sink_errors_total{{sink=\"sql\",kind=\"{kind}\"}}");
    while server.metric(&name) == 0.0 {}
    assert_eq!(server.operate("GET", "/readyz", None).status, 200, "{kind}: orders are taken");
}

fn until_well(server: &Server) {
    server.caught_up();
    while server.operate("GET", "/healthz", None).json()["status"] != "ok" {}
}

/// Audits beside the server, stops it, audits again.
fn judge(server: Server, audit: impl Fn() -> (Option<i32>, String)) {
    let (code, text) = audit();
    assert_eq!(code, Some(0), "{text}");
    server.stop();
    let (code, text) = audit();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("lag                0 records"), "{text}");
}

fn block_on<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(work)
}

async fn open(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    options.connect().await.expect("opened")
}

#[test]
fn a_locked_database_holds_up_no_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), &[]);
    server.stock("phone", 1_000, 0);
    server.caught_up();
    let database = folder.path().join("sluice.db");
    block_on(async {
        let mut other = open(&database).await;
        other.execute("BEGIN EXCLUSIVE").await.expect("locked");
        sell(&server, "locked", 20);
        until_trouble(&server, "locked");
        assert!(server.metric(LAG) > 0.0);
        let health = server.operate("GET", "/healthz", None);
        assert_eq!((health.status, &health.json()["status"]), (200, &json!("degraded")));
        let audit = server.operate("GET", "/admin/v1/audit", None).json();
        let sink = &audit["sinks"][0];
        assert_eq!((&sink["name"], &sink["state"]), (&json!("sql"), &json!("waiting")));
        assert!(sink["lag_records"].as_u64() > Some(0), "{sink}");
        assert!(sink["last_error"].as_str().is_some_and(|text| text.contains("locked")), "{sink}");
        other.execute("ROLLBACK").await.expect("released");
        other.close().await.expect("closed");
    });
    until_well(&server);
    judge(server, || audit(folder.path(), &[]));
}

#[test]
fn a_database_that_is_deleted_while_it_is_written_is_built_anew() {
    for endings in [&[""][..], &["", "-wal", "-shm", "-synced"]] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(folder.path(), &[]);
        server.stock("phone", 1_000, 0);
        sell(&server, "before", 20);
        until_synced(&server);
        for ending in endings {
            // The last ones may not be there.
            let _ = fs::remove_file(folder.path().join(format!("sluice.db{ending}")));
        }
        sell(&server, "after", 20);
        while server.metric("sluice_sink_connections_total{sink=\"sql\"}") < 2.0 {}
        until_well(&server);
        judge(server, || audit(folder.path(), &[]));
    }
}

/// A copy of the database, as it is at rest.
fn copy(folder: &Path) -> PathBuf {
    let copy = folder.join("older.db");
    fs::copy(folder.join("sluice.db"), &copy).expect("copied");
    copy
}

fn until_synced(server: &Server) {
    while server.metric("sluice_sink_synced{sink=\"sql\"}")
        < server.metric("sluice_journal_durable")
    {}
}

#[test]
fn an_older_copy_that_is_put_in_place_while_the_server_runs_is_caught_up() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), &[]);
    server.stock("phone", 1_000, 0);
    sell(&server, "first", 20);
    until_synced(&server);
    let older = copy(folder.path());
    sell(&server, "second", 20);
    // Nothing of it is left in the log beside the file.
    until_synced(&server);
    fs::rename(older, folder.path().join("sluice.db")).expect("replaced");
    sell(&server, "third", 20);
    while server.metric("sluice_sink_rewinds_total{sink=\"sql\"}") == 0.0 {}
    until_well(&server);
    judge(server, || audit(folder.path(), &[]));
}

#[test]
fn an_older_copy_that_is_put_in_place_while_the_server_is_stopped_is_caught_up() {
    for kill in [false, true] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(folder.path(), &[]);
        server.stock("phone", 10_000, 0);
        sell(&server, "first", 20);
        until_synced(&server);
        let older = copy(folder.path());
        sell(&server, "second", 500);
        until_synced(&server);
        sell(&server, "third", 20);
        match kill {
            true => drop(server),
            false => server.stop(),
        }
        // As one does it in a hurry: the file alone, whatever lies beside it.
        fs::write(folder.path().join("sluice.db"), fs::read(&older).expect("read")).expect("put");
        let server = Server::start(folder.path(), &[]);
        sell(&server, "fourth", 20);
        until_well(&server);
        judge(server, || audit(folder.path(), &[]));
    }
}

#[test]
fn a_full_disk_under_the_database_holds_up_no_order() {
    let (folder, small) = (tempfile::tempdir(), tempfile::tempdir());
    let (folder, small) = (folder.expect("a folder"), small.expect("another"));
    let disk = SmallDisk::mount(small.path(), "8m");
    let url = format!("sqlite://{}", small.path().join("copy.db").display());
    let server = disk.serve(folder.path(), &["--database-url", &url]);
    server.stock("phone", 10_000, 0);
    sell(&server, "before", 20);
    server.caught_up();
    disk.fill();
    let mut round = 0;
    while server.metric("sluice_sink_errors_total{sink=\"sql\",kind=\"full\"}") == 0.0 {
        sell(&server, &format!("full-{round}"), 20);
        round += 1;
    }
    sell(&server, "full", 20);
    until_trouble(&server, "full");
    assert!(server.metric(LAG) > 0.0);
    disk.free();
    sell(&server, "after", 20);
    until_well(&server);
    judge(server, || disk.audit(folder.path(), &["--database-url", &url]));
}

#[test]
fn a_database_on_a_read_only_disk_holds_up_no_order() {
    let (folder, small) = (tempfile::tempdir(), tempfile::tempdir());
    let (folder, small) = (folder.expect("a folder"), small.expect("another"));
    let disk = SmallDisk::mount(small.path(), "8m");
    let url = format!("sqlite://{}", small.path().join("copy.db").display());
    let server = disk.serve(folder.path(), &["--database-url", &url]);
    server.stock("phone", 10_000, 0);
    sell(&server, "before", 20);
    server.stop();
    // Root may write whatever a file's mode says: only a read-only mount stops it.
    disk.remount(true);
    let server = disk.serve(folder.path(), &["--database-url", &url]);
    sell(&server, "read-only", 20);
    until_trouble(&server, "read_only");
    assert!(server.metric(LAG) > 0.0);
    disk.remount(false);
    until_well(&server);
    judge(server, || disk.audit(folder.path(), &["--database-url", &url]));
}

#[test]
fn a_database_of_another_journal_stops_the_sink_alone() {
    let (folder, other) = (tempfile::tempdir(), tempfile::tempdir());
    let (folder, other) = (folder.expect("a folder"), other.expect("another"));
    let server = Server::start(other.path(), &[]);
    server.stock("phone", 10, 0);
    server.stop();
    let url = format!("sqlite://{}", other.path().join("sluice.db").display());
    let server = Server::start(folder.path(), &["--database-url", &url]);
    server.stock("phone", 100, 0);
    until_trouble(&server, "foreign");
    sell(&server, "on", 20);
    assert_eq!(server.metric("sluice_sink_state{sink=\"sql\",state=\"stopped\"}"), 1.0);
    assert_eq!(server.operate("GET", "/healthz", None).json()["status"], "degraded");
    let (code, text) = audit(folder.path(), &["--database-url", &url]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("watermarks: cell 1: journal"), "{text}");
    server.stop();
}

#[test]
fn an_audit_says_what_differs_and_where() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (code, text) = audit(folder.path(), &[]);
    assert_eq!(code, Some(74), "there is no journal: {text}");
    let server = Server::start(folder.path(), &[]);
    server.stock("phone", 1_000, 0);
    sell(&server, "first", 4);
    server.stop();
    let (code, text) = audit(folder.path(), &["--database-url", "sqlite:///nowhere/x.db"]);
    assert_eq!(code, Some(64), "{text}");
    block_on(async {
        let mut other = open(&folder.path().join("sluice.db")).await;
        let eve =
            "UPDATE orders SET buyer = 'eve' WHERE order_id = (SELECT MAX(order_id) FROM orders)";
        other.execute(eve).await.expect("done");
        other.execute("DELETE FROM order_events WHERE sequence = 4").await.expect("done");
        other.close().await.expect("closed");
    });
    let (code, text) = audit(folder.path(), &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("differences        2"), "{text}");
    assert!(text.contains("order_events: cell 1, sequence 4: row: expected present"), "{text}");
    assert!(text.contains("found \"eve\" (sequence "), "{text}");
    let (code, text) = audit(folder.path(), &["--json", "--differences", "1"]);
    let line = text.lines().next().expect("a line");
    let report: Value = serde_json::from_str(line).expect("valid JSON");
    assert_eq!((code, &report["differences_count"]), (Some(1), &json!(2)));
    assert_eq!(report["differences"].as_array().map(Vec::len), Some(1));
    assert_eq!((&report["compared"]["orders"], &report["oversold"]), (&json!(4), &json!(0)));
}
