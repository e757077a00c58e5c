//! The scenarios in text, each with 1, 2 and 7 shards.

use std::fs;
use std::path::Path;

#[test]
fn every_scenario_is_answered_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut played = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(folder).expect("there are scenarios") {
        let path = entry.expect("a file").path();
        let text = fs::read_to_string(&path).expect("a scenario");
        for shards in [1, 2, 7] {
            played += 1;
            if let Err(what) = sluice_simulator::scenario::run(&text, shards) {
                wrong.push(format!("{}: {what}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(played >= 30, "only {played} were played");
}

#[test]
fn a_wrong_expectation_is_told_with_its_line() {
    let text = "define sku=7\n\n# nothing there\nplace buyer=ann key=k sku=7 qty=1 -> reserved";
    let what = sluice_simulator::scenario::run(text, 1).expect_err("there is no unit");
    assert!(what.starts_with("line 4, 1 shards"), "{what}");
    assert!(what.contains("sold_out"), "{what}");
    assert!(sluice_simulator::scenario::run("plaec sku=7", 1).is_err());
}
