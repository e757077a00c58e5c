//! Who may import whom: the ranks inside core, and the arrows between packages.
//!
//! Inside `core/src` every arrow points strictly down: a module may name only modules whose rank is
//! lower, and modules of one rank do not know each other. Within one top-level module anything goes.

use crate::Violation;
use crate::source::Source;

/// A rank and its sub-rank; the sub-rank orders the few arrows that ranks 1 and 2 need inside.
pub type Rank = (u8, u8);

/// Every top-level module of core, lowest first. ARCHITECTURE.md explains the order.
pub const RANKS: &[(Rank, &[&str])] = &[
    ((0, 0), &["limits", "planted"]),
    ((1, 0), &["quantity", "money", "time", "name"]),
    ((1, 1), &["id"]),
    ((2, 0), &["storage", "metrics", "router", "watermark"]),
    ((2, 1), &["event", "config"]),
    ((2, 2), &["outcome"]),
    ((2, 3), &["command", "view"]),
    ((3, 0), &["ledger", "journal"]),
    ((4, 0), &["snapshot"]),
    ((5, 0), &["shard", "sink"]),
    ((6, 0), &["engine", "audit"]),
];

/// The rank of core's top-level module `module`, if it has one.
fn rank_of(module: &str) -> Option<Rank> {
    RANKS.iter().find(|(_, modules)| modules.contains(&module)).map(|(rank, _)| *rank)
}

/// Arrows inside core that do not point strictly down, and modules without a rank.
///
/// The root, `core/src/lib.rs`, may name everything: it only declares the modules.
pub fn ranks(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| source.is_in("core/src")) {
        if let Some(module) = top_module(&source.path)
            && rank_of(module).is_none()
        {
            found.push(Violation::new(
                &source.path,
                0,
                format!(
                    "module `{module}` has no rank: add it to RANKS in architecture/src/layers.rs, \
                     above everything it uses, and to the code map in ARCHITECTURE.md"
                ),
            ));
        }
        for used in &source.facts.used {
            if used.segments[0] != "crate" {
                continue;
            }
            let Some(from) = used.module.first() else {
                continue;
            };
            let to = &used.segments[1];
            if let Some(message) = judge(from, to) {
                found.push(Violation::new(&source.path, used.line, message));
            }
        }
    }
    found.dedup(); // a use tree may name one module several times on one line
    found
}

/// Why the arrow from module `from` to module `to` is wrong, if it is.
fn judge(from: &str, to: &str) -> Option<String> {
    if from == to {
        return None;
    }
    let from_rank = rank_of(from)?; // a module without a rank has been reported once already
    let Some(to_rank) = rank_of(to) else {
        return Some(format!(
            "`{from}` names `crate::{to}`, which is no module with a rank: name an item through its \
             module, or give the module a rank in architecture/src/layers.rs"
        ));
    };
    if to_rank < from_rank {
        return None;
    }
    let way = if to_rank == from_rank { "sideways" } else { "up" };
    Some(format!(
        "`{from}` (rank {}.{}) points {way} to `{to}` (rank {}.{}): arrows point strictly down",
        from_rank.0, from_rank.1, to_rank.0, to_rank.1
    ))
}

/// The top-level module a file of core belongs to; none for the root.
fn top_module(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("core/src/")?;
    let first = inside.split('/').next()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (module != "lib").then_some(module)
}

/// Where a package's sources may not reach, and where an exception stands.
struct Border {
    place: &'static str,
    forbidden: &'static [&'static str],
    except: &'static [&'static str],
    why: &'static str,
}

const BORDERS: &[Border] = &[
    Border {
        place: "core/src",
        forbidden: &["sluice_gateway", "sluice_loadgen", "sluice_simulator", "sluice_benches"],
        except: &[],
        why: "the engine knows nobody above it",
    },
    Border {
        place: "gateway/src",
        forbidden: &["sluice_simulator", "sluice_benches"],
        except: &[],
        why: "the gateway imports the engine alone",
    },
    Border {
        place: "gateway/src",
        forbidden: &["sluice_loadgen"],
        except: &["gateway/src/demo"],
        why: "only the demo command may drive load",
    },
    Border {
        place: "loadgen",
        forbidden: &["sluice_core", "sluice_gateway", "sluice_simulator", "sluice_benches"],
        except: &[],
        why: "a black box cannot share a bug with what it tests",
    },
    Border {
        place: "consumer",
        forbidden: &[
            "sluice_core",
            "sluice_gateway",
            "sluice_loadgen",
            "sluice_simulator",
            "sluice_benches",
        ],
        except: &[],
        why: "a service outside knows what is in Redis alone",
    },
    Border {
        place: "simulator",
        forbidden: &["sluice_gateway", "sluice_loadgen", "sluice_benches"],
        except: &[],
        why: "gateway, loadgen and simulator share a rank",
    },
    Border {
        place: "loadgen",
        forbidden: &["sluice_services"],
        except: &[],
        why: "the load generator meets servers, not what they keep their orders in",
    },
    Border {
        place: "simulator",
        forbidden: &["sluice_services"],
        except: &[],
        why: "nothing real is in a simulation",
    },
    Border {
        place: "services",
        forbidden: &[
            "sluice_core",
            "sluice_gateway",
            "sluice_loadgen",
            "sluice_simulator",
            "sluice_benches",
        ],
        except: &[],
        why: "what tests are started with knows nothing of what is tested",
    },
];

/// Imports between packages that no layer allows.
pub fn borders(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for border in BORDERS {
        for source in sources.iter().filter(|source| source.is_in(border.place)) {
            if border.except.iter().any(|place| source.is_in(place)) {
                continue;
            }
            for word in &source.facts.words {
                if border.forbidden.contains(&word.name.as_str()) {
                    let message = format!("names `{}`: {}", word.name, border.why);
                    found.push(Violation::new(&source.path, word.line, message));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(path: &str, text: &str) -> Vec<Source> {
        vec![Source::parse(path, text).expect("the planted text parses")]
    }

    fn messages(violations: &[Violation]) -> String {
        violations.iter().map(|v| format!("{v}\n")).collect()
    }

    #[test]
    fn every_module_stands_in_the_table_once_and_ranks_ascend() {
        let mut seen = Vec::new();
        for (_, modules) in RANKS {
            for module in *modules {
                assert!(!seen.contains(module), "{module} has two ranks");
                seen.push(module);
            }
        }
        assert!(RANKS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn an_arrow_up_is_reported_with_its_line() {
        let found = ranks(&one("core/src/event/mod.rs", "//! x\nuse crate::ledger::Stock;"));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.as_str(), found[0].line), ("core/src/event/mod.rs", 2));
        assert!(messages(&found).contains("`event` (rank 2.1) points up to `ledger` (rank 3.0)"));
    }

    #[test]
    fn one_line_is_reported_once_for_one_arrow() {
        let text = "use crate::ledger::{Stock, Lots};";
        assert_eq!(ranks(&one("core/src/event.rs", text)).len(), 1);
    }

    #[test]
    fn ledger_and_journal_shard_and_sink_do_not_know_each_other() {
        for (from, to) in
            [("ledger", "journal"), ("journal", "ledger"), ("shard", "sink"), ("sink", "shard")]
        {
            let path = format!("core/src/{from}/part.rs");
            let inline = format!("fn f() {{ let x = crate::{to}::X; }}");
            let through_super = format!("use super::super::{to}::X;");
            let in_a_macro = format!("fn f() {{ assert!(crate::{to}::ok()); }}");
            for text in [inline, through_super, in_a_macro] {
                assert_eq!(ranks(&one(&path, &text)).len(), 1, "{path}: {text}");
            }
        }
    }

    #[test]
    fn tests_inside_a_module_keep_its_rank() {
        let text = "mod tests { use super::super::journal::Frame; use crate::shard::Inbox; }";
        assert_eq!(ranks(&one("core/src/ledger.rs", text)).len(), 2);
    }

    #[test]
    fn arrows_down_and_inside_one_module_are_free() {
        let text =
            "use crate::ledger::Stock; use crate::{limits, event::Event}; use super::inbox::Inbox;
                    use std::fmt; mod tests { use super::*; }";
        assert_eq!(messages(&ranks(&one("core/src/shard/step.rs", text))), "");
        assert!(
            ranks(&one("core/src/lib.rs", "pub mod ledger; pub use crate::engine::Engine;"))
                .is_empty()
        );
        assert!(ranks(&one("core/src/command.rs", "use crate::outcome::Outcome;")).is_empty());
    }

    #[test]
    fn a_module_without_a_rank_is_told_what_to_do() {
        let found = ranks(&one("core/src/pricing/mod.rs", "use crate::ledger::Stock;"));
        assert_eq!(found.len(), 1);
        assert!(messages(&found).contains("add it to RANKS in architecture/src/layers.rs"));
    }

    #[test]
    fn an_item_re_exported_at_the_root_and_a_glob_of_the_root_are_reported() {
        assert_eq!(ranks(&one("core/src/shard.rs", "use crate::Event;")).len(), 1);
        assert_eq!(ranks(&one("core/src/shard.rs", "use crate::*;")).len(), 1);
        assert_eq!(ranks(&one("core/src/shard.rs", "use super::*;")).len(), 1);
    }

    #[test]
    fn packages_stay_inside_their_borders() {
        let drives = "use sluice_loadgen::run;";
        assert_eq!(borders(&one("gateway/src/http.rs", drives)).len(), 1);
        assert!(borders(&one("gateway/src/demo.rs", drives)).is_empty());
        assert!(borders(&one("gateway/src/demo/rush.rs", drives)).is_empty());
        assert!(
            borders(&one("gateway/src/http.rs", "use sluice_core::engine::Handle;")).is_empty()
        );
        assert_eq!(borders(&one("loadgen/src/main.rs", "fn f() { sluice_core::x(); }")).len(), 1);
        assert_eq!(borders(&one("loadgen/tests/run.rs", "use sluice_gateway as g;")).len(), 1);
        assert_eq!(borders(&one("core/src/engine.rs", "use sluice_gateway::x;")).len(), 1);
        assert_eq!(borders(&one("simulator/src/lib.rs", "use sluice_gateway::x;")).len(), 1);
        assert!(borders(&one("simulator/src/lib.rs", "use sluice_core::shard::Shard;")).is_empty());
        assert_eq!(borders(&one("services/src/redis.rs", "use sluice_core::sink::x;")).len(), 1);
        assert_eq!(borders(&one("consumer/src/main.rs", "fn f() { sluice_core::x(); }")).len(), 1);
        for path in ["loadgen/tests/run.rs", "simulator/src/lib.rs"] {
            assert_eq!(borders(&one(path, "use sluice_services::Redis;")).len(), 1);
        }
        assert!(borders(&one("core/tests/sql.rs", "use sluice_services::Redis;")).is_empty());
    }
}
