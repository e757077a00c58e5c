//! Changes of rows that earlier records made: what is changed, of which rows, by which values.

use std::sync::Arc;

use super::super::batch::{Batch, Replaced};
use super::super::error::{SinkError, Trouble};
use super::super::table::{self, ORDER_DRAWS, SALE_SKUS, Table, Value};

/// A change of rows, by values that are called `change.column1`, `change.column2` and so on.
pub(in crate::sink) struct Change {
    /// The table.
    pub(in crate::sink) table: &'static Table,
    /// What is changed: apart for each change of one table.
    pub(in crate::sink) what: &'static str,
    /// The columns that the values are of.
    pub(in crate::sink) columns: &'static [&'static str],
    /// What becomes of a row.
    pub(in crate::sink) set: &'static str,
    /// Which row it is.
    pub(in crate::sink) of: &'static str,
    /// The values, row by row.
    pub(in crate::sink) values: fn(&Batch) -> Vec<Value>,
}

impl Change {
    /// The statement that changes rows by what `from` gives. `cell` stands for the cell.
    pub(in crate::sink) fn statement(&self, from: &str, cell: &str) -> String {
        let Self { table: Table { name, .. }, set, of, .. } = self;
        format!("UPDATE {name} SET {set} FROM {from} WHERE {name}.cell = {cell} AND {of}")
    }

    /// What is said if not all rows are there.
    pub(in crate::sink) fn judge(&self, rows: u64, changed: u64) -> Result<(), SinkError> {
        if changed == rows {
            return Ok(());
        }
        let what = format!(
            "the table {} lacks {} of {rows} rows that earlier records made",
            self.table.name,
            rows.saturating_sub(changed)
        );
        Err(SinkError::new(Trouble::Poison, what))
    }
}

/// All of them, in the order in which they are made: after the rows of the batch are inserted.
pub(in crate::sink) const CHANGES: [Change; 6] = [
    Change {
        table: &table::ORDERS,
        what: "state",
        columns: &["order_id", "status", "version", "updated_at", "sequence"],
        set: "status = COALESCE(change.column2, status), version = change.column3, \
              updated_at = change.column4, sequence = change.column5",
        of: "orders.order_id = change.column1",
        values: states,
    },
    Change {
        table: &table::ORDERS,
        what: "hold",
        columns: &["order_id", "amount", "expires_at"],
        set: "amount = COALESCE(change.column2, amount), \
              expires_at = COALESCE(change.column3, expires_at)",
        of: "orders.order_id = change.column1",
        values: holds,
    },
    Change {
        table: &table::ORDER_LINES,
        what: "amount",
        columns: &["order_id", "line", "amount"],
        set: "amount = change.column3",
        of: "order_lines.order_id = change.column1 AND order_lines.line = change.column2",
        values: lines,
    },
    Change {
        table: &table::PAYMENTS,
        what: "state",
        columns: &[
            "payment_id",
            "status",
            "refund_reason",
            "refund_failed",
            "updated_at",
            "sequence",
        ],
        set: "status = change.column2, refund_reason = COALESCE(change.column3, refund_reason), \
              refund_failed = change.column4, updated_at = change.column5, \
              sequence = change.column6",
        of: "payments.payment_id = change.column1",
        values: payments,
    },
    Change {
        table: &table::SALES,
        what: "state",
        columns: &["sale", "revision", "paused", "ended", "updated_at", "sequence"],
        set: "revision = change.column2, paused = COALESCE(change.column3, paused), \
              ended = COALESCE(change.column4, ended), updated_at = change.column5, \
              sequence = change.column6",
        of: "sales.sale = change.column1",
        values: sales,
    },
    Change {
        table: &table::LOTS,
        what: "counters",
        columns: &["sku", "lot", "available", "held", "sold", "withdrawn", "sequence"],
        set: "available = available + change.column3, held = held + change.column4, \
              sold = sold + change.column5, withdrawn = withdrawn + change.column6, \
              sequence = change.column7",
        of: "lots.sku = change.column1 AND lots.lot = change.column2",
        values: counters,
    },
];

fn states(batch: &Batch) -> Vec<Value> {
    let changes = batch.order_changes.values().flat_map(|change| {
        [
            Value::Text(Arc::clone(&change.order)),
            change.status.clone().map_or(Value::Null, Value::Text),
            Value::number(change.version),
            Value::number(change.updated_at.micros()),
            Value::number(change.sequence),
        ]
    });
    changes.collect()
}

fn holds(batch: &Batch) -> Vec<Value> {
    let changes = batch.hold_changes.values().flat_map(|change| {
        let order = Value::Text(Arc::clone(&change.order));
        [order, change.amount.clone(), change.expires_at.clone()]
    });
    changes.collect()
}

fn lines(batch: &Batch) -> Vec<Value> {
    let changes = batch.line_changes.iter().flat_map(|((order, line), amount)| {
        [Value::text(&order.to_string()), Value::number(*line), amount.clone()]
    });
    changes.collect()
}

fn payments(batch: &Batch) -> Vec<Value> {
    let changes = batch.payment_changes.values().flat_map(|change| {
        [
            Value::Text(Arc::clone(&change.payment)),
            Value::Text(Arc::clone(&change.status)),
            change.refund_reason.clone(),
            Value::number(u8::from(change.refund_failed)),
            Value::number(change.updated_at.micros()),
            Value::number(change.sequence),
        ]
    });
    changes.collect()
}

fn sales(batch: &Batch) -> Vec<Value> {
    let flag = |flag: Option<bool>| flag.map_or(Value::Null, |set| Value::number(u8::from(set)));
    let changes = batch.sale_changes.iter().flat_map(|(sale, change)| {
        [
            Value::text(sale.as_str()),
            Value::number(change.revision),
            flag(change.paused),
            flag(change.ended),
            Value::number(change.updated_at.micros()),
            Value::number(change.sequence),
        ]
    });
    changes.collect()
}

fn counters(batch: &Batch) -> Vec<Value> {
    let changes = batch.moved.iter().flat_map(|((sku, lot), moved)| {
        [
            Value::text(sku.as_str()),
            Value::text(lot.as_str()),
            Value::Integer(moved.available),
            Value::Integer(moved.held),
            Value::Integer(moved.sold),
            Value::Integer(moved.withdrawn),
            Value::number(moved.sequence),
        ]
    });
    changes.collect()
}

/// Rows that take the place of all that a table has of the same orders or sales.
pub(in crate::sink) struct Replacement {
    /// The table.
    pub(in crate::sink) table: &'static Table,
    /// Values of the first column of its key but `cell`: whatever rows have one of them go.
    pub(in crate::sink) keys: Vec<Value>,
    /// The rows that come.
    pub(in crate::sink) rows: Vec<Value>,
}

/// What a batch replaces, after its rows are inserted.
pub(in crate::sink) fn replacements(batch: &Batch) -> [Replacement; 2] {
    [replacement(&ORDER_DRAWS, &batch.redrawn), replacement(&SALE_SKUS, &batch.sale_skus)]
}

fn replacement<K: ToString>(table: &'static Table, replaced: &Replaced<K>) -> Replacement {
    Replacement {
        table,
        keys: replaced.keys().map(|key| Value::text(&key.to_string())).collect(),
        rows: replaced.values().flatten().cloned().collect(),
    }
}
