//! Files, as the journal sees them: a flat directory of named files.
//!
//! The only way of the engine to a disk, so that the simulator can put its own in place.
//! Nothing here retries: an error goes up, and the journal stops for ever (I12).

use std::io;

mod archived;
mod database_file;
mod directory;

pub use archived::Archived;
pub use database_file::{DatabaseFile, FileIdentity};
pub use directory::{Directory, LockError};

/// A flat directory of files.
pub trait Storage: Send + 'static {
    /// An open file.
    type File: StorageFile;

    /// Creates a file, open for reading and writing. Fails if the name is taken.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file for reading.
    fn open_read(&self, name: &str) -> io::Result<Self::File>;

    /// Gives a file another name, replacing what had it. Durable after [`Storage::sync_directory`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Durable after [`Storage::sync_directory`].
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of all files, sorted.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes names durable: what was created, renamed and removed.
    fn sync_directory(&self) -> io::Result<()>;

    /// How many bytes more its disk has room for, about.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// A file of a [`Storage`].
pub trait StorageFile: Send + 'static {
    /// The length in bytes.
    fn length(&self) -> io::Result<u64>;

    /// Reads at `offset` until `buffer` is full or the file ends; says how much it read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`, going on after short writes and EINTR.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Reserves blocks for `length` bytes and sets the length.
    fn allocate(&mut self, length: u64) -> io::Result<()>;

    /// Makes the content durable, and what of the metadata is needed to read it back (fdatasync).
    fn sync_data(&mut self) -> io::Result<()>;
}
