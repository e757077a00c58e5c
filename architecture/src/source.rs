//! One source file, parsed once and reduced to plain facts.

use crate::Violation;
use crate::scan::{Facts, scan};
use syn::visit::{self, Visit};

/// A function and its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// The function's name.
    pub name: String,
    /// Its first line, counted from 1.
    pub line: usize,
    /// From the signature to the closing brace, in lines.
    pub lines: usize,
}

/// A parsed file.
#[derive(Debug, Clone)]
pub struct Source {
    /// Path from the root of the repository, with `/`.
    pub path: String,
    /// The first line, as written.
    pub first_line: String,
    /// Number of lines.
    pub lines: usize,
    /// What its tokens say.
    pub facts: Facts,
    /// Its functions, methods included.
    pub functions: Vec<Function>,
}

impl Source {
    /// Parses `text`, found at `path`.
    ///
    /// # Errors
    ///
    /// One violation when the text is not Rust.
    pub fn parse(path: &str, text: &str) -> Result<Self, Violation> {
        let unreadable = |line: usize, error: &dyn std::fmt::Display| {
            Violation::new(path, line, format!("cannot be parsed: {error}"))
        };
        let file =
            syn::parse_file(text).map_err(|error| unreadable(error.span().start().line, &error))?;
        let tokens = text.parse().map_err(|error| unreadable(0, &error))?;
        let mut lengths = Lengths(Vec::new());
        lengths.visit_file(&file);
        Ok(Self {
            path: path.to_owned(),
            first_line: text.lines().next().unwrap_or_default().to_owned(),
            lines: text.lines().count(),
            facts: scan(tokens, &module_of(path)),
            functions: lengths.0,
        })
    }

    /// Whether the file lies at `place`: a file named `place.rs`, or anywhere in the folder `place`.
    pub fn is_in(&self, place: &str) -> bool {
        let Some(rest) = self.path.strip_prefix(place) else {
            return false;
        };
        rest == ".rs" || rest.starts_with('/')
    }
}

/// The module that the file at `path` is, from the root of its package: `core/src/ledger/stock.rs`
/// is `["ledger", "stock"]`, and `lib.rs`, `main.rs` and integration tests are the root.
fn module_of(path: &str) -> Vec<String> {
    let Some((_, inside)) = path.split_once("/src/") else {
        return Vec::new();
    };
    let mut module: Vec<String> =
        inside.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod")
        || (module.len() == 1 && (module[0] == "lib" || module[0] == "main"))
    {
        module.pop();
    }
    module
}

struct Lengths(Vec<Function>);

impl Lengths {
    fn push(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let line = signature.ident.span().start().line;
        let last = block.brace_token.span.close().end().line;
        self.0.push(Function { name: signature.ident.to_string(), line, lines: last - line + 1 });
    }
}

impl<'ast> Visit<'ast> for Lengths {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.push(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.push(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.push(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_follow_from_paths() {
        assert_eq!(module_of("core/src/ledger/stock.rs"), ["ledger", "stock"]);
        assert_eq!(module_of("core/src/ledger/mod.rs"), ["ledger"]);
        assert_eq!(module_of("core/src/ledger.rs"), ["ledger"]);
        assert!(module_of("core/src/lib.rs").is_empty());
        assert!(module_of("gateway/tests/kill9.rs").is_empty());
    }

    #[test]
    fn a_place_is_a_file_or_a_folder_and_not_a_name_that_begins_alike() {
        let source = Source::parse("core/src/storage/real.rs", "").expect("parses");
        assert!(source.is_in("core/src/storage"));
        assert!(source.is_in("core/src"));
        assert!(!source.is_in("core/src/stor"));
    }

    #[test]
    fn functions_are_measured_wherever_they_stand() {
        let text = "fn a() {\n\n}\nimpl T {\n fn b() {}\n}\ntrait U {\n fn c() {\n }\n fn d();\n}";
        let source = Source::parse("x/src/a.rs", text).expect("parses");
        let lengths: Vec<_> =
            source.functions.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
        assert_eq!(lengths, [("a", 1, 3), ("b", 5, 1), ("c", 8, 2)]);
    }

    #[test]
    fn what_is_not_rust_is_reported() {
        assert!(Source::parse("x/src/a.rs", "fn fn").is_err());
    }
}
