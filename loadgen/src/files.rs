//! Result files: known to be writable before the run, whole or not there after it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sluice_loadgen::{Error, Result};

use crate::values::setting;

/// A file that will hold a result. Until it is kept, what is written stands in another file beside it.
#[derive(Debug)]
pub(crate) struct ResultFile {
    path: PathBuf,
    draft: PathBuf,
    file: File,
    is_kept: bool,
}

impl ResultFile {
    /// Makes sure that the file which the setting `key` names can be written. An earlier one is replaced in the end.
    pub(crate) fn open(key: &'static str, path: &Path) -> Result<ResultFile> {
        let bad = |why: &str| {
            setting(key, &path.display(), format!("must be a file that can be written: {why}"))
        };
        let Some(name) = path.file_name() else {
            return Err(bad("it has no name"));
        };
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            return Err(bad("there is something else of that name"));
        }
        let draft = format!(".{}.{}.part", name.to_string_lossy(), std::process::id());
        let draft = path.with_file_name(draft);
        let file = OpenOptions::new().write(true).create_new(true).open(&draft);
        let file = file.map_err(|error| bad(&error.to_string()))?;
        Ok(ResultFile { path: path.to_owned(), draft, file, is_kept: false })
    }

    /// Writes all of it, and gives it its name.
    pub(crate) fn keep(mut self, text: &str) -> Result<()> {
        let written = self.file.write_all(text.as_bytes());
        let kept = written.and_then(|()| std::fs::rename(&self.draft, &self.path));
        self.is_kept = kept.is_ok();
        kept.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> Error {
        let source = io::Error::new(error.kind(), format!("{}: {error}", self.path.display()));
        Error::System { what: "cannot write", source }
    }
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        if !self.is_kept {
            // An empty draft that cannot be removed does no harm.
            let _ = std::fs::remove_file(&self.draft);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ResultFile;
    use std::path::PathBuf;

    fn folder(name: &str) -> PathBuf {
        let name = format!("sluice-loadgen-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_result_is_whole_or_not_there() {
        let folder = folder("files");
        let path = folder.join("report.json");
        let names = || std::fs::read_dir(&folder).unwrap().count();
        drop(ResultFile::open("json", &path).unwrap());
        assert_eq!(names(), 0);
        for text in ["first", "second"] {
            let file = ResultFile::open("json", &path).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap_or_default().len() % 5, 0);
            file.keep(text).unwrap();
            assert_eq!((std::fs::read_to_string(&path).unwrap().as_str(), names()), (text, 1));
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_cannot_be_written_is_refused_beforehand() {
        let folder = folder("no-files");
        for path in ["nowhere/report.json", ".", "/", ""] {
            let error = ResultFile::open("html", &folder.join(path)).unwrap_err();
            assert!(error.to_string().starts_with("html: "), "{path}: {error}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
