//! Replay: the journal's records become a ledger.
//!
//! Stocks are rebuilt by whoever reads the journal. Homes, which are far larger, are rebuilt a few
//! orders at a time, so that their cache misses overlap instead of queueing up; and on a thread of
//! their own once the journal has turned out to be long.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use crate::event::record::{self, LastNames};
use crate::event::{Event, Genesis, Meta};
use crate::journal::RecordError;
use crate::ledger::{HomeEvent, Ledger};
use crate::limits::Limits;
use crate::quantity::Sequence;
use crate::snapshot::Loaded;
use crate::time::Timestamp;

/// Orders that are looked up before the first of them is applied.
const LOOKAHEAD: usize = 16;

/// Orders that cross to the thread of the homes together.
const CROSSING: usize = 128;

/// Crossings that may wait there.
const CROSSINGS_MAX: usize = 16;

/// Records after which the homes get a thread.
const LONG: u64 = 20_000;

/// A ledger that is being rebuilt.
pub struct Replay {
    /// Its stocks, and its homes while these have no thread.
    ledger: Ledger,
    homes: Option<HomesThread>,
    genesis: Option<Genesis>,
    last_time: Timestamp,
    last_sequence: u64,
    names: LastNames,
    /// What is still to be applied to the homes.
    waiting: Vec<Applied>,
    long: u64,
}

/// An event that the stocks have seen.
struct Applied {
    sequence: Sequence,
    meta: Meta,
    event: HomeEvent,
}

/// The thread that rebuilds the homes.
struct HomesThread {
    sender: SyncSender<Vec<Applied>>,
    /// Emptied lists come back, for their memory.
    spare: Receiver<Vec<Applied>>,
    thread: JoinHandle<Ledger>,
    last_sequence: Arc<AtomicU64>,
}

impl Replay {
    /// Of a journal that has not begun.
    pub fn new(limits: Limits) -> Self {
        Self::with_thread_after(LONG, limits)
    }

    /// Of a journal that goes on behind a snapshot.
    pub fn behind(loaded: Loaded) -> Self {
        let Loaded { ledger, genesis, last_time, base, .. } = loaded;
        let last_sequence = base.next_sequence - 1;
        Self { genesis: Some(genesis), last_time, last_sequence, ..Self::over(ledger, LONG) }
    }

    fn with_thread_after(long: u64, limits: Limits) -> Self {
        Self::over(Ledger::new(limits), long)
    }

    fn over(ledger: Ledger, long: u64) -> Self {
        Self {
            ledger,
            homes: None,
            genesis: None,
            last_time: Timestamp::ZERO,
            last_sequence: 0,
            names: LastNames::default(),
            waiting: Vec::with_capacity(CROSSING),
            long,
        }
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// Which record makes the journal unreadable for this program, and why.
    ///
    /// # Panics
    /// If a record contradicts the state (I1, I3, I10).
    pub fn take(&mut self, sequence: Sequence, record: &[u8]) -> Result<(), RecordError> {
        self.last_sequence = sequence.get();
        let unreadable = |what: String| RecordError::new(format!("sequence {sequence}: {what}"));
        let decoded = record::decode_next(record, &mut self.names);
        let (meta, event) = decoded.map_err(|error| unreadable(error.to_string()))?;
        begin(&mut self.genesis, &event).map_err(|what| unreadable(what.to_owned()))?;
        self.last_time = self.last_time.max(meta.time);
        self.ledger.replay_stocks(&event).map_err(unreadable)?;
        if let Some(event) = HomeEvent::of(event) {
            self.waiting.push(Applied { sequence, meta, event });
        }
        let most = if self.homes.is_some() { CROSSING } else { LOOKAHEAD };
        if self.waiting.len() >= most {
            self.flush();
        }
        Ok(())
    }

    /// Applies what waits.
    ///
    /// # Panics
    /// As [`Replay::take`].
    pub fn settle(&mut self) {
        self.flush();
        self.join();
    }

    /// The ledger, the journal's identity and its last time.
    ///
    /// # Panics
    /// As [`Replay::take`], for what still waits.
    pub fn finish(mut self) -> (Ledger, Option<Genesis>, Timestamp) {
        self.settle();
        (self.ledger, self.genesis, self.last_time)
    }

    /// The sequence of the last record that was begun to be applied; after a panic, of the record
    /// that it is about.
    pub fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Applies what waits to the homes, or sends it to their thread.
    fn flush(&mut self) {
        if self.homes.is_none() && self.last_sequence > self.long {
            self.homes = Some(HomesThread::start(self.ledger.take_homes()));
        }
        let spare = self.homes.as_ref().and_then(|homes| homes.spare.try_recv().ok());
        let spare = spare.unwrap_or_else(|| Vec::with_capacity(CROSSING));
        let mut waiting = std::mem::replace(&mut self.waiting, spare);
        if let Some(homes) = &self.homes {
            if homes.sender.send(waiting).is_err() {
                // It has panicked, which this tells.
                self.join();
            }
            return;
        }
        let through = self.last_sequence;
        apply(&mut self.ledger, &waiting, |sequence| self.last_sequence = sequence);
        self.last_sequence = through;
        waiting.clear();
        self.waiting = waiting;
    }

    /// Takes the homes back from their thread, if they have one. A panic there goes on here.
    fn join(&mut self) {
        let Some(homes) = self.homes.take() else { return };
        let HomesThread { sender, thread, last_sequence, .. } = homes;
        drop(sender);
        match thread.join() {
            Ok(homes) => self.ledger.put_homes(homes),
            Err(panic) => {
                self.last_sequence = last_sequence.load(Ordering::Acquire);
                resume_unwind(panic)
            }
        }
    }
}

impl HomesThread {
    fn start(mut homes: Ledger) -> Self {
        let (sender, receiver): (_, Receiver<Vec<Applied>>) = sync_channel(CROSSINGS_MAX);
        let (emptied, spare) = sync_channel(CROSSINGS_MAX);
        let last_sequence = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&last_sequence);
        let body = move || {
            for mut events in receiver {
                for group in events.chunks(LOOKAHEAD) {
                    apply(&mut homes, group, |sequence| seen.store(sequence, Ordering::Release));
                }
                events.clear();
                // If nobody wants it back, it goes.
                let _ = emptied.try_send(events);
            }
            homes
        };
        let thread = thread::Builder::new().name("homes".to_owned()).spawn(body);
        let thread = thread.expect("the system gives a thread");
        Self { sender, spare, thread, last_sequence }
    }
}

/// The first record, and no other, is the journal's identity; its format may be raised.
fn begin(genesis: &mut Option<Genesis>, event: &Event<'_>) -> Result<(), &'static str> {
    match event {
        Event::Genesis(first) if genesis.is_none() => *genesis = Some(*first),
        Event::Genesis(_) => return Err("the journal begins twice"),
        event => {
            let genesis = genesis.as_mut().ok_or("the journal has no beginning")?;
            if let Event::FormatRaised(raised) = event {
                genesis.format = raised.format;
            }
        }
    }
    Ok(())
}

fn apply(homes: &mut Ledger, events: &[Applied], mut at: impl FnMut(u64)) {
    homes.warm(events.iter().filter_map(|applied| applied.event.glimpse()));
    for applied in events {
        at(applied.sequence.get());
        homes.replay_home(&applied.meta, &applied.event);
    }
}

#[cfg(test)]
mod tests {
    use super::Replay;
    use crate::event::{Actor, Draw, Event, FORMAT, Genesis, Line, LotReceived, Meta};
    use crate::event::{OrderEnded, OrderPlaced, SkuDefined, record};
    use crate::id::{BuyerDigest, HashKey, KeyDigest, OrderId, RequestId, SlotId};
    use crate::limits::DEFAULT;
    use crate::money::{Amount, Currency};
    use crate::name::{LotId, SkuId};
    use crate::quantity::{Quantity, Sequence};
    use crate::time::Timestamp;
    use smallvec::smallvec;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn placed(number: u16) -> Event<'static> {
        let slot = SlotId::new(number % 1_024).expect("in range");
        Event::OrderPlaced(OrderPlaced {
            order: OrderId::new(Timestamp::ZERO, 1, slot, u64::from(number)),
            buyer: BuyerDigest(u128::from(number) / 3),
            buyer_name: "ann",
            key: Some((KeyDigest(u128::from(number)), "k")),
            fingerprint: 7,
            currency: Currency::new("CNY").expect("a code"),
            expires_at: Timestamp::from_micros(u64::from(number) + 1),
            lines: smallvec![line()],
        })
    }

    fn line() -> Line {
        Line {
            sale: None,
            sku: SkuId::new("a").expect("a name"),
            quantity: Quantity::ONE,
            draws: smallvec![Draw {
                lot: LotId::new("L").expect("a name"),
                ordinal: 0,
                quantity: Quantity::ONE,
                unit_price: Amount::new(5).expect("in range"),
            }],
        }
    }

    /// A SKU, a lot, 2,000 orders, of which every fifth ends.
    fn history() -> Vec<Event<'static>> {
        let sku = line().sku;
        let mut events = vec![
            Event::Genesis(Genesis { cell: 1, hash_key: HashKey::new([1; 16]), format: FORMAT }),
            Event::SkuDefined(SkuDefined {
                sku: sku.clone(),
                revision: 1,
                title: "A",
                unit_price: Amount::new(5).expect("in range"),
                currency: Currency::new("CNY").expect("a code"),
                per_buyer_limit: 0,
                hold_seconds: 60,
                standby_pass: false,
                sale: None,
            }),
            Event::LotReceived(LotReceived {
                sku,
                lot: LotId::new("L").expect("a name"),
                ordinal: 0,
                quantity: Quantity::new(5_000).expect("in range"),
                unit_price: None,
            }),
        ];
        for number in 0..2_000 {
            events.push(placed(number));
            if number % 5 == 0
                && let Event::OrderPlaced(placed) = placed(number)
            {
                let (order, lines) = (placed.order, placed.lines);
                events.push(Event::OrderCancelled(OrderEnded { order, version: 2, lines }));
            }
        }
        events
    }

    fn feed(replay: &mut Replay, events: &[Event<'_>]) {
        let meta = Meta { time: Timestamp::ZERO, actor: Actor::Engine, request: RequestId::NONE };
        for (at, event) in events.iter().enumerate() {
            let mut bytes = Vec::new();
            record::encode(&meta, event, &mut bytes);
            let sequence = Sequence::new(at as u64 + 1).expect("not 0");
            replay.take(sequence, &bytes).expect("readable");
        }
    }

    #[test]
    fn homes_come_out_the_same_with_a_thread_and_without() {
        let digests = [0, 100, 1_500, u64::MAX].map(|long| {
            let mut replay = Replay::with_thread_after(long, DEFAULT);
            feed(&mut replay, &history());
            let (ledger, genesis, _) = replay.finish();
            assert!(genesis.is_some());
            assert_eq!(ledger.live_orders(), 2_000);
            ledger.digest()
        });
        assert_eq!(digests, [digests[0]; 4]);
    }

    #[test]
    fn what_contradicts_a_home_is_named_by_its_sequence() {
        for long in [0, u64::MAX] {
            let mut events = history();
            let twice = events.len() as u64 + 1;
            events.push(placed(3));
            events.extend((2_000..2_700).map(placed));
            let mut replay = Replay::with_thread_after(long, DEFAULT);
            let fed = catch_unwind(AssertUnwindSafe(|| {
                feed(&mut replay, &events);
                replay.settle();
            }));
            let panic = fed.expect_err("I3");
            let what = panic.downcast_ref::<String>().expect("a text");
            assert!(what.starts_with("I3 order"), "{what}");
            assert_eq!(replay.last_sequence(), twice, "after {long}");
        }
    }
}
