//! A file of the simulated disk: reads, writes, reservations and syncs, and how they fail.

use std::io;

use sluice_core::limits::SECTOR_BYTES;
use sluice_core::storage::StorageFile;

use super::{FaultRates, SimDisk, State, stopped};
use crate::frame::Frame;
use crate::marks::Mark;

/// An open file.
pub struct SimFile {
    disk: SimDisk,
    inode: u64,
}

impl SimFile {
    pub(super) fn new(disk: SimDisk, inode: u64) -> Self {
        Self { disk, inode }
    }
}

impl StorageFile for SimFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files[&self.inode].cached.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.lock();
        if state.dead {
            return Err(stopped());
        }
        let bytes = &state.files[&self.inode].cached;
        let start = (offset as usize).min(bytes.len());
        let length = buffer.len().min(bytes.len() - start);
        buffer[..length].copy_from_slice(&bytes[start..start + length]);
        Ok(length)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.call()?;
        let FaultRates { write, space, .. } = state.rates;
        let grows = state.files[&self.inode].cached.len() < offset as usize + bytes.len();
        let full = state.chance.at_rate(space) || (state.full && grows);
        let failed = full || state.chance.at_rate(write);
        let written = if failed { state.chance.index(bytes.len() + 1) } else { bytes.len() };
        let file = state.files.get_mut(&self.inode).expect("an open file stays");
        let start = offset as usize;
        if file.cached.len() < start + written {
            file.resize(start + written);
        }
        file.cached[start..start + written].copy_from_slice(&bytes[..written]);
        if written > 0 {
            for sector in start / SECTOR_BYTES..=(start + written - 1) / SECTOR_BYTES {
                file.dirty.insert(sector);
                file.forsaken.remove(&sector);
            }
        }
        if failed {
            state.marks.hit(Mark::WriteFailed);
            return Err(if full { state.no_space() } else { io::Error::other("simulated EIO") });
        }
        if let Some(frame) = Frame::parse(bytes) {
            if frame.durable_up_to > state.durable_through {
                let (said, truth) = (frame.durable_up_to, state.durable_through);
                state.complaint =
                    Some(format!("I12 a frame calls {said} durable, and only {truth} is"));
            }
            state.pending.push((self.inode, frame));
        }
        Ok(())
    }

    fn allocate(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.call()?;
        let rate = state.rates.space;
        if state.chance.at_rate(rate) || state.full {
            state.marks.hit(Mark::AllocateFailed);
            return Err(state.no_space());
        }
        let file = state.files.get_mut(&self.inode).expect("an open file stays");
        file.resize(length as usize);
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut state = self.disk.lock();
        let pending = state.pending.iter().any(|(_, frame)| frame.count > 0);
        if state.crash_at_sync && pending {
            state.dead = true;
        }
        state.call()?;
        let rate = state.rates.sync;
        let failed = state.chance.at_rate(rate);
        let State { files, chance, .. } = &mut *state;
        let file = files.get_mut(&self.inode).expect("an open file stays");
        for sector in std::mem::take(&mut file.dirty) {
            if failed && !chance.one_in(4) {
                file.forsaken.insert(sector);
            } else {
                file.flush(sector);
            }
        }
        if failed {
            state.marks.hit(Mark::SyncFailed);
            let inode = self.inode;
            state.pending.retain(|(of, _)| *of != inode);
            return Err(io::Error::other("simulated EIO at a sync"));
        }
        state.prove(self.inode);
        Ok(())
    }
}
