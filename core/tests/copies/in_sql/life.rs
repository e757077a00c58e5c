//! The copy of a whole life: standby, payments, late ones, refunds, shipping, sales.

use sluice_core::event::OrderStatus;
use sluice_core::id::{OrderId, PaymentId};
use sluice_core::limits::{DEFAULT, TINY};
use sluice_core::sink::{OrderSearch, Reading, erase};
use sluice_services::Postgres;

use crate::in_sql::copied::{Copied, on_a_runtime};
use crate::in_sql::serving::{database, started};
use crate::living::life::{Life, Lived, sku};
use crate::living::{SMALL_SEGMENTS, segments};

/// An engine in which everything happened, and its copy.
fn lived() -> (Copied, Lived) {
    let mut lived = None;
    let copied = Copied::of(DEFAULT, |handle| lived = Some(Life::lived(handle)));
    (copied, lived.expect("it lived"))
}

/// The same, with its copy on a server.
fn lived_on(postgres: &Postgres) -> (Copied, Lived) {
    let mut lived = None;
    let there = database(postgres);
    let copied = Copied::kept_in(|_| there, DEFAULT, |handle| lived = Some(Life::lived(handle)));
    (copied, lived.expect("it lived"))
}

#[test]
fn everything_that_befalls_orders_is_copied() {
    is_copied(&lived().0);
}

#[test]
fn everything_that_befalls_orders_is_copied_to_a_server() {
    let postgres = started();
    let (copied, lived) = lived_on(&postgres);
    is_copied(&copied);
    is_read(&copied, &lived);
    // Each record in a transaction of its own.
    on_a_runtime(erase(&copied.database(), 1)).expect("there was something");
    let mut end = 0;
    while end < copied.durable {
        end = copied.copy_up_to(end + 1);
    }
    is_copied(&copied);
}

fn is_copied(copied: &Copied) {
    for limits in [DEFAULT, TINY] {
        let report = copied.audit(limits);
        assert!(report.is_clean() && report.is_whole(), "{report:?}");
        let empty: Vec<_> = report.compared.iter().filter(|(_, rows)| *rows == 0).collect();
        let none = ["withdrawals", "withdrawal_draws", "skipped_records"];
        assert!(empty.iter().all(|(table, _)| none.contains(table)), "{empty:?}");
        assert_eq!(report.compared.len(), 15, "all tables but the watermark's");
    }
}

/// What events of one transaction fold into one row is the same in two, and in one for each.
#[test]
fn wherever_a_batch_ends_the_rows_are_the_same() {
    let (copied, _) = lived();
    let anew = || std::fs::remove_file(copied.path()).expect("removed");
    anew();
    let mut end = 0;
    while end < copied.durable {
        end = copied.copy_up_to(end + 1);
    }
    assert!(copied.audit(DEFAULT).is_clean());
    for end in (1..copied.durable).step_by(5) {
        anew();
        copied.copy_up_to(end);
        copied.copy();
        let report = copied.audit(DEFAULT);
        assert!(report.is_clean() && report.through == copied.durable, "{end}: {report:?}");
    }
}

/// Whatever was before, what is left of a journal accounts for the rows that it made.
#[test]
fn what_is_left_of_a_life_is_compared() {
    let copied = Copied::of(SMALL_SEGMENTS, |handle| {
        Life::lived(handle);
    });
    let segments = || segments(&copied.folder.path().join("journal"));
    let mut first = 1;
    while let [oldest, _, ..] = &segments()[..] {
        std::fs::remove_file(oldest).expect("removed");
        for limits in [DEFAULT, TINY] {
            let report = copied.audit(limits);
            assert!(report.is_clean() && report.first > first, "{report:?}");
            if limits == TINY {
                first = report.first;
            }
        }
        if first > copied.durable / 2 {
            break;
        }
    }
    assert!(first > copied.durable / 2, "there were several");
    let last = "WHERE sequence = (SELECT MAX(sequence) FROM payments)";
    assert_eq!(copied.tamper(&format!("UPDATE payments SET status = 'lost' {last}")), 1);
    assert_eq!(copied.audit(DEFAULT).differences_count, 1);
    assert_eq!(copied.tamper(&format!("DELETE FROM payments {last}")), 1);
    assert_eq!(copied.audit(DEFAULT).differences_count, 1);
}

#[test]
fn an_older_copy_of_it_all_is_caught_up() {
    let (copied, _) = lived();
    let path = copied.path();
    let newest = std::fs::read(&path).expect("a copy at rest is one file");
    for part in 1..4 {
        std::fs::remove_file(&path).expect("removed");
        copied.copy_up_to(copied.durable * part / 4);
        let older = std::fs::read(&path).expect("a copy at rest is one file");
        std::fs::write(&path, &newest).expect("restored");
        copied.copy();
        std::fs::write(&path, older).expect("restored");
        assert!(copied.audit(DEFAULT).through < copied.durable);
        copied.copy();
        let report = copied.audit(DEFAULT);
        assert!(report.is_clean() && report.through == copied.durable, "{part}: {report:?}");
    }
}

#[test]
fn what_operators_ask_for_is_read() {
    let (copied, lived) = lived();
    is_read(&copied, &lived);
}

fn is_read(copied: &Copied, lived: &Lived) {
    on_a_runtime(async {
        let mut reading = Reading::open(copied.database()).await.expect("opened");
        let ids: Vec<OrderId> = lived.orders.iter().map(|order| order.view.order).collect();
        let mut found = reading.orders(1, &ids).await.expect("read").orders;
        found.sort_by_key(|order| ids.iter().position(|id| *id == order.view.order));
        assert_eq!(found, lived.orders, "as the ledger shows them");
        read_payments(&mut reading, lived).await;
        read_timeline(&mut reading, lived).await;
        search(&mut reading, lived).await;
    });
}

async fn read_payments(reading: &mut Reading, lived: &Lived) {
    let refunds = reading.refunds(1, None, 10).await.expect("read");
    let ids: Vec<PaymentId> = refunds.iter().map(|payment| payment.payment).collect();
    assert_eq!(ids, lived.refunding);
    let said: Vec<_> = refunds
        .iter()
        .map(|payment| (payment.refund_reason.as_deref(), payment.refund_failed))
        .collect();
    assert_eq!(said, [(Some("operator"), false), (Some("late"), true)]);
    assert_eq!(reading.refunds(1, Some(ids[0]), 10).await.expect("read"), refunds[1..]);
    assert_eq!(reading.payment(1, ids[1]).await.expect("read").as_ref(), Some(&refunds[1]));
    assert_eq!(reading.payment(2, ids[1]).await.expect("read"), None, "cells are apart");
    let notices = reading.unmatched(1, None, 10).await.expect("read");
    let orders: Vec<&str> = notices.iter().map(|notice| &*notice.order).collect();
    assert_eq!(orders, ["order 1", "order 0"], "newest first");
    let older = reading.unmatched(1, Some(notices[0].sequence), 10).await.expect("read");
    assert_eq!(older, notices[1..]);
}

async fn read_timeline(reading: &mut Reading, lived: &Lived) {
    let timeline = reading.timeline(1, lived.whole).await.expect("read");
    let kinds: Vec<&str> = timeline.events.iter().map(|event| &*event.kind).collect();
    let wanted = [
        "placed",
        "payment_started",
        "payment_failed",
        "payment_started",
        "paid",
        "refund_requested",
        "refund_succeeded",
        "shipped",
        "delivered",
        "refund_requested",
        "refund_failed",
        "refund_succeeded",
    ];
    assert_eq!(kinds, wanted);
    let versions: Vec<_> = timeline.events.iter().filter_map(|event| event.version).collect();
    assert_eq!(versions, (1..=12).collect::<Vec<u32>>(), "one more at each event");
    assert_eq!(timeline.buyer.as_deref(), Some("ann"));
    assert_eq!(timeline.shipment, Some((Box::from("Swift"), Box::from("S 1"))));
    let states: Vec<&str> = timeline.payments.iter().map(|payment| &*payment.status).collect();
    assert_eq!(states, ["refunded", "refunded"]);
    let detail = |number: usize| timeline.events[number].detail.as_deref();
    assert_eq!((detail(5), detail(7)), (Some("second"), Some("Swift S 1")));
    assert_eq!(detail(9), Some("operator, units to stock"));
    assert_eq!(timeline.events[4].payment, timeline.events[3].payment);
    let none = reading.timeline(1, OrderId::from_bits(1)).await.expect("read");
    assert_eq!((none.buyer, none.events.len(), none.sequence), (None, 0, timeline.sequence));
}

async fn search(reading: &mut Reading, lived: &Lived) {
    let mut newest = lived.orders.clone();
    newest.sort_by_key(|order| std::cmp::Reverse((order.view.created_at, order.view.order)));
    let mut paged = Vec::new();
    let mut all = OrderSearch::default();
    loop {
        let page = reading.find_orders(1, &all, 2).await.expect("read").orders;
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        all.before = Some((last.view.created_at, last.view.order));
        paged.extend(page);
    }
    assert_eq!(paged, newest, "each once, newest first");
    for status in [OrderStatus::Waiting, OrderStatus::Refunding, OrderStatus::Cancelled] {
        let one = OrderSearch { status: Some(status), ..OrderSearch::default() };
        let found = reading.find_orders(1, &one, 100).await.expect("read").orders;
        newest
            .iter()
            .filter(|order| order.view.status == status)
            .eq(&found)
            .then_some(())
            .expect("all of them");
    }
    let tin = OrderSearch { sku: Some(sku("tin")), ..OrderSearch::default() };
    let found = reading.find_orders(1, &tin, 100).await.expect("read").orders;
    assert_eq!(found.len(), 4);
    let hers = OrderSearch { buyer: Some(Box::from("eve")), ..tin };
    let found = reading.find_orders(1, &hers, 100).await.expect("read").orders;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].view.lines[0].draws[0].lot.as_str(), "B", "drawn anew");
}
