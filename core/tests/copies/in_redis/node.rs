//! A running engine, and the sink that copies it to Redis.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sluice_core::audit::{self, AuditConfig, AuditError, Report};
use sluice_core::config::{EngineConfig, RETENTION_US};
use sluice_core::engine::{Engine, Handle, OnFatal};
use sluice_core::id::HashKey;
use sluice_core::limits::{DEFAULT, Limits, TINY};
use sluice_core::sink::{
    RedisAddress, RedisConfig, RedisCopy, RedisPrefix, Sink, SinkConfig, SinkState, SinkStatus,
};
use sluice_core::storage::{Archived, Directory};
use sluice_core::watermark::Watermark;
use sluice_services::{Redis, RedisOptions};

use crate::living::life::Life;
use crate::living::selling::sell;
use crate::living::{SMALL_SEGMENTS, segments};

/// How often something is looked at until it must be so.
const LOOKS_MAX: u32 = 30_000;

/// All that is in Redis, as text: the keys in order, and what is in each in order.
const EVERYTHING: &str = "
    local all = {}
    local keys = redis.call('KEYS', '*')
    table.sort(keys)
    for _, key in ipairs(keys) do
        local kind, inside = redis.call('TYPE', key).ok, {}
        if kind == 'hash' then
            local flat = redis.call('HGETALL', key)
            for at = 1, #flat, 2 do
                inside[#inside + 1] = flat[at] .. '=' .. flat[at + 1]
            end
            table.sort(inside)
        elseif kind == 'set' then
            inside = redis.call('SMEMBERS', key)
            table.sort(inside)
        elseif kind == 'stream' then
            for _, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do
                inside[#inside + 1] = entry[1] .. ' ' .. table.concat(entry[2], ' ')
            end
        end
        all[#all + 1] = key .. ' ' .. kind .. ': ' .. table.concat(inside, ', ')
    end
    return all";

/// An engine, its journal, and where its copy is.
pub(crate) struct Node {
    pub(crate) folder: tempfile::TempDir,
    /// Where what was trimmed of the journal is, if it is kept.
    pub(crate) archive: Option<PathBuf>,
    storage: Directory,
    hash_key: HashKey,
    engine: Option<Engine>,
    pub(crate) handle: Handle,
    pub(crate) limits: Limits,
    pub(crate) stream_max: u64,
}

impl Node {
    fn new(limits: Limits, retention_us: u64) -> Self {
        Self::within(DEFAULT, limits, retention_us)
    }

    /// An engine within some limits, and a sink within others.
    fn within(of_engine: Limits, limits: Limits, retention_us: u64) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let storage = Directory::lock(&folder.path().join("journal")).expect("free");
        let on_fatal: OnFatal = Arc::new(|fatal| panic!("{fatal}"));
        // As if SQL had all at once: orders leave when their retention is over.
        let sql = Watermark::default();
        sql.set(u64::MAX);
        let new = EngineConfig::new([42; 32]);
        let limited = EngineConfig { limits: of_engine, ..new };
        let config = EngineConfig { shards: 2, sql: Some(sql), retention_us, ..limited };
        let (engine, handle) =
            Engine::open(storage.clone(), None, &config, &on_fatal).expect("the journal opens");
        let (hash_key, engine, stream_max) = (*handle.hash_key(), Some(engine), 1_000);
        let archive = None;
        Self { folder, archive, storage, hash_key, engine, handle, limits, stream_max }
    }

    /// In which everything happened that can happen to orders.
    pub(crate) fn lived(limits: Limits) -> Self {
        let node = Self::new(limits, RETENTION_US);
        Life::lived(&node.handle);
        sell(&node.handle, 8);
        node
    }

    /// In which nothing happened; whose orders leave as soon as nothing more will become of them.
    pub(crate) fn forgetful() -> Self {
        Self::new(DEFAULT, 0)
    }

    /// In which nothing happened; whose journal has many segments soon.
    pub(crate) fn of_small_segments() -> Self {
        Self::within(SMALL_SEGMENTS, DEFAULT, RETENTION_US)
    }

    /// The journal's segments, the oldest first.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        segments(&self.folder.path().join("journal"))
    }

    fn archived(&self) -> Option<Directory> {
        let open = |path: &PathBuf| Directory::read_only(path).expect("it is there");
        self.archive.as_ref().map(open)
    }

    pub(crate) fn durable(&self) -> u64 {
        self.handle.journal_metrics().durable.get()
    }

    pub(crate) fn config(&self, url: &str) -> RedisConfig {
        let address = RedisAddress::parse(url).expect("an address");
        RedisConfig { address, prefix: RedisPrefix::default(), stream_max: self.stream_max }
    }

    /// Starts the sink.
    pub(crate) fn sink(&self, url: &str) -> Sink {
        let handle = self.handle.clone();
        self.sink_up_to(url, Arc::new(move || handle.journal_metrics().durable.get()))
    }

    pub(crate) fn sink_up_to(
        &self,
        url: &str,
        durable: Arc<dyn Fn() -> u64 + Send + Sync>,
    ) -> Sink {
        let config = SinkConfig {
            storage: self.storage.clone(),
            archive: self.archived(),
            cell: 1,
            journal: self.hash_key.journal(),
            durable,
            watermark: Watermark::default(),
            limits: self.limits,
            seed: 1,
        };
        Sink::redis(self.config(url), config).expect("a thread")
    }

    /// Waits until a sink has all.
    pub(crate) fn caught_up(&self, status: &SinkStatus) {
        let what = || {
            let (has, all) = (status.watermark.get(), self.durable());
            format!("{has} of {all}, {:?}, {:?}", status.state(), status.last_error())
        };
        for _ in 0..LOOKS_MAX {
            let has_all = status.watermark.get() == self.durable();
            if has_all && status.state() == SinkState::Following {
                return;
            }
            thread::park_timeout(Duration::from_millis(1));
        }
        panic!("the sink never had all: {}", what());
    }

    /// Copies all of it to Redis, and ends the sink.
    pub(crate) fn copy(&self, redis: &Redis) -> Arc<SinkStatus> {
        let sink = self.sink(&redis.url());
        let status = Arc::clone(sink.status());
        self.caught_up(&status);
        sink.stop();
        status
    }

    /// Compares the copy with the journal.
    pub(crate) fn audit(&self, url: &str) -> Report {
        self.audit_within(url, DEFAULT).expect("both can be read")
    }

    pub(crate) fn audit_within(&self, url: &str, limits: Limits) -> Result<Report, AuditError> {
        on_a_runtime(async {
            let copy = RedisCopy::new(&self.config(url), 1).expect("an address");
            let config = AuditConfig { cell: 1, limits, differences_max: 5 };
            let storage = Directory::read_only(&self.folder.path().join("journal"));
            let storage = Archived::new(storage.expect("it is there"), self.archived());
            audit::redis::run(&storage, &copy, &config, &mut |_| {}).await
        })
    }

    /// Audits a copy in which nothing may differ.
    pub(crate) fn is_well(&self, url: &str) {
        for limits in [DEFAULT, TINY] {
            let report = self.audit_within(url, limits).expect("both can be read");
            assert!(report.is_clean() && report.is_whole(), "{report:?}");
            assert_eq!(report.through, self.durable());
        }
    }

    /// What an untroubled copy is.
    pub(crate) fn untroubled(&self) -> String {
        let redis = redis();
        self.copy(&redis);
        everything(&redis)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.drain();
        }
    }
}

/// A Redis with nothing in it.
pub(crate) fn redis() -> Redis {
    Redis::start(&RedisOptions::default()).expect("Redis starts")
}

pub(crate) fn cli(redis: &Redis, words: &[&str]) -> String {
    redis.cli(words).expect("an answer")
}

/// All that is in Redis.
pub(crate) fn everything(redis: &Redis) -> String {
    cli(redis, &["EVAL", EVERYTHING, "0"])
}

pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..LOOKS_MAX {
        if is_so() {
            return;
        }
        thread::park_timeout(Duration::from_millis(1));
    }
    panic!("never came true: {what}");
}

pub(crate) fn on_a_runtime<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}
