//! What each package may depend on, as its Cargo.toml says.

use crate::Violation;
use toml::Table;

/// A parsed Cargo.toml.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Path from the root of the repository.
    pub path: String,
    table: Table,
}

/// What one package must not depend on, in whatever table and under whatever alias.
struct Ban {
    manifest: &'static str,
    crates: &'static [&'static str],
    why: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        manifest: "core/Cargo.toml",
        crates: &["hyper", "axum", "serde_json"],
        why: "only the gateway knows HTTP and JSON",
    },
    Ban {
        manifest: "core/Cargo.toml",
        crates: &["sluice-gateway", "sluice-loadgen", "sluice-simulator", "sluice-benches"],
        why: "the engine knows nobody above it",
    },
    Ban {
        manifest: "loadgen/Cargo.toml",
        crates: &["sluice-core", "sluice-gateway", "sluice-simulator", "sluice-benches"],
        why: "a black box cannot share a bug with what it tests",
    },
    Ban {
        manifest: "consumer/Cargo.toml",
        crates: &[
            "sluice-core",
            "sluice-gateway",
            "sluice-loadgen",
            "sluice-simulator",
            "sluice-benches",
        ],
        why: "a service outside knows what is in Redis alone",
    },
    Ban {
        manifest: "simulator/Cargo.toml",
        crates: &["sluice-gateway", "sluice-loadgen", "sluice-benches"],
        why: "gateway, loadgen and simulator share a rank",
    },
    Ban {
        manifest: "gateway/Cargo.toml",
        crates: &["sluice-simulator", "sluice-benches"],
        why: "the server carries neither the simulator nor the benchmarks",
    },
    Ban {
        manifest: "loadgen/Cargo.toml",
        crates: &[SERVICES],
        why: "the load generator meets servers, not what they keep their orders in",
    },
    Ban {
        manifest: "simulator/Cargo.toml",
        crates: &[SERVICES],
        why: "nothing real is in a simulation",
    },
    Ban {
        manifest: "services/Cargo.toml",
        crates: &[
            "sluice-core",
            "sluice-gateway",
            "sluice-loadgen",
            "sluice-simulator",
            "sluice-benches",
        ],
        why: "what tests are started with knows nothing of what is tested",
    },
];

/// Starts Redis and PostgreSQL for tests and benchmarks.
const SERVICES: &str = "sluice-services";

impl Manifest {
    /// Parses `text`, found at `path`.
    ///
    /// # Errors
    ///
    /// One violation when the text is not TOML.
    pub fn parse(path: &str, text: &str) -> Result<Self, Violation> {
        let table = text
            .parse()
            .map_err(|error| Violation::new(path, 0, format!("cannot be parsed: {error}")))?;
        Ok(Self { path: path.to_owned(), table })
    }

    /// The names of all crates it depends on in `kinds` of tables, for any target.
    fn dependencies(&self, kinds: &[&str]) -> Vec<String> {
        let mut names = dependencies_in(&self.table, kinds);
        let targets = self.table.get("target").and_then(toml::Value::as_table);
        for target in targets.into_iter().flat_map(Table::values).filter_map(toml::Value::as_table)
        {
            names.extend(dependencies_in(target, kinds));
        }
        names
    }
}

/// Where a crate may depend on others: for itself, for its tests, for its build.
const NORMAL: &str = "dependencies";
const DEV: &str = "dev-dependencies";
const BUILD: &str = "build-dependencies";

fn dependencies_in(table: &Table, kinds: &[&str]) -> Vec<String> {
    let mut names = Vec::new();
    for &kind in kinds {
        let Some(entries) = table.get(kind).and_then(toml::Value::as_table) else {
            continue;
        };
        for (alias, entry) in entries {
            let package = entry.get("package").and_then(toml::Value::as_str);
            names.push(package.unwrap_or(alias).to_owned());
        }
    }
    names
}

/// Dependencies that the layers forbid.
pub fn dependencies_follow_layers(manifests: &[Manifest]) -> Vec<Violation> {
    let mut found = Vec::new();
    for ban in BANS {
        for manifest in manifests.iter().filter(|manifest| manifest.path == ban.manifest) {
            for name in manifest.dependencies(&[NORMAL, DEV, BUILD]) {
                if ban.crates.contains(&name.as_str()) {
                    found.push(Violation::new(
                        &manifest.path,
                        0,
                        format!("depends on `{name}`: {}", ban.why),
                    ));
                }
            }
        }
    }
    found
}

/// Servers of tests stay in tests: only the benchmarks may depend on them otherwise.
pub fn services_stay_in_tests(manifests: &[Manifest]) -> Vec<Violation> {
    const HOMES: &[&str] = &["benches/Cargo.toml"];
    manifests
        .iter()
        .filter(|manifest| !HOMES.contains(&manifest.path.as_str()))
        .filter(|manifest| manifest.dependencies(&[NORMAL, BUILD]).iter().any(|n| n == SERVICES))
        .map(|manifest| {
            let message = format!("depends on `{SERVICES}`: only tests may, as {DEV}");
            Violation::new(&manifest.path, 0, message)
        })
        .collect()
}

/// The planted bugs are for the simulator alone: no other manifest may name the feature.
pub fn planted_bugs_stay_planted(manifests: &[Manifest]) -> Vec<Violation> {
    const HOMES: &[&str] = &["core/Cargo.toml", "simulator/Cargo.toml"];
    manifests
        .iter()
        .filter(|manifest| !HOMES.contains(&manifest.path.as_str()))
        .filter(|manifest| manifest.table.to_string().contains("planted-bugs"))
        .map(|manifest| {
            Violation::new(
                &manifest.path,
                0,
                "names the feature `planted-bugs`: only the simulator may",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(path: &str, text: &str) -> Vec<Manifest> {
        vec![Manifest::parse(path, text).expect("the planted text parses")]
    }

    #[test]
    fn forbidden_dependencies_are_reported_in_every_table() {
        for text in [
            "[dependencies]\nserde_json.workspace = true",
            "[dev-dependencies]\nserde_json = \"1\"",
            "[build-dependencies]\nhyper = \"1\"",
            "[target.'cfg(unix)'.dependencies]\naxum = \"0.8\"",
            "[dependencies]\nweb = { package = \"hyper\", version = \"1\" }",
            "[dependencies]\nsluice-gateway.workspace = true",
        ] {
            assert_eq!(
                dependencies_follow_layers(&one("core/Cargo.toml", text)).len(),
                1,
                "{text}"
            );
        }
    }

    #[test]
    fn the_load_generator_depends_on_no_other_package() {
        let text = "[dependencies]\nsluice-core.workspace = true\n[dev-dependencies]\nsluice-gateway.workspace = true";
        assert_eq!(dependencies_follow_layers(&one("loadgen/Cargo.toml", text)).len(), 2);
    }

    #[test]
    fn allowed_dependencies_pass() {
        let text = "[dependencies]\nsluice-core.workspace = true\nsluice-loadgen.workspace = true\ntokio = \"1\"";
        assert!(dependencies_follow_layers(&one("gateway/Cargo.toml", text)).is_empty());
        assert!(
            dependencies_follow_layers(&one(
                "core/Cargo.toml",
                "[dependencies]\nhashbrown = \"0.17\""
            ))
            .is_empty()
        );
    }

    #[test]
    fn servers_of_tests_outside_of_tests_are_reported() {
        for text in [
            "[dependencies]\nsluice-services.workspace = true",
            "[build-dependencies]\nsluice-services.workspace = true",
            "[target.'cfg(unix)'.dependencies]\nsluice-services.workspace = true",
            "[dependencies]\nservers = { package = \"sluice-services\", path = \"../services\" }",
        ] {
            for path in ["core/Cargo.toml", "gateway/Cargo.toml"] {
                assert_eq!(services_stay_in_tests(&one(path, text)).len(), 1, "{path}: {text}");
            }
            assert!(services_stay_in_tests(&one("benches/Cargo.toml", text)).is_empty());
        }
        let text = "[dev-dependencies]\nsluice-services.workspace = true";
        for path in ["core/Cargo.toml", "gateway/Cargo.toml"] {
            assert!(services_stay_in_tests(&one(path, text)).is_empty());
            assert!(dependencies_follow_layers(&one(path, text)).is_empty());
        }
        for path in ["loadgen/Cargo.toml", "simulator/Cargo.toml"] {
            assert_eq!(dependencies_follow_layers(&one(path, text)).len(), 1, "{path}");
        }
        let text = "[dev-dependencies]\nsluice-core.workspace = true";
        assert_eq!(dependencies_follow_layers(&one("services/Cargo.toml", text)).len(), 1);
    }

    #[test]
    fn planted_bugs_in_the_server_are_reported() {
        let text =
            "[dependencies]\nsluice-core = { workspace = true, features = [\"planted-bugs\"] }";
        assert_eq!(planted_bugs_stay_planted(&one("gateway/Cargo.toml", text)).len(), 1);
        assert!(planted_bugs_stay_planted(&one("simulator/Cargo.toml", text)).is_empty());
    }
}
