//! Settings: flags over environment over TOML file over defaults. A wrong value names the key, the
//! value and the range.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sluice_core::config::EngineConfig;
use sluice_core::limits::{DEFAULT, SECTOR_BYTES};
use sluice_core::sink::{
    Database, NoRedisAddress, NoRedisPrefix, PostgresAddress, RedisAddress, RedisConfig,
    RedisPrefix, WrongAddress,
};
use sluice_core::storage::DatabaseFile;

use crate::span::{SPAN_RANGE, Span};

/// The keys, as the command line spells them. The environment says `SLUICE_OPS_LISTEN`, the file
/// `ops_listen`.
pub const KEYS: [&str; 21] = [
    "listen",
    "ops-listen",
    "data-dir",
    "database-url",
    "redis-url",
    "redis-prefix",
    "redis-stream-max",
    "retention",
    "payment-provider",
    "payment-extension",
    "shards",
    "workers",
    "queue-capacity",
    "segment-bytes",
    "snapshot-segments",
    "journal-keep-bytes",
    "journal-max-bytes",
    "archive-dir",
    "connections-max",
    "connections-per-address-max",
    "stream-clients-max",
];

/// Largest queue of orders per shard that may be set.
const QUEUE_CAPACITY_MAX: usize = 1 << 20;

/// Most entries that the stream of order events may be told to keep.
const STREAM_ENTRIES_MAX: u64 = 1 << 40;

/// Most connections that may be allowed.
const CONNECTIONS_MAX: usize = 1 << 20;

/// Most segments between two snapshots that may be set.
const SNAPSHOT_SEGMENTS_MAX: u64 = 1_000_000;

const MIB: u64 = 1 << 20;

const DAYS_30: Span = Span::from_seconds(30 * 86_400);

/// The longest that a start of payment may make a hold last.
const EXTENSION_MAX: Span = Span::from_seconds(3_600);

/// Who takes buyers' payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentProvider {
    /// Somebody else, who calls the webhook.
    External,
    /// The one inside the server, for demos and tests: it takes no money.
    Sandbox,
}

impl FromStr for PaymentProvider {
    type Err = NoProvider;

    fn from_str(text: &str) -> Result<Self, NoProvider> {
        match text {
            "external" => Ok(Self::External),
            "sandbox" => Ok(Self::Sandbox),
            _ => Err(NoProvider),
        }
    }
}

/// It is the name of no payment provider.
#[derive(Debug, PartialEq, Eq)]
pub struct NoProvider;

/// Everything the server is started with, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where buyers are served.
    pub listen: SocketAddr,
    /// Where operators are served.
    pub ops_listen: SocketAddr,
    /// Where journal and secrets are kept.
    pub data_dir: PathBuf,
    /// The database that orders are copied to; `None`: `sluice.db` in the data directory.
    pub database: Option<Database>,
    /// The Redis server that follows the journal, if one does.
    pub redis: Option<RedisConfig>,
    /// How long a final order stays in the ledger, and its key with it.
    pub retention: Span,
    /// Who takes buyers' payments.
    pub payment_provider: PaymentProvider,
    /// How long a hold lasts at least from the first start of its payment.
    pub payment_extension: Span,
    /// How many shards.
    pub shards: usize,
    /// How many gateway workers.
    pub workers: usize,
    /// New orders that may wait in front of one shard.
    pub queue_capacity: usize,
    /// Length of a journal segment.
    pub segment_bytes: u64,
    /// Finished segments that make a new snapshot worth its while.
    pub snapshot_segments: u64,
    /// Bytes of the journal that are kept at least; `None`: all.
    pub journal_keep_bytes: Option<u64>,
    /// Bytes of the journal at which it is kept no longer for a sink that is behind.
    pub journal_max_bytes: Option<u64>,
    /// Where segments go that need not be kept; `None`: nowhere.
    pub archive_dir: Option<PathBuf>,
    /// Connections of buyers, in all.
    pub connections_max: usize,
    /// Connections of buyers, from one address.
    pub connections_per_address_max: usize,
    /// Clients that may watch sales at the same time.
    pub stream_clients_max: usize,
}

/// A setting that cannot be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct SettingsError {
    key: String,
    value: Option<String>,
    range: String,
}

impl SettingsError {
    /// A key with a wrong value, and what would be right.
    pub fn new(key: &str, value: &str, range: &str) -> Self {
        Self { key: key.to_owned(), value: Some(value.to_owned()), range: range.to_owned() }
    }

    /// A secret that is wrong; its value stays untold.
    pub fn secret(key: &str, range: &str) -> Self {
        Self { key: key.to_owned(), value: None, range: range.to_owned() }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}: {value:?} is not allowed: {}", self.key, self.range),
            None => write!(f, "{}: not allowed: {}", self.key, self.range),
        }
    }
}

impl Settings {
    /// Merges what the command line gave, the environment and the file at `config`. If none of
    /// them names a payment provider, it is `usual`.
    ///
    /// # Errors
    /// The first value that is wrong, or a key of the file that nobody knows.
    pub fn merge(
        flags: &[(&'static str, Option<String>)],
        environment: impl Fn(&str) -> Option<String>,
        config: Option<&Path>,
        usual: PaymentProvider,
    ) -> Result<Self, SettingsError> {
        let mut given = config.map_or(Ok(BTreeMap::new()), read_file)?;
        for key in KEYS {
            if let Some(value) = environment(&variable(key)) {
                given.insert(key, (variable(key), value));
            }
        }
        for (key, value) in flags {
            if let Some(value) = value {
                given.insert(key, (format!("--{key}"), value.clone()));
            }
        }
        Given(given).check(usual)
    }

    /// Where the database is.
    pub fn database(&self) -> Database {
        let usual = || Database::Sqlite(DatabaseFile::new(self.data_dir.join("sluice.db")));
        self.database.clone().unwrap_or_else(usual)
    }

    /// What the engine is opened with.
    pub fn engine(&self, seed: [u8; 32]) -> EngineConfig {
        let mut config = EngineConfig::new(seed);
        config.shards = self.shards;
        config.ports = self.workers;
        config.retention_us = self.retention.micros();
        config.journal_keep_bytes = self.journal_keep_bytes;
        config.journal_max_bytes = self.journal_max_bytes;
        config.payment_extension_us = self.payment_extension.micros();
        let limits = &mut config.limits;
        limits.inbox_orders_max = self.queue_capacity;
        limits.batch_commands_max = limits.batch_commands_max.min(self.queue_capacity);
        limits.snapshot_segments = self.snapshot_segments;
        limits.segment_bytes = self.segment_bytes;
        limits.first_segment_bytes = limits.first_segment_bytes.min(self.segment_bytes);
        config
    }
}

/// Where the journal of a data directory is.
pub fn journal_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("journal")
}

/// The environment's name for a key.
pub fn variable(key: &str) -> String {
    format!("SLUICE_{}", key.replace('-', "_").to_ascii_uppercase())
}

fn read_file(path: &Path) -> Result<BTreeMap<&'static str, (String, String)>, SettingsError> {
    let file = path.display().to_string();
    let wrong = |range: String| SettingsError::new("--config", &file, &range);
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| wrong(format!("must be TOML: {}", error.message())))?;
    let mut given = BTreeMap::new();
    for (name, value) in table {
        let Some(key) = KEYS.into_iter().find(|key| key.replace('-', "_") == name) else {
            let known = KEYS.map(|key| key.replace('-', "_")).join(", ");
            // A mistyped key may be that of a secret.
            return Err(SettingsError::secret(
                &name,
                &format!("unknown key in {file}; known: {known}"),
            ));
        };
        let text = match value {
            toml::Value::String(text) => text,
            other => other.to_string(),
        };
        given.insert(key, (format!("{name} in {file}"), text));
    }
    Ok(given)
}

/// Values by key, each with the name under which it was given.
struct Given(BTreeMap<&'static str, (String, String)>);

impl Given {
    fn check(&self, usual: PaymentProvider) -> Result<Settings, SettingsError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let address = "an address and a port, such as 127.0.0.1:8080";
        let segment_range = format!("a multiple of {SECTOR_BYTES} from {MIB} to {}", 1_024 * MIB);
        let data_dir =
            self.parse("data-dir", PathBuf::from("./data"), "a path", |path: &PathBuf| {
                !path.as_os_str().is_empty()
            })?;
        let listen = self.parse("listen", default_address(8080), address, |_| true)?;
        let other = "another address than --listen";
        let ops_listen = self.parse("ops-listen", default_address(9090), address, |_| true)?;
        if listen.port() != 0 && ops_listen == listen {
            return Err(SettingsError::new("ops-listen", &ops_listen.to_string(), other));
        }
        let (payment_provider, payment_extension) = self.payments(usual)?;
        Ok(Settings {
            listen,
            ops_listen,
            database: self.database()?,
            redis: self.redis()?,
            retention: self.parse("retention", DAYS_30, SPAN_RANGE, Span::is_some_time)?,
            payment_provider,
            payment_extension,
            shards: self.number(
                "shards",
                (cores / 4).clamp(1, DEFAULT.shards_max),
                1,
                DEFAULT.shards_max,
            )?,
            workers: self.number(
                "workers",
                (cores / 2).clamp(1, DEFAULT.ports_max),
                1,
                DEFAULT.ports_max,
            )?,
            queue_capacity: self.number(
                "queue-capacity",
                DEFAULT.inbox_orders_max,
                1,
                QUEUE_CAPACITY_MAX,
            )?,
            segment_bytes: self.parse(
                "segment-bytes",
                DEFAULT.segment_bytes,
                &segment_range,
                |bytes| {
                    (MIB..=1_024 * MIB).contains(bytes) && bytes.is_multiple_of(SECTOR_BYTES as u64)
                },
            )?,
            snapshot_segments: self.parse(
                "snapshot-segments",
                DEFAULT.snapshot_segments,
                &format!("a whole number from 1 to {SNAPSHOT_SEGMENTS_MAX}"),
                |segments| (1..=SNAPSHOT_SEGMENTS_MAX).contains(segments),
            )?,
            journal_keep_bytes: self.keep_bytes()?,
            journal_max_bytes: self.max_bytes()?,
            archive_dir: self.archive_dir(&data_dir)?,
            data_dir,
            connections_max: self.number("connections-max", 16_384, 1, CONNECTIONS_MAX)?,
            connections_per_address_max: self.number(
                "connections-per-address-max",
                8_192,
                1,
                CONNECTIONS_MAX,
            )?,
            stream_clients_max: self.number("stream-clients-max", 4_096, 1, CONNECTIONS_MAX)?,
        })
    }

    fn payments(&self, usual: PaymentProvider) -> Result<(PaymentProvider, Span), SettingsError> {
        let range = "external or sandbox";
        let provider = self.parse("payment-provider", usual, range, |_| true)?;
        let range = "a number and s, m or h, such as 90s or 15m, at most 1h";
        let none = Span::from_seconds(0);
        let extension =
            self.parse("payment-extension", none, range, |span| *span <= EXTENSION_MAX)?;
        Ok((provider, extension))
    }

    fn database(&self) -> Result<Option<Database>, SettingsError> {
        let Some((name, url)) = self.0.get("database-url") else { return Ok(None) };
        // What is wrong may hold a password all the same, wherever it stands.
        let wrong = |range: &str| match url.starts_with("sqlite:") {
            true => Err(SettingsError::new(name, url, range)),
            false => Err(SettingsError::secret(name, range)),
        };
        if let Some(path) = url.strip_prefix("sqlite://") {
            // Such a name would be a database in memory, or an option.
            if path.is_empty() || path.contains(['\0', '?']) || path == ":memory:" {
                return wrong("must be sqlite:// and a path, such as sqlite:///var/lib/sluice.db");
            }
            return Ok(Some(Database::Sqlite(DatabaseFile::new(PathBuf::from(path)))));
        }
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return wrong(
                "must be sqlite:// and a path, such as sqlite:///var/lib/sluice.db, or \
                 postgres://user:password@host:port/database",
            );
        }
        match url.parse::<PostgresAddress>() {
            Ok(address) => Ok(Some(Database::Postgres(address))),
            Err(WrongAddress(what)) => {
                wrong(&format!("must be postgres://user:password@host:port/database: {what}"))
            }
        }
    }

    fn keep_bytes(&self) -> Result<Option<u64>, SettingsError> {
        let range = format!("bytes: a whole number up to {}", u64::MAX);
        match self.0.contains_key("journal-keep-bytes") {
            true => self.parse("journal-keep-bytes", 0, &range, |_| true).map(Some),
            false => Ok(None),
        }
    }

    fn max_bytes(&self) -> Result<Option<u64>, SettingsError> {
        let Some((name, given)) = self.0.get("journal-max-bytes") else { return Ok(None) };
        let keep = self.keep_bytes()?;
        let range = match keep {
            Some(keep) => format!("must be bytes: a whole number above journal-keep-bytes, {keep}"),
            None => "has no meaning without journal-keep-bytes: all of the journal is kept".into(),
        };
        match (given.parse::<u64>(), keep) {
            (Ok(most), Some(keep)) if most > keep => Ok(Some(most)),
            _ => Err(SettingsError::new(name, given, &range)),
        }
    }

    fn redis(&self) -> Result<Option<RedisConfig>, SettingsError> {
        let prefix = self.0.get("redis-prefix").map(|(name, prefix)| {
            let wrong = |error: NoRedisPrefix| SettingsError::new(name, prefix, &error.to_string());
            RedisPrefix::new(prefix).map_err(wrong)
        });
        let prefix = prefix.transpose()?.unwrap_or_default();
        let range = format!("a whole number from 1 to {STREAM_ENTRIES_MAX}");
        let stream_max =
            self.parse("redis-stream-max", RedisConfig::STREAM_MAX, &range, |entries| {
                (1..=STREAM_ENTRIES_MAX).contains(entries)
            })?;
        let Some((name, url)) = self.0.get("redis-url") else { return Ok(None) };
        let wrong = |error: NoRedisAddress| SettingsError::secret(name, &error.to_string());
        let address = RedisAddress::parse(url).map_err(wrong)?;
        Ok(Some(RedisConfig { address, prefix, stream_max }))
    }

    fn archive_dir(&self, data_dir: &Path) -> Result<Option<PathBuf>, SettingsError> {
        let Some((name, path)) = self.0.get("archive-dir") else { return Ok(None) };
        let archive = PathBuf::from(path);
        let taken = [data_dir.to_path_buf(), journal_dir(data_dir)];
        if path.is_empty() || taken.contains(&archive) {
            let range = "must be a folder of its own, and be there";
            return Err(SettingsError::new(name, path, range));
        }
        Ok(Some(archive))
    }

    fn number(
        &self,
        key: &str,
        default: usize,
        least: usize,
        most: usize,
    ) -> Result<usize, SettingsError> {
        let range = format!("a whole number from {least} to {most}");
        self.parse(key, default, &range, |number| (least..=most).contains(number))
    }

    fn parse<T: FromStr>(
        &self,
        key: &str,
        default: T,
        range: &str,
        allowed: impl Fn(&T) -> bool,
    ) -> Result<T, SettingsError> {
        let Some((name, value)) = self.0.get(key) else { return Ok(default) };
        match value.parse() {
            Ok(parsed) if allowed(&parsed) => Ok(parsed),
            _ => Err(SettingsError::new(name, value, &format!("must be {range}"))),
        }
    }
}

fn default_address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[cfg(test)]
mod tests;
