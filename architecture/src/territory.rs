//! What may be named where: files, locks, runtimes, seeded maps, Redis and SQL each have a home.

use crate::Violation;
use crate::source::Source;

/// Words that have no place in the deterministic heart: locks and runtimes.
const HEART: &[&str] = &["core/src/ledger", "core/src/journal", "core/src/shard"];
const NOT_IN_HEART: &[&str] =
    &["Mutex", "RwLock", "DashMap", "dashmap", "parking_lot", "tokio", "async"];

/// No lock is taken on the ledger, and no runtime schedules it.
pub fn heart_is_quiet(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in within(sources, HEART) {
        for word in &source.facts.words {
            if NOT_IN_HEART.contains(&word.name.as_str()) {
                let message = format!(
                    "`{}` in {}: no lock and no async runtime in ledger, journal and shard",
                    word.name,
                    HEART.join(", ")
                );
                found.push(Violation::new(&source.path, word.line, message));
            }
        }
    }
    found
}

/// In core only the sinks have an async runtime. What reads their copies may wait for it.
pub fn runtimes_are_in_sinks(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in within(sources, &["core/src"]) {
        if source.is_in("core/src/sink") {
            continue;
        }
        for word in source.facts.words.iter().filter(|word| word.name == "tokio") {
            let message = "names `tokio`: in core only core/src/sink may";
            found.push(Violation::new(&source.path, word.line, message));
        }
    }
    found
}

/// Files are reached only through the trait `Storage`.
pub fn files_are_in_storage(sources: &[Source]) -> Vec<Violation> {
    let banned: &[&[&str]] =
        &[&["std", "fs"], &["std", "os", "unix", "fs"], &["rustix", "fs"], &["tokio", "fs"]];
    let mut found = Vec::new();
    for source in within(sources, &["core/src"]) {
        let name = source.path.trim_start_matches("core/src/");
        if name.starts_with("storage/")
            || name.starts_with("storage.")
            || name.starts_with("storage_")
            // They do to a database's files what others do to them.
            || name.starts_with("sink/tests/")
        {
            continue;
        }
        found.extend(naming(source, banned, "files are reached through `crate::storage` alone"));
        // `File` itself counts only as a call: a trait may well have an associated type of that name.
        for used in &source.facts.used {
            if used.segments[0] == "File" {
                let message = "opens a `File`: files are reached through `crate::storage` alone";
                found.push(Violation::new(&source.path, used.line, message));
            }
        }
    }
    found
}

/// The ledger is a pure function of its events: no clock, no I/O, no randomness.
pub fn ledger_is_pure(sources: &[Source]) -> Vec<Violation> {
    let banned: &[&[&str]] = &[
        &["std", "time", "Instant"],
        &["std", "time", "SystemTime"],
        &["std", "thread"],
        &["std", "net"],
        &["std", "env"],
        &["rand"],
        &["getrandom"],
        &["rustix"],
    ];
    let mut found = Vec::new();
    for source in within(sources, &["core/src/ledger"]) {
        found.extend(naming(source, banned, "the ledger has no clock, no I/O and no randomness"));
    }
    found
}

/// No map in the ledger is randomly seeded: its order of iteration would differ between replays.
pub fn ledger_maps_are_not_seeded(sources: &[Source]) -> Vec<Violation> {
    let banned: &[&[&str]] = &[
        &["std", "collections", "HashMap"],
        &["std", "collections", "HashSet"],
        &["std", "collections", "hash_map"],
        &["std", "collections", "hash_set"],
        &["std", "hash", "RandomState"],
        &["HashMap", "new"],
        &["HashSet", "new"],
        &["hashbrown", "HashMap", "new"],
        &["hashbrown", "HashSet", "new"],
    ];
    let why =
        "a randomly seeded map has no place in the ledger: name a fixed hasher, or use a BTreeMap";
    let mut found = Vec::new();
    for source in within(sources, &["core/src/ledger"]) {
        found.extend(naming(source, banned, why));
        for word in &source.facts.words {
            if word.name == "RandomState" {
                found.push(Violation::new(
                    &source.path,
                    word.line,
                    format!("`RandomState`: {why}"),
                ));
            }
        }
    }
    found
}

/// Only the sinks know Redis and SQL, apart from the gateway's account store and read-through.
pub fn databases_are_in_sinks(sources: &[Source]) -> Vec<Violation> {
    const HOMES: &[&str] = &[
        "core/src/sink",
        "gateway/src/account",
        "gateway/src/accounts",
        "gateway/src/read_through",
    ];
    const CLIENTS: &[&str] = &["redis", "deadpool_redis", "sqlx", "rusqlite", "tokio_postgres"];
    let mut found = Vec::new();
    for source in within(sources, &["core/src", "gateway/src", "loadgen/src", "simulator/src"]) {
        if HOMES.iter().any(|home| source.is_in(home)) {
            continue;
        }
        let outside =
            source.facts.used.iter().filter(|used| CLIENTS.contains(&used.segments[0].as_str()));
        for used in outside {
            let message =
                format!("names `{}`: only {} may", used.segments.join("::"), HOMES.join(", "));
            found.push(Violation::new(&source.path, used.line, message));
        }
    }
    found
}

fn within<'a>(sources: &'a [Source], places: &'a [&'a str]) -> impl Iterator<Item = &'a Source> {
    sources.iter().filter(|source| places.iter().any(|place| source.is_in(place)))
}

/// The paths of `source` that name one of `banned`.
fn naming(source: &Source, banned: &[&[&str]], why: &str) -> Vec<Violation> {
    source
        .facts
        .used
        .iter()
        .filter(|used| banned.iter().any(|path| used.names(path)))
        .map(|used| {
            let message = format!("names `{}`: {why}", used.segments.join("::"));
            Violation::new(&source.path, used.line, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(rule: fn(&[Source]) -> Vec<Violation>, path: &str, text: &str) -> usize {
        rule(&[Source::parse(path, text).expect("the planted text parses")]).len()
    }

    #[test]
    fn locks_and_runtimes_in_the_heart_are_reported() {
        for module in ["ledger/stock", "journal", "shard/step"] {
            let path = format!("core/src/{module}.rs");
            for text in [
                "struct S { m: std::sync::Mutex<u8> }",
                "use parking_lot::RwLock as Lock;",
                "fn f() { tokio::spawn(g()); }",
                "async fn f() {}",
                "type Views = dashmap::DashMap<u8, u8>;",
            ] {
                assert_ne!(count(heart_is_quiet, &path, text), 0, "{path}: {text}");
            }
        }
        assert_eq!(count(heart_is_quiet, "core/src/view.rs", "use dashmap::DashMap;"), 0);
        assert_eq!(
            count(heart_is_quiet, "core/src/ledger.rs", "//! No Mutex, no async.\nfn f() {}"),
            0
        );
    }

    #[test]
    fn runtimes_outside_the_sinks_are_reported() {
        let text = "fn f() { tokio::runtime::Runtime::new(); }";
        assert_eq!(count(runtimes_are_in_sinks, "core/src/engine.rs", text), 1);
        assert_eq!(count(runtimes_are_in_sinks, "core/src/audit/orders.rs", text), 1);
        assert_eq!(count(runtimes_are_in_sinks, "core/src/sink.rs", text), 0);
        assert_eq!(count(runtimes_are_in_sinks, "core/src/sink/follower.rs", text), 0);
        assert_eq!(count(runtimes_are_in_sinks, "gateway/src/serve.rs", text), 0);
    }

    #[test]
    fn files_outside_storage_are_reported() {
        for text in [
            "use std::fs::File;",
            "use std::{fs, io};",
            "fn f() { rustix::fs::fdatasync(x); }",
            "use std::*;",
            "fn f() { File::open(x); }",
        ] {
            assert_ne!(
                count(files_are_in_storage, "core/src/journal/writer.rs", text),
                0,
                "{text}"
            );
            assert_eq!(count(files_are_in_storage, "core/src/storage/real.rs", text), 0, "{text}");
            assert_eq!(count(files_are_in_storage, "core/src/storage.rs", text), 0, "{text}");
        }
        let associated = "fn f<S: Storage>(file: S::File) -> std::io::Result<()> { Ok(()) }";
        assert_eq!(count(files_are_in_storage, "core/src/journal.rs", associated), 0);
    }

    #[test]
    fn clocks_and_chance_in_the_ledger_are_reported() {
        for text in [
            "use std::time::Instant;",
            "fn f() { std::time::SystemTime::now(); }",
            "fn f() { rand::random(); getrandom::fill(x); }",
            "use std::thread;",
        ] {
            assert_ne!(count(ledger_is_pure, "core/src/ledger/stock.rs", text), 0, "{text}");
        }
        assert_eq!(count(ledger_is_pure, "core/src/ledger.rs", "use std::time::Duration;"), 0);
        assert_eq!(count(ledger_is_pure, "core/src/engine/clock.rs", "use std::time::Instant;"), 0);
    }

    #[test]
    fn seeded_maps_in_the_ledger_are_reported() {
        for text in [
            "use std::collections::HashMap;",
            "use std::collections::{BTreeMap, HashSet};",
            "fn f() { let m = HashMap::new(); }",
            "type S = ahash::RandomState;",
        ] {
            assert_ne!(
                count(ledger_maps_are_not_seeded, "core/src/ledger/keys.rs", text),
                0,
                "{text}"
            );
        }
        let fixed =
            "use hashbrown::HashMap; use std::collections::BTreeMap; use rustc_hash::FxBuildHasher;
                     fn f() { HashMap::with_hasher(FxBuildHasher); BTreeMap::new(); }";
        assert_eq!(count(ledger_maps_are_not_seeded, "core/src/ledger/keys.rs", fixed), 0);
    }

    #[test]
    fn databases_outside_the_sinks_are_reported() {
        for text in ["use redis::Client;", "fn f() { sqlx::query(x); }"] {
            assert_eq!(count(databases_are_in_sinks, "core/src/engine.rs", text), 1, "{text}");
            assert_eq!(count(databases_are_in_sinks, "gateway/src/http.rs", text), 1, "{text}");
            assert_eq!(count(databases_are_in_sinks, "core/src/sink/redis.rs", text), 0, "{text}");
            assert_eq!(count(databases_are_in_sinks, "gateway/src/account.rs", text), 0, "{text}");
            assert_eq!(
                count(databases_are_in_sinks, "gateway/src/read_through/sql.rs", text),
                0,
                "{text}"
            );
        }
    }
}
