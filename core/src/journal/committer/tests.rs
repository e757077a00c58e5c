//! The committer over a real directory: order, gaps, errors, the way back of buffers.

use std::time::Duration;

#[cfg(feature = "planted-bugs")]
use super::Ticket;
use super::{Committer, Log, QueuedLog, Staged, Waited, queued};
use crate::journal::{Batch, Fatal, JournalConfig, Opened, open};
use crate::limits::TINY;
use crate::storage::{Directory, Storage};
use crate::time::Timestamp;

fn now() -> Timestamp {
    Timestamp::from_micros(1_000_000)
}

fn journal(path: &std::path::Path) -> (Opened<Directory>, Vec<Vec<u8>>) {
    let storage = Directory::lock(path).expect("free");
    let config =
        JournalConfig { cell: 1, segment_bytes: TINY.segment_bytes, limits: TINY, segment_seed: 1 };
    let mut records = Vec::new();
    let opened = open(
        storage,
        config,
        None,
        now(),
        &mut |_, _, record| {
            records.push(record.to_vec());
            Ok(())
        },
        &mut || {},
    );
    (opened.unwrap_or_else(|fatal| panic!("{fatal}")), records)
}

fn three(path: &std::path::Path) -> (Committer<Directory>, Vec<QueuedLog>) {
    queued(journal(path).0.writer, 3, &TINY)
}

fn batch_of(records: &[&[u8]]) -> Batch {
    let mut batch = Batch::new();
    for record in records {
        batch.push(record);
    }
    batch
}

/// Reserves without sending, as a shard does that is interrupted between the two.
fn reserved(log: &QueuedLog, records: &[&[u8]]) -> Staged {
    let first = log.mark.reserve(records.len() as u64);
    Staged { first, time: now(), shard: log.shard, batch: batch_of(records) }
}

#[test]
fn a_batch_behind_a_gap_waits_until_the_gap_is_filled() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mut committer, mut logs) = three(folder.path());
    let slow = reserved(&logs[0], &[b"1", b"2"]);
    let slower = reserved(&logs[1], &[b"3"]);
    let ticket = logs[2].stage(&mut batch_of(&[b"4", b"5"]), now()).expect("staged");
    assert_eq!(ticket.get(), 5);

    let progress = committer.step(now()).expect("nothing to write");
    assert_eq!((progress.advanced, progress.completed.get(), committer.early()), (false, 0, 1));
    logs[1].send(slower).expect("room");
    assert!(!committer.step(now()).expect("still a gap").advanced);
    assert_eq!(committer.early(), 2);
    logs[0].send(slow).expect("room");
    let progress = committer.step(now()).expect("written");
    assert_eq!((progress.advanced, progress.completed, committer.early()), (true, ticket, 0));
    assert_eq!(logs[0].completed(), ticket);

    drop((committer, logs));
    let (_, records) = journal(folder.path());
    assert_eq!(records, [b"1", b"2", b"3", b"4", b"5"]);
}

#[test]
fn what_fills_a_gap_is_found_behind_a_full_queue() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mut committer, mut logs) = three(folder.path());
    let slow = reserved(&logs[0], &[b"1"]);
    for _ in 0..TINY.journal_queue_max {
        assert!(logs[1].has_room());
        logs[1].stage(&mut batch_of(&[b"x"]), now()).expect("staged");
    }
    assert!(!logs[1].has_room());
    assert!(!committer.step(now()).expect("a gap").advanced);
    assert!(logs[1].has_room(), "the queue was taken although nothing could be written");
    logs[0].send(slow).expect("room");
    let progress = committer.step(now()).expect("written");
    assert_eq!(progress.completed, logs[0].staged());
}

#[test]
fn every_order_of_arrival_gives_the_order_of_reservation() {
    for order in 0..120 {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (mut committer, logs) = three(folder.path());
        let names: [&[u8]; 5] = [b"a", b"b", b"c", b"d", b"e"];
        let mut waiting: Vec<_> =
            (0..5).map(|n| reserved(&logs[n % 3], &names[..=n % 2])).collect();
        let mut digits = order;
        while !waiting.is_empty() {
            let next = waiting.remove(digits % waiting.len());
            digits /= waiting.len() + 1;
            logs[0].send(next).expect("room");
            committer.step(now()).expect("written");
        }
        assert_eq!((committer.early(), committer.mark.durable()), (0, 7));
    }
}

#[test]
fn an_empty_batch_answers_for_everything_staged_on_the_node() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mut committer, mut logs) = three(folder.path());
    logs[0].stage(&mut batch_of(&[b"1", b"2"]), now()).expect("staged");
    let ticket = logs[1].stage(&mut Batch::new(), now()).expect("nothing to stage");
    assert_eq!((ticket.get(), logs[1].completed().get()), (2, 0));
    committer.step(now()).expect("written");
    assert_eq!(logs[1].completed(), ticket);
}

#[test]
fn buffers_come_back_to_their_shard() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mut committer, mut logs) = three(folder.path());
    let mut batch = batch_of(&[&[7; 500]]);
    let memory = batch.bytes().as_ptr();
    logs[1].stage(&mut batch, now()).expect("staged");
    assert!(batch.is_empty());
    committer.step(now()).expect("written");
    batch.push(b"other memory");
    logs[1].stage(&mut batch, now()).expect("staged");
    batch.push(b"the first memory");
    assert_eq!(batch.bytes().as_ptr(), memory);
}

#[test]
fn waiting_keeps_what_it_received_and_ends_with_the_shards() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mut committer, mut logs) = three(folder.path());
    assert_eq!(committer.wait(Duration::ZERO), Waited::TimedOut);
    logs[2].stage(&mut batch_of(&[b"1"]), now()).expect("staged");
    assert_eq!(committer.wait(Duration::ZERO), Waited::Staged);
    drop(logs);
    assert_eq!(committer.wait(Duration::ZERO), Waited::Closed);
    assert_eq!(committer.step(now()).expect("written").completed.get(), 1);
    assert!(committer.needs_mark());
    committer.idle(now()).expect("marked");
    assert!(!committer.needs_mark());
}

#[test]
fn the_first_error_reaches_every_shard() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mut committer, mut logs) = three(folder.path());
    // The next segment cannot be made: its temporary name is taken.
    let directory = Directory::read_only(folder.path()).expect("readable");
    directory.create("inline-0000000000000002.preparing").expect("created");
    let fatal = loop {
        logs[0].stage(&mut batch_of(&[&[1; 900]]), now()).expect("not failed yet");
        if let Err(fatal) = committer.step(now()) {
            break fatal;
        }
    };
    assert_eq!(fatal.exit_code(), 74);
    let completed = logs[1].completed();
    assert!(completed < logs[1].staged());
    assert_eq!(committer.step(now()).expect_err("for ever"), fatal);
    assert_eq!(committer.idle(now()).expect_err("for ever"), fatal);
    for log in &mut logs {
        assert_eq!(log.stage(&mut batch_of(&[b"late"]), now()).expect_err("for ever"), fatal);
        assert_eq!(log.idle(now()).expect_err("for ever"), fatal);
        assert_eq!(log.completed(), completed);
    }
}

#[test]
fn a_journal_thread_that_is_gone_is_an_error() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (committer, mut logs) = three(folder.path());
    drop(committer);
    let late = logs[0].stage(&mut batch_of(&[b"late"]), now());
    assert_eq!(late.expect_err("nobody writes"), Fatal::Closed);
}

#[test]
fn shards_on_threads_of_their_own_lose_nothing() {
    const ROUNDS: u64 = 200;
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mut committer, logs) = three(folder.path());
    let shards: Vec<_> = logs
        .into_iter()
        .map(|mut log| {
            std::thread::spawn(move || {
                let mut batch = Batch::new();
                for round in 0..ROUNDS {
                    batch.push(&[log.shard as u8, round as u8]);
                    let ticket = log.stage(&mut batch, now()).expect("staged");
                    assert!(ticket <= log.staged());
                }
            })
        })
        .collect();
    while committer.wait(Duration::from_secs(60)) == Waited::Staged {
        committer.step(now()).expect("written");
    }
    committer.step(now()).expect("written");
    for shard in shards {
        shard.join().expect("no panic");
    }
    assert_eq!((committer.early(), committer.mark.durable()), (0, 3 * ROUNDS));
    drop(committer);
    let (_, records) = journal(folder.path());
    for shard in 0..3_u8 {
        let rounds = records.iter().filter(|record| record[0] == shard).map(|record| record[1]);
        assert!(rounds.eq((0..ROUNDS).map(|round| round as u8)), "in the shard's own order");
    }
}

#[cfg(feature = "planted-bugs")]
#[test]
fn planted_a_batch_without_a_reservation_lets_its_effects_overtake_it() {
    use crate::planted::{Bug, plant};

    let folder = tempfile::tempdir().expect("temporary folder");
    let (mut committer, mut logs) = three(folder.path());
    plant(Some(Bug::SequenceOutOfOrder));
    let ticket = logs[0].stage(&mut batch_of(&[b"cause"]), now()).expect("staged");
    plant(None);
    assert_eq!(ticket, Ticket::NOTHING, "an answer would leave before the sync");
    logs[1].stage(&mut batch_of(&[b"effect"]), now()).expect("staged");
    plant(Some(Bug::SequenceOutOfOrder));
    logs[0].idle(now()).expect("sent at last");
    plant(None);
    committer.step(now()).expect("written");
    drop((committer, logs));
    assert_eq!(journal(folder.path()).1, [b"effect".as_slice(), b"cause"]);
}
