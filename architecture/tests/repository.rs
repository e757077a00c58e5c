//! Applies every rule of the architecture to this repository.

use sluice_architecture::licences::{Policy, policy_holds};
use sluice_architecture::manifests::Manifest;
use sluice_architecture::source::Source;
use sluice_architecture::{
    Violation, demand_none, layers, manifests, repository, style, territory,
};

fn sources() -> Vec<Source> {
    let sources = repository::sources(&repository::root()).unwrap_or_else(|violations| {
        demand_none("every source can be read", &violations);
        Vec::new()
    });
    // Rules over no files would all hold: these must be among what was read.
    for path in
        ["core/src/lib.rs", "gateway/src/main.rs", "loadgen/src/main.rs", "architecture/src/lib.rs"]
    {
        assert!(sources.iter().any(|source| source.path == path), "{path} was not found");
    }
    sources
}

fn manifest_files() -> Vec<Manifest> {
    let manifests = repository::manifests(&repository::root()).unwrap_or_else(|violations| {
        demand_none("every manifest can be read", &violations);
        Vec::new()
    });
    for path in ["core/Cargo.toml", "loadgen/Cargo.toml", "services/Cargo.toml"] {
        assert!(manifests.iter().any(|manifest| manifest.path == path), "{path} was not found");
    }
    manifests
}

fn check(rule: &str, judge: fn(&[Source]) -> Vec<Violation>) {
    demand_none(rule, &judge(&sources()));
}

#[test]
fn arrows_inside_core_point_strictly_down() {
    check("ranks of core", layers::ranks);
}

#[test]
fn packages_import_only_what_lies_below_them() {
    check("borders of packages", layers::borders);
}

#[test]
fn dependencies_follow_the_layers() {
    demand_none("dependencies", &manifests::dependencies_follow_layers(&manifest_files()));
}

#[test]
fn servers_of_tests_stay_in_tests() {
    demand_none("servers of tests", &manifests::services_stay_in_tests(&manifest_files()));
}

#[test]
fn planted_bugs_stay_with_the_simulator() {
    demand_none("planted bugs", &manifests::planted_bugs_stay_planted(&manifest_files()));
}

#[test]
fn no_lock_and_no_runtime_in_the_heart() {
    check("quiet heart", territory::heart_is_quiet);
}

#[test]
fn runtimes_stay_in_the_sinks() {
    check("runtimes", territory::runtimes_are_in_sinks);
}

#[test]
fn files_are_reached_through_storage() {
    check("files", territory::files_are_in_storage);
}

#[test]
fn the_ledger_is_pure() {
    check("pure ledger", territory::ledger_is_pure);
}

#[test]
fn maps_of_the_ledger_are_not_seeded() {
    check("maps of the ledger", territory::ledger_maps_are_not_seeded);
}

#[test]
fn redis_and_sql_stay_in_the_sinks() {
    check("databases", territory::databases_are_in_sinks);
}

#[test]
fn names_of_files_say_something() {
    check("names of files", style::names_say_something);
}

#[test]
fn every_file_opens_with_its_purpose() {
    check("first lines", style::files_open_with_their_purpose);
}

#[test]
fn no_file_is_too_long() {
    for line in style::long_ones(&sources()) {
        println!("long: {line}");
    }
    check("length of files", style::files_are_short);
}

#[test]
fn nothing_is_left_undone() {
    check("unfinished code", style::nothing_is_left_undone);
}

#[test]
fn modules_lie_where_they_say() {
    check("hidden modules", style::modules_lie_where_they_say);
}

#[test]
fn dependencies_keep_the_policy_of_deny_toml() {
    let root = repository::root();
    let policy = repository::text(&root, "deny.toml").and_then(|text| Policy::parse(&text));
    let policy = policy.unwrap_or_else(|violation| panic!("{violation}"));
    let packages = repository::packages(&root).unwrap_or_else(|error| panic!("{error}"));
    assert!(packages.iter().any(|package| package.name == "syn"), "metadata lists no dependency");
    demand_none("licences, bans and sources", &policy_holds(&packages, &policy));
}
