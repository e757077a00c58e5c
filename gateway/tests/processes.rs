//! The process: exit codes, signals, one server per directory, a damaged journal, a failing disk.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::thread;

use serde_json::{Value, json};

use crate::harness::{Client, Server, buyer, command};

fn run(folder: &Path, flags: &[&str]) -> (Option<i32>, String) {
    let output: Output = command(folder, flags).output().expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn place(client: &mut Client, who: &str, key: &str) -> Option<crate::harness::Answer> {
    let fields = format!("{}Idempotency-Key: {key}\r\n", buyer(who));
    let body = json!({"sku": "phone", "quantity": 1});
    client.send("POST", "/v1/orders", &fields, Some(&body));
    client.answer(false)
}

#[test]
fn a_wrong_setting_names_key_value_and_range() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (flags, parts) in [
        (["--shards", "0"], ["--shards", "\"0\"", "1 to 64"]),
        (["--segment-bytes", "7"], ["--segment-bytes", "\"7\"", "1048576"]),
        (["--payment-provider", "bank"], ["--payment-provider", "\"bank\"", "sandbox"]),
        (["--payment-extension", "-1s"], ["--payment-extension", "\"-1s\"", "1h"]),
        (["--listen", "nowhere"], ["--listen", "\"nowhere\"", "127.0.0.1:8080"]),
        (["--config", "/nowhere.toml"], ["--config", "/nowhere.toml", "No such file"]),
    ] {
        let (code, text) = match flags[0] {
            // Given already by the harness: the command line takes each flag once.
            "--listen" | "--segment-bytes" => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
                let output = command.arg("serve").args(flags).arg("--data-dir").arg(folder.path());
                let output = output.output().expect("it runs");
                (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
            }
            _ => run(folder.path(), &flags),
        };
        assert_eq!(code, Some(64), "{flags:?} {text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{flags:?} {text}");
    }
    for flags in [["--nonsense", "1"], ["--shards", "x"]] {
        assert_eq!(run(folder.path(), &flags).0, Some(64), "{flags:?}");
    }
    let mut weak = command(folder.path(), &[]);
    let output = weak.env("SLUICE_JWT_SECRET", "canary-short").output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64));
    assert!(text.contains("SLUICE_JWT_SECRET") && !text.contains("canary"), "{text}");
    let left = fs::read_dir(folder.path()).expect("listed").count();
    assert_eq!(left, 0, "who is refused leaves nothing behind");

    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let mut late = Command::new(env!("CARGO_BIN_EXE_sluice"));
    late.args(["serve", "--listen", &address, "--data-dir"]).arg(folder.path());
    let output = late.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64));
    assert!(text.contains(&address) && text.contains("cannot listen"), "{text}");

    let left = fs::read_dir(folder.path().join("journal")).expect("listed");
    let left: Vec<_> = left.map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(left, ["lock"], "no journal is begun before the addresses are had");

    let mut same = Command::new(env!("CARGO_BIN_EXE_sluice"));
    same.args(["serve", "--listen", "127.0.0.1:7", "--ops-listen", "127.0.0.1:7"]);
    let output = same.output().expect("it runs");
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("ops-listen"), "{output:?}");

    let file = folder.path().join("file");
    fs::write(&file, "").expect("written");
    let (code, text) = run(&file, &[]);
    assert_eq!(code, Some(64), "{text}");
    assert!(text.contains("data-dir"), "{text}");
}

#[test]
fn the_command_line_explains_itself() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_sluice")).args(arguments).output();
        let output = output.expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for command in ["serve", "token"] {
        assert!(run(&["--help"]).1.contains(command));
    }
    assert_eq!(run(&["--version"]), (Some(0), format!("sluice {}\n", env!("CARGO_PKG_VERSION"))));
    assert_eq!((run(&[]).0, run(&["nonsense"]).0), (Some(64), Some(64)));
}

#[test]
fn tokens_are_signed_with_the_nodes_secret() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = command(folder.path(), &[]);
    let server = Server::spawn(server.env_remove("SLUICE_JWT_SECRET"));
    let token = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        let command = command.arg("token").args(arguments).arg("--data-dir").arg(folder.path());
        let output = command.output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let (code, printed) = token(&["--buyer", "alice", "--ttl", "5m"]);
    let fields = format!("Authorization: Bearer {printed}\r\n");
    let answer = Client::connect(server.buyers).call("GET", "/v1/orders", &fields, None);
    assert_eq!((code, answer.status), (Some(0), 200));
    assert_eq!(token(&["--buyer", "a b"]).0, Some(64));
    assert_eq!(token(&["--buyer", "a", "--ttl", "1 week"]).0, Some(64));
    server.stop();
}

#[test]
fn a_second_server_on_the_directory_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), &[]);
    let (code, text) = run(folder.path(), &[]);
    assert_eq!(code, Some(75), "{text}");
    // The same command twice: the addresses are taken too.
    let mut same = Command::new(env!("CARGO_BIN_EXE_sluice"));
    let (buyers, operators) = (server.buyers.to_string(), server.operators.to_string());
    same.args(["serve", "--listen", &buyers, "--ops-listen", &operators, "--data-dir"]);
    let output = same.arg(folder.path()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    server.stop();
}

#[test]
fn sigterm_under_load_loses_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), &["--shards", "2"]);
    server.stock("phone", 1_000_000, 0);
    let made: Mutex<Vec<(usize, Value)>> = Mutex::default();
    thread::scope(|scope| {
        for number in 0..64 {
            let (server, made) = (&server, &made);
            scope.spawn(move || {
                let mut client = Client::connect(server.buyers);
                for attempt in 0.. {
                    let Some(answer) =
                        place(&mut client, &format!("b{number}"), &format!("k{attempt}"))
                    else {
                        return;
                    };
                    match answer.status {
                        201 => {
                            let mut made = made.lock().expect("no panic");
                            made.push((number, answer.json()));
                            if made.len() == 500 {
                                server.terminate();
                            }
                        }
                        503 => assert_eq!(answer.json()["code"], "shutting_down"),
                        status => panic!("{status}"),
                    }
                }
            });
        }
    });
    let (status, text) = server.end();
    assert!(status.success(), "{status} {text}");
    let server = Server::start(folder.path(), &[]);
    let mut client = Client::connect(server.buyers);
    let made = made.into_inner().expect("no panic");
    assert!(made.len() >= 500);
    for (number, order) in &made {
        let path = format!("/v1/orders/{}", order["order_id"].as_str().expect("an id"));
        let found = client.call("GET", &path, &buyer(&format!("b{number}")), None);
        assert_eq!((found.status, found.json()), (200, order.clone()));
    }
    assert!(server.counters("phone")["held"].as_u64() >= Some(made.len() as u64));
    server.stop();
}

/// A journal of some orders, whose server was killed or stopped.
fn journal(kill: bool) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), &[]);
    server.stock("phone", 1_000, 0);
    let mut client = Client::connect(server.buyers);
    for number in 0..20 {
        assert_eq!(place(&mut client, "a", &format!("k{number}")).map(|a| a.status), Some(201));
    }
    if kill {
        drop(server);
    } else {
        server.stop();
    }
    let mut segments: Vec<PathBuf> = fs::read_dir(folder.path().join("journal"))
        .expect("listed")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| fs::metadata(path).is_ok_and(|metadata| metadata.len() > 4_096))
        .collect();
    segments.sort();
    let first = segments.remove(0);
    (folder, first)
}

/// Where the written part of a segment ends: behind its last byte that is not zero.
fn written(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

#[test]
fn a_damaged_middle_is_refused_with_its_place() {
    let (folder, segment) = journal(false);
    let mut bytes = fs::read(&segment).expect("read");
    let middle = written(&bytes) / 2 / 512 * 512 + 80;
    bytes[middle] ^= 0xff;
    fs::write(&segment, bytes).expect("written");
    let (code, text) = run(folder.path(), &[]);
    assert_eq!(code, Some(65), "{text}");
    for word in ["segment", "offset", "sequence"] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn a_torn_tail_is_cut_with_one_line_in_the_log() {
    let (folder, segment) = journal(true);
    let mut bytes = fs::read(&segment).expect("read");
    let end = written(&bytes).next_multiple_of(512);
    bytes[end..end + 512].fill(0x5a);
    fs::write(&segment, bytes).expect("written");
    let server = Server::start(folder.path(), &[]);
    assert_eq!(server.counters("phone")["held"], 20);
    server.terminate();
    let (status, log) = server.end();
    let lines = log.lines().filter(|line| line.contains("torn")).count();
    assert!(status.success() && lines == 1, "{lines}: {log}");
}

#[test]
fn the_journal_can_be_verified_and_dumped() {
    let (folder, segment) = journal(false);
    let read = |task: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        let output = command.args(["journal", task, "--data-dir"]).arg(folder.path()).output();
        let output = output.expect("it runs");
        let text =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("text"));
        (output.status.code(), text.concat())
    };
    let (code, text) = read("verify");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("23 records up to sequence 23, 23 durable"), "{text}");
    let (code, text) = read("dump");
    assert_eq!(code, Some(0), "{text}");
    let events: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["kind"].as_str()).collect();
    assert_eq!(kinds[..4], ["genesis", "sku_defined", "lot_received", "order_placed"]);
    for (event, sequence) in events.iter().zip(1..) {
        assert_eq!(event["sequence"], sequence, "no gap");
    }
    assert_eq!(events[22]["idempotency_key"], "k19");
    let mut bytes = fs::read(&segment).expect("read");
    let middle = written(&bytes) / 2 / 512 * 512 + 80;
    bytes[middle] ^= 0xff;
    fs::write(&segment, bytes).expect("written");
    assert_eq!((read("verify").0, read("dump").0), (Some(65), Some(65)));
}

#[test]
fn the_demo_ends_with_a_clean_audit() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.args(["demo", "--exit", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    let output = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}{log}");
    assert!(text.contains("oversold 0\nlost 0\n"), "{text}{log}");
}

/// A server under strace, which makes some system calls fail.
fn injected(folder: &Path, flags: &[&str], inject: &str) -> Command {
    let plain = command(folder, flags);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", inject]).arg(plain.get_program());
    strace.args(plain.get_args());
    strace.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    strace.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    strace
}

#[test]
fn nothing_is_acknowledged_after_a_failed_sync_or_write() {
    for inject in [
        "inject=fdatasync:error=EIO:when=20+",
        "inject=fdatasync:error=EIO:when=20",
        "inject=pwrite64:error=EIO:when=40",
        "inject=pwrite64:error=ENOSPC:when=40+",
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(folder.path(), &[]);
        server.stock("phone", 1_000, 0);
        server.stop();
        let server = Server::spawn(&mut injected(folder.path(), &[], inject));
        let mut client = Client::connect(server.buyers);
        let mut made = Vec::new();
        for number in 0.. {
            match place(&mut client, "a", &format!("k{number}")) {
                Some(answer) if answer.status == 201 => made.push(answer.json()),
                Some(answer) => assert!(answer.status >= 500, "{inject}: {answer:?}"),
                None => break,
            }
        }
        let (status, text) = server.end();
        assert_eq!(status.code(), Some(74), "{inject}: {text}");
        assert!(!made.is_empty(), "{inject}");
        let server = Server::start(folder.path(), &[]);
        let mut client = Client::connect(server.buyers);
        for order in &made {
            let path = format!("/v1/orders/{}", order["order_id"].as_str().expect("an id"));
            let found = client.call("GET", &path, &buyer("a"), None);
            assert_eq!((found.status, found.json()), (200, order.clone()), "{inject}");
        }
        server.stop();
    }
}

#[test]
fn a_full_lane_sheds_orders_while_cancels_pass() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), &["--shards", "1"]);
    server.stock("phone", 1_000_000, 0);
    let mut client = Client::connect(server.buyers);
    let order = place(&mut client, "owner", "first").expect("an answer").json();
    server.stop();
    // Each sync takes a while, so that orders pile up in front of the one shard.
    let inject = "inject=fdatasync:delay_enter=200000:when=10+";
    let flags = ["--shards", "1", "--queue-capacity", "2"];
    let server = Server::spawn(&mut injected(folder.path(), &flags, inject));
    let statuses: Mutex<Vec<u16>> = Mutex::default();
    let cancelled = thread::scope(|scope| {
        for number in 0..64 {
            let (server, statuses) = (&server, &statuses);
            scope.spawn(move || {
                let mut client = Client::connect(server.buyers);
                for attempt in 0.. {
                    let key = format!("{number}-{attempt}");
                    let answer = place(&mut client, "crowd", &key).expect("an answer");
                    statuses.lock().expect("no panic").push(answer.status);
                    match answer.status {
                        201 if attempt < 10 => {}
                        201 => return,
                        503 => {
                            assert_eq!(answer.json()["code"], "overloaded");
                            assert!(answer.field("retry-after").is_some());
                            return;
                        }
                        status => panic!("{status}"),
                    }
                }
            });
        }
        let path = format!("/v1/orders/{}/cancel", order["order_id"].as_str().expect("an id"));
        Client::connect(server.buyers).call("POST", &path, &buyer("owner"), None)
    });
    assert_eq!((cancelled.status, &cancelled.json()["status"]), (200, &json!("cancelled")));
    let statuses = statuses.into_inner().expect("no panic");
    assert!(statuses.contains(&503) && statuses.contains(&201), "{statuses:?}");
    let placed = statuses.iter().filter(|status| **status == 201).count() as u64;
    assert_eq!(server.counters("phone")["held"], placed, "I4 a refusal has no effect");
    drop(server);
}
