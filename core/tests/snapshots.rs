//! Snapshots and trimming over real directories: a start from a snapshot is a start from the first
//! record, whatever happened to the newest one; what is trimmed is covered, and goes to the archive.

use std::fs;
use std::path::Path;

use sluice_core::config::EngineConfig;
use sluice_core::engine::{Fatal, Reading, Replayed, recover};
use sluice_core::event::{Actor, UnitsWithdrawn};
use sluice_core::event::{
    Draw, Event, Line, LotReceived, Meta, NoticeKind, NoticeUnmatched, OrderEnded, OrderPaid,
    OrderPlaced, OrderRetired, OrderShipped, PaymentStarted, SkuDefined, record,
};
use sluice_core::id::{BuyerDigest, KeyDigest, OrderId, PaymentId, RequestId, SlotId};
use sluice_core::journal::{Batch, Reader, Sealed, Space, kept};
use sluice_core::limits::{Limits, TINY};
use sluice_core::money::{Amount, Currency};
use sluice_core::name::{LotId, SkuId, WithdrawalId};
use sluice_core::outcome::StateDigest;
use sluice_core::quantity::Quantity;
use sluice_core::snapshot::{Retain, Upkeep, UpkeepMetrics, Upkept, trim, verify};
use sluice_core::storage::Directory;
use sluice_core::time::Timestamp;
use sluice_core::watermark::Watermark;
use smallvec::smallvec;

const READING: Reading = Reading { boot_us: 1, wall_us: 1_000_000_000 };

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);

fn config() -> EngineConfig {
    let limits = Limits { live_orders_max: 100_000, ..TINY };
    EngineConfig { limits, ..EngineConfig::new([7; 32]) }
}

fn start(path: &Path) -> Result<Replayed<Directory>, Fatal> {
    recover(Directory::lock(path).expect("free"), &config(), READING)
}

fn amount(minor: u64) -> Amount {
    Amount::new(minor).expect("in range")
}

fn quantity(units: u32) -> Quantity {
    Quantity::new(units).expect("in range")
}

fn order(number: u64) -> OrderId {
    let slot = SlotId::new((number % 5) as u16).expect("in range");
    OrderId::new(NOW, 1, slot, number)
}

fn line(units: u32) -> Line {
    let lot = LotId::new("L").expect("a name");
    Line {
        sale: None,
        sku: SkuId::new("tea").expect("a name"),
        quantity: quantity(units),
        draws: smallvec![Draw {
            lot,
            ordinal: 0,
            quantity: quantity(units),
            unit_price: amount(5)
        }],
    }
}

/// A SKU with one lot, a withdrawal, orders of three buyers a slot, of which some end and some leave.
fn history(orders: u64) -> Vec<Event<'static>> {
    let sku = line(1).sku;
    let mut events = vec![
        Event::SkuDefined(SkuDefined {
            sale: None,
            sku: sku.clone(),
            revision: 1,
            title: "Tea",
            unit_price: amount(5),
            currency: Currency::new("CNY").expect("a code"),
            per_buyer_limit: 0,
            hold_seconds: 60,
            standby_pass: false,
        }),
        Event::LotReceived(LotReceived {
            sku: sku.clone(),
            lot: LotId::new("L").expect("a name"),
            ordinal: 0,
            quantity: quantity(1_000_000),
            unit_price: None,
        }),
        Event::UnitsWithdrawn(UnitsWithdrawn {
            sku,
            withdrawal: WithdrawalId::new("w").expect("a name"),
            quantity: quantity(2),
            reason: "rot",
            draws: line(2).draws,
        }),
    ];
    for number in 0..orders {
        events.push(Event::OrderPlaced(OrderPlaced {
            order: order(number),
            buyer: BuyerDigest(u128::from(number % 15)),
            buyer_name: "ann",
            key: (number % 2 == 0).then_some((KeyDigest(u128::from(number)), "k")),
            fingerprint: number,
            currency: Currency::new("CNY").expect("a code"),
            expires_at: NOW.plus_seconds(60 + number as u32 % 7),
            lines: smallvec![line(1 + number as u32 % 3)],
        }));
        if number % 3 == 1 {
            let earlier = number - 1;
            let lines = smallvec![line(1 + earlier as u32 % 3)];
            let ended = OrderEnded { order: order(earlier), version: 2, lines };
            events.push(Event::OrderCancelled(ended));
        }
        if number % 9 == 5 {
            events.extend(paid_and_shipped(number));
        }
        if number % 3 == 0 {
            events.push(unmatched(number));
        }
        if number % 9 == 8 {
            events.push(Event::OrderRetired(OrderRetired { order: order(number - 8) }));
        }
    }
    events
}

/// A payment of an order, and its parcel.
fn paid_and_shipped(number: u64) -> [Event<'static>; 3] {
    let (order, payment) = (order(number), PaymentId::from_bits(order(number).bits() + 1));
    let units = 1 + number as u32 % 3;
    [
        Event::PaymentStarted(PaymentStarted {
            payment,
            order,
            version: 2,
            amount: amount(5 * u64::from(units)),
            currency: Currency::new("CNY").expect("a code"),
            expires_at: NOW.plus_seconds(60 + number as u32 % 7),
        }),
        Event::OrderPaid(OrderPaid {
            payment,
            order,
            version: 3,
            late: false,
            lines: smallvec![line(units)],
        }),
        Event::OrderShipped(OrderShipped {
            order,
            version: 4,
            carrier: "by bicycle",
            tracking_number: ["1", "2"][number as usize % 2],
        }),
    ]
}

/// A notice of a payment that nobody knows: some in slots without orders, many in one.
fn unmatched(number: u64) -> Event<'static> {
    Event::NoticeUnmatched(NoticeUnmatched {
        kind: NoticeKind::PaymentSucceeded,
        payment: if number.is_multiple_of(48) { "pi_1" } else { "pi_2" },
        order: "theirs",
        amount: amount(number),
        currency: "yuan",
    })
}

/// Writes events, a few a frame, and lets upkeep come to its end now and then.
fn write(path: &Path, events: &[Event<'_>], retain: &Retain<Directory>) -> UpkeepMetrics {
    let replayed = start(path).unwrap_or_else(|fatal| panic!("{fatal}"));
    let (mut writer, sealed) = (replayed.opened.writer, replayed.opened.sealed);
    let storage = Directory::read_only(path).expect("readable");
    let metrics = UpkeepMetrics::default();
    let mut upkeep = upkeep(&storage, sealed, retain);
    for (number, group) in events.chunks(3).enumerate() {
        let mut batch = Batch::new();
        for event in group {
            let meta = Meta { time: NOW, actor: Actor::Buyer, request: RequestId::NONE };
            batch.push_with(|out| record::encode(&meta, event, out));
        }
        let _durable = writer.commit(&mut std::iter::once(&batch), NOW).expect("stored");
        if number % 10 == 0 {
            while upkeep.step(&metrics).expect("done") != Upkept::Idle {}
        }
    }
    metrics
}

fn upkeep(storage: &Directory, sealed: Sealed, retain: &Retain<Directory>) -> Upkeep<Directory> {
    let (limits, space) = (config().limits, Space::default());
    Upkeep::new(storage.clone(), limits, sealed, space, retain.clone()).expect("begun")
}

/// The digest of a start, and how many records it read.
fn digest(path: &Path) -> Result<(StateDigest, u64), Fatal> {
    let replayed = start(path)?;
    Ok((replayed.ledger.digest(), replayed.opened.recovered.records))
}

/// A copy of all files but those that end so.
fn copy_without(path: &Path, ending: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("temporary folder");
    for entry in fs::read_dir(path).expect("listed") {
        let entry = entry.expect("listed");
        if !entry.file_name().to_string_lossy().ends_with(ending) {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copied");
        }
    }
    copy
}

fn files(path: &Path, ending: &str) -> Vec<String> {
    let entries = fs::read_dir(path).expect("listed");
    let names = entries.map(|entry| entry.expect("listed").file_name().to_string_lossy().into());
    let mut names: Vec<String> = names.filter(|name: &String| name.ends_with(ending)).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_start_from_a_snapshot_is_a_start_from_the_first_record() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let events = history(400);
    let metrics = write(folder.path(), &events, &Retain::ALL);
    assert!(metrics.snapshots.get() > 3, "{metrics:?}");
    assert_eq!(files(folder.path(), ".snapshot").len(), 2, "the two newest are kept");

    let (from_snapshot, read) = digest(folder.path()).expect("starts");
    assert!(read < events.len() as u64 / 4, "{read} of {} records were read", events.len());
    let whole = copy_without(folder.path(), ".snapshot");
    let (from_first, all) = digest(whole.path()).expect("starts");
    assert_eq!(all, 1 + events.len() as u64);
    assert_eq!(from_snapshot, from_first);

    // What follows goes on in the same way.
    let more = history(430).split_off(events.len());
    write(folder.path(), &more, &Retain::ALL);
    write(whole.path(), &more, &Retain::ALL);
    assert_eq!(digest(folder.path()).expect("starts").0, digest(whole.path()).expect("starts").0);
}

#[test]
fn a_snapshot_that_rotted_is_passed_over() {
    let folder = tempfile::tempdir().expect("temporary folder");
    write(folder.path(), &history(60), &Retain::ALL);
    let (expected, _) = digest(folder.path()).expect("starts");
    let newest = files(folder.path(), ".snapshot").pop().expect("there is one");
    let bytes = fs::read(folder.path().join(&newest)).expect("read");
    for at in (0..bytes.len()).step_by(16) {
        let copy = copy_without(folder.path(), "lock");
        let mut spoilt = bytes.clone();
        spoilt[at] ^= 0x10;
        fs::write(copy.path().join(&newest), spoilt).expect("written");
        assert_eq!(digest(copy.path()).expect("starts").0, expected, "byte {at}");
        let storage = Directory::read_only(copy.path()).expect("readable");
        let verified = verify(&storage, config().limits).expect("read");
        assert!(verified[0].result.is_err() && verified[1].result.is_ok(), "byte {at}");
    }
}

#[test]
fn a_snapshot_of_a_newer_program_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("temporary folder");
    write(folder.path(), &history(60), &Retain::ALL);
    let newest = files(folder.path(), ".snapshot").pop().expect("there is one");
    let mut bytes = fs::read(folder.path().join(&newest)).expect("read");
    // Behind magic, checksum, version and cell: the format of the records.
    bytes[16..20].copy_from_slice(&99_u32.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[12..88]);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    fs::write(folder.path().join(&newest), bytes).expect("written");
    let fatal = digest(folder.path()).expect_err("newer");
    assert_eq!(fatal.exit_code(), 65);
    assert!(fatal.to_string().contains("format 99"), "{fatal}");
}

#[test]
fn what_is_trimmed_is_covered_and_stored_and_archived() {
    let (folder, archive) =
        (tempfile::tempdir().expect("temporary folder"), tempfile::tempdir().expect("another"));
    let whole = tempfile::tempdir().expect("a third");
    let events = history(300);
    write(whole.path(), &events, &Retain::ALL);
    let (expected, _) = digest(whole.path()).expect("starts");

    let sql = Watermark::default();
    let archived = Directory::read_only(archive.path()).expect("readable");
    let retain = Retain {
        bytes: Some(0),
        bytes_max: None,
        archive: Some(archived),
        sinks: vec![sql.clone()],
    };
    let metrics = write(folder.path(), &events, &retain);
    assert_eq!(metrics.segments_trimmed.get(), 0, "SQL has nothing");
    sql.set(100);
    let storage = Directory::read_only(folder.path()).expect("readable");
    while trim(&storage, &retain).expect("trimmed").is_some() {}
    let kept = Reader::open(storage.clone()).expect("a journal").next_sequence();
    assert!((2..=101).contains(&kept), "kept from {kept} on");
    sql.set(u64::MAX);
    while trim(&storage, &retain).expect("trimmed").is_some() {}
    let kept = Reader::open(storage).expect("a journal").next_sequence();
    assert!(kept > 200, "kept from {kept} on");
    assert_eq!(digest(folder.path()).expect("starts").0, expected);

    // The archive and what is kept are the journal, byte for byte.
    let oldest = files(folder.path(), ".segment").remove(0);
    for name in files(whole.path(), ".segment").iter().filter(|name| **name < oldest) {
        let (here, there) = (archive.path().join(name), whole.path().join(name));
        assert_eq!(fs::read(here).expect("archived"), fs::read(there).expect("there"), "{name}");
    }

    // Without snapshots a trimmed journal says what is missing.
    let bare = copy_without(folder.path(), ".snapshot");
    let fatal = digest(bare.path()).expect_err("nothing to begin with");
    assert_eq!(fatal.exit_code(), 65);
    assert!(fatal.to_string().contains("the first segment is missing"), "{fatal}");
}

#[test]
fn a_sink_that_is_behind_is_let_go_at_the_ceiling_and_not_before() {
    let events = history(300);
    let sinks = || [(); 3].map(|()| Watermark::default());
    let all_asked = [true; 3];
    let retain = |bytes_max, sinks: &[Watermark]| Retain {
        bytes: Some(0),
        bytes_max,
        archive: None,
        sinks: sinks.to_vec(),
    };
    let left = |sinks: &[Watermark]| sinks.iter().map(Watermark::is_detached).collect::<Vec<_>>();

    let folder = tempfile::tempdir().expect("temporary folder");
    let [quick, slow, dead] = sinks();
    quick.set(u64::MAX);
    slow.set(120);
    let all = [quick, slow, dead];
    let metrics = write(folder.path(), &events, &retain(None, &all));
    assert_eq!((metrics.segments_trimmed.get(), metrics.sinks_detached.get()), (0, 0));
    assert_eq!(left(&all), [false, false, false], "there is no ceiling");
    assert!(!all.iter().any(Watermark::is_near_ceiling));
    let storage = Directory::read_only(folder.path()).expect("readable");
    let bytes = kept(&storage).expect("read").expect("a journal").bytes;

    let (expected, _) = digest(folder.path()).expect("starts");

    for (ceiling, asked, detached, near) in [
        (bytes + bytes / 8, all_asked, [false, false, false], [false, true, true]),
        (bytes / 2, all_asked, [false, true, true], [false, false, false]),
        // Nobody knows yet what the last one has: it keeps the journal.
        (bytes / 2, [true, true, false], [false, true, false], [false, false, false]),
    ] {
        let folder = tempfile::tempdir().expect("temporary folder");
        let [quick, slow, dead] = sinks();
        quick.set(u64::MAX);
        // Has what the first segments hold, and not what the last ones do.
        slow.set(2);
        if asked[2] {
            dead.set(0);
        }
        let all = [quick, slow, dead];
        let metrics = write(folder.path(), &events, &retain(Some(ceiling), &all));
        assert_eq!(left(&all), detached, "{ceiling} of {bytes}");
        let alarms: Vec<bool> = all.iter().map(Watermark::is_near_ceiling).collect();
        assert_eq!(alarms, near, "{ceiling} of {bytes}");
        let gone = detached.iter().filter(|gone| **gone).count() as u64;
        assert_eq!(metrics.sinks_detached.get(), gone);
        assert_eq!(metrics.segments_trimmed.get() > 0, gone > 0 && asked == all_asked);
        assert_eq!(digest(folder.path()).expect("starts").0, expected, "nothing is lost");
    }
}

#[test]
fn the_alarm_comes_whatever_snapshots_cover() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let nothing = Retain { bytes: None, bytes_max: None, archive: None, sinks: Vec::new() };
    write(folder.path(), &history(300), &nothing);
    let folder = copy_without(folder.path(), ".snapshot");
    let storage = Directory::read_only(folder.path()).expect("readable");
    let bytes = kept(&storage).expect("read").expect("a journal").bytes;
    for (ceiling, is_near) in [(2 * bytes, false), (bytes + 1, true), (bytes / 2, true)] {
        let behind = Watermark::default();
        behind.set(0);
        let sinks = vec![behind.clone()];
        let retain = Retain { bytes: Some(0), bytes_max: Some(ceiling), archive: None, sinks };
        let sealed = start(folder.path()).unwrap_or_else(|fatal| panic!("{fatal}")).opened.sealed;
        let limits = Limits { snapshot_segments: u64::MAX, ..config().limits };
        let upkeep = Upkeep::new(storage.clone(), limits, sealed, Space::default(), retain);
        let (mut upkeep, metrics) = (upkeep.expect("begun"), UpkeepMetrics::default());
        while upkeep.step(&metrics).expect("done") != Upkept::Idle {}
        assert_eq!(behind.is_near_ceiling(), is_near, "{ceiling} of {bytes}");
        assert!(!behind.is_detached(), "letting it go would free nothing");
    }
}
