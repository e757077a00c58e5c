//! The log: compact lines on stderr, by `RUST_LOG`, `info` if it says nothing.

use std::io::IsTerminal;
use std::panic;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Starts the log, and has panics logged with the name of their thread.
pub fn start() {
    let filter =
        EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        tracing::error!("{}: {panic}", thread.name().unwrap_or("a thread without a name"));
    }));
}
