//! Writes a snapshot, in chunks that are synced one by one, and gives it its name.

use zerocopy::IntoBytes;

use super::error::Error;
use super::images::{encode_sale, encode_slot, encode_stock};
use super::layout::{self, section_checksum};
use super::name;
use super::read::{Title, Totals};
use crate::ledger::{SaleImage, SlotImage, StockImage};
use crate::planted::{self, Bug};
use crate::storage::{Storage, StorageFile};

/// A snapshot that is being written, under a name that a start removes.
pub(super) struct SnapshotWriter<F> {
    temporary: String,
    file: F,
    offset: u64,
    /// What is not written yet.
    buffer: Vec<u8>,
    chunk_bytes: usize,
}

impl<F: StorageFile> SnapshotWriter<F> {
    /// Begins a file. One that an earlier attempt left is removed.
    pub(super) fn begin<S: Storage<File = F>>(
        storage: &S,
        title: &Title,
        chunk_bytes: usize,
    ) -> Result<Self, Error> {
        let temporary = temporary(title);
        if storage.open_read(&temporary).is_ok() {
            storage.remove(&temporary).map_err(Error::disk(&temporary))?;
        }
        let file = storage.create(&temporary).map_err(Error::disk(&temporary))?;
        let buffer = header(title).as_bytes().to_vec();
        Ok(Self { temporary, file, offset: 0, buffer, chunk_bytes })
    }

    pub(super) fn sale(&mut self, sale: &SaleImage) -> Result<u64, Error> {
        self.section(layout::SALE, |out| encode_sale(sale, out))
    }

    pub(super) fn stock(&mut self, stock: &StockImage) -> Result<u64, Error> {
        self.section(layout::STOCK, |out| encode_stock(stock, out))
    }

    pub(super) fn slot(&mut self, slot: &SlotImage) -> Result<u64, Error> {
        self.section(layout::SLOT, |out| encode_slot(slot, out))
    }

    /// Writes the last section and syncs. Says how many bytes it wrote.
    pub(super) fn end(&mut self, totals: &Totals) -> Result<u64, Error> {
        let end = layout::End {
            sales: totals.sales.into(),
            stocks: totals.stocks.into(),
            slots: totals.slots.into(),
            orders: totals.orders.into(),
            digest: totals.digest.sum.into(),
        };
        let written = self.section(layout::END, |out| out.extend_from_slice(end.as_bytes()))?;
        Ok(written + self.flush()?)
    }

    /// The name under which it can be read back.
    pub(super) fn temporary(&self) -> &str {
        &self.temporary
    }

    /// Adds a section; writes and syncs what has come together if that is a chunk. Says how many
    /// bytes were written.
    fn section(&mut self, kind: u8, encode: impl FnOnce(&mut Vec<u8>)) -> Result<u64, Error> {
        let begin = self.buffer.len();
        let behind = begin + size_of::<layout::Section>();
        self.buffer.resize(behind, 0);
        encode(&mut self.buffer);
        let payload = &self.buffer[behind..];
        let length = u32::try_from(payload.len()).expect("a slot has less than 4 GiB");
        let checksum = section_checksum(kind, length, payload).into();
        let head = layout::Section { kind, length: length.into(), checksum };
        self.buffer[begin..behind].copy_from_slice(head.as_bytes());
        if self.buffer.len() < self.chunk_bytes { Ok(0) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<u64, Error> {
        for chunk in self.buffer.chunks(self.chunk_bytes) {
            self.file.write_at(chunk, self.offset).map_err(Error::disk(&self.temporary))?;
            if !planted::is(Bug::SnapshotUnsynced) {
                self.file.sync_data().map_err(Error::disk(&self.temporary))?;
            }
            self.offset += chunk.len() as u64;
        }
        let written = self.buffer.len() as u64;
        self.buffer.clear();
        Ok(written)
    }
}

/// Gives a finished snapshot its name, for good.
pub(super) fn publish<S: Storage>(storage: &S, title: &Title) -> Result<String, Error> {
    let (temporary, name) = (temporary(title), name(title.base.segment));
    storage.rename(&temporary, &name).map_err(Error::disk(&name))?;
    storage.sync_directory().map_err(Error::disk(&name))?;
    Ok(name)
}

/// A start removes files with this ending, those of segments and of snapshots alike.
fn temporary(title: &Title) -> String {
    format!("snapshot-{:016x}.preparing", title.base.segment)
}

fn header(title: &Title) -> layout::Header {
    let Title { genesis, last_time, base } = title;
    let mut header = layout::Header {
        magic: layout::MAGIC,
        checksum: 0.into(),
        version: layout::VERSION.into(),
        cell: base.cell.into(),
        format: genesis.format.into(),
        hash_key: genesis.hash_key.bytes(),
        last_time: last_time.micros().into(),
        segment: base.segment.into(),
        segment_id: base.segment_id.into(),
        next_sequence: base.next_sequence.into(),
        mark: base.mark.into(),
        epoch: base.epoch.into(),
        time: base.time.micros().into(),
    };
    header.checksum = header.computed_checksum().into();
    header
}
