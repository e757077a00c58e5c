//! A record that the database refuses: the sink stops, orders go on, an operator mends the database
//! or passes the record over, and the audit knows.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, Executor as _};

use crate::harness::{ADMIN_TOKEN, Client, Server, audit, buyer, run};

/// Makes the database refuse one buyer's orders.
const REFUSE: &str = "CREATE TRIGGER refuse BEFORE INSERT ON orders WHEN NEW.buyer = 'mallory' \
                      BEGIN SELECT RAISE(ABORT, 'nobody of that name'); END";

fn tell(folder: &Path, statement: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let options = SqliteConnectOptions::new().filename(folder.join("sluice.db"));
        let mut connection = options.connect().await.expect("opened");
        connection.execute(statement).await.expect("done");
        connection.close().await.expect("closed");
    });
}

fn place(server: &Server, who: &str) {
    let body = json!({"sku": "phone", "quantity": 1});
    let mut client = Client::connect(server.buyers);
    assert_eq!(client.call("POST", "/v1/orders", &buyer(who), Some(&body)).status, 201, "{who}");
}

/// Runs `sluice sink` against a server on `folder`. Gives the exit code and what was printed.
pub(crate) fn sink(server: &Server, folder: &Path, words: &[&str]) -> (Option<i32>, String) {
    let mut sink = Command::new(env!("CARGO_BIN_EXE_sluice"));
    sink.arg("sink").args(words).arg("--data-dir").arg(folder);
    sink.args(["--ops-listen", &server.operators.to_string()]);
    run(sink.env("SLUICE_ADMIN_TOKEN", ADMIN_TOKEN))
}

/// A server whose sink has stopped at an order of a buyer whom the database refuses.
fn stopped(folder: &Path) -> (Server, u64) {
    let server = Server::start(folder, &[]);
    server.stock("phone", 1_000, 0);
    server.caught_up();
    tell(folder, REFUSE);
    for who in ["alice", "mallory", "bob"] {
        place(&server, who);
    }
    while server.metric("sluice_sink_stopped_at{sink=\"sql\"}") == 0.0 {}
    let stopped_at = server.metric("sluice_sink_stopped_at{sink=\"sql\"}") as u64;
    assert_eq!(server.operate("GET", "/healthz", None).json()["status"], "degraded");
    assert_eq!(server.operate("GET", "/readyz", None).status, 200, "orders are taken");
    place(&server, "carol");
    (server, stopped_at)
}

#[test]
fn a_record_that_is_refused_is_passed_over_at_an_operators_word() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (server, stopped_at) = stopped(folder.path());
    let sinks = server.operate("GET", "/admin/v1/sinks", None).json();
    let seen = &sinks["sinks"][0];
    assert_eq!((&seen["state"], &seen["stopped_at"]), (&json!("stopped"), &json!(stopped_at)));
    let (code, text) = sink(&server, folder.path(), &["status"]);
    assert_eq!(code, Some(0), "{text}");
    let advice = format!("sluice sink skip {stopped_at}");
    assert!(text.contains("nobody of that name") && text.contains(&advice), "{text}");

    // Only that record, only with a reason, only of a sink that there is.
    let path = "/admin/v1/sinks/sql/skip";
    for (path, body, status) in [
        (path, json!({"sequence": stopped_at + 1, "why": "w"}), 409),
        (path, json!({"sequence": stopped_at}), 400),
        (path, json!({"sequence": 0, "why": "w"}), 400),
        ("/admin/v1/sinks/redis/skip", json!({"sequence": stopped_at, "why": "w"}), 404),
        ("/admin/v1/sinks/mail/skip", json!({"sequence": stopped_at, "why": "w"}), 404),
    ] {
        assert_eq!(server.operate("POST", path, Some(&body)).status, status, "{path} {body}");
    }
    let other = (stopped_at + 1).to_string();
    let (code, text) = sink(&server, folder.path(), &["skip", &other, "--why", "w"]);
    assert!(code == Some(64) && text.contains("no sink has stopped"), "{text}");

    let number = stopped_at.to_string();
    let (code, text) = sink(&server, folder.path(), &["skip", &number, "--why", "not a buyer"]);
    assert_eq!(code, Some(0), "{text}");
    server.caught_up();
    while server.operate("GET", "/healthz", None).json()["status"] != "ok" {}
    let body = json!({"sequence": stopped_at, "why": "again"});
    assert_eq!(server.operate("POST", path, Some(&body)).status, 409, "it goes on");
    server.stop();
    let (code, text) = audit(folder.path(), &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("not a buyer") && text.contains(&number), "{text}");
}

#[test]
fn a_database_that_is_mended_gets_the_record_after_all() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (server, _) = stopped(folder.path());
    // A start changes nothing: the record is still the next one.
    server.stop();
    let server = Server::start(folder.path(), &[]);
    while server.metric("sluice_sink_stopped_at{sink=\"sql\"}") == 0.0 {}
    tell(folder.path(), "DROP TRIGGER refuse");
    server.caught_up();
    server.stop();
    let (code, text) = audit(folder.path(), &[]);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn without_a_server_the_stores_are_asked_and_nobody_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), &[]);
    server.stock("phone", 1_000, 0);
    server.caught_up();
    let operators = server.operators.to_string();
    server.stop();
    let run = |words: &[&str], flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.arg("sink").args(words).args(["--ops-listen", &operators]).args(flags);
        let output = command.arg("--data-dir").arg(folder.path()).output().expect("it runs");
        let texts = [output.stdout, output.stderr];
        let [out, error] = texts.map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.code(), out, error)
    };
    let (code, _, error) = run(&["skip", "3", "--why", "w"], &[]);
    assert_eq!(code, Some(64));
    assert!(error.contains("no server answers"), "{error}");
    let (code, text, _) = run(&["status"], &[]);
    assert!(code == Some(0) && text.contains("0 records behind"), "{code:?} {text}");
    let (code, text, _) = run(&["status", "--json"], &[]);
    let known: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, &known["running"]), (Some(0), &json!(false)));
    assert_eq!(known["sinks"][0]["lag_records"], 0);
    let away = ["--database-url", "postgres://nobody@127.0.0.1:1/none"];
    let (code, text, error) = run(&["status", "--json"], &away);
    let known: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, &known["sinks"][0]["watermark"]), (Some(74), &json!(null)));
    assert!(
        known["sinks"][0]["last_error"].is_string() && error.contains("127.0.0.1:1"),
        "{error}"
    );
}

#[test]
fn nothing_is_erased_that_would_not_come_back() {
    let [own, other] = [(); 2].map(|()| tempfile::tempdir().expect("a temporary folder"));
    for folder in [&own, &other] {
        let server = Server::start(folder.path(), &[]);
        server.stock("phone", 10, 0);
        server.caught_up();
        server.stop();
    }
    let rebuild = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.args(["sink", "rebuild", "sql", "--data-dir"]).arg(own.path()).args(more);
        let output = command.output().expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    let there = format!("sqlite://{}", other.path().join("sluice.db").display());
    let (code, text) = rebuild(&["--database-url", &there]);
    assert!(code == Some(64) && text.contains("copy of journal"), "{text}");
    let (code, text) = audit(other.path(), &[]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = rebuild(&[]);
    assert!(code == Some(0) && text.contains("are erased"), "{text}");
    let (code, text) = rebuild(&[]);
    assert!(code == Some(0) && text.contains("nothing"), "{text}");
    let (code, text) = rebuild(&["--database-url", &there, "--force"]);
    assert_eq!(code, Some(0), "{text}");
}
