//! A Redis server on a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::certificate::{Certificate, Tls};
use crate::daemon::Daemon;
use crate::folder::Folder;
use crate::port;
use crate::program::{Program, find, output, search_path};

/// What it says when it serves. Versions differ in the first letter.
const READY: &str = "eady to accept connections";

const CERTIFICATE: &str = "server.pem";

const KEY: &str = "server.key";

const AUTHORITY: &str = "authority.pem";

/// What of Redis' memory is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing: killed, it comes back empty.
    #[default]
    Nothing,
    /// Its log, synced before it answers: killed, it comes back with all that it has answered.
    LogAlways,
    /// Its log, synced once a second: a crash of the machine loses up to a second of answered
    /// writes, or two.
    LogEverySecond,
    /// What it was at the last `SAVE`, or when it was stopped in order: killed, it comes back with
    /// less than it had.
    Snapshot,
}

/// How a Redis server is started.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// What is on disk.
    pub persistence: Persistence,
    /// Whether it listens on a free port of 127.0.0.1, and not only on its Unix socket.
    pub tcp: bool,
    /// Whether the port speaks TLS, and nothing else.
    pub tls: Option<Tls>,
    /// What clients have to give.
    pub password: Option<String>,
    /// Bytes it may use for data. Writes are refused when they are used up, unless `settings`
    /// names another `maxmemory-policy`.
    pub memory_bytes_max: Option<u64>,
    /// The port on 127.0.0.1 of the server that it replicates. Both have the same password.
    pub replica_of: Option<u16>,
    /// More settings: a name as in redis.conf, and its value.
    pub settings: Vec<(String, String)>,
    /// Where its folder is made: in the system's folder for what is temporary, if not given.
    pub parent: Option<PathBuf>,
}

impl Default for RedisOptions {
    /// A port, and nothing else.
    fn default() -> Self {
        Self {
            persistence: Persistence::Nothing,
            tcp: true,
            tls: None,
            password: None,
            memory_bytes_max: None,
            replica_of: None,
            settings: Vec::new(),
            parent: None,
        }
    }
}

/// A Redis server.
pub struct Redis {
    // Dropped in this order: the process before its folder.
    daemon: Option<Daemon>,
    folder: Folder,
    server: PathBuf,
    client: PathBuf,
    options: RedisOptions,
    /// 0 if it does not listen on one.
    port: u16,
}

impl Redis {
    /// Starts one.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub fn start(options: &RedisOptions) -> Result<Self> {
        let mut redis = Self {
            daemon: None,
            server: find("redis-server", search_path(), "redis-server")?,
            client: find("redis-cli", search_path(), "redis-tools")?,
            folder: Folder::new(options.parent.as_deref())?,
            options: options.clone(),
            port: 0,
        };
        redis.write_certificate()?;
        for _ in 1..port::ATTEMPTS_MAX {
            redis.port = if options.tcp { port::free()? } else { 0 };
            match redis.start_again() {
                Err(error) if port::is_taken(&error) => {}
                started => return started.map(|()| redis),
            }
        }
        redis.start_again().map(|()| redis)
    }

    /// How a client finds and enters it.
    pub fn url(&self) -> String {
        let password = self.options.password.as_deref();
        let entry = password.map_or(String::new(), |word| format!(":{}@", encoded(word)));
        if self.options.tcp {
            let scheme = if self.options.tls.is_some() { "rediss" } else { "redis" };
            format!("{scheme}://{entry}127.0.0.1:{}/", self.port)
        } else {
            let entry = password.map_or(String::new(), |word| format!("?pass={}", encoded(word)));
            format!("redis+unix://{}{entry}", self.socket().display())
        }
    }

    /// The port of 127.0.0.1 that it listens on, for as long as this lives; 0 without.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// The process, if it runs.
    pub fn id(&self) -> Option<u32> {
        self.daemon.as_ref().map(Daemon::id)
    }

    /// Stops its processes where they are. Connections stay, and are not answered.
    pub fn pause(&self) {
        self.daemon.iter().for_each(Daemon::pause);
    }

    /// Lets it go on after [`Redis::pause`].
    pub fn resume(&self) {
        self.daemon.iter().for_each(Daemon::resume);
    }

    /// Ends it in order. It writes what [`Persistence::Snapshot`] promises.
    pub fn stop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.end(Signal::TERM);
        }
    }

    /// Kills it.
    pub fn kill(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.end(Signal::KILL);
        }
    }

    /// Starts it after [`Redis::stop`] or [`Redis::kill`], at the same place, with what is on disk.
    ///
    /// # Errors
    /// If it runs, or does not start.
    pub fn start_again(&mut self) -> Result<()> {
        ensure!(self.daemon.is_none(), "Redis runs already");
        fs::create_dir_all(self.data())?;
        let program = Program { path: &self.server, arguments: self.arguments(), user: None };
        self.daemon = Some(Daemon::start(&program, READY, Signal::KILL)?);
        Ok(())
    }

    /// Kills it and starts it at the same place, with nothing in it.
    ///
    /// # Errors
    /// If it does not start.
    pub fn restart_empty(&mut self) -> Result<()> {
        self.kill();
        fs::remove_dir_all(self.data())?;
        self.start_again()
    }

    /// Runs a command through redis-cli and gives its answer as plain text, an element a line.
    ///
    /// # Errors
    /// If it does not answer, or refuses.
    pub fn cli(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.client);
        command.arg("-s").arg(self.socket()).args(["-e", "--raw"]).args(words);
        command.env_remove("REDISCLI_AUTH");
        if let Some(password) = &self.options.password {
            command.env("REDISCLI_AUTH", password);
        }
        let said = String::from_utf8(output(&mut command)?).context("an answer that is text")?;
        Ok(said.strip_suffix('\n').unwrap_or(&said).to_owned())
    }

    /// The certificate of who signed the server's (PEM), if it has TLS.
    pub fn authority(&self) -> Option<PathBuf> {
        self.options.tls.as_ref().map(|_| self.folder.path().join(AUTHORITY))
    }

    fn write_certificate(&self) -> Result<()> {
        if let Some(tls) = &self.options.tls {
            let Certificate { certificate, key, authority } = Certificate::new(&tls.names)?;
            let files = [(CERTIFICATE, certificate), (KEY, key), (AUTHORITY, authority)];
            for (name, text) in files {
                fs::write(self.folder.path().join(name), text)?;
            }
        }
        Ok(())
    }

    /// Where its files are.
    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn arguments(&self) -> Vec<String> {
        let mut words = arguments(&self.options, self.port, &self.data(), &self.socket());
        if self.options.tls.is_some() {
            let file = |name| self.folder.path().join(name).display().to_string();
            let settings = [
                ("--port", "0".to_owned()),
                ("--tls-port", self.port.to_string()),
                ("--tls-cert-file", file(CERTIFICATE)),
                ("--tls-key-file", file(KEY)),
                ("--tls-ca-cert-file", file(AUTHORITY)),
                ("--tls-auth-clients", "no".to_owned()),
            ];
            // The last word on a setting counts.
            words.extend(settings.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
        }
        words
    }
}

/// The settings. What is not named is as Redis has it by default; its log is not rewritten.
fn arguments(options: &RedisOptions, port: u16, data: &Path, socket: &Path) -> Vec<String> {
    let (log, sync, save) = match options.persistence {
        Persistence::Nothing => ("no", "no", ""),
        Persistence::LogAlways => ("yes", "always", ""),
        Persistence::LogEverySecond => ("yes", "everysec", ""),
        // Seldom enough that only the tests make one.
        Persistence::Snapshot => ("no", "no", "86400 1"),
    };
    let mut settings = vec![
        ("bind", "127.0.0.1".to_owned()),
        ("port", port.to_string()),
        ("unixsocket", socket.display().to_string()),
        ("unixsocketperm", "700".to_owned()),
        ("dir", data.display().to_string()),
        ("appendonly", log.to_owned()),
        ("appendfsync", sync.to_owned()),
        ("auto-aof-rewrite-percentage", "0".to_owned()),
        ("save", save.to_owned()),
        // Otherwise a replica waits for others to be served with it.
        ("repl-diskless-sync-delay", "0".to_owned()),
        ("daemonize", "no".to_owned()),
    ];
    if let Some(password) = &options.password {
        settings.extend([("requirepass", password.clone()), ("masterauth", password.clone())]);
    }
    if let Some(bytes) = options.memory_bytes_max {
        settings.push(("maxmemory", bytes.to_string()));
    }
    let mut words: Vec<String> = settings
        .into_iter()
        .chain(options.settings.iter().map(|(name, value)| (name.as_str(), value.clone())))
        .flat_map(|(name, value)| [format!("--{name}"), value])
        .collect();
    if let Some(port) = options.replica_of {
        words.extend(["--replicaof".to_owned(), "127.0.0.1".to_owned(), port.to_string()]);
    }
    words
}

/// A part of a URL in which only letters and digits stand for themselves (RFC 3986, 2.1).
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::{Persistence, RedisOptions, arguments, encoded};
    use std::path::Path;

    fn given(options: &RedisOptions, flag: &str) -> Option<String> {
        let arguments = arguments(options, 12_345, Path::new("/d"), Path::new("/s"));
        let at = arguments.iter().position(|word| word == flag)?;
        Some(
            arguments[at + 1..]
                .iter()
                .take_while(|w| !w.starts_with("--"))
                .cloned()
                .collect::<Vec<_>>()
                .join(" "),
        )
    }

    #[test]
    fn what_is_written_is_what_was_asked_for() {
        for (persistence, log, sync, save) in [
            (Persistence::Nothing, "no", "no", ""),
            (Persistence::LogAlways, "yes", "always", ""),
            (Persistence::LogEverySecond, "yes", "everysec", ""),
            (Persistence::Snapshot, "no", "no", "86400 1"),
        ] {
            let options = RedisOptions { persistence, ..RedisOptions::default() };
            let given = |flag| given(&options, flag).expect(flag);
            assert_eq!(given("--appendonly"), log);
            assert_eq!(given("--appendfsync"), sync);
            assert_eq!(given("--save"), save);
            assert_eq!(given("--port"), "12345");
            assert_eq!(given("--unixsocket"), "/s");
            assert_eq!(given("--dir"), "/d");
        }
    }

    #[test]
    fn what_was_not_asked_for_is_not_set() {
        for flag in ["--requirepass", "--maxmemory", "--replicaof", "--maxmemory-policy"] {
            assert_eq!(given(&RedisOptions::default(), flag), None);
        }
        let options = RedisOptions {
            password: Some("p w".to_owned()),
            memory_bytes_max: Some(1_000_000),
            replica_of: Some(7),
            settings: vec![("maxmemory-policy".to_owned(), "allkeys-lru".to_owned())],
            ..RedisOptions::default()
        };
        for (flag, value) in [
            ("--requirepass", "p w"),
            ("--masterauth", "p w"),
            ("--maxmemory", "1000000"),
            ("--replicaof", "127.0.0.1 7"),
            ("--maxmemory-policy", "allkeys-lru"),
        ] {
            assert_eq!(given(&options, flag).as_deref(), Some(value));
        }
    }

    #[test]
    fn what_a_url_would_take_for_its_own_is_encoded() {
        assert_eq!(encoded("aZ9"), "aZ9");
        assert_eq!(encoded("a@b:c/ü"), "a%40b%3Ac%2F%C3%BC");
    }
}
