//! A journal whose records contradict each other is refused (I12), and kept for who must look at it.

use std::sync::Arc;

use sluice_core::config::EngineConfig;
use sluice_core::engine::{Engine, Fatal, OnFatal};
use sluice_core::event::{Actor, Event, Meta, OrderEnded, record};
use sluice_core::id::{OrderId, RequestId};
use sluice_core::journal::{self, Batch, JournalConfig};
use sluice_core::storage::Directory;
use sluice_core::time::Timestamp;
use smallvec::smallvec;

#[test]
fn a_contradiction_is_found_before_the_journal_is_touched() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = EngineConfig::new([42; 32]);
    let open = || {
        let directory = Directory::lock(folder.path()).expect("free");
        let on_fatal: OnFatal = Arc::new(|fatal| panic!("{fatal}"));
        Engine::open(directory, None, &config, &on_fatal)
    };
    let (engine, _) = open().expect("an empty directory");
    engine.drain();
    let directory = Directory::lock(folder.path()).expect("free");
    let journal_config = JournalConfig {
        cell: config.cell,
        segment_bytes: config.limits.segment_bytes,
        limits: config.limits,
        segment_seed: 1,
    };
    let now = Timestamp::from_micros(2_000_000_000_000_000);
    let opened =
        journal::open(directory, journal_config, None, now, &mut |_, _, _| Ok(()), &mut || {});
    let mut opened = opened.expect("intact");
    let order = OrderId::from_bits(1);
    let ended = OrderEnded { order, version: 2, lines: smallvec![] };
    let meta = Meta { time: now, actor: Actor::Buyer, request: RequestId::NONE };
    let mut batch = Batch::new();
    batch.push_with(|out| record::encode(&meta, &Event::OrderCancelled(ended), out));
    let last = opened.writer.commit(&mut std::iter::once(&batch), now).expect("written");
    drop(opened);

    let segment = folder.path().join("0000000000000001.segment");
    let before = std::fs::read(&segment).expect("there");
    for _ in 0..2 {
        match open() {
            Err(Fatal::Broken { sequence, what }) => {
                assert_eq!(sequence, last.through(), "{what}");
                assert!(what.starts_with("I10"), "{what}");
            }
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("an order ended that never began"),
        }
        assert!(std::fs::read(&segment).expect("there") == before, "it was written to");
    }
}
