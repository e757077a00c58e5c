//! A journal's directory together with the archive of what was trimmed from it, for readers.

use std::io;

use super::{Storage, StorageFile};

/// Both as one directory that is only read. A file that is in both is the directory's.
#[derive(Clone, Debug)]
pub struct Archived<S> {
    directory: S,
    archive: Option<S>,
}

impl<S: Storage> Archived<S> {
    /// A directory, and its archive if there is one.
    pub const fn new(directory: S, archive: Option<S>) -> Self {
        Self { directory, archive }
    }
}

/// An open file of one of the two.
pub struct ArchivedFile<F>(F);

impl<S: Storage> Storage for Archived<S> {
    type File = ArchivedFile<S::File>;

    fn create(&self, _name: &str) -> io::Result<Self::File> {
        Err(read_only())
    }

    fn open(&self, _name: &str) -> io::Result<Self::File> {
        Err(read_only())
    }

    fn open_read(&self, name: &str) -> io::Result<Self::File> {
        let found = self.directory.open_read(name);
        let found = match (found, &self.archive) {
            (Err(error), Some(archive)) if error.kind() == io::ErrorKind::NotFound => {
                archive.open_read(name)
            }
            (found, _) => found,
        };
        found.map(ArchivedFile)
    }

    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        Err(read_only())
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        Err(read_only())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        // A segment is in the archive before it is gone from here.
        let mut names = self.directory.list()?;
        if let Some(archive) = &self.archive {
            names.extend(archive.list()?);
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn sync_directory(&self) -> io::Result<()> {
        Err(read_only())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Err(read_only())
    }
}

impl<F: StorageFile> StorageFile for ArchivedFile<F> {
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&mut self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        Err(read_only())
    }

    fn allocate(&mut self, _length: u64) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        Err(read_only())
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "a journal with its archive is only read")
}

#[cfg(test)]
mod tests {
    use super::super::{Directory, Storage, StorageFile};
    use super::Archived;

    #[test]
    fn what_is_in_either_is_found_and_nothing_is_written() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let places = ["here", "there"].map(|name| folder.path().join(name));
        for (place, files) in places.iter().zip([&["b", "c"], &["a", "b"]]) {
            std::fs::create_dir(place).expect("created");
            for name in files {
                std::fs::write(place.join(name), place.display().to_string()).expect("written");
            }
        }
        let [here, there] =
            places.each_ref().map(|place| Directory::read_only(place).expect("there"));
        let alone = Archived::new(here.clone(), None);
        let both = Archived::new(here, Some(there));
        assert_eq!(alone.list().expect("listed"), ["b", "c"]);
        assert_eq!(both.list().expect("listed"), ["a", "b", "c"]);
        for (name, place) in [("a", &places[1]), ("b", &places[0]), ("c", &places[0])] {
            let mut found = vec![0; 1_024];
            let file = both.open_read(name).expect("opened");
            let length = file.read_at(&mut found, 0).expect("read");
            assert_eq!(&found[..length], place.display().to_string().as_bytes(), "{name}");
        }
        assert!(both.open_read("d").is_err() && alone.open_read("a").is_err());
        assert!(both.create("d").is_err() && both.remove("a").is_err());
        assert!(both.open("a").is_err() && both.rename("a", "d").is_err());
    }
}
