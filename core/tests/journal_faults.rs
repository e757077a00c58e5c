//! The journal over a disk that fails and loses power: nothing acknowledged is ever lost, and
//! after the first error nothing is acknowledged.

use std::io::ErrorKind;
use std::time::Duration;

use journal_disk::{Call, Disk, Fault, Random};
use journal_opening::open_into;
use sluice_core::journal::{
    Batch, Fatal, InlineLog, JournalConfig, Log, Opened, Preparer, Preparing, verify,
};
use sluice_core::limits::TINY;
use sluice_core::storage::Storage;
use sluice_core::time::Timestamp;

mod journal_disk;
mod journal_opening;

/// Segments that are made ahead of need, the reserve among them.
const AHEAD: usize = TINY.segments_ahead + TINY.segments_reserve;

fn now() -> Timestamp {
    Timestamp::from_micros(1_000_000)
}

/// What the outside world knows: what was sent to be recorded, and how much was acknowledged.
#[derive(Default)]
struct World {
    sent: Vec<Vec<u8>>,
    acknowledged: usize,
    /// Of the last opening that succeeded.
    epoch: u32,
}

impl World {
    /// Opens the journal and checks that it holds all that anyone was ever told.
    fn open(&mut self, disk: &Disk, seed: u64) -> Result<Opened<Disk>, Fatal> {
        let config = JournalConfig {
            cell: 3,
            segment_bytes: TINY.segment_bytes,
            limits: TINY,
            segment_seed: seed,
        };
        let mut records: Vec<Vec<u8>> = Vec::new();
        let opened = open_into(disk.clone(), config, now(), &mut records)?;
        assert!(records.len() >= self.acknowledged, "acknowledged records are lost");
        assert_eq!(records, self.sent[..records.len()], "never sent, or in another order");
        assert_eq!(opened.writer.next_sequence(), records.len() as u64 + 1);
        assert!(opened.recovered.epoch > self.epoch, "the epoch rises");
        // From here on the records that came back can be seen by anyone.
        self.epoch = opened.recovered.epoch;
        self.acknowledged = records.len();
        self.sent = records;
        Ok(opened)
    }

    /// Stages batches until an error; returns it with the log, or `None` when all went well.
    fn work(
        &mut self,
        log: &mut InlineLog<Disk>,
        preparer: &mut Option<Preparer<Disk>>,
        random: &mut Random,
        batches: usize,
    ) -> Option<Fatal> {
        let mut batch = Batch::new();
        for _ in 0..batches {
            for _ in 0..=random.below(6) {
                let record = vec![random.next() as u8; random.below(1_000) as usize];
                batch.push(&record);
                self.sent.push(record);
            }
            match log.stage(&mut batch, now()) {
                Ok(ticket) => {
                    assert_eq!(ticket.get(), self.sent.len() as u64);
                    self.acknowledged = self.sent.len();
                }
                Err(fatal) => return Some(fatal),
            }
            if random.below(3) == 0
                && let Err(fatal) = log.idle(now())
            {
                return Some(fatal);
            }
            if let Some(preparer) = preparer {
                // Its errors reach the writer when it needs the segment.
                for _ in 0..random.below(6) {
                    let _ = preparer.step();
                }
            }
        }
        None
    }
}

#[test]
fn after_the_first_error_nothing_is_acknowledged_and_nothing_is_lost() {
    let calls =
        [Call::Create, Call::Write, Call::Sync, Call::Allocate, Call::Rename, Call::SyncDirectory];
    for call in calls {
        for nth in 1..=50 {
            for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
                for ahead in [false, true] {
                    one_error(Fault::At(call, nth, kind), nth, ahead);
                }
            }
        }
    }
}

fn one_error(fault: Fault, seed: u64, ahead: bool) {
    let disk = Disk::default();
    let mut world = World::default();
    let mut random = Random(seed);
    let Opened { writer, preparer, .. } = world.open(&disk, seed).expect("no fault yet");
    let mut preparer = ahead.then_some(preparer);
    let mut log = InlineLog::new(writer);
    disk.set_fault(Some(fault));
    let Some(fatal) = world.work(&mut log, &mut preparer, &mut random, 400) else {
        // The helper found the disk full, gave up its file, and found room again.
        let full = matches!(fault, Fault::At(_, _, ErrorKind::StorageFull));
        return assert!(ahead && full, "the fault is met");
    };
    assert_eq!(fatal.exit_code(), 74, "{fatal}");
    drop(preparer);
    let calls = disk.calls();
    for _ in 0..3 {
        let mut batch = Batch::new();
        batch.push(b"late");
        assert_eq!(log.stage(&mut batch, now()).expect_err("poisoned"), fatal);
        assert_eq!(log.idle(now()).expect_err("poisoned"), fatal);
    }
    assert_eq!(disk.calls(), calls, "the disk is left alone after an error");
    drop(log);

    // Restarted as it is, then after a power cut, then after one more.
    disk.set_fault(None);
    for round in 1..4 {
        let opened = world.open(&disk, seed + round * 1_000).unwrap_or_else(|e| panic!("{e}"));
        let mut log = InlineLog::new(opened.writer);
        let mut preparer = Some(opened.preparer);
        let failed = world.work(&mut log, &mut preparer, &mut random, round as usize);
        assert_eq!(failed, None);
        drop((log, preparer));
        disk.power_cut(&mut random);
    }
}

/// Power cuts at random moments, in recovery and in recoveries of recoveries too.
fn power_cuts(seed: u64) -> Result<(), Fatal> {
    let disk = Disk::default();
    let mut world = World::default();
    let mut random = Random(seed);
    for round in 0..8 {
        // Small numbers hit recovery itself.
        let bound = if random.below(2) == 0 { 12 } else { 120 };
        disk.set_fault(Some(Fault::PowerOff(1 + random.below(bound))));
        match world.open(&disk, seed * 100 + round) {
            Ok(Opened { writer, preparer, .. }) => {
                let mut log = InlineLog::new(writer);
                let mut preparer = (random.below(2) == 0).then_some(preparer);
                world.work(&mut log, &mut preparer, &mut random, 60);
            }
            Err(fatal @ Fatal::Disk { .. }) => assert_eq!(fatal.exit_code(), 74),
            Err(fatal) => return Err(fatal),
        }
        if random.below(4) == 0 {
            // Killed only: what the kernel holds stays.
            disk.set_fault(None);
        } else {
            disk.power_cut(&mut random);
        }
    }
    world.open(&disk, seed)?;
    let summary = verify(disk)?;
    assert_eq!(summary.torn_tail, None, "recovery leaves nothing behind the end");
    assert_eq!(summary.durable_up_to, world.acknowledged as u64);
    Ok(())
}

#[test]
fn power_cuts_lose_nothing_that_was_acknowledged() {
    for seed in 0..400 {
        power_cuts(seed).unwrap_or_else(|fatal| panic!("seed {seed}: {fatal}"));
    }
}

#[test]
fn errors_while_opening_lose_nothing() {
    let calls =
        [Call::Create, Call::Write, Call::Sync, Call::Allocate, Call::Rename, Call::SyncDirectory];
    let mut met = 0;
    for call in calls {
        for nth in 1..=6 {
            for seed in 0..12 {
                let disk = Disk::default();
                let mut world = World::default();
                let mut random = Random(seed);
                // The power goes in the middle of a write, so that there is a tail to be cut.
                if let Ok(opened) = world.open(&disk, seed) {
                    disk.set_fault(Some(Fault::PowerOff(3 + random.below(90))));
                    let mut log = InlineLog::new(opened.writer);
                    world.work(&mut log, &mut None, &mut random, 60);
                }
                disk.power_cut(&mut random);
                disk.set_fault(Some(Fault::At(call, nth, ErrorKind::Other)));
                if let Err(fatal) = world.open(&disk, seed + 100) {
                    assert_eq!(fatal.exit_code(), 74, "{fatal}");
                    met += 1;
                }
                if seed % 2 == 0 {
                    disk.power_cut(&mut random);
                }
                disk.set_fault(None);
                world.open(&disk, seed + 200).unwrap_or_else(|fatal| panic!("{fatal}"));
                disk.power_cut(&mut random);
                world.open(&disk, seed + 300).unwrap_or_else(|fatal| panic!("{fatal}"));
            }
        }
    }
    assert!(met > 50, "{met} openings failed");
}

#[test]
fn an_error_of_the_helper_reaches_the_writer() {
    let disk = Disk::default();
    let mut world = World::default();
    let Opened { writer, mut preparer, .. } = world.open(&disk, 1).expect("opened");
    disk.set_fault(Some(Fault::At(Call::Allocate, 1, ErrorKind::Other)));
    let fatal = preparer.step().expect_err("no answer");
    assert_eq!(preparer.step().expect_err("for ever"), fatal);
    let mut log = InlineLog::new(writer);
    let met = world.work(&mut log, &mut None, &mut Random(1), 100).expect("it needs a segment");
    assert_eq!(met, fatal);
    assert_eq!(met.exit_code(), 74);
}

#[test]
fn on_a_full_disk_the_reserve_is_kept_and_used() {
    let disk = Disk::default();
    let mut world = World::default();
    let Opened { writer, mut preparer, space, .. } = world.open(&disk, 1).expect("opened");
    while preparer.step().expect("made") == Preparing::More {}
    let files = disk.clone().list().expect("listed");
    let mut log = InlineLog::new(writer);
    // The next segment is taken; there is no room for another.
    while disk.clone().list().expect("listed") == files && !space.is_low() {
        assert_eq!(world.work(&mut log, &mut None, &mut Random(1), 1), None);
        disk.set_fault(Some(Fault::At(Call::Allocate, 1, ErrorKind::StorageFull)));
        while preparer.step().expect("no error") == Preparing::More {}
    }
    assert!(space.is_low(), "the reserve is all that is left");
    assert_eq!(disk.clone().list().expect("listed"), files, "no unfinished file stays");
    assert_eq!(world.work(&mut log, &mut None, &mut Random(2), 4), None, "the reserve is used");
    assert!(space.is_low());
    disk.set_fault(None);
    while preparer.step().expect("made") == Preparing::More {}
    assert!(!space.is_low(), "there is room again");
}

#[test]
fn as_many_segments_are_made_ahead_as_the_limits_say() {
    let disk = Disk::default();
    let mut world = World::default();
    let Opened { writer, mut preparer, .. } = world.open(&disk, 1).expect("opened");
    while preparer.step().expect("made") == Preparing::More {}
    assert_eq!(verify(disk.clone()).expect("clean").segments, 1 + AHEAD as u64);
    let mut log = InlineLog::new(writer);
    world.work(&mut log, &mut None, &mut Random(1), 4);
    assert_eq!(preparer.step().expect("made"), Preparing::More, "one was taken");
    drop(log);
    while preparer.step().expect("made") == Preparing::More {}
    assert_eq!(preparer.wait(Duration::ZERO), Preparing::More, "the call that came");
    assert_eq!(preparer.wait(Duration::ZERO), Preparing::Closed);
}

#[test]
fn the_helper_leaves_the_disk_to_the_journal_unless_it_is_in_need() {
    let disk = Disk::default();
    let mut world = World::default();
    let Opened { writer: _writer, mut preparer, .. } = world.open(&disk, 1).expect("opened");
    let took = Duration::from_millis(1);
    let mut rests = vec![preparer.rest_after(took)];
    while preparer.step().expect("made") == Preparing::More {
        rests.push(preparer.rest_after(took));
    }
    rests.dedup();
    assert_eq!(rests, [0, 2, 8].map(|rest| took * rest), "with none, one and two ready");
    let slow = preparer.rest_after(Duration::from_secs(1));
    assert!(slow < Duration::from_secs(1), "a slow disk gets its segments too: {slow:?}");
}

#[cfg(feature = "planted-bugs")]
#[test]
fn planted_bugs_are_found() {
    use sluice_core::planted::{Bug, plant};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    for bug in [Bug::RetryFailedSync, Bug::TailTrusted] {
        let found = (1..=50).any(|nth| {
            plant(Some(bug));
            let fault = Fault::At(Call::Sync, nth, ErrorKind::Other);
            catch_unwind(AssertUnwindSafe(|| one_error(fault, nth, false))).is_err()
        });
        assert!(found, "{bug:?}");
    }
    for bug in [Bug::NoDirectorySync, Bug::TornTailLeft, Bug::ChecksumSkipped] {
        let found = (0..400).any(|seed| {
            plant(Some(bug));
            !matches!(catch_unwind(AssertUnwindSafe(|| power_cuts(seed))), Ok(Ok(())))
        });
        assert!(found, "{bug:?}");
    }
    plant(None);
}
