//! A disk in memory that fails on demand and forgets at a power cut what was not synced.
//!
//! A failed sync leaves bytes readable that never become durable, unless they are written again.
//! At a power cut each unsynced sector is kept, lost or torn in its middle, and of the unsynced
//! changes of names a run from the first on is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use sluice_core::storage::{Storage, StorageFile};

const SECTOR: usize = 512;

/// A call that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Create,
    Write,
    Sync,
    Allocate,
    Rename,
    SyncDirectory,
}

/// Where a fault is due.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The n-th call of this kind fails with this error, n from 1.
    At(Call, u64, io::ErrorKind),
    /// Every changing call from the n-th on fails, for the power is gone. A write gets halfway.
    PowerOff(u64),
}

#[derive(Clone, Debug)]
enum NameChange {
    Set(String, usize),
    Rename(String, String),
    Remove(String),
}

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Default)]
struct State {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    changes: Vec<NameChange>,
    files: Vec<Content>,
    calls: BTreeMap<Call, u64>,
    calls_all: u64,
    fault: Option<Fault>,
}

/// The disk; clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

/// A file of it.
pub(crate) struct DiskFile(Disk, usize);

/// Small and seeded: SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panicked with the disk in hand")
    }

    /// Sets the next fault; counts of calls start anew.
    pub(crate) fn set_fault(&self, fault: Option<Fault>) {
        let mut state = self.state();
        state.fault = fault;
        state.calls.clear();
        state.calls_all = 0;
    }

    /// Changing calls since the fault was set.
    pub(crate) fn calls(&self) -> u64 {
        self.state().calls_all
    }

    /// The power goes and comes back.
    pub(crate) fn power_cut(&self, random: &mut Random) {
        let mut state = self.state();
        state.fault = None;
        let changes = std::mem::take(&mut state.changes);
        let kept = random.below(changes.len() as u64 + 1) as usize;
        for change in changes.into_iter().take(kept) {
            apply(&mut state.durable_names, change);
        }
        state.names = state.durable_names.clone();
        for file in &mut state.files {
            let dirty = std::mem::take(&mut file.dirty);
            file.durable.resize(file.bytes.len(), 0);
            for sector in dirty {
                let range = sector * SECTOR..((sector + 1) * SECTOR).min(file.bytes.len());
                let kept = match random.below(3) {
                    0 => 0,
                    1 => range.len(),
                    _ => range.len() / 2,
                };
                let range = range.start..range.start + kept;
                file.durable[range.clone()].copy_from_slice(&file.bytes[range]);
            }
            file.bytes = file.durable.clone();
        }
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: NameChange) {
    match change {
        NameChange::Set(name, file) => {
            names.insert(name, file);
        }
        NameChange::Rename(from, to) => {
            if let Some(file) = names.remove(&from) {
                names.insert(to, file);
            }
        }
        NameChange::Remove(name) => {
            names.remove(&name);
        }
    }
}

impl State {
    fn call(&mut self, call: Call) -> io::Result<()> {
        self.calls_all += 1;
        let count = self.calls.entry(call).or_default();
        *count += 1;
        match self.fault {
            Some(Fault::At(at, nth, kind)) if at == call && nth == *count => {
                Err(io::Error::new(kind, "injected"))
            }
            Some(Fault::PowerOff(nth)) if self.calls_all >= nth => {
                Err(io::Error::other("the power is off"))
            }
            _ => Ok(()),
        }
    }

    fn change(&mut self, change: NameChange) {
        apply(&mut self.names, change.clone());
        self.changes.push(change);
    }
}

impl Storage for Disk {
    type File = DiskFile;

    fn create(&self, name: &str) -> io::Result<DiskFile> {
        let mut state = self.state();
        state.call(Call::Create)?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(Content::default());
        state.change(NameChange::Set(name.into(), file));
        Ok(DiskFile(self.clone(), file))
    }

    fn open(&self, name: &str) -> io::Result<DiskFile> {
        let file = self.state().names.get(name).copied();
        Ok(DiskFile(self.clone(), file.ok_or(io::ErrorKind::NotFound)?))
    }

    fn open_read(&self, name: &str) -> io::Result<DiskFile> {
        self.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.call(Call::Rename)?;
        state.change(NameChange::Rename(from.into(), to.into()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if matches!(state.fault, Some(Fault::PowerOff(nth)) if state.calls_all >= nth) {
            return Err(io::Error::other("the power is off"));
        }
        state.change(NameChange::Remove(name.into()));
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.state();
        let result = state.call(Call::SyncDirectory);
        let changes = std::mem::take(&mut state.changes);
        result?;
        for change in changes {
            apply(&mut state.durable_names, change);
        }
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

impl StorageFile for DiskFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.state().files[self.1].bytes.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.0.state();
        let bytes = &state.files[self.1].bytes;
        let bytes = &bytes[bytes.len().min(offset as usize)..];
        let length = bytes.len().min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.0.state();
        let result = state.call(Call::Write);
        let first_after_off = matches!(
            state.fault, Some(Fault::PowerOff(nth)) if state.calls_all > nth
        );
        if first_after_off {
            return result;
        }
        let written = if result.is_ok() { bytes.len() } else { bytes.len() / 2 };
        let file = &mut state.files[self.1];
        let start = offset as usize;
        file.bytes[start..start + written].copy_from_slice(&bytes[..written]);
        file.dirty.extend(start / SECTOR..(start + written).div_ceil(SECTOR));
        result
    }

    fn allocate(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.0.state();
        state.call(Call::Allocate)?;
        state.files[self.1].bytes.resize(length as usize, 0);
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut state = self.0.state();
        let off = matches!(state.fault, Some(Fault::PowerOff(nth)) if state.calls_all + 1 >= nth);
        let result = state.call(Call::Sync);
        if off {
            return result;
        }
        let Content { bytes, durable, dirty } = &mut state.files[self.1];
        let dirty = std::mem::take(dirty);
        result?;
        durable.resize(bytes.len(), 0);
        for sector in dirty {
            let range = sector * SECTOR..((sector + 1) * SECTOR).min(bytes.len());
            durable[range.clone()].copy_from_slice(&bytes[range]);
        }
        Ok(())
    }
}
