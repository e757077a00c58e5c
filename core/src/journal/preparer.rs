//! Segments made ahead of need. Owns the files that are being made; never touches a used one.
//!
//! Two sides make segments: the [`Preparer`], stepped by a helper thread, and the writer itself
//! when none is ready in time. Both zero a file without knowing its index. To give it one they
//! need the *naming right*, an atomic flag: whoever holds it has the next index, and keeps the
//! right until the segment has its name (and, at the preparer, lies in the channel). So indexes
//! are given out without a gap and arrive in order. The preparer never waits for the right: it
//! comes back at its next step. The writer waits only while the preparer is between header and
//! delivery, and then on the channel: nobody spins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::error::Fatal;
use super::segment::{self, Blank, Ready};
use super::space::Space;
use crate::storage::Storage;

/// Bytes of zeros that are written and synced at a time. The journal's own syncs wait for what is
/// on its way to the disk: docs/measurements.md has what other lengths cost them.
const CHUNK_BYTES: usize = 64 << 10;

/// Longest rest between two steps, so that a slow disk does not keep segments from being made.
const REST_MAX: Duration = Duration::from_millis(50);

/// What both sides share.
#[derive(Debug)]
struct Naming {
    held: AtomicBool,
    next_index: AtomicU64,
}

/// How segments are to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) cell: u16,
    pub(super) seed: u64,
    pub(super) length: u64,
    pub(super) ahead: usize,
    /// Segments beyond these that are kept for endings when the disk is full.
    pub(super) reserve: usize,
}

/// The writer's side: takes segments that are ready, makes one itself if none is.
pub(super) struct Supply<S: Storage> {
    storage: S,
    plan: Plan,
    naming: Arc<Naming>,
    ready: Receiver<Result<Ready<S::File>, Fatal>>,
    taken: Sender<()>,
    space: Space,
}

/// The helper thread's side: makes segments until enough are ready.
pub struct Preparer<S: Storage> {
    storage: S,
    plan: Plan,
    naming: Arc<Naming>,
    ready: Sender<Result<Ready<S::File>, Fatal>>,
    taken: Receiver<()>,
    blank: Option<(Blank<S::File>, bool)>,
    zeros: Vec<u8>,
    space: Space,
    failed: Option<Fatal>,
}

/// What a step of the [`Preparer`] found to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preparing {
    /// There is more to do: step again.
    More,
    /// Enough segments are ready: [`Preparer::wait`].
    Idle,
    /// There is no room for another: wait a little.
    Full,
    /// The writer is gone: end the thread.
    Closed,
}

/// Both sides, for segments from `next_index` on.
pub(super) fn supply<S: Storage + Clone>(
    storage: S,
    plan: Plan,
    next_index: u64,
    space: &Space,
) -> (Supply<S>, Preparer<S>) {
    let naming =
        Arc::new(Naming { held: AtomicBool::new(false), next_index: AtomicU64::new(next_index) });
    // One more than can be ready, so that an error always finds room.
    let (ready_sender, ready) = bounded(plan.ahead + plan.reserve + 1);
    let (taken, taken_receiver) = bounded(1);
    let preparer = Preparer {
        storage: storage.clone(),
        plan,
        naming: Arc::clone(&naming),
        ready: ready_sender,
        taken: taken_receiver,
        blank: None,
        zeros: Vec::new(),
        space: space.clone(),
        failed: None,
    };
    (Supply { storage, plan, naming, ready, taken, space: space.clone() }, preparer)
}

impl<S: Storage> Supply<S> {
    /// The next segment, durable with its name.
    pub(super) fn take(&self) -> Result<Ready<S::File>, Fatal> {
        let segment = self.take_or_make()?;
        self.space.taken(self.ready.len(), self.plan.reserve);
        // Full means that the preparer has a call waiting already; gone is no concern either.
        let _ = self.taken.try_send(());
        Ok(segment)
    }

    fn take_or_make(&self) -> Result<Ready<S::File>, Fatal> {
        if let Some(delivered) = self.delivered() {
            return delivered;
        }
        if self.naming.held.swap(true, Ordering::Acquire) {
            // The preparer is about to deliver a segment or an error. If it dies instead, the
            // channel says so.
            return self.ready.recv().unwrap_or(Err(Fatal::Closed));
        }
        // It may have delivered between the look and the grasp.
        let result = self.delivered().unwrap_or_else(|| {
            let index = self.naming.next_index.fetch_add(1, Ordering::Relaxed);
            let Plan { cell, seed, length, .. } = self.plan;
            segment::make(&self.storage, cell, index, segment::id(seed, index), length)
        });
        self.naming.held.store(false, Ordering::Release);
        result
    }

    fn delivered(&self) -> Option<Result<Ready<S::File>, Fatal>> {
        // Nothing there or nobody there: either way the writer helps itself.
        self.ready.try_recv().ok()
    }
}

impl<S: Storage> Preparer<S> {
    /// Does one bounded piece of work: begins a file, zeroes a chunk of it, or finishes it.
    ///
    /// # Errors
    /// What the disk refused; the writer hears of it when it needs the segment. Every later call
    /// returns the same error and does nothing.
    pub fn step(&mut self) -> Result<Preparing, Fatal> {
        if let Some(fatal) = &self.failed {
            return Err(fatal.clone());
        }
        self.step_unfailed().inspect_err(|fatal| {
            self.failed = Some(fatal.clone());
            // Room is kept for this one; a writer that is gone needs no news.
            let _ = self.ready.try_send(Err(fatal.clone()));
        })
    }

    /// How long to leave the disk to the journal after a step that took so long: not at all when no
    /// segment is ready, twice as long with one, eight times with two.
    pub fn rest_after(&self, took: Duration) -> Duration {
        let ready = self.ready.len() as u32;
        (took * 2 * ready.pow(2)).min(REST_MAX)
    }

    /// Waits until the writer took a segment, at most `timeout`.
    pub fn wait(&self, timeout: Duration) -> Preparing {
        match self.taken.recv_timeout(timeout) {
            Ok(()) => Preparing::More,
            Err(RecvTimeoutError::Timeout) => Preparing::Idle,
            Err(RecvTimeoutError::Disconnected) => Preparing::Closed,
        }
    }

    fn step_unfailed(&mut self) -> Result<Preparing, Fatal> {
        match self.blank.take() {
            None if self.ready.len() >= self.plan.ahead + self.plan.reserve => Ok(Preparing::Idle),
            None => {
                if self.zeros.is_empty() {
                    self.zeros = segment::zeros(self.plan.length, CHUNK_BYTES);
                }
                let expected = self.naming.next_index.load(Ordering::Relaxed);
                let created = Blank::create(&self.storage, "ahead", expected, self.plan.length);
                let mut blank = match created {
                    Ok(blank) => blank,
                    Err(fatal) => return self.found_no_room(fatal),
                };
                match blank.allocate() {
                    Ok(()) => self.blank = Some((blank, false)),
                    Err(fatal) => return self.give_up(blank, fatal),
                }
                Ok(Preparing::More)
            }
            Some((mut blank, false)) => {
                match blank.zero_chunk(&self.zeros).and_then(|zeroed| {
                    blank.sync_chunk()?;
                    Ok(zeroed)
                }) {
                    Ok(zeroed) => self.blank = Some((blank, zeroed)),
                    Err(fatal) => return self.give_up(blank, fatal),
                }
                Ok(Preparing::More)
            }
            Some((blank, true)) => self.deliver(blank),
        }
    }

    /// Lets go of a file for which there is no room. Any other error is final.
    fn give_up(&mut self, blank: Blank<S::File>, fatal: Fatal) -> Result<Preparing, Fatal> {
        if fatal.is_no_space() {
            blank.remove(&self.storage)?;
        }
        self.found_no_room(fatal)
    }

    fn found_no_room(&self, fatal: Fatal) -> Result<Preparing, Fatal> {
        if !fatal.is_no_space() {
            return Err(fatal);
        }
        self.space.tried(false, self.ready.len(), self.plan.reserve);
        Ok(Preparing::Full)
    }

    fn deliver(&mut self, blank: Blank<S::File>) -> Result<Preparing, Fatal> {
        if self.naming.held.swap(true, Ordering::Acquire) {
            self.blank = Some((blank, true));
            return Ok(Preparing::Idle);
        }
        let index = self.naming.next_index.fetch_add(1, Ordering::Relaxed);
        let id = segment::id(self.plan.seed, index);
        // On an error the right is kept for ever: a writer that is in need waits on the channel,
        // where the error arrives, and makes no segment behind the gap.
        let ready = blank.finish(&self.storage, self.plan.cell, index, id)?;
        let sent = self.ready.try_send(Ok(ready));
        self.naming.held.store(false, Ordering::Release);
        self.space.tried(true, self.ready.len(), self.plan.reserve);
        match sent {
            Ok(()) => Ok(Preparing::More),
            Err(TrySendError::Full(_)) => unreachable!("never more than `ahead` are begun"),
            Err(TrySendError::Disconnected(_)) => Ok(Preparing::Closed),
        }
    }
}
