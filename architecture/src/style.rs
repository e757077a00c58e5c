//! How files look: names, first lines, lengths, and words that no finished code holds.

use crate::Violation;
use crate::source::Source;

/// Above this a file fails.
pub const FILE_LINES_MAX: usize = 700;
/// Above this a file is listed.
pub const FILE_LINES_AIM: usize = 500;
/// Above this a function is listed.
pub const FUNCTION_LINES_AIM: usize = 70;

/// A file or folder is named by the concept it holds.
pub fn names_say_something(sources: &[Source]) -> Vec<Violation> {
    const EMPTY_NAMES: &[&str] =
        &["util", "utils", "helper", "helpers", "common", "misc", "manager", "managers"];
    let mut found = Vec::new();
    for source in sources {
        let path = source.path.trim_end_matches(".rs");
        if let Some(name) = path.split('/').find(|part| EMPTY_NAMES.contains(part)) {
            let message = format!("`{name}` says nothing: name the file by the concept it holds");
            found.push(Violation::new(&source.path, 0, message));
        }
    }
    found
}

/// Every file says first what it owns.
pub fn files_open_with_their_purpose(sources: &[Source]) -> Vec<Violation> {
    sources
        .iter()
        .filter(|source| !source.first_line.starts_with("//! "))
        .map(|source| Violation::new(&source.path, 1, "begins without `//! ` and its purpose"))
        .collect()
}

/// Files over [`FILE_LINES_MAX`] lines.
pub fn files_are_short(sources: &[Source]) -> Vec<Violation> {
    sources
        .iter()
        .filter(|source| source.lines > FILE_LINES_MAX)
        .map(|source| {
            let message =
                format!("{} lines, at most {FILE_LINES_MAX}: split it by concept", source.lines);
            Violation::new(&source.path, 0, message)
        })
        .collect()
}

/// What is longer than it should be without failing: a list to read, one line each.
pub fn long_ones(sources: &[Source]) -> Vec<String> {
    let mut list = Vec::new();
    for source in sources {
        if source.lines > FILE_LINES_AIM {
            list.push(format!("{}: {} lines, aim at {FILE_LINES_AIM}", source.path, source.lines));
        }
        for function in source.functions.iter().filter(|f| f.lines > FUNCTION_LINES_AIM) {
            list.push(format!(
                "{}:{}: fn {} has {} lines, aim at {FUNCTION_LINES_AIM}",
                source.path, function.line, function.name, function.lines
            ));
        }
    }
    list
}

/// Nothing is left undone, printed for debugging, or switched off.
pub fn nothing_is_left_undone(sources: &[Source]) -> Vec<Violation> {
    const MACROS: &[&str] = &["todo", "unimplemented", "dbg"];
    let mut found = Vec::new();
    for source in sources {
        for call in source.facts.macros.iter().filter(|call| MACROS.contains(&call.name.as_str())) {
            found.push(Violation::new(&source.path, call.line, format!("calls `{}!`", call.name)));
        }
        for word in source.facts.attributes.iter().filter(|word| word.name == "ignore") {
            found.push(Violation::new(&source.path, word.line, "a test is switched off"));
        }
    }
    found
}

/// A module lies where its name says: `#[path]` and `include!` would slip code past every rule here.
pub fn modules_lie_where_they_say(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in sources {
        for word in source.facts.attributes.iter().filter(|word| word.name == "path") {
            found.push(Violation::new(
                &source.path,
                word.line,
                "`#[path]` hides where a module lies",
            ));
        }
        for call in source.facts.macros.iter().filter(|call| call.name == "include") {
            found.push(Violation::new(
                &source.path,
                call.line,
                "`include!` hides code from the rules",
            ));
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

    #[test]
    fn names_without_meaning_are_reported() {
        for path in
            ["core/src/util.rs", "gateway/src/helpers/mod.rs", "gateway/tests/common/mod.rs"]
        {
            assert_eq!(names_say_something(&one(path, "")).len(), 1, "{path}");
        }
        assert!(names_say_something(&one("core/src/uncommon.rs", "")).is_empty());
    }

    #[test]
    fn a_file_without_a_purpose_is_reported() {
        assert_eq!(files_open_with_their_purpose(&one("a/src/b.rs", "use std::fmt;\n")).len(), 1);
        assert_eq!(files_open_with_their_purpose(&one("a/src/b.rs", "\n//! late\n")).len(), 1);
        assert!(files_open_with_their_purpose(&one("a/src/b.rs", "//! Owns b.\n")).is_empty());
    }

    #[test]
    fn long_files_are_listed_and_then_fail() {
        let lines = |count: usize| one("a/src/b.rs", &"//! x\n".repeat(count));
        assert!(files_are_short(&lines(FILE_LINES_MAX)).is_empty());
        assert_eq!(files_are_short(&lines(FILE_LINES_MAX + 1)).len(), 1);
        assert!(long_ones(&lines(FILE_LINES_AIM)).is_empty());
        assert_eq!(long_ones(&lines(FILE_LINES_AIM + 1)).len(), 1);
        let body = "\n".repeat(FUNCTION_LINES_AIM);
        assert_eq!(long_ones(&one("a/src/b.rs", &format!("fn f() {{{body}}}"))).len(), 1);
        let body = "\n".repeat(FUNCTION_LINES_AIM - 1);
        assert!(long_ones(&one("a/src/b.rs", &format!("fn f() {{{body}}}"))).is_empty());
    }

    #[test]
    fn unfinished_code_is_reported() {
        // Spelt in two halves, so that a plain search of the sources does not trip over the tests.
        let halves = [("to", "do"), ("unimple", "mented"), ("d", "bg")];
        for (head, tail) in halves {
            let text = format!("fn f() {{ {head}{tail}!(); }}");
            assert_eq!(nothing_is_left_undone(&one("a/src/b.rs", &text)).len(), 1, "{text}");
        }
        let switched_off = format!("#[test]\n#[ign{}]\nfn f() {{}}", "ore");
        assert_eq!(nothing_is_left_undone(&one("a/src/b.rs", &switched_off)).len(), 1);
        assert!(
            nothing_is_left_undone(&one("a/src/b.rs", "fn f(todo: u8) { ignore(todo); }"))
                .is_empty()
        );
    }

    #[test]
    fn hidden_modules_are_reported() {
        assert_eq!(
            modules_lie_where_they_say(&one("a/src/b.rs", "#[path = \"c.rs\"] mod d;")).len(),
            1
        );
        assert_eq!(modules_lie_where_they_say(&one("a/src/b.rs", "include!(\"c.rs\");")).len(), 1);
        let conditional = "#[cfg_attr(loom, path = \"c.rs\")] mod d;";
        assert_eq!(modules_lie_where_they_say(&one("a/src/b.rs", conditional)).len(), 1);
        let innocent = "mod d; #[error(\"{path}\", path = x)] struct E; fn path() {}";
        assert!(modules_lie_where_they_say(&one("a/src/b.rs", innocent)).is_empty());
    }
}
