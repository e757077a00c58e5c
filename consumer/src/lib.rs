//! An example of a service that lives on Sluice's order events: it "sends" a mail for each event
//! that a buyer wants to hear of, and sends none twice.
//!
//! It knows Redis and docs/redis.md, and nothing of the engine. As many as wanted run side by side
//! in one consumer group; each event goes to one of them. What makes its effects happen once is not
//! Redis, which delivers at least once: effects are stored under the journal and the event's sequence, which
//! are the same in every delivery, even after Redis was wiped and filled again.

mod effects;
mod follow;
mod stream;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Follows the stream of order events of one cell.
#[derive(Parser, Debug)]
#[command(version)]
pub struct Settings {
    /// Where Redis is.
    #[arg(long, env = "SLUICE_REDIS_URL", hide_env_values = true)]
    pub redis_url: String,
    /// What Sluice's keys begin with.
    #[arg(long, env = "SLUICE_REDIS_PREFIX", default_value = "sluice")]
    pub prefix: String,
    /// The cell.
    #[arg(long, default_value_t = 1)]
    pub cell: u16,
    /// The consumer group: one for each kind of effect.
    #[arg(long, default_value = "mails")]
    pub group: String,
    /// The name of this consumer, its own among those of the group.
    #[arg(long)]
    pub consumer: String,
    /// Entries that are taken at once.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub batch: u16,
    /// After how many seconds what another consumer has not acknowledged is taken from it.
    #[arg(long, default_value_t = 30)]
    pub claim_after: u64,
    /// The database of effects, which all consumers of the group share.
    #[arg(long)]
    pub state: PathBuf,
    /// Ends once nothing is left to do.
    #[arg(long)]
    pub exit_when_idle: bool,
}

/// Follows until `stop`, or until nothing is left if so asked. A batch that was begun is finished.
///
/// # Errors
/// The address is none, or the database of effects fails. Redis is waited for.
pub async fn run(settings: &Settings, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    // Cryptography for TLS: ring. Somebody may have seen to it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // It may hold a password, and is not shown.
    let is_address = redis::Client::open(settings.redis_url.as_str()).is_ok();
    anyhow::ensure!(is_address, "--redis-url: must be like redis://:password@127.0.0.1:6379");
    let effects = effects::Effects::open(&settings.state).await?;
    let place = stream::Place {
        url: settings.redis_url.clone(),
        events: format!("{}:{{{}}}:events", settings.prefix, settings.cell),
        watermark: format!("{}:{{{}}}:watermark", settings.prefix, settings.cell),
        cell: settings.cell,
        group: settings.group.clone(),
        consumer: settings.consumer.clone(),
        batch: settings.batch,
        claim_after: Duration::from_secs(settings.claim_after),
    };
    follow::Follower::new(place, effects, settings.exit_when_idle).run(stop).await
}
