//! Two streams of rows in the order of their keys: what the journal says, and what a table holds.

use std::cmp::Ordering;
use std::collections::VecDeque;

use crate::sink::table::{Table, Value};
use crate::sink::{SinkError, Snapshot};

use super::difference::{Difference, Differences};
use super::expected::Expected;

/// What a row is that nothing accounts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extras {
    /// A difference.
    Unexpected,
    /// A difference if its last record is kept, from that sequence on.
    MadeBefore(u64),
    /// Nothing can be told of it.
    Untold,
}

/// A table being compared.
pub(super) struct Merge {
    table: &'static Table,
    /// The key of the last row read, without the cell.
    after: Vec<Value>,
    below: Option<Value>,
    rows_max: usize,
    extras: Extras,
    page: VecDeque<Vec<Value>>,
    ended: bool,
    compared: u64,
}

impl Merge {
    /// Over the rows behind the key `after`, with a first column less than `below`.
    pub(super) fn new(
        table: &'static Table,
        after: Vec<Value>,
        below: Option<Value>,
        rows_max: usize,
        extras: Extras,
    ) -> Self {
        let page = VecDeque::new();
        Self { table, after, below, rows_max, extras, page, ended: false, compared: 0 }
    }

    /// Rows that both sides have.
    pub(super) const fn compared(&self) -> u64 {
        self.compared
    }

    /// The next row that the journal says, but for the columns `unknown`. Rows come in the order of
    /// their keys.
    pub(super) async fn expect(
        &mut self,
        snapshot: &mut Snapshot,
        row: &[Value],
        unknown: &[usize],
        sequence: u64,
        differences: &mut Differences,
    ) -> Result<(), SinkError> {
        let key = 1..self.table.key;
        loop {
            self.fill(snapshot).await?;
            let order = self.page.front().map(|found| found[key.clone()].cmp(&row[key.clone()]));
            match order {
                Some(Ordering::Less) => self.unexpected(differences),
                Some(Ordering::Equal) => {
                    let found = self.page.pop_front().expect("it was looked at");
                    self.compared += 1;
                    self.compare(row, &found, unknown, sequence, differences);
                    return Ok(());
                }
                Some(Ordering::Greater) | None => {
                    differences.add(Difference {
                        table: self.table.name,
                        key: self.key_text(row),
                        column: "row",
                        expected: "present".into(),
                        found: "missing".into(),
                        sequence,
                    });
                    return Ok(());
                }
            }
        }
    }

    /// The same of a row that says itself what is unknown of it.
    pub(super) async fn expect_row(
        &mut self,
        snapshot: &mut Snapshot,
        expected: &Expected,
        differences: &mut Differences,
    ) -> Result<(), SinkError> {
        let Expected { sequence, row, unknown } = expected;
        self.expect(snapshot, row, unknown, *sequence, differences).await
    }

    /// The journal says no more.
    pub(super) async fn finish(
        &mut self,
        snapshot: &mut Snapshot,
        differences: &mut Differences,
    ) -> Result<(), SinkError> {
        loop {
            self.fill(snapshot).await?;
            if self.page.is_empty() {
                return Ok(());
            }
            self.unexpected(differences);
        }
    }

    async fn fill(&mut self, snapshot: &mut Snapshot) -> Result<(), SinkError> {
        if !self.page.is_empty() || self.ended {
            return Ok(());
        }
        let below = self.below.as_ref();
        let rows = snapshot.page(self.table, &self.after, below, self.rows_max).await?;
        self.ended = rows.len() < self.rows_max;
        if let Some(last) = rows.last() {
            self.after = last[1..self.table.key].to_vec();
        }
        self.page = rows.into();
        Ok(())
    }

    fn compare(
        &self,
        row: &[Value],
        found: &[Value],
        unknown: &[usize],
        sequence: u64,
        differences: &mut Differences,
    ) {
        for (column, name) in self.table.columns.iter().enumerate() {
            if row[column] != found[column] && !unknown.contains(&column) {
                differences.add(Difference {
                    table: self.table.name,
                    key: self.key_text(row),
                    column: name,
                    expected: row[column].to_string(),
                    found: found[column].to_string(),
                    sequence,
                });
            }
        }
    }

    /// The next row of the page is accounted for by nothing.
    fn unexpected(&mut self, differences: &mut Differences) {
        let Some(found) = self.page.pop_front() else { return };
        let sequence = self.sequence_of(&found);
        let is_difference = match self.extras {
            Extras::Unexpected => true,
            Extras::MadeBefore(first) => sequence >= first,
            Extras::Untold => false,
        };
        if is_difference {
            differences.add(Difference {
                table: self.table.name,
                key: self.key_text(&found),
                column: "row",
                expected: "missing".into(),
                found: "present".into(),
                sequence,
            });
        }
    }

    /// The record that the row says it is from; 0 if it says none.
    fn sequence_of(&self, row: &[Value]) -> u64 {
        let column = self.table.columns.iter().position(|name| *name == "sequence");
        match column.map(|column| &row[column]) {
            Some(Value::Integer(sequence)) => u64::try_from(*sequence).unwrap_or(0),
            _ => 0,
        }
    }

    fn key_text(&self, row: &[Value]) -> String {
        let columns = self.table.columns[..self.table.key].iter().zip(row);
        let parts: Vec<String> = columns.map(|(name, value)| format!("{name} {value}")).collect();
        parts.join(", ")
    }
}
