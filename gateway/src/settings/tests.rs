//! Settings: which of several values counts, and what a wrong one is answered with.

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
            ["database_url", "must be sqlite://", "postgres://"],
        ),
        (None, None, "database_url = \"sqlite://\"", ["database_url", "sqlite://", "a path"]),
        (
            None,
            None,
            "database_url = \"postgres://me:hunter2@db:x/shop\"",
            ["database_url", "malformed", "host:port/database"],
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
    assert_eq!(settings.engine([0; 32]).retention_us, 90_000_000);
    let postgres = "database_url = \"postgres://me:hunter2@db/shop\"";
    let settings = merged(None, None, postgres).expect("right");
    assert_eq!(settings.database().to_string(), "postgres://me@db:5432/shop");
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn nothing_that_may_hold_a_password_is_shown() {
    for file in [
        "redis_url = \"redis://:hunter2host:6379/x\"",
        "redis_url = \"hunter2\"",
        "redis_uri = \"redis://:hunter2@host\"",
        "database_url = \"postgresq://me:hunter2db/shop\"",
    ] {
        let error = merged(None, None, file).expect_err(file);
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_ceiling_of_the_journal_is_above_what_is_kept() {
    let max = |file: &str| merged(None, None, file).map(|settings| settings.journal_max_bytes);
    assert_eq!(max("journal_keep_bytes = 10\njournal_max_bytes = 11"), Ok(Some(11)));
    assert_eq!(max("journal_keep_bytes = 10"), Ok(None));
    for file in ["journal_max_bytes = 11", "journal_keep_bytes = 10\njournal_max_bytes = 10"] {
        let error = max(file).expect_err(file);
        assert!(error.contains("journal_max_bytes") && error.contains("keep"), "{error}");
    }
}

#[test]
fn the_payment_provider_is_the_usual_one_unless_it_is_set() {
    let settings = merged(None, None, "").expect("right");
    assert_eq!((settings.payment_provider, settings.payment_extension.seconds()), (External, 0));
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
