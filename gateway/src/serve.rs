//! `sluice serve`: starts everything, and stops it in the reverse order.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sluice_core::engine::{Engine, Handle, OnFatal};
use sluice_core::storage::{Directory, LockError};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use crate::copies::{self, Followers, Watermarks};
use crate::exit::{DISK, Failure, IN_USE, USAGE, broken};
use crate::gate::{Front, Gate};
use crate::ids;
use crate::provider::FromCopy;
use crate::sandbox::Sandbox;
use crate::secrets::Given;
use crate::settings::{PaymentProvider, Settings, journal_dir};
use crate::shutdown::{CONNECTIONS_DEADLINE, PROCESS_DEADLINE, Signals, Stage};
use crate::stream::Streams;
use crate::wire::accept::{self, Accepted, Bound, Doorman};
use crate::worker::{self, Role};

/// Connections of operators, in all and from one address.
const OPERATORS_CONNECTIONS_MAX: usize = 256;

/// Connections that may wait for a worker to take them.
const HANDED_OVER_MAX: usize = 256;

/// How long operators' answers under way may take once buyers are done.
const OPERATORS_DEADLINE: Duration = Duration::from_millis(300);

/// A server that listens.
pub struct Server {
    engine: Engine,
    followers: Followers,
    gate: Arc<Gate>,
    runtime: Runtime,
    signals: Signals,
    stage: watch::Sender<Stage>,
    buyers: Threads,
    operators: Threads,
    addresses: Addresses,
}

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// For buyers.
    pub buyers: SocketAddr,
    /// For operators.
    pub operators: SocketAddr,
}

/// Threads, and a channel that closes when the last of them has served its last connection.
struct Threads {
    threads: Vec<JoinHandle<io::Result<()>>>,
    alive: mpsc::Receiver<()>,
}

/// Runs a server until it is told to stop.
///
/// # Errors
/// What kept it from starting. What stops it later ends the process.
pub fn serve(settings: &Settings) -> Result<(), Failure> {
    let server = Server::start(settings)?;
    server.announce().map_err(|error| Failure::new(DISK, format!("stdout: {error}")))?;
    server.run();
    Ok(())
}

impl Server {
    /// Opens the journal, recovers, and listens.
    ///
    /// # Errors
    /// The data directory is in use or unreadable, the journal is damaged, a secret is weak, or an
    /// address cannot be listened on.
    pub fn start(settings: &Settings) -> Result<Self, Failure> {
        raise_file_limit();
        // What is wrong with the settings shows before anything is recovered; that the directory is
        // another's comes first, for then the addresses are too.
        let given = Given::read(|name| std::env::var(name).ok())?;
        let directory = lock(settings)?;
        let bind = |address| Bound::to(address).map_err(|error| cannot_listen(address, &error));
        let (buyers, operators) = (bind(settings.listen)?, bind(settings.ops_listen)?);
        let watermarks = Watermarks::of(settings);
        let (engine, handle) = open_engine(directory.clone(), settings, &watermarks)?;
        let secrets = given.complete(&settings.data_dir)?;
        // Whoever sees it listen may tell it to stop.
        let (runtime, signals) = listening_to_signals()?;
        let listen =
            |bound: Bound, address| bound.listen().map_err(|error| cannot_listen(address, &error));
        let buyers = listen(buyers, settings.listen)?;
        let operators = listen(operators, settings.ops_listen)?;
        let unreadable = |error| Failure::new(DISK, format!("a listening socket: {error}"));
        let addresses = Addresses {
            buyers: buyers.local_addr().map_err(unreadable)?,
            operators: operators.local_addr().map_err(unreadable)?,
        };
        let door = Doorman::new(settings.connections_max, settings.connections_per_address_max);
        let ops_door = Doorman::new(OPERATORS_CONNECTIONS_MAX, OPERATORS_CONNECTIONS_MAX);
        let (door, ops_door) = (Arc::new(door), Arc::new(ops_door));
        let recovered = engine.recovered().last_sequence;
        let (followers, copies) =
            copies::start(&directory, settings, watermarks, (&handle, recovered))?;
        let doors = (door.clone(), ops_door.clone());
        let listener = addresses.buyers;
        let sandbox = (settings.payment_provider == PaymentProvider::Sandbox).then(|| {
            let copy = FromCopy(Arc::clone(&copies.lookup));
            Sandbox::start(runtime.handle(), listener, &secrets.webhook_keys, copy.clone(), copy)
        });
        let front = Front { listener, sandbox, streams: Streams::new(settings.stream_clients_max) };
        let gate = Gate::new(handle, &secrets, settings.workers, doors, copies, front);
        let gate = Arc::new(gate);
        let (stage, stages) = watch::channel(Stage::Running);
        runtime.spawn(Streams::run(Arc::clone(&gate)));
        let roles: Vec<Role> = (0..settings.workers).map(Role::Buyers).collect();
        let (workers, to_workers) = start_threads(&roles, &gate, &stages)?;
        let (operator, to_operator) = start_threads(&[Role::Operators], &gate, &stages)?;
        runtime.spawn(accept::accept(buyers, door, to_workers, stages.clone(), Stage::Draining));
        runtime.spawn(accept::accept(operators, ops_door, to_operator, stages, Stage::Cut));
        Ok(Self {
            engine,
            followers,
            gate,
            runtime,
            signals,
            stage,
            buyers: workers,
            operators: operator,
            addresses,
        })
    }

    /// Serves while `work` goes on, on this thread, and gives what it comes to. What it does when
    /// a signal comes is its own to say.
    pub(crate) fn serve_during<T>(&mut self, work: impl AsyncFnOnce(&mut Signals) -> T) -> T {
        self.runtime.block_on(work(&mut self.signals))
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Says on stdout where it listens, in one line that programs can read.
    fn announce(&self) -> io::Result<()> {
        let Addresses { buyers, operators } = self.addresses;
        let mut out = io::stdout().lock();
        writeln!(out, "listening buyers={buyers} operators={operators}")?;
        out.flush()
    }

    /// Serves until SIGTERM or SIGINT, then stops.
    pub fn run(mut self) {
        let signal = self.runtime.block_on(self.signals.next());
        tracing::info!("{signal}: stopping");
        self.stop();
    }

    /// Stops accepting, finishes what was admitted, syncs, ends all threads.
    pub fn stop(mut self) {
        end_in_time();
        self.gate.drain();
        self.stage.send_replace(Stage::Draining);
        self.runtime.block_on(self.buyers.ended_within(CONNECTIONS_DEADLINE));
        self.stage.send_replace(Stage::Cut);
        self.buyers.join();
        self.runtime.block_on(self.operators.ended_within(OPERATORS_DEADLINE));
        self.stage.send_replace(Stage::Ending);
        self.operators.join();
        self.engine.drain();
        self.followers.stop();
        tracing::info!("stopped");
    }
}

impl Threads {
    async fn ended_within(&mut self, most: Duration) {
        // `None` says that all have ended; that they have not in time is the caller's to act on.
        let _ = tokio::time::timeout(most, self.alive.recv()).await;
    }

    fn join(self) {
        for thread in self.threads {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!("a worker: {error}"),
                Err(_) => tracing::error!("a worker panicked"),
            }
        }
    }
}

/// Starts a thread for each role; connections go in through the channels.
fn start_threads(
    roles: &[Role],
    gate: &Arc<Gate>,
    stages: &watch::Receiver<Stage>,
) -> Result<(Threads, Vec<mpsc::Sender<Accepted>>), Failure> {
    let (alive, all_ended) = mpsc::channel(1);
    let mut threads = Vec::new();
    let mut senders = Vec::new();
    for role in roles.iter().copied() {
        let (sender, accepted) = mpsc::channel(HANDED_OVER_MAX);
        let (gate, stages, alive) = (Arc::clone(gate), stages.clone(), alive.clone());
        let name = match role {
            Role::Buyers(number) => format!("worker-{number}"),
            Role::Operators => "operators".to_owned(),
        };
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || {
                let work = AssertUnwindSafe(|| worker::run(role, gate, accepted, stages, alive));
                catch_unwind(work).unwrap_or_else(|_| broken("a worker panicked"))
            })
            .map_err(|error| Failure::new(DISK, format!("a thread: {error}")))?;
        threads.push(thread);
        senders.push(sender);
    }
    Ok((Threads { threads, alive: all_ended }, senders))
}

fn listening_to_signals() -> Result<(Runtime, Signals), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(DISK, format!("runtime: {error}")))?;
    let signals = Signals::watch(&runtime);
    let signals = signals.map_err(|error| Failure::new(DISK, format!("signals: {error}")))?;
    Ok((runtime, signals))
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> Failure {
    Failure::new(USAGE, format!("{address}: cannot listen: {error}"))
}

fn lock(settings: &Settings) -> Result<Directory, Failure> {
    Directory::lock(&journal_dir(&settings.data_dir)).map_err(|error| match &error {
        LockError::InUse { .. } => Failure::new(IN_USE, error),
        LockError::Io { source, .. } if is_of_the_path(source) => {
            Failure::new(USAGE, format!("data-dir: {error}"))
        }
        LockError::Io { .. } => Failure::new(DISK, error),
    })
}

/// Whether an error says that the path is wrong, and not that the disk is.
fn is_of_the_path(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    let of_the_path = [
        E::NotFound,
        E::NotADirectory,
        E::PermissionDenied,
        E::ReadOnlyFilesystem,
        E::AlreadyExists,
    ];
    of_the_path.contains(&error.kind())
}

fn open_engine(
    directory: Directory,
    settings: &Settings,
    watermarks: &Watermarks,
) -> Result<(Engine, Handle), Failure> {
    let on_fatal: OnFatal = Arc::new(|fatal| {
        eprintln!("sluice: {fatal}");
        process::exit(i32::from(fatal.exit_code()));
    });
    let mut config = settings.engine(ids::seed());
    config.sql = Some(watermarks.sql.clone());
    config.other_sinks = watermarks.redis.iter().cloned().collect();
    let opened = Engine::open(directory, archive(settings)?, &config, &on_fatal);
    let (engine, handle) = opened.map_err(|fatal| Failure::new(fatal.exit_code(), fatal))?;
    let recovered = engine.recovered();
    tracing::info!(
        "recovered {} records up to sequence {}; epoch {}",
        recovered.records,
        recovered.last_sequence,
        recovered.epoch
    );
    Ok((engine, handle))
}

/// The folder that trimmed segments are moved to.
pub(crate) fn archive(settings: &Settings) -> Result<Option<Directory>, Failure> {
    let Some(path) = &settings.archive_dir else { return Ok(None) };
    let wrong = |what: &dyn fmt::Display| {
        Failure::new(USAGE, format!("archive-dir: {}: {what}", path.display()))
    };
    // By whatever name it is called.
    let place = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino()));
    let archive = place(path).map_err(|error| wrong(&error))?;
    let journal = journal_dir(&settings.data_dir);
    if [&journal, &settings.data_dir].iter().any(|taken| place(taken).is_ok_and(|at| at == archive))
    {
        return Err(wrong(&"must be a folder of its own, not one of the data directory"));
    }
    Directory::read_only(path).map(Some).map_err(|error| wrong(&error))
}

/// Ends the process when a shutdown takes too long: what was admitted could not be finished.
fn end_in_time() {
    thread::spawn(|| {
        thread::park_timeout(PROCESS_DEADLINE);
        eprintln!("sluice: the shutdown did not end in time; the disk may hang");
        process::exit(i32::from(DISK));
    });
}

/// A connection is a file descriptor: as many as the system lets this process have.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!("the limit of open files stays as it is: {error}");
    }
}
