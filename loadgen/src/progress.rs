//! How a run tells that it goes on: the trait, and what is told.
//!
//! Progress is for people; nothing is decided by it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::seconds;
use crate::series::Second;

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Opening connections.
    Connect,
    /// Sending what is not measured yet.
    WarmUp,
    /// Sending what was planned.
    Rush,
    /// Asking again for outcomes that are unknown.
    Settle,
    /// Sending late payments, and looking after orders that wait.
    Follow,
    /// Refunding orders, as an operator.
    Refund,
    /// Waiting for the deadlines of abandoned orders.
    Expiry,
    /// Reading acknowledged orders back.
    ReadBack,
    /// Repeating acknowledged requests with the same key.
    Repeat,
    /// Looking up the keys of refused requests.
    LookUp,
}

impl Phase {
    /// The phase as a word.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Connect => "connecting",
            Phase::WarmUp => "warming up",
            Phase::Rush => "rush",
            Phase::Settle => "settling",
            Phase::Follow => "following up",
            Phase::Refund => "refunding",
            Phase::Expiry => "holds end",
            Phase::ReadBack => "reading back",
            Phase::Repeat => "repeating",
            Phase::LookUp => "looking up",
        }
    }
}

/// How far a phase has come.
#[derive(Clone, Debug)]
pub struct Tick {
    /// The phase.
    pub phase: Phase,
    /// Requests whose outcome is in.
    pub done: u64,
    /// Of how many, where that is known.
    pub total: Option<u64>,
    /// Time since the phase began; a rush begins with its warm-up.
    pub elapsed: Duration,
    /// How long the phase lasts, where time ends it.
    pub whole: Option<Duration>,
    /// Orders accepted so far.
    pub accepted: u64,
    /// Orders refused so far.
    pub refused: u64,
    /// Outcomes not known so far.
    pub unknown: u64,
    /// Refusals so far, by code.
    pub refusals: BTreeMap<String, u64>,
    /// The last second of the rush that is over.
    pub last_second: Option<Second>,
}

impl Tick {
    pub(crate) fn at(phase: Phase, done: u64, total: Option<u64>) -> Tick {
        Tick {
            phase,
            done,
            total,
            elapsed: Duration::ZERO,
            whole: None,
            accepted: 0,
            refused: 0,
            unknown: 0,
            refusals: BTreeMap::new(),
            last_second: None,
        }
    }

    /// How much of the phase is over, from 0 to 1, where that is known.
    pub fn share(&self) -> Option<f64> {
        let by_count = self.total.map(|total| self.done as f64 / total.max(1) as f64);
        let by_time = self
            .whole
            .map(|whole| self.elapsed.as_secs_f64() / whole.as_secs_f64().max(f64::MIN_POSITIVE));
        // Whichever ends the phase first.
        let share = by_count.into_iter().chain(by_time).reduce(f64::max)?;
        Some(share.clamp(0.0, 1.0))
    }
}

/// Told about ten times a second how a run goes.
pub trait Progress {
    /// The run has come this far.
    fn tick(&mut self, tick: &Tick);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn tick(&mut self, _tick: &Tick) {}
}

/// The time between two readings of the clock.
pub(crate) fn passed(from_ns: u64, to_ns: u64) -> Duration {
    Duration::from_secs_f64(seconds(to_ns.saturating_sub(from_ns)))
}
