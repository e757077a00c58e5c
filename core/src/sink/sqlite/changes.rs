//! Changes of rows that earlier records made.

use sqlx::AssertSqlSafe;

use super::super::batch::Batch;
use super::super::error::SinkError;
use super::super::sql::changes::{CHANGES, Change, Replacement, replacements};
use super::super::table::{Table, Value};
use super::{CHUNKS, SqliteStore, arguments, placeholders};

impl SqliteStore {
    /// Changes what a batch changes.
    pub(super) async fn change(&mut self, batch: &Batch) -> Result<(), SinkError> {
        for replacement in replacements(batch) {
            self.replace(&replacement).await?;
        }
        for change in &CHANGES {
            self.update(change, &(change.values)(batch)).await?;
        }
        Ok(())
    }

    /// Changes rows that the store must have.
    async fn update(&mut self, change: &Change, values: &[Value]) -> Result<(), SinkError> {
        let (cell, width) = (self.cell, change.columns.len());
        let mut values = values;
        for chunk in CHUNKS {
            while values.len() >= chunk * width {
                let (now, rest) = values.split_at(chunk * width);
                values = rest;
                let statement = self.statement((change.table.name, change.what, chunk), || {
                    let rows = format!("(VALUES {}) AS change", placeholders(width, chunk));
                    change.statement(&rows, &cell.to_string())
                });
                let (statement, arguments) = arguments((statement, now))?;
                let query = sqlx::query_with(AssertSqlSafe(statement), arguments);
                let changed = query.execute(&mut self.connection).await?.rows_affected();
                change.judge(chunk as u64, changed)?;
            }
        }
        Ok(())
    }

    /// Puts rows in the place of all that a table has of the same orders or sales.
    async fn replace(&mut self, replacement: &Replacement) -> Result<(), SinkError> {
        let cell = self.cell;
        let Replacement { table, keys, rows } = replacement;
        let mut parts = Vec::new();
        let mut values = keys.as_slice();
        for chunk in CHUNKS {
            while values.len() >= chunk {
                let (now, rest) = values.split_at(chunk);
                values = rest;
                let Table { name, columns, .. } = *table;
                let statement = self.statement((name, "delete", chunk), || {
                    let (key, places) = (columns[1], vec!["?"; chunk].join(","));
                    format!("DELETE FROM {name} WHERE cell = {cell} AND {key} IN ({places})")
                });
                parts.push((statement, now));
            }
        }
        self.part(table, rows, &mut parts);
        self.run(parts).await
    }
}
