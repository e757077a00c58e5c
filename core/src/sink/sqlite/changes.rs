//! Changes of rows that earlier records made.

use std::sync::Arc;

use sqlx::AssertSqlSafe;

use super::super::batch::{Batch, Replaced};
use super::super::error::{SinkError, Trouble};
use super::super::table::{ORDER_DRAWS, SALE_SKUS, Table, Value};
use super::{CHUNKS, SqliteStore, arguments, placeholders};

/// A change of rows, by values that are called `change.column1`, `change.column2` and so on.
struct Change {
    table: &'static str,
    /// What is changed: apart for each change of one table.
    what: &'static str,
    /// How many values a row has.
    width: usize,
    set: &'static str,
    /// Which row it is.
    of: &'static str,
}

const STATES: Change = Change {
    table: "orders",
    what: "state",
    width: 5,
    set: "status = COALESCE(change.column2, status), version = change.column3, \
          updated_at = change.column4, sequence = change.column5",
    of: "orders.order_id = change.column1",
};

const HOLDS: Change = Change {
    table: "orders",
    what: "hold",
    width: 3,
    set: "amount = COALESCE(change.column2, amount), \
          expires_at = COALESCE(change.column3, expires_at)",
    of: "orders.order_id = change.column1",
};

const LINES: Change = Change {
    table: "order_lines",
    what: "amount",
    width: 3,
    set: "amount = change.column3",
    of: "order_lines.order_id = change.column1 AND order_lines.line = change.column2",
};

const PAYMENTS: Change = Change {
    table: "payments",
    what: "state",
    width: 6,
    set: "status = change.column2, refund_reason = COALESCE(change.column3, refund_reason), \
          refund_failed = change.column4, updated_at = change.column5, sequence = change.column6",
    of: "payments.payment_id = change.column1",
};

const SALES: Change = Change {
    table: "sales",
    what: "state",
    width: 6,
    set: "revision = change.column2, paused = COALESCE(change.column3, paused), \
          ended = COALESCE(change.column4, ended), updated_at = change.column5, \
          sequence = change.column6",
    of: "sales.sale = change.column1",
};

const LOTS: Change = Change {
    table: "lots",
    what: "counters",
    width: 7,
    set: "available = available + change.column3, held = held + change.column4, \
          sold = sold + change.column5, withdrawn = withdrawn + change.column6, \
          sequence = change.column7",
    of: "lots.sku = change.column1 AND lots.lot = change.column2",
};

impl SqliteStore {
    /// Changes what a batch changes.
    pub(super) async fn change(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let states = batch.order_changes.values().flat_map(|change| {
            [
                Value::Text(Arc::clone(&change.order)),
                change.status.clone().map_or(Value::Null, Value::Text),
                Value::number(change.version),
                Value::number(change.updated_at.micros()),
                Value::number(change.sequence),
            ]
        });
        self.update(&STATES, &states.collect::<Vec<_>>()).await?;
        let holds = batch.hold_changes.values().flat_map(|change| {
            let order = Value::Text(Arc::clone(&change.order));
            [order, change.amount.clone(), change.expires_at.clone()]
        });
        self.update(&HOLDS, &holds.collect::<Vec<_>>()).await?;
        let lines = batch.line_changes.iter().flat_map(|((order, line), amount)| {
            [Value::text(&order.to_string()), Value::number(*line), amount.clone()]
        });
        self.update(&LINES, &lines.collect::<Vec<_>>()).await?;
        self.replace(&ORDER_DRAWS, &batch.redrawn).await?;
        self.change_payments(batch).await?;
        self.change_sales(batch).await?;
        let moved = batch.moved.iter().flat_map(|((sku, lot), moved)| {
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
        self.update(&LOTS, &moved.collect::<Vec<_>>()).await
    }

    async fn change_payments(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let payments = batch.payment_changes.values().flat_map(|change| {
            [
                Value::Text(Arc::clone(&change.payment)),
                Value::Text(Arc::clone(&change.status)),
                change.refund_reason.clone(),
                Value::number(u8::from(change.refund_failed)),
                Value::number(change.updated_at.micros()),
                Value::number(change.sequence),
            ]
        });
        self.update(&PAYMENTS, &payments.collect::<Vec<_>>()).await
    }

    async fn change_sales(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.replace(&SALE_SKUS, &batch.sale_skus).await?;
        let flag =
            |flag: Option<bool>| flag.map_or(Value::Null, |set| Value::number(u8::from(set)));
        let sales = batch.sale_changes.iter().flat_map(|(sale, change)| {
            [
                Value::text(sale.as_str()),
                Value::number(change.revision),
                flag(change.paused),
                flag(change.ended),
                Value::number(change.updated_at.micros()),
                Value::number(change.sequence),
            ]
        });
        self.update(&SALES, &sales.collect::<Vec<_>>()).await
    }

    /// Changes rows that the store must have.
    async fn update(&mut self, change: &Change, values: &[Value]) -> Result<(), SinkError> {
        let (cell, width) = (self.cell, change.width);
        let Change { table, what, set, of, .. } = change;
        let mut values = values;
        for chunk in CHUNKS {
            while values.len() >= chunk * width {
                let (now, rest) = values.split_at(chunk * width);
                values = rest;
                let statement = self.statement((table, what, chunk), || {
                    let rows = placeholders(width, chunk);
                    format!(
                        "UPDATE {table} SET {set} FROM (VALUES {rows}) AS change \
                         WHERE {table}.cell = {cell} AND {of}"
                    )
                });
                let (statement, arguments) = arguments((statement, now))?;
                let query = sqlx::query_with(AssertSqlSafe(statement), arguments);
                let changed = query.execute(&mut self.connection).await?.rows_affected();
                if changed != chunk as u64 {
                    let what = format!(
                        "the table {table} lacks {} of {chunk} rows that earlier records made",
                        chunk as u64 - changed
                    );
                    return Err(SinkError::new(Trouble::Poison, what));
                }
            }
        }
        Ok(())
    }

    /// Puts rows in the place of all that a table has of the same orders or sales.
    async fn replace<K: ToString>(
        &mut self,
        table: &'static Table,
        replaced: &Replaced<K>,
    ) -> Result<(), SinkError> {
        let cell = self.cell;
        let keys: Vec<_> = replaced.keys().map(|key| Value::text(&key.to_string())).collect();
        let mut parts = Vec::new();
        let mut values = keys.as_slice();
        for chunk in CHUNKS {
            while values.len() >= chunk {
                let (now, rest) = values.split_at(chunk);
                values = rest;
                let (name, key) = (table.name, table.columns[1]);
                let statement = self.statement((name, "delete", chunk), || {
                    let places = vec!["?"; chunk].join(",");
                    format!("DELETE FROM {name} WHERE cell = {cell} AND {key} IN ({places})")
                });
                parts.push((statement, now));
            }
        }
        let rows: Vec<_> = replaced.values().flatten().cloned().collect();
        self.part(table, &rows, &mut parts);
        self.run(parts).await
    }
}
