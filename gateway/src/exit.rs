//! Exit codes: what the process says to whoever started it (sysexits.h).

use std::fmt;
use std::process::ExitCode;

/// Wrong settings.
pub const USAGE: u8 = 64;

/// The journal is damaged.
pub const DAMAGED: u8 = 65;

/// An invariant is broken.
pub const BROKEN: u8 = 70;

/// A write or sync failed, or did not come back.
pub const DISK: u8 = 74;

/// The data directory is in use.
pub const IN_USE: u8 = 75;

/// Ends the process: a part of it has ended without which requests would go unanswered.
pub(crate) fn broken(what: &str) -> ! {
    eprintln!("sluice: {what}");
    std::process::exit(i32::from(BROKEN))
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// With a code and a message for people.
    pub fn new(code: u8, message: impl fmt::Display) -> Self {
        Self { code, message: format!("{message}") }
    }

    /// Prints the message and gives the code.
    pub fn report(&self) -> ExitCode {
        eprintln!("sluice: {}", self.message);
        ExitCode::from(self.code)
    }
}

impl From<crate::settings::SettingsError> for Failure {
    fn from(error: crate::settings::SettingsError) -> Self {
        Self::new(USAGE, error)
    }
}
