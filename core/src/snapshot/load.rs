//! From a snapshot to a ledger, at a start.

use super::error::Error;
use super::names;
use super::read::{Section, SnapshotReader, Title, Totals};
use crate::event::{FORMAT, Genesis};
use crate::journal::Base;
use crate::ledger::Ledger;
use crate::limits::Limits;
use crate::storage::{Storage, StorageFile};
use crate::time::Timestamp;

/// A ledger out of a snapshot.
pub struct Loaded {
    /// The ledger.
    pub ledger: Ledger,
    /// The journal's identity.
    pub genesis: Genesis,
    /// The time of the latest record that it holds.
    pub last_time: Timestamp,
    /// Where the journal goes on.
    pub base: Base,
    /// The file's name.
    pub name: String,
}

/// The newest snapshot in `storage` that is whole, if there is one. One that is damaged is said in
/// the log and passed over: the journal has what it holds, or the snapshot before it.
///
/// # Errors
/// The disk refused.
///
/// # Panics
/// If a snapshot contradicts itself (I3).
pub fn newest<S: Storage>(storage: &S, limits: Limits) -> Result<Option<Loaded>, Error> {
    let files = storage.list().map_err(Error::disk("the directory"))?;
    for name in names(files) {
        match load(storage, &name, limits) {
            Ok(loaded) => return Ok(Some(loaded)),
            Err(error @ Error::Damaged { .. }) => tracing::error!("passed over: {error}"),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// A snapshot that was read from beginning to end.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The file's name.
    pub name: String,
    /// The last sequence that it holds and the segment behind it; or what is wrong.
    pub result: Result<(u64, u64), Error>,
}

/// Reads all snapshots in `storage` whole, newest first.
///
/// # Errors
/// The disk refused.
pub fn verify<S: Storage>(storage: &S, limits: Limits) -> Result<Vec<Verified>, Error> {
    let files = storage.list().map_err(Error::disk("the directory"))?;
    let read = |name: String| {
        let loaded = load(storage, &name, limits);
        let result = loaded.map(|loaded| (loaded.base.next_sequence - 1, loaded.base.segment));
        Verified { name, result }
    };
    Ok(names(files).into_iter().map(read).collect())
}

fn load<S: Storage>(storage: &S, name: &str, limits: Limits) -> Result<Loaded, Error> {
    let mut reader = SnapshotReader::open(storage, name)?;
    let Title { genesis, last_time, base } = reader.title;
    if genesis.format > FORMAT {
        return Err(Error::Newer { name: name.to_owned(), format: genesis.format });
    }
    let mut ledger = Ledger::new(limits);
    let totals = fill(&mut reader, &mut ledger)?;
    if ledger.live_orders() as u64 != totals.orders {
        return Err(reader.damaged(0, "the number of orders"));
    }
    Ok(Loaded { ledger, genesis, last_time, base, name: name.to_owned() })
}

/// Installs all sections; gives what the last one says of them.
fn fill<F: StorageFile>(
    reader: &mut SnapshotReader<F>,
    ledger: &mut Ledger,
) -> Result<Totals, Error> {
    let (mut sales, mut stocks, mut slots) = (0, 0, 0);
    let mut last_slot = None;
    loop {
        let installed = match reader.next()? {
            Section::Sale(_) if stocks > 0 || slots > 0 => Err("a sale behind the stocks"),
            Section::Sale(sale) => {
                sales += 1;
                ledger.install_sale(&sale);
                Ok(())
            }
            Section::Stock(_) if slots > 0 => Err("a stock behind the slots"),
            Section::Stock(stock) => {
                stocks += 1;
                ledger.install_stock(&stock)
            }
            Section::Slot(slot) if last_slot >= Some(slot.slot.index()) => {
                Err("the order of the slots")
            }
            Section::Slot(slot) => {
                slots += 1;
                last_slot = Some(slot.slot.index());
                ledger.install_slot(&slot)
            }
            Section::End(totals)
                if (totals.sales, totals.stocks, totals.slots) == (sales, stocks, slots) =>
            {
                return Ok(totals);
            }
            Section::End(_) => Err("the number of sections"),
        };
        installed.map_err(|what| reader.damaged(0, what))?;
    }
}
