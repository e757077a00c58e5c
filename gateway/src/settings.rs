//! Settings: flags over environment over TOML file over defaults. A wrong value names the key, the
//! value and the range.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sluice_core::config::EngineConfig;
use sluice_core::limits::{DEFAULT, SECTOR_BYTES};
use sluice_core::sink::{Database, PostgresAddress, WrongAddress, without_password};
use sluice_core::storage::DatabaseFile;

use crate::span::{SPAN_RANGE, Span};

/// The keys, as the command line spells them. The environment says `SLUICE_OPS_LISTEN`, the file
/// `ops_listen`.
pub const KEYS: [&str; 17] = [
    "listen",
    "ops-listen",
    "data-dir",
    "database-url",
    "retention",
    "payment-provider",
    "payment-extension",
    "shards",
    "workers",
    "queue-capacity",
    "segment-bytes",
    "snapshot-segments",
    "journal-keep-bytes",
    "archive-dir",
    "connections-max",
    "connections-per-address-max",
    "stream-clients-max",
];

/// Largest queue of orders per shard that may be set.
const QUEUE_CAPACITY_MAX: usize = 1 << 20;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where buyers are served.
    pub listen: SocketAddr,
    /// Where operators are served.
    pub ops_listen: SocketAddr,
    /// Where journal and secrets are kept.
    pub data_dir: PathBuf,
    /// The database that orders are copied to; `None`: `sluice.db` in the data directory.
    pub database: Option<Database>,
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
            return Err(SettingsError::new(
                &name,
                &value.to_string(),
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
        // What is wrong may hold a password all the same.
        let wrong = |range: &str| Err(SettingsError::new(name, &without_password(url), range));
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
mod tests {
    use super::PaymentProvider::{External, Sandbox};
    use super::{KEYS, Settings, variable};
    use std::io::Write;

    fn merged(flag: Option<&str>, variable: Option<&str>, file: &str) -> Result<Settings, String> {
        let mut config = tempfile::NamedTempFile::new().expect("temporary file");
        config.write_all(file.as_bytes()).expect("written");
        let flags = [("workers", flag.map(str::to_owned))];
        let environment =
            |name: &str| (name == "SLUICE_WORKERS").then(|| variable.map(str::to_owned)).flatten();
        let merged = Settings::merge(&flags, environment, Some(config.path()), External);
        merged.map_err(|error| error.to_string())
    }

    #[test]
    fn flags_over_environment_over_file_over_defaults() {
        let workers = |flag, variable, file| merged(flag, variable, file).expect("right").workers;
        assert_eq!(workers(Some("4"), Some("3"), "workers = 2"), 4);
        assert_eq!(workers(None, Some("3"), "workers = 2"), 3);
        assert_eq!(workers(None, None, "workers = 2"), 2);
        assert_eq!(workers(None, None, "workers = \"2\""), 2);
        assert!(workers(None, None, "") >= 1);
    }

    #[test]
    fn a_wrong_value_names_key_value_and_range() {
        for (flag, variable, file, parts) in [
            (Some("0"), None, "", ["--workers", "\"0\"", "1 to 128"]),
            (None, Some("x"), "", ["SLUICE_WORKERS", "\"x\"", "1 to 128"]),
            (None, None, "workers = 1.5", ["workers in", "\"1.5\"", "1 to 128"]),
            (None, None, "segment_bytes = 1048577", ["segment_bytes", "1048577", "1073741824"]),
            (None, None, "segment_bytes = 2147483648", ["segment_bytes", "2147483648", "1048576"]),
            (None, None, "listen = \"8080\"", ["listen", "\"8080\"", "127.0.0.1:8080"]),
            (None, None, "jwt_secret = \"x\"", ["jwt_secret", "unknown key", "queue_capacity"]),
            (None, None, "= 1", ["--config", "must be TOML", ""]),
            (
                None,
                None,
                "database_url = \"mysql://x\"",
                ["database_url", "mysql://x", "sqlite://"],
            ),
            (None, None, "database_url = \"sqlite://\"", ["database_url", "sqlite://", "a path"]),
            (
                None,
                None,
                "database_url = \"postgres://me:hunter2@db:x/shop\"",
                ["database_url", "postgres://me:…@db:x/shop", "host:port/database"],
            ),
            (None, None, "retention = \"0s\"", ["retention", "\"0s\"", "3650d"]),
            (
                None,
                None,
                "payment_provider = \"Sandbox\"",
                ["payment_provider", "\"Sandbox\"", "external or sandbox"],
            ),
            (None, None, "payment_extension = \"61m\"", ["payment_extension", "\"61m\"", "1h"]),
            (None, None, "payment_extension = 0", ["payment_extension", "\"0\"", "a number and"]),
            (None, None, "snapshot_segments = 0", ["snapshot_segments", "\"0\"", "1000000"]),
            (None, None, "journal_keep_bytes = -1", ["journal_keep_bytes", "\"-1\"", "bytes"]),
            (None, None, "archive_dir = \"./data\"", ["archive_dir", "./data", "of its own"]),
        ] {
            let error = merged(flag, variable, file).expect_err(parts[0]);
            for part in parts {
                assert!(error.contains(part), "{error}");
            }
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_database_is_in_the_data_directory_unless_it_is_set() {
        let settings = merged(None, None, "data_dir = \"d\"").expect("right");
        assert_eq!(settings.database().to_string(), "d/sluice.db");
        assert_eq!(settings.engine([0; 32]).retention_us, 30 * 86_400 * 1_000_000);
        let file = "database_url = \"sqlite:///a/b.db\"\nretention = \"90s\"";
        let settings = merged(None, None, file).expect("right");
        assert_eq!(settings.database().to_string(), "/a/b.db");
        let postgres = "database_url = \"postgres://me:hunter2@db/shop\"";
        let settings = merged(None, None, postgres).expect("right");
        assert_eq!(settings.database().to_string(), "postgres://me@db:5432/shop");
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert_eq!(settings.engine([0; 32]).retention_us, 90_000_000);
    }

    #[test]
    fn the_payment_provider_is_the_usual_one_unless_it_is_set() {
        let settings = merged(None, None, "").expect("right");
        assert_eq!(
            (settings.payment_provider, settings.payment_extension.seconds()),
            (External, 0)
        );
        let file = "payment_provider = \"sandbox\"\npayment_extension = \"1h\"";
        let settings = merged(None, None, file).expect("right");
        let seconds = settings.payment_extension.seconds();
        assert_eq!((settings.payment_provider, seconds), (Sandbox, 3_600));
        let usual = |variable: Option<&str>| {
            let environment = |name: &str| {
                (name == "SLUICE_PAYMENT_PROVIDER").then(|| variable.map(str::to_owned)).flatten()
            };
            let merged = Settings::merge(&[], environment, None, Sandbox).expect("right");
            merged.payment_provider
        };
        assert_eq!((usual(None), usual(Some("external"))), (Sandbox, External));
    }

    #[test]
    fn keys_have_one_name_each() {
        assert_eq!(variable("ops-listen"), "SLUICE_OPS_LISTEN");
        for (at, key) in KEYS.iter().enumerate() {
            assert!(!KEYS[..at].contains(key));
        }
    }

    #[test]
    fn a_small_queue_makes_small_batches() {
        let mut settings = merged(None, None, "segment_bytes = 1048576").expect("right");
        settings.queue_capacity = 2;
        let config = settings.engine([0; 32]);
        assert_eq!((config.limits.inbox_orders_max, config.limits.batch_commands_max), (2, 2));
        assert_eq!(config.limits.first_segment_bytes, 1 << 20);
    }
}
