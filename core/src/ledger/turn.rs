//! One turn of a ledger: what it is told and what comes of it.

use std::sync::Arc;

use crate::command::ReplyTo;
use crate::event::{Event, Meta};
use crate::metrics::ShardMetrics;
use crate::name::SkuId;
use crate::outcome::{Outcome, SaleView};
use crate::router::{Movable, Router, Target};
use crate::time::Timestamp;

use super::protocol::Message;

/// Takes down the events of a turn, in order.
pub trait Recorder {
    /// Takes down one event.
    fn record(&mut self, meta: &Meta, event: &Event<'_>);
}

/// What the ledger is told besides the command.
pub struct Turn<'a> {
    /// Engine time.
    pub now: Timestamp,
    /// The shard that the ledger belongs to.
    pub shard: usize,
    /// Who owns what.
    pub router: &'a Router,
    /// Values that are on their way to another shard; messages about them wait.
    pub away: &'a [Movable],
    /// Orders that became final no later than this may leave; `None`: none may.
    pub retires: Option<Timestamp>,
    /// Whether the disk has room for endings only.
    pub disk_reserve: bool,
    /// How long a hold lasts at least from the first start of its payment, in microseconds.
    pub payment_extension_us: u64,
    /// What the shard counts.
    pub metrics: &'a ShardMetrics,
    /// Where events go.
    pub recorder: &'a mut dyn Recorder,
    /// Where all else goes.
    pub effects: &'a mut Effects,
}

impl Turn<'_> {
    /// Whether this shard owns the target's value now.
    #[inline]
    pub fn is_here(&self, target: Target) -> bool {
        self.router.shard_of(target) == self.shard && self.is_away(target).is_none()
    }

    /// The target's value, if it is on its way to another shard.
    #[inline]
    pub fn is_away(&self, target: Target) -> Option<Movable> {
        if self.away.is_empty() {
            return None;
        }
        let value = match target {
            Target::Slot(slot) => Movable::Slot(slot),
            Target::Bucket(bucket) => Movable::Bucket(bucket),
            Target::Shard(_) => return None,
        };
        self.away.contains(&value).then_some(value)
    }
}

/// What comes of a turn besides events.
#[derive(Default)]
pub struct Effects {
    /// Answers, to be given once everything staged so far is durable (I2).
    pub answers: Vec<(ReplyTo, Outcome)>,
    /// Messages to other values' owners, or to this shard itself, in order.
    pub messages: Vec<Message>,
    /// SKUs whose published page may have changed.
    pub touched: Vec<SkuId>,
    /// Sales that changed.
    pub sales: Vec<Arc<SaleView>>,
}

impl Effects {
    pub(super) fn answer(&mut self, reply: ReplyTo, outcome: Outcome) {
        self.answers.push((reply, outcome));
    }

    pub(super) fn send(&mut self, message: Message) {
        self.messages.push(message);
    }

    /// Notes a SKU whose page may have changed; once per run of the same SKU.
    pub(super) fn touch(&mut self, sku: &SkuId) {
        if self.touched.last() != Some(sku) {
            self.touched.push(sku.clone());
        }
    }
}
