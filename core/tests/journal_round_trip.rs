//! The journal over real directories: what goes in comes out again, over rotation and restarts.

use std::path::Path;

use sluice_core::journal::{
    Batch, InlineLog, JournalConfig, Log, Opened, Reader, Recovered, open, queued, verify,
};
use sluice_core::limits::{DEFAULT, Limits, TINY};
use sluice_core::storage::Directory;
use sluice_core::time::Timestamp;

const CELL: u16 = 7;

fn config(limits: Limits, seed: u64) -> JournalConfig {
    JournalConfig { cell: CELL, segment_bytes: limits.segment_bytes, limits, segment_seed: seed }
}

fn now(micros: u64) -> Timestamp {
    Timestamp::from_micros(1_000_000 + micros)
}

/// Opens the journal and gives it with all its records.
fn opened(path: &Path, limits: Limits, seed: u64) -> (Opened<Directory>, Vec<Vec<u8>>) {
    let storage = Directory::lock(path).expect("free");
    let mut records = Vec::new();
    let opened = open(storage, config(limits, seed), now(seed), &mut |sequence, _, record| {
        assert_eq!(sequence.get(), records.len() as u64 + 1);
        records.push(record.to_vec());
        Ok(())
    });
    (opened.unwrap_or_else(|fatal| panic!("{fatal}")), records)
}

fn record(number: usize) -> Vec<u8> {
    let mut bytes = format!("record {number} ").into_bytes();
    bytes.resize(number % 97 * 7, number as u8);
    bytes
}

#[test]
fn an_empty_directory_becomes_a_journal_of_one_small_segment() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (journal, records) = opened(folder.path(), DEFAULT, 1);
    assert!(records.is_empty());
    assert_eq!(journal.writer.next_sequence(), 1);
    assert_eq!(
        journal.recovered,
        Recovered {
            last_sequence: 0,
            last_time: Timestamp::ZERO,
            epoch: 1,
            records: 0,
            frames: 0,
            torn_tail: None
        }
    );
    let length = folder.path().join("0000000000000001.segment").metadata().expect("there").len();
    assert_eq!(length, DEFAULT.first_segment_bytes);
}

#[test]
fn records_come_back_over_rotation_and_restarts() {
    for (limits, rounds) in [(TINY, 40), (DEFAULT, 4)] {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut written = Vec::new();
        for round in 0..rounds {
            let (journal, records) = opened(folder.path(), limits, round);
            assert_eq!(records, written);
            assert_eq!(journal.recovered.epoch, round as u32 + 1);
            assert_eq!(journal.recovered.last_sequence, written.len() as u64);
            let mut preparer = (round % 2 == 1).then_some(journal.preparer);
            let mut log = InlineLog::new(journal.writer);
            let mut batch = Batch::new();
            for size in 0..12 {
                for _ in 0..size {
                    let bytes = record(written.len());
                    batch.push(&bytes);
                    written.push(bytes);
                }
                let ticket = log.stage(&mut batch, now(round)).expect("staged");
                assert_eq!(ticket.get(), written.len() as u64);
                assert_eq!(log.completed(), ticket);
                assert!(batch.is_empty());
                if let Some(preparer) = &mut preparer {
                    preparer.step().expect("prepared");
                }
            }
            log.idle(now(round)).expect("marked");
        }
        let storage = Directory::read_only(folder.path()).expect("readable");
        let summary = verify(storage.clone()).expect("intact");
        assert_eq!(summary.records, written.len() as u64);
        assert_eq!(summary.durable_up_to, written.len() as u64);
        let mut reader = Reader::open(storage).expect("readable");
        let mut read = Vec::new();
        while let Some(frame) = reader.next_proven().expect("intact") {
            read.extend(frame.records.map(<[u8]>::to_vec));
        }
        assert_eq!(read, written);
    }
}

#[test]
fn several_shards_write_through_one_committer() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (journal, _) = opened(folder.path(), TINY, 1);
    drop(journal.preparer);
    let (mut committer, mut logs) = queued(journal.writer, 3, &TINY);
    let mut batch = Batch::new();
    for round in 0..20_u8 {
        for (shard, log) in logs.iter_mut().enumerate() {
            batch.push(&[round, shard as u8]);
            let ticket = log.stage(&mut batch, now(0)).expect("staged");
            assert_eq!(ticket, log.staged());
        }
        assert!(logs[0].completed() < logs[0].staged());
        let progress = committer.step(now(1)).expect("committed");
        assert!(progress.advanced);
        assert_eq!(progress.completed, logs[0].staged());
        assert_eq!(logs[2].completed(), logs[0].staged());
    }
    assert!(committer.needs_mark());
    committer.idle(now(2)).expect("marked");
    drop((committer, logs));
    let (_, records) = opened(folder.path(), TINY, 2);
    let expected = (0..20).flat_map(|round| (0..3).map(move |shard| vec![round, shard]));
    assert!(records.into_iter().eq(expected));
}
