//! What copies the journal elsewhere, and what reads the copy in SQL: started together, ended
//! together.

use std::io;
use std::sync::Arc;

use sluice_core::engine::Handle;
use sluice_core::sink::{Sink, SinkConfig};
use sluice_core::storage::Directory;
use sluice_core::watermark::Watermark;

use crate::exit::{DISK, Failure};
use crate::gate::Copies;
use crate::ids;
use crate::lookup::Lookup;
use crate::read_through::{ReadSource, RetiredOrders};
use crate::retention;
use crate::serve;
use crate::settings::Settings;
use crate::sinks::SeenSink;

/// How far each copy is, for those who keep the journal for it.
pub(crate) struct Watermarks {
    pub(crate) sql: Watermark,
    /// If there is such a copy.
    pub(crate) redis: Option<Watermark>,
}

impl Watermarks {
    /// Of the copies that the settings name. Nothing is known of them yet.
    pub(crate) fn of(settings: &Settings) -> Self {
        let redis = settings.redis.as_ref().map(|_| Watermark::default());
        Self { sql: Watermark::default(), redis }
    }
}

/// The sinks that run.
pub(crate) struct Followers(Vec<Sink>);

impl Followers {
    /// Lets all of them store what is durable, if that is quick, and ends them.
    pub(crate) fn stop(self) {
        self.0.iter().for_each(Sink::ask_to_end);
        self.0.into_iter().for_each(Sink::stop);
    }
}

/// Starts what copies orders, and what reads them in the database, of an engine that recovered
/// records up to a sequence.
pub(crate) fn start(
    directory: &Directory,
    settings: &Settings,
    watermarks: Watermarks,
    (handle, recovered): (&Handle, u64),
) -> Result<(Followers, Copies), Failure> {
    let config = |watermark: Watermark| {
        let follower = handle.clone();
        let mut seed = [0; 8];
        seed.copy_from_slice(&ids::seed()[..8]);
        Ok::<_, Failure>(SinkConfig {
            storage: directory.clone(),
            archive: serve::archive(settings)?,
            cell: handle.cell(),
            journal: handle.hash_key().journal(),
            durable: Arc::new(move || follower.journal_metrics().durable.get()),
            watermark,
            limits: *handle.limits(),
            seed: u64::from_le_bytes(seed),
        })
    };
    let thread = |error: io::Error| Failure::new(DISK, format!("a thread: {error}"));
    // Before anything of this start can leave the ledger.
    let retention_us = settings.retention.micros();
    let (journal, start) = (handle.hash_key().journal(), (retention_us, handle.now()));
    let kept = retention::earlier(&settings.data_dir, &journal, start, recovered > 0);
    let earlier = kept
        .map_err(|error| Failure::new(DISK, format!("{}: {error}", settings.data_dir.display())))?;
    let sql = Sink::sql(settings.database(), config(watermarks.sql.clone())?).map_err(thread)?;
    let status = Arc::clone(sql.status());
    let source = ReadSource {
        database: settings.database(),
        status: Arc::clone(&status),
        recovered,
        retention_us,
        earlier,
    };
    let retired = RetiredOrders::start(source, handle).map_err(thread)?;
    let look = |name| {
        Lookup::start(name, settings.database(), Arc::clone(&status), handle).map_err(thread)
    };
    let (lookup, buyers_lookup) = (Arc::new(look("lookup-sql")?), look("lists-sql")?);
    let mut seen = vec![SeenSink { status, watermark: watermarks.sql }];
    let mut sinks = vec![sql];
    if let (Some(redis), Some(watermark)) = (&settings.redis, watermarks.redis) {
        if settings.journal_keep_bytes.is_some() && settings.archive_dir.is_none() {
            tracing::warn!(
                "with journal-keep-bytes and no archive-dir, a Redis that forgets what it was given \
                 cannot be filled again"
            );
        }
        let sink = Sink::redis(redis.clone(), config(watermark.clone())?).map_err(thread)?;
        seen.push(SeenSink { status: Arc::clone(sink.status()), watermark });
        sinks.push(sink);
    }
    Ok((Followers(sinks), Copies { sinks: seen, retired, lookup, buyers_lookup }))
}
