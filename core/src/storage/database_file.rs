//! The file of an embedded database, and what lies beside it: the database's own log of changes and
//! a note of ours.
//!
//! A database in a file may be deleted or replaced under a program that has it open, and a copy may
//! be put in its place beside the log of another. The note says up to where the file alone was once
//! known to hold everything, so that a file that holds less is known to be an older copy, to which
//! the log does not belong.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Longest note, in bytes: 20 digits and a line's end.
const NOTE_BYTES_MAX: usize = 21;

/// Which file a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
}

/// The path of an embedded database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseFile {
    path: PathBuf,
}

impl DatabaseFile {
    /// The database at `path`, whether there is one or not.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which file is there; `None` if there is none.
    ///
    /// # Errors
    /// The directory cannot be searched.
    pub fn identity(&self) -> io::Result<Option<FileIdentity>> {
        match fs::metadata(&self.path) {
            Ok(found) => Ok(Some(FileIdentity { device: found.dev(), inode: found.ino() })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates an empty file, if there is none, that only its owner and group may read.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(&self) -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o640);
        options.open(&self.path).map(|_| ())
    }

    /// Whether changes lie beside the file that it does not hold yet.
    ///
    /// # Errors
    /// The directory cannot be searched.
    pub fn has_log(&self) -> io::Result<bool> {
        match fs::metadata(self.beside("-wal")) {
            Ok(found) => Ok(found.len() > 0),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the changes that lie beside the file.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove_log(&self) -> io::Result<()> {
        for ending in ["-wal", "-shm"] {
            match fs::remove_file(self.beside(ending)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes that the file alone holds everything up to `sequence`. To be called once that is
    /// synced; the note itself need not be: an older one is true as well.
    ///
    /// # Errors
    /// What the system says.
    pub fn note(&self, sequence: u64) -> io::Result<()> {
        let draft = self.beside("-synced.draft");
        fs::write(&draft, format!("{sequence}\n"))?;
        fs::rename(draft, self.beside("-synced"))
    }

    /// What was noted last; 0 if nothing was, or if it cannot be read.
    pub fn noted(&self) -> u64 {
        let text = fs::read_to_string(self.beside("-synced")).unwrap_or_default();
        let whole = text.len() <= NOTE_BYTES_MAX;
        text.strip_suffix('\n').filter(|_| whole).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(ending);
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::DatabaseFile;

    #[test]
    fn a_file_that_takes_the_place_of_another_is_another() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = DatabaseFile::new(folder.path().join("a.db"));
        assert_eq!(file.identity().expect("searched"), None);
        std::fs::write(file.path(), "1").expect("written");
        let first = file.identity().expect("searched");
        assert!(first.is_some());
        std::fs::write(file.path(), "22").expect("written");
        assert_eq!(file.identity().expect("searched"), first, "the same file, with other contents");
        std::fs::write(folder.path().join("b.db"), "1").expect("written");
        std::fs::rename(folder.path().join("b.db"), file.path()).expect("renamed");
        assert_ne!(file.identity().expect("searched"), first);
    }

    #[test]
    fn a_note_is_whole_or_none() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = DatabaseFile::new(folder.path().join("a.db"));
        assert_eq!(file.noted(), 0);
        file.note(12_345).expect("written");
        assert_eq!(file.noted(), 12_345);
        for broken in ["123", "", "x\n", "-1\n", "111111111111111111111\n"] {
            std::fs::write(folder.path().join("a.db-synced"), broken).expect("written");
            assert_eq!(file.noted(), 0, "{broken:?}");
        }
    }

    #[test]
    fn a_log_is_found_and_removed() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = DatabaseFile::new(folder.path().join("a.db"));
        std::fs::write(folder.path().join("a.db-wal"), "").expect("written");
        assert!(!file.has_log().expect("searched"), "an empty one holds nothing");
        std::fs::write(folder.path().join("a.db-wal"), "changes").expect("written");
        assert!(file.has_log().expect("searched"));
        file.remove_log().expect("removed");
        assert!(!file.has_log().expect("searched"));
        file.remove_log().expect("nothing to remove");
    }
}
