//! The HTTP servers of a contest: processes that end with it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use sluice_loadgen::{
    Endpoint, Ops, Orders, Plan, Profile, Report, Secret, Secrets, Setup, Silent, Stop, Work,
};

use crate::contest::Terms;
use crate::peer::JWT_SECRET;

/// The SKU that everybody wants.
pub const SKU: &str = "hot";

/// Traffic before each turn is measured, in which connections open and caches fill.
const WARM_UP: Duration = Duration::from_secs(1);

/// A server that is killed when dropped.
pub struct Server {
    child: Child,
    /// Where buyers call.
    target: Endpoint,
    ops: Option<Ops>,
    jwt_secret: Secret,
    /// The data directory, which goes with the server.
    folder: Option<tempfile::TempDir>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone after the wait.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts this program again, as the peer that `arguments` name.
    ///
    /// # Errors
    /// If it does not start.
    pub fn peer<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut command = bound(&std::env::current_exe()?);
        command.args(arguments);
        let (child, line) = start(&mut command)?;
        let address = line.strip_prefix("listening ").context("the peer's address")?;
        let target = endpoint(address)?;
        let jwt_secret = Secret::new(JWT_SECRET);
        Ok(Self { child, target, ops: None, jwt_secret, folder: None })
    }

    /// Starts the server that was built beside this program, on an empty data directory.
    ///
    /// # Errors
    /// If it does not start.
    pub fn sluice() -> Result<Self> {
        Self::sluice_with(&[])
    }

    /// The same, with these flags.
    ///
    /// # Errors
    /// If it does not start.
    pub fn sluice_with(flags: &[String]) -> Result<Self> {
        let folder = tempfile::tempdir_in(on_a_disk())?;
        let mut command = bound(&sluice_program()?);
        command.arg("serve").arg("--data-dir").arg(folder.path()).args(flags);
        command.args(["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
        let (child, line) = start(&mut command)?;
        let addresses = line.strip_prefix("listening buyers=").context("the server's addresses")?;
        let (buyers, operators) = addresses.split_once(" operators=").context("both addresses")?;
        let secrets = Secrets::read(&folder.path().join("secrets.toml"))?;
        Ok(Self {
            child,
            target: endpoint(buyers)?,
            ops: Some(Ops {
                url: endpoint(operators)?,
                admin_token: secrets.admin.context("the admin token")?,
            }),
            jwt_secret: secrets.jwt.context("the tokens' key")?,
            folder: Some(folder),
        })
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its data directory, if it is not a peer.
    pub fn data_dir(&self) -> Option<&Path> {
        self.folder.as_ref().map(tempfile::TempDir::path)
    }

    /// Where operators call it, as an address, if it is not a peer.
    pub fn operators(&self) -> Option<String> {
        self.ops.as_ref().map(|ops| ops.url.to_string())
    }

    /// Drives orders at it as fast as it takes them. `stock` is how many units an operator receives
    /// first.
    ///
    /// # Errors
    /// If it cannot be reached or set up.
    pub fn drive(&self, terms: &Terms, stock: Option<u64>, stop: &Stop) -> Result<Report> {
        self.drive_by(Profile::ClosedLoop, terms, stock, stop)
    }

    /// Drives orders at it, sent as `profile` says.
    ///
    /// # Errors
    /// If it cannot be reached or set up.
    pub fn drive_by(
        &self,
        profile: Profile,
        terms: &Terms,
        stock: Option<u64>,
        stop: &Stop,
    ) -> Result<Report> {
        let setup = stock.map(|stock| Setup {
            stock,
            unit_price: 100,
            currency: "CNY".to_owned(),
            hold_seconds: 86_400,
        });
        let mut plan = Plan::new(
            self.target.clone(),
            Work::Orders(Orders {
                skus: vec![SKU.to_owned()],
                quantity: 1,
                buyers: terms.buyers,
                jwt_secret: self.jwt_secret.clone(),
                per_buyer_limit: None,
                ops: self.ops.clone(),
                setup,
                audit: false,
            }),
        );
        plan.profile = profile;
        plan.warm_up = WARM_UP;
        plan.duration = Duration::from_secs(terms.seconds);
        plan.connections = terms.connections;
        Ok(sluice_loadgen::run(&plan, stop, &mut Silent)?)
    }
}

/// The server that was built beside this program.
///
/// # Errors
/// If it is not there.
pub fn sluice_program() -> Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("sluice");
    ensure!(program.exists(), "{} is not built: cargo build --release", program.display());
    Ok(program)
}

/// Where data directories of benchmarks lie: on a disk, not in memory.
pub fn on_a_disk() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")
}

/// `setpriv` runs the program, so that the kernel ends it if the contest is killed.
fn bound(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
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
