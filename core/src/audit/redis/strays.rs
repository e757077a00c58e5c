//! Keys that nothing accounts for, orders apart: the passes over orders find those.

use std::collections::BTreeSet;

use crate::name::{SaleId, SkuId};
use crate::sink::RedisKey;
use crate::storage::Storage;

use super::super::AuditError;
use super::members::Members;
use super::{Audit, KEYS, KEYS_AT_ONCE, SALES, SKUS};

/// Searches the server's keys once.
pub(super) async fn find<S: Storage + Clone>(
    audit: &mut Audit<'_>,
    members: &mut Members<S>,
) -> Result<(), AuditError> {
    let mut strange = BTreeSet::new();
    let mut cursor = 0;
    loop {
        let (next, keys) = audit.copy.scan(cursor, audit.config.limits.audit_rows_max).await?;
        let (mut skus, mut sales) = (BTreeSet::new(), BTreeSet::new());
        for key in keys {
            match key {
                RedisKey::Sku(name) => match SkuId::new(&name) {
                    Some(sku) => drop(skus.insert(sku)),
                    None => drop(strange.insert((SKUS, name))),
                },
                RedisKey::Sale(name) => match SaleId::new(&name) {
                    Some(sale) => drop(sales.insert(sale)),
                    None => drop(strange.insert((SALES, name))),
                },
                RedisKey::Strange(key) => drop(strange.insert((KEYS, key))),
                RedisKey::Order(_) | RedisKey::Fixed => {}
            }
        }
        // Those that are expected were compared; others may have come since.
        skus.retain(|sku| members.stocks.sku(sku, true).is_none());
        sales.retain(|sale| members.stocks.sale(sale, true).is_none());
        for skus in Vec::from_iter(skus).chunks(KEYS_AT_ONCE) {
            members.compare_skus(audit, skus).await?;
        }
        for sales in Vec::from_iter(sales).chunks(KEYS_AT_ONCE) {
            members.compare_sales(audit, sales).await?;
        }
        // Never more than are shown: a key that is named twice is still counted once.
        while strange.len() > audit.config.differences_max.max(KEYS_AT_ONCE) {
            let Some((table, key)) = strange.pop_last() else { break };
            audit.differs(table, key, "row", ("missing", "present"), 0);
        }
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    for (table, key) in strange {
        audit.differs(table, key, "row", ("missing", "present"), 0);
    }
    Ok(())
}
