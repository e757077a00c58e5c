//! The journal over real directories: what goes in comes out again, over rotation and restarts.

use std::path::Path;
use std::time::Duration;

use journal_opening::open_into;
use sluice_core::journal::{
    Batch, InlineLog, JournalConfig, Kind, Log, Opened, Preparing, Reader, Recovered, open, queued,
    verify,
};
use sluice_core::limits::{DEFAULT, Limits, TINY};
use sluice_core::storage::Directory;
use sluice_core::time::Timestamp;

mod journal_opening;

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
    let opened = open_into(storage, config(limits, seed), now(seed), &mut records);
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

#[test]
fn a_reader_beside_the_writer_sees_what_is_durable_and_no_more() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (journal, _) = opened(folder.path(), TINY, 1);
    let mut preparer = journal.preparer;
    let mut log = InlineLog::new(journal.writer);
    let storage = Directory::read_only(folder.path()).expect("readable");
    let mut proven = Reader::open(storage.clone()).expect("a journal");
    let mut follower = Reader::open(storage).expect("a journal");
    let (mut by_proof, mut by_mark) = (Vec::new(), Vec::new());
    let mut written = Vec::new();
    let mut batch = Batch::new();
    for round in 0..200 {
        for _ in 0..round % 3 + 1 {
            let bytes = record(written.len());
            batch.push(&bytes);
            written.push(bytes);
        }
        let unproven = batch.len();
        let durable = log.stage(&mut batch, now(round)).expect("staged").get();
        preparer.step().expect("prepared");
        while let Some(frame) = follower.next_durable(durable).expect("intact") {
            by_mark.extend(frame.records.map(<[u8]>::to_vec));
        }
        assert_eq!(by_mark, written);
        while let Some(frame) = proven.next_proven().expect("intact") {
            by_proof.extend(frame.records.map(<[u8]>::to_vec));
        }
        if round % 5 == 0 {
            log.idle(now(round)).expect("marked");
            continue;
        }
        assert!(by_proof.len() < written.len(), "the last frame is not proven yet");
        assert!(by_proof.len() >= written.len() - unproven);
    }
    log.idle(now(200)).expect("marked");
    while let Some(frame) = proven.next_proven().expect("intact") {
        by_proof.extend(frame.records.map(<[u8]>::to_vec));
    }
    assert_eq!(by_proof, written);
    let mark = follower.next_durable(u64::MAX).expect("intact").expect("the last mark");
    assert_eq!((mark.kind, mark.count), (Kind::Mark, 0));
    let lost = follower.next_durable(u64::MAX).expect_err("more is called durable than there is");
    assert_eq!(lost.exit_code(), 65);
}

#[test]
fn batches_share_a_frame_or_fill_several() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (journal, _) = opened(folder.path(), TINY, 1);
    let mut writer = journal.writer;
    let batch_of = |records: &[usize]| {
        let mut batch = Batch::new();
        for length in records {
            batch.push(&vec![*length as u8; *length]);
        }
        batch
    };
    // At most four records and 2 KiB in a frame of these limits.
    let batches = [
        vec![batch_of(&[1, 2]), batch_of(&[]), batch_of(&[3, 4])],
        vec![batch_of(&[1, 2, 3]), batch_of(&[4, 5])],
        vec![batch_of(&[1_024, 900, 1_024, 8])],
    ];
    let mut through = 0;
    for group in &batches {
        through += group.iter().map(|batch| batch.len() as u64).sum::<u64>();
        let committed = writer.commit(&mut group.iter(), now(0)).expect("committed");
        assert_eq!(committed.through(), through);
    }
    assert_eq!(writer.commit(&mut std::iter::empty(), now(0)).expect("nothing").through(), through);
    writer.mark(now(0)).expect("marked");
    let storage = Directory::read_only(folder.path()).expect("readable");
    let mut reader = Reader::open(storage).expect("a journal");
    let mut counts = Vec::new();
    while let Some(frame) = reader.next_proven().expect("intact") {
        if frame.kind == Kind::Records {
            counts.push(frame.count);
        }
    }
    assert_eq!(counts, [4, 4, 1, 2, 2]);
}

#[test]
fn time_never_falls_from_frame_to_frame() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (journal, _) = opened(folder.path(), TINY, 9);
    let mut log = InlineLog::new(journal.writer);
    drop(journal.preparer);
    let mut batch = Batch::new();
    for micros in [500, 3, 700] {
        batch.push(b"record");
        log.stage(&mut batch, now(micros)).expect("staged");
    }
    drop(log);
    let mut times = Vec::new();
    let storage = Directory::lock(folder.path()).expect("free");
    let opened = open(
        storage,
        config(TINY, 2),
        None,
        now(0),
        &mut |_, time, _| {
            times.push(time);
            Ok(())
        },
        &mut || {},
    );
    assert_eq!(times, [now(500), now(500), now(700)]);
    assert_eq!(opened.unwrap_or_else(|e| panic!("{e}")).recovered.last_time, now(700));
}

#[test]
fn a_helper_thread_and_the_writer_make_segments_side_by_side() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (journal, _) = opened(folder.path(), TINY, 1);
    let mut preparer = journal.preparer;
    let helper = std::thread::spawn(move || {
        loop {
            match preparer.step().expect("prepared") {
                Preparing::More => {}
                // The writer calls at each segment that it takes; nothing is missed meanwhile.
                Preparing::Idle => match preparer.wait(Duration::from_secs(60)) {
                    Preparing::Closed => break,
                    Preparing::More | Preparing::Idle | Preparing::Full => {}
                },
                Preparing::Full => panic!("the disk is full"),
                Preparing::Closed => break,
            }
        }
    });
    let mut log = InlineLog::new(journal.writer);
    let mut batch = Batch::new();
    for number in 0..600 {
        batch.push(&record(number));
        batch.push(&record(number));
        log.stage(&mut batch, now(0)).expect("staged");
    }
    assert_eq!(log.durable_mark().durable(), 1_200);
    drop(log);
    helper.join().expect("no panic");
    let (journal, records) = opened(folder.path(), TINY, 2);
    assert_eq!((journal.recovered.records, journal.recovered.torn_tail), (1_200, None));
    assert!(records.iter().enumerate().all(|(number, bytes)| *bytes == record(number / 2)));
}

#[test]
fn a_reader_may_begin_behind_any_record_and_says_where_it_does() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mut journal, _) = opened(folder.path(), TINY, 1);
    const RECORDS: u64 = 60;
    for number in 0..RECORDS {
        let mut batch = Batch::new();
        batch.push(&number.to_le_bytes());
        let mut batches = std::iter::once(&batch);
        let _durable = journal.writer.commit(&mut batches, now(number)).expect("stored");
    }
    journal.writer.mark(now(RECORDS)).expect("stored");
    let storage = Directory::read_only(folder.path()).expect("readable");
    let behind = |after: u64| {
        let mut reader = Reader::open_after(storage.clone(), after).expect("a journal");
        let first = reader.next_sequence();
        let mut records = 0;
        while let Some(frame) = reader.next_proven().expect("intact") {
            records += frame.count;
        }
        (first, records)
    };
    for after in 0..=RECORDS {
        assert_eq!(behind(after), (after + 1, RECORDS - after));
    }

    // Without its first segments it begins later than it was asked to.
    for index in 1..=3 {
        std::fs::remove_file(folder.path().join(format!("{index:016x}.segment"))).expect("there");
    }
    let (first, records) = behind(0);
    assert!(first > 3, "{first}");
    assert_eq!(records, RECORDS + 1 - first);
    assert_eq!(behind(RECORDS - 2), (RECORDS - 1, 2));
}
