//! `sluice sink`: how far the copies are, and what an operator does about one that has stopped.

use std::io::{self, Write as _};

use hyper::{Method, StatusCode};
use serde::Deserialize;

use sluice_core::event::{Event, SinkName, record};
use sluice_core::journal::{Fatal, Reader};
use sluice_core::sink::{SinkError, erase, erase_redis, stored, stored_in_redis};
use sluice_core::storage::{Archived, Directory};

use crate::audit_cli;
use crate::exit::{DISK, Failure, USAGE};
use crate::json::write::Writer;
use crate::operator_client::{Answer, ask};
use crate::settings::Settings;

/// The sinks of a server that runs, as it says.
#[derive(Debug, Deserialize)]
struct Running {
    sinks: Vec<RunningSink>,
    journal_sequence: u64,
}

/// One of them.
#[derive(Debug, Deserialize)]
struct RunningSink {
    name: String,
    state: String,
    watermark: u64,
    lag_records: u64,
    lag_seconds: u64,
    stopped_at: Option<u64>,
    detached: bool,
    last_error: Option<String>,
    read_error: Option<String>,
}

/// What a server that refuses says.
#[derive(Debug, Deserialize)]
struct Refused {
    detail: String,
}

/// A copy while no server runs.
struct AtRest {
    name: SinkName,
    place: String,
    /// The last sequence that it has, if it has any, and records behind it; or why it cannot be read.
    stored: Result<Option<(u64, u64)>, String>,
}

/// Prints how far each sink is.
pub(crate) fn status(settings: &Settings, as_json: bool) -> Result<(), Failure> {
    let answer = on_a_runtime(ask(settings, Method::GET, "/admin/v1/sinks", Vec::new()))?;
    if let Some(answer) = answer {
        return print(&match as_json {
            true => format!("{}\n", String::from_utf8_lossy(&accepted(&answer)?.body)),
            false => lines(&running(&answer)?),
        });
    }
    let copies = at_rest(settings)?;
    print(&match as_json {
        true => json_at_rest(&copies),
        false => lines_at_rest(settings, &copies),
    })?;
    match copies.iter().find_map(|copy| copy.stored.as_ref().err().map(|error| (copy, error))) {
        Some((AtRest { name, place, .. }, error)) => {
            // Most of them name it already.
            let place = if error.contains(place.as_str()) { "" } else { &format!("{place}: ") };
            Err(Failure::new(DISK, format!("{}: {place}{error}", name.as_str())))
        }
        None => Ok(()),
    }
}

/// What the copies hold while no server runs.
fn at_rest(settings: &Settings) -> Result<Vec<AtRest>, Failure> {
    let storage = audit_cli::journal(settings)?;
    let broken = |fatal: Fatal| Failure::new(fatal.exit_code(), fatal);
    let cell = audit_cli::cell(&storage).map_err(broken)?;
    let own = journal_of(&mut Reader::open(storage.clone()).map_err(broken)?).map_err(broken)?;
    let seen = |name, place, copied: Result<Option<(u64, String)>, SinkError>| {
        let stored = match copied {
            Ok(Some((_, other))) if own.as_ref().is_some_and(|own| *own != other) => {
                Err(format!("it is the copy of another journal, {other}"))
            }
            Ok(Some((sequence, _))) => {
                Ok(Some((sequence, behind(&storage, sequence).map_err(broken)?)))
            }
            Ok(None) => Ok(None),
            Err(error) => Err(error.to_string()),
        };
        Ok::<_, Failure>(AtRest { name, place, stored })
    };
    let database = settings.database();
    let sql = on_a_runtime(async { Ok(stored(&database, cell).await) })?;
    let sql = sql.map(|copied| copied.map(|copied| (copied.sequence, copied.journal)));
    let mut copies = vec![seen(SinkName::Sql, database.to_string(), sql)?];
    if let Some(redis) = &settings.redis {
        let copied = on_a_runtime(async { Ok(stored_in_redis(redis, cell).await) })?;
        let copied = copied.map(|it| it.map(|(sequence, .., journal)| (sequence, journal)));
        copies.push(seen(SinkName::Redis, redis.address.to_string(), copied)?);
    }
    Ok(copies)
}

fn lines_at_rest(settings: &Settings, copies: &[AtRest]) -> String {
    let mut text = format!("no server answers on {}\n", settings.ops_listen);
    for AtRest { name, place, stored } in copies {
        let what = match stored {
            Ok(None) => "nothing is stored".to_owned(),
            Ok(Some((sequence, behind))) => {
                format!("stored up to {sequence}, {behind} records behind")
            }
            Err(error) => error.clone(),
        };
        text.push_str(&format!("{:<6} {what} ({place})\n", name.as_str()));
    }
    text
}

/// Named as a server that runs names it; what only that knows is left out.
fn json_at_rest(copies: &[AtRest]) -> String {
    let mut json = Writer::default();
    json.raw("{\"running\":false,\"sinks\":").list(copies, |json, copy| {
        json.raw("{\"name\":").name(Some(copy.name.as_str()));
        let stored = copy.stored.as_ref().ok().copied().flatten();
        json.raw(",\"watermark\":").optional_number(stored.map(|(sequence, _)| sequence));
        json.raw(",\"lag_records\":").optional_number(stored.map(|(_, behind)| behind));
        let error = copy.stored.as_ref().err();
        json.raw(",\"last_error\":").optional_string(error.map(String::as_str)).raw("}");
    });
    json.raw("}\n");
    String::from_utf8_lossy(&json.into_bytes()).into_owned()
}

/// Records behind a sequence that are proven durable.
fn behind(storage: &Archived<Directory>, sequence: u64) -> Result<u64, Fatal> {
    let mut reader = Reader::open_after(storage.clone(), sequence)?;
    while reader.next_proven()?.is_some() {}
    Ok((reader.next_sequence() - 1).saturating_sub(sequence))
}

/// Erases a copy. The sink makes it anew from the journal, at once if a server runs.
pub(crate) fn rebuild(settings: &Settings, name: SinkName, force: bool) -> Result<(), Failure> {
    let storage = audit_cli::journal(settings)?;
    if !force {
        can_be_made_anew(settings, &storage, name)?;
    }
    let cell = audit_cli::cell(&storage);
    let cell = cell.map_err(|fatal| Failure::new(fatal.exit_code(), fatal))?;
    let (place, erased) = match name {
        SinkName::Sql => {
            let database = settings.database();
            (database.to_string(), on_a_runtime(async { Ok(erase(&database, cell).await) })?)
        }
        SinkName::Redis => {
            let Some(redis) = &settings.redis else {
                return Err(Failure::new(USAGE, "redis-url: none is set: there is no such copy"));
            };
            let erasing = async { Ok(erase_redis(redis, cell).await) };
            (redis.address.to_string(), on_a_runtime(erasing)?)
        }
    };
    let erased = erased.map_err(|error| Failure::new(DISK, format!("{place}: {error}")))?;
    if erased == 0 {
        return print(&format!("{place}: there is nothing of cell {cell}\n"));
    }
    print(&format!(
        "{place}: {erased} rows or keys of cell {cell} are erased; a server that runs makes the copy \
         anew from the journal (sluice sink status tells how far it is), others when they start\n"
    ))
}

/// Makes sure that what is erased comes back: it is a copy of this journal, which reaches back to its
/// beginning.
fn can_be_made_anew(
    settings: &Settings,
    storage: &Archived<Directory>,
    name: SinkName,
) -> Result<(), Failure> {
    let broken = |fatal: Fatal| Failure::new(fatal.exit_code(), fatal);
    let mut reader = Reader::open(storage.clone()).map_err(broken)?;
    if reader.next_sequence() > 1 {
        let what = format!(
            "the journal was trimmed and begins with {}: what is erased would not come back. Name \
             the archive (--archive-dir), or say --force",
            reader.next_sequence()
        );
        return Err(Failure::new(USAGE, what));
    }
    let cell = audit_cli::cell(storage).map_err(broken)?;
    let stored = on_a_runtime(async {
        Ok(match (name, &settings.redis) {
            (SinkName::Sql, _) => {
                stored(&settings.database(), cell).await.map(|it| it.map(|copied| copied.journal))
            }
            (SinkName::Redis, Some(redis)) => {
                stored_in_redis(redis, cell).await.map(|it| it.map(|(.., journal)| journal))
            }
            (SinkName::Redis, None) => Ok(None),
        })
    })?;
    // One that cannot be read may be erased.
    let Ok(Some(other)) = stored else { return Ok(()) };
    match journal_of(&mut reader).map_err(broken)? {
        Some(own) if own != other => {
            let what = format!("it is the copy of journal {other}, this one is {own}: say --force");
            Err(Failure::new(USAGE, what))
        }
        _ => Ok(()),
    }
}

/// The name of a journal, which its first record tells.
fn journal_of(reader: &mut Reader<Archived<Directory>>) -> Result<Option<String>, Fatal> {
    while let Some(frame) = reader.next_proven()? {
        let first = frame.records.clone().next().and_then(|bytes| record::decode(bytes).ok());
        match first {
            // A frame may be a mark alone.
            None => {}
            Some((_, Event::Genesis(genesis))) => {
                return Ok(Some(genesis.hash_key.journal().to_string()));
            }
            Some(_) => break,
        }
    }
    Ok(None)
}

/// Lets a sink pass over the record that it has stopped at.
pub(crate) fn skip(
    settings: &Settings,
    sequence: u64,
    why: &str,
    sink: Option<&str>,
) -> Result<(), Failure> {
    let name = match sink {
        Some(name) => name.to_owned(),
        None => stopped_at(settings, sequence)?,
    };
    let mut body = Writer::default();
    body.raw("{\"sequence\":").number(sequence).raw(",\"why\":").string(why).raw("}");
    let path = format!("/admin/v1/sinks/{name}/skip");
    let answer = on_a_runtime(ask(settings, Method::POST, &path, body.into_bytes()))?;
    accepted(&answer.ok_or_else(|| no_server(settings))?)?;
    print(&format!("the {name} sink passes over record {sequence}; the audit lists it\n"))
}

/// The one sink that has stopped at a record.
fn stopped_at(settings: &Settings, sequence: u64) -> Result<String, Failure> {
    let answer = on_a_runtime(ask(settings, Method::GET, "/admin/v1/sinks", Vec::new()))?;
    let running = running(&answer.ok_or_else(|| no_server(settings))?)?;
    let mut stopped = running.sinks.iter().filter(|sink| sink.stopped_at == Some(sequence));
    match (stopped.next(), stopped.next()) {
        (Some(sink), None) => Ok(sink.name.clone()),
        (Some(_), Some(_)) => {
            Err(Failure::new(USAGE, format!("--sink: several sinks have stopped at {sequence}")))
        }
        (None, _) => {
            let what = format!("no sink has stopped at record {sequence}: see sluice sink status");
            Err(Failure::new(USAGE, what))
        }
    }
}

fn on_a_runtime<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(DISK, format!("runtime: {error}")))?.block_on(work)
}

fn no_server(settings: &Settings) -> Failure {
    let what = "no server answers there, and only a running one knows how its sinks do";
    Failure::new(USAGE, format!("ops-listen: {}: {what}", settings.ops_listen))
}

/// The answer, if it is not a refusal.
fn accepted(answer: &Answer) -> Result<&Answer, Failure> {
    if answer.status == StatusCode::OK {
        return Ok(answer);
    }
    let detail = serde_json::from_slice::<Refused>(&answer.body).map(|refused| refused.detail);
    let detail = detail.unwrap_or_else(|_| "the answer cannot be read".to_owned());
    Err(Failure::new(USAGE, format!("{}: {detail}", answer.status.as_u16())))
}

fn running(answer: &Answer) -> Result<Running, Failure> {
    serde_json::from_slice(&accepted(answer)?.body)
        .map_err(|error| Failure::new(DISK, format!("the server's answer: {error}")))
}

fn lines(running: &Running) -> String {
    let mut text = format!("the journal is durable up to {}\n", running.journal_sequence);
    for sink in &running.sinks {
        text.push_str(&format!(
            "{:<6} {:<10} stored up to {}, {} records and {} s behind\n",
            sink.name, sink.state, sink.watermark, sink.lag_records, sink.lag_seconds
        ));
        if sink.detached {
            text.push_str("       detached: the journal is kept no longer for it\n");
        }
        if let Some(error) = &sink.last_error {
            text.push_str(&format!("       {error}\n"));
        }
        if let Some(error) = &sink.read_error {
            text.push_str(&format!("       others cannot read it: {error}\n"));
        }
        if let Some(sequence) = sink.stopped_at {
            text.push_str(&format!(
                "       mend the store, make the copy anew (sluice sink rebuild {}), or pass the record \
                 over (sluice sink skip {sequence} --why '…')\n",
                sink.name
            ));
        }
    }
    text
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    printed.map_err(|error| Failure::new(DISK, format!("stdout: {error}")))
}
