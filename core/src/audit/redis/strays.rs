//! Keys, and names in indexes, that nothing accounts for. Not those of orders: the passes over orders
//! find these.

use std::collections::BTreeSet;
use std::mem::take;

use crate::name::{SaleId, SkuId};
use crate::sink::{RedisIndex, RedisKey};
use crate::storage::Storage;

use super::super::AuditError;
use super::members::{Judged, Members};
use super::{Audit, KEYS, KEYS_AT_ONCE, SALES, SKU_SALES, SKUS};

/// What a search has found that the journal may not call for.
#[derive(Default)]
struct Found {
    skus: BTreeSet<SkuId>,
    sales: BTreeSet<SaleId>,
    /// What cannot be called for, with its table.
    strange: BTreeSet<(&'static str, String)>,
}

impl Found {
    fn sku(&mut self, table: &'static str, name: String) {
        match SkuId::new(&name) {
            Some(sku) => drop(self.skus.insert(sku)),
            None => drop(self.strange.insert((table, name))),
        }
    }

    fn sale(&mut self, name: String) {
        match SaleId::new(&name) {
            Some(sale) => drop(self.sales.insert(sale)),
            None => drop(self.strange.insert((SALES, name))),
        }
    }

    /// Compares what has been found, and forgets it.
    async fn compare<S: Storage + Clone>(
        &mut self,
        audit: &mut Audit<'_>,
        members: &mut Members<S>,
        index: Option<RedisIndex>,
    ) -> Result<(), AuditError> {
        let (mut skus, mut sales) = (take(&mut self.skus), take(&mut self.sales));
        // Those that are expected were compared; others may have come since.
        if index == Some(RedisIndex::SkuSales) {
            skus.retain(|sku| members.stocks.sale_of(sku).is_none());
        } else {
            skus.retain(|sku| members.stocks.sku(sku, true).is_none());
        }
        sales.retain(|sale| members.stocks.sale(sale).is_none());
        // The search of an index finds what is listed, be it told or not.
        let judged = match index {
            None if audit.first > 1 => Judged::Both,
            None => Judged::Hashes,
            Some(_) => Judged::Listing,
        };
        for skus in Vec::from_iter(skus).chunks(KEYS_AT_ONCE) {
            match index {
                Some(RedisIndex::SkuSales) => members.compare_taken(audit, skus).await?,
                _ => members.compare_skus(audit, skus, judged).await?,
            }
        }
        for sales in Vec::from_iter(sales).chunks(KEYS_AT_ONCE) {
            members.compare_sales(audit, sales, judged).await?;
        }
        // Never more than are shown: a key that is named twice is still counted once.
        while self.strange.len() > audit.config.differences_max.max(KEYS_AT_ONCE) {
            let Some((table, key)) = self.strange.pop_last() else { break };
            audit.differs(table, key, "row", ("missing", "present"), 0);
        }
        Ok(())
    }
}

/// Searches the server's keys once, then the indexes.
pub(super) async fn find<S: Storage + Clone>(
    audit: &mut Audit<'_>,
    members: &mut Members<S>,
) -> Result<(), AuditError> {
    let limit = audit.config.limits.audit_rows_max;
    let mut found = Found::default();
    let mut cursor = 0;
    loop {
        let (next, keys) = audit.copy.scan(cursor, limit).await?;
        for key in keys {
            match key {
                RedisKey::Sku(name) => found.sku(SKUS, name),
                RedisKey::Sale(name) => found.sale(name),
                RedisKey::Strange(key) => drop(found.strange.insert((KEYS, key))),
                RedisKey::Order(_) | RedisKey::Fixed => {}
            }
        }
        found.compare(audit, members, None).await?;
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    for index in [RedisIndex::Skus, RedisIndex::Sales, RedisIndex::SkuSales] {
        loop {
            let Some((next, names)) = audit.copy.scan_index(index, cursor, limit).await? else {
                let key = match index {
                    RedisIndex::Skus => "skus",
                    RedisIndex::Sales => "sales",
                    RedisIndex::SkuSales => "sku_sales",
                };
                audit.differs(KEYS, key.to_owned(), "type", ("an index", "something else"), 0);
                break;
            };
            for name in names {
                match index {
                    RedisIndex::Skus => found.sku(SKUS, name),
                    RedisIndex::Sales => found.sale(name),
                    RedisIndex::SkuSales => found.sku(SKU_SALES, name),
                }
            }
            found.compare(audit, members, Some(index)).await?;
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    for (table, key) in found.strange {
        audit.differs(table, key, "row", ("missing", "present"), 0);
    }
    Ok(())
}
