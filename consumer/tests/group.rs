//! Consumers of one group against a real Redis: each event's effect happens once.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use sluice_services::{Redis, RedisOptions};

/// How often something is looked at until it must be so.
const LOOKS_MAX: u32 = 10_000;

const EVENTS: &str = "sluice:{1}:events";

fn redis() -> Redis {
    Redis::start(&RedisOptions::default()).expect("Redis starts")
}

fn cli(redis: &Redis, words: &[&str]) -> String {
    redis.cli(words).expect("an answer")
}

/// Adds entries as the sink does: not every record is an order's event.
fn add(redis: &Redis, sequences: impl Iterator<Item = u64>) {
    add_of(redis, "a-journal", sequences);
}

fn add_of(redis: &Redis, journal: &str, sequences: impl Iterator<Item = u64>) {
    let mut script =
        format!("redis.call('HSET', 'sluice:{{1}}:watermark', 'journal', '{journal}')\n");
    for sequence in sequences.map(|number| 2 * number) {
        let kind = if sequence % 6 == 0 { "cancelled" } else { "placed" };
        script += &format!(
            "redis.call('XADD', '{EVENTS}', '{sequence}-0', 'kind', '{kind}', 'order_id', \
             'order-{sequence}', 'version', '1')\n"
        );
    }
    cli(redis, &["EVAL", &script, "0"]);
}

fn start(redis: &Redis, state: &Path, name: &str, more: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-consumer"));
    command.args(["--redis-url", &redis.url(), "--consumer", name, "--state"]).arg(state);
    command.args(["--batch", "7"]).args(more).stdout(Stdio::piped());
    command.spawn().expect("it starts")
}

/// Lets one go on until nothing is left. Gives what it printed.
fn finish(redis: &Redis, state: &Path, name: &str) -> String {
    let child = start(redis, state, name, &["--exit-when-idle", "--claim-after", "0"]);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("text")
}

/// One number out of the database of effects.
fn count(state: &Path, query: &'static str) -> i64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        use sqlx::{ConnectOptions as _, Connection as _};
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(state).read_only(true);
        let Ok(mut connection) = options.connect().await else { return 0 };
        let found = sqlx::query_scalar(query).fetch_one(&mut connection).await;
        connection.close().await.expect("closed");
        found.unwrap_or(0)
    })
}

fn events(state: &Path) -> i64 {
    count(state, "SELECT COUNT(*) FROM events")
}

fn mails(state: &Path) -> i64 {
    count(state, "SELECT COUNT(*) FROM mails")
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..LOOKS_MAX {
        if is_so() {
            return;
        }
        thread::park_timeout(Duration::from_millis(1));
    }
    panic!("never came true: {what}");
}

#[test]
fn what_a_dead_consumer_left_is_claimed_and_done_once() {
    let (redis, folder) = (redis(), tempfile::tempdir().expect("a folder"));
    let state = folder.path().join("mails.db");
    add(&redis, 1..=600);
    // One that dies between reading and doing, and one that is killed anywhere.
    cli(&redis, &["XGROUP", "CREATE", EVENTS, "mails", "0"]);
    let read = ["XREADGROUP", "GROUP", "mails", "gone", "COUNT", "5", "STREAMS", EVENTS, ">"];
    cli(&redis, &read);
    let mut killed = start(&redis, &state, "killed", &["--claim-after", "3600"]);
    until("it has begun", || events(&state) > 0);
    killed.kill().expect("killed");
    killed.wait().expect("it is dead");
    finish(&redis, &state, "heir");
    assert_eq!((events(&state), mails(&state)), (600, 400));
    assert!(cli(&redis, &["XPENDING", EVENTS, "mails"]).starts_with('0'));
}

#[test]
fn two_share_the_work() {
    let (redis, folder) = (redis(), tempfile::tempdir().expect("a folder"));
    let state = folder.path().join("mails.db");
    add(&redis, 1..=300);
    let mut other = start(&redis, &state, "other", &[]);
    until("it has begun", || events(&state) > 0);
    finish(&redis, &state, "one");
    let pid = other.id().to_string();
    Command::new("kill").args(["-TERM", &pid]).status().expect("told");
    assert!(other.wait().expect("it ends").success(), "told to end, it ends in order");
    assert_eq!((events(&state), mails(&state)), (300, 200));
}

#[test]
fn after_a_wiped_redis_was_filled_again_nothing_is_done_twice() {
    let (redis, folder) = (redis(), tempfile::tempdir().expect("a folder"));
    let state = folder.path().join("mails.db");
    add(&redis, 1..=100);
    let mut running = start(&redis, &state, "running", &[]);
    until("it is done", || events(&state) == 100);
    cli(&redis, &["FLUSHALL"]);
    add(&redis, 1..=150);
    until("it goes on", || events(&state) == 150);
    running.kill().expect("killed");
    running.wait().expect("it is dead");
    cli(&redis, &["FLUSHALL"]);
    add(&redis, 1..=200);
    finish(&redis, &state, "next");
    assert_eq!(events(&state), 200);
    assert_eq!(mails(&state), 134);
}

#[test]
fn another_journal_counts_anew() {
    let (redis, folder) = (redis(), tempfile::tempdir().expect("a folder"));
    let state = folder.path().join("mails.db");
    add(&redis, 1..=30);
    finish(&redis, &state, "one");
    assert_eq!(events(&state), 30);
    cli(&redis, &["FLUSHALL"]);
    add_of(&redis, "another", 1..=30);
    let mut running = start(&redis, &state, "two", &[]);
    until("all are done", || events(&state) == 60);
    // While it runs as well; and those of the first are known still.
    cli(&redis, &["FLUSHALL"]);
    add_of(&redis, "a third", 1..=40);
    until("all are done", || events(&state) == 100);
    running.kill().expect("killed");
    running.wait().expect("it is dead");
    cli(&redis, &["FLUSHALL"]);
    add(&redis, 1..=31);
    finish(&redis, &state, "three");
    assert_eq!(events(&state), 101);
}

#[test]
fn a_stream_that_was_trimmed_past_the_group_is_told() {
    let (redis, folder) = (redis(), tempfile::tempdir().expect("a folder"));
    let state = folder.path().join("mails.db");
    add(&redis, 1..=10);
    finish(&redis, &state, "one");
    add(&redis, 11..=30);
    cli(&redis, &["XTRIM", EVENTS, "MINID", "50-0"]);
    cli(&redis, &["HSET", "sluice:{1}:watermark", "events_from", "50"]);
    let mut running = start(&redis, &state, "two", &["--exit-when-idle"]);
    running.wait().expect("it ends");
    let output = running.wait_with_output().expect("read");
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(said.contains("gap: the stream is whole from 50 on, 20 was delivered last"), "{said}");
}

#[test]
fn own_entries_that_were_trimmed_are_a_gap_and_not_done() {
    let (redis, folder) = (redis(), tempfile::tempdir().expect("a folder"));
    let state = folder.path().join("mails.db");
    add(&redis, 1..=10);
    cli(&redis, &["XGROUP", "CREATE", EVENTS, "mails", "0"]);
    let read = ["XREADGROUP", "GROUP", "mails", "one", "COUNT", "3", "STREAMS", EVENTS, ">"];
    cli(&redis, &read);
    cli(&redis, &["XTRIM", EVENTS, "MINID", "6-0"]);
    // Nothing is claimed: it reads them as its own.
    let running = start(&redis, &state, "one", &["--exit-when-idle", "--claim-after", "3600"]);
    let output = running.wait_with_output().expect("it ends");
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(said.contains("gap: entries 2-0, 4-0 were trimmed before they were done"), "{said}");
    assert_eq!(events(&state), 8);
    assert_eq!(count(&state, "SELECT MIN(sequence) FROM events"), 6);
    assert!(cli(&redis, &["XPENDING", EVENTS, "mails"]).starts_with('0'));
}

#[test]
fn what_is_claimable_lies_behind_much_that_is_not() {
    let (redis, folder) = (redis(), tempfile::tempdir().expect("a folder"));
    let state = folder.path().join("mails.db");
    add(&redis, 1..=300);
    cli(&redis, &["XGROUP", "CREATE", EVENTS, "mails", "0"]);
    for (name, count) in [("busy", "299"), ("gone", "1")] {
        let read = ["XREADGROUP", "GROUP", "mails", name, "COUNT", count, "STREAMS", EVENTS, ">"];
        cli(&redis, &read);
    }
    // The last was left an hour ago; one look is at ten times a batch.
    let left = ["XCLAIM", EVENTS, "mails", "gone", "0", "600-0", "IDLE", "3600000", "JUSTID"];
    cli(&redis, &left);
    let mut running = start(&redis, &state, "heir", &["--claim-after", "1800"]);
    until("it was claimed", || events(&state) == 1);
    running.kill().expect("killed");
    running.wait().expect("it is dead");
}
