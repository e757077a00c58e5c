//! `sluice audit`: the journal against its copies, beside a server or without one.

use std::io::{self, IsTerminal as _, Write as _};

use sluice_core::audit::{self, AuditConfig, AuditError, Progress, Report};
use sluice_core::journal::Reader;
use sluice_core::limits::DEFAULT;
use sluice_core::sink::{Database, RedisConfig, RedisCopy, Snapshot};
use sluice_core::storage::{Archived, Directory};

use crate::exit::{DAMAGED, DISK, Failure, USAGE};
use crate::json::write::Writer;
use crate::serve;
use crate::settings::{Settings, journal_dir};

/// The two differ.
const DIFFERENT: u8 = 1;

/// The cell of a journal in which nothing is durable yet.
const CELL: u16 = 1;

/// How an audit is shown.
pub(crate) struct Show {
    /// As one object of JSON.
    pub(crate) json: bool,
    /// Most differences that are told one by one.
    pub(crate) differences: usize,
}

/// A copy that was compared.
struct Compared {
    /// Where it is.
    place: String,
    report: Report,
}

/// Compares the journal with each of its copies, and prints what came of it.
pub(crate) fn audit(settings: &Settings, show: &Show) -> Result<(), Failure> {
    let storage = journal(settings)?;
    let cell = cell(&storage).map_err(|fatal| unreadable("", &fatal.into()))?;
    let config = AuditConfig { cell, limits: DEFAULT, differences_max: show.differences };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(DISK, format!("runtime: {error}")))?;
    let results = runtime.block_on(async {
        let sql = sql(settings, &storage, &config).await;
        let redis = match &settings.redis {
            Some(redis) => Some(in_redis(redis, &storage, &config).await),
            None => None,
        };
        [Some(sql), redis]
    });
    // One that cannot be read is no reason to keep quiet about the other.
    let mut unread = Vec::new();
    let [sql, redis] = results
        .map(|result| result.and_then(|one| one.map_err(|failure| unread.push(failure)).ok()));
    let compared: Vec<&Compared> = sql.iter().chain(&redis).collect();
    if !compared.is_empty() {
        let text = match show.json {
            true => json(sql.as_ref(), redis.as_ref()),
            false => compared.iter().map(|one| lines(one)).collect(),
        };
        let mut out = io::stdout().lock();
        let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        printed.map_err(|error| Failure::new(DISK, format!("stdout: {error}")))?;
    }
    let differ = compared.iter().find(|one| !one.report.is_clean());
    let differ = differ.map(|one| format!("the journal and {} differ", one.place));
    let differ = differ.map(|what| Failure::new(DIFFERENT, what));
    // What is found to be wrong goes before what nobody knows.
    let mut failures = differ.into_iter().chain(unread);
    let Some(first) = failures.next() else { return Ok(()) };
    failures.for_each(|failure| eprintln!("sluice: {failure}"));
    Err(first)
}

/// The journal with what was trimmed from it, to read.
pub(crate) fn journal(settings: &Settings) -> Result<Archived<Directory>, Failure> {
    let path = journal_dir(&settings.data_dir);
    let storage = Directory::read_only(&path)
        .map_err(|error| Failure::new(DISK, format!("{}: {error}", path.display())))?;
    Ok(Archived::new(storage, serve::archive(settings)?))
}

/// The cell that a journal belongs to.
pub(crate) fn cell(storage: &Archived<Directory>) -> Result<u16, sluice_core::journal::Fatal> {
    let mut reader = Reader::open(storage.clone())?;
    Ok(reader.next_proven()?.map_or(CELL, |frame| frame.cell))
}

async fn sql(
    settings: &Settings,
    storage: &Archived<Directory>,
    config: &AuditConfig,
) -> Result<Compared, Failure> {
    let database = settings.database();
    let place = database.to_string();
    if let Database::Sqlite(file) = &database {
        match file.identity() {
            Ok(Some(_)) => {}
            Ok(None) => {
                return Err(Failure::new(USAGE, format!("database-url: there is no {place}")));
            }
            Err(error) => return Err(Failure::new(DISK, format!("{place}: {error}"))),
        }
    }
    let mut progress = Shown::default();
    let report = async {
        let mut snapshot = Snapshot::take(&database, config.cell).await?;
        let mut show = |now| progress.show(now);
        let report = audit::run(storage, &mut snapshot, config, &mut show).await?;
        snapshot.end().await?;
        Ok(report)
    };
    let report = report.await;
    progress.end();
    let report = report.map_err(|error| unreadable(&place, &error))?;
    Ok(Compared { place, report })
}

async fn in_redis(
    redis: &RedisConfig,
    storage: &Archived<Directory>,
    config: &AuditConfig,
) -> Result<Compared, Failure> {
    let place = redis.address.to_string();
    let mut progress = Shown::default();
    let report = async {
        let copy = RedisCopy::new(redis, config.cell)?;
        audit::redis::run(storage, &copy, config, &mut |now| progress.show(now)).await
    };
    let report = report.await;
    progress.end();
    let report = report.map_err(|error| unreadable(&place, &error))?;
    Ok(Compared { place, report })
}

/// Why a comparison could not be finished.
fn unreadable(place: &str, error: &AuditError) -> Failure {
    match error {
        AuditError::Journal(fatal) => Failure::new(fatal.exit_code(), fatal),
        AuditError::Record { .. } => Failure::new(DAMAGED, error),
        AuditError::Copy(copy) => {
            // Most of them name it already.
            let place = if copy.what.contains(place) { "" } else { &format!("{place}: ") };
            Failure::new(DISK, format!("{place}{copy}"))
        }
        AuditError::Ahead { .. } | AuditError::Behind { .. } => {
            Failure::new(DIFFERENT, format!("{place}: {error}"))
        }
        AuditError::SetBack { .. } => Failure::new(DISK, format!("{place}: {error}")),
        AuditError::Trimmed => Failure::new(DISK, error),
    }
}

/// How far it is, on a terminal, in whole percents.
#[derive(Default)]
struct Shown {
    last: Option<(u32, u64)>,
}

impl Shown {
    fn show(&mut self, now: Progress) {
        let now = (now.pass, now.sequence.saturating_mul(100) / now.through.max(1));
        if self.last != Some(now) && io::stderr().is_terminal() {
            eprint!("\rpass {}: {} % ", now.0, now.1);
        }
        self.last = Some(now);
    }

    fn end(&self) {
        if self.last.is_some() && io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
    }
}

fn lines(compared: &Compared) -> String {
    let Compared { place, report } = compared;
    let mut text = format!("journal and {place}, cell {}\n", report.cell);
    let line = |text: &mut String, name: &str, what: &str| {
        text.push_str(&format!("  {name:<18} {what}\n"));
    };
    line(&mut text, "sequences", &format!("{} … {}", report.first, report.through));
    if !report.is_whole() {
        let what = format!(
            "the journal begins with {}: what was before is not compared, nor are counters of lots",
            report.first
        );
        line(&mut text, "trimmed", &what);
    }
    let lag = report.last.saturating_sub(report.through);
    line(&mut text, "lag", &format!("{lag} records (no difference)"));
    for (table, rows) in &report.compared {
        line(&mut text, table, &format!("{rows} rows"));
    }
    if report.is_whole() {
        line(&mut text, "oversold", &report.oversold.to_string());
    }
    for skip in &report.skipped {
        let what = format!("record {} (by record {}): {}", skip.sequence, skip.said, skip.why);
        line(&mut text, "passed over", &what);
    }
    line(&mut text, "differences", &report.differences_count.to_string());
    for difference in &report.differences {
        text.push_str(&format!(
            "    {}: {}: {}: expected {}, found {} (sequence {})\n",
            difference.table,
            difference.key,
            difference.column,
            difference.expected,
            difference.found,
            difference.sequence
        ));
    }
    let more = report.differences_count - report.differences.len() as u64;
    if more > 0 {
        text.push_str(&format!("    and {more} more\n"));
    }
    text
}

/// One object: what is said of SQL, and in it, as `redis`, the same of Redis. Of what could not be
/// compared nothing is said.
fn json(sql: Option<&Compared>, redis: Option<&Compared>) -> String {
    let mut json = Writer::with_capacity(1_024);
    json.raw("{");
    if let Some(sql) = sql {
        fields(&mut json, &sql.report);
        json.raw(",");
    }
    json.raw("\"redis\":");
    match redis {
        Some(redis) => {
            json.raw("{");
            fields(&mut json, &redis.report);
            json.raw("}")
        }
        None => json.raw("null"),
    };
    json.raw("}\n");
    String::from_utf8(json.into_bytes()).expect("written as UTF-8")
}

fn fields(json: &mut Writer, report: &Report) {
    json.raw("\"cell\":").number(u64::from(report.cell));
    json.raw(",\"first_sequence\":").number(report.first);
    json.raw(",\"through_sequence\":").number(report.through);
    json.raw(",\"journal_sequence\":").number(report.last);
    json.raw(",\"lag_records\":").number(report.last.saturating_sub(report.through));
    json.raw(",\"compared\":{");
    for (place, (table, rows)) in report.compared.iter().enumerate() {
        json.raw(if place > 0 { "," } else { "" });
        json.string(table).raw(":").number(*rows);
    }
    json.raw("},\"oversold\":");
    match report.is_whole() {
        true => json.number(report.oversold),
        false => json.raw("null"),
    };
    json.raw(",\"skipped\":").list(&report.skipped, |json, skip| {
        json.raw("{\"sequence\":").number(skip.sequence);
        json.raw(",\"said_by\":").number(skip.said);
        json.raw(",\"why\":").string(&skip.why).raw("}");
    });
    json.raw(",\"clean\":").raw(if report.is_clean() { "true" } else { "false" });
    json.raw(",\"differences_count\":").number(report.differences_count);
    json.raw(",\"differences\":").list(&report.differences, |json, difference| {
        json.raw("{\"table\":").string(difference.table);
        json.raw(",\"key\":").string(&difference.key);
        json.raw(",\"column\":").string(difference.column);
        json.raw(",\"expected\":").string(&difference.expected);
        json.raw(",\"found\":").string(&difference.found);
        json.raw(",\"sequence\":").number(difference.sequence).raw("}");
    });
}
