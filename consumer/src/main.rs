//! The service as a program: `sluice-consumer --help`.

use std::process::ExitCode;

use clap::Parser as _;
use sluice_consumer::Settings;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let settings = Settings::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(&settings)),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sluice-consumer: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Follows until told to end.
async fn run(settings: &Settings) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    sluice_consumer::run(settings, stop).await
}
