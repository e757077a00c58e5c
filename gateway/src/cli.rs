//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use sluice_core::event::SinkName;

use crate::audit_cli::Show;
use crate::exit::{DISK, Failure, USAGE};
use crate::secrets::Given;
use crate::settings::{PaymentProvider, Settings, SettingsError};
use crate::span::{SPAN_RANGE, Span};
use crate::token::{Signer, is_buyer};
use crate::{audit_cli, clock, demo, journal_cli, serve, sink_cli};

/// The order core of a flash sale.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Serves buyers and operators until SIGTERM.
    Serve(ServerFlags),
    /// Opens a demo sale in a temporary folder, drives a rush of buyers at it, and goes on serving.
    Demo(DemoFlags),
    /// Prints an access token signed with the node's secret.
    Token(TokenFlags),
    /// Compares the journal with its copies in SQL and Redis, row by row; exit code 1 if they differ.
    Audit(AuditFlags),
    /// Checks, prints or trims the journal.
    #[command(subcommand)]
    Journal(JournalTask),
    /// Shows how far the copies in SQL and Redis are, makes one anew, or lets one pass over a record
    /// that it cannot store.
    #[command(subcommand)]
    Sink(SinkTask),
}

#[derive(Debug, Subcommand)]
enum JournalTask {
    /// Checks the whole journal as a start would.
    Verify(ServerFlags),
    /// Prints every durable event as a line of JSON.
    Dump(ServerFlags),
    /// Trims the journal of a server that does not run, down to --journal-keep-bytes: what snapshots
    /// cover and the database has stored goes, to --archive-dir if that is given.
    Trim(ServerFlags),
}

#[derive(Debug, Subcommand)]
enum SinkTask {
    /// Shows how far each copy is, what is wrong with it, and what to do about it.
    Status(SinkStatusFlags),
    /// Erases a copy (sql or redis), so that it is made anew from the journal and its archive, while
    /// a server runs or when one starts.
    Rebuild(SinkRebuildFlags),
    /// Lets a copy pass over the record that it has stopped at. That it was is journaled, and the
    /// audit lists it.
    Skip(SinkSkipFlags),
}

#[derive(Debug, Args)]
struct SinkStatusFlags {
    /// Print one object of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, Args)]
struct SinkRebuildFlags {
    /// Which copy: sql or redis.
    #[arg(value_name = "NAME", value_parser = ["sql", "redis"])]
    sink: String,
    /// Even if it is another journal's, or cannot be made anew.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, Args)]
struct SinkSkipFlags {
    /// The record, as sluice sink status names it.
    #[arg(value_name = "SEQUENCE")]
    sequence: u64,
    /// Why it may be left out, at most 255 bytes.
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// Which copy, if several have stopped at this record: sql or redis.
    #[arg(long, value_name = "NAME", value_parser = ["sql", "redis"])]
    sink: Option<String>,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, Args)]
struct DemoFlags {
    /// Stop after the rush; the exit code is 0 only if the audit is clean.
    #[arg(long)]
    exit: bool,
    #[command(flatten)]
    server: ServerFlags,
}

/// Settings come from flags, then the environment (SLUICE_LISTEN …), then the file, then defaults.
#[derive(Debug, Args)]
struct ServerFlags {
    /// A TOML file of settings.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where buyers are served [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where operators are served [default: 127.0.0.1:9090].
    #[arg(long, value_name = "ADDRESS")]
    ops_listen: Option<String>,
    /// Where journal and secrets are kept [default: ./data].
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// The database that orders are copied to [default: sqlite://<data-dir>/sluice.db].
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// The Redis server that follows the journal, redis://… or rediss://… [default: none].
    #[arg(long, value_name = "URL")]
    redis_url: Option<String>,
    /// What the names of all keys in Redis begin with [default: sluice].
    #[arg(long, value_name = "PREFIX")]
    redis_prefix: Option<String>,
    /// Entries of the stream of order events that Redis keeps at least [default: 1000000].
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    redis_stream_max: Option<String>,
    /// How long a final order stays in the ledger, and its key with it [default: 30d].
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    retention: Option<String>,
    /// Who takes payments: external, who calls the webhook, or sandbox, inside the server and for
    /// demos [default: external; demo: sandbox].
    #[arg(long, value_name = "NAME")]
    payment_provider: Option<String>,
    /// How long a hold lasts at least from the first start of its payment, at most 1h [default: 0s].
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    payment_extension: Option<String>,
    /// Threads that own stock and buyers [default: chosen from the cores].
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    shards: Option<String>,
    /// Threads that serve buyers [default: chosen from the cores].
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    workers: Option<String>,
    /// Orders that may wait in front of one shard.
    #[arg(long, value_name = "ORDERS", allow_hyphen_values = true)]
    queue_capacity: Option<String>,
    /// Length of a journal segment [default: 67108864].
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    segment_bytes: Option<String>,
    /// Finished segments that make a new snapshot worth its while [default: 4].
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    snapshot_segments: Option<String>,
    /// Bytes of the journal that are kept at least; older segments that snapshots cover and the
    /// database has stored are trimmed [default: all are kept].
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    journal_keep_bytes: Option<String>,
    /// Bytes of the journal at which it is kept no longer for a copy that is behind [default: only
    /// when the disk is full].
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    journal_max_bytes: Option<String>,
    /// Where trimmed segments are moved to [default: nowhere, they are removed].
    #[arg(long, value_name = "FOLDER")]
    archive_dir: Option<String>,
    /// Connections of buyers, in all [default: 16384].
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    connections_max: Option<String>,
    /// Connections of buyers, from one address [default: 8192].
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    connections_per_address_max: Option<String>,
    /// Clients that may watch sales at the same time [default: 4096].
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    stream_clients_max: Option<String>,
}

#[derive(Debug, Args)]
struct AuditFlags {
    /// Print one object of JSON.
    #[arg(long)]
    json: bool,
    /// Differences that are told one by one; all are counted.
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    differences: u32,
    #[command(flatten)]
    server: ServerFlags,
}

#[derive(Debug, Args)]
struct TokenFlags {
    /// The buyer: 1 to 255 bytes of visible ASCII.
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    buyer: String,
    /// How long the token is valid: a number and s, m, h or d.
    #[arg(long, value_name = "TIME", default_value = "1h", allow_hyphen_values = true)]
    ttl: String,
    #[command(flatten)]
    server: ServerFlags,
}

/// Reads the command line and does what it says.
pub fn run() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => {
            // Nothing can be done about a closed terminal.
            let _ = error.print();
            let asked = !error.use_stderr();
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(USAGE) };
        }
    };
    let done = match line.command {
        Task::Serve(flags) => {
            flags.settings().map_err(Failure::from).and_then(|s| serve::serve(&s))
        }
        Task::Demo(flags) => flags.show(),
        Task::Token(flags) => flags.print(),
        Task::Audit(flags) => flags.compare(),
        Task::Journal(task) => task.read(),
        Task::Sink(task) => task.act(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

impl ServerFlags {
    fn settings(&self) -> Result<Settings, SettingsError> {
        self.settings_paid_by(PaymentProvider::External)
    }

    /// The settings of a server whose payments `usual` takes unless they say otherwise.
    fn settings_paid_by(&self, usual: PaymentProvider) -> Result<Settings, SettingsError> {
        let flags = [
            ("listen", self.listen.clone()),
            ("ops-listen", self.ops_listen.clone()),
            ("data-dir", self.data_dir.clone()),
            ("database-url", self.database_url.clone()),
            ("redis-url", self.redis_url.clone()),
            ("redis-prefix", self.redis_prefix.clone()),
            ("redis-stream-max", self.redis_stream_max.clone()),
            ("retention", self.retention.clone()),
            ("payment-provider", self.payment_provider.clone()),
            ("payment-extension", self.payment_extension.clone()),
            ("shards", self.shards.clone()),
            ("workers", self.workers.clone()),
            ("queue-capacity", self.queue_capacity.clone()),
            ("segment-bytes", self.segment_bytes.clone()),
            ("snapshot-segments", self.snapshot_segments.clone()),
            ("journal-keep-bytes", self.journal_keep_bytes.clone()),
            ("journal-max-bytes", self.journal_max_bytes.clone()),
            ("archive-dir", self.archive_dir.clone()),
            ("connections-max", self.connections_max.clone()),
            ("connections-per-address-max", self.connections_per_address_max.clone()),
            ("stream-clients-max", self.stream_clients_max.clone()),
        ];
        let environment = |name: &str| std::env::var(name).ok();
        Settings::merge(&flags, environment, self.config.as_deref(), usual)
    }
}

impl DemoFlags {
    fn show(&self) -> Result<(), Failure> {
        let mut settings = self.server.settings_paid_by(PaymentProvider::Sandbox)?;
        let folder = tempfile::tempdir()
            .map_err(|error| Failure::new(DISK, format!("a temporary folder: {error}")))?;
        settings.data_dir = folder.path().to_path_buf();
        // A journal of its own has a copy of its own.
        settings.database = None;
        settings.redis = None;
        demo::show(settings, self.exit)
    }
}

impl AuditFlags {
    fn compare(&self) -> Result<(), Failure> {
        let show = Show { json: self.json, differences: self.differences as usize };
        audit_cli::audit(&self.server.settings()?, &show)
    }
}

impl SinkTask {
    fn act(&self) -> Result<(), Failure> {
        match self {
            Self::Status(flags) => sink_cli::status(&flags.server.settings()?, flags.json),
            Self::Rebuild(flags) => {
                let sink = SinkName::parse(&flags.sink).expect("clap has checked it");
                sink_cli::rebuild(&flags.server.settings()?, sink, flags.force)
            }
            Self::Skip(flags) => {
                let settings = flags.server.settings()?;
                sink_cli::skip(&settings, flags.sequence, &flags.why, flags.sink.as_deref())
            }
        }
    }
}

impl JournalTask {
    fn read(&self) -> Result<(), Failure> {
        let (Self::Verify(flags) | Self::Dump(flags) | Self::Trim(flags)) = self;
        let settings = flags.settings()?;
        match self {
            Self::Verify(_) => journal_cli::verify(&settings.data_dir),
            Self::Dump(_) => journal_cli::dump(&settings.data_dir),
            Self::Trim(_) => journal_cli::trim(&settings),
        }
    }
}

impl TokenFlags {
    fn print(&self) -> Result<(), Failure> {
        let range = "must be 1 to 255 bytes of visible ASCII";
        if !is_buyer(&self.buyer) {
            return Err(SettingsError::new("--buyer", &self.buyer, range).into());
        }
        let ttl: Result<Span, _> = self.ttl.parse();
        let range = format!("must be {SPAN_RANGE}");
        let ttl = ttl.ok().filter(Span::is_some_time);
        let ttl = ttl.ok_or_else(|| SettingsError::new("--ttl", &self.ttl, &range))?;
        let settings = self.server.settings()?;
        let secrets = Given::read(|name| std::env::var(name).ok())?.complete(&settings.data_dir)?;
        let signer = Signer::new(secrets.jwt_secret.as_bytes());
        println!("{}", signer.sign(&self.buyer, clock::wall_seconds() + ttl.seconds()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::CommandLine;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }
}
