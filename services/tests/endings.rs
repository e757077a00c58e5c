//! Servers whose process is killed end with it, and what they leave behind goes with the next.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use sluice_services::{Persistence, Postgres, PostgresOptions, Redis, RedisOptions};

/// Tells a process of this program that it is to be killed, and where its folders go.
const VICTIM: &str = "SLUICE_SERVICES_VICTIM";

#[test]
fn servers_end_when_their_process_is_killed() {
    judge("servers_end_when_their_process_is_killed", false);
}

#[test]
fn paused_servers_end_when_their_process_is_killed() {
    judge("paused_servers_end_when_their_process_is_killed", true);
}

/// The test `name`: kills a process that has servers, with a client at one of them.
fn judge(name: &str, paused: bool) {
    if let Ok(folder) = std::env::var(VICTIM) {
        serve(&folder, paused);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (mut process, mut said) = start_again(name, folder.path());
    let serving = next(&mut said, "serving ");
    let (url, servers) = serving.split_once(' ').expect("a URL and servers");
    let client = ["-X", "-c", "SELECT pg_sleep(1000)"];
    let client = Command::new("psql").arg(url).args(client).stderr(Stdio::piped()).spawn();
    if paused {
        next(&mut said, "paused");
    }
    process.kill().expect("killed");
    process.wait().expect("gone");
    for server in servers.split(' ') {
        while !is_dead(server) {
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
    // Its backend has ended as well.
    let client = client.expect("psql runs").wait_with_output().expect("it ends");
    assert!(!client.status.success());

    let parent = Some(folder.path().to_owned());
    let next = Redis::start(&RedisOptions { parent, ..RedisOptions::default() });
    let next = next.expect("Redis starts");
    let left = std::fs::read_dir(folder.path()).expect("read").flatten();
    let left: Vec<_> = left.map(|entry| entry.path()).collect();
    assert_eq!(left, [next.socket().parent().expect("a folder")]);
}

/// Starts the test `name` of this program again, to be killed.
fn start_again(name: &str, folder: &Path) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", name, "--nocapture"]).env(VICTIM, folder);
    let mut process = command.stdout(Stdio::piped()).spawn().expect("started");
    let said = BufReader::new(process.stdout.take().expect("piped"));
    (process, said.lines())
}

/// The rest of the next line that begins with `word`.
fn next(said: &mut Lines<BufReader<ChildStdout>>, word: &str) -> String {
    said.map(|line| line.expect("text"))
        .find_map(|line| line.strip_prefix(word).map(str::to_owned))
        .expect("it goes on")
}

/// Starts servers in `folder`, pauses them when they have a client if asked to, and waits to be
/// killed.
fn serve(folder: &str, paused: bool) -> ! {
    let (parent, persistence) = (Some(folder.into()), Persistence::LogAlways);
    let redis = RedisOptions { parent: parent.clone(), persistence, ..RedisOptions::default() };
    let redis = Redis::start(&redis).expect("Redis starts");
    let postgres = PostgresOptions { parent, ..PostgresOptions::default() };
    let postgres = Postgres::start(&postgres).expect("PostgreSQL starts");
    let [first, second] = [redis.id(), postgres.id()].map(|id| id.expect("it runs"));
    println!("serving {} {first} {second}", postgres.url());
    if paused {
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(1000)'";
        while postgres.sql(busy).expect("an answer") != "1" {}
        redis.pause();
        postgres.pause();
        println!("paused");
    }
    loop {
        std::thread::park();
    }
}

fn is_dead(process: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"));
    status.map_or(true, |status| status.contains("\nState:\tZ"))
}
