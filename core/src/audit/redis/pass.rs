//! A pass over the journal that compares a range of orders.

use std::collections::BTreeSet;

use crate::event::record::LastNames;
use crate::id::OrderId;
use crate::sink::{RedisHash, RedisKey, RedisMark};
use crate::storage::Storage;

use super::super::AuditError;
use super::super::range::Range;
use super::journal::Journal;
use super::orders::{self, Live};
use super::{Audit, KEYS_AT_ONCE, ORDERS};

/// A pass under way.
struct Pass<S: Storage> {
    journal: Journal<S>,
    range: Range<OrderId, Live>,
    names: LastNames,
}

/// Compares as many orders as one pass may hold, from an id on. Says where the next one begins, if
/// there is one.
pub(super) async fn run<S: Storage + Clone>(
    audit: &mut Audit<'_>,
    storage: &S,
    from: OrderId,
) -> Result<Option<OrderId>, AuditError> {
    audit.pass += 1;
    let journal = Journal::open(storage, audit.first)?;
    let range = Range::new(Some(from), audit.config.limits.audit_orders_max);
    let mut pass = Pass { journal, range, names: LastNames::default() };
    let mark = audit.copy.mark().await?;
    pass.follow(audit, &mark)?;
    let mut cursor = 0;
    loop {
        let (next, keys) = audit.copy.scan(cursor, audit.config.limits.audit_rows_max).await?;
        // The server may name one twice.
        let found: BTreeSet<OrderId> = keys
            .into_iter()
            .filter_map(|key| match key {
                RedisKey::Order(order) => Some(order),
                _ => None,
            })
            .filter(|order| pass.range.has(*order) && !pass.is_seen(*order))
            .collect();
        pass.compare(audit, &Vec::from_iter(found)).await?;
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    // What the search did not find is missing, or has come or gone meanwhile.
    let unseen = pass.range.iter().filter(|(_, live)| live.is_expected() && !live.is_seen);
    let unseen: Vec<OrderId> = unseen.map(|(order, _)| *order).collect();
    pass.compare(audit, &unseen).await?;
    Ok(pass.range.below())
}

impl<S: Storage + Clone> Pass<S> {
    fn follow(&mut self, audit: &mut Audit<'_>, mark: &RedisMark) -> Result<(), AuditError> {
        let range = &mut self.range;
        audit.follow(&mut self.journal, mark, &mut |record| orders::take(range, record))
    }

    fn is_seen(&mut self, order: OrderId) -> bool {
        self.range.kept(order).is_some_and(|live| live.is_seen)
    }

    /// Reads orders and compares them with the journal as of then.
    async fn compare(
        &mut self,
        audit: &mut Audit<'_>,
        orders: &[OrderId],
    ) -> Result<(), AuditError> {
        let at_once = KEYS_AT_ONCE.min(audit.config.limits.audit_rows_max);
        for orders in orders.chunks(at_once) {
            let (mark, hashes) = audit.copy.orders(orders).await?;
            self.follow(audit, &mark)?;
            for (order, hash) in orders.iter().zip(&hashes) {
                self.judge(audit, *order, hash)?;
            }
        }
        Ok(())
    }

    fn judge(
        &mut self,
        audit: &mut Audit<'_>,
        order: OrderId,
        found: &RedisHash,
    ) -> Result<(), AuditError> {
        // Following the journal may have left it to the next pass.
        if !self.range.has(order) {
            return Ok(());
        }
        let expected = match self.range.kept(order) {
            Some(live) => {
                live.is_seen = true;
                live.expected(audit.config.cell, order, &mut self.names)?
            }
            None => None,
        };
        audit.compare(ORDERS, &order.to_string(), expected.as_ref(), found);
        Ok(())
    }
}
