//! The rules that keep the sources of Sluice in their layers.
//!
//! Each rule is a function from parsed sources, manifests or package metadata to a list of
//! [`Violation`]s. Its unit tests feed it planted violations as text, so that a rule which has gone
//! blind is noticed; `tests/repository.rs` applies all of them to the repository itself. The server
//! never links this package.

pub mod layers;
pub mod licences;
pub mod manifests;
pub mod repository;
pub mod scan;
pub mod source;
pub mod style;
pub mod territory;

use std::fmt;

/// One place where the repository breaks one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path from the root of the repository.
    pub path: String,
    /// Line, counted from 1; 0 when the whole file is meant.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Violation {
    /// A violation at `line` of `path`; line 0 means the whole file.
    pub fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Panics with every violation on a line of its own, unless there is none.
///
/// # Panics
///
/// When `violations` is not empty.
pub fn demand_none(rule: &str, violations: &[Violation]) {
    let mut report = String::new();
    for violation in violations {
        report.push_str("\n  ");
        report.push_str(&violation.to_string());
    }
    assert!(violations.is_empty(), "{rule}: {} violation(s){report}", violations.len());
}
