//! Verdicts and result files of the binary.

use std::path::PathBuf;

use sluice_loadgen::Report;

use crate::audit::SECRET;
use crate::cli::{code, generator, generator_at, text};
use crate::shop::{Fault, Shop};

/// A folder of one test's own, empty.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Fifty orders of five units, and these flags.
fn run(fault: Fault, flags: &[&str]) -> (Option<i32>, String, String) {
    run_at("max", fault, flags)
}

fn run_at(rate: &str, fault: Fault, flags: &[&str]) -> (Option<i32>, String, String) {
    let shop = Shop::open(fault);
    shop.put("iphone", 5);
    let mut command = generator_at(&shop, rate, &["--jwt-secret", SECRET, "--requests", "50"]);
    let output = command.arg("--quiet").args(flags).output().unwrap();
    (code(&output), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_condition_that_comes_true_ends_with_one() {
    let conditions = ["--fail-if", "accepted<50%", "--fail-if", "lost>0", "--fail-if=p99>1h"];
    let (ended, _, message) = run(Fault::None, &conditions);
    assert_eq!(ended, Some(64), "{message}");
    assert!(message.contains("fail-if: p99>1h") && message.contains("ms or s"), "{message}");
    let (ended, report, _) = run(Fault::None, &conditions[..4]);
    assert_eq!(ended, Some(1), "{report}");
    assert!(report.contains("accepted<50%             FAILED  (10.000 %)"), "{report}");
    assert!(report.contains("lost>0                   passed  (0)"), "{report}");
    let (ended, report, _) = run(Fault::None, &conditions[2..4]);
    assert_eq!(ended, Some(0), "{report}");
}

#[test]
fn a_late_generator_ends_with_three_unless_the_audit_failed() {
    // No timer wakes anybody within a microsecond fifty times.
    let late = ["--lag-max", "1us", "--fail-if", "accepted<50%"];
    let (ended, report, _) = run_at("2000", Fault::None, &late);
    assert_eq!(ended, Some(3), "{report}");
    assert!(report.contains("RESULT NOT VALID"), "{report}");
    let (ended, report, _) = run_at("2000", Fault::Oversells, &late);
    assert_eq!(ended, Some(1), "{report}");
}

#[test]
fn results_are_written_whole() {
    let folder = folder("results");
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (json, html) = (path("report.json"), path("report.html"));
    let (hgrm, raw) = (path("report.hgrm"), path("raw.hgrm"));
    std::fs::write(&html, "an earlier report").unwrap();
    let flags = ["--json", &json, "--html", &html, "--hgrm", &hgrm, "--hgrm-raw", &raw];
    let (ended, shown, _) = run(Fault::None, &flags);
    assert_eq!(ended, Some(0), "{shown}");
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let report: Report = serde_json::from_str(&read(&json)).unwrap();
    assert_eq!(report.to_string(), shown);
    assert_eq!((report.schema, report.answers.accepted), (1, 5));
    assert!(!report.stock_samples.unwrap().samples.is_empty());
    let page = read(&html);
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"), "{page}");
    assert!(page.contains("Audit passed") && page.matches("<svg").count() >= 3, "{page}");
    for distribution in [&hgrm, &raw] {
        assert!(read(distribution).contains("Total count    =           50]"));
    }
    assert!(!page.contains(SECRET) && !read(&json).contains(SECRET));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 4);
}

#[test]
fn json_goes_to_standard_output_instead_of_the_text() {
    let (ended, shown, _) = run(Fault::None, &["--json", "-"]);
    assert_eq!(ended, Some(0), "{shown}");
    let report: Report = serde_json::from_str(&shown).unwrap();
    assert_eq!(report.answers.count, 50);
}

#[test]
fn a_place_that_cannot_be_written_costs_no_run() {
    let folder = folder("no-results");
    let nowhere = folder.join("nowhere/report.html").to_str().unwrap().to_owned();
    let twice = folder.join("report").to_str().unwrap().to_owned();
    for (flags, words) in [
        (vec!["--html", nowhere.as_str()], "html: "),
        (vec!["--json", folder.to_str().unwrap()], "json: "),
        (vec!["--json", &twice, "--hgrm", &twice], "hgrm: "),
    ] {
        let shop = Shop::open(Fault::None);
        shop.put("iphone", 5);
        let output = generator(&shop, &["--jwt-secret", SECRET]).args(&flags).output().unwrap();
        let message = text(&output.stderr);
        assert_eq!((code(&output), shop.orders()), (Some(64), 0), "{message}");
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn progress_is_told_in_lines_where_there_is_no_terminal() {
    let shop = Shop::open(Fault::None);
    shop.put("iphone", 5);
    let output = generator(&shop, &["--jwt-secret", SECRET, "--requests", "50"]).output().unwrap();
    let lines = text(&output.stderr);
    assert!(lines.contains("rush: ") && lines.contains("reading back: "), "{lines}");
    assert!(!lines.contains('\u{1b}') && !lines.contains('\r'), "{lines}");
}
