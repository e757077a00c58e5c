//! One file of the simulated disk, sector by sector: what a reader sees and what a power cut leaves.

use std::collections::BTreeSet;

use sluice_core::limits::SECTOR_BYTES;

use crate::chance::Chance;

/// A file's bytes. A sector whose two versions differ is dirty, or forsaken by a failed sync.
#[derive(Clone, Default)]
pub(crate) struct FileState {
    /// What a reader sees.
    pub(crate) cached: Vec<u8>,
    /// What a power cut leaves.
    pub(crate) durable: Vec<u8>,
    /// Sectors that the next sync writes.
    pub(crate) dirty: BTreeSet<usize>,
    /// Sectors that count as clean and are not on the disk.
    pub(crate) forsaken: BTreeSet<usize>,
}

impl FileState {
    pub(crate) fn resize(&mut self, length: usize) {
        self.cached.resize(length, 0);
        // Blocks that are reserved and were never written read as zeros.
        self.durable.resize(length, 0);
    }

    /// The sector reaches the disk.
    pub(crate) fn flush(&mut self, sector: usize) {
        let start = sector * SECTOR_BYTES;
        let end = (start + SECTOR_BYTES).min(self.cached.len());
        self.durable[start..end].copy_from_slice(&self.cached[start..end]);
    }

    /// Every dirty sector is kept, lost or torn; forsaken ones are lost. Now and then the last one
    /// alone is kept, which is how the end of a torn write comes to lie where nobody looks for it.
    pub(crate) fn cut_power(&mut self, chance: &mut Chance) {
        let mut dirty = std::mem::take(&mut self.dirty);
        if chance.one_in(3)
            && let Some(last) = dirty.pop_last()
        {
            self.flush(last);
            dirty.clear();
        }
        for sector in dirty {
            match chance.below(3) {
                0 => self.flush(sector),
                1 => {}
                _ => self.tear(sector, chance),
            }
        }
        self.forsaken.clear();
        self.cached.clone_from(&self.durable);
    }

    /// Some bytes of the sector are new, some old.
    fn tear(&mut self, sector: usize, chance: &mut Chance) {
        let start = sector * SECTOR_BYTES;
        let end = (start + SECTOR_BYTES).min(self.cached.len());
        let cut = start + chance.index(end - start);
        let new = if chance.one_in(2) { start..cut } else { cut..end };
        self.durable[new.clone()].copy_from_slice(&self.cached[new]);
    }
}
