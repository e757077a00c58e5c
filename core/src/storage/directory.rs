//! The real directory: POSIX files through `rustix`, locked against a second server.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FlockOperation, Mode, OFlags};

use super::{Storage, StorageFile};

const LOCK_NAME: &str = "lock";

/// A directory on a file system. Clones share the lock, which ends with the last of them.
#[derive(Clone, Debug)]
pub struct Directory {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    handle: File,
    _lock: Option<File>,
}

/// Why a directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{} is in use by another server", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It could not be created, opened or locked.
    #[error("{}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Directory {
    /// Creates the directory if there is none, and locks it for this process.
    ///
    /// # Errors
    /// [`LockError::InUse`] if another process has it; [`LockError::Io`] for all else.
    pub fn lock(path: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io { path: path.to_path_buf(), source };
        std::fs::create_dir_all(path).map_err(io)?;
        let handle = File::open(path).map_err(io)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK_NAME))
            .map_err(io)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(LockError::InUse { path: path.to_path_buf() });
            }
            Err(errno) => return Err(io(errno.into())),
        }
        let inner = Inner { path: path.to_path_buf(), handle, _lock: Some(lock) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Opens the directory for reading beside a running server, without the lock.
    ///
    /// # Errors
    /// What the system says if it cannot be opened.
    pub fn read_only(path: &Path) -> io::Result<Self> {
        let handle = File::open(path)?;
        let inner = Inner { path: path.to_path_buf(), handle, _lock: None };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    fn open_with(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP;
        let file = rustix::fs::openat(&self.inner.handle, name, flags | OFlags::CLOEXEC, mode)?;
        Ok(file.into())
    }
}

impl Storage for Directory {
    type File = File;

    fn create(&self, name: &str) -> io::Result<File> {
        self.open_with(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
    }

    fn open(&self, name: &str) -> io::Result<File> {
        self.open_with(name, OFlags::RDWR)
    }

    fn open_read(&self, name: &str) -> io::Result<File> {
        self.open_with(name, OFlags::RDONLY)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.inner.handle, from, &self.inner.handle, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.inner.handle, name, rustix::fs::AtFlags::empty())?)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.inner.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.inner.handle)?)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let disk = rustix::fs::fstatvfs(&self.inner.handle)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

impl StorageFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match FileExt::read_at(self, &mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn allocate(&mut self, length: u64) -> io::Result<()> {
        Ok(rustix::fs::fallocate(&*self, FallocateFlags::empty(), 0, length)?)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&*self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::{Directory, LockError};
    use crate::storage::{Storage, StorageFile};

    #[test]
    fn a_second_server_is_refused_while_the_first_lives() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let first = Directory::lock(folder.path()).expect("free");
        assert!(matches!(Directory::lock(folder.path()), Err(LockError::InUse { .. })));
        let reader = Directory::read_only(folder.path()).expect("readers need no lock");
        assert_eq!(reader.list().expect("listed"), ["lock"]);
        drop(first);
        Directory::lock(folder.path()).expect("free again");
    }

    #[test]
    fn reads_what_it_wrote() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let storage = Directory::lock(folder.path()).expect("free");
        let mut file = storage.create("a").expect("created");
        assert!(storage.create("a").is_err(), "the name is taken");
        file.allocate(1_024).expect("allocated");
        file.write_at(b"units", 510).expect("written");
        file.sync_data().expect("synced");
        storage.rename("a", "b").expect("renamed");
        storage.sync_directory().expect("synced");
        let file = storage.open_read("b").expect("opened");
        let mut bytes = [0; 8];
        assert_eq!(StorageFile::read_at(&file, &mut bytes, 510).expect("read"), 8);
        assert_eq!(&bytes, b"units\0\0\0");
        assert_eq!(StorageFile::read_at(&file, &mut bytes, 1_020).expect("read"), 4);
        assert_eq!(file.length().expect("length"), 1_024);
    }
}
