//! When to look through the slots for something that time brings about.

use crate::time::Timestamp;

/// When to look next, and where a look that was cut short goes on.
#[derive(Debug)]
pub(super) struct Agenda {
    /// How often to look while something is due, in microseconds.
    every_us: u64,
    /// Nothing is due before this.
    next_due: Timestamp,
    looked_at: Timestamp,
    resume: Option<usize>,
}

impl Agenda {
    /// Nothing is due before `next_due`, as far as anybody said.
    pub(super) const fn new(every_us: u64, next_due: Timestamp) -> Self {
        Self { every_us, next_due, looked_at: Timestamp::ZERO, resume: None }
    }

    /// When to look.
    pub(super) fn next_due(&self) -> Timestamp {
        if self.resume.is_some() {
            return Timestamp::ZERO;
        }
        self.next_due.max(self.looked_at.plus_micros(self.every_us))
    }

    /// Something is due at `due`.
    #[inline]
    pub(super) fn note(&mut self, due: Timestamp) {
        self.next_due = self.next_due.min(due);
    }

    /// Begins a look, if it is time for one: the slot to begin with. Whoever looks notes again what
    /// is due later.
    pub(super) fn begin(&mut self, now: Timestamp) -> Option<usize> {
        if now < self.next_due() {
            return None;
        }
        Some(self.resume.take().unwrap_or_else(|| {
            self.next_due = Timestamp::MAX;
            0
        }))
    }

    /// The look ends here and goes on with the slot `index`.
    pub(super) fn cut_short(&mut self, index: usize) {
        self.resume = Some(index);
    }

    /// The look is over.
    pub(super) fn end(&mut self, now: Timestamp) {
        self.looked_at = now;
    }
}
