//! The message queue of the whole: a server, its copy in Redis, and a service that follows the stream
//! of order events with a consumer group.

use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sluice_consumer::Settings;
use sluice_services::{Persistence, Redis, RedisOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::harness::{Client, Server, audit};
use crate::outages::sell;

const EVENTS: &str = "sluice:{1}:events";

/// Orders between two mishaps.
const ORDERS: usize = 120;

fn settings(redis: &Redis, state: PathBuf, consumer: &str) -> Settings {
    Settings {
        redis_url: redis.url(),
        prefix: "sluice".to_owned(),
        cell: 1,
        group: "mails".to_owned(),
        consumer: consumer.to_owned(),
        batch: 7,
        claim_after: 0,
        state,
        exit_when_idle: false,
    }
}

/// A consumer on a thread of its own.
struct Consumer {
    death: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Consumer {
    fn start(settings: Settings) -> Self {
        let (death, dies) = oneshot::channel();
        let thread = thread::spawn(move || {
            runtime().block_on(async {
                tokio::select! {
                    followed = sluice_consumer::run(&settings, std::future::pending()) => {
                        followed.expect("it follows");
                    }
                    _ = dies => {}
                }
            });
        });
        Self { death, thread }
    }

    /// Ends it wherever it is: nothing is finished.
    fn dies(self) {
        self.death.send(()).expect("it lives");
        self.thread.join().expect("it followed");
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// What was done: of each event the id that it has in the stream, and what it was.
fn done(state: &Path) -> Vec<(String, String, String)> {
    runtime().block_on(async {
        let options = SqliteConnectOptions::new().filename(state).read_only(true);
        let Ok(mut connection) = options.connect().await else { return Vec::new() };
        let rows = all(&mut connection).await;
        connection.close().await.expect("closed");
        rows
    })
}

async fn all(connection: &mut SqliteConnection) -> Vec<(String, String, String)> {
    let query = "SELECT sequence || '-0', kind, order_id FROM events ORDER BY sequence";
    // Its tables may not be there yet.
    sqlx::query_as(query).fetch_all(connection).await.unwrap_or_default()
}

/// What is in the stream, in the same form.
fn told(redis: &Redis) -> Vec<(String, String, String)> {
    let script = format!(
        "local lines = {{}} for _, entry in ipairs(redis.call('XRANGE', '{EVENTS}', '-', '+')) do \
         local fields = {{}} for at = 1, #entry[2], 2 do fields[entry[2][at]] = entry[2][at + 1] end \
         lines[#lines + 1] = entry[1] .. ' ' .. fields.kind .. ' ' .. fields.order_id end return lines"
    );
    let lines = redis.cli(&["EVAL", &script, "0"]).expect("read");
    let entry = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        let mut word = || words.next().expect("three words");
        (word(), word(), word())
    };
    lines.lines().map(entry).collect()
}

fn has_all(server: &Server) {
    while server.metric("sluice_sink_lag_records{sink=\"redis\"}") > 0.0 {}
}

#[test]
fn each_event_of_an_order_has_its_effect_once_whoever_dies() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let state = folder.path().join("mails.db");
    let options = RedisOptions { persistence: Persistence::LogAlways, ..RedisOptions::default() };
    let mut redis = Redis::start(&options).expect("Redis starts");
    let data = folder.path().join("journal");
    let url = redis.url();
    let flags = ["--redis-url", url.as_str()];
    let mut server = Server::start(&data, &flags);
    server.stock("phone", 100_000, 0);
    let sold = |server: &Server, round: &str| {
        let mut client = Client::connect(server.buyers);
        (0..ORDERS).for_each(|number| sell(&mut client, round, number));
    };

    // A consumer dies in the middle; another one takes over.
    let first = Consumer::start(settings(&redis, state.clone(), "first"));
    sold(&server, "consumer");
    while done(&state).is_empty() {}
    first.dies();
    let second = Consumer::start(settings(&redis, state.clone(), "second"));

    // The server dies as well, then Redis loses all, then Redis itself dies.
    server.child.kill().expect("killed");
    server.child.wait().expect("it is dead");
    server = Server::start(&data, &flags);
    sold(&server, "server");
    redis.cli(&["FLUSHALL"]).expect("done");
    sold(&server, "emptied");
    has_all(&server);
    redis.kill();
    sold(&server, "without");
    redis.start_again().expect("started");
    has_all(&server);
    let all = told(&redis);
    while done(&state).len() < all.len() {
        thread::park_timeout(Duration::from_millis(5));
    }
    second.dies();

    let placed = all.iter().filter(|(_, kind, _)| kind == "placed").count();
    assert_eq!(placed, 4 * ORDERS, "every order is told");
    assert_eq!(done(&state), all, "in the journal's order, each once");
    server.stop();
    let (code, text) = audit(&data, &flags);
    assert_eq!(code, Some(0), "{text}");
}
