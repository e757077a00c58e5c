//! The engine with real threads over a real directory.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use smallvec::smallvec;

use super::{Engine, Handle, OnFatal};
use crate::command::{
    Buyer, Cancel, Command, DefineSku, Key, Place, PlaceLine, ReceiveLot, ReplyTo,
};
use crate::config::EngineConfig;
use crate::event::OrderStatus;
use crate::id::{OrderId, RequestId, SlotId};
use crate::money::{Amount, Currency};
use crate::name::{LotId, SkuId};
use crate::outcome::{OrderView, Outcome, Refusal, StateDigest, StockView};
use crate::quantity::Quantity;
use crate::router::Movable;
use crate::storage::Directory;

const REQUEST: RequestId = RequestId::from_bits(7);

fn open(path: &Path, shards: usize) -> (Engine, Handle) {
    let config = EngineConfig { shards, ..EngineConfig::new([42; 32]) };
    let directory = Directory::lock(path).expect("the directory is free");
    let on_fatal: OnFatal = Arc::new(|fatal| panic!("{fatal}"));
    Engine::open(directory, None, &config, &on_fatal).expect("the journal opens")
}

fn submit(handle: &Handle, command: Command) -> Receiver<Outcome> {
    let (sender, receiver) = sync_channel(1);
    let reply = ReplyTo::Call(Box::new(move |outcome| {
        let _ = sender.send(outcome);
    }));
    handle.submit(command, reply, handle.now()).expect("there is room");
    receiver
}

fn ask(handle: &Handle, command: Command) -> Outcome {
    submit(handle, command).recv().expect("an answer")
}

fn sku(name: &str) -> SkuId {
    SkuId::new(name).expect("a name")
}

fn define(handle: &Handle, name: &str, units: u32) {
    let outcome = ask(
        handle,
        Command::DefineSku(Box::new(DefineSku {
            sku: sku(name),
            title: Box::from(name),
            unit_price: Amount::new(500).expect("in range"),
            currency: Currency::new("CNY").expect("a code"),
            per_buyer_limit: 3,
            hold_seconds: 600,
            standby_pass: false,
            if_revision: None,
            request: REQUEST,
        })),
    );
    assert!(matches!(outcome, Outcome::Stock { created: true, .. }), "{outcome:?}");
    let outcome = ask(
        handle,
        Command::ReceiveLot(Box::new(ReceiveLot {
            sku: sku(name),
            lot: LotId::new("L1").expect("a name"),
            quantity: Quantity::new(units).expect("in range"),
            unit_price: None,
            request: REQUEST,
        })),
    );
    assert!(matches!(outcome, Outcome::Stock { created: true, .. }), "{outcome:?}");
}

fn place(handle: &Handle, buyer: &str, key: &str, name: &str, random: u64) -> Command {
    let buyer = Buyer::new(handle.hash_key(), buyer);
    let lines = smallvec![PlaceLine { sku: sku(name), quantity: Quantity::ONE }];
    Command::Place(Box::new(Place {
        standby: false,
        order: OrderId::new(handle.now(), handle.cell(), buyer.slot, random),
        key: Some(Key::new(handle.hash_key(), &buyer, key)),
        fingerprint: Place::fingerprint_of(&lines, false, None),
        buyer,
        lines,
        max_amount: None,
        request: REQUEST,
    }))
}

fn stock(handle: &Handle, name: &str) -> StockView {
    match ask(handle, Command::ReadStock(sku(name))) {
        Outcome::Stock { stock, .. } => *stock,
        other => panic!("{other:?}"),
    }
}

/// The digest over all shards, once nothing is half-way.
fn digest(handle: &Handle) -> StateDigest {
    loop {
        let sum = (0..handle.shards())
            .map(|shard| match ask(handle, Command::Digest { shard }) {
                Outcome::Digest(digest) => digest,
                other => panic!("{other:?}"),
            })
            .fold(StateDigest::default(), StateDigest::plus);
        if sum.half_way == 0 && in_order(handle) {
            return sum;
        }
    }
}

/// Whether no message is under way: all shards took what they were sent.
fn in_order(handle: &Handle) -> bool {
    (0..handle.shards()).all(|shard| handle.depths(shard).peer == 0)
}

#[test]
fn an_order_lives_through_a_restart_on_another_number_of_shards() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut first: Option<OrderView> = None;
    let mut before = StateDigest::default();
    for (round, shards) in [1, 2, 7, 1].into_iter().enumerate() {
        let (engine, handle) = open(folder.path(), shards);
        if round == 0 {
            define(&handle, "phone", 5);
        } else {
            assert_eq!(digest(&handle), before, "I5 with {shards} shards");
        }
        let random = round as u64;
        let outcome = ask(&handle, place(&handle, "ann", "k1", "phone", random));
        match (&first, outcome) {
            (None, Outcome::Placed(order)) => first = Some(*order),
            (Some(first), Outcome::Repeated(order)) => assert_eq!(*first, *order),
            (_, other) => panic!("{other:?}"),
        }
        let buyer = format!("buyer-{round}");
        let outcome = ask(&handle, place(&handle, &buyer, "k1", "phone", random));
        assert!(matches!(outcome, Outcome::Placed(_)), "{outcome:?}");
        before = digest(&handle);
        engine.drain();
    }
    let (engine, handle) = open(folder.path(), 2);
    let outcome = ask(&handle, place(&handle, "late", "k1", "phone", 9));
    assert_eq!(outcome, Outcome::Refused(Refusal::SoldOut { sku: sku("phone") }));
    let counters = stock(&handle, "phone").counters;
    assert_eq!((counters.held, counters.available), (5, 0));
    engine.drain();
}

#[test]
fn published_pages_follow_the_stock() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (engine, handle) = open(folder.path(), 1);
    assert!(handle.board().page(&sku("phone")).is_none());
    define(&handle, "phone", 2);
    let page = handle.board().page(&sku("phone")).expect("published before the answer");
    assert_eq!((page.available(), page.terms().unit_price.minor()), (2, 500));
    ask(&handle, place(&handle, "ann", "k1", "phone", 1));
    assert_eq!(page.available(), 1);
    engine.drain();
    let (engine, handle) = open(folder.path(), 2);
    assert_eq!(handle.board().page(&sku("phone")).expect("replayed").available(), 1);
    engine.drain();
}

#[test]
fn values_move_while_selling() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (engine, handle) = open(folder.path(), 3);
    define(&handle, "phone", 300);
    let slot = SlotId::of_buyer("buyer-0");
    let mut placed = Vec::new();
    for round in 0..10 {
        let answers: Vec<_> = (0..40)
            .map(|n| {
                let (buyer, key) = (format!("buyer-{}", n % 20), format!("{round}-{n}"));
                submit(&handle, place(&handle, &buyer, &key, "phone", round * 100 + n))
            })
            .collect();
        let moves = [
            Command::Relocate {
                value: Movable::Bucket(sku("phone").bucket()),
                to: (round as usize) % 3,
            },
            Command::Relocate { value: Movable::Slot(slot), to: (round as usize + 1) % 3 },
        ]
        .map(|command| submit(&handle, command));
        for answer in answers {
            match answer.recv().expect("an answer") {
                Outcome::Placed(order) => placed.push(*order),
                Outcome::Refused(Refusal::BuyerLimit { has: 3, .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        for answer in moves {
            assert_eq!(answer.recv().expect("an answer"), Outcome::Relocated);
        }
        for order in placed.split_off(placed.len() / 2) {
            let buyer = (0..20).map(|n| Buyer::new(handle.hash_key(), &format!("buyer-{n}"))).find(
                |buyer| {
                    let command =
                        Command::ReadOrder { order: order.order, buyer: Some(buyer.digest) };
                    matches!(ask(&handle, command), Outcome::Order(_))
                },
            );
            let cancel = Cancel {
                order: order.order,
                buyer: buyer.expect("somebody's").digest,
                request: REQUEST,
            };
            match ask(&handle, Command::Cancel(Box::new(cancel))) {
                Outcome::Order(order) => assert_eq!(order.status, OrderStatus::Cancelled),
                other => panic!("{other:?}"),
            }
        }
    }
    let before = digest(&handle);
    assert_eq!(stock(&handle, "phone").counters.held, placed.len() as u64);
    engine.drain();
    let (engine, handle) = open(folder.path(), 1);
    assert_eq!(digest(&handle), before, "I5");
    engine.drain();
}
