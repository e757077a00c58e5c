//! A log that keeps count of its commits and of how long they take.

use std::sync::Arc;

use crate::journal::{Batch, Fatal, Log, Ticket};
use crate::metrics::JournalMetrics;
use crate::time::Timestamp;

use super::clock::EngineClock;

/// Around the log of a shard that commits by itself.
pub(super) struct TimedLog<L> {
    pub(super) log: L,
    pub(super) metrics: Arc<JournalMetrics>,
    pub(super) clock: Arc<EngineClock>,
}

impl<L: Log> Log for TimedLog<L> {
    fn stage(&mut self, batch: &mut Batch, now: Timestamp) -> Result<Ticket, Fatal> {
        if batch.is_empty() {
            return self.log.stage(batch, now);
        }
        let records = batch.len() as u64;
        let timing = Timing::begin(&self.metrics, &self.clock);
        let ticket = self.log.stage(batch, now)?;
        timing.end(records, ticket.get());
        Ok(ticket)
    }

    fn staged(&self) -> Ticket {
        self.log.staged()
    }

    fn completed(&self) -> Ticket {
        self.log.completed()
    }

    fn idle(&mut self, now: Timestamp) -> Result<(), Fatal> {
        let timing = Timing::begin(&self.metrics, &self.clock);
        self.log.idle(now)?;
        timing.end_uncounted();
        Ok(())
    }
}

/// One commit under way. The watchdog sees when it began.
pub(super) struct Timing<'a> {
    metrics: &'a JournalMetrics,
    clock: &'a EngineClock,
    began: Timestamp,
}

impl<'a> Timing<'a> {
    pub(super) fn begin(metrics: &'a JournalMetrics, clock: &'a EngineClock) -> Self {
        let began = clock.now();
        metrics.began_us.set(began.micros());
        Self { metrics, clock, began }
    }

    /// What was under way was no commit of records: a mark, or nothing.
    pub(super) fn end_uncounted(self) {
        self.metrics.began_us.set(0);
    }

    /// The commit came back; `durable` is what it made so.
    pub(super) fn end(self, records: u64, durable: u64) {
        let took = self.clock.now().micros_since(self.began);
        self.metrics.began_us.set(0);
        self.metrics.commits.add(1);
        self.metrics.records.add(records);
        self.metrics.commit_us.add(took);
        self.metrics.commit_us_max.set(self.metrics.commit_us_max.get().max(took));
        self.metrics.durable.set(durable);
    }
}
