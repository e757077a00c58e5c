//! The three bounded lanes in front of a shard (I6).
//!
//! *peer*: messages of other shards, a ring per sender so that their order is kept; *vital*:
//! cancels, operators, reads; *orders*: new orders, which may be refused. Drained in this order.

use crossbeam_queue::ArrayQueue;

use crate::command::{Envelope, Lane};
use crate::ledger::{Message, Value};
use crate::limits::Limits;
use crate::router::Movable;
use crate::time::Timestamp;

use super::parker::Parker;

/// What shards send each other.
#[derive(Debug)]
pub enum Parcel {
    /// A message of the owners' protocol, or a command forwarded.
    Message(Message),
    /// A value will move: send nothing about it until it has.
    Pause(Movable),
    /// Nothing about the value is on its way from this shard any more.
    Paused(Movable),
    /// The value, and its last owner's time: the next one's is no earlier, so that what it decides
    /// of the value comes later.
    Install(Value, Timestamp),
    /// The value has arrived; the routing table says where.
    Moved(Movable),
}

/// The lanes of one shard, shared with everybody who sends to it.
#[derive(Debug)]
pub struct Inbox {
    peers: Vec<ArrayQueue<Vec<Parcel>>>,
    vital: ArrayQueue<Envelope>,
    orders: ArrayQueue<Envelope>,
    parker: Parker,
}

/// How many commands or batches wait in each lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depths {
    /// Batches of messages of other shards.
    pub peer: usize,
    /// Vital commands.
    pub vital: usize,
    /// New orders.
    pub orders: usize,
}

impl Depths {
    /// Whether anything but new orders waits.
    pub fn is_urgent(&self) -> bool {
        self.peer > 0 || self.vital > 0
    }
}

impl Inbox {
    /// Empty lanes for one of `shards` shards.
    pub fn new(limits: &Limits, shards: usize) -> Self {
        Self {
            peers: (0..shards).map(|_| ArrayQueue::new(limits.inbox_peer_max)).collect(),
            vital: ArrayQueue::new(limits.inbox_vital_max),
            orders: ArrayQueue::new(limits.inbox_orders_max),
            parker: Parker::default(),
        }
    }

    /// Puts a command into its lane. Whoever has nothing more to put in wakes the shard.
    ///
    /// # Errors
    /// Gives the command back if the lane is full.
    pub fn try_push(&self, envelope: Envelope) -> Result<(), Envelope> {
        match envelope.command.lane() {
            Lane::Vital => self.vital.push(envelope),
            Lane::Orders => self.orders.push(envelope),
        }
    }

    /// Puts a batch of another shard's into its ring and wakes the shard.
    ///
    /// # Errors
    /// Gives the batch back if the ring is full.
    pub fn try_push_peer(&self, from: usize, batch: Vec<Parcel>) -> Result<(), Vec<Parcel>> {
        self.peers[from].push(batch)?;
        self.parker.wake();
        Ok(())
    }

    /// The next batch of another shard's.
    pub fn pop_peer(&self, from: usize) -> Option<Vec<Parcel>> {
        self.peers[from].pop()
    }

    /// The next vital command.
    pub fn pop_vital(&self) -> Option<Envelope> {
        self.vital.pop()
    }

    /// The next new order.
    pub fn pop_order(&self) -> Option<Envelope> {
        self.orders.pop()
    }

    /// How many wait in each lane.
    pub fn depths(&self) -> Depths {
        Depths {
            peer: self.peers.iter().map(ArrayQueue::len).sum(),
            vital: self.vital.len(),
            orders: self.orders.len(),
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.depths() == Depths::default()
    }

    /// Where the shard's thread sleeps.
    pub fn parker(&self) -> &Parker {
        &self.parker
    }
}
