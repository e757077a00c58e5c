//! A journal, its copy, and what can be done with both.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sluice_core::audit::{self, AuditConfig, AuditError, Report};
use sluice_core::config::EngineConfig;
use sluice_core::engine::{Engine, Handle, OnFatal};
use sluice_core::id::HashKey;
use sluice_core::limits::{DEFAULT, Limits};
use sluice_core::sink::{Database, Sink, SinkConfig, SinkStatus, Snapshot};
use sluice_core::storage::{Archived, DatabaseFile, Directory};
use sluice_core::watermark::Watermark;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use crate::living::selling::sell;

/// An engine whose work is done, and its copy.
pub(crate) struct Copied {
    pub(crate) folder: tempfile::TempDir,
    /// Where what was trimmed of the journal is, if it is kept.
    pub(crate) archive: Option<PathBuf>,
    database: Database,
    storage: Directory,
    hash_key: HashKey,
    pub(crate) durable: u64,
}

impl Copied {
    /// Sells `orders` orders, every third of which is cancelled, and copies all of it.
    pub(crate) fn new(orders: u64) -> Self {
        Self::within(DEFAULT, orders)
    }

    pub(crate) fn within(limits: Limits, orders: u64) -> Self {
        Self::of(limits, |handle| sell(handle, orders))
    }

    /// Lets an engine live as `life` says, and copies all of it.
    pub(crate) fn of(limits: Limits, life: impl FnOnce(&Handle)) -> Self {
        let file = |folder: &Path| Database::Sqlite(DatabaseFile::new(folder.join("copy.db")));
        Self::kept_in(file, limits, life)
    }

    /// The same, in a database that may be in a folder beside the journal.
    pub(crate) fn kept_in(
        database: impl FnOnce(&Path) -> Database,
        limits: Limits,
        life: impl FnOnce(&Handle),
    ) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let storage = Directory::lock(&folder.path().join("journal")).expect("free");
        let on_fatal: OnFatal = Arc::new(|fatal| panic!("{fatal}"));
        let config = EngineConfig { shards: 2, limits, ..EngineConfig::new([42; 32]) };
        let (engine, handle) =
            Engine::open(storage.clone(), None, &config, &on_fatal).expect("the journal opens");
        life(&handle);
        let hash_key = *handle.hash_key();
        engine.drain();
        let durable = handle.journal_metrics().durable.get();
        let database = database(folder.path());
        let copied = Self { folder, archive: None, database, storage, hash_key, durable };
        copied.copy();
        copied
    }

    pub(crate) fn database(&self) -> Database {
        self.database.clone()
    }

    /// Where the copy is, if it is in a file.
    pub(crate) fn path(&self) -> PathBuf {
        match &self.database {
            Database::Sqlite(file) => file.path().to_path_buf(),
            Database::Postgres(address) => panic!("{address} is no file"),
        }
    }

    fn archive(&self) -> Option<Directory> {
        let open = |path: &PathBuf| Directory::read_only(path).expect("it is there");
        self.archive.as_ref().map(open)
    }

    pub(crate) fn sink(&self, durable: u64) -> Sink {
        let config = SinkConfig {
            storage: self.storage.clone(),
            archive: self.archive(),
            cell: 1,
            journal: self.hash_key.journal(),
            durable: Arc::new(move || durable),
            watermark: Watermark::default(),
            limits: DEFAULT,
            seed: 1,
        };
        Sink::sql(self.database(), config).expect("a thread")
    }

    /// Lets a sink go on until it has all.
    pub(crate) fn copy(&self) -> Arc<SinkStatus> {
        loop {
            let sink = self.sink(self.durable);
            let status = Arc::clone(sink.status());
            // It stores what it can before it ends.
            sink.stop();
            if status.watermark.get() == self.durable {
                return status;
            }
        }
    }

    /// Lets a sink go on until it has all up to `durable`, and what else that frame holds. Says how
    /// far that is.
    pub(crate) fn copy_up_to(&self, durable: u64) -> u64 {
        loop {
            let sink = self.sink(durable);
            let status = Arc::clone(sink.status());
            sink.stop();
            if status.watermark.get() >= durable {
                return status.watermark.get();
            }
        }
    }

    pub(crate) fn audit(&self, limits: Limits) -> Report {
        let mut pass = 0;
        let report = self.audit_with(limits, &mut |now| pass = now.pass.max(pass));
        assert!(pass >= 2, "events, then orders");
        report.expect("both can be read")
    }

    /// An audit that tells how far it is.
    pub(crate) fn audit_with(
        &self,
        limits: Limits,
        progress: &mut dyn FnMut(audit::Progress),
    ) -> Result<Report, AuditError> {
        on_a_runtime(async {
            let mut snapshot = Snapshot::take(&self.database, 1).await.expect("taken");
            let config = AuditConfig { cell: 1, limits, differences_max: 3 };
            let storage = Directory::read_only(&self.folder.path().join("journal"));
            let storage = Archived::new(storage.expect("it is there"), self.archive());
            let report = audit::run(&storage, &mut snapshot, &config, progress).await;
            snapshot.end().await.expect("ended");
            report
        })
    }

    /// Does something to the copy behind the sink's back. Gives how many rows it changed.
    pub(crate) fn tamper(&self, statement: &str) -> u64 {
        on_a_runtime(async {
            let options = sqlx::sqlite::SqliteConnectOptions::new();
            let options = options.filename(self.path());
            let mut connection = options.connect().await.expect("opened");
            let statement = AssertSqlSafe(statement.to_owned());
            let done = connection.execute(statement).await.expect("done");
            connection.close().await.expect("closed");
            done.rows_affected()
        })
    }
}

pub(crate) fn on_a_runtime<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}
