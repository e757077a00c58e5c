//! The stages of a shutdown, and the signals that begin it.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

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

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// If the signals cannot be watched.
pub(crate) async fn signalled() -> std::io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
