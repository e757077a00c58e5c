//! A contest over HTTP: servers in turns, the same client, connections and body for each.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use sluice_loadgen::{
    Endpoint, Ops, Orders, Plan, Profile, Report, Secret, Secrets, Setup, Silent, Stop, Work,
};

use crate::peer::Peer;

/// The key of the peers' tokens.
pub const JWT_SECRET: &str = "a secret of benchmarks, 32 bytes";

/// Units that (b) begins with: more than it can sell.
const PLENTY: u64 = 20_000_000;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrant {
    /// (a) Bare hyper.
    Bare,
    /// (a2) Bare hyper with the token checked and the order decoded.
    Checked,
    /// (a3) The same with a cache of checked tokens like Sluice's.
    Cached,
    /// (b) Sluice, every order synced before it is answered.
    Sluice,
    /// (c) Sluice with nothing left to sell.
    SoldOut,
}

/// How long and how hard.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// How long each turn lasts.
    pub duration: Duration,
    /// Connections.
    pub connections: u32,
    /// Buyers who take turns.
    pub buyers: u32,
}

/// A server that is killed when dropped.
struct Server {
    child: Child,
    /// Where buyers call.
    target: Endpoint,
    ops: Option<Ops>,
    jwt_secret: Secret,
    /// The data directory, which goes with the server.
    _folder: Option<tempfile::TempDir>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone after the wait.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Entrant {
    /// All of them, in the order of their turns.
    pub const ALL: [Self; 5] =
        [Self::Bare, Self::Checked, Self::Cached, Self::Sluice, Self::SoldOut];

    /// Its letter in the report.
    pub const fn letter(self) -> &'static str {
        match self {
            Self::Bare => "a",
            Self::Checked => "a2",
            Self::Cached => "a3",
            Self::Sluice => "b",
            Self::SoldOut => "c",
        }
    }

    /// What it is.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Bare => "bare hyper, reads the POST, answers a constant",
            Self::Checked => "(a) with the token checked and the order decoded",
            Self::Cached => "(a2) with a cache of checked tokens, as Sluice has one",
            Self::Sluice => "Sluice, every order synced before its answer",
            Self::SoldOut => "Sluice, sold out",
        }
    }

    /// One turn: answers a second, as counted by the client.
    ///
    /// # Errors
    /// If the server cannot be started, or an answer is not what it must be.
    pub fn turn(self, round: &Round) -> Result<Report> {
        let server = self.start()?;
        let setup = server.ops.is_some().then(|| Setup {
            stock: if self == Self::SoldOut { 1 } else { PLENTY },
            unit_price: 100,
            currency: "CNY".to_owned(),
            hold_seconds: 86_400,
        });
        let mut plan = Plan::new(
            server.target.clone(),
            Work::Orders(Orders {
                skus: vec!["hot".to_owned()],
                quantity: 1,
                buyers: round.buyers,
                jwt_secret: server.jwt_secret.clone(),
                per_buyer_limit: None,
                ops: server.ops.clone(),
                setup,
                audit: false,
            }),
        );
        plan.profile = Profile::ClosedLoop;
        plan.duration = round.duration;
        plan.connections = round.connections;
        let report = sluice_loadgen::run(&plan, &Stop::new(), &mut Silent)?;
        self.judge(&report)?;
        Ok(report)
    }

    fn judge(self, report: &Report) -> Result<()> {
        let answers = &report.answers;
        let as_it_must_be = match self {
            Self::SoldOut => answers.refused,
            _ => answers.accepted,
        };
        ensure!(
            answers.count > 0 && as_it_must_be + 1 >= answers.count,
            "({}) answered {} requests, {} of them as it must:\n{report}",
            self.letter(),
            answers.count,
            as_it_must_be
        );
        Ok(())
    }

    fn start(self) -> Result<Server> {
        match self {
            Self::Bare => start_peer(Peer::Bare),
            Self::Checked => start_peer(Peer::Checked),
            Self::Cached => start_peer(Peer::Cached),
            Self::Sluice | Self::SoldOut => start_sluice(),
        }
    }
}

fn start_peer(peer: Peer) -> Result<Server> {
    let name = match peer {
        Peer::Bare => "bare",
        Peer::Checked => "checked",
        Peer::Cached => "cached",
    };
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--peer", name]);
    let (child, line) = start(&mut command)?;
    let address = line.strip_prefix("listening ").context("the peer's address")?;
    let target = endpoint(address)?;
    let jwt_secret = Secret::new(JWT_SECRET);
    Ok(Server { child, target, ops: None, jwt_secret, _folder: None })
}

/// Starts the server that was built beside this program.
fn start_sluice() -> Result<Server> {
    let program = std::env::current_exe()?.with_file_name("sluice");
    ensure!(program.exists(), "{} is not built: cargo build --release", program.display());
    // Where a data directory would be: on a disk, not in memory.
    let folder = tempfile::tempdir_in(Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"))?;
    let mut command = Command::new(program);
    command.arg("serve").arg("--data-dir").arg(folder.path());
    command.args(["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    let (child, line) = start(&mut command)?;
    let addresses = line.strip_prefix("listening buyers=").context("the server's addresses")?;
    let (buyers, operators) = addresses.split_once(" operators=").context("both addresses")?;
    let secrets = Secrets::read(&folder.path().join("secrets.toml"))?;
    Ok(Server {
        child,
        target: endpoint(buyers)?,
        ops: Some(Ops {
            url: endpoint(operators)?,
            admin_token: secrets.admin.context("the admin token")?,
        }),
        jwt_secret: secrets.jwt.context("the tokens' key")?,
        _folder: Some(folder),
    })
}

/// Starts a program and gives its first line.
fn start(command: &mut Command) -> Result<(Child, String)> {
    let mut child = command
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{command:?}"))?;
    let mut line = String::new();
    let stdout = child.stdout.take().context("its output")?;
    BufReader::new(stdout).read_line(&mut line)?;
    if line.is_empty() {
        bail!("{command:?} did not start: {}", child.wait()?);
    }
    Ok((child, line.trim_end().to_owned()))
}

fn endpoint(address: &str) -> Result<Endpoint> {
    Ok(Endpoint::parse("target", &format!("http://{address}"))?)
}
