//! Reads of retired orders: how many queries they cost, and what is said when nobody can tell.
//!
//! An engine sells, its orders are copied, and then they are asked for as if the ledger had none.

use std::sync::Arc;

use sluice_core::command::{Buyer, Command, DefineSku, Place, PlaceLine, ReceiveLot, ReplyTo};
use sluice_core::config::EngineConfig;
use sluice_core::engine::{Engine, Handle, OnFatal};
use sluice_core::id::{OrderId, RequestId};
use sluice_core::money::{Amount, Currency};
use sluice_core::name::{LotId, SkuId};
use sluice_core::outcome::{OrderView, Outcome};
use sluice_core::quantity::Quantity;
use sluice_core::sink::{Database, Sink, SinkConfig};
use sluice_core::storage::{DatabaseFile, Directory};
use sluice_core::time::Timestamp;
use sluice_core::watermark::Watermark;
use tokio::sync::oneshot;

use super::{Code, ReadSource, RetiredOrders};
use crate::retention::Earlier;

const RETENTION_US: u64 = 1_000_000;

struct Shop {
    folder: tempfile::TempDir,
    engine: Engine,
    handle: Handle,
    sink: Sink,
    retired: Arc<RetiredOrders>,
    buyer: Buyer,
    order: OrderView,
}

impl Shop {
    /// One order of alice's, copied.
    async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let storage = Directory::lock(&folder.path().join("journal")).expect("free");
        let on_fatal: OnFatal = Arc::new(|fatal| panic!("{fatal}"));
        let config = EngineConfig::new([42; 32]);
        let (engine, handle) =
            Engine::open(storage.clone(), None, &config, &on_fatal).expect("the journal opens");
        let buyer = Buyer::new(handle.hash_key(), "alice");
        let order = sell(&handle, &buyer).await;
        let durable = handle.clone();
        let config = SinkConfig {
            storage,
            archive: None,
            cell: 1,
            journal: handle.hash_key().journal(),
            durable: Arc::new(move || durable.journal_metrics().durable.get()),
            watermark: Watermark::default(),
            limits: *handle.limits(),
            seed: 1,
        };
        let database = DatabaseFile::new(folder.path().join("copy.db"));
        let database = Database::Sqlite(database);
        let sink = Sink::sql(database.clone(), config).expect("a thread");
        while sink.status().lag_records(handle.journal_metrics().durable.get()) > 0 {
            tokio::task::yield_now().await;
        }
        let source = ReadSource {
            database,
            status: Arc::clone(sink.status()),
            // As if this were a later start.
            recovered: handle.journal_metrics().durable.get(),
            retention_us: RETENTION_US,
            earlier: Earlier::UNKNOWN,
        };
        let retired = Arc::new(RetiredOrders::start(source, &handle).expect("a thread"));
        Self { folder, engine, handle, sink, retired, buyer, order }
    }

    /// A moment at which the order's retention is over.
    fn later(&self) -> Timestamp {
        self.handle.now().plus_micros(2 * RETENTION_US)
    }

    /// An id of that age that nobody has.
    fn absent(&self, number: u64) -> OrderId {
        OrderId::new(self.order.created_at, 1, self.buyer.slot, number)
    }

    fn close(self) {
        self.engine.drain();
        self.sink.stop();
    }
}

async fn ask(handle: &Handle, command: Command) -> Outcome {
    let (sender, receiver) = oneshot::channel();
    let reply = ReplyTo::Call(Box::new(move |outcome| {
        let _ = sender.send(outcome);
    }));
    handle.submit(command, reply, handle.now()).expect("there is room");
    receiver.await.expect("an answer")
}

async fn sell(handle: &Handle, buyer: &Buyer) -> OrderView {
    let sku = SkuId::new("phone").expect("a name");
    let define = DefineSku {
        sku: sku.clone(),
        title: Box::from("Phone"),
        unit_price: Amount::new(500).expect("in range"),
        currency: Currency::new("CNY").expect("a code"),
        per_buyer_limit: 0,
        hold_seconds: 600,
        standby_pass: false,
        if_revision: None,
        request: RequestId::NONE,
    };
    ask(handle, Command::DefineSku(Box::new(define))).await;
    for (lot, units) in [("L1", 1), ("L2", 9)] {
        let receive = ReceiveLot {
            sku: sku.clone(),
            lot: LotId::new(lot).expect("a name"),
            quantity: Quantity::new(units).expect("in range"),
            unit_price: None,
            request: RequestId::NONE,
        };
        ask(handle, Command::ReceiveLot(Box::new(receive))).await;
    }
    let quantity = Quantity::new(3).expect("in range");
    let lines = smallvec::smallvec![PlaceLine { sku, quantity }];
    let place = Place {
        order: OrderId::new(handle.now(), 1, buyer.slot, u64::MAX),
        key: None,
        fingerprint: Place::fingerprint_of(&lines, false, None),
        buyer: buyer.clone(),
        lines,
        standby: false,
        max_amount: None,
        request: RequestId::NONE,
    };
    match ask(handle, Command::Place(Box::new(place))).await {
        Outcome::Placed(order) => *order,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_thousand_who_ask_for_one_order_at_once_cost_one_query() {
    let shop = Shop::open().await;
    let now = shop.later();
    let asking: Vec<_> = (0..1_000)
        .map(|_| {
            let (retired, buyer, order) =
                (Arc::clone(&shop.retired), shop.buyer.clone(), shop.order.order);
            tokio::spawn(async move { retired.order(order, &buyer, now).await })
        })
        .collect();
    for one in asking {
        let found = one.await.expect("no panic").expect("it is there");
        assert_eq!(found.view, shop.order, "as the ledger showed it");
    }
    assert_eq!(shop.retired.metrics.queries.get(), 1);
    shop.close();
}

#[tokio::test]
async fn ten_thousand_ids_of_no_order_cost_a_handful_of_queries() {
    let shop = Shop::open().await;
    let now = shop.later();
    for _ in 0..2 {
        let asking: Vec<_> = (0..10_000)
            .map(|number| {
                let (retired, buyer) = (Arc::clone(&shop.retired), shop.buyer.clone());
                let order = shop.absent(number);
                tokio::spawn(async move { retired.order(order, &buyer, now).await })
            })
            .collect();
        for one in asking {
            let refused = one.await.expect("no panic").expect_err("there is none");
            assert_eq!(refused.code, Code::OrderNotFound);
        }
    }
    let metrics = &shop.retired.metrics;
    assert!(metrics.queries.get() <= 6, "{metrics:?}");
    assert_eq!(metrics.ids.get(), 10_000, "each was looked for once");
    shop.close();
}

#[tokio::test]
async fn what_cannot_have_retired_costs_no_query() {
    let shop = Shop::open().await;
    let (order, buyer) = (shop.order.order, &shop.buyer);
    let other = Buyer::new(shop.handle.hash_key(), "bob");
    let elsewhere = OrderId::new(shop.order.created_at, 2, buyer.slot, 1);
    let drawn_at = shop.handle.now().plus_micros(10_000);
    let young = OrderId::new(drawn_at, 1, buyer.slot, 1);
    let soon = drawn_at.plus_micros(RETENTION_US / 2);
    for (order, buyer, now) in
        [(young, buyer, soon), (order, &other, shop.later()), (elsewhere, buyer, shop.later())]
    {
        let refused = shop.retired.order(order, buyer, now).await.expect_err("none");
        assert_eq!(refused.code, Code::OrderNotFound);
    }
    assert_eq!(shop.retired.metrics.queries.get(), 0);
    // What was drawn before this start may have retired under a shorter retention.
    let soon = shop.order.created_at.plus_micros(RETENTION_US / 2);
    let found = shop.retired.order(order, buyer, soon).await.expect("it is looked for");
    assert_eq!(found.view, shop.order);
    // Somebody whose home is the same slot is told the same, by the row.
    let names = (0..).map(|number| format!("buyer-{number}"));
    let neighbour = names.map(|name| Buyer::new(shop.handle.hash_key(), &name));
    let neighbour = { neighbour }.find(|other| other.slot == buyer.slot).expect("endless");
    let refused = shop.retired.order(order, &neighbour, shop.later()).await.expect_err("none");
    assert_eq!(refused.code, Code::OrderNotFound);
    shop.close();
}

#[tokio::test]
async fn nothing_is_said_not_to_exist_while_the_copy_is_older_or_gone() {
    let shop = Shop::open().await;
    let now = shop.later();
    let path = shop.folder.path().join("copy.db");
    let aside = shop.folder.path().join("aside.db");
    std::fs::rename(&path, &aside).expect("moved away");
    std::fs::create_dir(&path).expect("created");
    for order in [shop.order.order, shop.absent(1)] {
        let refused = shop.retired.order(order, &shop.buyer, now).await.expect_err("no copy");
        assert_eq!(refused.code, Code::Overloaded);
    }
    assert_eq!(shop.retired.metrics.unavailable.get(), 2);
    std::fs::remove_dir(&path).expect("removed");
    // The sink begins anew; until it has come as far as before, nobody can tell.
    let found = loop {
        match shop.retired.order(shop.order.order, &shop.buyer, now).await {
            Ok(found) => break found,
            Err(problem) => assert_eq!(problem.code, Code::Overloaded),
        }
    };
    assert_eq!(found.view, shop.order);
    let refused = shop.retired.order(shop.absent(1), &shop.buyer, now).await.expect_err("none");
    assert_eq!(refused.code, Code::OrderNotFound);
    shop.close();
}
