//! Orders, their lines and the lots they were drawn from: a range of ids at a time.

use std::collections::BTreeMap;

use crate::event::record::{self, LastNames};
use crate::event::{Event, Meta, OrderEnded, OrderPlaced, OrderStatus};
use crate::id::OrderId;
use crate::journal::Reader;
use crate::sink::Snapshot;
use crate::sink::table::{ORDER_DRAWS, ORDER_LINES, ORDERS, Table, Value};
use crate::storage::Storage;

use super::expected::{self, Ended, UNKNOWN_BEFORE_END};
use super::merge::Merge;
use super::{Audit, AuditError};

/// What the journal says of one order.
#[derive(Default)]
struct Kept {
    /// The record that placed it, and its sequence; `None` if that is no longer kept.
    placed: Option<(u64, Box<[u8]>)>,
    ended: Option<Ended>,
}

/// The orders of a range of ids.
struct Range {
    from: OrderId,
    /// The first id that is left to the next pass.
    below: Option<OrderId>,
    most: usize,
    orders: BTreeMap<OrderId, Kept>,
}

impl Range {
    fn of(&mut self, order: OrderId) -> Option<&mut Kept> {
        if order < self.from || self.below.is_some_and(|below| order >= below) {
            return None;
        }
        self.orders.entry(order).or_default();
        if self.orders.len() > self.most {
            let (highest, _) = self.orders.pop_last().expect("there is one too many");
            self.below = Some(highest);
        }
        self.orders.get_mut(&order)
    }

    fn take(&mut self, sequence: u64, meta: &Meta, event: &Event<'_>, bytes: &[u8]) {
        match event {
            Event::OrderPlaced(placed) => {
                if let Some(kept) = self.of(placed.order) {
                    kept.placed = Some((sequence, Box::from(bytes)));
                }
            }
            Event::OrderCancelled(ended) => {
                self.end(sequence, meta, ended, OrderStatus::Cancelled);
            }
            Event::OrderExpired(ended) => self.end(sequence, meta, ended, OrderStatus::Expired),
            Event::OrderRetired(_)
            | Event::Genesis(_)
            | Event::FormatRaised(_)
            | Event::SkuDefined(_)
            | Event::LotReceived(_)
            | Event::UnitsWithdrawn(_) => {}
        }
    }

    fn end(&mut self, sequence: u64, meta: &Meta, ended: &OrderEnded, status: OrderStatus) {
        if let Some(kept) = self.of(ended.order) {
            let (version, time) = (ended.version, meta.time);
            kept.ended = Some(Ended { status, version, time, sequence });
        }
    }
}

/// Compares the orders from `from` on, as many as one pass may hold. Gives the id with which the
/// next pass begins, if there is one.
pub(super) async fn pass<S: Storage + Clone>(
    audit: &mut Audit<'_>,
    storage: &S,
    snapshot: &mut Snapshot,
    from: OrderId,
) -> Result<Option<OrderId>, AuditError> {
    let most = audit.config.limits.audit_orders_max;
    let mut range = Range { from, below: None, most, orders: BTreeMap::new() };
    let mut reader = Reader::open(storage.clone())?;
    if reader.next_sequence() != audit.first {
        return Err(AuditError::Trimmed);
    }
    let mut names = LastNames::default();
    audit.pass += 1;
    while audit.next_events(&mut reader, &mut names, &mut |sequence, meta, event, bytes| {
        range.take(sequence, meta, event, bytes);
    })? {}
    for table in [&ORDERS, &ORDER_LINES, &ORDER_DRAWS] {
        compare(audit, snapshot, &range, table).await?;
    }
    Ok(range.below)
}

async fn compare(
    audit: &mut Audit<'_>,
    snapshot: &mut Snapshot,
    range: &Range,
    table: &'static Table,
) -> Result<(), AuditError> {
    let cell = audit.config.cell;
    let below = range.below.map(expected::id);
    // Lines and draws do not say by which record they are; without the beginning nothing is told.
    let extras = match table == &ORDERS || audit.first == 1 {
        true => audit.extras(),
        false => super::merge::Extras::Untold,
    };
    let rows_max = audit.config.limits.audit_rows_max;
    let mut merge = Merge::new(table, before(range.from, table), below, rows_max, extras);
    let mut names = LastNames::default();
    for (order, kept) in &range.orders {
        let Some((sequence, bytes)) = &kept.placed else {
            if let Some(ended) = kept.ended.as_ref().filter(|_| table == &ORDERS) {
                let row = expected::end_of_order(cell, *order, ended);
                let unknown = &UNKNOWN_BEFORE_END;
                let differences = &mut audit.differences;
                merge.expect(snapshot, &row, unknown, ended.sequence, differences).await?;
            }
            continue;
        };
        let (meta, placed) = placed(*sequence, bytes, &mut names)?;
        let rows = match table.name {
            "orders" => {
                vec![expected::order(cell, &meta, &placed, *sequence, kept.ended.as_ref())]
            }
            "order_lines" => expected::lines(cell, &placed),
            _ => expected::draws(cell, &placed),
        };
        let sequence = kept.ended.filter(|_| table == &ORDERS).map_or(*sequence, |e| e.sequence);
        for row in rows {
            merge.expect(snapshot, &row, &[], sequence, &mut audit.differences).await?;
        }
    }
    merge.finish(snapshot, &mut audit.differences).await?;
    audit.count(table.name, merge.compared());
    Ok(())
}

fn placed<'a>(
    sequence: u64,
    bytes: &'a [u8],
    names: &mut LastNames,
) -> Result<(Meta, OrderPlaced<'a>), AuditError> {
    match record::decode_next(bytes, names) {
        Ok((meta, Event::OrderPlaced(placed))) => Ok((meta, placed)),
        Ok(_) => unreachable!("only records that place orders are kept"),
        Err(error) => Err(AuditError::Record { sequence, what: error.to_string() }),
    }
}

/// The key behind which the rows of `from` begin.
fn before(from: OrderId, table: &Table) -> Vec<Value> {
    let Some(previous) = from.bits().checked_sub(1) else { return Vec::new() };
    let mut key = vec![expected::id(OrderId::from_bits(previous))];
    key.resize(table.key - 1, Value::Integer(i64::MAX));
    key
}
