//! The folder of a server: temporary, and swept up by the next one if its process was killed.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

/// What the names of all of them begin with.
const PREFIX: &str = "sluice-service-";

/// A folder that goes when it is dropped.
pub(crate) struct Folder {
    place: TempDir,
    /// It is locked as long as its process lives: whoever gets the lock may remove the folder.
    _lock: File,
}

impl Folder {
    /// Makes one in `parent`, or in the system's folder for what is temporary.
    pub(crate) fn new(parent: Option<&Path>) -> Result<Self> {
        let parent = parent.map_or_else(std::env::temp_dir, PathBuf::from);
        let parent = parent.canonicalize().with_context(|| parent.display().to_string())?;
        sweep(&parent);
        loop {
            let place = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&parent)?;
            let lock = File::open(place.path())?;
            // A sweeper may have been quicker, and then it removes this one.
            if lock.try_lock().is_ok() && place.path().exists() {
                return Ok(Self { place, _lock: lock });
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }
}

/// Removes the folders in `parent` whose processes were killed.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if ours
            && let Ok(folder) = File::open(entry.path())
            && folder.try_lock().is_ok()
        {
            // Whose it is may not be ours to remove; then it stays.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A user who owns files, and their group.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    /// The user's number.
    pub(crate) user: u32,
    /// The group's.
    pub(crate) group: u32,
}

impl Owner {
    /// Gives them `path`.
    pub(crate) fn take(self, path: &Path) -> Result<()> {
        Ok(chown(path, Some(self.user), Some(self.group))?)
    }
}

/// Copies a folder of files and folders, with their permissions, and gives the copy to `owner`.
pub(crate) fn copy(from: &Path, to: &Path, owner: Option<Owner>) -> Result<()> {
    fs::create_dir(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, to) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &to, owner)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &to)?;
            owner.map_or(Ok(()), |owner| owner.take(&to))?;
        } else {
            bail!("{} is neither a file nor a folder", entry.path().display());
        }
    }
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    owner.map_or(Ok(()), |owner| owner.take(to))
}

/// Writes a file that only its owner may read.
pub(crate) fn write_secret(path: &Path, text: &str, owner: Option<Owner>) -> Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    owner.map_or(Ok(()), |owner| owner.take(path))
}

#[cfg(test)]
mod tests {
    use super::{Folder, PREFIX, copy};
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn folders_left_behind_are_swept_up_and_those_in_use_are_not() {
        let parent = tempfile::tempdir().expect("a folder");
        let [left, other] = [format!("{PREFIX}left"), "another".to_owned()];
        for name in [&left, &other] {
            fs::create_dir_all(parent.path().join(name).join("deep")).expect("created");
        }
        let used = Folder::new(Some(parent.path())).expect("made");
        assert!(!parent.path().join(left).exists());
        let second = Folder::new(Some(parent.path())).expect("made");
        assert!(parent.path().join(other).exists());
        assert!(used.path().exists());
        drop((used, second));
        assert_eq!(fs::read_dir(parent.path()).expect("read").count(), 1);
    }

    #[test]
    fn a_copy_has_the_same_files_with_the_same_permissions() {
        let folder = tempfile::tempdir().expect("a folder");
        let [from, to, again] = ["from", "to", "again"].map(|name| folder.path().join(name));
        fs::create_dir_all(from.join("empty")).expect("created");
        fs::write(from.join("file"), "text").expect("written");
        fs::set_permissions(from.join("file"), fs::Permissions::from_mode(0o600)).expect("set");
        fs::set_permissions(&from, fs::Permissions::from_mode(0o700)).expect("set");
        copy(&from, &to, None).expect("copied");
        assert_eq!(fs::read_to_string(to.join("file")).expect("read"), "text");
        assert!(to.join("empty").is_dir());
        let mode = |name| fs::metadata(to.join(name)).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(""), mode("file")), (0o700, 0o600));
        symlink("file", from.join("link")).expect("linked");
        copy(&from, &again, None).expect_err("a link");
    }
}
