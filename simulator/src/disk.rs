//! A simulated disk: what is written, what is durable, and what a crash leaves of the difference.
//!
//! Each file has the bytes that a reader sees and the bytes that a power cut leaves, by sectors of
//! 512 bytes. Names are durable only after a sync of the directory. After a failed sync the pages
//! count as clean although they never reached the disk: they can be read, the next sync succeeds,
//! and a power cut takes them back (as Linux does; Rebello and others, "Can Applications Recover
//! from fsync Failures?"). Beside that the disk keeps its own account of which frames of the
//! journal are durable in truth: the oracle rests on it, and never on what the journal believes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sluice_core::storage::Storage;

use crate::chance::Chance;
use crate::frame::Frame;
use crate::marks::{Mark, Marks};
use crate::sectors::FileState;

mod file;

pub use file::SimFile;

/// How often calls fail, in ten thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct FaultRates {
    /// Writes that fail with EIO, some sectors written.
    pub write: u64,
    /// Writes, creations and reservations that fail with ENOSPC.
    pub space: u64,
    /// Syncs of a file.
    pub sync: u64,
    /// Renames and removals.
    pub rename: u64,
    /// Syncs of the directory.
    pub directory: u64,
}

/// What a crash leaves of what was not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process ends: the page cache stays.
    Kill,
    /// Power is lost: every sector that was not synced is kept, lost or torn.
    PowerCut,
}

/// A flat directory that all clones share.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone)]
enum NameChange {
    Create(String, u64),
    /// From, to, and what is renamed: no other file that had the name before.
    Rename(String, String, u64),
    Remove(String),
}

#[derive(Clone)]
struct State {
    files: BTreeMap<u64, FileState>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    changes: Vec<NameChange>,
    next_inode: u64,
    rates: FaultRates,
    chance: Chance,
    /// Calls until the power goes; `None` if it stays.
    crash_in: Option<u64>,
    /// Whether it goes at the next sync of a frame with records.
    crash_at_sync: bool,
    dead: bool,
    /// Whether no file can grow.
    full: bool,
    /// Calls that were refused for want of space.
    refusals: u64,
    calls: u64,
    marks: Marks,
    /// Frames written and not synced.
    pending: Vec<(u64, Frame)>,
    /// Frames that became durable and were not taken yet.
    proven: Vec<Frame>,
    durable_through: u64,
    complaint: Option<String>,
}

impl SimDisk {
    /// An empty directory.
    pub fn new(chance: Chance) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                files: BTreeMap::new(),
                names: BTreeMap::new(),
                durable_names: BTreeMap::new(),
                changes: Vec::new(),
                next_inode: 1,
                rates: FaultRates::default(),
                chance,
                crash_in: None,
                crash_at_sync: false,
                dead: false,
                full: false,
                refusals: 0,
                calls: 0,
                marks: Marks::default(),
                pending: Vec::new(),
                proven: Vec::new(),
                durable_through: 0,
                complaint: None,
            })),
        }
    }

    /// Another disk with the same content, to be spoilt. Nothing fails on it.
    pub fn fork(&self) -> Self {
        let mut state = self.lock().clone();
        state.rates = FaultRates::default();
        (state.crash_in, state.crash_at_sync, state.dead) = (None, false, false);
        state.full = false;
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Draws from this stream from now on.
    pub fn reseed(&self, chance: Chance) {
        self.lock().chance = chance;
    }

    /// Calls fail at these rates from now on.
    pub fn set_rates(&self, rates: FaultRates) {
        self.lock().rates = rates;
    }

    /// The machine stops at the call with this number from now; `None`: it does not.
    pub fn crash_in(&self, calls: Option<u64>) {
        self.lock().crash_in = calls;
    }

    /// The machine stops between the write of a frame with records and its sync.
    pub fn crash_at_sync(&self, stops: bool) {
        self.lock().crash_at_sync = stops;
    }

    /// From now on no file can grow; or files can again.
    pub fn set_full(&self, full: bool) {
        let mut state = self.lock();
        if full {
            state.marks.hit(Mark::DiskFull);
        }
        state.full = full;
    }

    /// Whether no file can grow.
    pub fn is_full(&self) -> bool {
        self.lock().full
    }

    /// How many calls were refused for want of space.
    pub fn space_refusals(&self) -> u64 {
        self.lock().refusals
    }

    /// Whether the machine has stopped.
    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// How many calls that change something were made.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// The highest sequence that is durable in truth.
    pub fn durable_through(&self) -> u64 {
        self.lock().durable_through
    }

    /// Takes the frames that have become durable, in order.
    pub fn take_proven(&self) -> Vec<Frame> {
        std::mem::take(&mut self.lock().proven)
    }

    /// Takes what the journal did that no journal may.
    pub fn take_complaint(&self) -> Option<String> {
        self.lock().complaint.take()
    }

    /// Takes the marks that were hit.
    pub fn take_marks(&self) -> Marks {
        std::mem::take(&mut self.lock().marks)
    }

    /// Ends all that runs on it, and starts the machine again.
    pub fn crash(&self, crash: Crash) {
        let mut state = self.lock();
        let State { pending, changes, marks, files, .. } = &mut *state;
        if pending.iter().any(|(_, frame)| frame.count > 0) {
            marks.hit(Mark::CrashBetweenWriteAndSync);
        }
        if !changes.is_empty() {
            marks.hit(Mark::CrashBeforeDirectorySync);
        }
        if files.values().any(|file| !file.forsaken.is_empty()) {
            marks.hit(Mark::PagesForsaken);
        }
        if crash == Crash::PowerCut {
            state.cut_power();
            state.pending.clear();
        }
        (state.crash_in, state.crash_at_sync, state.dead) = (None, false, false);
    }

    /// The names and lengths of all files, as a reader sees them.
    pub fn files(&self) -> Vec<(String, usize)> {
        let state = self.lock();
        let length = |inode: &u64| state.files[inode].cached.len();
        state.names.iter().map(|(name, inode)| (name.clone(), length(inode))).collect()
    }

    /// The bytes of a file, as a reader sees them; nothing if there is no such file.
    pub fn content(&self, name: &str) -> Vec<u8> {
        let state = self.lock();
        let inode = state.names.get(name);
        inode.map(|inode| state.files[inode].cached.clone()).unwrap_or_default()
    }

    /// Replaces a file's content, behind everybody's back. `None` removes the file.
    pub fn spoil(&self, name: &str, content: Option<Vec<u8>>) {
        let mut state = self.lock();
        let Some(inode) = state.names.get(name).copied() else { return };
        match content {
            Some(bytes) => {
                let durable = bytes.clone();
                let file = FileState { cached: bytes, durable, ..FileState::default() };
                state.files.insert(inode, file);
            }
            None => {
                state.names.remove(name);
                state.durable_names.remove(name);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, inode: u64) -> SimFile {
        SimFile::new(self.clone(), inode)
    }

    fn open_file(&self, name: &str) -> io::Result<SimFile> {
        let state = self.lock();
        if state.dead {
            return Err(stopped());
        }
        match state.names.get(name) {
            Some(inode) => Ok(self.file(*inode)),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }
}

fn stopped() -> io::Error {
    io::Error::other("the machine has stopped")
}

impl State {
    /// One more call that changes something; the machine may stop at it.
    fn call(&mut self) -> io::Result<()> {
        if self.dead {
            return Err(stopped());
        }
        self.calls += 1;
        if let Some(calls) = &mut self.crash_in {
            if *calls == 0 {
                self.dead = true;
                return Err(stopped());
            }
            *calls -= 1;
        }
        Ok(())
    }

    fn no_space(&mut self) -> io::Error {
        self.refusals += 1;
        io::Error::from(io::ErrorKind::StorageFull)
    }

    fn fails(&mut self, rate: u64, mark: Mark) -> io::Result<()> {
        if rate > 0 && self.chance.at_rate(rate) {
            self.marks.hit(mark);
            return Err(io::Error::other("simulated EIO"));
        }
        Ok(())
    }

    fn cut_power(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        let keep_all = self.chance.one_in(4);
        for change in changes {
            if keep_all || self.chance.one_in(2) {
                apply(&mut self.durable_names, &change);
            }
        }
        self.names = self.durable_names.clone();
        let used: BTreeSet<u64> = self.names.values().copied().collect();
        self.files.retain(|inode, _| used.contains(inode));
        for file in self.files.values_mut() {
            file.cut_power(&mut self.chance);
        }
    }

    /// The file's sync came back: what of the journal is durable now?
    fn prove(&mut self, inode: u64) {
        let (proven, pending) =
            std::mem::take(&mut self.pending).into_iter().partition(|(of, _)| *of == inode);
        self.pending = pending;
        let proven: Vec<(u64, Frame)> = proven;
        for (_, frame) in proven {
            self.durable_through = self.durable_through.max(frame.last_sequence());
            self.proven.push(frame);
        }
    }
}

fn apply(names: &mut BTreeMap<String, u64>, change: &NameChange) {
    match change {
        NameChange::Create(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        NameChange::Rename(from, to, inode) => {
            if names.get(from) == Some(inode) {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
        NameChange::Remove(name) => {
            names.remove(name);
        }
    }
}

impl Storage for SimDisk {
    type File = SimFile;

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut state = self.lock();
        state.call()?;
        if state.names.contains_key(name) {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        let rate = state.rates.space;
        if state.chance.at_rate(rate) {
            state.marks.hit(Mark::NoSpaceInRotation);
            return Err(state.no_space());
        }
        let inode = state.next_inode;
        state.next_inode += 1;
        state.files.insert(inode, FileState::default());
        state.names.insert(name.to_owned(), inode);
        state.changes.push(NameChange::Create(name.to_owned(), inode));
        drop(state);
        Ok(self.file(inode))
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        self.open_file(name)
    }

    fn open_read(&self, name: &str) -> io::Result<SimFile> {
        self.open_file(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.call()?;
        let rate = state.rates.rename;
        state.fails(rate, Mark::RenameFailed)?;
        let inode = state.names.remove(from);
        let inode = inode.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        if from.starts_with("ahead") {
            state.marks.hit(Mark::SegmentMadeAhead);
        }
        state.names.insert(to.to_owned(), inode);
        state.changes.push(NameChange::Rename(from.to_owned(), to.to_owned(), inode));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.call()?;
        let rate = state.rates.rename;
        state.fails(rate, Mark::RenameFailed)?;
        if state.names.remove(name).is_none() {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        state.changes.push(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.lock();
        if state.dead { Err(stopped()) } else { Ok(state.names.keys().cloned().collect()) }
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.call()?;
        let rate = state.rates.directory;
        state.fails(rate, Mark::DirectorySyncFailed)?;
        state.durable_names = state.names.clone();
        state.changes.clear();
        Ok(())
    }

    /// It is never full; calls are refused for want of space by chance.
    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}
