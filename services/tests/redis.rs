//! Redis servers as tests use them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use sluice_services::{Persistence, Redis, RedisOptions, Tls};

fn start(options: &RedisOptions) -> Redis {
    Redis::start(options).expect("Redis starts")
}

fn cli(redis: &Redis, words: &[&str]) -> String {
    redis.cli(words).expect("an answer")
}

/// A connection that gives up reading after a moment.
fn connect(redis: &Redis) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", redis.port())).expect("connected");
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("set");
    stream
}

fn is_gone(process: u32) -> bool {
    !std::path::Path::new(&format!("/proc/{process}")).exists()
}

#[test]
fn it_answers_by_port_and_by_socket_until_it_is_dropped() {
    let redis = start(&RedisOptions::default());
    assert_eq!(redis.url(), format!("redis://127.0.0.1:{}/", redis.port()));
    let mut stream = connect(&redis);
    stream.write_all(b"PING\r\n").expect("written");
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).expect("answered");
    assert_eq!(&answer, b"+PONG\r\n");
    assert_eq!(cli(&redis, &["SET", "key", "a value"]), "OK");
    assert_eq!(cli(&redis, &["GET", "key"]), "a value");
    assert_eq!(cli(&redis, &["MGET", "key", "key"]), "a value\na value");
    let error = redis.cli(&["LPUSH", "key", "x"]).expect_err("not a list").to_string();
    assert!(error.contains("WRONGTYPE"), "{error}");
    let (id, socket) = (redis.id().expect("it runs"), redis.socket());
    drop(redis);
    assert!(is_gone(id) && !socket.exists());
}

#[test]
fn with_tls_its_port_takes_nothing_else() {
    let redis = start(&RedisOptions { tls: Some(Tls::default()), ..RedisOptions::default() });
    assert_eq!(redis.url(), format!("rediss://127.0.0.1:{}/", redis.port()));
    let authority = redis.authority().expect("it has one").display().to_string();
    let port = redis.port().to_string();
    let ping = |tls: &[&str]| {
        let mut command = std::process::Command::new("redis-cli");
        command.args(["-h", "127.0.0.1", "-p", &port]).args(tls).arg("PING");
        String::from_utf8(command.output().expect("it runs").stdout).expect("text")
    };
    assert_eq!(ping(&["--tls", "--cacert", &authority]), "PONG\n");
    assert!(!ping(&[]).contains("PONG"));
    assert_eq!(cli(&redis, &["PING"]), "PONG", "its socket needs none");
}

#[test]
fn paused_it_says_nothing_and_resumed_it_answers_what_was_asked() {
    let redis = start(&RedisOptions::default());
    let mut stream = connect(&redis);
    redis.pause();
    stream.write_all(b"PING\r\n").expect("written");
    let mut answer = [0; 7];
    stream.read(&mut answer).expect_err("nothing");
    redis.resume();
    stream.set_read_timeout(None).expect("set");
    stream.read_exact(&mut answer).expect("answered");
    redis.pause();
    let id = redis.id().expect("it runs");
    drop(redis);
    assert!(is_gone(id));
}

#[test]
fn what_comes_back_depends_on_what_is_on_disk() {
    for (persistence, kept, left) in [
        (Persistence::Nothing, "", ""),
        (Persistence::LogAlways, "1", "2"),
        (Persistence::LogEverySecond, "1", "2"),
        (Persistence::Snapshot, "1", ""),
    ] {
        let mut redis = start(&RedisOptions { persistence, ..RedisOptions::default() });
        let (port, first) = (redis.port(), redis.id());
        cli(&redis, &["SET", "saved", "1"]);
        if persistence == Persistence::Snapshot {
            cli(&redis, &["SAVE"]);
        }
        cli(&redis, &["SET", "later", "2"]);
        redis.kill();
        assert_eq!(redis.id(), None);
        redis.cli(&["PING"]).expect_err("it is gone");
        redis.start_again().expect("it starts");
        redis.start_again().expect_err("it runs");
        assert_eq!(redis.port(), port);
        assert_ne!(redis.id(), first);
        assert_eq!(cli(&redis, &["GET", "saved"]), kept, "{persistence:?}");
        assert_eq!(cli(&redis, &["GET", "later"]), left, "{persistence:?}");
        redis.restart_empty().expect("it starts");
        assert_eq!(redis.port(), port);
        assert_eq!(cli(&redis, &["DBSIZE"]), "0", "{persistence:?}");
    }
}

#[test]
fn killed_while_paused_it_does_nothing_more() {
    let persistence = Persistence::LogAlways;
    let mut redis = start(&RedisOptions { persistence, ..RedisOptions::default() });
    let mut stream = connect(&redis);
    redis.pause();
    stream.write_all(b"SET key 1\r\n").expect("written");
    redis.kill();
    redis.start_again().expect("it starts");
    assert_eq!(cli(&redis, &["DBSIZE"]), "0");
}

#[test]
fn stopped_in_order_it_writes_its_snapshot() {
    let persistence = Persistence::Snapshot;
    let mut redis = start(&RedisOptions { persistence, ..RedisOptions::default() });
    cli(&redis, &["SET", "key", "1"]);
    redis.pause();
    redis.stop();
    redis.start_again().expect("it starts");
    assert_eq!(cli(&redis, &["GET", "key"]), "1");
}

#[test]
fn a_password_is_asked_for() {
    let password = "a p@ss:word/".to_owned();
    let redis = start(&RedisOptions { password: Some(password), ..RedisOptions::default() });
    let entry = "a%20p%40ss%3Aword%2F";
    assert_eq!(redis.url(), format!("redis://:{entry}@127.0.0.1:{}/", redis.port()));
    assert_eq!(cli(&redis, &["PING"]), "PONG");
    let mut stream = connect(&redis);
    stream.write_all(b"PING\r\n").expect("written");
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).expect("answered");
    assert_eq!(&answer, b"-NOAUTH");
}

#[test]
fn full_memory_refuses_writes() {
    let redis =
        start(&RedisOptions { memory_bytes_max: Some(2_000_000), ..RedisOptions::default() });
    let value = "x".repeat(100_000);
    let refused = (0..100).find_map(|n| redis.cli(&["SET", &format!("key{n}"), &value]).err());
    let refused = refused.expect("it fills").to_string();
    assert!(refused.contains("OOM"), "{refused}");
}

#[test]
fn a_replica_follows_its_primary() {
    let password = Some("secret".to_owned());
    let primary = start(&RedisOptions { password: password.clone(), ..RedisOptions::default() });
    let replica_of = Some(primary.port());
    let replica = start(&RedisOptions { password, replica_of, ..RedisOptions::default() });
    let role = || cli(&replica, &["ROLE"]);
    while !role().contains("\nconnected\n") {
        std::thread::park_timeout(Duration::from_millis(10));
    }
    cli(&primary, &["SET", "key", "1"]);
    assert_eq!(cli(&primary, &["WAIT", "1", "0"]), "1");
    assert_eq!(cli(&replica, &["GET", "key"]), "1");
}

#[test]
fn without_a_port_the_socket_is_the_only_way() {
    let settings = vec![("databases".to_owned(), "3".to_owned())];
    let redis = start(&RedisOptions { tcp: false, settings, ..RedisOptions::default() });
    assert_eq!(redis.port(), 0);
    assert_eq!(redis.url(), format!("redis+unix://{}", redis.socket().display()));
    assert_eq!(cli(&redis, &["CONFIG", "GET", "port"]), "port\n0");
    assert_eq!(cli(&redis, &["CONFIG", "GET", "databases"]), "databases\n3");
}
