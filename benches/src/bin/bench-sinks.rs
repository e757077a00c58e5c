//! `scripts/bench sinks`: how fast a journal is copied to a store, beside a bare insert of the very
//! same rows, or the bare calls.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use serde_json::{Value, json};
use sluice_benches::bare::{self, Rows, now};
use sluice_benches::calls::Recorder;
use sluice_benches::filled::{self, Filling, Journal};
use sluice_benches::{commands, goal, history};
use sluice_core::limits::DEFAULT;
use sluice_core::sink::table::TABLES;
use sluice_core::sink::{
    Database, RedisAddress, RedisConfig, RedisPrefix, Sink, SinkConfig, SinkStatus, Snapshot,
};
use sluice_core::storage::{DatabaseFile, Directory};
use sluice_core::watermark::Watermark;
use sluice_services::{Persistence, Postgres, PostgresOptions, Redis, RedisOptions};

/// Copies a journal of orders to a store, and inserts the same rows without a journal, in turns:
/// the same tables, as many transactions; into SQLite by 256 rows a statement, into PostgreSQL by
/// COPY. Of Redis the very calls that the sink makes are made again, without a journal. Figures of
/// two runs do not compare.
#[derive(Parser)]
#[command(name = "scripts/bench sinks")]
struct Flags {
    /// Orders in the journal; every tenth is cancelled
    #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    orders: u64,
    /// SKUs of each order: one, or some of 200
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=20))]
    lines: u64,
    /// SKUs of a sale that is defined, defined anew twice and ended between the orders; 0: none
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    sale_skus: u64,
    /// Turns of each; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Where the copy is kept
    #[arg(long, default_value = "sqlite")]
    store: Kind,
    /// Do not append the result to benches/history.jsonl
    #[arg(long)]
    no_history: bool,
}

impl Flags {
    fn filling(&self) -> Filling {
        Filling { orders: self.orders, lines: self.lines, sale_skus: self.sale_skus }
    }
}

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Sqlite,
    Postgres,
    Redis,
}

/// Where copies are kept.
enum Place<'a> {
    Folder(&'a Path),
    /// It syncs what it commits.
    Server(Box<Postgres>),
}

impl Place<'_> {
    /// An empty database.
    fn database(&self, name: &str) -> Result<Database> {
        match self {
            Self::Folder(folder) => {
                Ok(Database::Sqlite(DatabaseFile::new(folder.join(format!("{name}.db")))))
            }
            Self::Server(postgres) => {
                postgres.sql(&format!("CREATE DATABASE {name}"))?;
                Ok(Database::Postgres(self.url(postgres, name).parse()?))
            }
        }
    }

    fn url(&self, postgres: &Postgres, name: &str) -> String {
        let url = postgres.url();
        let (server, _) = url.rsplit_once('/').unwrap_or((&url, ""));
        format!("{server}/{name}")
    }

    /// Inserts rows as fast as it goes, in so many transactions.
    async fn insert(&self, name: &str, rows: &Rows, transactions: u64) -> Result<Duration> {
        match self {
            Self::Folder(folder) => {
                bare::into_file(&folder.join(format!("{name}.db")), rows, transactions).await
            }
            Self::Server(postgres) => {
                bare::into_server(&self.url(postgres, name), rows, transactions).await
            }
        }
    }

    fn remove(&self, name: &str) -> Result<()> {
        match self {
            Self::Folder(folder) => Ok(std::fs::remove_file(folder.join(format!("{name}.db")))?),
            Self::Server(postgres) => postgres.sql(&format!("DROP DATABASE {name}")).map(|_| ()),
        }
    }
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    let folder = tempfile::tempdir()?;
    let journal = filled::fill(&folder.path().join("journal"), &flags.filling())?;
    println!("a journal of {} records, {} orders", journal.last, flags.orders);
    let results = match flags.store {
        Kind::Sqlite => in_sql(&flags, &journal, &Place::Folder(folder.path()))?,
        Kind::Postgres => {
            let options = PostgresOptions { durable: true, ..PostgresOptions::default() };
            let place = Place::Server(Box::new(Postgres::start(&options)?));
            in_sql(&flags, &journal, &place)?
        }
        Kind::Redis => in_redis(&flags, &journal)?,
    };
    results.report(&flags)
}

/// What of a bare insert's rate a sink must have.
const DRAIN_MIN: f64 = 0.7;

/// Orders a second in each round.
#[derive(Default)]
struct Results {
    drained: Vec<f64>,
    bare: Vec<f64>,
    /// Of Redis alone.
    lengths: Option<Lengths>,
}

/// How long calls took inside the server.
struct Lengths {
    calls: u64,
    /// Those beyond [`CALL_US_MAX`].
    long: u64,
    longest_us: u64,
}

/// How long a call may keep others waiting, in microseconds.
const CALL_US_MAX: u64 = 2_000;

/// How many of a thousand calls may take longer: the machine has its pauses, too.
const LONG_CALLS_MAX: f64 = 1.0;

impl Results {
    fn add(&mut self, flags: &Flags, what: &str, drained: Duration, bare: Duration) {
        let per_s = |took: Duration| flags.orders as f64 / took.as_secs_f64();
        let (drained, bare) = (per_s(drained), per_s(bare));
        self.drained.push(drained);
        self.bare.push(bare);
        let round = self.bare.len();
        println!(
            "round {round}  drain {drained:>8.0} orders/s ({what})  bare {bare:>8.0} orders/s"
        );
    }

    fn report(self, flags: &Flags) -> Result<()> {
        let ratios = self.drained.iter().zip(&self.bare).map(|(drained, bare)| drained / bare);
        let ratio = median(ratios.collect());
        let (drain, bare) = (median(self.drained), median(self.bare));
        println!(
            "\ndrain {drain:.0} orders/s, bare {bare:.0} orders/s, median of the ratios {ratio:.3}"
        );
        let judged = goal::at_least("drain / bare", ratio, DRAIN_MIN);
        let judged = match &self.lengths {
            Some(lengths) => {
                println!("{lengths}");
                let long = 1e3 * lengths.long as f64 / lengths.calls as f64;
                let name = format!("of a thousand calls beyond {CALL_US_MAX} us");
                judged.and(goal::at_most(&name, long, LONG_CALLS_MAX))
            }
            None => judged,
        };
        if flags.no_history {
            return judged;
        }
        let command: Vec<String> = std::env::args().skip(1).collect();
        let figures = json!({
            "store": format!("{:?}", flags.store).to_lowercase(),
            "drain_orders_per_s": drain.round(), "bare_orders_per_s": bare.round(),
            "ratio": ratio, "orders": flags.orders, "rounds": flags.rounds,
            "lines": flags.lines, "sale_skus": flags.sale_skus,
            "calls": self.lengths.as_ref().map(|it| it.calls),
            "calls_beyond_2_ms": self.lengths.as_ref().map(|it| it.long),
            "longest_call_us": self.lengths.as_ref().map(|it| it.longest_us),
        });
        let command = format!("scripts/bench sinks {}", command.join(" "));
        history::append("sinks", &command, &figures)?;
        judged
    }
}

fn in_sql(flags: &Flags, journal: &Journal, place: &Place<'_>) -> Result<Results> {
    let mut results = Results::default();
    for round in 1..=flags.rounds {
        let names = [format!("copy_{round}"), format!("bare_{round}")];
        let copy = place.database(&names[0])?;
        let (drained, status) = drain(journal, start(journal, &copy, journal.last)?)?;
        let inserted = insert_bare(journal, place, &copy, &names[1], status.batches.get())?;
        results.add(flags, &said(&status), drained, inserted);
        for name in &names {
            place.remove(name)?;
        }
    }
    Ok(results)
}

/// In Redis, which syncs once a second.
fn in_redis(flags: &Flags, journal: &Journal) -> Result<Results> {
    let settings = [("slowlog-log-slower-than", CALL_US_MAX), ("slowlog-max-len", 1_000_000)];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_string())).to_vec();
    let persistence = Persistence::LogEverySecond;
    let redis = Redis::start(&RedisOptions { persistence, settings, ..Default::default() })?;
    let sink = |port: u16| -> Result<Sink> {
        let address = RedisAddress::parse(&format!("redis://127.0.0.1:{port}"))?;
        let prefix = RedisPrefix::default();
        let config = RedisConfig { address, prefix, stream_max: RedisConfig::STREAM_MAX };
        Ok(Sink::redis(config, config_of(journal, journal.last))?)
    };
    let recorder = Recorder::start(redis.port())?;
    drain(journal, sink(recorder.port())?)?;
    let calls = recorder.calls();
    ensure!(calls.count() > 0, "no call of a function passed by");
    let mut results = Results::default();
    for _ in 0..flags.rounds {
        redis.cli(&["FLUSHALL"])?;
        let (drained, status) = drain(journal, sink(redis.port())?)?;
        redis.cli(&["FLUSHALL"])?;
        let made = calls.make(redis.port())?;
        results.add(flags, &said(&status), drained, made);
    }
    results.lengths = Some(Lengths::ask(&redis)?);
    Ok(results)
}

impl Lengths {
    /// Of all calls of functions that this server has answered.
    fn ask(redis: &Redis) -> Result<Self> {
        let stats = redis.cli(&["INFO", "commandstats"])?;
        let start = "cmdstat_fcall:calls=";
        let calls = stats.lines().find_map(|line| line.strip_prefix(start)?.split(',').next());
        let slow: Vec<Vec<Value>> =
            serde_json::from_str(&redis.cli(&["-3", "--json", "SLOWLOG", "GET", "-1"])?)?;
        // An entry: its number, when, how long it took, the command, and whose it was.
        let is_call = |entry: &&Vec<Value>| entry[3][0] == "FCALL";
        let lengths = slow.iter().filter(is_call).map(|entry| entry[2].as_u64().unwrap_or(0));
        Ok(Self {
            calls: calls.context("calls of functions")?.parse()?,
            long: lengths.clone().count() as u64,
            longest_us: lengths.max().unwrap_or(0),
        })
    }
}

impl fmt::Display for Lengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (calls, share) = (self.calls, 100.0 * self.long as f64 / self.calls as f64);
        write!(f, "{calls} calls, {} ({share:.2} %) beyond {CALL_US_MAX} us", self.long)?;
        if self.long > 0 {
            write!(f, ", the longest {} us", self.longest_us)?;
        }
        Ok(())
    }
}

fn said(status: &SinkStatus) -> String {
    format!("{} transactions, {} rows or keys", status.batches.get(), status.rows.get())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Lets a sink that has just begun go on until the last record is stored.
fn drain(journal: &Journal, sink: Sink) -> Result<(Duration, Arc<SinkStatus>)> {
    let begun = now();
    let status = Arc::clone(sink.status());
    while status.watermark.get() < journal.last {
        thread::park_timeout(Duration::from_millis(1));
        ensure!(status.last_error().is_none(), "the sink: {:?}", status.last_error());
    }
    let took = begun.elapsed();
    sink.stop();
    Ok((took, status))
}

fn start(journal: &Journal, database: &Database, durable: u64) -> Result<Sink> {
    Ok(Sink::sql(database.clone(), config_of(journal, durable))?)
}

fn config_of(journal: &Journal, durable: u64) -> SinkConfig<Directory> {
    SinkConfig {
        storage: journal.storage.clone(),
        archive: None,
        cell: 1,
        journal: commands::HASH_KEY.journal(),
        durable: Arc::new(move || durable),
        watermark: Watermark::default(),
        limits: DEFAULT,
        seed: 1,
    }
}

/// Inserts the rows of a copy into an empty database of this name.
fn insert_bare(
    journal: &Journal,
    place: &Place<'_>,
    copy: &Database,
    name: &str,
    transactions: u64,
) -> Result<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rows = runtime.block_on(all_rows(copy))?;
    // The sink makes the tables, and has nothing to put in.
    let sink = start(journal, &place.database(name)?, 0)?;
    while sink.status().connections.get() == 0 {
        thread::park_timeout(Duration::from_millis(1));
    }
    sink.stop();
    runtime.block_on(place.insert(name, &rows, transactions))
}

async fn all_rows(copy: &Database) -> Result<Rows> {
    let mut snapshot = Snapshot::take(copy, 1).await?;
    let mut rows = Vec::new();
    for table in TABLES.into_iter().filter(|table| table.key > 1) {
        rows.push((table, snapshot.page(table, &[], None, usize::MAX).await?));
    }
    snapshot.end().await?;
    Ok(rows)
}
