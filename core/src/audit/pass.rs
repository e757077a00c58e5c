//! A pass over the journal that compares a range of orders, and one of payments beside it.

use crate::event::record::LastNames;
use crate::id::{OrderId, PaymentId};
use crate::journal::Reader;
use crate::sink::Snapshot;
use crate::sink::table::{PAYMENTS, Table, Value};
use crate::storage::Storage;

use super::merge::{Extras, Merge};
use super::orders::Order;
use super::payments::Payment;
use super::range::Range;
use super::{Audit, AuditError, Record, expected, orders, payments};

/// Where the ranges of a pass begin; `None` for a kind of which nothing is left.
#[derive(Clone, Copy)]
pub(super) struct Begin {
    orders: Option<OrderId>,
    payments: Option<PaymentId>,
}

impl Begin {
    /// Of the first pass.
    pub(super) const FIRST: Self =
        Self { orders: Some(OrderId::from_bits(0)), payments: Some(PaymentId::from_bits(0)) };
}

/// Compares as many orders and payments as one pass may hold. Says where the next one begins, if
/// there is one.
pub(super) async fn run<S: Storage + Clone>(
    audit: &mut Audit<'_>,
    storage: &S,
    snapshot: &mut Snapshot,
    begin: Begin,
) -> Result<Option<Begin>, AuditError> {
    let most = audit.config.limits.audit_orders_max;
    let mut of_orders = Range::new(begin.orders, most);
    let mut of_payments = Range::new(begin.payments, most);
    let mut reader = Reader::open(storage.clone())?;
    if reader.next_sequence() != audit.first {
        return Err(AuditError::Trimmed);
    }
    let mut names = LastNames::default();
    audit.pass += 1;
    while audit.next_events(&mut reader, &mut names, &mut |record| {
        if record.is_skipped {
            return;
        }
        let Record { sequence, meta, event, bytes, .. } = *record;
        orders::take(&mut of_orders, sequence, meta, event, bytes);
        payments::take(&mut of_payments, sequence, meta, event);
    })? {}
    for table in orders::TABLES {
        compare_orders(audit, snapshot, &of_orders, table).await?;
    }
    compare_payments(audit, snapshot, &of_payments).await?;
    let next = Begin { orders: of_orders.below(), payments: of_payments.below() };
    Ok((next.orders.is_some() || next.payments.is_some()).then_some(next))
}

async fn compare_orders(
    audit: &mut Audit<'_>,
    snapshot: &mut Snapshot,
    range: &Range<OrderId, Order>,
    table: &'static Table,
) -> Result<(), AuditError> {
    let Some(from) = range.from() else { return Ok(()) };
    let cell = audit.config.cell;
    // Lines and draws do not say by which record they are; without the beginning nothing is told.
    let says = table.columns.contains(&"sequence");
    let extras = if says || audit.first == 1 { audit.extras() } else { Extras::Untold };
    let previous = from.bits().checked_sub(1).map(OrderId::from_bits).map(expected::id);
    let (after, below) = (before(previous, table), range.below().map(expected::id));
    let mut merge = Merge::new(table, after, below, audit.config.limits.audit_rows_max, extras);
    let mut names = LastNames::default();
    for (id, order) in range.iter() {
        for row in order.rows(cell, *id, table, &mut names)? {
            merge.expect_row(snapshot, &row, &mut audit.differences).await?;
        }
    }
    merge.finish(snapshot, &mut audit.differences).await?;
    audit.count(table.name, merge.compared());
    Ok(())
}

async fn compare_payments(
    audit: &mut Audit<'_>,
    snapshot: &mut Snapshot,
    range: &Range<PaymentId, Payment>,
) -> Result<(), AuditError> {
    let Some(from) = range.from() else { return Ok(()) };
    let (cell, extras) = (audit.config.cell, audit.extras());
    let previous = from.bits().checked_sub(1).map(PaymentId::from_bits).map(expected::payment);
    let (after, below) = (before(previous, &PAYMENTS), range.below().map(expected::payment));
    let mut merge = Merge::new(&PAYMENTS, after, below, audit.config.limits.audit_rows_max, extras);
    for (id, payment) in range.iter() {
        merge.expect_row(snapshot, &payment.row(cell, *id), &mut audit.differences).await?;
    }
    merge.finish(snapshot, &mut audit.differences).await?;
    audit.count(PAYMENTS.name, merge.compared());
    Ok(())
}

/// The key behind which the rows of a range begin, by the id before its first.
fn before(previous: Option<Value>, table: &Table) -> Vec<Value> {
    let Some(previous) = previous else { return Vec::new() };
    let mut key = vec![previous];
    key.resize(table.key - 1, Value::Integer(i64::MAX));
    key
}
