//! Finds and reads the files that the rules judge. Everything that touches the disk is here.

use crate::licences::Package;
use crate::manifests::Manifest;
use crate::source::Source;
use crate::{Violation, licences};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// The root of the repository.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Every Rust file of every package, parsed, in the order of their paths.
///
/// # Errors
///
/// What cannot be read or parsed, one violation a file.
pub fn sources(root: &Path) -> Result<Vec<Source>, Vec<Violation>> {
    collect(root, |name| name.ends_with(".rs"), Source::parse)
}

/// The Cargo.toml of every package.
///
/// # Errors
///
/// What cannot be read or parsed, one violation a file.
pub fn manifests(root: &Path) -> Result<Vec<Manifest>, Vec<Violation>> {
    collect(root, |name| name == "Cargo.toml", Manifest::parse)
}

/// What cargo resolved for Linux, with every feature on.
///
/// # Errors
///
/// A sentence when cargo fails or prints something else.
pub fn packages(root: &Path) -> Result<Vec<Package>, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root)
        .args(["metadata", "--format-version", "1", "--locked", "--all-features"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .args(["--filter-platform", "aarch64-unknown-linux-gnu"])
        .output()
        .map_err(|error| format!("cargo metadata does not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    licences::packages(&String::from_utf8_lossy(&output.stdout))
}

/// The text of the file at `path`, which is relative to the root.
///
/// # Errors
///
/// One violation when it cannot be read.
pub fn text(root: &Path, path: &str) -> Result<String, Violation> {
    fs::read_to_string(root.join(path)).map_err(|error| Violation::new(path, 0, error.to_string()))
}

fn collect<T>(
    root: &Path,
    wanted: fn(&str) -> bool,
    parse: fn(&str, &str) -> Result<T, Violation>,
) -> Result<Vec<T>, Vec<Violation>> {
    let mut paths = Vec::new();
    let walked = package_folders(root).and_then(|folders| {
        folders.iter().try_for_each(|folder| walk(root, folder, wanted, &mut paths))
    });
    walked.map_err(|error| vec![Violation::new(".", 0, error.to_string())])?;
    paths.sort();
    let mut parsed = Vec::new();
    let mut failed = Vec::new();
    for path in paths {
        match text(root, &path).and_then(|text| parse(&path, &text)) {
            Ok(item) => parsed.push(item),
            Err(violation) => failed.push(violation),
        }
    }
    if failed.is_empty() { Ok(parsed) } else { Err(failed) }
}

/// The folders directly under the root that hold a Cargo.toml, so that a build folder or a data
/// directory beside them is never read.
fn package_folders(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if path.join("Cargo.toml").is_file() {
            folders.push(path);
        }
    }
    Ok(folders)
}

fn walk(
    root: &Path,
    folder: &Path,
    wanted: fn(&str) -> bool,
    paths: &mut Vec<String>,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if name != "target" && !name.starts_with('.') {
                walk(root, &path, wanted, paths)?;
            }
        } else if wanted(&name) {
            let relative = path.strip_prefix(root).unwrap_or(&path);
            paths.push(relative.to_string_lossy().into_owned());
        }
    }
    Ok(())
}
