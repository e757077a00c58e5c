//! The audit of the copy in Redis: key by key, field by field, entry by entry.
//!
//! Redis has no snapshots, and the copy may move on while it is read. So whatever is read is read
//! together with the watermark, as one transaction, and the journal is folded on to exactly that
//! record before the two are compared: beside a running server, too, the comparison is exact.
//!
//! Memory is bounded as in the audit of SQL: entries are compared as both sides stream by, SKUs and
//! sales are held whole, orders are compared in passes over ranges of ids. Each pass searches the
//! server's keys once; keys that nothing accounts for are found by that.

mod compare;
mod entries;
mod journal;
mod members;
mod orders;
mod pass;
mod skus;
mod strays;

use crate::id::OrderId;
use crate::journal::Reader;
use crate::sink::{RedisCopy, RedisMark};
use crate::storage::Storage;

use super::difference::{Difference, Differences};
use super::skips::Skips;
use super::{AuditConfig, AuditError, Progress, Record, Report};
use journal::Journal;

/// The tables of the report.
pub(super) const SKUS: &str = "redis:skus";
pub(super) const SALES: &str = "redis:sales";
pub(super) const SKU_SALES: &str = "redis:sku_sales";
pub(super) const ORDERS: &str = "redis:orders";
pub(super) const EVENTS: &str = "redis:events";
pub(super) const KEYS: &str = "redis:keys";

/// Keys that are read as one transaction: others wait for it.
const KEYS_AT_ONCE: usize = 64;

/// Compares the journal in `storage` with the copy in Redis.
///
/// # Errors
/// [`AuditError`]: one of the two could not be read.
pub async fn run<S: Storage + Clone>(
    storage: &S,
    copy: &RedisCopy,
    config: &AuditConfig,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, AuditError> {
    let first = Reader::open(storage.clone())?.next_sequence();
    copy.may_read().await?;
    let report = settle(storage, copy, config, first, progress).await;
    // Whatever else it looks like, this is why.
    if report.is_err() && Reader::open(storage.clone())?.next_sequence() != first {
        return Err(AuditError::Trimmed);
    }
    report
}

/// Compares, and does so again if something is wrong and operators have meanwhile let the sink pass
/// over what the copy has come to since.
async fn settle<S: Storage + Clone>(
    storage: &S,
    copy: &RedisCopy,
    config: &AuditConfig,
    first: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, AuditError> {
    let mut skips = Skips::find(storage, copy.sink(), copy.mark().await?.sequence)?;
    loop {
        let compared = compare(storage, copy, config, (first, &skips), progress).await;
        let last = match &compared {
            Ok(report) if !report.is_clean() => report.last,
            Err(AuditError::Record { sequence, .. }) => *sequence,
            _ => return compared,
        };
        let now = Skips::find(storage, copy.sink(), last)?;
        if now == skips {
            return compared;
        }
        skips = now;
    }
}

async fn compare<S: Storage + Clone>(
    storage: &S,
    copy: &RedisCopy,
    config: &AuditConfig,
    (first, skips): (u64, &Skips),
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, AuditError> {
    let begun = copy.mark().await?;
    let mut audit = Audit {
        copy,
        config: *config,
        first,
        begun: begun.sequence,
        progress,
        pass: 0,
        differences: Differences::new(config.differences_max),
        compared: Vec::new(),
        skips,
    };
    let (whole, mut last) = members::compare(&mut audit, storage, &begun).await?;
    let mut next = Some(OrderId::from_bits(0));
    while let Some(from) = next {
        next = pass::run(&mut audit, storage, from).await?;
    }
    last = last.max(audit.begun);
    let through = begun.sequence;
    for (sku, sequence) in whole.unbalanced() {
        audit.differences.add(Difference {
            table: "journal",
            key: format!("sku {sku}"),
            column: "I1",
            expected: "received = available + held + sold + withdrawn, each at least 0".into(),
            found: "more units went out than came in".into(),
            sequence,
        });
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

/// An audit under way.
struct Audit<'a> {
    copy: &'a RedisCopy,
    config: AuditConfig,
    /// The first sequence that the journal holds.
    first: u64,
    /// Where the copy stood when the audit began.
    begun: u64,
    progress: &'a mut dyn FnMut(Progress),
    pass: u32,
    differences: Differences,
    compared: Vec<(&'static str, u64)>,
    skips: &'a Skips,
}

impl Audit<'_> {
    fn count(&mut self, table: &'static str, rows: u64) {
        match self.compared.iter_mut().find(|(name, _)| *name == table) {
            Some((_, sum)) => *sum += rows,
            None => self.compared.push((table, rows)),
        }
    }

    /// Folds the journal on to where the copy stood, and gives each record to `visit`.
    fn follow<S: Storage>(
        &mut self,
        journal: &mut Journal<S>,
        mark: &RedisMark,
        visit: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), AuditError> {
        while journal.step(mark.sequence, self.skips, visit)? {
            self.tell(journal.at(), mark.sequence);
        }
        Ok(())
    }

    fn tell(&mut self, sequence: u64, through: u64) {
        (self.progress)(Progress { pass: self.pass, sequence, through });
    }

    /// Something is there, or is not there, as a whole.
    fn differs(
        &mut self,
        table: &'static str,
        key: String,
        column: &'static str,
        (expected, found): (&str, &str),
        sequence: u64,
    ) {
        let (expected, found) = (expected.to_owned(), found.to_owned());
        self.differences.add(Difference { table, key, column, expected, found, sequence });
    }
}
