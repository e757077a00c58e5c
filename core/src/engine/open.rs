//! Recovery: from the journal to a ledger per shard.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::config::EngineConfig;
use crate::event::{Actor, Event, FORMAT, FormatRaised, Genesis, Meta, record};
use crate::id::{HashKey, RequestId};
use crate::journal::{self, Batch, JournalConfig, Opened, Writer};
use crate::ledger::Ledger;
use crate::quantity::Sequence;
use crate::snapshot;
use crate::storage::Storage;
use crate::time::Timestamp;
use crate::view::Board;

use super::clock::{EngineClock, Reading};
use super::fatal::Fatal;
use super::replay::Replay;

/// A journal that is open and the ledger that it says.
pub struct Replayed<S: Storage> {
    /// The journal's writer, its preparer, and what recovery found.
    pub opened: Opened<S>,
    /// All values of the node, to be dealt out to its shards.
    pub ledger: Ledger,
    /// The key by which buyers and idempotency keys are hashed.
    pub hash_key: HashKey,
    /// Engine time, which begins no earlier than the journal ends.
    pub clock: EngineClock,
}

/// Opens the journal in `storage` and replays it, when the clocks say `reading`. Starts nothing.
///
/// # Errors
/// [`Fatal`]: the journal is damaged or newer than this program, or the disk failed.
pub fn recover<S: Storage + Clone>(
    storage: S,
    config: &EngineConfig,
    reading: Reading,
) -> Result<Replayed<S>, Fatal> {
    let journal_config = JournalConfig {
        cell: config.cell,
        segment_bytes: config.limits.segment_bytes,
        limits: config.limits,
        segment_seed: seed(config, 16),
    };
    let read = AssertUnwindSafe(|| snapshot::newest(&storage, config.limits));
    let loaded = catch_unwind(read).map_err(|panic| broken(&*panic, 0))??;
    let base = loaded.as_ref().map(|loaded| loaded.base);
    let replay = RefCell::new(match loaded {
        Some(loaded) => Replay::behind(loaded),
        None => Replay::new(config.limits),
    });
    let mut visit =
        |sequence: Sequence, _: Timestamp, bytes: &[u8]| replay.borrow_mut().take(sequence, bytes);
    // Before the first write: a contradiction must find the directory as it was.
    let mut walked = || replay.borrow_mut().settle();
    // Time for frames that recovery writes; the journal's own time wins if it is later.
    let wall = EngineClock::start(Timestamp::ZERO, reading).at(reading.boot_us);
    let opening = AssertUnwindSafe(|| {
        journal::open(storage, journal_config, base, wall, &mut visit, &mut walked)
    });
    let opened = catch_unwind(opening);
    // What is wrong with a record comes before whatever ended the reading behind it.
    let mut replay = replay.into_inner();
    let read_through = replay.last_sequence();
    let settled = catch_unwind(AssertUnwindSafe(|| replay.settle()));
    settled.map_err(|panic| broken(&*panic, replay.last_sequence()))?;
    let mut opened = opened.map_err(|panic| broken(&*panic, read_through))??;
    let (ledger, genesis, last_time) = replay.finish();
    let clock = EngineClock::start(last_time.max(opened.recovered.last_time), reading);
    let hash_key = match genesis {
        Some(genesis) => {
            if genesis.format < FORMAT {
                raise(&mut opened.writer, clock.at(reading.boot_us))?;
            }
            genesis.hash_key
        }
        None => begin(&mut opened.writer, config, clock.at(reading.boot_us))?,
    };
    Ok(Replayed { opened, ledger, hash_key, clock })
}

fn broken(panic: &(dyn Any + Send), sequence: u64) -> Fatal {
    Fatal::Broken { sequence, what: super::threads::panic_text(panic) }
}

/// Publishes the pages of all sales and SKUs, as a replay left them.
pub fn publish(ledger: &Ledger, board: &Board) {
    ledger.sales().for_each(|sale| board.publish_sale(Arc::clone(sale)));
    for stock in ledger.stocks() {
        board.publish(stock.sku().clone(), stock.terms(), stock.available());
    }
}

/// Writes the first record of a new journal.
fn begin<S: Storage + Clone>(
    writer: &mut Writer<S>,
    config: &EngineConfig,
    now: Timestamp,
) -> Result<HashKey, Fatal> {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&config.seed[..16]);
    let hash_key = HashKey::new(bytes);
    let meta = Meta { time: now, actor: Actor::Engine, request: RequestId::NONE };
    let genesis = Genesis { cell: config.cell, hash_key, format: FORMAT };
    let mut batch = Batch::new();
    batch.push_with(|out| record::encode(&meta, &Event::Genesis(genesis), out));
    let _durable = writer.commit(&mut std::iter::once(&batch), now)?;
    Ok(hash_key)
}

/// Says that from here on the journal may hold what older programs do not know.
fn raise<S: Storage + Clone>(writer: &mut Writer<S>, now: Timestamp) -> Result<(), Fatal> {
    let meta = Meta { time: now, actor: Actor::Engine, request: RequestId::NONE };
    let program = concat!("sluice ", env!("CARGO_PKG_VERSION"));
    let raised = Event::FormatRaised(FormatRaised { format: FORMAT, program });
    let mut batch = Batch::new();
    batch.push_with(|out| record::encode(&meta, &raised, out));
    let _durable = writer.commit(&mut std::iter::once(&batch), now)?;
    Ok(())
}

fn seed(config: &EngineConfig, from: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&config.seed[from..from + 8]);
    u64::from_le_bytes(bytes)
}
