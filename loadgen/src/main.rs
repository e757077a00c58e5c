//! `sluice-loadgen`: drives load at a Sluice server and audits it from outside.

mod flags;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use signal_hook::consts::{SIGINT, SIGTERM};
use sluice_loadgen::{Bar, Error, Plan, Progress, Report, Silent, Stop};

use crate::flags::{Command, Flags};

const AUDIT_FAILED: u8 = 1;
const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;
const SYSTEM: u8 = 70;

fn main() -> ExitCode {
    let Command::Run(flags) = match Flags::try_parse() {
        Ok(flags) => flags.command,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match flags.plan().and_then(|plan| run(&plan, flags.quiet)) {
        Ok(report) => {
            // Whoever closed standard output has read enough; the exit code still tells.
            let _ = write!(std::io::stdout(), "{report}");
            if report.audit_failed() { ExitCode::from(AUDIT_FAILED) } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            eprintln!("sluice-loadgen: {error}");
            ExitCode::from(match error {
                Error::Setting { .. } => USAGE,
                Error::Unreachable { .. } | Error::Refused { .. } => UNAVAILABLE,
                _ => SYSTEM,
            })
        }
    }
}

fn run(plan: &Plan, quiet: bool) -> Result<Report, Error> {
    let stop = Stop::new();
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, stop.flag())
            .map_err(|source| Error::System { what: "cannot listen for signals", source })?;
    }
    let mut shown: Box<dyn Progress> = if quiet { Box::new(Silent) } else { Box::new(Bar::new()) };
    sluice_loadgen::run(plan, &stop, shown.as_mut())
}
