//! The audit: the journal against its SQL copy, row by row (I8), and I1 along the way.
//!
//! The journal is folded by a fold of the audit's own, which shares neither the ledger's code nor
//! the sink's. The copy is read as it was at one moment, the journal up to the copy's watermark;
//! what the copy lacks behind that is lag and no difference.
//!
//! Memory is bounded. Events, and notices that fit no payment, are compared as both sides stream by.
//! SKUs, lots, withdrawals and sales are held whole; their numbers are bounded by the ledger's
//! ceilings. Orders are compared in passes over ranges of ids, each over at most `audit_orders_max`
//! orders with the records that made them: when a pass has one too many, it gives up the highest
//! id, and leaves the rest to the next pass. Payments go by in the same passes, by ranges of theirs.

mod difference;
mod expected;
mod merge;
mod orders;
mod pass;
mod payments;
mod range;
pub mod redis;
mod sales;
mod skips;
mod stock;

use crate::event::record::{self, LastNames};
use crate::event::{Event, Meta};
use crate::journal::{Fatal, Reader};
use crate::limits::Limits;
use crate::sink::table::{
    ORDER_EVENTS, SKIPPED_RECORDS, Table, UNMATCHED_NOTICES, Value, WATERMARKS,
};
use crate::sink::{SinkError, Snapshot};
use crate::storage::Storage;

pub use difference::Difference;
use difference::Differences;
use merge::{Extras, Merge};
use pass::Begin;
use sales::Sales;
pub use skips::Skip;
use skips::Skips;
use stock::Stocks;

/// What an audit is asked for.
#[derive(Clone, Copy, Debug)]
pub struct AuditConfig {
    /// The number of the cell.
    pub cell: u16,
    /// Every ceiling.
    pub limits: Limits,
    /// How many differences are shown; all are counted.
    pub differences_max: usize,
}

/// How far an audit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The pass over the journal, counted from 1.
    pub pass: u32,
    /// The sequence it has come to.
    pub sequence: u64,
    /// The sequence it goes to.
    pub through: u64,
}

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The cell.
    pub cell: u16,
    /// The first sequence that was compared: 1, unless the journal was trimmed.
    pub first: u64,
    /// The last one: the copy's watermark.
    pub through: u64,
    /// The last sequence of the journal that is proven durable.
    pub last: u64,
    /// Rows compared, by table.
    pub compared: Vec<(&'static str, u64)>,
    /// What the sink was told to pass over: it is not in the copy, and no difference.
    pub skipped: Vec<Skip>,
    /// Units that were given away and never arrived (I1 says none). Not told by a trimmed journal.
    pub oversold: u64,
    /// The first differences, in the order in which they were met.
    pub differences: Vec<Difference>,
    /// How many there are.
    pub differences_count: u64,
}

impl Report {
    /// Whether all that was compared is equal, and nothing was sold that was not there.
    pub const fn is_clean(&self) -> bool {
        self.differences_count == 0 && self.oversold == 0
    }

    /// Whether the journal reaches back to its first record.
    pub const fn is_whole(&self) -> bool {
        self.first == 1
    }
}

/// Why an audit could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] Fatal),
    /// A record cannot be read.
    #[error("record {sequence}: {what}")]
    Record {
        /// Its sequence.
        sequence: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The copy cannot be read.
    #[error(transparent)]
    Copy(#[from] SinkError),
    /// The copy has more than the journal: one of the two is an older copy, or of another journal.
    #[error(
        "the copy holds records up to {through}, the journal ends at {last}: one of them is an \
         older copy, or another's"
    )]
    Ahead {
        /// The last sequence of the copy.
        through: u64,
        /// The last sequence of the journal.
        last: u64,
    },
    /// The copy ends before what is kept of the journal begins: it lacks what nothing can bring it.
    #[error(
        "the copy ends with record {through}, what is kept of the journal begins with {first}: what \
         is between is in neither, only an archive of what was trimmed (--archive-dir) can tell"
    )]
    Behind {
        /// The last sequence of the copy.
        through: u64,
        /// The first sequence that is kept.
        first: u64,
    },
    /// The copy was set back, or made anew, while it was compared.
    #[error(
        "the copy held records up to {before} and then up to {after} only: it is being made anew, \
         run the audit again once it has caught up"
    )]
    SetBack {
        /// What it had.
        before: u64,
        /// What it has.
        after: u64,
    },
    /// A server trimmed the journal while it was read.
    #[error("the journal was trimmed while it was read: run the audit again")]
    Trimmed,
}

/// Compares the journal in `storage` with the copy in `snapshot`.
///
/// # Errors
/// [`AuditError`]: one of the two could not be read.
pub async fn run<S: Storage + Clone>(
    storage: &S,
    snapshot: &mut Snapshot,
    config: &AuditConfig,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, AuditError> {
    let reader = Reader::open(storage.clone())?;
    let first = reader.next_sequence();
    let compared = compare(storage, reader, snapshot, config, progress).await;
    // Whatever else it looks like, this is why.
    if compared.is_err() && Reader::open(storage.clone())?.next_sequence() != first {
        return Err(AuditError::Trimmed);
    }
    compared
}

async fn compare<S: Storage + Clone>(
    storage: &S,
    reader: Reader<S>,
    snapshot: &mut Snapshot,
    config: &AuditConfig,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, AuditError> {
    let first = reader.next_sequence();
    let through = snapshot.sequence();
    if through + 1 < first {
        return Err(AuditError::Behind { through, first });
    }
    let mut audit = Audit {
        config: *config,
        first,
        through,
        progress,
        pass: 0,
        differences: Differences::new(config.differences_max),
        compared: Vec::new(),
        skips: Skips::find(storage, snapshot.sink(), through)?,
    };
    let (Folded { stocks, whole, sales }, mut reader) = audit.events(reader, snapshot).await?;
    let whole = whole.as_ref().unwrap_or(&stocks);
    audit.stocks(&stocks, &sales, snapshot).await?;
    audit.balance(whole);
    let mut next = Some(Begin::FIRST);
    while let Some(begin) = next {
        next = pass::run(&mut audit, storage, snapshot, begin).await?;
    }
    let mut last = through;
    while let Some(frame) = reader.next_proven()? {
        last = last.max(frame.first_sequence + frame.count - 1);
    }
    Ok(Report {
        cell: config.cell,
        first,
        through,
        last,
        compared: audit.compared,
        oversold: if first == 1 { whole.oversold() } else { 0 },
        skipped: audit.skips.up_to(through),
        differences_count: audit.differences.count(),
        differences: audit.differences.shown(),
    })
}

/// What is folded whole.
#[derive(Default)]
struct Folded {
    /// As the copy has it.
    stocks: Stocks,
    /// With what the copy was to leave out; `None` if that is nothing.
    whole: Option<Stocks>,
    sales: Sales,
}

/// A record that goes by.
struct Record<'a> {
    sequence: u64,
    meta: &'a Meta,
    event: &'a Event<'a>,
    bytes: &'a [u8],
    /// Whether the copy was to leave it out.
    is_skipped: bool,
}

/// What a pass does with each record.
type Visit<'a> = dyn FnMut(&Record<'_>) + 'a;

/// An audit under way.
struct Audit<'a> {
    config: AuditConfig,
    /// The first sequence that the journal holds.
    first: u64,
    /// The last one that is compared.
    through: u64,
    progress: &'a mut dyn FnMut(Progress),
    pass: u32,
    differences: Differences,
    compared: Vec<(&'static str, u64)>,
    skips: Skips,
}

impl Audit<'_> {
    /// What rows stand for that nothing in the journal accounts for.
    fn extras(&self) -> Extras {
        if self.first == 1 { Extras::Unexpected } else { Extras::MadeBefore(self.first) }
    }

    fn count(&mut self, table: &'static str, rows: u64) {
        match self.compared.iter_mut().find(|(name, _)| *name == table) {
            Some((_, sum)) => *sum += rows,
            None => self.compared.push((table, rows)),
        }
    }

    /// A table whose rows are compared as they stream by, one for a record.
    fn streamed(&self, table: &'static Table) -> Merge {
        let after = vec![Value::number(self.first - 1)];
        Merge::new(table, after, None, self.config.limits.audit_rows_max, self.extras())
    }

    /// The pass over all records: events are compared, stocks and sales are folded.
    async fn events<S: Storage>(
        &mut self,
        mut reader: Reader<S>,
        snapshot: &mut Snapshot,
    ) -> Result<(Folded, Reader<S>), AuditError> {
        let whole = (!self.skips.is_empty()).then(Stocks::default);
        let mut folded = Folded { whole, ..Folded::default() };
        let cell = self.config.cell;
        let tables = [&ORDER_EVENTS, &UNMATCHED_NOTICES, &SKIPPED_RECORDS];
        let mut merges = tables.map(|table| self.streamed(table));
        let mut rows = tables.map(|_| Vec::new());
        let mut names = LastNames::default();
        let mut journal = None;
        self.pass += 1;
        while self.next_events(&mut reader, &mut names, &mut |record| {
            let Record { sequence, meta, event, .. } = *record;
            if let Event::Genesis(genesis) = event {
                journal = Some(genesis.hash_key.journal().to_string());
            }
            if let Some(whole) = &mut folded.whole {
                whole.take(sequence, meta, event);
            }
            if record.is_skipped {
                return;
            }
            folded.stocks.take(sequence, meta, event);
            folded.sales.take(sequence, meta, event);
            let row = match event {
                Event::NoticeUnmatched(notice) => {
                    Some((1, expected::notice(cell, sequence, meta, notice)))
                }
                Event::RecordSkipped(skip) => {
                    Some((2, expected::skipped(cell, sequence, meta, skip)))
                }
                event => expected::event(cell, sequence, meta, event).map(|row| (0, row)),
            };
            if let Some((table, row)) = row {
                rows[table].push((sequence, row));
            }
        })? {
            for (rows, merge) in rows.iter_mut().zip(&mut merges) {
                for (sequence, row) in rows.drain(..) {
                    merge.expect(snapshot, &row, &[], sequence, &mut self.differences).await?;
                }
            }
        }
        for (table, mut merge) in tables.into_iter().zip(merges) {
            merge.finish(snapshot, &mut self.differences).await?;
            self.count(table.name, merge.compared());
        }
        self.judge_journal(snapshot, journal.as_deref());
        Ok((folded, reader))
    }

    /// Whether the copy says that it is one of this journal.
    fn judge_journal(&mut self, snapshot: &Snapshot, journal: Option<&str>) {
        if let (Some(expected), Some(found)) = (journal, snapshot.journal())
            && expected != found
        {
            self.differences.add(Difference {
                table: WATERMARKS.name,
                key: format!("cell {}", self.config.cell),
                column: "journal",
                expected: expected.to_owned(),
                found: found.to_owned(),
                sequence: 1,
            });
        }
    }

    /// Reads the next frame up to the watermark, and gives each of its records to `visit`. Says
    /// whether there was one.
    fn next_events<S: Storage>(
        &mut self,
        reader: &mut Reader<S>,
        names: &mut LastNames,
        visit: &mut Visit<'_>,
    ) -> Result<bool, AuditError> {
        if reader.next_sequence() <= self.through && reader.is_at_end()? {
            let last = reader.next_sequence() - 1;
            return Err(AuditError::Ahead { through: self.through, last });
        }
        let Some(frame) = reader.next_durable(self.through)? else { return Ok(false) };
        let (pass, sequence, through) = (self.pass, frame.first_sequence, self.through);
        (self.progress)(Progress { pass, sequence, through });
        for (sequence, bytes) in (frame.first_sequence..=self.through).zip(frame.records) {
            let is_skipped = self.skips.has(sequence);
            let (meta, event) = match record::decode_next(bytes, names) {
                Ok(decoded) => decoded,
                Err(_) if is_skipped => continue,
                Err(error) => {
                    return Err(AuditError::Record { sequence, what: error.to_string() });
                }
            };
            visit(&Record { sequence, meta: &meta, event: &event, bytes, is_skipped });
        }
        Ok(true)
    }

    /// Compares SKUs, lots, withdrawals and sales.
    async fn stocks(
        &mut self,
        stocks: &Stocks,
        sales: &Sales,
        snapshot: &mut Snapshot,
    ) -> Result<(), AuditError> {
        let cell = self.config.cell;
        let whole = self.first == 1;
        for (table, rows) in stocks.tables(cell).into_iter().chain(sales.tables(cell)) {
            // Without the beginning, what else there is was made before; and what moved is unknown.
            let extras = if whole { Extras::Unexpected } else { Extras::Untold };
            let unknown = if whole { &[][..] } else { stock::untold(table) };
            let rows_max = self.config.limits.audit_rows_max;
            let mut merge = Merge::new(table, Vec::new(), None, rows_max, extras);
            for (sequence, row) in rows {
                merge.expect(snapshot, &row, unknown, sequence, &mut self.differences).await?;
            }
            merge.finish(snapshot, &mut self.differences).await?;
            self.count(table.name, merge.compared());
        }
        Ok(())
    }

    /// Whether units came from nowhere (I1).
    fn balance(&mut self, stocks: &Stocks) {
        for (sku, sequence) in stocks.unbalanced() {
            self.differences.add(Difference {
                table: "journal",
                key: format!("sku {sku}"),
                column: "I1",
                expected: "received = available + held + sold + withdrawn, each at least 0".into(),
                found: "more units went out than came in".into(),
                sequence,
            });
        }
    }
}

#[cfg(test)]
mod tests;
