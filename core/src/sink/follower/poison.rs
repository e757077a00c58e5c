//! Records that the store does not take: found among others, waited for, passed over.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::storage::Storage;

use super::super::error::{SinkError, Trouble};
use super::super::source::{Poison, find_skips};
use super::super::store::{Extent, Target};
use super::{End, Follower, STOPPED_LOOK_EVERY};

/// How often it looks whether its poison is to be passed over.
const SKIP_LOOK_EVERY: Duration = Duration::from_millis(100);

impl<S: Storage + Clone, T: Target> Follower<S, T> {
    /// Says what the store does not take, and waits.
    pub(super) async fn stopped_by(&mut self, poison: Poison) {
        self.stopped(&poison.error);
        self.status.poisoned(poison.sequence);
        // What keeps nobody's word from being looked for is said when it is looked for again.
        let _ = self.word_or_time(poison.sequence, Instant::now() + STOPPED_LOOK_EVERY).await;
    }

    /// Waits until an operator has said that a record is to be passed over, or until it is time to
    /// try it again and nobody is about to say so.
    ///
    /// # Errors
    /// The journal cannot be read, so that nobody's word can be looked for.
    pub(super) async fn word_or_time(
        &mut self,
        sequence: u64,
        again_at: Instant,
    ) -> Result<(), SinkError> {
        let mut searched = sequence;
        let mut skips = BTreeSet::new();
        while !self.is_asked() && !skips.contains(&sequence) {
            // A word that was given is waited for, so that nobody stores what is to be left out.
            if Instant::now() >= again_at && self.status.may_try_again() {
                break;
            }
            let durable = (self.config.durable)();
            find_skips(self.journal(), T::NAME, (searched, durable), &mut skips).await?;
            searched = durable.max(searched);
            self.wait(SKIP_LOOK_EVERY).await;
        }
        Ok(())
    }
}

/// What a batch that was refused comes to: its only record is poison; of several, one is.
pub(super) fn refused(extent: &Extent, error: &SinkError) -> End {
    if extent.records() > 1 {
        return End::Singly(extent.after..extent.through);
    }
    let sequence = extent.through;
    let what = format!("record {sequence} cannot be stored: {}", error.what);
    End::Poison(Poison { sequence, error: SinkError::new(Trouble::Poison, what) })
}
