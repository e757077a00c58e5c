//! The handle: how commands get in and what anybody may read without asking a shard.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::command::{Command, Envelope, Lane, ReplyTo};
use crate::id::HashKey;
use crate::journal::Space;
use crate::limits::Limits;
use crate::metrics::{JournalMetrics, ShardMetrics};
use crate::router::Router;
use crate::shard::inbox::{Depths, Inbox};
use crate::shard::reply::Port;
use crate::snapshot::UpkeepMetrics;
use crate::time::Timestamp;
use crate::view::Board;

use super::clock::EngineClock;

/// What all threads of an engine share.
#[derive(Debug)]
pub struct Shared {
    pub(super) cell: u16,
    pub(super) hash_key: HashKey,
    pub(super) limits: Limits,
    pub(super) router: Arc<Router>,
    pub(super) inboxes: Vec<Arc<Inbox>>,
    pub(super) ports: Vec<Arc<Port>>,
    pub(super) board: Arc<Board>,
    pub(super) shard_metrics: Vec<Arc<ShardMetrics>>,
    pub(super) journal_metrics: Arc<JournalMetrics>,
    pub(super) upkeep_metrics: UpkeepMetrics,
    pub(super) space: Space,
    pub(super) clock: Arc<EngineClock>,
    /// No shutdown has begun.
    pub(super) accepting: AtomicBool,
    /// A sync is late.
    pub(super) disk_late: AtomicBool,
}

/// The way into an engine. Cheap to clone; one per gateway worker.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
}

/// Why a command was not taken. Nothing happened, the same command may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// The lane is full.
    #[error("the {0:?} lane is full")]
    LaneFull(Lane),
    /// A shutdown has begun, or the disk does not answer.
    #[error("no new orders are taken")]
    NotAccepting,
}

impl Handle {
    /// Puts a command into the inbox of the shard that decides it. The answer goes to `reply`,
    /// once, unless this returns an error.
    ///
    /// # Errors
    /// [`Busy`]: nothing happened.
    pub fn submit(&self, command: Command, reply: ReplyTo, arrived: Timestamp) -> Result<(), Busy> {
        self.wake(self.submit_asleep(command, reply, arrived)?);
        Ok(())
    }

    /// As [`Handle::submit`], but lets the shard sleep on. Gives the shard's number; whoever has
    /// submitted the last of several commands wakes it, once for all of them.
    ///
    /// # Errors
    /// [`Busy`]: nothing happened.
    pub fn submit_asleep(
        &self,
        command: Command,
        reply: ReplyTo,
        arrived: Timestamp,
    ) -> Result<usize, Busy> {
        let lane = command.lane();
        if lane == Lane::Orders && !self.is_accepting() {
            return Err(Busy::NotAccepting);
        }
        let shard = self.shared.router.shard_of(command.target());
        let pushed = self.shared.inboxes[shard].try_push(Envelope { command, reply, arrived });
        pushed.map_err(|_| {
            let metrics = &self.shared.shard_metrics[shard];
            match lane {
                Lane::Orders => metrics.orders_lane_full.add_shared(1),
                Lane::Vital => metrics.vital_lane_full.add_shared(1),
            }
            Busy::LaneFull(lane)
        })?;
        Ok(shard)
    }

    /// Wakes a shard if it sleeps.
    #[inline]
    pub fn wake(&self, shard: usize) {
        self.shared.inboxes[shard].parker().wake();
    }

    /// Engine time.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Whether new orders are taken: no shutdown has begun, and the disk answers.
    pub fn is_accepting(&self) -> bool {
        self.shared.accepting.load(Ordering::Acquire)
            && !self.shared.disk_late.load(Ordering::Acquire)
    }

    /// Takes no new orders from now on; all else goes on.
    pub fn stop_accepting(&self) {
        self.shared.accepting.store(false, Ordering::Release);
    }

    /// The number of this cell, for order ids.
    pub fn cell(&self) -> u16 {
        self.shared.cell
    }

    /// The key by which buyers and idempotency keys are hashed.
    pub fn hash_key(&self) -> &HashKey {
        &self.shared.hash_key
    }

    /// The ceilings.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// The published SKU pages.
    pub fn board(&self) -> &Board {
        &self.shared.board
    }

    /// The reply port of one worker.
    pub fn port(&self, number: usize) -> Arc<Port> {
        Arc::clone(&self.shared.ports[number])
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shared.inboxes.len()
    }

    /// What one shard counts.
    pub fn shard_metrics(&self, shard: usize) -> &ShardMetrics {
        &self.shared.shard_metrics[shard]
    }

    /// What the journal counts.
    pub fn journal_metrics(&self) -> &JournalMetrics {
        &self.shared.journal_metrics
    }

    /// Whether the disk has room for endings only: new orders are refused.
    pub fn is_disk_full(&self) -> bool {
        self.shared.space.is_low()
    }

    /// What snapshots and trimming count.
    pub fn upkeep_metrics(&self) -> &UpkeepMetrics {
        &self.shared.upkeep_metrics
    }

    /// How many commands wait in front of one shard.
    pub fn depths(&self, shard: usize) -> Depths {
        self.shared.inboxes[shard].depths()
    }

    /// Which shard owns what.
    pub fn router(&self) -> &Router {
        &self.shared.router
    }

    /// How far engine time is from the wall clock, in microseconds; positive if engine time is ahead.
    pub fn clock_offset_us(&self) -> i64 {
        self.shared.clock.offset_us()
    }
}
