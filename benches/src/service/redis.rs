//! Redis with its append-only file on, on an empty folder.

use std::path::{Path, PathBuf};

use ::redis::{Client, Commands as _, Connection, ScanOptions};
use anyhow::{Context as _, Result};
use rustix::process::Signal;
use tempfile::TempDir;

use super::daemon::{Daemon, Program, find, search_path};
use super::{Books, Service};
use crate::peer::{AVAILABLE_PREFIX, ORDER_PREFIX, redis_address};
use crate::server::on_a_disk;

/// When Redis syncs its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Before it answers.
    Always,
    /// Once a second: a crash of the machine loses up to a second of answered orders, or two.
    EverySecond,
}

/// A Redis server.
pub struct RedisServer {
    // Dropped in this order: the process before its folder.
    daemon: Daemon,
    socket: PathBuf,
    _folder: TempDir,
}

impl Fsync {
    const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::EverySecond => "everysec",
        }
    }
}

impl RedisServer {
    /// Starts one.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub fn start(fsync: Fsync) -> Result<Self> {
        let path = find("redis-server", search_path(), "redis-server")?;
        let folder = tempfile::tempdir_in(on_a_disk().canonicalize()?)?;
        let socket = folder.path().join("redis.sock");
        let arguments = arguments(folder.path(), &socket, fsync);
        let program = Program { path: &path, arguments, user: None };
        let daemon = Daemon::start(&program, "eady to accept connections", Signal::KILL)?;
        Ok(Self { daemon, socket, _folder: folder })
    }

    fn connect(&self) -> Result<Connection> {
        Ok(Client::open(redis_address(&self.socket))?.get_connection()?)
    }
}

impl Service for RedisServer {
    fn id(&self) -> u32 {
        self.daemon.id()
    }

    fn path(&self) -> &Path {
        &self.socket
    }

    fn settings(&self) -> Result<String> {
        let mut connection = self.connect()?;
        let info: String = ::redis::cmd("INFO").arg("server").query(&mut connection)?;
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        let mut text = format!("Redis {}", version.context("its version")?);
        for name in ["appendonly", "appendfsync", "save", "io-threads"] {
            let mut get = ::redis::cmd("CONFIG");
            let (_, value): (String, String) = get.arg("GET").arg(name).query(&mut connection)?;
            text += &format!(", {name} {}", if value.is_empty() { "\"\"" } else { &value });
        }
        Ok(text)
    }

    fn receive(&self, sku: &str, units: u64) -> Result<()> {
        Ok(self.connect()?.set(format!("{AVAILABLE_PREFIX}{sku}"), units)?)
    }

    fn books(&self, sku: &str) -> Result<Books> {
        let mut connection = self.connect()?;
        let available = connection.get(format!("{AVAILABLE_PREFIX}{sku}"))?;
        let pattern = format!("{ORDER_PREFIX}*");
        let options = ScanOptions::default().with_pattern(pattern).with_count(10_000);
        // A key may come twice if the table is made smaller meanwhile; nothing is deleted here.
        let mut orders = 0;
        for key in connection.scan_options::<Vec<u8>>(options)? {
            key?;
            orders += 1;
        }
        Ok(Books { available, orders })
    }
}

/// The settings. What is not named is as Redis has it by default; nothing but the log is written
/// to disk, and the log is not rewritten during a turn.
fn arguments(folder: &Path, socket: &Path, fsync: Fsync) -> Vec<String> {
    let (folder, socket) = (folder.display().to_string(), socket.display().to_string());
    [
        ["--port", "0"],
        ["--unixsocket", &socket],
        ["--dir", &folder],
        ["--appendonly", "yes"],
        ["--appendfsync", fsync.name()],
        ["--save", ""],
        ["--auto-aof-rewrite-percentage", "0"],
        ["--daemonize", "no"],
    ]
    .concat()
    .into_iter()
    .map(str::to_owned)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::{Fsync, arguments};
    use std::path::Path;

    #[test]
    fn the_log_is_on_and_nothing_else_is_written() {
        for (fsync, name) in [(Fsync::Always, "always"), (Fsync::EverySecond, "everysec")] {
            let arguments = arguments(Path::new("/d"), Path::new("/d/s"), fsync);
            let given = |flag: &str| {
                let at = arguments.iter().position(|word| word == flag).expect(flag);
                arguments[at + 1].as_str()
            };
            assert_eq!(given("--appendonly"), "yes");
            assert_eq!(given("--appendfsync"), name);
            assert_eq!(given("--save"), "");
            assert_eq!(given("--port"), "0");
            assert_eq!(given("--unixsocket"), "/d/s");
            assert_eq!(given("--dir"), "/d");
        }
    }
}
