//! PostgreSQL servers as tests use them.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use sluice_services::{Postgres, PostgresOptions, Tls};

fn start(options: &PostgresOptions) -> Postgres {
    Postgres::start(options).expect("PostgreSQL starts")
}

fn sql(postgres: &Postgres, statements: &str) -> String {
    postgres.sql(statements).expect("an answer")
}

/// What somebody who has nothing but the URL gets.
fn query(url: &str, parameters: &str, statement: &str) -> Output {
    let next = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{next}connect_timeout=2&{parameters}");
    Command::new("psql")
        .args([&url, "-X", "-A", "-t", "-c", statement])
        .output()
        .expect("psql runs")
}

fn said(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).expect("text").trim_end()
}

fn refused(output: &Output) -> &str {
    assert!(!output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stderr).expect("text")
}

fn is_gone(process: u32) -> bool {
    !Path::new(&format!("/proc/{process}")).exists()
}

#[test]
fn it_answers_by_port_and_by_socket_until_it_is_dropped() {
    let postgres = start(&PostgresOptions { connections_max: 7, ..PostgresOptions::default() });
    assert_eq!(postgres.url(), format!("postgres://sluice@127.0.0.1:{}/sluice", postgres.port()));
    assert_eq!(said(&query(&postgres.url(), "", "SELECT current_database()")), "sluice");
    assert_eq!(sql(&postgres, "SELECT 1, 'a' UNION SELECT 2, NULL ORDER BY 1"), "1|a\n2|");
    assert_eq!(sql(&postgres, "SHOW server_encoding; SHOW lc_collate"), "UTF8\nC");
    assert_eq!(sql(&postgres, "SHOW max_connections; SHOW fsync"), "7\noff");
    let error = postgres.sql("SELECT 1; SELECT nothing").expect_err("no such column").to_string();
    assert!(error.contains("\"nothing\" does not exist"), "{error}");
    let (id, folder) = (postgres.id().expect("it runs"), postgres.socket_folder().to_owned());
    drop(postgres);
    assert!(is_gone(id) && !folder.exists());
}

#[test]
fn without_a_port_the_socket_is_the_only_way() {
    let settings = vec![("work_mem".to_owned(), "1MB".to_owned())];
    let postgres = start(&PostgresOptions { tcp: false, settings, ..PostgresOptions::default() });
    assert_eq!(said(&query(&postgres.url(), "", "SELECT inet_server_addr() IS NULL")), "t");
    assert_eq!(sql(&postgres, "SHOW listen_addresses; SHOW work_mem"), "\n1MB");
}

#[test]
fn a_durable_one_syncs() {
    let postgres = start(&PostgresOptions { durable: true, ..PostgresOptions::default() });
    assert_eq!(sql(&postgres, "SHOW fsync; SHOW full_page_writes"), "on\non");
}

#[test]
fn paused_it_says_nothing_and_resumed_it_answers_what_was_asked() {
    let postgres = start(&PostgresOptions::default());
    let url = postgres.url();
    // A backend that is in the midst of something.
    sql(&postgres, "CREATE TABLE enough ()");
    let work = "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM enough) LOOP PERFORM pg_sleep(0.01); \
                END LOOP; RAISE 'done'; END $$";
    let busy = Command::new("psql").args([&url, "-X", "-c", work]).stderr(Stdio::piped()).spawn();
    let backends = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %'";
    while sql(&postgres, backends) != "1" {}
    postgres.pause();
    refused(&query(&url, "", "SELECT 1"));
    postgres.resume();
    assert_eq!(said(&query(&url, "", "SELECT 1")), "1");
    sql(&postgres, "INSERT INTO enough DEFAULT VALUES");
    let busy = busy.expect("psql runs").wait_with_output().expect("it ends");
    assert!(refused(&busy).contains("ERROR:  done"), "{busy:?}");
    postgres.pause();
    let id = postgres.id().expect("it runs");
    drop(postgres);
    assert!(is_gone(id));
}

#[test]
fn killed_restarted_and_stopped_it_has_what_was_committed() {
    let mut postgres = start(&PostgresOptions::default());
    let port = postgres.port();
    sql(&postgres, "CREATE TABLE kept (n int)");
    for (n, end) in [Postgres::kill as fn(&mut Postgres), Postgres::stop].into_iter().enumerate() {
        sql(&postgres, &format!("INSERT INTO kept VALUES ({n})"));
        end(&mut postgres);
        assert_eq!(postgres.id(), None);
        refused(&query(&postgres.url(), "", "SELECT 1"));
        postgres.start_again().expect("it starts");
        postgres.start_again().expect_err("it runs");
    }
    postgres.pause();
    postgres.restart().expect("it starts");
    assert_eq!(postgres.port(), port);
    assert_eq!(said(&query(&postgres.url(), "", "SELECT count(*) FROM kept")), "2");
}

#[test]
fn backends_are_killed_and_the_server_goes_on() {
    let postgres = start(&PostgresOptions::default());
    assert_eq!(postgres.kill_backends().expect("an answer"), 0);
    let mut waiting = Command::new("psql");
    waiting.args([&postgres.url(), "-X", "-c", "SELECT pg_sleep(1000)"]);
    let waiting = waiting.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("psql runs");
    while postgres.kill_backends().expect("an answer") == 0 {}
    let output = waiting.wait_with_output().expect("it ends");
    assert!(!refused(&output).is_empty());
    assert_eq!(sql(&postgres, "SELECT 1"), "1");
}

#[test]
fn a_restored_database_is_what_it_was() {
    let postgres = start(&PostgresOptions::default());
    let empty = postgres.dump().expect("dumped");
    sql(
        &postgres,
        "CREATE TABLE one (n int PRIMARY KEY, t text); INSERT INTO one VALUES (1, '$$')",
    );
    sql(&postgres, "CREATE SCHEMA other; CREATE TABLE other.two AS SELECT n FROM one");
    let dump = postgres.dump().expect("dumped");
    sql(
        &postgres,
        "INSERT INTO one VALUES (2, 'new'); DROP TABLE other.two; CREATE TABLE three ()",
    );
    for _ in 0..2 {
        postgres.restore(&dump).expect("restored");
        assert_eq!(sql(&postgres, "SELECT * FROM one"), "1|$$");
        assert_eq!(sql(&postgres, "SELECT * FROM other.two"), "1");
        postgres.sql("SELECT * FROM three").expect_err("it came later");
        assert_eq!(sql(&postgres, "SHOW search_path"), "\"$user\", public");
    }
    postgres.restore(&empty).expect("restored");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname IN ('public', 'other')";
    assert_eq!(sql(&postgres, tables), "0");
    sql(&postgres, "CREATE TABLE one (n int)");
}

#[test]
fn a_password_is_asked_for() {
    let password = Some("it's a p@ss:word/".to_owned());
    let mut postgres = start(&PostgresOptions { password, ..PostgresOptions::default() });
    let url = postgres.url();
    assert!(url.contains("sluice:it%27s%20a%20p%40ss%3Aword%2F@127"), "{url}");
    assert_eq!(said(&query(&url, "", "SELECT 1")), "1");
    let wrong = url.replace("word", "wort");
    assert!(refused(&query(&wrong, "", "SELECT 1")).contains("password authentication failed"));
    postgres.restart().expect("it starts");
    assert_eq!(said(&query(&url, "", "SELECT 1")), "1");
    let stored =
        sql(&postgres, "SELECT left(rolpassword, 13) FROM pg_authid WHERE rolname = 'sluice'");
    assert_eq!(stored, "SCRAM-SHA-256");
}

#[test]
fn tls_is_offered_required_and_checked() {
    let select = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let postgres =
        start(&PostgresOptions { tls: Some(Tls::default()), ..PostgresOptions::default() });
    let authority = postgres.authority().expect("a certificate").display().to_string();
    let checked = format!("sslmode=verify-full&sslrootcert={authority}");
    assert_eq!(said(&query(&postgres.url(), &checked, select)), "t");
    assert!(refused(&query(&postgres.url(), "sslmode=disable", select)).contains("no pg_hba.conf"));

    let tls = Some(Tls { names: vec!["elsewhere.example".to_owned()], required: false });
    let other = start(&PostgresOptions { tls, ..PostgresOptions::default() });
    assert_eq!(said(&query(&other.url(), "sslmode=disable", select)), "f");
    assert_eq!(said(&query(&other.url(), "sslmode=require", select)), "t");
    let unknown =
        query(&other.url(), &format!("sslmode=verify-ca&sslrootcert={authority}"), select);
    assert!(refused(&unknown).contains("certificate verify failed"), "{unknown:?}");
    let authority = other.authority().expect("a certificate").display().to_string();
    let named =
        query(&other.url(), &format!("sslmode=verify-full&sslrootcert={authority}"), select);
    assert!(refused(&named).contains("elsewhere.example"), "{named:?}");
}
