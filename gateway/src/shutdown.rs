//! The stages of a shutdown, and the signals that begin it.

use std::io;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// After the signal, connections that still wait for something are cut after so long.
pub(crate) const CONNECTIONS_DEADLINE: Duration = Duration::from_millis(3_000);

/// And the process ends after so long, whatever it waits for.
pub(crate) const PROCESS_DEADLINE: Duration = Duration::from_millis(4_500);

/// How far a shutdown has come. Each stage includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// There is none.
    Running,
    /// Nothing new is accepted; buyers' requests under way are answered.
    Draining,
    /// Buyers' connections are cut.
    Cut,
    /// The operators' listener ends too.
    Ending,
}

/// The signals that tell a server to stop: SIGTERM and SIGINT.
///
/// From when they are watched on, they no longer end the process of themselves.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to watch; one that comes before anybody waits for it is kept.
    ///
    /// # Errors
    /// If the signals cannot be watched.
    pub(crate) fn watch(runtime: &Runtime) -> io::Result<Self> {
        let _entered = runtime.enter();
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next of them, and says which it is.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
