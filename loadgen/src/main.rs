//! `sluice-loadgen`: drives load at a Sluice server and audits it from outside.

mod files;
mod flags;
mod results;
mod values;

use std::process::ExitCode;

use clap::Parser as _;
use signal_hook::consts::{SIGINT, SIGTERM};
use sluice_loadgen::{Error, Live, Plan, Progress, Report, Silent, Stop};

use crate::flags::{Command, Flags, RunFlags};
use crate::results::Results;

/// The audit failed, or something came true that the run was to be failed for.
const FAILED: u8 = 1;
/// The generator itself sent too late.
const INVALID: u8 = 3;
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
    match run(&flags) {
        Ok((report, kept)) => {
            if let Err(error) = &kept {
                eprintln!("sluice-loadgen: {error}");
            }
            ExitCode::from(verdict(&report, kept.is_ok()))
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

/// The worst of what the report says.
fn verdict(report: &Report, are_results_kept: bool) -> u8 {
    if report.audit_failed() {
        FAILED
    } else if !are_results_kept {
        SYSTEM
    } else if report.is_invalid() {
        INVALID
    } else if report.threshold_failed() {
        FAILED
    } else {
        0
    }
}

/// The report of a run, and whether it could be written to where it was asked for.
fn run(flags: &RunFlags) -> Result<(Report, Result<(), Error>), Error> {
    let plan = flags.plan()?;
    let results = Results::open(flags)?;
    let report = drive(&plan, flags.quiet)?;
    let kept = results.keep(&report);
    Ok((report, kept))
}

fn drive(plan: &Plan, quiet: bool) -> Result<Report, Error> {
    let stop = Stop::new();
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, stop.flag())
            .map_err(|source| Error::System { what: "cannot listen for signals", source })?;
    }
    let mut shown: Box<dyn Progress> = if quiet { Box::new(Silent) } else { Box::new(Live::new()) };
    sluice_loadgen::run(plan, &stop, shown.as_mut())
}
