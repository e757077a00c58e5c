//! A PostgreSQL server on a cluster of its own.

mod cluster;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::certificate::{Certificate, Tls};
use crate::daemon::Daemon;
use crate::folder::{Folder, write_secret};
use crate::port;
use crate::program::output;
use crate::redis::encoded;
use cluster::Installation;

/// What it says when it serves.
const READY: &str = "ready to accept connections";

/// The user and the database of tests.
const NAME: &str = "sluice";

/// The port in the name of its socket if it listens on none.
const PORT: u16 = 5432;

/// How a PostgreSQL server is started.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Whether it listens on a free port of 127.0.0.1, and not only on its Unix socket.
    pub tcp: bool,
    /// What clients have to give over TCP (SCRAM-SHA-256); without it all are let in.
    pub password: Option<String>,
    /// TLS over TCP.
    pub tls: Option<Tls>,
    /// Connections there may be. Those count that [`Postgres::sql`] and the like open.
    pub connections_max: u32,
    /// Whether commits survive a crash of the machine (`fsync`). Without it they survive only a
    /// crash of PostgreSQL, and all is faster.
    pub durable: bool,
    /// More settings: a name as in postgresql.conf, and its value.
    pub settings: Vec<(String, String)>,
    /// Where its folder is made: in the system's folder for what is temporary, if not given.
    pub parent: Option<PathBuf>,
}

impl Default for PostgresOptions {
    /// A port without a password, and no syncs.
    fn default() -> Self {
        Self {
            tcp: true,
            password: None,
            tls: None,
            connections_max: 50,
            durable: false,
            settings: Vec::new(),
            parent: None,
        }
    }
}

/// A PostgreSQL server.
pub struct Postgres {
    // Dropped in this order: the process before its folder.
    daemon: Option<Daemon>,
    folder: Folder,
    installation: Installation,
    options: PostgresOptions,
    port: u16,
}

/// What a database had in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump(Vec<u8>);

impl Postgres {
    /// Makes a cluster and starts a server on it.
    ///
    /// # Errors
    /// If it is not installed, the cluster cannot be made, or it does not start.
    pub fn start(options: &PostgresOptions) -> Result<Self> {
        let installation = Installation::find()?;
        let folder = Folder::new(options.parent.as_deref())?;
        installation.prepare(&folder, options.durable)?;
        let mut postgres =
            Self { daemon: None, folder, installation, options: options.clone(), port: PORT };
        postgres.write_settings()?;
        postgres.start_at_free_port()?;
        if let Some(password) = &options.password {
            let quoted = password.replace('\'', "''");
            postgres.sql(&format!("ALTER ROLE {NAME} PASSWORD '{quoted}'"))?;
        }
        Ok(postgres)
    }

    /// How a client finds and enters it. It says nothing about TLS.
    pub fn url(&self) -> String {
        let password = self.options.password.as_deref();
        let password = password.map_or(String::new(), |word| format!(":{}", encoded(word)));
        if self.options.tcp {
            format!("postgres://{NAME}{password}@127.0.0.1:{}/{NAME}", self.port)
        } else {
            let folder = encoded(&self.socket_folder().display().to_string());
            format!("postgres://{NAME}@localhost:{}/{NAME}?host={folder}", self.port)
        }
    }

    /// The port of 127.0.0.1 that it listens on, for as long as this lives. Without TCP the one in
    /// the name of its socket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its Unix socket is. Nobody is asked for a password there.
    pub fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    /// The certificate of who signed the server's (PEM), if it has TLS.
    pub fn authority(&self) -> Option<PathBuf> {
        self.options.tls.as_ref().map(|_| self.folder.path().join("authority.pem"))
    }

    /// The postmaster, if it runs.
    pub fn id(&self) -> Option<u32> {
        self.daemon.as_ref().map(Daemon::id)
    }

    /// Stops all its processes where they are. Connections stay, and are not answered; new ones are
    /// taken by the kernel and not answered either.
    pub fn pause(&self) {
        self.daemon.iter().for_each(Daemon::pause);
    }

    /// Lets it go on after [`Postgres::pause`].
    pub fn resume(&self) {
        self.daemon.iter().for_each(Daemon::resume);
    }

    /// Ends the connections of all clients, as an operator would, and gives how many there were.
    /// They are rolled back and told why (57P01).
    ///
    /// # Errors
    /// If it does not answer.
    pub fn kill_backends(&self) -> Result<u64> {
        let count = self.sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
        )?;
        count.parse().with_context(|| format!("a count: {count:?}"))
    }

    /// Ends it in order: clients are cut off, and what they had not committed is rolled back.
    pub fn stop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.end(Signal::INT);
        }
    }

    /// Ends it at once. The next start recovers what was committed, as after a crash.
    pub fn kill(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.end(Signal::QUIT);
        }
    }

    /// Starts it after [`Postgres::stop`] or [`Postgres::kill`], at the same place.
    ///
    /// # Errors
    /// If it runs, or does not start.
    pub fn start_again(&mut self) -> Result<()> {
        ensure!(self.daemon.is_none(), "PostgreSQL runs already");
        let arguments = arguments(&self.options, self.port, self.folder.path());
        let program = self.installation.server(arguments);
        self.daemon = Some(Daemon::start(&program, READY, Signal::QUIT)?);
        Ok(())
    }

    /// [`Postgres::stop`] and [`Postgres::start_again`].
    ///
    /// # Errors
    /// If it does not start.
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        self.start_again()
    }

    /// Runs statements through psql and gives what they returned: a row a line, `|` between the
    /// columns.
    ///
    /// # Errors
    /// If it does not answer, or refuses.
    pub fn sql(&self, statements: &str) -> Result<String> {
        let mut command = self.client("psql");
        command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", statements]);
        let said = String::from_utf8(output(&mut command)?).context("an answer that is text")?;
        Ok(said.strip_suffix('\n').unwrap_or(&said).to_owned())
    }

    /// What is in the database now, for [`Postgres::restore`].
    ///
    /// # Errors
    /// If it does not answer.
    pub fn dump(&self) -> Result<Dump> {
        let mut command = self.client("pg_dump");
        command.args(["--no-owner", "--no-privileges"]);
        Ok(Dump(output(&mut command)?))
    }

    /// Puts the database back to what it was: all at once, as other connections see it.
    ///
    /// # Errors
    /// If it does not answer, or refuses.
    pub fn restore(&self, dump: &Dump) -> Result<()> {
        let path = self.folder.path().join("restore.sql");
        let mut script = Vec::from(EMPTY);
        script.extend_from_slice(&dump.0);
        fs::write(&path, script)?;
        let mut command = self.client("psql");
        command.args(["-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-f"]);
        output(command.arg(&path))?;
        Ok(fs::remove_file(path)?)
    }

    fn start_at_free_port(&mut self) -> Result<()> {
        for _ in 1..port::ATTEMPTS_MAX {
            self.port = if self.options.tcp { port::free()? } else { PORT };
            match self.start_again() {
                Err(error) if port::is_taken(&error) => {}
                started => return started,
            }
        }
        self.start_again()
    }

    /// Who is let in, and the server's certificate.
    fn write_settings(&self) -> Result<()> {
        let (folder, owner) = (self.folder.path(), self.installation.owner());
        write_secret(&folder.join("pg_hba.conf"), &entries(&self.options), owner)?;
        if let Some(tls) = &self.options.tls {
            let Certificate { certificate, key, authority } = Certificate::new(&tls.names)?;
            write_secret(&folder.join("server.pem"), &certificate, owner)?;
            write_secret(&folder.join("server.key"), &key, owner)?;
            fs::write(folder.join("authority.pem"), authority)?;
        }
        Ok(())
    }

    /// One of PostgreSQL's programs for clients, on our database.
    fn client(&self, program: &str) -> Command {
        let mut command = self.installation.client(program);
        command.arg("-h").arg(self.folder.path()).arg("-p").arg(self.port.to_string());
        command.args(["-U", NAME, "-d", NAME]);
        command
    }
}

/// What comes before a dump: every schema that is not PostgreSQL's own goes.
const EMPTY: &str = "
SET client_min_messages = warning;
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT nspname FROM pg_namespace
        WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    LOOP EXECUTE format('DROP SCHEMA %I CASCADE', name); END LOOP;
END $$;
CREATE SCHEMA public;
";

/// Who is let in (pg_hba.conf).
fn entries(options: &PostgresOptions) -> String {
    let method = if options.password.is_some() { "scram-sha-256" } else { "trust" };
    let kind = match &options.tls {
        Some(tls) if tls.required => "hostssl",
        _ => "host",
    };
    format!("local all all trust\n{kind} all all 127.0.0.1/32 {method}\n")
}

/// The settings. What is not named is as PostgreSQL has it by default.
fn arguments(options: &PostgresOptions, port: u16, folder: &Path) -> Vec<String> {
    let switch = |on| if on { "on" } else { "off" }.to_owned();
    let file = |name: &str| folder.join(name).display().to_string();
    let address = if options.tcp { "127.0.0.1" } else { "" };
    let mut settings = vec![
        ("listen_addresses", address.to_owned()),
        ("port", port.to_string()),
        ("unix_socket_directories", folder.display().to_string()),
        ("hba_file", file("pg_hba.conf")),
        ("password_encryption", "scram-sha-256".to_owned()),
        ("max_connections", options.connections_max.to_string()),
        ("superuser_reserved_connections", "0".to_owned()),
        ("fsync", switch(options.durable)),
        ("full_page_writes", switch(options.durable)),
        ("synchronous_commit", "on".to_owned()),
    ];
    if options.tls.is_some() {
        settings.extend([
            ("ssl", switch(true)),
            ("ssl_cert_file", file("server.pem")),
            ("ssl_key_file", file("server.key")),
        ]);
    }
    let named = settings.into_iter();
    let more = options.settings.iter().map(|(name, value)| (name.as_str(), value.clone()));
    let settings =
        named.chain(more).flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]);
    ["-D".to_owned(), file(cluster::NAME)].into_iter().chain(settings).collect()
}

#[cfg(test)]
mod tests {
    use super::{PostgresOptions, arguments, entries};
    use crate::Tls;
    use std::path::Path;

    fn has(options: &PostgresOptions, setting: &str) -> bool {
        arguments(options, 7, Path::new("/d")).iter().any(|argument| argument == setting)
    }

    #[test]
    fn commits_are_synced_if_asked_for() {
        let mut options = PostgresOptions { connections_max: 64, ..PostgresOptions::default() };
        assert_eq!(arguments(&options, 7, Path::new("/d"))[..2], ["-D", "/d/cluster"]);
        for setting in ["fsync=off", "synchronous_commit=on", "max_connections=64", "port=7"] {
            assert!(has(&options, setting), "{setting}");
        }
        options.durable = true;
        for setting in ["fsync=on", "full_page_writes=on", "synchronous_commit=on"] {
            assert!(has(&options, setting), "{setting}");
        }
    }

    #[test]
    fn only_the_folder_is_listened_on_if_asked_for() {
        let mut options = PostgresOptions::default();
        assert!(has(&options, "listen_addresses=127.0.0.1"));
        options.tcp = false;
        assert!(has(&options, "listen_addresses="));
        assert!(has(&options, "unix_socket_directories=/d"));
    }

    #[test]
    fn who_is_let_in_follows_password_and_tls() {
        let mut options = PostgresOptions::default();
        assert!(entries(&options).ends_with("\nhost all all 127.0.0.1/32 trust\n"));
        assert!(!has(&options, "ssl=on"));
        options.password = Some("secret".to_owned());
        assert!(entries(&options).ends_with("\nhost all all 127.0.0.1/32 scram-sha-256\n"));
        options.tls = Some(Tls { required: false, ..Tls::default() });
        assert!(entries(&options).ends_with("\nhost all all 127.0.0.1/32 scram-sha-256\n"));
        assert!(has(&options, "ssl=on"));
        options.tls = Some(Tls::default());
        assert!(entries(&options).ends_with("\nhostssl all all 127.0.0.1/32 scram-sha-256\n"));
    }
}
