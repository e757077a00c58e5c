//! Damage of every kind, in real directories: recovery judges it rightly or cuts a torn tail.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use journal_opening::open_into;
use sluice_core::journal::{
    Batch, Fatal, InlineLog, JournalConfig, Kind, Log, Opened, Reader, open, verify,
};
use sluice_core::limits::{Limits, TINY};
use sluice_core::storage::Directory;
use sluice_core::time::Timestamp;

mod journal_opening;

/// Frames of up to 8 KiB in segments of 192 KiB.
const LIMITS: Limits = Limits {
    frame_bytes_max: 8 << 10,
    frame_records_max: 64,
    segment_bytes: 192 << 10,
    first_segment_bytes: 64 << 10,
    ..TINY
};

const SECTOR: u64 = 512;

fn now() -> Timestamp {
    Timestamp::from_micros(1_000_000)
}

/// A frame of an undamaged journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    segment: u64,
    offset: u64,
    /// Where its padding begins, and where it ends.
    content_end: u64,
    end: u64,
    kind: Kind,
    first: u64,
    count: u64,
}

/// A journal on disk, and what should be in it.
struct Journal {
    folder: tempfile::TempDir,
    records: Vec<Vec<u8>>,
    frames: Vec<Place>,
}

fn segment(path: &Path, index: u64) -> PathBuf {
    path.join(format!("{index:016x}.segment"))
}

fn open_in(path: &Path, seed: u64, records: &mut Vec<Vec<u8>>) -> Result<Opened<Directory>, Fatal> {
    let storage = Directory::lock(path).expect("free");
    let config = JournalConfig {
        cell: 1,
        segment_bytes: LIMITS.segment_bytes,
        limits: LIMITS,
        segment_seed: seed,
    };
    open_into(storage, config, now(), records)
}

fn verified(path: &Path) -> Result<sluice_core::journal::Summary, Fatal> {
    verify(Directory::read_only(path).expect("readable"))
}

impl Journal {
    /// A journal of about `bytes`, with its last frame proven or not.
    fn written(bytes: usize, seed: u64, marked: bool) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut records = Vec::new();
        let journal = open_in(folder.path(), seed, &mut Vec::new());
        let mut log = InlineLog::new(journal.unwrap_or_else(|fatal| panic!("{fatal}")).writer);
        let mut batch = Batch::new();
        let mut written = 0;
        for number in 0_usize.. {
            let record = vec![number as u8 | 1; number * 37 % 900 + 1];
            written += record.len();
            batch.push(&record);
            records.push(record);
            if number % 41 == number % 7 {
                log.stage(&mut batch, now()).expect("staged");
            }
            if written >= bytes {
                break;
            }
        }
        for _ in 0..3 {
            for _ in 0..5 {
                batch.push(&[0xa5; 700]);
                records.push(vec![0xa5; 700]);
            }
            log.stage(&mut batch, now()).expect("staged");
        }
        if marked {
            log.idle(now()).expect("marked");
        }
        drop(log);
        let frames = frames(folder.path(), records.len() as u64, marked);
        Self { folder, records, frames }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn segments(&self) -> u64 {
        self.frames.last().expect("frames").segment
    }

    fn last(&self) -> Place {
        *self.frames.last().expect("frames")
    }

    fn copy(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().expect("temporary folder");
        for index in 1..=self.segments() {
            fs::copy(segment(self.path(), index), segment(copy.path(), index)).expect("copied");
        }
        copy
    }

    /// The frame that holds this byte of a segment.
    fn frame_at(&self, segment: u64, byte: u64) -> Option<Place> {
        let holds =
            |frame: &&Place| frame.segment == segment && (frame.offset..frame.end).contains(&byte);
        self.frames.iter().find(holds).copied()
    }

    /// Opens a copy twice: the tail is cut with a line in the log, then the journal is clean.
    fn expect_cut(&self, copy: &Path, offset: u64, records: usize) {
        for round in 0..2 {
            let mut read = Vec::new();
            let journal = open_in(copy, 90 + round, &mut read).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(read, self.records[..records]);
            let torn = journal.recovered.torn_tail.map(|torn| (torn.segment, torn.offset));
            assert_eq!(torn, (round == 0).then_some((self.segments(), offset)));
        }
        assert_eq!(verified(copy).expect("clean").torn_tail, None);
    }
}

/// All frames of an intact journal, as a reader sees them.
fn frames(path: &Path, last_sequence: u64, marked: bool) -> Vec<Place> {
    let mut reader =
        Reader::open(Directory::read_only(path).expect("readable")).expect("a journal");
    let mut frames = Vec::new();
    loop {
        // A mark behind the last record is a proven frame, but not needed by a follower.
        let next = if marked { reader.next_proven() } else { reader.next_durable(last_sequence) };
        let Some(frame) = next.expect("intact") else { break };
        let body: usize = frame.records.clone().map(|record| record.len() + 4).sum();
        let seal = if frame.kind == Kind::Seal { 8 } else { 0 };
        let length = (64 + body + seal) as u64;
        frames.push(Place {
            segment: frame.segment,
            offset: frame.offset,
            content_end: frame.offset + length,
            end: frame.offset + length.next_multiple_of(SECTOR),
            kind: frame.kind,
            first: frame.first_sequence,
            count: frame.count,
        });
    }
    frames
}

fn corrupt_at(result: Result<impl Sized, Fatal>) -> (u64, u64) {
    match result {
        Ok(_) => panic!("believed"),
        Err(fatal) => {
            assert_eq!(fatal.exit_code(), 65, "{fatal}");
            match fatal {
                Fatal::Corrupt { place, .. } => (place.segment, place.offset),
                other => panic!("{other}"),
            }
        }
    }
}

fn editable(path: &Path, index: u64) -> File {
    OpenOptions::new().read(true).write(true).open(segment(path, index)).expect("opened")
}

/// What damage at a byte must be called, checked against `verify`, which shares recovery's table.
fn check_damage(journal: &Journal, index: u64, byte: u64, truncated: bool, context: &str) {
    let result = verified(journal.path());
    let last = journal.last();
    match journal.frame_at(index, byte) {
        None if byte < SECTOR => assert_eq!(corrupt_at(result), (index, 0), "{context}"),
        Some(frame) if frame != last || truncated => {
            // What is cut off reads as zeros, so a frame without its padding is whole.
            let whole = truncated && byte >= frame.content_end;
            let offset = if whole { frame.end } else { frame.offset };
            assert_eq!(corrupt_at(result), (index, offset), "{context}");
        }
        None if index < last.segment || truncated => {
            assert_eq!(corrupt_at(result).0, index, "{context}");
        }
        Some(_) | None => {
            // The last frame, or the zeros behind it: cut, and nothing below the mark is lost.
            let summary = result.unwrap_or_else(|fatal| panic!("{context}: {fatal}"));
            assert!(summary.last_sequence >= last.first - 1, "{context}");
            match summary.torn_tail {
                Some(torn) => assert_eq!((torn.segment, torn.offset <= byte), (index, true)),
                // A mark is 64 bytes long: zeroed as a whole, it was never there.
                None => assert_eq!((last.kind, byte), (Kind::Mark, last.offset), "{context}"),
            }
        }
    }
}

/// Flips, zeroes and truncates at every 64th byte of one segment; restores after each.
fn damage_segment(journal: &Journal, index: u64) {
    let bytes = fs::read(segment(journal.path(), index)).expect("read");
    let file = editable(journal.path(), index);
    for byte in (0..bytes.len()).step_by(64) {
        let at = byte as u64;
        file.write_all_at(&[bytes[byte] ^ 0x10], at).expect("flipped");
        check_damage(journal, index, at, false, &format!("flip {index}:{byte}"));
        file.write_all_at(&bytes[byte..=byte], at).expect("restored");

        let old = &bytes[byte..byte + 64];
        if let Some(first) = old.iter().position(|byte| *byte != 0) {
            file.write_all_at(&[0; 64], at).expect("zeroed");
            check_damage(journal, index, at + first as u64, false, &format!("zero {index}:{byte}"));
            file.write_all_at(old, at).expect("restored");
        }

        file.set_len(at).expect("truncated");
        check_damage(journal, index, at, true, &format!("truncate {index}:{byte}"));
        file.write_all_at(&bytes[byte..], at).expect("restored");
    }
}

#[test]
fn every_64th_byte_of_a_megabyte_damaged_is_judged_rightly() {
    let journal = Journal::written(1 << 20, 1, true);
    assert!(journal.segments() >= 5);
    assert_eq!(journal.last().kind, Kind::Mark);
    for index in 1..=journal.segments() {
        damage_segment(&journal, index);
    }
    let summary = verified(journal.path()).expect("all restored");
    assert_eq!(summary.records, journal.records.len() as u64);
}

#[test]
fn an_unproven_last_frame_is_cut_wherever_it_is_damaged() {
    let journal = Journal::written(100 << 10, 2, false);
    let last = journal.last();
    assert_eq!((last.kind, last.count), (Kind::Records, 5));
    let bytes = fs::read(segment(journal.path(), last.segment)).expect("read");
    for byte in (last.offset..last.end).step_by(64) {
        let copy = journal.copy();
        let flipped = [bytes[byte as usize] ^ 1];
        editable(copy.path(), last.segment).write_all_at(&flipped, byte).expect("flipped");
        journal.expect_cut(copy.path(), last.offset, last.first as usize - 1);
    }
}

#[test]
fn a_last_frame_torn_at_any_sector_is_cut() {
    let journal = Journal::written(100 << 10, 3, false);
    let last = journal.last();
    let sectors = (last.end - last.offset) / SECTOR;
    assert!(sectors >= 5);
    // Each subset in which exactly one sector, or everything from one sector on, was lost.
    for lost in 0..sectors {
        for through in [lost, sectors - 1] {
            let copy = journal.copy();
            let file = editable(copy.path(), last.segment);
            for sector in lost..=through {
                file.write_all_at(&[0; 512], last.offset + sector * SECTOR).expect("lost");
            }
            if lost == 0 && through == sectors - 1 {
                let mut read = Vec::new();
                let journal_again = open_in(copy.path(), 9, &mut read).expect("clean end");
                assert_eq!(journal_again.recovered.torn_tail, None);
                assert_eq!(read, journal.records[..last.first as usize - 1]);
            } else {
                journal.expect_cut(copy.path(), last.offset, last.first as usize - 1);
            }
        }
    }
}

#[test]
fn frames_swapped_or_repeated_are_refused() {
    let journal = Journal::written(100 << 10, 4, false);
    let frame_count = journal.frames.len();
    let (one, two) = (journal.frames[frame_count - 2], journal.last());
    assert_eq!(one.end - one.offset, two.end - two.offset);
    let bytes = fs::read(segment(journal.path(), two.segment)).expect("read");
    let of = |frame: Place| &bytes[frame.offset as usize..frame.end as usize];

    let swapped = journal.copy();
    let file = editable(swapped.path(), one.segment);
    file.write_all_at(of(two), one.offset).expect("written");
    file.write_all_at(of(one), two.offset).expect("written");
    let at = corrupt_at(open_in(swapped.path(), 9, &mut Vec::new()));
    assert_eq!(at, (one.segment, one.offset));

    for (source, target) in [(one, two.offset), (two, two.end), (one, two.end + 4 * SECTOR)] {
        let repeated = journal.copy();
        let file = editable(repeated.path(), one.segment);
        file.write_all_at(of(source), target).expect("written");
        let at = corrupt_at(open_in(repeated.path(), 9, &mut Vec::new()));
        assert_eq!(at, (two.segment, target.min(two.end)));
    }
}

#[test]
fn segments_missing_repeated_stale_or_foreign_are_refused() {
    let journal = Journal::written(700 << 10, 5, true);
    let segments = journal.segments();
    assert!(segments >= 4);
    for index in 1..=segments {
        let missing = journal.copy();
        fs::remove_file(segment(missing.path(), index)).expect("removed");
        let at = corrupt_at(open_in(missing.path(), 9, &mut Vec::new()));
        assert_eq!(at, (index, 0), "missing {index}");

        let repeated = journal.copy();
        let other = if index == 1 { 2 } else { index - 1 };
        fs::copy(segment(journal.path(), other), segment(repeated.path(), index)).expect("copied");
        let at = corrupt_at(open_in(repeated.path(), 9, &mut Vec::new()));
        assert_eq!(at, (index, 0), "repeated {index}");
    }
    // The same records, written by another life of the directory.
    let other_life = Journal::written(700 << 10, 6, true);
    for index in 1..=segments {
        let stale = journal.copy();
        fs::copy(segment(other_life.path(), index), segment(stale.path(), index)).expect("copied");
        let (at, _) = corrupt_at(open_in(stale.path(), 9, &mut Vec::new()));
        assert_eq!(at, if index == 1 { 2 } else { index }, "of another life {index}");
    }
    // An old copy of the same segment: as it was before its last frames.
    for index in 1..segments {
        let stale = journal.copy();
        let in_segment: Vec<_> = journal.frames.iter().filter(|f| f.segment == index).collect();
        let kept = in_segment[in_segment.len() / 2];
        let length = segment(stale.path(), index).metadata().expect("there").len();
        let file = editable(stale.path(), index);
        file.write_all_at(&vec![0; (length - kept.end) as usize], kept.end).expect("rolled back");
        let at = corrupt_at(open_in(stale.path(), 9, &mut Vec::new()));
        assert_eq!(at, (index, kept.end), "stale {index}");
    }
}

#[test]
fn another_cell_an_unknown_version_and_strange_names_are_refused() {
    let journal = Journal::written(10 << 10, 7, true);
    let storage = Directory::lock(journal.path()).expect("free");
    let config = JournalConfig {
        cell: 2,
        segment_bytes: LIMITS.segment_bytes,
        limits: LIMITS,
        segment_seed: 1,
    };
    let result = open(storage, config, None, now(), &mut |_, _, _| Ok(()), &mut || {});
    let fatal = result.err().expect("another cell");
    assert!(fatal.to_string().contains("cell 1, this is cell 2"), "{fatal}");

    let copy = journal.copy();
    editable(copy.path(), 1).write_all_at(&[9], 12).expect("written");
    let fatal = open_in(copy.path(), 9, &mut Vec::new()).err().expect("unknown version");
    assert!(fatal.to_string().contains("version 9"), "{fatal}");

    let copy = journal.copy();
    fs::write(copy.path().join("1.segment"), b"").expect("written");
    let fatal = open_in(copy.path(), 9, &mut Vec::new()).err().expect("strange name");
    assert!(fatal.to_string().contains("1.segment"), "{fatal}");
}

#[test]
fn segments_made_ahead_and_unfinished_ones_are_removed() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut journal = open_in(folder.path(), 1, &mut Vec::new()).expect("opened");
    while journal.preparer.step().expect("made") == sluice_core::journal::Preparing::More {}
    assert!(segment(folder.path(), 2).exists());
    drop(journal);
    fs::write(folder.path().join("ahead-03.preparing"), b"half").expect("written");
    let made = 1 + TINY.segments_ahead + TINY.segments_reserve;
    assert_eq!(verified(folder.path()).expect("clean").segments, made as u64);
    let journal = open_in(folder.path(), 2, &mut Vec::new()).expect("opened");
    assert_eq!(journal.recovered.torn_tail, None);
    assert!(!segment(folder.path(), 2).exists());
    assert!(!folder.path().join("ahead-03.preparing").exists());
}

#[test]
fn a_visitor_that_refuses_a_record_stops_the_opening() {
    let journal = Journal::written(10 << 10, 8, true);
    let storage = Directory::lock(journal.path()).expect("free");
    let config = JournalConfig {
        cell: 1,
        segment_bytes: LIMITS.segment_bytes,
        limits: LIMITS,
        segment_seed: 1,
    };
    let result = open(
        storage,
        config,
        None,
        now(),
        &mut |sequence, _, _| match sequence.get() {
            3 => Err(sluice_core::journal::RecordError::new("kind 99 is unknown")),
            _ => Ok(()),
        },
        &mut || {},
    );
    let fatal = result.err().expect("refused");
    assert!(matches!(fatal, Fatal::Record { sequence: 3, .. }), "{fatal}");
    assert_eq!(fatal.exit_code(), 65);
}

/// The planted bugs of recovery do what they are called: each believes what must be refused.
#[cfg(feature = "planted-bugs")]
#[test]
fn planted_bugs_believe_what_must_be_refused() {
    use sluice_core::planted::{Bug, plant};

    let journal = Journal::written(300 << 10, 9, true);
    let frame = journal.frames[journal.frames.len() / 2];
    let damaged = journal.copy();
    let file = editable(damaged.path(), frame.segment);
    file.write_all_at(&[0], frame.content_end - 1).expect("damaged");
    let stale = journal.copy();
    let length = segment(stale.path(), frame.segment).metadata().expect("there").len();
    let zeros = vec![0; (length - frame.end) as usize];
    let file = editable(stale.path(), frame.segment);
    file.write_all_at(&zeros, frame.end).expect("rolled back");

    for (folder, bug) in [
        (&stale, Bug::StaleSegmentAccepted),
        (&damaged, Bug::ChecksumSkipped),
        (&damaged, Bug::DamagedMiddleCut),
    ] {
        plant(None);
        corrupt_at(verified(folder.path()));
        plant(Some(bug));
        let result = verified(folder.path());
        plant(None);
        assert!(result.is_ok(), "{bug:?}");
    }
}

/// SplitMix64, for damage that anyone can repeat.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Opens what may be damaged in any way: refused with 65, or a run of records from the first on.
fn expect_a_run_or_a_refusal(journal: &Journal, copy: &Path, context: u64) {
    let mut read = Vec::new();
    match open_in(copy, 9, &mut read) {
        Ok(_) => assert_eq!(read, journal.records[..read.len()], "{context}"),
        Err(fatal) => assert_eq!(fatal.exit_code(), 65, "{context}: {fatal}"),
    }
}

#[test]
fn damage_in_several_places_never_panics_or_reorders() {
    let journal = Journal::written(120 << 10, 10, true);
    let mut state = 1;
    for round in 0..300 {
        let copy = journal.copy();
        for _ in 0..=random(&mut state) % 4 {
            let index = random(&mut state) % journal.segments() + 1;
            let length = segment(copy.path(), index).metadata().expect("there").len();
            let from = random(&mut state) % (length - 2_048);
            let to = random(&mut state) % (length - 2_048);
            let mut bytes = vec![0; 1 + random(&mut state) as usize % 2_048];
            let file = editable(copy.path(), index);
            match random(&mut state) % 3 {
                0 => file.read_exact_at(&mut bytes, from / SECTOR * SECTOR).expect("read"),
                1 => bytes.fill_with(|| random(&mut state) as u8),
                _ => {}
            }
            file.write_all_at(&bytes, to / SECTOR * SECTOR).expect("written");
        }
        expect_a_run_or_a_refusal(&journal, copy.path(), round);
    }
}

#[test]
fn an_intact_checksum_over_nonsense_is_refused_too() {
    let journal = Journal::written(20 << 10, 11, true);
    let mut state = 2;
    for round in 0..400 {
        let copy = journal.copy();
        let frame = journal.frames[random(&mut state) as usize % journal.frames.len()];
        let file = editable(copy.path(), frame.segment);
        let mut id = [0; 8];
        file.read_exact_at(&mut id, 24).expect("read");
        let mut bytes = vec![0; (frame.end - frame.offset) as usize];
        file.read_exact_at(&mut bytes, frame.offset).expect("read");
        // Any byte behind the length; the checksum is computed anew, as no damage would.
        let byte = 12 + random(&mut state) as usize % (bytes.len() - 12).min(100);
        bytes[byte] ^= 1 << (random(&mut state) % 8);
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&id), &bytes[8..]);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        file.write_all_at(&bytes, frame.offset).expect("written");

        let mut read = Vec::new();
        if let Err(fatal) = open_in(copy.path(), 9, &mut read) {
            assert_eq!(fatal.exit_code(), 65, "{round}: {fatal}");
        } else {
            // The time, a reserved field or a record's own bytes: nothing that the chain knows.
            assert_eq!(read.len(), journal.records.len(), "{round}: byte {byte}");
        }
    }
}
