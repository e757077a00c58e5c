//! Walks the tokens of one file and collects what the rules look at.
//!
//! Tokens rather than the syntax tree: a tree stops at the braces of a macro call, and an arrow
//! hidden in `assert!(crate::journal::…)` is an arrow all the same. Comments and the insides of
//! string literals are not tokens, so they never count. What the walk adds to a plain search is the
//! module each token stands in, with which `self::` and `super::` are resolved to `crate::…`.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

/// A path of two segments or more, as written, with `self` and `super` resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// `["crate", "ledger", "Stock"]` or `["std", "fs", "*"]`.
    pub segments: Vec<String>,
    /// The module the path stands in, from the root of its package; empty at the root itself.
    pub module: Vec<String>,
    /// Line, counted from 1.
    pub line: usize,
}

impl Used {
    /// Whether this path names `target`, something inside it, or a glob that takes it in.
    pub fn names(&self, target: &[&str]) -> bool {
        for (at, wanted) in target.iter().enumerate() {
            match self.segments.get(at) {
                Some(segment) if segment == "*" => return true,
                Some(segment) if segment == wanted => {}
                _ => return false,
            }
        }
        true
    }
}

/// An identifier and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The identifier, without a leading `r#`.
    pub name: String,
    /// Line, counted from 1.
    pub line: usize,
}

/// What one file says, as far as the rules care.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Every path, in `use` items, in code, in attributes and in macro bodies.
    pub used: Vec<Used>,
    /// Every identifier.
    pub words: Vec<Word>,
    /// The name of every `name!` call.
    pub macros: Vec<Word>,
    /// The name of every attribute; of a `cfg_attr` every identifier in it.
    pub attributes: Vec<Word>,
}

/// Words in front of a path that begins with `::`: `use ::std::fs` names `std::fs`.
const KEYWORDS: &[&str] = &[
    "as", "async", "await", "break", "const", "dyn", "else", "enum", "extern", "fn", "for", "if",
    "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref", "return", "static",
    "struct", "trait", "type", "union", "unsafe", "use", "where", "while", "yield",
];

/// Collects the facts of `tokens`, which stand in module `module` of their package.
pub fn scan(tokens: TokenStream, module: &[String]) -> Facts {
    let mut scanner = Scanner { facts: Facts::default(), module: module.to_vec() };
    scanner.stream(tokens, None);
    scanner.facts
}

struct Scanner {
    facts: Facts,
    module: Vec<String>,
}

impl Scanner {
    /// Reads one stream. `prefix` is the path in front of it when it is the group of a use tree.
    fn stream(&mut self, tokens: TokenStream, prefix: Option<&[String]>) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < trees.len() {
            at = match &trees[at] {
                TokenTree::Ident(ident) if self.opens_module(&trees, at) => {
                    self.word(ident);
                    self.inline_module(&trees, at)
                }
                TokenTree::Ident(_) => self.path(&trees, at, prefix),
                TokenTree::Punct(punct) if punct.as_char() == '#' => self.attribute(&trees, at),
                TokenTree::Punct(punct) if punct.as_char() == '*' => {
                    self.glob(prefix, punct.span().start().line);
                    at + 1
                }
                TokenTree::Group(group) => {
                    // A leading `::{a, b}` has no prefix of its own; neither has a plain block.
                    self.stream(group.stream(), None);
                    at + 1
                }
                _ => at + 1,
            };
        }
    }

    fn opens_module(&self, trees: &[TokenTree], at: usize) -> bool {
        is_word(trees.get(at), "mod")
            && matches!(trees.get(at + 1), Some(TokenTree::Ident(_)))
            && brace(trees.get(at + 2)).is_some()
    }

    /// Reads `mod name { … }` and returns the index after it.
    fn inline_module(&mut self, trees: &[TokenTree], at: usize) -> usize {
        if let (Some(TokenTree::Ident(name)), Some(body)) =
            (trees.get(at + 1), brace(trees.get(at + 2)))
        {
            self.module.push(plain(name));
            self.stream(body.stream(), None);
            self.module.pop();
        }
        at + 3
    }

    /// Reads `a::b::c`, `a::{…}` or `a::*` from `at` and returns the index after it.
    fn path(&mut self, trees: &[TokenTree], at: usize, prefix: Option<&[String]>) -> usize {
        let mut segments: Vec<String> = Vec::new();
        let mut line = 0;
        let mut at = at;
        while let Some(TokenTree::Ident(ident)) = trees.get(at) {
            self.word(ident);
            if segments.is_empty() {
                line = ident.span().start().line;
            }
            segments.push(plain(ident));
            at += 1;
            if KEYWORDS.iter().any(|keyword| ident == keyword) || !is_double_colon(trees, at) {
                break;
            }
            match trees.get(at + 2) {
                Some(TokenTree::Ident(_)) => at += 2,
                Some(TokenTree::Punct(star)) if star.as_char() == '*' => {
                    segments.push("*".to_owned());
                    at += 3;
                    break;
                }
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    let inner = self.resolve(&joined(prefix, &segments));
                    self.stream(group.stream(), Some(&inner));
                    return at + 3;
                }
                _ => break,
            }
        }
        if is_punct(trees.get(at), '!') && matches!(trees.get(at + 1), Some(TokenTree::Group(_))) {
            let name = segments.last().cloned().unwrap_or_default();
            self.facts.macros.push(Word { name, line });
        }
        self.record(&joined(prefix, &segments), line);
        skip_alias(trees, at, prefix)
    }

    fn glob(&mut self, prefix: Option<&[String]>, line: usize) {
        if let Some(prefix) = prefix {
            self.record(&joined(Some(prefix), &["*".to_owned()]), line);
        }
    }

    /// Reads `#[…]` or `#![…]` at `at` and returns the index after it.
    fn attribute(&mut self, trees: &[TokenTree], at: usize) -> usize {
        let bracket = if is_punct(trees.get(at + 1), '!') { at + 2 } else { at + 1 };
        match trees.get(bracket) {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => {
                let words_before = self.facts.words.len();
                self.stream(group.stream(), None);
                let inside = &self.facts.words[words_before..];
                let conditional = inside.first().is_some_and(|word| word.name == "cfg_attr");
                let kept = if conditional { inside.len() } else { inside.len().min(1) };
                self.facts.attributes.extend_from_slice(&inside[..kept]);
                bracket + 1
            }
            _ => at + 1,
        }
    }

    fn word(&mut self, ident: &Ident) {
        self.facts.words.push(Word { name: plain(ident), line: ident.span().start().line });
    }

    fn record(&mut self, segments: &[String], line: usize) {
        let segments = self.resolve(segments);
        if segments.len() >= 2 {
            self.facts.used.push(Used { segments, module: self.module.clone(), line });
        }
    }

    /// Turns leading `self` and `super` into `crate::…`; other paths stay as they are.
    fn resolve(&self, segments: &[String]) -> Vec<String> {
        let leads = |word: &str| segments.first().is_some_and(|first| first == word);
        if !leads("self") && !leads("super") {
            return segments.to_vec();
        }
        let mut module = self.module.clone();
        let mut rest = segments;
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "self" => {}
                "super" => {
                    module.pop();
                }
                _ => break,
            }
            rest = after;
        }
        let mut resolved = vec!["crate".to_owned()];
        resolved.append(&mut module);
        resolved.extend_from_slice(rest);
        resolved
    }
}

/// `prefix::segments`, where a lone `self` inside a use group means the prefix itself.
fn joined(prefix: Option<&[String]>, segments: &[String]) -> Vec<String> {
    let mut all = prefix.unwrap_or_default().to_vec();
    if prefix.is_none() || segments != ["self"] {
        all.extend_from_slice(segments);
    }
    all
}

/// In a use tree `a as b` names `a` alone: the alias is no member of the prefix.
fn skip_alias(trees: &[TokenTree], at: usize, prefix: Option<&[String]>) -> usize {
    if prefix.is_some() && is_word(trees.get(at), "as") { at + 2 } else { at }
}

fn plain(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map_or(text.clone(), str::to_owned)
}

fn is_word(tree: Option<&TokenTree>, word: &str) -> bool {
    matches!(tree, Some(TokenTree::Ident(ident)) if ident == word)
}

fn is_punct(tree: Option<&TokenTree>, sign: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

fn is_double_colon(trees: &[TokenTree], at: usize) -> bool {
    is_punct(trees.get(at), ':') && is_punct(trees.get(at + 1), ':')
}

fn brace(tree: Option<&TokenTree>) -> Option<&Group> {
    match tree {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => Some(group),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str, module: &[&str]) -> Vec<String> {
        let module: Vec<String> = module.iter().map(|&name| name.to_owned()).collect();
        let facts = scan(text.parse().expect("the text lexes"), &module);
        facts.used.iter().map(|used| used.segments.join("::")).collect()
    }

    #[test]
    fn use_trees_are_unfolded() {
        let text = "use crate::{id::OrderId, ledger::{self, stock::*}, money as cash};";
        assert_eq!(
            paths(text, &["shard"]),
            ["crate::id::OrderId", "crate::ledger", "crate::ledger::stock::*", "crate::money"]
        );
        assert_eq!(paths("use ::{std::fs};", &[]), ["std::fs"]);
        assert_eq!(paths("use ::std::fs;", &[]), ["std::fs"]);
    }

    #[test]
    fn paths_in_code_types_visibilities_and_macro_bodies_are_seen() {
        let text = "pub(in crate::a) fn f(x: Vec<crate::b::C>) { crate::d::g::<crate::e::F>();
                    assert!(*x == crate::h::I, \"{}\", crate::j::k()); }";
        assert_eq!(
            paths(text, &[]),
            ["crate::a", "crate::b::C", "crate::d::g", "crate::e::F", "crate::h::I", "crate::j::k"]
        );
        assert_eq!(paths("macro_rules! m { () => { $crate::a::B }; }", &[]), ["crate::a::B"]);
        assert_eq!(paths("#[derive(crate::a::B)] struct S;", &[]), ["crate::a::B"]);
    }

    #[test]
    fn super_and_self_are_resolved_against_the_module_they_stand_in() {
        let text = "use super::super::journal::Frame; use self::lot::Lot;
                    mod tests { use super::*; use super::super::x; }";
        assert_eq!(
            paths(text, &["ledger", "stock"]),
            [
                "crate::journal::Frame",
                "crate::ledger::stock::lot::Lot",
                "crate::ledger::stock::*",
                "crate::ledger::x"
            ]
        );
        assert_eq!(paths("use super::{a, b::{self}};", &["ledger"]), ["crate::a", "crate::b"]);
    }

    #[test]
    fn comments_and_strings_say_nothing() {
        assert!(
            paths("// crate::a::b\n/// crate::c::d\nconst A: &str = \"crate::e::f\";", &[])
                .is_empty()
        );
    }

    #[test]
    fn macros_attributes_and_words_carry_their_lines() {
        let facts = scan(
            "\n#[cfg_attr(x, ignore)]\nfn f() {\n std::panic!(); a != (b); }"
                .parse()
                .expect("lexes"),
            &[],
        );
        assert_eq!(facts.macros, [Word { name: "panic".into(), line: 4 }]);
        assert!(facts.attributes.contains(&Word { name: "ignore".into(), line: 2 }));
        let other = scan("#[error(\"{path}\", path = x)] struct E;".parse().expect("lexes"), &[]);
        assert_eq!(other.attributes, [Word { name: "error".into(), line: 1 }]);
        assert!(facts.words.contains(&Word { name: "f".into(), line: 3 }));
    }

    #[test]
    fn a_glob_names_everything_below_it() {
        let used = |text: &str| scan(text.parse().expect("lexes"), &[]).used.remove(0);
        assert!(used("use std::*;").names(&["std", "fs"]));
        assert!(used("use std::fs::File;").names(&["std", "fs"]));
        assert!(!used("use std::io::*;").names(&["std", "fs"]));
        assert!(!used("use std::fs;").names(&["std", "fs", "File"]));
    }
}
