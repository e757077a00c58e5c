//! Snapshots, trimming and the archive beside a server that sells, and a start after `kill -9`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use serde_json::{Value, json};

use crate::harness::{Client, Server, buyer};

/// Buyers who order at the same time, each with as many keys as one may have.
const BUYERS: usize = 32;

/// Orders of one buyer at most.
const ORDERS_MAX: usize = 1_000;

fn journal(folder: &Path, flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.arg("journal").args(flags).arg("--data-dir").arg(folder);
    command.output().expect("it runs")
}

pub(crate) fn metric(server: &Server, name: &str) -> u64 {
    let answer = Client::connect(server.operators).call("GET", "/metrics", "", None);
    let text = String::from_utf8(answer.body).expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
}

fn files(folder: &Path, ending: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("listed");
    let names = entries.map(|entry| entry.expect("listed").file_name().to_string_lossy().into());
    let mut names: Vec<String> = names.filter(|name: &String| name.ends_with(ending)).collect();
    names.sort_unstable();
    names
}

/// Orders until `enough` says so, and waits for it if it comes late: upkeep gives way to orders.
/// Gives what was acknowledged, with who ordered it.
pub(crate) fn order_until(server: &Server, enough: impl Fn() -> bool) -> Vec<(usize, Value)> {
    let mut acknowledged = Vec::new();
    for round in 0..ORDERS_MAX / 50 {
        if enough() {
            return acknowledged;
        }
        let buyers = (0..BUYERS).map(|who| {
            let mut client = Client::connect(server.buyers);
            thread::spawn(move || {
                let token = buyer(&format!("buyer-{who}"));
                let body = json!({"sku": "phone", "quantity": 1});
                let orders = (round * 50..(round + 1) * 50).map(|key| {
                    let fields = format!("{token}Idempotency-Key: k{key}\r\n");
                    let answer = client.call("POST", "/v1/orders", &fields, Some(&body));
                    assert_eq!(answer.status, 201, "{}", answer.json());
                    (who, answer.json())
                });
                orders.collect::<Vec<_>>()
            })
        });
        let buyers: Vec<_> = buyers.collect();
        acknowledged.extend(buyers.into_iter().flat_map(|buyer| buyer.join().expect("no panic")));
    }
    while !enough() {}
    acknowledged
}

#[test]
fn a_start_goes_on_from_a_snapshot_and_trimmed_segments_are_in_the_archive() {
    let (folder, archive) = (tempfile::tempdir(), tempfile::tempdir());
    let (folder, archive) = (folder.expect("a folder"), archive.expect("another"));
    let archived = archive.path().display().to_string();
    let flags =
        ["--snapshot-segments", "1", "--journal-keep-bytes", "0", "--archive-dir", &archived];
    let server = Server::start(folder.path(), &flags);
    server.stock("phone", 1_000_000, 0);
    let acknowledged =
        order_until(&server, || metric(&server, "sluice_segments_trimmed_total") >= 1);
    assert!(metric(&server, "sluice_snapshots_total") >= 2);
    let trimmed_through = metric(&server, "sluice_trimmed_through");
    let in_use = journal(folder.path(), &["trim", "--journal-keep-bytes", "0"]);
    let text = String::from_utf8_lossy(&in_use.stderr).into_owned();
    assert_eq!(in_use.status.code(), Some(75), "{text}");
    drop(server);

    let kept = files(&folder.path().join("journal"), ".segment");
    assert!(!kept.contains(&"0000000000000001.segment".to_owned()), "{kept:?}");
    assert!(files(archive.path(), ".segment")[0] == "0000000000000001.segment");
    let verified = journal(folder.path(), &["verify"]);
    let text = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success(), "{text} {verified:?}");
    assert!(text.contains("whole, up to sequence") && text.contains("was trimmed"), "{text}");

    let server = Server::start(folder.path(), &flags);
    let mut client = Client::connect(server.buyers);
    for (who, order) in acknowledged.iter().step_by(7) {
        let path = format!("/v1/orders/{}", order["order_id"].as_str().expect("an id"));
        let found = client.call("GET", &path, &buyer(&format!("buyer-{who}")), None);
        assert_eq!((found.status, found.json()), (200, order.clone()));
    }
    let held = server.counters("phone")["held"].as_u64().expect("a count");
    assert_eq!(held, acknowledged.len() as u64);
    server.stop();

    let dump = journal(folder.path(), &["dump"]);
    let first = String::from_utf8_lossy(&dump.stdout).lines().next().map(str::to_owned);
    let first: Value = serde_json::from_str(&first.expect("a line")).expect("JSON");
    assert!(first["sequence"].as_u64().expect("a number") > trimmed_through, "{first}");
}

#[test]
fn a_journal_is_trimmed_by_hand_when_no_server_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &["--snapshot-segments", "1"]);
    server.stock("phone", 1_000_000, 0);
    order_until(&server, || metric(&server, "sluice_snapshots_total") >= 2);
    // What it has not stored at the end it keeps.
    while metric(&server, "sluice_sink_synced{sink=\"sql\"}")
        < metric(&server, "sluice_journal_durable")
    {}
    server.stop();

    let unasked = journal(folder.path(), &["trim"]);
    assert_eq!(unasked.status.code(), Some(64));
    let trimmed = journal(folder.path(), &["trim", "--journal-keep-bytes", "0"]);
    let text = String::from_utf8_lossy(&trimmed.stdout).into_owned();
    assert!(trimmed.status.success() && text.contains("segments trimmed"), "{trimmed:?}");
    let again = journal(folder.path(), &["trim", "--journal-keep-bytes", "0"]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("nothing to trim"), "{again:?}");
    assert!(journal(folder.path(), &["verify"]).status.success());

    // Without its snapshots the journal says what is missing.
    for name in files(&folder.path().join("journal"), ".snapshot") {
        fs::remove_file(folder.path().join("journal").join(name)).expect("removed");
    }
    let bare = journal(folder.path(), &["verify"]);
    assert_eq!(bare.status.code(), Some(65), "{bare:?}");
    assert!(String::from_utf8_lossy(&bare.stderr).contains("no snapshot has what came before"));
}
