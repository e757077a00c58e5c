//! Whatever is done to the copy behind the sink's back, the audit finds it.

use sluice_core::limits::{DEFAULT, TINY};

use crate::in_sql::copied::Copied;
use crate::living::life::Life;
use crate::living::selling::sell;

/// A table, its key, and a change of one column.
type Change = (&'static str, &'static str, &'static str);

const CHANGES: [Change; 49] = [
    ("skus", "cell, sku", "name = 'x'"),
    ("skus", "cell, sku", "per_buyer_limit = 1"),
    ("lots", "cell, sku, lot", "available = available + 1"),
    ("lots", "cell, sku, lot", "held = held + 1"),
    ("lots", "cell, sku, lot", "sold = sold + 1"),
    ("lots", "cell, sku, lot", "withdrawn = withdrawn + 1"),
    ("lots", "cell, sku, lot", "unit_price = 1"),
    ("orders", "cell, order_id", "status = 'lost'"),
    ("orders", "cell, order_id", "buyer = 'eve'"),
    ("orders", "cell, order_id", "amount = amount - 1"),
    ("orders", "cell, order_id", "expires_at = 1"),
    ("orders", "cell, order_id", "updated_at = 0"),
    ("order_lines", "cell, order_id, line", "quantity = 9"),
    ("order_lines", "cell, order_id, line", "sale = 'x'"),
    ("order_lines", "cell, order_id, line", "amount = 1"),
    ("order_draws", "cell, order_id, line, draw", "lot = 'L9'"),
    ("order_events", "cell, sequence", "kind = 'lost'"),
    ("order_events", "cell, sequence", "request_id = NULL"),
    ("order_events", "cell, sequence", "payment_id = 'x'"),
    ("order_events", "cell, sequence", "detail = 'x'"),
    ("standby", "cell, order_id", "sku = 'x'"),
    ("standby", "cell, order_id", "ticket = 99"),
    ("standby", "cell, order_id", "max_amount = 1"),
    ("shipments", "cell, order_id", "carrier = 'x'"),
    ("shipments", "cell, order_id", "tracking_number = 'x'"),
    ("shipments", "cell, order_id", "shipped_at = 0"),
    ("payments", "cell, payment_id", "order_id = 'x'"),
    ("payments", "cell, payment_id", "amount = amount + 1"),
    ("payments", "cell, payment_id", "currency = 'EUR'"),
    ("payments", "cell, payment_id", "status = 'lost'"),
    ("payments", "cell, payment_id", "refund_reason = 'x'"),
    ("payments", "cell, payment_id", "refund_failed = 1 - refund_failed"),
    ("payments", "cell, payment_id", "created_at = 0"),
    ("payments", "cell, payment_id", "updated_at = 0"),
    ("unmatched_notices", "cell, sequence", "kind = 'x'"),
    ("unmatched_notices", "cell, sequence", "payment_id = 'x'"),
    ("unmatched_notices", "cell, sequence", "order_id = 'x'"),
    ("unmatched_notices", "cell, sequence", "amount = 0"),
    ("unmatched_notices", "cell, sequence", "currency = 'EUR'"),
    ("unmatched_notices", "cell, sequence", "received_at = 0"),
    ("sales", "cell, sale", "name = 'x'"),
    ("sales", "cell, sale", "starts_at = 0"),
    ("sales", "cell, sale", "ends_at = 0"),
    ("sales", "cell, sale", "per_buyer_limit = 99"),
    ("sales", "cell, sale", "paused = 1 - paused"),
    ("sales", "cell, sale", "ended = 1 - ended"),
    ("sales", "cell, sale", "created_at = 0"),
    ("sales", "cell, sale", "revision = 99"),
    ("sale_skus", "cell, sale, sku", "sequence = 0"),
];

#[test]
fn whatever_is_done_to_a_row_is_found() {
    let copied = Copied::of(DEFAULT, |handle| {
        sell(handle, 8);
        Life::lived(handle);
    });
    let original = std::fs::read(copied.path()).expect("a copy at rest is one file");
    for limits in [DEFAULT, TINY] {
        let mut emptied = "";
        for (table, key, set) in CHANGES {
            let at = format!(
                "WHERE ({key}) IN (SELECT {key} FROM {table} ORDER BY {key} LIMIT 1 OFFSET 1)"
            );
            let changed = format!("UPDATE {table} SET {set} {at}");
            let removed = format!("DELETE FROM {table} {at}");
            let removal = (table != emptied).then_some((removed, "row"));
            emptied = table;
            for (statement, column) in [(changed, set)].into_iter().chain(removal) {
                assert_eq!(copied.tamper(&statement), 1, "{statement}");
                let report = copied.audit(limits);
                assert_eq!(report.differences_count, 1, "{statement}: {report:?}");
                let difference = &report.differences[0];
                assert_eq!(difference.table, table, "{statement}");
                assert!(column.starts_with(difference.column), "{statement}: {difference:?}");
                assert!(difference.sequence > 0, "{statement}: {difference:?}");
                std::fs::write(copied.path(), &original).expect("restored");
            }
        }
    }
}

#[test]
fn rows_that_nothing_accounts_for_are_found() {
    let copied = Copied::new(8);
    let extra = "INSERT INTO orders SELECT cell, '7' || substr(order_id, 2), buyer, NULL, \
                 status, version, amount, currency, created_at, expires_at, updated_at, \
                 sequence FROM orders";
    assert_eq!(copied.tamper(extra), 8);
    for limits in [DEFAULT, TINY] {
        let report = copied.audit(limits);
        assert_eq!((report.differences_count, report.differences.len()), (8, 3), "{report:?}");
        assert_eq!(report.differences[0].found, "present");
    }
}
