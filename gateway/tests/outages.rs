//! Redis and PostgreSQL behind a real server: stopped, killed, emptied, wrongly named. Orders go on,
//! nothing is lost, and afterwards the audit finds no difference (I7, I8).

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_services::{Postgres, PostgresOptions, Redis, RedisOptions, Tls};

use crate::harness::{Client, Server, audit, buyer, command, run};
use crate::sinks::sink;

/// How long a store is stopped: 3 s, or `SLUICE_STOPPED_SECONDS`.
fn stopped_for() -> Duration {
    let seconds = std::env::var("SLUICE_STOPPED_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(3))
}

/// A server, and what follows it.
struct Followed {
    folder: tempfile::TempDir,
    postgres: Postgres,
    redis: Redis,
    server: Option<Server>,
}

impl Followed {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let postgres = Postgres::start(&PostgresOptions::default()).expect("PostgreSQL starts");
        let redis = Redis::start(&RedisOptions::default()).expect("Redis starts");
        let mut followed = Self { folder, postgres, redis, server: None };
        followed.start_server();
        followed.server().stock("phone", 100_000, 0);
        followed
    }

    fn flags(&self) -> [String; 4] {
        [
            "--database-url".to_owned(),
            self.postgres.url(),
            "--redis-url".to_owned(),
            self.redis.url(),
        ]
    }

    fn start_server(&mut self) {
        let flags = self.flags();
        self.server = Some(Server::start(self.folder.path(), &flags.each_ref().map(|f| &**f)));
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    /// Runs `sluice sink`. Gives the exit code and what was printed.
    fn sink(&self, words: &[&str]) -> (Option<i32>, String) {
        let flags = self.flags();
        let words = [words, &flags.each_ref().map(|f| &**f)].concat();
        sink(self.server(), self.folder.path(), &words)
    }

    /// Places orders until `work` is done: all of them must be taken. Says how many.
    fn sell_during(&self, round: &str, work: impl FnOnce()) -> usize {
        let (done, sold) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut client = Client::connect(self.server().buyers);
                while !done.load(Ordering::Acquire) {
                    let number = sold.fetch_add(1, Ordering::AcqRel);
                    sell(&mut client, round, number);
                }
            });
            work();
            done.store(true, Ordering::Release);
        });
        sold.into_inner()
    }

    fn lag(&self, sink: &str) -> f64 {
        self.server().metric(&format!("sluice_sink_lag_records{{sink=\"{sink}\"}}"))
    }

    fn pause(&self, sink: &str) {
        match sink {
            "sql" => self.postgres.pause(),
            _ => self.redis.pause(),
        }
    }

    fn resume(&self, sink: &str) {
        match sink {
            "sql" => self.postgres.resume(),
            _ => self.redis.resume(),
        }
    }

    /// Waits until both have all that is durable and all is well; then audits, beside the server.
    fn judge(&self) {
        while self.lag("sql") > 0.0 || self.lag("redis") > 0.0 {}
        while self.server().operate("GET", "/healthz", None).json()["status"] != "ok" {}
        let (code, text) = audit(self.folder.path(), &self.flags().each_ref().map(|f| &**f));
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("redis:orders") && text.contains("order_events"), "{text}");
    }

    /// What a product page reads.
    fn page(&self, field: &str) -> String {
        self.redis.cli(&["HGET", "sluice:{1}:sku:phone", field]).expect("read").trim().to_owned()
    }

    fn stop(mut self) {
        self.server.take().expect("it runs").stop();
    }
}

pub(crate) fn sell(client: &mut Client, round: &str, number: usize) {
    // No buyer has more keys than may live.
    let token = buyer(&format!("{round}-{}", number / 500));
    let fields = format!("{token}Idempotency-Key: {round}-{number}\r\n");
    let body = json!({"sku": "phone", "quantity": 1});
    let answer = client.call("POST", "/v1/orders", &fields, Some(&body));
    assert_eq!(answer.status, 201, "{round} {number}: {}", answer.json());
    if number.is_multiple_of(3) {
        let order = answer.json();
        let path = format!("/v1/orders/{}/cancel", order["order_id"].as_str().expect("an id"));
        assert_eq!(client.call("POST", &path, &token, None).status, 200);
    }
}

fn seen<'v>(sinks: &'v Value, name: &str) -> &'v Value {
    let mut all = sinks["sinks"].as_array().expect("a list").iter();
    all.find(|sink| sink["name"] == name).expect("it is there")
}

#[test]
fn stores_that_are_stopped_each_and_both_hold_up_no_order() {
    let followed = Followed::start();
    followed.sell_during("before", || thread::park_timeout(Duration::from_millis(300)));
    followed.judge();
    for (stopped, name) in
        [(&["sql"][..], "sql"), (&["redis"], "redis"), (&["sql", "redis"], "both")]
    {
        let sold = followed.sell_during(name, || {
            stopped.iter().for_each(|sink| followed.pause(sink));
            thread::park_timeout(stopped_for());
        });
        assert!(sold > 0, "{name}");
        for sink in stopped {
            assert!(followed.lag(sink) > 0.0, "{name}: {sink}");
        }
        stopped.iter().for_each(|sink| followed.resume(sink));
        followed.judge();
    }
    let counters = followed.server().counters("phone");
    for field in ["received", "available", "held", "sold", "withdrawn"] {
        assert_eq!(followed.page(field), counters[field].to_string(), "{field}");
    }
    followed.stop();
}

#[test]
fn a_server_that_is_killed_goes_on_where_each_store_ended() {
    let mut followed = Followed::start();
    for round in 0..3 {
        followed.sell_during(&format!("life-{round}"), || {
            thread::park_timeout(Duration::from_millis(300));
        });
        // In the middle of whatever its sinks do: what they had not committed is gone.
        drop(followed.server.take());
        match round {
            1 => followed.redis.restart_empty().expect("started"),
            2 => {
                followed.postgres.kill();
                followed.postgres.start_again().expect("started");
            }
            _ => {}
        }
        followed.start_server();
        followed.judge();
    }
    followed.stop();
}

#[test]
fn what_is_emptied_or_erased_is_made_anew() {
    let followed = Followed::start();
    followed.sell_during("first", || {
        followed.redis.cli(&["FLUSHALL"]).expect("done");
    });
    followed.judge();
    for name in ["redis", "sql"] {
        followed.sell_during(name, || {
            let (code, text) = followed.sink(&["rebuild", name]);
            assert_eq!(code, Some(0), "{text}");
            assert!(text.contains("are erased"), "{text}");
        });
        followed.judge();
    }
    let (code, text) = followed.sink(&["status"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("sql    following") && text.contains("redis  following"), "{text}");
    let (code, text) = followed.sink(&["rebuild", "mail"]);
    assert!(code == Some(2) || code == Some(64), "{code:?}: {text}");
    followed.stop();
}

#[test]
fn a_wrong_password_is_named_and_never_shown_and_orders_are_served() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let word = || Some("righthunter2".to_owned());
    let postgres = PostgresOptions { password: word(), ..Default::default() };
    let postgres = Postgres::start(&postgres).expect("PostgreSQL starts");
    let redis = RedisOptions { password: word(), ..Default::default() };
    let redis = Redis::start(&redis).expect("Redis starts");
    let (sql_url, redis_url) = (postgres.url(), redis.url());
    let wrong = |url: &str| url.replace("righthunter2", "wronghunter2");
    let (sql_wrong, redis_wrong) = (wrong(&sql_url), wrong(&redis_url));
    let flags = ["--database-url", &sql_wrong, "--redis-url", &redis_wrong];
    let server = Server::start(folder.path(), &flags);
    server.stock("phone", 1_000, 0);
    let mut client = Client::connect(server.buyers);
    (0..10).for_each(|number| sell(&mut client, "wrong", number));
    for sink in ["sql", "redis"] {
        let errors = format!("sluice_sink_errors_total{{sink=\"{sink}\",kind=\"forbidden\"}}");
        while server.metric(&errors) == 0.0 {}
    }
    let sinks = server.operate("GET", "/admin/v1/sinks", None).json();
    for sink in ["sql", "redis"] {
        let error = seen(&sinks, sink)["last_error"].as_str().expect("it says why").to_owned();
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert_eq!(server.operate("GET", "/readyz", None).status, 200, "orders are taken");
    assert_eq!(server.operate("GET", "/healthz", None).json()["status"], "degraded");
    server.terminate();
    let (status, text) = server.end();
    assert!(status.success() && !text.contains("hunter2"), "{status}: {text}");

    let flags = ["--database-url", &sql_url, "--redis-url", &redis_url];
    let server = Server::start(folder.path(), &flags);
    while server.operate("GET", "/healthz", None).json()["status"] != "ok" {}
    server.caught_up();
    server.stop();
    judged(folder.path(), &flags);
}

#[test]
fn a_redis_behind_tls_is_believed_by_its_certificate() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = RedisOptions { tls: Some(Tls::default()), ..RedisOptions::default() };
    let redis = Redis::start(&options).expect("Redis starts");
    let (url, authority) = (redis.url(), redis.authority().expect("it has one"));
    let flags = ["--redis-url", &url];
    let server = Server::start(folder.path(), &flags);
    server.stock("phone", 1_000, 0);
    sell(&mut Client::connect(server.buyers), "tls", 1);
    let error = loop {
        let sinks = server.operate("GET", "/admin/v1/sinks", None).json();
        if let Some(error) = seen(&sinks, "redis")["last_error"].as_str() {
            break error.to_owned();
        }
    };
    assert!(error.to_lowercase().contains("certificate"), "{error}");
    server.stop();

    let server = Server::spawn(command(folder.path(), &flags).env("SSL_CERT_FILE", &authority));
    while server.operate("GET", "/healthz", None).json()["status"] != "ok" {}
    while server.metric("sluice_sink_lag_records{sink=\"redis\"}") > 0.0 {}
    server.stop();
    assert_eq!(redis.cli(&["HGET", "sluice:{1}:sku:phone", "held"]).expect("read"), "1");
    let mut audit = Command::new(env!("CARGO_BIN_EXE_sluice"));
    audit.args(["audit", "--data-dir"]).arg(folder.path()).args(flags);
    let (code, text) = run(audit.env("SSL_CERT_FILE", &authority));
    assert_eq!(code, Some(0), "{text}");
}

fn judged(folder: &Path, flags: &[&str]) {
    let (code, text) = audit(folder, flags);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_server_starts_serves_and_ends_without_its_stores() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut postgres = Postgres::start(&PostgresOptions::default()).expect("PostgreSQL starts");
    let mut redis = Redis::start(&RedisOptions::default()).expect("Redis starts");
    postgres.stop();
    redis.stop();
    let (sql_url, redis_url) = (postgres.url(), redis.url());
    let flags = ["--database-url", &sql_url, "--redis-url", &redis_url];
    let server = Server::start(folder.path(), &flags);
    server.stock("phone", 1_000, 0);
    let mut client = Client::connect(server.buyers);
    (0..10).for_each(|number| sell(&mut client, "alone", number));
    for sink in ["sql", "redis"] {
        let errors = format!("sluice_sink_errors_total{{sink=\"{sink}\",kind=\"unreachable\"}}");
        while server.metric(&errors) == 0.0 {}
    }
    // It ends well, although they never came.
    server.stop();
    postgres.start_again().expect("started");
    redis.start_again().expect("started");
    let server = Server::start(folder.path(), &flags);
    while server.operate("GET", "/healthz", None).json()["status"] != "ok" {}
    while server.metric("sluice_sink_lag_records{sink=\"redis\"}") > 0.0 {}
    server.caught_up();
    server.stop();
    judged(folder.path(), &flags);
}
