//! A journal that events are written to, a database beside it, and what the rows should be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::smallvec;
use tokio::sync::watch;

use crate::event::{
    Actor, Draw, Event, Genesis, Line, LotReceived, Meta, OrderEnded, OrderPlaced, OrderRetired,
    OrderStatus, SinkName, SkuDefined, UnitsWithdrawn, record, total,
};
use crate::id::{HashKey, JournalId, KeyDigest, OrderId, RequestId, SlotId};
use crate::journal::{Batch, JournalConfig, Preparer, Preparing, Writer, open};
use crate::limits::Limits;
use crate::money::{Amount, Currency};
use crate::name::{LotId, SkuId, WithdrawalId};
use crate::outcome::OrderView;
use crate::quantity::Quantity;
use crate::sink::follower::Follower;
use crate::sink::sqlite::SqliteTarget;
use crate::sink::table::{TABLES, Value};
use crate::sink::{Database, SinkConfig, SinkStatus, Snapshot};
use crate::storage::{DatabaseFile, Directory};
use crate::time::Timestamp;
use crate::watermark::Watermark;

const KEY: HashKey = HashKey::new([7; 16]);

/// A name of the journal.
pub(super) const JOURNAL: JournalId = JournalId::from_bits(7);

/// A node without an engine.
pub(super) struct Node {
    pub(super) folder: tempfile::TempDir,
    pub(super) database: DatabaseFile,
    pub(super) watermark: Watermark,
    storage: Directory,
    writer: Writer<Directory>,
    preparer: Preparer<Directory>,
    limits: Limits,
    durable: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    views: BTreeMap<OrderId, OrderView>,
}

impl Node {
    /// With a journal of one record.
    pub(super) fn new(limits: Limits) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let storage = Directory::lock(&folder.path().join("journal")).expect("free");
        let config =
            JournalConfig { cell: 1, segment_bytes: limits.segment_bytes, limits, segment_seed: 1 };
        let now = Timestamp::from_micros(1);
        let opened = open(storage.clone(), config, None, now, &mut |_, _, _| Ok(()), &mut || {});
        let opened = opened.unwrap_or_else(|fatal| panic!("{fatal}"));
        let database = DatabaseFile::new(folder.path().join("copy.db"));
        let mut node = Self {
            folder,
            database,
            watermark: Watermark::default(),
            storage,
            writer: opened.writer,
            preparer: opened.preparer,
            limits,
            durable: Arc::default(),
            stop: watch::channel(false).0,
            views: BTreeMap::new(),
        };
        let genesis = Genesis { cell: 1, hash_key: KEY, format: crate::event::FORMAT };
        node.write(Actor::Engine, &Event::Genesis(genesis));
        node
    }

    pub(super) fn config(&self) -> SinkConfig<Directory> {
        let durable = Arc::clone(&self.durable);
        SinkConfig {
            storage: self.storage.clone(),
            archive: None,
            cell: 1,
            journal: JOURNAL,
            durable: Arc::new(move || durable.load(Ordering::Acquire)),
            watermark: self.watermark.clone(),
            limits: self.limits,
            seed: 1,
        }
    }

    /// A sink that has not begun, and what it shows.
    pub(super) fn sink(&mut self) -> (Follower<Directory, SqliteTarget>, Arc<SinkStatus>) {
        self.stop = watch::channel(false).0;
        let status = Arc::new(SinkStatus::new(SinkName::Sql));
        let stop = self.stop.subscribe();
        (
            Follower::new(
                self.config(),
                SqliteTarget(self.database.clone()),
                Arc::clone(&status),
                stop,
            ),
            status,
        )
    }

    /// Tells the sink to end.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// The last sequence of the journal.
    pub(super) fn last(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    pub(super) fn write(&mut self, actor: Actor, event: &Event<'_>) {
        let mut bytes = Vec::new();
        record::encode(&meta(actor), event, &mut bytes);
        self.write_bytes(&bytes);
    }

    /// Writes a record, whatever it says.
    pub(super) fn write_bytes(&mut self, bytes: &[u8]) {
        while self.preparer.step().expect("prepared") != Preparing::Idle {}
        let mut batch = Batch::new();
        batch.push(bytes);
        let now = Timestamp::from_micros(2);
        let durable = self.writer.commit(&mut std::iter::once(&batch), now).expect("committed");
        self.durable.store(durable.through(), Ordering::Release);
    }

    /// A SKU with two lots.
    pub(super) fn sale(&mut self) {
        for event in sale_events() {
            self.write(Actor::Operator, &event);
        }
    }

    /// An order; every third takes from both lots.
    pub(super) fn place(&mut self, number: u64) -> OrderId {
        let order = order_id(number);
        let placed = placed(order, number);
        self.views.insert(
            order,
            OrderView {
                order,
                version: 1,
                status: OrderStatus::Reserved,
                amount: total(&placed.lines),
                currency: placed.currency,
                created_at: meta(Actor::Buyer).time,
                expires_at: placed.expires_at,
                lines: placed.lines.clone(),
                waits: None,
            },
        );
        self.write(Actor::Buyer, &Event::OrderPlaced(placed));
        order
    }

    pub(super) fn cancel(&mut self, order: OrderId) {
        let ended = self.end(order, OrderStatus::Cancelled);
        self.write(Actor::Buyer, &Event::OrderCancelled(ended));
    }

    pub(super) fn expire(&mut self, order: OrderId) {
        let ended = self.end(order, OrderStatus::Expired);
        self.write(Actor::Engine, &Event::OrderExpired(ended));
    }

    fn end(&mut self, order: OrderId, status: OrderStatus) -> OrderEnded {
        let view = self.views.get_mut(&order).expect("it was placed");
        (view.version, view.status) = (2, status);
        OrderEnded { order, version: 2, lines: view.lines.clone() }
    }

    pub(super) fn retire(&mut self, order: OrderId) {
        self.write(Actor::Engine, &Event::OrderRetired(OrderRetired { order }));
    }

    pub(super) fn withdraw(&mut self, units: u32) {
        let withdrawn = UnitsWithdrawn {
            sku: sku(),
            withdrawal: WithdrawalId::new("damaged").expect("a name"),
            quantity: quantity(units),
            reason: "they \"fell\"",
            draws: smallvec![draw(0, units)],
        };
        self.write(Actor::Operator, &Event::UnitsWithdrawn(withdrawn));
    }

    /// An order as the ledger would show it.
    pub(super) fn view(&self, order: OrderId) -> OrderView {
        self.views[&order].clone()
    }
}

/// What every event of these tests carries.
pub(super) fn meta(actor: Actor) -> Meta {
    let request = match actor {
        Actor::Engine => RequestId::NONE,
        _ => RequestId::from_bits(77),
    };
    Meta { time: Timestamp::from_micros(1_794_355_200_000_000), actor, request }
}

/// The id of the `number`th order.
pub(super) fn order_id(number: u64) -> OrderId {
    let slot = SlotId::new(5).expect("in range");
    OrderId::new(Timestamp::from_micros(1_794_355_200_000_000), 1, slot, number)
}

/// A SKU, changed once, with two lots.
pub(super) fn sale_events() -> Vec<Event<'static>> {
    let defined = |revision| {
        Event::SkuDefined(SkuDefined {
            sku: sku(),
            revision,
            title: "Phone",
            unit_price: Amount::new(500).expect("in range"),
            currency: Currency::new("CNY").expect("a code"),
            per_buyer_limit: 0,
            hold_seconds: 600,
            standby_pass: false,
            sale: None,
        })
    };
    let received = |ordinal: u32, units: u32, price: Option<u64>| {
        Event::LotReceived(LotReceived {
            sku: sku(),
            lot: lot(ordinal),
            ordinal,
            quantity: quantity(units),
            unit_price: price.and_then(Amount::new),
        })
    };
    vec![defined(1), defined(2), received(0, 10, None), received(1, 5, Some(700))]
}

/// The event of an order by the `number`th buyer.
pub(super) fn placed(order: OrderId, number: u64) -> OrderPlaced<'static> {
    const BUYERS: [&str; 6] = ["buyer-0", "buyer-1", "buyer-2", "buyer-3", "buyer-4", "buyer-5"];
    let buyer_name = BUYERS[number as usize % BUYERS.len()];
    let draws = if number.is_multiple_of(3) && number > 0 {
        smallvec![draw(0, 1), draw(1, 1)]
    } else {
        smallvec![draw(0, 1)]
    };
    let units = draws.iter().map(|draw: &Draw| draw.quantity.get()).sum();
    OrderPlaced {
        order,
        buyer: KEY.buyer(buyer_name),
        buyer_name,
        key: number.is_multiple_of(2).then_some((KeyDigest(u128::from(number)), "key")),
        fingerprint: 9,
        currency: Currency::new("CNY").expect("a code"),
        expires_at: meta(Actor::Buyer).time.plus_seconds(600),
        lines: smallvec![Line { sku: sku(), quantity: quantity(units), sale: None, draws }],
    }
}

/// All rows of the database, by table.
pub(super) async fn all_rows(database: &DatabaseFile) -> BTreeMap<&'static str, Vec<Vec<Value>>> {
    let mut snapshot = Snapshot::take(&Database::Sqlite(database.clone()), 1).await.expect("taken");
    let mut rows = BTreeMap::new();
    for table in TABLES.into_iter().filter(|table| table.key > 1) {
        let page = snapshot.page(table, &[], None, usize::MAX).await.expect("read");
        rows.insert(table.name, page);
    }
    snapshot.end().await.expect("ended");
    rows
}

fn sku() -> SkuId {
    SkuId::new("phone").expect("a name")
}

fn lot(ordinal: u32) -> LotId {
    LotId::new(&format!("L{ordinal}")).expect("a name")
}

fn quantity(units: u32) -> Quantity {
    Quantity::new(units).expect("in range")
}

fn draw(ordinal: u32, units: u32) -> Draw {
    let price = [500, 700][ordinal as usize];
    let unit_price = Amount::new(price).expect("in range");
    Draw { lot: lot(ordinal), ordinal, quantity: quantity(units), unit_price }
}
