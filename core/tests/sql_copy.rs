//! The journal of a real engine, its SQL copy, and the audit that compares them (I7, I8).

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use sluice_core::audit::{self, AuditConfig, AuditError, Report};
use sluice_core::command::{
    Buyer, Cancel, Command, DefineSku, Key, Place, PlaceLine, ReceiveLot, ReplyTo, Withdraw,
};
use sluice_core::config::EngineConfig;
use sluice_core::engine::{Engine, Handle, OnFatal};
use sluice_core::id::{HashKey, OrderId, RequestId};
use sluice_core::limits::{DEFAULT, Limits, TINY};
use sluice_core::money::{Amount, Currency};
use sluice_core::name::{LotId, SkuId, WithdrawalId};
use sluice_core::outcome::Outcome;
use sluice_core::quantity::Quantity;
use sluice_core::sink::{SinkConfig, SinkStatus, Snapshot, SqlSink};
use sluice_core::storage::{DatabaseFile, Directory};
use sluice_core::watermark::Watermark;
use smallvec::smallvec;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

const REQUEST: RequestId = RequestId::from_bits(7);

/// An engine whose work is done, and its copy.
struct Copied {
    folder: tempfile::TempDir,
    storage: Directory,
    hash_key: HashKey,
    durable: u64,
}

impl Copied {
    /// Sells `orders` orders, every third of which is cancelled, and copies all of it.
    fn new(orders: u64) -> Self {
        Self::within(DEFAULT, orders)
    }

    fn within(limits: Limits, orders: u64) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let storage = Directory::lock(&folder.path().join("journal")).expect("free");
        let on_fatal: OnFatal = Arc::new(|fatal| panic!("{fatal}"));
        let config = EngineConfig { shards: 2, limits, ..EngineConfig::new([42; 32]) };
        let (engine, handle) =
            Engine::open(storage.clone(), None, &config, &on_fatal).expect("the journal opens");
        sell(&handle, orders);
        let hash_key = *handle.hash_key();
        engine.drain();
        let durable = handle.journal_metrics().durable.get();
        let copied = Self { folder, storage, hash_key, durable };
        copied.copy();
        copied
    }

    fn database(&self) -> DatabaseFile {
        DatabaseFile::new(self.folder.path().join("copy.db"))
    }

    fn sink(&self, durable: u64) -> SqlSink {
        let config = SinkConfig {
            storage: self.storage.clone(),
            database: self.database(),
            cell: 1,
            journal: self.hash_key.journal(),
            durable: Arc::new(move || durable),
            watermark: Watermark::default(),
            limits: DEFAULT,
            seed: 1,
        };
        SqlSink::start(config).expect("a thread")
    }

    /// Lets a sink go on until it has all.
    fn copy(&self) -> Arc<SinkStatus> {
        loop {
            let sink = self.sink(self.durable);
            let status = Arc::clone(sink.status());
            // It stores what it can before it ends.
            sink.stop();
            if status.watermark.get() == self.durable {
                return status;
            }
        }
    }

    fn audit(&self, limits: Limits) -> Report {
        let mut pass = 0;
        let report = self.audit_with(limits, &mut |now| pass = now.pass.max(pass));
        assert!(pass >= 2, "events, then orders");
        report.expect("both can be read")
    }

    /// An audit that tells how far it is.
    fn audit_with(
        &self,
        limits: Limits,
        progress: &mut dyn FnMut(audit::Progress),
    ) -> Result<Report, AuditError> {
        on_a_runtime(async {
            let mut snapshot = Snapshot::take(&self.database(), 1).await.expect("taken");
            let config = AuditConfig { cell: 1, limits, differences_max: 3 };
            let storage = Directory::read_only(&self.folder.path().join("journal"));
            let storage = storage.expect("it is there");
            let report = audit::run(&storage, &mut snapshot, &config, progress).await;
            snapshot.end().await.expect("ended");
            report
        })
    }

    /// Does something to the copy behind the sink's back. Gives how many rows it changed.
    fn tamper(&self, statement: &str) -> u64 {
        on_a_runtime(async {
            let options = sqlx::sqlite::SqliteConnectOptions::new();
            let options = options.filename(self.database().path());
            let mut connection = options.connect().await.expect("opened");
            let statement = AssertSqlSafe(statement.to_owned());
            let done = connection.execute(statement).await.expect("done");
            connection.close().await.expect("closed");
            done.rows_affected()
        })
    }
}

fn on_a_runtime<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(work)
}

fn ask(handle: &Handle, command: Command) -> Outcome {
    let (sender, receiver) = sync_channel(1);
    let reply = ReplyTo::Call(Box::new(move |outcome| {
        let _ = sender.send(outcome);
    }));
    handle.submit(command, reply, handle.now()).expect("there is room");
    receiver.recv().expect("an answer")
}

fn sell(handle: &Handle, orders: u64) {
    let sku = |number: u64| SkuId::new(&format!("sku-{}", number % 3)).expect("a name");
    let quantity = |units: u32| Quantity::new(units).expect("in range");
    for number in 0..3 {
        ask(
            handle,
            Command::DefineSku(Box::new(DefineSku {
                sku: sku(number),
                title: Box::from("it's a \"title\""),
                unit_price: Amount::new(500).expect("in range"),
                currency: Currency::new("CNY").expect("a code"),
                per_buyer_limit: 0,
                hold_seconds: 600,
                standby_pass: false,
                if_revision: None,
                request: REQUEST,
            })),
        );
        for (lot, price) in [("L1", None), ("L2", Some(700))] {
            ask(
                handle,
                Command::ReceiveLot(Box::new(ReceiveLot {
                    sku: sku(number),
                    lot: LotId::new(lot).expect("a name"),
                    quantity: quantity(orders as u32),
                    unit_price: price.and_then(Amount::new),
                    request: REQUEST,
                })),
            );
        }
    }
    for number in 0..orders {
        let buyer = Buyer::new(handle.hash_key(), &format!("buyer-{}", number % 7));
        let key = (number % 2 == 0)
            .then(|| Key::new(handle.hash_key(), &buyer, &format!("key-{number}")));
        let mut lines = smallvec![PlaceLine { sku: sku(number), quantity: quantity(2) }];
        if number % 5 == 0 {
            lines.push(PlaceLine { sku: sku(number + 1), quantity: quantity(1) });
        }
        lines.sort_unstable_by(|a: &PlaceLine, b| a.sku.cmp(&b.sku));
        let order = OrderId::new(handle.now(), 1, buyer.slot, number);
        let (digest, request) = (buyer.digest, REQUEST);
        let outcome = ask(
            handle,
            Command::Place(Box::new(Place {
                order,
                key,
                fingerprint: Place::fingerprint_of(&lines, false, None),
                buyer,
                lines,
                max_amount: None,
                request,
            })),
        );
        assert!(matches!(outcome, Outcome::Placed(_)), "{outcome:?}");
        if number % 3 == 0 {
            let cancel = Cancel { order, buyer: digest, request };
            let outcome = ask(handle, Command::Cancel(Box::new(cancel)));
            assert!(matches!(outcome, Outcome::Order(_)), "{outcome:?}");
        }
    }
    let withdraw = Withdraw {
        sku: sku(0),
        withdrawal: WithdrawalId::new("W1").expect("a name"),
        quantity: quantity(1),
        reason: Box::from("broken"),
        request: REQUEST,
    };
    ask(handle, Command::Withdraw(Box::new(withdraw)));
}

#[test]
fn a_copy_is_equal_in_as_many_passes_as_it_takes() {
    let copied = Copied::new(20);
    // TINY holds three orders a pass and reads two rows at a time.
    for limits in [DEFAULT, TINY] {
        let report = copied.audit(limits);
        assert!(report.is_clean() && report.is_whole(), "{report:?}");
        assert_eq!(
            (report.first, report.through, report.last),
            (1, copied.durable, copied.durable)
        );
        let rows = |table| report.compared.iter().find(|(name, _)| *name == table).map(|t| t.1);
        assert_eq!(
            (rows("orders"), rows("order_lines"), rows("skus")),
            (Some(20), Some(24), Some(3))
        );
        assert_eq!((rows("order_events"), rows("lots")), (Some(27), Some(6)));
        assert_eq!((rows("withdrawals"), rows("withdrawal_draws")), (Some(1), Some(1)));
    }
}

#[test]
fn whatever_is_done_to_a_row_is_found() {
    let copied = Copied::new(8);
    let original = std::fs::read(copied.database().path()).expect("a copy at rest is one file");
    let one = |table: &str, key: &str| {
        format!("WHERE ({key}) IN (SELECT {key} FROM {table} ORDER BY {key} LIMIT 1 OFFSET 1)")
    };
    let tables = [
        ("skus", "cell, sku", "name = 'x'"),
        ("skus", "cell, sku", "per_buyer_limit = 1"),
        ("lots", "cell, sku, lot", "available = available + 1"),
        ("lots", "cell, sku, lot", "unit_price = 1"),
        ("orders", "cell, order_id", "status = 'paid'"),
        ("orders", "cell, order_id", "buyer = 'eve'"),
        ("orders", "cell, order_id", "amount = amount - 1"),
        ("orders", "cell, order_id", "updated_at = 0"),
        ("order_lines", "cell, order_id, line", "quantity = 9"),
        ("order_draws", "cell, order_id, line, draw", "lot = 'L9'"),
        ("order_events", "cell, sequence", "kind = 'paid'"),
        ("order_events", "cell, sequence", "request_id = NULL"),
    ];
    for limits in [DEFAULT, TINY] {
        for (table, key, set) in tables {
            let at = one(table, key);
            let changed = format!("UPDATE {table} SET {set} {at}");
            let removed = format!("DELETE FROM {table} {at}");
            for (statement, column) in [(changed, set), (removed, "row")] {
                assert_eq!(copied.tamper(&statement), 1, "{statement}");
                let report = copied.audit(limits);
                assert_eq!(report.differences_count, 1, "{statement}: {report:?}");
                let difference = &report.differences[0];
                assert_eq!(difference.table, table, "{statement}");
                assert!(column.starts_with(difference.column), "{statement}: {difference:?}");
                assert!(difference.sequence > 0, "{statement}: {difference:?}");
                std::fs::write(copied.database().path(), &original).expect("restored");
            }
        }
        let extra = "INSERT INTO orders SELECT cell, '7' || substr(order_id, 2), buyer, NULL, \
                     status, version, amount, currency, created_at, expires_at, updated_at, \
                     sequence FROM orders";
        assert_eq!(copied.tamper(extra), 8);
        let report = copied.audit(limits);
        assert_eq!((report.differences_count, report.differences.len()), (8, 3), "{report:?}");
        assert_eq!(report.differences[0].found, "present");
        std::fs::write(copied.database().path(), &original).expect("restored");
    }
}

#[test]
fn lag_is_no_difference_and_a_copy_goes_on_where_it_ended() {
    let copied = Copied::new(6);
    std::fs::remove_file(copied.database().path()).expect("removed");
    let half = copied.durable / 2;
    loop {
        let sink = copied.sink(half);
        let status = Arc::clone(sink.status());
        sink.stop();
        if status.watermark.get() > 0 {
            break;
        }
    }
    let report = copied.audit(DEFAULT);
    assert!(report.is_clean(), "{report:?}");
    assert!(report.through < copied.durable && report.last == copied.durable, "{report:?}");
    let status = copied.copy();
    assert_eq!(status.records.get(), copied.durable - report.through, "nothing is stored twice");
    assert!(copied.audit(DEFAULT).is_clean());
}

#[test]
fn a_copy_of_another_journal_is_told() {
    let copied = Copied::new(2);
    assert_eq!(copied.tamper("UPDATE watermarks SET journal = 'another'"), 1);
    let report = copied.audit(DEFAULT);
    assert_eq!(report.differences_count, 1);
    assert_eq!(
        (report.differences[0].table, report.differences[0].column),
        ("watermarks", "journal")
    );
}

#[test]
fn a_copy_that_has_more_than_the_journal_is_no_damage_of_the_journal() {
    let copied = Copied::new(2);
    assert_eq!(copied.tamper("UPDATE watermarks SET sequence = sequence + 7"), 1);
    match copied.audit_with(DEFAULT, &mut |_| {}) {
        Err(AuditError::Ahead { through, last }) => {
            assert_eq!((through, last), (copied.durable + 7, copied.durable));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_journal_that_is_trimmed_meanwhile_is_told_and_no_difference() {
    let copied = of_two_segments();
    let first = copied.folder.path().join("journal").join("0000000000000001.segment");
    // The pass over events has it open; the pass over orders finds it gone.
    let mut trim = |_| {
        let _ = std::fs::remove_file(&first);
    };
    let report = copied.audit_with(DEFAULT, &mut trim);
    assert!(matches!(report, Err(AuditError::Trimmed)), "{report:?}");
}

/// A copy of a journal that has more than one segment.
fn of_two_segments() -> Copied {
    // Frames take at least a sector each: more than one of these segments holds.
    let segment = 1 << 20;
    let limits = Limits { segment_bytes: segment, first_segment_bytes: segment, ..DEFAULT };
    Copied::within(limits, segment / 512)
}

#[test]
fn what_is_left_of_a_trimmed_journal_is_compared() {
    let copied = of_two_segments();
    let journal = copied.folder.path().join("journal");
    std::fs::remove_file(journal.join("0000000000000001.segment")).expect("removed");
    let report = copied.audit(DEFAULT);
    assert!(report.is_clean() && !report.is_whole(), "{report:?}");
    assert!(report.first > 1 && report.through == copied.durable, "{report:?}");
    let rows = |table| report.compared.iter().find(|(name, _)| *name == table).map(|t| t.1);
    assert!(rows("orders").is_some_and(|rows| rows > 0), "{report:?}");
    let last = "WHERE sequence = (SELECT MAX(sequence) FROM orders)";
    assert_eq!(copied.tamper(&format!("UPDATE orders SET version = 9 {last}")), 1);
    assert_eq!(copied.audit(DEFAULT).differences_count, 1);
    assert_eq!(copied.tamper(&format!("DELETE FROM orders {last}")), 1);
    assert_eq!(copied.audit(DEFAULT).differences_count, 1);
}
