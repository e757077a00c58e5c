//! How a cluster is made: by `initdb`, or as a copy of one that was made earlier.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::process::getuid;

use crate::folder::{Folder, Owner, copy};
use crate::program::{Program, find, output, search_path};

/// The cluster in a server's folder.
pub(super) const NAME: &str = "cluster";

/// Where Debian has one folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Who runs it where this process runs as root, whom PostgreSQL refuses.
const USER: &str = "postgres";

/// Where clusters to copy are kept, beside what cargo builds.
const TEMPLATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/services");

/// PostgreSQL, as it is installed here.
pub(super) struct Installation {
    /// The folder of its programs.
    programs: PathBuf,
    server: PathBuf,
    /// Who runs it, if not the one who runs this process.
    owner: Option<Owner>,
}

impl Installation {
    /// Finds the newest version.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn find() -> Result<Self> {
        // Beside the server; on Debian none but the wrappers of clients are on the search path.
        let server = find("postgres", program_folders(), "postgresql")?.canonicalize()?;
        let programs = server.parent().context("a folder of programs")?.to_owned();
        let owner = getuid().is_root().then(|| {
            let [user, group] = ["-u", "-g"].map(number_of);
            Ok::<_, anyhow::Error>(Owner { user: user?, group: group? })
        });
        Ok(Self { programs, server, owner: owner.transpose()? })
    }

    /// Whose files those of the server must be, if not those of who runs this process.
    pub(super) fn owner(&self) -> Option<Owner> {
        self.owner
    }

    /// The server, called with `arguments`.
    pub(super) fn server(&self, arguments: Vec<String>) -> Program<'_> {
        Program { path: &self.server, arguments, user: self.user() }
    }

    /// A program for clients, undisturbed by what the environment says to them.
    pub(super) fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PG")) {
                command.env_remove(name);
            }
        }
        command
    }

    /// Makes the cluster in `folder`. One that must survive a crash of the machine is made and
    /// synced; any other is copied, in a tenth of the time, if one was made before.
    pub(super) fn prepare(&self, folder: &Folder, durable: bool) -> Result<()> {
        self.owner.map_or(Ok(()), |owner| owner.take(folder.path()))?;
        let cluster = folder.path().join(NAME);
        if durable {
            return self.make(folder.path(), true);
        }
        let template = Path::new(TEMPLATES).join(self.template()?);
        if template.is_dir() {
            return copy(&template, &cluster, self.owner);
        }
        self.make(folder.path(), false)?;
        // If it cannot be kept, the next one is made like this one.
        let _ = keep(&cluster, &template);
        Ok(())
    }

    /// Makes a cluster in `folder`, and in it the user and the database of tests.
    fn make(&self, folder: &Path, synced: bool) -> Result<()> {
        let hint = || format!("every folder above {} must let {USER} pass", folder.display());
        let cluster = folder.join(NAME).display().to_string();
        let initdb = self.programs.join("initdb");
        let arguments = ["-D", &cluster, "-U", super::NAME, "--auth=trust", "--no-locale"];
        let more = if synced { &["-E", "UTF8"][..] } else { &["-E", "UTF8", "--no-sync"] };
        let arguments = arguments.iter().chain(more).map(|&word| word.to_owned()).collect();
        let initdb = Program { path: &initdb, arguments, user: self.user() };
        initdb.run(folder, None).with_context(hint)?;
        let script = folder.join("create.sql");
        fs::write(&script, format!("CREATE DATABASE {}\n", super::NAME))?;
        let fsync = if synced { "fsync=on" } else { "fsync=off" };
        let arguments = ["--single", "-D", &cluster, "-c", fsync, "template1"];
        let single = self.server(arguments.map(str::to_owned).into());
        single.run(folder, Some(File::open(script)?))
    }

    fn user(&self) -> Option<&'static str> {
        self.owner.map(|_| USER)
    }

    /// The name of the cluster to copy: one for each version, and for each user who may read it.
    fn template(&self) -> Result<String> {
        let said = output(Command::new(&self.server).arg("--version"))?;
        let version = folder_name(&String::from_utf8_lossy(&said));
        Ok(format!("{version}-{}", getuid().as_raw()))
    }
}

/// Keeps a copy of `cluster` as `template`.
fn keep(cluster: &Path, template: &Path) -> Result<()> {
    fs::create_dir_all(TEMPLATES)?;
    let unfinished = tempfile::tempdir_in(TEMPLATES)?;
    let unfinished = unfinished.path().join(NAME);
    copy(cluster, &unfinished, None)?;
    // Whoever makes one at the same time may be quicker; theirs is as good.
    Ok(fs::rename(unfinished, template)?)
}

/// Where its programs may be, the newest version first.
fn program_folders() -> Vec<PathBuf> {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let mut versions: Vec<_> =
        versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).collect();
    versions.sort_unstable();
    let debian = versions.iter().rev().map(|version| format!("{DEBIAN}/{version}/bin").into());
    debian.chain(search_path()).collect()
}

/// The number of [`USER`] (`-u`) or of their group (`-g`).
fn number_of(flag: &str) -> Result<u32> {
    let said = output(Command::new("id").args([flag, USER]));
    let said = String::from_utf8(said.with_context(|| format!("there is no user {USER}"))?)?;
    said.trim().parse().with_context(|| format!("the number of {USER}: {said:?}"))
}

/// A version with nothing in it that has a meaning in paths.
fn folder_name(version: &str) -> String {
    let words = version.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::folder_name;

    #[test]
    fn a_version_names_a_folder() {
        let version = "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n";
        assert_eq!(folder_name(version), "postgres-PostgreSQL-15.14-Debian-15.14-0-deb12u1");
        assert_eq!(folder_name("a/../b"), "a-..-b");
    }
}
