//! `sluice journal verify` and `dump`: the journal, read beside a server or without one. `trim`: what
//! need not be kept of it goes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use sluice_core::event::record;
use sluice_core::id::HashKey;
use sluice_core::journal::{self, Reader};
use sluice_core::limits::DEFAULT;
use sluice_core::sink::{self, Database, RedisConfig, SinkError};
use sluice_core::snapshot::{self, Retain, Verified};
use sluice_core::storage::{Directory, LockError};
use sluice_core::watermark::Watermark;

use crate::exit::{DAMAGED, DISK, Failure, IN_USE};
use crate::ids;
use crate::json::{self, write::Writer};
use crate::serve;
use crate::settings::{Settings, SettingsError, journal_dir};

/// Checks the whole journal and prints what it adds up to.
pub(crate) fn verify(data_dir: &Path) -> Result<(), Failure> {
    let directory = open(data_dir)?;
    let summary = journal::verify(directory.clone()).map_err(fatal)?;
    println!(
        "journal of cell {}: {} records up to sequence {}, {} durable, in {} frames and {} segments",
        summary.cell,
        summary.records,
        summary.last_sequence,
        summary.durable_up_to,
        summary.frames,
        summary.segments
    );
    if let Some(torn) = summary.torn_tail {
        println!(
            "unfinished write at its end: segment {}, offset {}, {} bytes: {}",
            torn.segment, torn.offset, torn.bytes, torn.what
        );
    }
    let snapshots = snapshot::verify(&directory, DEFAULT)
        .map_err(|error| Failure::new(error.exit_code(), error))?;
    let mut covered = 1;
    for Verified { name, result } in &snapshots {
        match result {
            Ok((sequence, segment)) => {
                println!("snapshot {name}: whole, up to sequence {sequence}");
                covered = covered.max(*segment);
            }
            Err(error) => println!("snapshot {name}: {error}"),
        }
    }
    if summary.oldest_segment > covered {
        let what = format!(
            "the journal begins with segment {:016x}, sequence {}, and no snapshot has what came \
             before it",
            summary.oldest_segment, summary.first_sequence
        );
        return Err(Failure::new(DAMAGED, what));
    }
    if summary.oldest_segment > 1 {
        println!("kept from sequence {} on; what came before was trimmed", summary.first_sequence);
    }
    match snapshots.iter().find_map(|snapshot| snapshot.result.as_ref().err()) {
        Some(error) => Err(Failure::new(error.exit_code(), "a snapshot is damaged")),
        None => Ok(()),
    }
}

/// Takes segments away that need not be kept, one after the other. No server may run meanwhile: one
/// that does trims by itself.
pub(crate) fn trim(settings: &Settings) -> Result<(), Failure> {
    if settings.journal_keep_bytes.is_none() {
        let range = "must be given: bytes of the journal that are kept at least";
        return Err(SettingsError::new("--journal-keep-bytes", "", range).into());
    }
    let path = journal_dir(&settings.data_dir);
    if !path.is_dir() {
        return Err(Failure::new(DISK, format!("{}: there is no journal", path.display())));
    }
    let directory = Directory::lock(&path).map_err(|error| match error {
        LockError::InUse { .. } => Failure::new(
            IN_USE,
            format!("{error}: it trims by itself if it is given --journal-keep-bytes"),
        ),
        LockError::Io { .. } => Failure::new(DISK, error),
    })?;
    let mut sinks = vec![Watermark::default()];
    let failed = |error: snapshot::Error| Failure::new(error.exit_code(), error);
    if let Some(hash_key) = snapshot::hash_key(&directory).map_err(failed)? {
        sinks[0].set(stored(settings, &hash_key)?);
        if let Some(redis) = &settings.redis {
            sinks.push(Watermark::default());
            sinks[1].set(stored_by_redis(redis, settings, &hash_key)?);
        }
    }
    let retain = Retain {
        bytes: settings.journal_keep_bytes,
        bytes_max: None,
        archive: serve::archive(settings)?,
        sinks: sinks.clone(),
    };
    let (mut segments, mut through) = (0_u64, 0);
    while let Some(trimmed) = snapshot::trim(&directory, &retain).map_err(failed)? {
        (segments, through) = (segments + 1, trimmed.through);
        println!("segment {:016x}, up to sequence {through}: trimmed", trimmed.segment);
    }
    match segments {
        0 => println!(
            "nothing to trim: a segment goes if two snapshots cover it, every copy has stored it \
             (up to sequence {}), and more is kept than asked for",
            sinks.iter().map(Watermark::get).min().unwrap_or(0)
        ),
        _ => println!("{segments} segments trimmed, up to sequence {through}"),
    }
    Ok(())
}

/// What Redis has of the journal with this key; nothing if there is none.
fn stored_by_redis(
    redis: &RedisConfig,
    settings: &Settings,
    hash_key: &HashKey,
) -> Result<u64, Failure> {
    let place = &redis.address;
    let failed = |error: &dyn std::fmt::Display| Failure::new(DISK, format!("{place}: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(&error))?;
    let cell = settings.engine(ids::seed()).cell;
    match runtime.block_on(sink::stored_in_redis(redis, cell)) {
        Err(error) => Err(failed(&error)),
        Ok(Some((sequence, _, journal))) if journal == hash_key.journal().to_string() => {
            Ok(sequence)
        }
        Ok(Some((_, _, other))) => Err(failed(&format!("it belongs to journal {other}"))),
        Ok(None) => Ok(0),
    }
}

/// What the database has stored of the journal with this key, for good; nothing if there is none.
fn stored(settings: &Settings, hash_key: &HashKey) -> Result<u64, Failure> {
    let database = settings.database();
    let failed = |error: &dyn std::fmt::Display| Failure::new(DISK, format!("{database}: {error}"));
    let cell = settings.engine(ids::seed()).cell;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(&error))?;
    let copied = runtime.block_on(sink::stored(&database, cell));
    let Some(copied) = copied.map_err(|error: SinkError| failed(&error))? else { return Ok(0) };
    let own = hash_key.journal().to_string();
    if copied.journal != own {
        let other = copied.journal;
        return Err(failed(&format!("it belongs to journal {other}, this one is {own}")));
    }
    // Its last changes may still be on their way to the disk, and what is trimmed does not come
    // back. A server has synced what it has answered.
    if let Database::Sqlite(file) = &database {
        for name in ["", "-wal"] {
            let mut path = file.path().as_os_str().to_owned();
            path.push(name);
            match File::open(Path::new(&path)).and_then(|file| file.sync_all()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed(&error));
                }
                _ => {}
            }
        }
    }
    Ok(copied.sequence)
}

/// Prints every durable event as a line of JSON.
pub(crate) fn dump(data_dir: &Path) -> Result<(), Failure> {
    let mut reader = Reader::open(open(data_dir)?).map_err(fatal)?;
    let mut out = BufWriter::new(io::stdout().lock());
    while let Some(frame) = reader.next_proven().map_err(fatal)? {
        for (sequence, bytes) in (frame.first_sequence..).zip(frame.records) {
            let (meta, event) = record::decode(bytes)
                .map_err(|error| Failure::new(DAMAGED, format!("record {sequence}: {error}")))?;
            let mut json = Writer::with_capacity(256);
            json::event::record(&mut json, sequence, &meta, &event);
            json.raw("\n");
            if let Err(error) = out.write_all(&json.into_bytes()) {
                return ended(&error);
            }
        }
    }
    if let Err(error) = out.flush() {
        return ended(&error);
    }
    // The reader stops where nothing proves what follows; whether that is the end is judged here.
    journal::verify(open(data_dir)?).map(|_| ()).map_err(fatal)
}

/// Standard output takes no more. Whoever closed it has read enough; all else is an error.
fn ended(error: &io::Error) -> Result<(), Failure> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Failure::new(DISK, format!("stdout: {error}"))),
    }
}

fn open(data_dir: &Path) -> Result<Directory, Failure> {
    let path = journal_dir(data_dir);
    Directory::read_only(&path)
        .map_err(|error| Failure::new(DISK, format!("{}: {error}", path.display())))
}

fn fatal(fatal: journal::Fatal) -> Failure {
    Failure::new(fatal.exit_code(), fatal)
}
