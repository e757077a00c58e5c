//! How a run tells that it goes on: the trait, and the bar on a terminal.
//!
//! Progress is for people; nothing is decided by it.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::clock::seconds;

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Opening connections.
    Connect,
    /// Sending what was planned.
    Rush,
    /// Asking again for outcomes that are unknown.
    Settle,
    /// Reading acknowledged orders back.
    ReadBack,
    /// Repeating acknowledged requests with the same key.
    Repeat,
}

impl Phase {
    /// The phase as a word.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Connect => "connecting",
            Phase::Rush => "rush",
            Phase::Settle => "settling",
            Phase::ReadBack => "reading back",
            Phase::Repeat => "repeating",
        }
    }
}

/// How far a phase has come.
#[derive(Clone, Copy, Debug)]
pub struct Tick {
    /// The phase.
    pub phase: Phase,
    /// Requests whose outcome is in.
    pub done: u64,
    /// Of how many, where that is known.
    pub total: Option<u64>,
    /// Time since the phase began.
    pub elapsed: Duration,
    /// Orders accepted so far.
    pub accepted: u64,
    /// Orders refused so far.
    pub refused: u64,
    /// Outcomes not known so far.
    pub unknown: u64,
}

impl Tick {
    pub(crate) fn at(phase: Phase, done: u64, total: Option<u64>) -> Tick {
        Tick { phase, done, total, elapsed: Duration::ZERO, accepted: 0, refused: 0, unknown: 0 }
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

/// A line on the terminal, taken away when dropped; nothing where standard error is no terminal.
pub struct Bar {
    bar: ProgressBar,
    last_done: (Phase, u64, Duration),
}

impl Bar {
    /// A bar on standard error.
    pub fn new() -> Bar {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{prefix:>12} [{bar:30}] {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Bar { bar, last_done: (Phase::Connect, 0, Duration::ZERO) }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Default for Bar {
    fn default() -> Bar {
        Bar::new()
    }
}

impl Progress for Bar {
    fn tick(&mut self, tick: &Tick) {
        let (phase, done, at) = self.last_done;
        let (done, at) = if phase == tick.phase { (done, at) } else { (0, Duration::ZERO) };
        let passed_s = tick.elapsed.saturating_sub(at).as_secs_f64();
        let rate =
            if passed_s > 0.0 { tick.done.saturating_sub(done) as f64 / passed_s } else { 0.0 };
        self.last_done = (tick.phase, tick.done, tick.elapsed);
        self.bar.set_prefix(tick.phase.name());
        self.bar.set_length(tick.total.unwrap_or(0).max(1));
        self.bar.set_position(tick.done);
        let message = match tick.phase {
            Phase::Rush => format!(
                "{:.0} s  {} answered ({rate:.0}/s)  {} accepted  {} refused  {} unknown",
                tick.elapsed.as_secs_f64(),
                tick.done,
                tick.accepted,
                tick.refused,
                tick.unknown
            ),
            _ => format!("{} of {}", tick.done, tick.total.unwrap_or(0)),
        };
        self.bar.set_message(message);
    }
}

/// The time between two readings of the clock.
pub(crate) fn passed(from_ns: u64, to_ns: u64) -> Duration {
    Duration::from_secs_f64(seconds(to_ns.saturating_sub(from_ns)))
}
