//! The binary as a load tester meets it: exit codes and what it prints.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::audit::SECRET;
use crate::shop::{Fault, Shop, WEBHOOK_SECRET};

pub(crate) fn generator(shop: &Shop, flags: &[&str]) -> Command {
    generator_at(shop, "max", flags)
}

pub(crate) fn generator_at(shop: &Shop, rate: &str, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-loadgen"));
    let url = shop.url();
    command.args(["run", "--target", &url, "--ops", &url, "--rate", rate, "--duration", "1h"]);
    command.args(["--timeout", "1h", "--connections", "4"]).args(flags);
    for secret in ["SLUICE_JWT_SECRET", "SLUICE_ADMIN_TOKEN", "SLUICE_WEBHOOK_SECRET"] {
        command.env_remove(secret);
    }
    command
}

fn secrets(name: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let text = format!(
        "jwt_secret = \"{SECRET}\"\nadmin_token = \"{SECRET}\"\nwebhook_secret = \"{WEBHOOK_SECRET}\"\n"
    );
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn a_good_run_ends_with_zero_and_its_report() {
    let shop = Shop::open(Fault::None);
    let secrets = secrets("good.toml");
    let flags = [
        "--secrets",
        &secrets,
        "--stock",
        "20",
        "--requests",
        "50",
        "--per-buyer-limit=1",
        "--quiet",
    ];
    let output = generator(&shop, &flags).output().unwrap();
    let report = text(&output.stdout);
    assert_eq!(code(&output), Some(0), "{report}{}", text(&output.stderr));
    for line in [
        "closed loop",
        "sold_out                 30",
        "audit from outside: passed",
        "buyers served      20",
    ] {
        assert!(report.contains(line), "{line}: {report}");
    }
    assert!(!report.contains(SECRET) && output.stderr.is_empty());
}

#[test]
fn the_secret_of_webhooks_is_read_and_not_printed() {
    let shop = Shop::open(Fault::None);
    let secrets = secrets("webhooks.toml");
    let flags = ["--secrets", &secrets, "--stock=20", "--requests=30", "--pay=100", "--refund=50"];
    let output = generator(&shop, &flags).output().unwrap();
    let (report, progress) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(code(&output), Some(0), "{report}{progress}");
    assert!(report.contains("paid in time       20, as it should be 20"), "{report}");
    assert!(!report.contains("whsec_") && !progress.contains("whsec_"), "{report}{progress}");
}

#[test]
fn a_failed_audit_ends_with_one() {
    let shop = Shop::open(Fault::Oversells);
    shop.put("iphone", 5);
    let output = generator(&shop, &["--jwt-secret", SECRET, "--requests", "50"]).output().unwrap();
    let report = text(&output.stdout);
    assert_eq!(code(&output), Some(1), "{report}");
    assert!(
        report.contains("FAILED")
            && report.contains("50 units in orders at one moment, 5 there were"),
        "{report}"
    );
}

#[test]
fn wrong_flags_end_with_64_and_are_named_with_their_range() {
    let shop = Shop::open(Fault::None);
    for (flags, words) in [
        (vec![], ["jwt-secret", "must be given"]),
        (vec!["--jwt-secret", "short"], ["jwt-secret", "at least 32 bytes"]),
        (vec!["--jwt-secret", SECRET, "--attempts", "0"], ["attempts: 0", "1…1000"]),
        (vec!["--jwt-secret", SECRET, "--attempts", "many"], ["'many' for '--attempts", "1…1000"]),
        (vec!["--jwt-secret", SECRET, "--unheard-of"], ["--unheard-of", "unexpected"]),
        (vec!["--jwt-secret", SECRET, "--stock", "1"], ["stock", "--admin-token"]),
    ] {
        let output = generator(&shop, &flags).output().unwrap();
        let message = text(&output.stderr);
        assert_eq!(code(&output), Some(64), "{flags:?}: {message}");
        assert!(words.iter().all(|word| message.contains(word)), "{flags:?}: {message}");
    }
}

#[test]
fn another_machine_is_not_called_without_leave() {
    let output = Command::new(env!("CARGO_BIN_EXE_sluice-loadgen"))
        .args(["run", "--jwt-secret", SECRET, "--target", "http://192.0.2.1:1"])
        .output()
        .unwrap();
    assert_eq!(code(&output), Some(64));
    assert!(text(&output.stderr).contains("--allow-remote"));
}

#[test]
fn a_server_that_is_not_there_ends_with_69() {
    let shop = Shop::open(Fault::None);
    let mut gone = generator(&shop, &["--jwt-secret", SECRET]);
    drop(shop);
    let output = gone.output().unwrap();
    assert_eq!(code(&output), Some(69));
    assert!(text(&output.stderr).contains("cannot reach http://127.0.0.1:"));
}

#[test]
fn an_interrupt_ends_the_rush_and_not_the_report() {
    let shop = Shop::open(Fault::None);
    shop.put("iphone", 10);
    let child = generator(&shop, &["--jwt-secret", SECRET])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while shop.orders() == 0 {
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let report = text(&output.stdout);
    assert_eq!(code(&output), Some(0), "{report}{}", text(&output.stderr));
    assert!(
        report.contains("STOPPED EARLY") && report.contains("audit from outside: passed"),
        "{report}"
    );
}

#[test]
fn help_and_version_end_with_zero() {
    for flags in [vec!["--help"], vec!["run", "--help"], vec!["--version"]] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_sluice-loadgen")).args(&flags).output().unwrap();
        assert_eq!((code(&output), output.stdout.is_empty()), (Some(0), false), "{flags:?}");
    }
}
