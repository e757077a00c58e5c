//! `scripts/bench sinks`: how fast a journal is copied to a store, beside a bare insert of the very
//! same rows, or the bare calls.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use serde_json::json;
use sluice_benches::bare::{self, Rows, now};
use sluice_benches::calls::Recorder;
use sluice_benches::{commands, goal, history};
use sluice_core::event::{
    Actor, Draw, Event, Genesis, Line, LotReceived, Meta, OrderEnded, OrderPlaced, SkuDefined,
    record,
};
use sluice_core::id::{HashKey, OrderId, RequestId};
use sluice_core::journal::{Batch, JournalConfig, Preparing, open};
use sluice_core::limits::DEFAULT;
use sluice_core::money::{Amount, Currency};
use sluice_core::name::{LotId, SkuId};
use sluice_core::quantity::{QUANTITY_MAX, Quantity};
use sluice_core::sink::table::TABLES;
use sluice_core::sink::{
    Database, RedisAddress, RedisConfig, RedisPrefix, Sink, SinkConfig, SinkStatus, Snapshot,
};
use sluice_core::storage::{DatabaseFile, Directory};
use sluice_core::watermark::Watermark;
use sluice_services::{Persistence, Postgres, PostgresOptions, Redis, RedisOptions};
use smallvec::smallvec;

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

/// The journal, its name and its last sequence.
struct Journal {
    storage: Directory,
    last: u64,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    let folder = tempfile::tempdir()?;
    let journal = fill(&folder.path().join("journal"), flags.orders)?;
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
}

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
        if flags.no_history {
            return judged;
        }
        let command: Vec<String> = std::env::args().skip(1).collect();
        let figures = json!({
            "store": format!("{:?}", flags.store).to_lowercase(),
            "drain_orders_per_s": drain.round(), "bare_orders_per_s": bare.round(),
            "ratio": ratio, "orders": flags.orders, "rounds": flags.rounds,
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
    let options = RedisOptions { persistence: Persistence::LogEverySecond, ..Default::default() };
    let redis = Redis::start(&options)?;
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
    println!(
        "{}",
        redis
            .cli(&["INFO", "commandstats"])?
            .lines()
            .find(|line| line.contains("_fcall:"))
            .unwrap_or_default()
    );
    Ok(results)
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

/// Writes a journal of orders of one unit, each by a buyer of their own.
fn fill(path: &Path, orders: u64) -> Result<Journal> {
    let storage = Directory::lock(path)?;
    let config = JournalConfig {
        cell: 1,
        segment_bytes: DEFAULT.segment_bytes,
        limits: DEFAULT,
        segment_seed: 1,
    };
    let begin = commands::BEGIN;
    let opened = open(storage.clone(), config, None, begin, &mut |_, _, _| Ok(()), &mut || {})?;
    let (mut writer, mut preparer) = (opened.writer, opened.preparer);
    let mut batch = Batch::new();
    let mut last = 0;
    let write = |event: &Event<'_>, number: u64, batch: &mut Batch| {
        let meta = Meta {
            time: begin.plus_micros(number),
            actor: Actor::Buyer,
            request: RequestId::from_bits(u128::from(commands::random(number)) << 60),
        };
        batch.push_with(|out| record::encode(&meta, event, out));
    };
    let genesis = Genesis { cell: 1, hash_key: commands::HASH_KEY, format: 1 };
    write(&Event::Genesis(genesis), 0, &mut batch);
    for event in stock(orders)? {
        write(&event, 0, &mut batch);
    }
    for number in 0..orders {
        let name = format!("buyer-{number}");
        let key = format!("order-{number}");
        let placed = placed(&commands::HASH_KEY, number, &name, &key)?;
        if number % 10 == 0 {
            let ended = OrderEnded { order: placed.order, version: 2, lines: placed.lines.clone() };
            write(&Event::OrderPlaced(placed), number, &mut batch);
            write(&Event::OrderCancelled(ended), number, &mut batch);
        } else {
            write(&Event::OrderPlaced(placed), number, &mut batch);
        }
        if batch.len() >= 4_096 || number + 1 == orders {
            while preparer.step()? != Preparing::Idle {}
            let now = begin.plus_micros(number);
            last = writer.commit(&mut std::iter::once(&batch), now)?.through();
            batch.clear();
        }
    }
    Ok(Journal { storage, last })
}

fn stock(orders: u64) -> Result<Vec<Event<'static>>> {
    let sku = SkuId::new("phone").context("a name")?;
    let mut events = vec![Event::SkuDefined(SkuDefined {
        sku: sku.clone(),
        revision: 1,
        title: "Phone",
        unit_price: Amount::new(599_900).context("in range")?,
        currency: Currency::new("CNY").context("a code")?,
        per_buyer_limit: 0,
        hold_seconds: 600,
        standby_pass: false,
        sale: None,
    })];
    for ordinal in 0..=(orders / u64::from(QUANTITY_MAX)) as u32 {
        events.push(Event::LotReceived(LotReceived {
            sku: sku.clone(),
            lot: lot(ordinal)?,
            ordinal,
            quantity: Quantity::new(QUANTITY_MAX).context("in range")?,
            unit_price: None,
        }));
    }
    Ok(events)
}

fn lot(ordinal: u32) -> Result<LotId> {
    LotId::new(&format!("L{ordinal}")).context("a name")
}

fn placed<'a>(
    hash_key: &HashKey,
    number: u64,
    name: &'a str,
    key: &'a str,
) -> Result<OrderPlaced<'a>> {
    let buyer = commands::buyer(number);
    let ordinal = (number / u64::from(QUANTITY_MAX)) as u32;
    let draw = Draw {
        lot: lot(ordinal)?,
        ordinal,
        quantity: Quantity::ONE,
        unit_price: Amount::new(599_900).context("in range")?,
    };
    let line = Line {
        sku: SkuId::new("phone").context("a name")?,
        quantity: Quantity::ONE,
        sale: None,
        draws: smallvec![draw],
    };
    let drawn_at = commands::BEGIN.plus_micros(number * 10);
    Ok(OrderPlaced {
        order: OrderId::new(drawn_at, 1, buyer.slot, commands::random(number)),
        buyer: buyer.digest,
        buyer_name: name,
        key: Some((hash_key.key(buyer.digest, key), key)),
        fingerprint: number,
        currency: Currency::new("CNY").context("a code")?,
        expires_at: commands::BEGIN.plus_seconds(600),
        lines: smallvec![line],
    })
}
