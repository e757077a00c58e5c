//! What a data directory remembers of how long orders stayed in the ledger: when it was first used, and
//! the shortest retention that a server was ever started with. What left the ledger before a start was
//! placed behind the one and is older than the other, whatever the retention is now.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::Deserialize;
use sluice_core::id::JournalId;
use sluice_core::time::Timestamp;

const FILE_NAME: &str = "retention.toml";

/// What is known of the starts before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Earlier {
    /// No order is older.
    pub(crate) began: Timestamp,
    /// How long a final order stayed at least, in microseconds.
    pub(crate) retention_us: u64,
}

impl Earlier {
    /// Nothing is known.
    pub(crate) const UNKNOWN: Self = Self { began: Timestamp::ZERO, retention_us: 0 };
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    journal: String,
    began_us: u64,
    shortest_us: u64,
}

/// What the file in `data_dir` has of the starts before this one. If it has nothing of this journal, or
/// nothing that can be read, this is the first start if there are no records (`had_records`), or else nothing is
/// known. From now on the file has this start's retention as well.
///
/// # Errors
/// The file can neither be written nor taken away.
pub(crate) fn earlier(
    data_dir: &Path,
    journal: &JournalId,
    (retention_us, now): (u64, Timestamp),
    had_records: bool,
) -> io::Result<Earlier> {
    let text = fs::read_to_string(data_dir.join(FILE_NAME)).ok();
    let kept = text.as_deref().and_then(|text| toml::from_str::<Kept>(text).ok());
    let journal = journal.to_string();
    let kept = kept.filter(|kept| had_records && kept.journal == journal);
    let earlier = match &kept {
        Some(kept) => {
            Earlier { began: Timestamp::from_micros(kept.began_us), retention_us: kept.shortest_us }
        }
        None if had_records => Earlier::UNKNOWN,
        None => Earlier { began: now, retention_us: u64::MAX },
    };
    let shortest_us = earlier.retention_us.min(retention_us);
    if kept.is_none_or(|kept| kept.shortest_us != shortest_us) {
        let kept = Kept { journal, began_us: earlier.began.micros(), shortest_us };
        if let Err(error) = write(data_dir, &kept) {
            // Without it nothing is believed; with an old one, what is wrong. A full disk has room for
            // less.
            tracing::warn!("{FILE_NAME} cannot be written: {error}");
            return forget(data_dir).map(|()| earlier);
        }
    }
    Ok(earlier)
}

/// Takes the file away, if there is one.
fn forget(data_dir: &Path) -> io::Result<()> {
    match fs::remove_file(data_dir.join(FILE_NAME)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => File::open(data_dir)?.sync_all(),
    }
}

/// Replaces the file by one that is durable.
fn write(data_dir: &Path, kept: &Kept) -> io::Result<()> {
    let mut draft =
        tempfile::Builder::new().prefix("retention.").suffix(".tmp").tempfile_in(data_dir)?;
    writeln!(
        draft,
        "# Written by the server: its first start, and its shortest --retention ever."
    )?;
    writeln!(draft, "journal = \"{}\"", kept.journal)?;
    writeln!(draft, "began_us = {}", kept.began_us)?;
    writeln!(draft, "shortest_us = {}", kept.shortest_us)?;
    draft.as_file().sync_all()?;
    draft.persist(data_dir.join(FILE_NAME))?;
    File::open(data_dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use sluice_core::id::JournalId;
    use sluice_core::time::Timestamp;

    use super::{Earlier, FILE_NAME, earlier};

    const OURS: JournalId = JournalId::from_bits(7);

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn the_first_start_and_the_shortest_retention_are_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let start = |retention, now, had_records| {
            earlier(folder.path(), &OURS, (retention, at(now)), had_records).expect("written")
        };
        for now in [3, 5] {
            let first = start(50, now, false);
            assert_eq!(first, Earlier { began: at(now), retention_us: u64::MAX });
        }
        let shortest = [70, 20, 60, 20].map(|retention| start(retention, 9, true));
        assert_eq!(shortest.map(|earlier| earlier.retention_us), [50, 50, 20, 20]);
        assert!(shortest.iter().all(|earlier| earlier.began == at(5)));
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn what_is_kept_of_another_journal_says_nothing_of_this_one() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let start = |journal: u128, had_records| {
            let journal = JournalId::from_bits(journal);
            earlier(folder.path(), &journal, (70, at(9)), had_records).expect("written")
        };
        start(8, false);
        assert_eq!(start(7, true), Earlier::UNKNOWN);
        assert_eq!(start(8, true), Earlier::UNKNOWN, "the file is the other's now");
    }

    #[test]
    fn what_nobody_kept_may_have_been_anything() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let start = || earlier(folder.path(), &OURS, (70, at(9)), true).expect("written");
        assert_eq!([start(), start()], [Earlier::UNKNOWN; 2]);
        std::fs::write(folder.path().join(FILE_NAME), "shortest_us = \"?\"").expect("written");
        assert_eq!(start(), Earlier::UNKNOWN);
    }
}
