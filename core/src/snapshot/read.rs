//! Reads a snapshot, section by section.

use zerocopy::{FromBytes, IntoBytes};

use super::error::Error;
use super::images::{decode_sale, decode_slot, decode_stock};
use super::layout::{self, section_checksum};
use crate::event::Genesis;
use crate::id::HashKey;
use crate::journal::Base;
use crate::ledger::{SaleImage, SlotImage, StockImage};
use crate::outcome::StateDigest;
use crate::planted::{self, Bug};
use crate::storage::{Storage, StorageFile};
use crate::time::Timestamp;

/// What a snapshot says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Title {
    pub(super) genesis: Genesis,
    /// The time of the latest record.
    pub(super) last_time: Timestamp,
    /// Where the journal goes on.
    pub(super) base: Base,
}

/// What the sections add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) sales: u32,
    pub(super) stocks: u32,
    pub(super) slots: u32,
    pub(super) orders: u64,
    pub(super) digest: StateDigest,
}

/// One section.
pub(super) enum Section {
    Sale(SaleImage),
    Stock(StockImage),
    Slot(SlotImage),
    End(Totals),
}

/// An open snapshot.
pub(super) struct SnapshotReader<F> {
    name: String,
    file: F,
    length: u64,
    offset: u64,
    payload: Vec<u8>,
    pub(super) title: Title,
}

impl<F: StorageFile> SnapshotReader<F> {
    /// Opens a snapshot and reads its header.
    pub(super) fn open<S: Storage<File = F>>(storage: &S, name: &str) -> Result<Self, Error> {
        let file = storage.open_read(name).map_err(Error::disk(name))?;
        let length = file.length().map_err(Error::disk(name))?;
        let mut bytes = [0; size_of::<layout::Header>()];
        file.read_at(&mut bytes, 0).map_err(Error::disk(name))?;
        let title = read_title(&bytes).map_err(|what| damaged(name, 0, what))?;
        let offset = bytes.len() as u64;
        let name = name.to_owned();
        Ok(Self { name, file, length, offset, payload: Vec::new(), title })
    }

    /// The length of the file in bytes.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// The next section.
    pub(super) fn next(&mut self) -> Result<Section, Error> {
        let begin = self.offset;
        let kind = self.read_section()?;
        let section = match kind {
            layout::SALE => decode_sale(&self.payload).map(Section::Sale),
            layout::STOCK => decode_stock(&self.payload).map(Section::Stock),
            layout::SLOT => decode_slot(&self.payload).map(Section::Slot),
            layout::END if self.offset == self.length => read_end(&self.payload),
            layout::END => Err("bytes behind the end"),
            _ => Err("the kind of a section"),
        };
        section.map_err(|what| self.damaged(begin, what))
    }

    pub(super) fn damaged(&self, offset: u64, what: &str) -> Error {
        damaged(&self.name, offset, what)
    }

    fn read_section(&mut self) -> Result<u8, Error> {
        let begin = self.offset;
        let mut head = layout::Section { kind: 0, length: 0.into(), checksum: 0.into() };
        let read =
            self.file.read_at(head.as_mut_bytes(), begin).map_err(Error::disk(&self.name))?;
        let behind = begin + size_of::<layout::Section>() as u64;
        let end = behind + u64::from(head.length.get());
        if read < size_of::<layout::Section>() || end > self.length {
            return Err(self.damaged(begin, "the file ends within a section"));
        }
        self.payload.resize(head.length.get() as usize, 0);
        let read = self.file.read_at(&mut self.payload, behind).map_err(Error::disk(&self.name))?;
        let computed = section_checksum(head.kind, head.length.get(), &self.payload);
        let right = read == self.payload.len() && computed == head.checksum.get();
        if !right && !planted::is(Bug::SnapshotUnchecked) {
            return Err(self.damaged(begin, "the checksum of a section is wrong"));
        }
        self.offset = end;
        Ok(head.kind)
    }
}

fn damaged(name: &str, offset: u64, what: &str) -> Error {
    Error::Damaged { name: name.to_owned(), offset, what: what.to_owned() }
}

fn read_title(bytes: &[u8]) -> Result<Title, &'static str> {
    let header = layout::Header::read_from_bytes(bytes).map_err(|_| "the length")?;
    if header.magic != layout::MAGIC {
        return Err("this is no snapshot");
    }
    match header.version.get() {
        layout::VERSION => {}
        older if older < layout::VERSION => return Err("an older program wrote it"),
        _ => return Err("a newer program wrote it"),
    }
    if header.checksum.get() != header.computed_checksum() {
        return Err("the checksum of the header is wrong");
    }
    let cell = header.cell.get();
    Ok(Title {
        genesis: Genesis {
            cell,
            hash_key: HashKey::new(header.hash_key),
            format: header.format.get(),
        },
        last_time: Timestamp::from_micros(header.last_time.get()),
        base: Base {
            cell,
            segment: header.segment.get(),
            segment_id: header.segment_id.get(),
            next_sequence: header.next_sequence.get(),
            mark: header.mark.get(),
            epoch: header.epoch.get(),
            time: Timestamp::from_micros(header.time.get()),
        },
    })
}

fn read_end(payload: &[u8]) -> Result<Section, &'static str> {
    let end = layout::End::read_from_bytes(payload).map_err(|_| "the length")?;
    Ok(Section::End(Totals {
        sales: end.sales.get(),
        stocks: end.stocks.get(),
        slots: end.slots.get(),
        orders: end.orders.get(),
        digest: StateDigest { sum: end.digest.get(), half_way: 0 },
    }))
}
