//! Who takes turns in a contest.

use anyhow::{Result, ensure};
use sluice_loadgen::{Report, Stop};

use crate::contest::Terms;
use crate::server::Server;

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

impl Entrant {
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

    /// One turn, as counted by the client. If it was stopped early, nothing is checked.
    ///
    /// # Errors
    /// If the server cannot be started, or an answer is not what it must be.
    pub fn turn(self, terms: &Terms, stop: &Stop) -> Result<Report> {
        let (server, stock) = match self {
            Self::Bare => (Server::peer(["--peer", "bare"])?, None),
            Self::Checked => (Server::peer(["--peer", "checked"])?, None),
            Self::Cached => (Server::peer(["--peer", "cached"])?, None),
            Self::Sluice => (Server::sluice()?, Some(PLENTY)),
            Self::SoldOut => (Server::sluice()?, Some(1)),
        };
        let report = server.drive(terms, stock, stop)?;
        if !report.run.stopped_early {
            self.judge(&report)?;
        }
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
}
