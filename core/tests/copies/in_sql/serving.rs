//! An engine that goes on while its copy is being made, and what may befall the database meanwhile.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sluice_core::audit::{self, AuditConfig, Report};
use sluice_core::command::{Buyer, Cancel, Command, DefineSku, Place, PlaceLine, ReceiveLot};
use sluice_core::config::EngineConfig;
use sluice_core::engine::{Engine, Handle, OnFatal};
use sluice_core::id::OrderId;
use sluice_core::limits::DEFAULT;
use sluice_core::money::{Amount, Currency};
use sluice_core::name::{LotId, SkuId};
use sluice_core::outcome::Outcome;
use sluice_core::quantity::Quantity;
use sluice_core::sink::{Database, Sink, SinkConfig, SinkStatus, Snapshot};
use sluice_core::storage::Directory;
use sluice_core::watermark::Watermark;
use sluice_services::{Postgres, PostgresOptions};
use smallvec::smallvec;

use crate::in_sql::copied::on_a_runtime;
use crate::living::selling::{REQUEST, ask};

/// Far more looks than any of these tests needs.
const LOOKS_MAX: u32 = 60_000;

/// A server with a port and no password.
pub(crate) fn started() -> Postgres {
    start(&PostgresOptions::default())
}

pub(crate) fn start(options: &PostgresOptions) -> Postgres {
    Postgres::start(options).expect("PostgreSQL starts")
}

/// Its database.
pub(crate) fn database(postgres: &Postgres) -> Database {
    at(&postgres.url())
}

pub(crate) fn at(url: &str) -> Database {
    Database::Postgres(url.parse().expect("an address"))
}

/// Waits until something has come about.
pub(crate) fn until(what: &str, reached: impl Fn() -> bool) {
    for _ in 0..LOOKS_MAX {
        if reached() {
            return;
        }
        thread::park_timeout(Duration::from_millis(1));
    }
    panic!("never: {what}");
}

/// An engine that sells, and the sink that copies what it sells.
pub(crate) struct Serving {
    folder: tempfile::TempDir,
    storage: Directory,
    engine: Engine,
    pub(crate) handle: Handle,
    sink: Sink,
    pub(crate) database: Database,
    sold: std::cell::Cell<u64>,
}

impl Serving {
    /// With one SKU that does not sell out.
    pub(crate) fn new(database: Database) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let storage = Directory::lock(&folder.path().join("journal")).expect("free");
        let on_fatal: OnFatal = Arc::new(|fatal| panic!("{fatal}"));
        let config = EngineConfig::new([42; 32]);
        let (engine, handle) =
            Engine::open(storage.clone(), None, &config, &on_fatal).expect("the journal opens");
        let sink = sink(storage.clone(), &handle, &database);
        let sold = Default::default();
        let serving = Self { folder, storage, engine, handle, sink, database, sold };
        serving.stock();
        serving
    }

    /// A second sink that copies the same.
    pub(crate) fn another_sink(&self) -> Sink {
        sink(self.storage.clone(), &self.handle, &self.database)
    }

    fn stock(&self) {
        let define = DefineSku {
            sku: sku(),
            title: Box::from("Phone"),
            unit_price: Amount::new(500).expect("in range"),
            currency: Currency::new("CNY").expect("a code"),
            per_buyer_limit: 0,
            hold_seconds: 600,
            standby_pass: false,
            if_revision: None,
            request: REQUEST,
        };
        ask(&self.handle, Command::DefineSku(Box::new(define)));
        let receive = ReceiveLot {
            sku: sku(),
            lot: LotId::new("L1").expect("a name"),
            quantity: Quantity::new(1_000_000).expect("in range"),
            unit_price: None,
            request: REQUEST,
        };
        ask(&self.handle, Command::ReceiveLot(Box::new(receive)));
    }

    /// Sells so many orders more, and cancels every third of them.
    pub(crate) fn sell(&self, orders: u64) {
        let first = self.sold.replace(self.sold.get() + orders);
        for number in first..first + orders {
            let buyer = Buyer::new(self.handle.hash_key(), &format!("buyer-{}", number % 7));
            let order = OrderId::new(self.handle.now(), 1, buyer.slot, number);
            let lines = smallvec![PlaceLine { sku: sku(), quantity: Quantity::ONE }];
            let digest = buyer.digest;
            let place = Place {
                order,
                key: None,
                fingerprint: Place::fingerprint_of(&lines, false, None),
                buyer,
                lines,
                standby: false,
                max_amount: None,
                request: REQUEST,
            };
            let outcome = ask(&self.handle, Command::Place(Box::new(place)));
            assert!(matches!(outcome, Outcome::Placed(_)), "{outcome:?}");
            if number % 3 == 0 {
                let cancel = Cancel { order, buyer: digest, request: REQUEST };
                let outcome = ask(&self.handle, Command::Cancel(Box::new(cancel)));
                assert!(matches!(outcome, Outcome::Order(_)), "{outcome:?}");
            }
        }
    }

    pub(crate) fn status(&self) -> &SinkStatus {
        self.sink.status()
    }

    pub(crate) fn durable(&self) -> u64 {
        self.handle.journal_metrics().durable.get()
    }

    /// Waits until the copy has all that is durable.
    pub(crate) fn caught_up(&self) {
        let durable = self.durable();
        until("the copy has it all", || {
            self.status().watermark.get() == durable && self.status().last_error().is_none()
        });
    }

    /// Waits for the copy and compares every row.
    pub(crate) fn audited(&self) {
        self.caught_up();
        let report = self.audit();
        assert!(report.is_clean() && report.is_whole(), "{report:?}");
        assert_eq!(report.through, self.durable());
        let rows = report.compared.iter().find(|(table, _)| *table == "orders");
        assert_eq!(rows.map(|(_, rows)| *rows), Some(self.sold.get()));
    }

    fn audit(&self) -> Report {
        on_a_runtime(async {
            let mut snapshot = Snapshot::take(&self.database, 1).await.expect("taken");
            let config = AuditConfig { cell: 1, limits: DEFAULT, differences_max: 3 };
            let storage = Directory::read_only(&self.folder.path().join("journal"));
            let storage = storage.expect("it is there");
            let report = audit::run(&storage, &mut snapshot, &config, &mut |_| {}).await;
            snapshot.end().await.expect("ended");
            report.expect("both can be read")
        })
    }

    /// Ends engine and sink.
    pub(crate) fn close(self) {
        self.engine.drain();
        self.sink.stop();
    }
}

fn sink(storage: Directory, handle: &Handle, database: &Database) -> Sink {
    let durable = handle.clone();
    let config = SinkConfig {
        storage,
        archive: None,
        cell: 1,
        journal: handle.hash_key().journal(),
        durable: Arc::new(move || durable.journal_metrics().durable.get()),
        watermark: Watermark::default(),
        limits: DEFAULT,
        seed: 1,
    };
    Sink::sql(database.clone(), config).expect("a thread")
}

fn sku() -> SkuId {
    SkuId::new("phone").expect("a name")
}
