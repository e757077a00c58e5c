//! How a sink is doing, for whoever asks: one writer, many readers.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::event::SinkName;
use crate::metrics::Counter;
use crate::planted::{self, Bug};
use crate::time::Timestamp;

use super::error::{SinkError, Trouble};

/// What a sink is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SinkState {
    /// It opens its store.
    Connecting = 0,
    /// It follows the journal.
    Following = 1,
    /// Its store gave trouble; it tries again after a while.
    Waiting = 2,
    /// Nothing but a person can help; it looks now and then whether somebody has.
    Stopped = 3,
}

impl SinkState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Connecting, Self::Following, Self::Waiting, Self::Stopped];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Following => "following",
            Self::Waiting => "waiting",
            Self::Stopped => "stopped",
        }
    }
}

/// Of a store that has not been opened yet.
const UNJUDGED: u8 = u8::MAX;

/// What a sink shows. Only the sink writes.
#[derive(Debug)]
pub struct SinkStatus {
    name: SinkName,
    state: AtomicU8,
    /// The highest sequence that the store has, as the store last said.
    pub watermark: Counter,
    /// The highest sequence that the store has synced.
    pub synced: Counter,
    /// The highest sequence that the store ever said it has, since the server started.
    pub watermark_max: Counter,
    /// When the record at the watermark was decided, in microseconds of engine time; 0 for none.
    pub watermark_time_us: Counter,
    /// When somebody first asked for the lag of a store with nothing in it; 0 before that.
    empty_since_us: Counter,
    /// Records stored.
    pub records: Counter,
    /// Rows added or changed.
    pub rows: Counter,
    /// Transactions.
    pub batches: Counter,
    /// Records of the last transaction.
    pub batch_records: Counter,
    /// Times that the store was opened.
    pub connections: Counter,
    /// Times that the store had fewer records than before.
    pub rewinds: Counter,
    troubles: [Counter; Trouble::ALL.len()],
    /// Whether the store is a copy of this journal, and not of another one or another past.
    is_own: AtomicU8,
    last_error: Mutex<Option<String>>,
    read_error: Mutex<Option<String>>,
    poison: Mutex<Option<Poisoned>>,
    /// When it last had all that was durable.
    caught_up_at: Mutex<Option<Instant>>,
}

/// The record that a sink has stopped at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Poisoned {
    sequence: u64,
    /// How many are about to say in the journal that it is to be passed over.
    promises: u32,
    /// The sink is trying it again.
    is_tried: bool,
}

impl SinkStatus {
    /// Of a sink that has not begun.
    pub fn new(name: SinkName) -> Self {
        Self {
            name,
            state: AtomicU8::new(SinkState::Connecting as u8),
            watermark: Counter::default(),
            synced: Counter::default(),
            watermark_max: Counter::default(),
            watermark_time_us: Counter::default(),
            empty_since_us: Counter::default(),
            records: Counter::default(),
            rows: Counter::default(),
            batches: Counter::default(),
            batch_records: Counter::default(),
            connections: Counter::default(),
            rewinds: Counter::default(),
            troubles: Default::default(),
            is_own: AtomicU8::new(UNJUDGED),
            last_error: Mutex::new(None),
            read_error: Mutex::new(None),
            poison: Mutex::new(None),
            caught_up_at: Mutex::new(None),
        }
    }

    /// The sink's name.
    pub const fn name(&self) -> SinkName {
        self.name
    }

    /// What it is about.
    pub fn state(&self) -> SinkState {
        SinkState::ALL[usize::from(self.state.load(Ordering::Acquire))]
    }

    /// How often there was trouble of a kind.
    pub fn troubles(&self, trouble: Trouble) -> u64 {
        self.troubles[trouble as usize].get()
    }

    /// What went wrong last; `None` once all is well again.
    pub fn last_error(&self) -> Option<String> {
        self.last_trouble().clone()
    }

    /// Whether the store, when it was opened last, was found to be a copy of this journal; `None` if it
    /// has not been opened yet. Otherwise what stands there may never have happened.
    pub fn is_own(&self) -> Option<bool> {
        match self.is_own.load(Ordering::Acquire) {
            UNJUDGED => None,
            own => Some(own == u8::from(true)),
        }
    }

    /// Says whether what has been opened is a copy of this journal.
    pub(super) fn judged(&self, is_own: bool) {
        self.is_own.store(u8::from(is_own), Ordering::Release);
    }

    /// What is wrong with the copy for those who read it; `None` if nothing is, or nobody looks: of
    /// Redis alone it is looked at, once a second.
    pub fn read_error(&self) -> Option<String> {
        self.read_trouble().clone()
    }

    /// Says what is wrong for readers. Says whether it is other than before.
    pub(super) fn read(&self, wrong: Option<String>) -> bool {
        let mut last = self.read_trouble();
        let changed = *last != wrong;
        *last = wrong;
        changed
    }

    fn read_trouble(&self) -> MutexGuard<'_, Option<String>> {
        self.read_error.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_trouble(&self) -> MutexGuard<'_, Option<String>> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record that its store does not take and that it waits for, if there is one.
    pub fn poison(&self) -> Option<u64> {
        self.poisoned_at().map(|poison| poison.sequence)
    }

    /// Keeps the sink from trying `sequence` again, if that is what it waits for and not just tries: whoever asks is
    /// about to say in the journal that it is to be passed over, or takes it back by
    /// [`SinkStatus::withdraw_promise`].
    pub fn promise_skip(&self, sequence: u64) -> bool {
        let mut poison = self.poisoned_at();
        match poison.as_mut() {
            Some(poison) if poison.sequence == sequence && !poison.is_tried => {
                poison.promises += 1;
                true
            }
            _ => false,
        }
    }

    /// Takes one promise about `sequence` back: nothing was said in the journal. Once all are, the sink may try its
    /// record again.
    pub fn withdraw_promise(&self, sequence: u64) {
        let mut poison = self.poisoned_at();
        if let Some(poison) = poison.as_mut().filter(|poison| poison.sequence == sequence) {
            poison.promises = poison.promises.saturating_sub(1);
        }
    }

    /// Records that are durable up to `durable` and not stored yet.
    pub fn lag_records(&self, durable: u64) -> u64 {
        durable.saturating_sub(self.watermark.get())
    }

    /// For how long at most durable records have waited to be stored, in microseconds; 0 if none
    /// does. Since the last stored record was decided, or nothing was lacking, whichever is later; for
    /// a store with nothing in it, since somebody asked first.
    pub fn lag_us(&self, durable: u64, now: Timestamp) -> u64 {
        if self.lag_records(durable) == 0 {
            return 0;
        }
        let stored = now.micros_since(Timestamp::from_micros(self.lags_since_us(now)));
        // What is not stored is newer than the last moment at which nothing was lacking.
        let caught_up = *self.caught_up_at.lock().unwrap_or_else(PoisonError::into_inner);
        let since = caught_up.map_or(u64::MAX, |at| at.elapsed().as_micros() as u64);
        stored.min(since)
    }

    fn lags_since_us(&self, now: Timestamp) -> u64 {
        let stored = self.watermark_time_us.get();
        if stored != 0 {
            return stored;
        }
        if self.empty_since_us.get() == 0 {
            self.empty_since_us.set(now.micros());
        }
        self.empty_since_us.get()
    }

    fn poisoned_at(&self) -> MutexGuard<'_, Option<Poisoned>> {
        self.poison.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It has stopped at a record.
    pub(super) fn poisoned(&self, sequence: u64) {
        *self.poisoned_at() = Some(Poisoned { sequence, promises: 0, is_tried: false });
    }

    /// The record that its store does not take, if it is not being tried.
    pub(super) fn waits_at(&self) -> Option<u64> {
        let poison = self.poisoned_at();
        poison.as_ref().filter(|poison| !poison.is_tried).map(|poison| poison.sequence)
    }

    /// Tries its record again, unless that is promised to be passed over. Says whether it may.
    pub(super) fn may_try_again(&self) -> bool {
        let mut poison = self.poisoned_at();
        let may =
            |poison: &&mut Poisoned| poison.promises == 0 || planted::is(Bug::PromisedRecordTried);
        let Some(poison) = poison.as_mut().filter(may) else {
            return false;
        };
        poison.is_tried = true;
        true
    }

    /// The record is behind it.
    pub(super) fn cured(&self) {
        *self.poisoned_at() = None;
    }

    /// It has all that is durable.
    pub(super) fn caught_up(&self) {
        let mut at = self.caught_up_at.lock().unwrap_or_else(PoisonError::into_inner);
        *at = Some(Instant::now());
    }

    pub(super) fn enter(&self, state: SinkState) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// The store says that it has everything up to `sequence`.
    pub(super) fn reached(&self, sequence: u64, time: Timestamp) {
        self.watermark_time_us.set(time.micros());
        self.watermark.set(sequence);
        self.watermark_max.set(self.watermark_max.get().max(sequence));
    }

    /// Counts trouble. Says whether it is other than what went wrong before.
    pub(super) fn failed(&self, error: &SinkError) -> bool {
        if let Some(poison) = self.poisoned_at().as_mut() {
            // Whatever it was that went wrong: it is not being tried any more.
            poison.is_tried = false;
        }
        self.troubles[error.trouble as usize].add(1);
        self.replace_error(Some(error.what.clone()))
    }

    /// All is well. Says whether it was not before.
    pub(super) fn well(&self) -> bool {
        self.replace_error(None)
    }

    fn replace_error(&self, error: Option<String>) -> bool {
        let mut last = self.last_trouble();
        let changed = *last != error;
        *last = error;
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::{SinkError, SinkState, SinkStatus, Trouble};
    use crate::event::SinkName;
    use crate::time::Timestamp;

    #[test]
    fn lag_is_what_is_durable_and_not_stored() {
        let status = SinkStatus::new(SinkName::Sql);
        let at = Timestamp::from_micros;
        assert_eq!((status.lag_records(0), status.lag_us(0, at(9))), (0, 0));
        status.reached(5, at(1_000));
        assert_eq!((status.lag_records(7), status.lag_us(7, at(4_000))), (2, 3_000));
        assert_eq!((status.lag_records(5), status.lag_us(5, at(4_000))), (0, 0));
        status.reached(2, at(500));
        assert_eq!((status.watermark.get(), status.watermark_max.get()), (2, 5));
    }

    #[test]
    fn the_same_trouble_again_is_counted_and_not_news() {
        let status = SinkStatus::new(SinkName::Sql);
        let error = SinkError::new(Trouble::Locked, "locked");
        assert!(status.failed(&error) && !status.failed(&error));
        assert_eq!(status.troubles(Trouble::Locked), 2);
        assert!(status.well() && !status.well());
        assert_eq!((status.last_error(), status.state()), (None, SinkState::Connecting));
    }
}
