//! The place in the journal from where an open store is followed, if what it holds is a copy of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::Instant;

use crate::planted::{self, Bug};
use crate::storage::Storage;

use super::super::error::{SinkError, Trouble};
use super::super::source::{Source, find_skips, time_of};
use super::super::store::{Mark, Target};
use super::{Follower, Session};

impl<S: Storage + Clone, T: Target> Follower<S, T> {
    /// Finds the place in the journal behind what an open store has.
    pub(super) async fn begin(
        &mut self,
        store: T::Store,
        mark: &Mark,
    ) -> Result<Session<S, T>, (T::Store, SinkError)> {
        let is_rewound = mark.sequence < self.status.watermark_max.get();
        let judged = self.judge(mark);
        self.status.judged(judged.is_ok());
        if let Err(error) = judged {
            return Err((store, error));
        }
        if mark.sequence > self.status.watermark.get() {
            // What was last asked of it was done, although no answer came: it gets on.
            self.backoff.reset();
        }
        // Whatever else is wrong: this is where it stands.
        self.status.reached(mark.sequence, mark.time);
        match self.source_behind(mark).await {
            Ok(source) => {
                self.status.connections.add(1);
                if is_rewound {
                    self.status.rewinds.add(1);
                }
                if self.status.poison().is_some_and(|poison| poison <= mark.sequence) {
                    // It was stored after all, or passed over, and nobody heard of it.
                    self.status.cured();
                }
                if planted::is(Bug::AttachedTooEarly) {
                    self.attach();
                }
                let now = Instant::now();
                Ok(Session {
                    store,
                    source,
                    stored: mark.sequence,
                    synced: 0,
                    unsynced_bytes: 0,
                    next_at: now,
                    synced_at: now,
                    checked_at: now,
                })
            }
            Err(error) => Err((store, error)),
        }
    }

    /// Whether what the store says it has is a copy of this journal.
    fn judge(&self, mark: &Mark) -> Result<(), SinkError> {
        let journal = self.config.journal.to_string();
        if mark.journal.as_ref().is_some_and(|own| *own != journal) {
            let other = mark.journal.as_deref().unwrap_or_default();
            let what = format!("the store belongs to journal {other}, this one is {journal}");
            return Err(SinkError::new(Trouble::Foreign, what));
        }
        let durable = (self.config.durable)();
        if mark.sequence > durable {
            let what = format!(
                "the store holds records up to {}, the journal ends at {durable}: it is an older \
                 copy of the journal, or another",
                mark.sequence
            );
            return Err(SinkError::new(Trouble::Foreign, what));
        }
        self.judge_past(mark)
    }

    /// The journal behind what the store has.
    async fn source_behind(&self, mark: &Mark) -> Result<Source<S>, SinkError> {
        let config = &self.config;
        let durable = (config.durable)();
        let mut skips = BTreeSet::new();
        find_skips(self.journal(), T::NAME, (mark.sequence, durable), &mut skips).await?;
        if planted::is(Bug::SkipsForgotten) && self.status.rewinds.get() > 0 {
            skips.clear();
        }
        let follow = Arc::clone(&config.durable);
        Source::behind(mark.sequence, self.journal(), skips, follow, config.limits)
    }

    /// Whether the last record that the store has is the journal's: one of the two may have been set
    /// back to an older copy and have gone on from there.
    fn judge_past(&self, mark: &Mark) -> Result<(), SinkError> {
        if mark.sequence == 0 {
            return Ok(());
        }
        let Some(decided) = time_of(self.journal(), mark.sequence)? else { return Ok(()) };
        if decided == mark.time {
            return Ok(());
        }
        let what = format!(
            "the store's record {} was decided at {}, the journal's at {decided}: one of the two was \
             set back and has gone on in another way; rebuild the copy",
            mark.sequence, mark.time
        );
        Err(SinkError::new(Trouble::Foreign, what))
    }
}
