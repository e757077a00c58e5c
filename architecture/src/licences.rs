//! Enforces deny.toml against what cargo resolved: licences, banned crates, sources.
//!
//! `cargo deny` reads the same file and checks more; this check needs nothing but cargo itself, so
//! it runs everywhere. Licences are SPDX expressions (SPDX 2.3, annex D).

use crate::Violation;
use toml::{Table, Value};

/// A package that cargo resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its SPDX expression, if it has one.
    pub licence: Option<String>,
    /// Where it comes from; none for the packages of this repository.
    pub source: Option<String>,
}

/// What deny.toml says.
#[derive(Debug, Clone)]
pub struct Policy {
    allowed_licences: Vec<String>,
    banned_crates: Vec<String>,
    allowed_registries: Vec<String>,
}

impl Policy {
    /// Reads the text of deny.toml.
    ///
    /// # Errors
    ///
    /// One violation when it is not TOML or lacks one of the three lists.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let wrong = |message: String| Violation::new("deny.toml", 0, message);
        let table: Table =
            text.parse().map_err(|error| wrong(format!("cannot be parsed: {error}")))?;
        let list = |section: &str, key: &str| {
            let entries =
                table.get(section).and_then(|table| table.get(key)).and_then(Value::as_array);
            let names: Vec<String> = entries
                .into_iter()
                .flatten()
                .filter_map(|entry| entry.get("crate").unwrap_or(entry).as_str())
                .map(str::to_owned)
                .collect();
            if names.is_empty() {
                Err(wrong(format!("[{section}] {key} is missing or empty")))
            } else {
                Ok(names)
            }
        };
        Ok(Self {
            allowed_licences: list("licenses", "allow")?,
            banned_crates: list("bans", "deny")?,
            allowed_registries: list("sources", "allow-registry")?,
        })
    }
}

/// Reads the packages out of `cargo metadata --format-version 1`.
///
/// # Errors
///
/// A sentence when `json` is not what cargo prints.
pub fn packages(json: &str) -> Result<Vec<Package>, String> {
    let metadata: serde_json::Value =
        serde_json::from_str(json).map_err(|error| error.to_string())?;
    let list = metadata["packages"].as_array().ok_or("no list of packages")?;
    let text = |package: &serde_json::Value, key: &str| package[key].as_str().map(str::to_owned);
    list.iter()
        .map(|package| {
            Ok(Package {
                name: text(package, "name").ok_or("a package without a name")?,
                version: text(package, "version").ok_or("a package without a version")?,
                licence: text(package, "license"),
                source: text(package, "source"),
            })
        })
        .collect()
}

/// Packages whose licence, name or source the policy refuses.
pub fn policy_holds(packages: &[Package], policy: &Policy) -> Vec<Violation> {
    let mut found = Vec::new();
    for package in packages {
        let mut report = |message: String| {
            let message = format!("{} {}: {message}", package.name, package.version);
            found.push(Violation::new("Cargo.lock", 0, message));
        };
        match package
            .licence
            .as_deref()
            .map(|licence| (licence, satisfied(licence, &policy.allowed_licences)))
        {
            None => report("states no licence".to_owned()),
            Some((licence, Err(error))) => report(format!("licence `{licence}`: {error}")),
            Some((licence, Ok(false))) => {
                report(format!("licence `{licence}` is not allowed by deny.toml"));
            }
            Some((_, Ok(true))) => {}
        }
        if policy.banned_crates.contains(&package.name) {
            report("is banned by deny.toml".to_owned());
        }
        if let Some(source) = &package.source {
            let registry = source.strip_prefix("registry+").unwrap_or(source);
            if !policy.allowed_registries.iter().any(|allowed| allowed == registry) {
                report(format!("comes from {source}, which deny.toml does not allow"));
            }
        }
    }
    found
}

/// Whether an SPDX expression can be met with the licences in `allowed` alone.
///
/// `A WITH B` counts as one licence and is looked up whole. A slash is the old way to write OR.
///
/// # Errors
///
/// A sentence when the expression is malformed.
pub fn satisfied(expression: &str, allowed: &[String]) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, allowed };
    let met = parser.any()?;
    if parser.words.is_empty() { Ok(met) } else { Err(format!("unexpected `{}`", parser.words[0])) }
}

/// A recursive descent over the words; AND binds closer than OR.
struct Parser<'a> {
    words: &'a [&'a str],
    allowed: &'a [String],
}

impl Parser<'_> {
    fn take(&mut self, word: &str) -> bool {
        let taken = self.words.first() == Some(&word);
        if taken {
            self.words = &self.words[1..];
        }
        taken
    }

    fn any(&mut self) -> Result<bool, String> {
        let mut met = self.all()?;
        while self.take("OR") {
            met |= self.all()?;
        }
        Ok(met)
    }

    fn all(&mut self) -> Result<bool, String> {
        let mut met = self.one()?;
        while self.take("AND") {
            met &= self.one()?;
        }
        Ok(met)
    }

    fn one(&mut self) -> Result<bool, String> {
        if self.take("(") {
            let met = self.any()?;
            return if self.take(")") {
                Ok(met)
            } else {
                Err("a parenthesis is not closed".to_owned())
            };
        }
        let mut licence = self.name()?.to_owned();
        if self.take("WITH") {
            licence = format!("{licence} WITH {}", self.name()?);
        }
        Ok(self.allowed.contains(&licence))
    }

    fn name(&mut self) -> Result<&str, String> {
        match self.words.split_first() {
            Some((&word, rest)) if !matches!(word, "AND" | "OR" | "WITH" | "(" | ")") => {
                self.words = rest;
                Ok(word)
            }
            other => Err(format!("expected a licence, found {:?}", other.map(|(word, _)| word))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: &str = r#"
        [licenses]
        allow = ["MIT", "Apache-2.0", "ISC"]
        [bans]
        deny = [{ crate = "openssl" }, "native-tls"]
        [sources]
        allow-registry = ["https://example.org/index"]
    "#;

    fn package(name: &str, licence: Option<&str>, source: Option<&str>) -> Package {
        Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: licence.map(str::to_owned),
            source: source.map(str::to_owned),
        }
    }

    fn judge(package: Package) -> usize {
        policy_holds(&[package], &Policy::parse(DENY).expect("the policy parses")).len()
    }

    #[test]
    fn expressions_are_met_or_not() {
        let allowed =
            ["MIT".to_owned(), "ISC".to_owned(), "Apache-2.0 WITH LLVM-exception".to_owned()];
        for (expression, met) in [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("GPL-3.0-only OR MIT", true),
            ("GPL-3.0-only/MIT", true),
            ("MIT AND GPL-3.0-only", false),
            ("MIT AND ISC OR GPL-3.0-only", true),
            ("MIT AND (ISC OR GPL-3.0-only)", true),
            ("(MIT OR ISC) AND GPL-3.0-only", false),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("Apache-2.0", false),
        ] {
            assert_eq!(satisfied(expression, &allowed), Ok(met), "{expression}");
        }
        for expression in ["", "MIT OR", "(MIT", "MIT ISC", "AND"] {
            assert!(satisfied(expression, &allowed).is_err(), "{expression}");
        }
    }

    #[test]
    fn packages_that_break_the_policy_are_reported() {
        let home = Some("registry+https://example.org/index");
        assert_eq!(judge(package("fine", Some("MIT OR GPL-2.0-only"), home)), 0);
        assert_eq!(judge(package("copyleft", Some("GPL-2.0-only"), home)), 1);
        assert_eq!(judge(package("silent", None, home)), 1);
        assert_eq!(judge(package("openssl", Some("Apache-2.0"), home)), 1);
        assert_eq!(judge(package("native-tls", Some("MIT"), home)), 1);
        assert_eq!(judge(package("forked", Some("MIT"), Some("git+https://example.org/x"))), 1);
        assert_eq!(judge(package("ours", Some("Apache-2.0"), None)), 0);
    }

    #[test]
    fn a_policy_without_a_list_is_refused() {
        assert!(Policy::parse("[licenses]\nallow = []").is_err());
    }

    #[test]
    fn packages_are_read_from_metadata() {
        let json = r#"{"packages":[{"name":"a","version":"1.2.3","license":"MIT","source":null}]}"#;
        let read = packages(json).expect("reads");
        assert_eq!(read[0].version, "1.2.3");
        assert!(packages("{}").is_err());
    }
}
