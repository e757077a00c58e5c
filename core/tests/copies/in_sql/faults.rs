//! Whatever befalls a PostgreSQL server, the copy is whole afterwards and orders went on (I7, I8).

mod swallow;

use std::thread;
use std::time::Duration;

use sluice_core::limits::{DEFAULT, Limits};
use sluice_core::sink::{SinkState, Trouble};
use sluice_services::{PostgresOptions, Tls};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::in_sql::copied::{Copied, on_a_runtime};
use crate::in_sql::serving::{Serving, at, database, start, started, until};
use crate::living::selling::sell;
use crate::living::times;
use swallow::Swallow;

#[test]
fn connections_that_are_killed_are_opened_again() {
    let postgres = started();
    let serving = Serving::new(database(&postgres));
    for round in 1..=5 {
        serving.sell(40);
        // The sink reads on while it stores: some are killed in the middle of a transaction.
        postgres.kill_backends().expect("an answer");
        until("it was opened", || serving.status().connections.get() >= round);
    }
    serving.audited();
    serving.close();
}

#[test]
fn a_commit_whose_answer_is_lost_is_not_stored_twice() {
    let postgres = started();
    let swallow = Swallow::before(postgres.port());
    let url = postgres.url().replace(&postgres.port().to_string(), &swallow.port().to_string());
    let serving = Serving::new(at(&url));
    serving.sell(10);
    serving.caught_up();
    for lost in 1..=times(20) {
        swallow.next_commit();
        serving.sell(20);
        until("an answer was lost", || swallow.swallowed() >= lost);
    }
    serving.audited();
    assert!(serving.status().troubles(Trouble::Unreachable) >= times(20));
    assert_eq!(serving.status().rewinds.get(), 0);
    serving.close();
}

#[test]
fn a_server_that_is_read_only_is_waited_for() {
    let postgres = started();
    let serving = Serving::new(database(&postgres));
    serving.sell(10);
    serving.caught_up();
    let set = |value: &str| {
        // Neither may be in a transaction, which several statements of one call would be.
        let setting = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
        postgres.sql(&setting).expect("set");
        postgres.sql("SELECT pg_reload_conf()").expect("reloaded");
    };
    set("on");
    until("it says so", || {
        serving.sell(1);
        serving.status().troubles(Trouble::ReadOnly) > 0
    });
    set("off");
    serving.audited();
    serving.close();
}

#[test]
fn a_table_that_is_locked_is_waited_for() {
    let postgres = started();
    let serving = Serving::new(database(&postgres));
    serving.sell(10);
    serving.caught_up();
    let lock = "BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(3); COMMIT";
    thread::scope(|scope| {
        let locked = scope.spawn(|| postgres.sql(lock).expect("an answer"));
        let held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted";
        until("it is locked", || postgres.sql(held).expect("an answer") != "0");
        serving.sell(10);
        until("it says so", || serving.status().troubles(Trouble::Locked) > 0);
        locked.join().expect("no panic");
    });
    serving.audited();
    serving.close();
}

#[test]
fn a_server_without_a_connection_left_is_waited_for() {
    let settings = vec![("superuser_reserved_connections".to_owned(), "0".to_owned())];
    let postgres =
        start(&PostgresOptions { connections_max: 6, settings, ..PostgresOptions::default() });
    let serving = on_a_runtime(async {
        let mut taken = Vec::new();
        while let Ok(connection) = PgConnection::connect(&postgres.url()).await {
            taken.push(connection);
        }
        let serving = Serving::new(database(&postgres));
        serving.sell(10);
        until("it says so", || serving.status().troubles(Trouble::Unreachable) > 0);
        let error = serving.status().last_error().expect("it says why");
        assert!(error.contains("53300"), "{error}");
        serving
    });
    serving.audited();
    serving.close();
}

#[test]
fn a_database_that_is_restored_meanwhile_is_brought_up() {
    let postgres = started();
    let serving = Serving::new(database(&postgres));
    serving.sell(20);
    serving.caught_up();
    let older = postgres.dump().expect("dumped");
    for round in 1..=times(3) {
        serving.sell(20);
        serving.caught_up();
        postgres.restore(&older).expect("restored");
        until("it is noticed", || serving.status().rewinds.get() >= round);
        serving.audited();
    }
    serving.close();
}

#[test]
fn a_server_that_hangs_and_one_that_is_stopped_or_killed_are_waited_for() {
    let mut postgres = started();
    let serving = Serving::new(database(&postgres));
    serving.sell(10);
    serving.caught_up();
    postgres.pause();
    serving.sell(20);
    thread::park_timeout(Duration::from_secs(3));
    postgres.resume();
    serving.audited();
    for kill in [false, true] {
        serving.sell(20);
        match kill {
            true => postgres.kill(),
            false => postgres.stop(),
        }
        serving.sell(20);
        until("it says so", || serving.status().state() == SinkState::Waiting);
        postgres.start_again().expect("it starts");
        serving.audited();
    }
    serving.close();
}

#[test]
fn a_wrong_password_is_told_and_not_shown() {
    let options =
        PostgresOptions { password: Some("right one".to_owned()), ..PostgresOptions::default() };
    let postgres = start(&options);
    let wrong = postgres.url().replace("right%20one", "hunter2");
    assert_ne!(wrong, postgres.url());
    let serving = Serving::new(at(&wrong));
    until("it says so", || serving.status().troubles(Trouble::Forbidden) > 0);
    let error = serving.status().last_error().expect("it says why");
    assert!(error.contains("postgres://sluice@127.0.0.1") && error.contains("28P01"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
    // Whoever runs the server may still set the password right.
    postgres.sql("ALTER ROLE sluice PASSWORD 'hunter2'").expect("set");
    serving.sell(5);
    serving.audited();
    serving.close();
}

#[test]
fn where_no_server_is_it_is_unreachable() {
    let mut postgres = started();
    postgres.stop();
    for url in [postgres.url(), "postgres://sluice@nowhere.invalid/sluice".to_owned()] {
        let serving = Serving::new(at(&url));
        until("it says so", || serving.status().troubles(Trouble::Unreachable) > 0);
        serving.sell(5);
        serving.close();
    }
}

#[test]
fn a_server_is_believed_by_its_certificate() {
    let options = PostgresOptions { tls: Some(Tls::default()), ..PostgresOptions::default() };
    let (postgres, other) = (start(&options), start(&options));
    let url = |authority: &std::path::Path| {
        format!("{}?sslmode=verify-full&sslrootcert={}", postgres.url(), authority.display())
    };
    let serving = Serving::new(at(&url(&postgres.authority().expect("it has one"))));
    serving.sell(10);
    serving.audited();
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name = 'sluice'";
    assert_eq!(postgres.sql(encrypted).expect("an answer"), "t");
    serving.close();
    for wrong in [
        url(&other.authority().expect("it has one")),
        // Without TLS nobody is let in.
        format!("{}?sslmode=disable", postgres.url()),
    ] {
        let serving = Serving::new(at(&wrong));
        until("it says so", || serving.status().last_error().is_some());
        let troubles = |trouble| serving.status().troubles(trouble);
        assert!(troubles(Trouble::Unreachable) + troubles(Trouble::Forbidden) > 0);
        assert_eq!(serving.status().connections.get(), 0);
        serving.close();
    }
}

#[test]
fn an_empty_database_is_brought_up_from_the_archive() {
    let postgres = started();
    // Frames take at least a sector each: more than one of these segments holds.
    let segment = 1 << 20;
    let limits = Limits { segment_bytes: segment, first_segment_bytes: segment, ..DEFAULT };
    let there = database(&postgres);
    let mut copied = Copied::kept_in(|_| there, limits, |handle| sell(handle, segment / 512));
    let archive = copied.folder.path().join("archive");
    std::fs::create_dir(&archive).expect("created");
    let name = "0000000000000001.segment";
    let first = copied.folder.path().join("journal").join(name);
    std::fs::rename(first, archive.join(name)).expect("archived");
    copied.archive = Some(archive);
    postgres.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public").expect("emptied");
    copied.copy();
    let report = copied.audit(DEFAULT);
    assert!(report.is_clean() && report.is_whole(), "{report:?}");
    assert_eq!(report.through, copied.durable);
}

#[test]
fn tables_that_are_taken_away_stop_the_sink_until_all_are() {
    let postgres = started();
    let serving = Serving::new(database(&postgres));
    serving.sell(5);
    serving.caught_up();
    postgres.sql("DROP TABLE order_lines").expect("dropped");
    serving.sell(5);
    until("it says so", || serving.status().state() == SinkState::Stopped);
    let error = serving.status().last_error().expect("it says why");
    assert!(error.contains("order_lines") && error.contains("taken away"), "{error}");
    postgres.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public").expect("emptied");
    serving.audited();
    serving.close();
}

#[test]
fn two_that_write_one_cell_do_not_mix() {
    let postgres = started();
    let serving = Serving::new(database(&postgres));
    // Such as one of a process that was taken for dead.
    let other = serving.another_sink();
    for _ in 0..20 {
        serving.sell(10);
    }
    serving.audited();
    other.stop();
    serving.audited();
    serving.close();
}
