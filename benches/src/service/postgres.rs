//! PostgreSQL on a cluster made for one turn.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Signal, getuid};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::daemon::{Daemon, Program, find, search_path};
use super::{Books, Service};
use crate::peer::{SCHEMA, postgres_options};
use crate::server::on_a_disk;

/// Where Debian has one folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Who runs it where the contest runs as root, whom PostgreSQL refuses.
const USER: &str = "postgres";

/// A PostgreSQL server.
pub struct PostgresServer {
    // Dropped in this order: the process before its folder.
    daemon: Daemon,
    runtime: Runtime,
    folder: TempDir,
}

impl PostgresServer {
    /// Makes a cluster and starts a server on it, with room for `links` connections and ours.
    ///
    /// # Errors
    /// If it is not installed, cannot be made, or does not start.
    pub fn start(links: u32) -> Result<Self> {
        let program = |name| find(name, program_folders(), "postgresql");
        let (initdb, postgres) = (program("initdb")?, program("postgres")?);
        let folder = tempfile::tempdir_in(on_a_disk().canonicalize()?)?;
        let user = getuid().is_root().then_some(USER);
        if let Some(user) = user {
            let [uid, gid] = ["-u", "-g"].map(|flag| number_of(user, flag));
            chown(folder.path(), Some(uid?), Some(gid?))?;
        }
        let cluster = folder.path().join("cluster");
        let cluster_text = cluster.display().to_string();
        let arguments = ["-D", &cluster_text, "-U", "sluice", "--auth=trust", "--no-locale"];
        let arguments = arguments.into_iter().chain(["-E", "UTF8"]).map(str::to_owned).collect();
        make(&Program { path: &initdb, arguments, user }, folder.path())?;
        let arguments = arguments_of(&cluster, folder.path(), links);
        let program = Program { path: &postgres, arguments, user };
        let daemon = Daemon::start(&program, "ready to accept connections", Signal::QUIT)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let server = Self { daemon, runtime, folder };
        server.with(async |connection| Ok(connection.execute(SCHEMA).await?))?;
        Ok(server)
    }

    fn with<T>(&self, act: impl AsyncFnOnce(&mut PgConnection) -> Result<T>) -> Result<T> {
        self.runtime.block_on(async {
            let options = postgres_options(self.folder.path());
            let mut connection = PgConnection::connect_with(&options).await?;
            let done = act(&mut connection).await?;
            connection.close().await?;
            Ok(done)
        })
    }
}

impl Service for PostgresServer {
    fn id(&self) -> u32 {
        self.daemon.id()
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn settings(&self) -> Result<String> {
        let names =
            ["fsync", "synchronous_commit", "wal_sync_method", "full_page_writes", "wal_level"];
        self.with(async |connection| {
            let version = sqlx::query_scalar("SHOW server_version").fetch_one(&mut *connection);
            let version: String = version.await?;
            let mut text = format!("PostgreSQL {version}");
            for name in names.into_iter().chain(["shared_buffers"]) {
                let value = sqlx::query_scalar("SELECT current_setting($1)").bind(name);
                let value: String = value.fetch_one(&mut *connection).await?;
                text += &format!(", {name} {value}");
            }
            Ok(text)
        })
    }

    fn receive(&self, sku: &str, units: u64) -> Result<()> {
        self.with(async |connection| {
            let insert = sqlx::query("INSERT INTO stock (sku, available) VALUES ($1, $2)");
            insert.bind(sku).bind(i64::try_from(units)?).execute(connection).await?;
            Ok(())
        })
    }

    fn books(&self, sku: &str) -> Result<Books> {
        self.with(async |connection| {
            let available = sqlx::query_scalar("SELECT available FROM stock WHERE sku = $1");
            let available = available.bind(sku).fetch_one(&mut *connection).await?;
            let orders = sqlx::query_scalar("SELECT count(*) FROM orders WHERE sku = $1");
            let orders: i64 = orders.bind(sku).fetch_one(connection).await?;
            Ok(Books { available, orders: u64::try_from(orders)? })
        })
    }
}

/// Where its programs may be, the newest version first.
fn program_folders() -> Vec<PathBuf> {
    let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let mut versions: Vec<_> =
        versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).collect();
    versions.sort_unstable();
    let debian = versions.iter().rev().map(|version| format!("{DEBIAN}/{version}/bin").into());
    debian.chain(search_path()).collect()
}

/// Runs a program that makes something and ends.
fn make(program: &Program<'_>, folder: &Path) -> Result<()> {
    let made = program.command(Signal::KILL).current_dir(folder).output();
    let made = made.with_context(|| program.path.display().to_string())?;
    ensure!(
        made.status.success(),
        "{}: {}\n{}\nEvery folder above {} must let its user pass.",
        program.path.display(),
        made.status,
        String::from_utf8_lossy(&made.stderr).trim_end(),
        folder.display(),
    );
    Ok(())
}

/// The number of a user (`-u`) or of their group (`-g`).
fn number_of(user: &str, flag: &str) -> Result<u32> {
    let output = Command::new("id").args([flag, user]).output()?;
    let text = String::from_utf8(output.stdout)?;
    text.trim().parse().with_context(|| format!("there is no user {user}"))
}

/// The settings. What is not named is as PostgreSQL has it by default; memory and the log have
/// room, so that no checkpoint falls into a turn.
fn arguments_of(cluster: &Path, sockets: &Path, links: u32) -> Vec<String> {
    let settings = [
        ("listen_addresses", String::new()),
        ("unix_socket_directories", sockets.display().to_string()),
        ("port", "5432".to_owned()),
        ("fsync", "on".to_owned()),
        ("synchronous_commit", "on".to_owned()),
        ("max_connections", (links + 10).to_string()),
        ("shared_buffers", "256MB".to_owned()),
        ("max_wal_size", "4GB".to_owned()),
        ("checkpoint_timeout", "30min".to_owned()),
    ];
    let settings =
        settings.into_iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]);
    ["-D".to_owned(), cluster.display().to_string()].into_iter().chain(settings).collect()
}

#[cfg(test)]
mod tests {
    use super::arguments_of;
    use std::path::Path;

    #[test]
    fn commits_are_synced_and_only_the_folder_is_listened_on() {
        let arguments = arguments_of(Path::new("/d/cluster"), Path::new("/d"), 64);
        assert_eq!(arguments[..2], ["-D", "/d/cluster"]);
        for setting in [
            "listen_addresses=",
            "unix_socket_directories=/d",
            "fsync=on",
            "synchronous_commit=on",
            "max_connections=74",
        ] {
            assert!(arguments.iter().any(|argument| argument == setting), "{setting}");
        }
    }
}
