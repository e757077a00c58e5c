//! Builds the next snapshot from the last one and the segments finished since, step by step.
//!
//! Three phases. *Gather* reads the new segments once: stocks are brought up to date, and of each
//! order's record it is noted where it stands. *Write* takes one buyer slot after the other: as the
//! last snapshot has it, brought up to date by its records, and written. *Check* reads back what was
//! written and compares the state digest. So memory holds the stocks, 16 bytes for each new record,
//! and one buyer slot at a time, however large the ledger.

use std::io::ErrorKind;

use super::error::Error;
use super::names;
use super::read::{Section, SnapshotReader, Title, Totals};
use super::write::{SnapshotWriter, publish};
use crate::event::record::{self, LastNames};
use crate::event::{Event, Genesis};
use crate::id::{HashKey, SlotId};
use crate::journal::{Excerpts, Fatal, Frame, Location, Place, Reader, Sealed};
use crate::ledger::{HomeEvent, Ledger, SkuStock, SlotImage};
use crate::limits::{Limits, SLOTS};
use crate::storage::{Storage, StorageFile};
use crate::time::Timestamp;

/// How many snapshots are kept.
const KEPT: usize = 2;

/// Makes snapshots of a journal at work.
pub struct Snapshotter<S: Storage> {
    storage: S,
    limits: Limits,
    sealed: Sealed,
    /// The snapshots that there are, newest first.
    made: Vec<Made>,
    build: Option<Build<S>>,
    /// The file that it is written to.
    temporary: Option<String>,
}

/// A snapshot that is there.
#[derive(Clone, Debug)]
pub(super) struct Made {
    name: String,
    title: Title,
    bytes: u64,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshotting {
    /// There is no need of a new snapshot yet.
    Idle,
    /// There is more to do. So many bytes were written and synced.
    More {
        /// Bytes.
        written: u64,
    },
    /// A snapshot is there and durable.
    Done {
        /// The last sequence that it holds.
        sequence: u64,
        /// Its length in bytes.
        bytes: u64,
    },
}

/// A snapshot on its way.
enum Build<S: Storage> {
    Gather(Gather<S>),
    Write(Write<S>),
    Check(Check<S>),
}

struct Gather<S: Storage> {
    reader: Reader<S>,
    /// The last segment that goes into it.
    through: u64,
    previous: Previous<S::File>,
    ledger: Ledger,
    genesis: Option<Genesis>,
    last_time: Timestamp,
    names: LastNames,
    /// By slot: where its new records stand.
    records: Vec<Vec<Location>>,
}

struct Write<S: Storage> {
    writer: SnapshotWriter<S::File>,
    excerpts: Excerpts<S>,
    title: Title,
    totals: Totals,
    previous: Previous<S::File>,
    ledger: Ledger,
    records: Vec<Vec<Location>>,
    slot: usize,
}

/// The slots of the last snapshot, of which the next one has been read.
struct Previous<F> {
    reader: Option<SnapshotReader<F>>,
    next: Option<SlotImage>,
}

struct Check<S: Storage> {
    reader: SnapshotReader<S::File>,
    title: Title,
    totals: Totals,
    found: Totals,
    ledger: Ledger,
}

impl<S: Storage + Clone> Snapshotter<S> {
    /// For the journal in `storage`, of which these segments are finished.
    ///
    /// # Errors
    /// The disk refused.
    pub fn new(storage: S, limits: Limits, sealed: Sealed) -> Result<Self, Error> {
        let made = made(&storage)?;
        Ok(Self { storage, limits, sealed, made, build: None, temporary: None })
    }

    /// As [`covered`].
    pub(super) fn covered(&self) -> u64 {
        covered(&self.made)
    }

    /// Whether a snapshot is on its way.
    pub(super) const fn is_building(&self) -> bool {
        self.build.is_some()
    }

    /// The last segment that is finished.
    pub(super) fn sealed(&self) -> u64 {
        self.sealed.get()
    }

    /// Does one bounded piece of work.
    ///
    /// # Errors
    /// What went wrong. The attempt is given up; the next step begins another.
    ///
    /// # Panics
    /// If a record contradicts the state (I1, I3, I10).
    pub fn step(&mut self) -> Result<Snapshotting, Error> {
        let stepped = match self.build.take() {
            None => self.begin(),
            Some(Build::Gather(gather)) => self.gather(gather),
            Some(Build::Write(write)) => self.write(write),
            Some(Build::Check(check)) => self.check(check),
        };
        stepped.inspect_err(|error| {
            self.give_up();
            self.set_aside(error);
        })
    }

    /// Lets go of what is on its way, and of the room it took.
    pub(super) fn give_up(&mut self) {
        self.build = None;
        // If that fails, the next build tries again, or the next start does.
        let _ = self.remove_unfinished();
    }

    fn remove_unfinished(&mut self) -> Result<(), Error> {
        if let Some(temporary) = &self.temporary {
            match self.storage.remove(temporary) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::disk(temporary)(error));
                }
                _ => self.temporary = None,
            }
        }
        Ok(())
    }

    /// Takes a snapshot out of use that turned out to be damaged: the next build begins with the one
    /// before it, or with the first segment. The file stays, under a name that nobody looks for.
    fn set_aside(&mut self, error: &Error) {
        let Error::Damaged { name, .. } = error else { return };
        if self.made.first().is_some_and(|made| made.name == *name) {
            // If that fails, the next start finds it damaged once more.
            let _ = self.storage.rename(name, &format!("{name}.damaged"));
            self.made.remove(0);
        }
    }

    /// Begins a build if enough segments are finished, and enough for what it costs to write.
    fn begin(&mut self) -> Result<Snapshotting, Error> {
        self.remove_unfinished()?;
        let through = self.sealed.get();
        let last = self.made.first();
        let from = last.map_or(1, |made| made.title.base.segment);
        let segments = (through + 1).saturating_sub(from);
        let half = last.map_or(0, |made| made.bytes / 2 / self.limits.segment_bytes);
        if segments < self.limits.snapshot_segments.max(half) {
            return Ok(Snapshotting::Idle);
        }
        let mut ledger = Ledger::without_homes(self.limits);
        let mut previous = Previous { reader: None, next: None };
        if let Some(made) = last {
            let mut reader = SnapshotReader::open(&self.storage, &made.name)?;
            previous.next = loop {
                match reader.next()? {
                    Section::Sale(sale) => {
                        ledger.install_sale(&sale);
                        Ok(())
                    }
                    Section::Stock(stock) => ledger.install_stock(&stock),
                    Section::Slot(slot) => break Some(slot),
                    Section::End(_) => break None,
                }
                .map_err(|what| reader.damaged(0, what))?;
            };
            previous.reader = Some(reader);
        }
        let title = last.map(|made| made.title);
        self.build = Some(Build::Gather(Gather {
            reader: match title {
                Some(title) => Reader::open_behind(self.storage.clone(), &title.base)?,
                None => Reader::open_first(self.storage.clone())?,
            },
            through,
            previous,
            ledger,
            genesis: title.map(|title| title.genesis),
            last_time: title.map_or(Timestamp::ZERO, |title| title.last_time),
            names: LastNames::default(),
            records: (0..SLOTS).map(|_| Vec::new()).collect(),
        }));
        Ok(Snapshotting::More { written: 0 })
    }

    fn gather(&mut self, mut gather: Gather<S>) -> Result<Snapshotting, Error> {
        let Gather { reader, ledger, genesis, last_time, names, records, through, .. } =
            &mut gather;
        if let Some(frame) = reader.next_sealed(*through)? {
            for (at, (offset, bytes)) in frame.located().enumerate() {
                let unreadable = |what: String| unreadable(&frame, at, what);
                let decoded = record::decode_next(bytes, names);
                let (meta, event) = decoded.map_err(|error| unreadable(error.to_string()))?;
                *last_time = (*last_time).max(meta.time);
                ledger.replay_stocks(&event).map_err(unreadable)?;
                match &event {
                    Event::Genesis(first) => *genesis = Some(*first),
                    Event::FormatRaised(raised) => {
                        if let Some(genesis) = genesis {
                            genesis.format = raised.format;
                        }
                    }
                    _ => {}
                }
                if let Some(slot) = HomeEvent::slot_of(&event) {
                    let (offset, length) = (offset as u32, bytes.len() as u32);
                    let segment = frame.segment;
                    records[slot.index()].push(Location { segment, offset, length });
                }
            }
            self.build = Some(Build::Gather(gather));
            return Ok(Snapshotting::More { written: 0 });
        }
        let base = gather.reader.base().expect("a finished segment ends with its seal");
        let Gather { genesis, last_time, ledger, previous, records, .. } = gather;
        let genesis = genesis.expect("the first record is in the first segment");
        let title = Title { genesis, last_time, base };
        let chunk_bytes = self.limits.snapshot_chunk_bytes;
        let mut writer = SnapshotWriter::begin(&self.storage, &title, chunk_bytes)?;
        self.temporary = Some(writer.temporary().to_owned());
        let mut totals = Totals::default();
        let mut written = 0;
        for sale in ledger.sale_images() {
            written += writer.sale(&sale)?;
            totals.sales += 1;
        }
        totals.digest = totals.digest.plus(ledger.sales_digest());
        for stock in ledger.stock_images() {
            written += writer.stock(&stock)?;
            totals.stocks += 1;
            let digest = ledger.stock(&stock.sku).map(SkuStock::digest);
            totals.digest = totals.digest.plus(digest.unwrap_or_default());
        }
        let excerpts = Excerpts::new(self.storage.clone());
        self.build = Some(Build::Write(Write {
            writer,
            excerpts,
            title,
            totals,
            previous,
            ledger,
            records,
            slot: 0,
        }));
        Ok(Snapshotting::More { written })
    }

    /// One slot, or the end.
    fn write(&mut self, mut write: Write<S>) -> Result<Snapshotting, Error> {
        if let Some(written) = write.next_slot()? {
            self.build = Some(Build::Write(write));
            return Ok(Snapshotting::More { written });
        }
        let Write { mut writer, title, totals, .. } = write;
        let written = writer.end(&totals)?;
        let reader = SnapshotReader::open(&self.storage, writer.temporary())?;
        let (found, ledger) = (Totals::default(), Ledger::without_homes(self.limits));
        self.build = Some(Build::Check(Check { reader, title, totals, found, ledger }));
        Ok(Snapshotting::More { written })
    }

    /// One section read back; behind the last one the snapshot gets its name.
    fn check(&mut self, mut check: Check<S>) -> Result<Snapshotting, Error> {
        let Check { reader, title, totals, found, ledger } = &mut check;
        let installed = match reader.next()? {
            Section::Sale(sale) => {
                found.sales += 1;
                ledger.install_sale(&sale);
                Ok(())
            }
            Section::Stock(stock) => {
                found.stocks += 1;
                let installed = ledger.install_stock(&stock);
                let digest = ledger.stock(&stock.sku).map(SkuStock::digest);
                found.digest = found.digest.plus(digest.unwrap_or_default());
                installed
            }
            Section::Slot(image) => {
                found.slots += 1;
                found.orders += image.orders.len() as u64;
                ledger.install_slot(&image).map(|()| {
                    found.digest = found.digest.plus(ledger.slot_digest(image.slot));
                    ledger.let_go(image.slot);
                })
            }
            Section::End(said) if said == *totals && found.with(ledger) == *totals => {
                let (title, bytes) = (*title, reader.length());
                return self.publish(title, bytes);
            }
            Section::End(_) => {
                return Err(Error::Digest { sequence: title.base.next_sequence - 1 });
            }
        };
        installed.map_err(|what| reader.damaged(0, what))?;
        self.build = Some(Build::Check(check));
        Ok(Snapshotting::More { written: 0 })
    }

    fn publish(&mut self, title: Title, bytes: u64) -> Result<Snapshotting, Error> {
        let name = publish(&self.storage, &title)?;
        self.temporary = None;
        self.made.insert(0, Made { name, title, bytes });
        while self.made.len() > KEPT {
            let old = self.made.last().expect("there is one").name.clone();
            self.storage.remove(&old).map_err(Error::disk(&old))?;
            self.made.pop();
        }
        Ok(Snapshotting::Done { sequence: title.base.next_sequence - 1, bytes })
    }
}

/// The snapshots in `storage`, newest first. What is damaged counts for nothing; a start says so.
pub(super) fn made<S: Storage>(storage: &S) -> Result<Vec<Made>, Error> {
    let files = storage.list().map_err(Error::disk("the directory"))?;
    let mut made = Vec::new();
    for name in names(files) {
        match SnapshotReader::open(storage, &name) {
            Ok(reader) => made.push(Made { name, title: reader.title, bytes: reader.length() }),
            Err(Error::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(made)
}

/// By which key the journal in `storage` hashes buyers, as its newest snapshot says; `None` without
/// one.
///
/// # Errors
/// The disk refused.
pub fn hash_key<S: Storage>(storage: &S) -> Result<Option<HashKey>, Error> {
    Ok(made(storage)?.first().map(|made| made.title.genesis.hash_key))
}

/// The segment up to which the journal is not needed for a start, not even if the newest snapshot
/// has rotted: all before it may go. 1 if none may.
pub(super) fn covered(made: &[Made]) -> u64 {
    made.get(KEPT - 1).map_or(1, |made| made.title.base.segment)
}

impl Totals {
    /// With the digest of all sales, which is known once the last of them is there.
    fn with(&self, ledger: &Ledger) -> Self {
        Self { digest: self.digest.plus(ledger.sales_digest()), ..*self }
    }
}

impl<F: StorageFile> Previous<F> {
    fn damaged(&self, what: &str) -> Error {
        self.reader.as_ref().expect("an image came from it").damaged(0, what)
    }

    /// The slot's image, if the last snapshot has one. To be asked in order.
    fn take(&mut self, slot: SlotId) -> Result<Option<SlotImage>, Error> {
        if self.next.as_ref().is_none_or(|next| next.slot != slot) {
            return Ok(None);
        }
        let next = match &mut self.reader {
            None => None,
            Some(reader) => match reader.next()? {
                Section::Slot(image) if image.slot > slot => Some(image),
                Section::End(_) => None,
                _ => return Err(reader.damaged(0, "the order of the slots")),
            },
        };
        Ok(std::mem::replace(&mut self.next, next))
    }
}

impl<S: Storage> Write<S> {
    /// Brings the next slot with records up to date and writes it. Says how many bytes were written;
    /// `None` behind the last slot.
    fn next_slot(&mut self) -> Result<Option<u64>, Error> {
        while let Some(slot) = SlotId::new(self.slot as u16) {
            let image = self.previous.take(slot)?;
            let records = std::mem::take(&mut self.records[self.slot]);
            self.slot += 1;
            if image.is_some() || !records.is_empty() {
                return self.write_slot(slot, image.as_ref(), &records).map(Some);
            }
        }
        Ok(None)
    }

    fn write_slot(
        &mut self,
        slot: SlotId,
        image: Option<&SlotImage>,
        records: &[Location],
    ) -> Result<u64, Error> {
        let nothing = SlotImage::empty(slot);
        let installed = self.ledger.install_slot(image.unwrap_or(&nothing));
        installed.map_err(|what| self.previous.damaged(what))?;
        for location in records {
            let (meta, event) = record::decode(self.excerpts.read(*location)?)
                .map_err(|error| again(*location, error.to_string()))?;
            if let Some(event) = HomeEvent::of(event) {
                self.ledger.replay_home(&meta, &event);
            }
        }
        let image = self.ledger.slot_image(slot);
        self.totals.slots += 1;
        self.totals.orders += image.orders.len() as u64;
        self.totals.digest = self.totals.digest.plus(self.ledger.slot_digest(slot));
        let written = self.writer.slot(&image)?;
        self.ledger.let_go(slot);
        Ok(written)
    }
}

fn unreadable(frame: &Frame<'_>, at: usize, what: String) -> Error {
    let place = Place { segment: frame.segment, offset: frame.offset };
    Error::Journal(Fatal::Record { place, sequence: frame.first_sequence + at as u64, what })
}

fn again(location: Location, what: String) -> Error {
    let place = Place { segment: location.segment, offset: u64::from(location.offset) };
    Error::Journal(Fatal::Record { place, sequence: 0, what })
}
