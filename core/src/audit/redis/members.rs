//! The pass over all records: the stream is compared, then SKUs, sales and their indexes.

use crate::event::Event;
use crate::name::{SaleId, SkuId};
use crate::sink::{RedisMark, RedisMember};
use crate::storage::Storage;

use super::super::{AuditError, Record, stock};
use super::entries::{Entries, entry};
use super::journal::Journal;
use super::skus::Stocks;
use super::{Audit, KEYS, KEYS_AT_ONCE, SALES, SKUS, strays};

/// What is folded whole.
pub(super) struct Members<S: Storage> {
    journal: Journal<S>,
    pub(super) stocks: Stocks,
    /// With what the copy was to leave out, lot by lot: I1 is judged by it.
    whole: stock::Stocks,
}

/// Compares all but orders. Gives the stocks, for I1, and the last sequence of the journal that is
/// proven durable.
pub(super) async fn compare<S: Storage + Clone>(
    audit: &mut Audit<'_>,
    storage: &S,
    begun: &RedisMark,
) -> Result<(stock::Stocks, u64), AuditError> {
    audit.pass += 1;
    let journal = Journal::open(storage, audit.first)?;
    let (stocks, whole) = (Stocks::default(), stock::Stocks::default());
    let mut members = Members { journal, stocks, whole };
    members.stream(audit, begun).await?;
    members.skus(audit).await?;
    members.sales(audit).await?;
    members.sizes(audit).await?;
    strays::find(audit, &mut members).await?;
    let last = members.journal.last()?;
    Ok((members.whole, last))
}

impl<S: Storage + Clone> Members<S> {
    /// Compares the stream as both sides go by, as far as the copy was when the audit began.
    async fn stream(&mut self, audit: &mut Audit<'_>, begun: &RedisMark) -> Result<(), AuditError> {
        let mut entries = Entries::from(audit.first);
        let mut own_journal = None;
        let mut expected = Vec::new();
        loop {
            let (stocks, whole) = (&mut self.stocks, &mut self.whole);
            let more = self.journal.step(begun.sequence, &audit.skips, &mut |record| {
                take(stocks, whole, record);
                if let Event::Genesis(genesis) = record.event {
                    own_journal = Some(genesis.hash_key.journal().to_string());
                }
                if !record.is_skipped {
                    expected.extend(entry(record).map(|fields| (record.sequence, fields)));
                }
            })?;
            if !more {
                break;
            }
            audit.tell(self.journal.at(), begun.sequence);
            for (sequence, fields) in expected.drain(..) {
                entries.expect(audit, sequence, &fields).await?;
            }
        }
        entries.finish(audit, begun.sequence).await?;
        if let (Some(expected), Some(found)) = (own_journal, &begun.journal)
            && expected != *found
        {
            audit.differs(KEYS, "watermark".into(), "journal", (&expected, found), 1);
        }
        Ok(())
    }

    /// Folds the journal on to where the copy stood.
    pub(super) fn follow(
        &mut self,
        audit: &mut Audit<'_>,
        mark: &RedisMark,
    ) -> Result<(), AuditError> {
        let (stocks, whole) = (&mut self.stocks, &mut self.whole);
        audit.follow(&mut self.journal, mark, &mut |record| take(stocks, whole, record))
    }

    async fn skus(&mut self, audit: &mut Audit<'_>) -> Result<(), AuditError> {
        let mut after: Option<SkuId> = None;
        loop {
            let skus = self.stocks.skus_behind(after.as_ref(), KEYS_AT_ONCE);
            let Some(last) = skus.last() else { return Ok(()) };
            after = Some(last.clone());
            self.compare_skus(audit, &skus).await?;
        }
    }

    /// Compares SKUs, whether or not there should be such.
    pub(super) async fn compare_skus(
        &mut self,
        audit: &mut Audit<'_>,
        skus: &[SkuId],
    ) -> Result<(), AuditError> {
        let names: Vec<&str> = skus.iter().map(SkuId::as_str).collect();
        let (mark, found) = audit.copy.skus(&names).await?;
        self.follow(audit, &mark)?;
        let whole = audit.first == 1;
        for (sku, member) in skus.iter().zip(&found) {
            let expected = self.stocks.sku(sku, whole);
            audit.compare(SKUS, sku.as_str(), expected.as_ref(), &member.hash);
            let sequence = expected.as_ref().map_or(0, |expected| expected.sequence);
            let is_expected = expected.is_some() || !whole && member.is_listed;
            listed(audit, SKUS, sku.as_str(), (is_expected, member), sequence);
            let sale = self.stocks.sale_of(sku).map(SaleId::as_str);
            if sale != member.in_sale.as_deref() && (whole || sale.is_some()) {
                let what = (sale.unwrap_or("none"), member.in_sale.as_deref().unwrap_or("none"));
                audit.differs(SKUS, sku.to_string(), "sku_sales", what, sequence);
            }
        }
        Ok(())
    }

    async fn sales(&mut self, audit: &mut Audit<'_>) -> Result<(), AuditError> {
        let mut after: Option<SaleId> = None;
        loop {
            let sales = self.stocks.sales_behind(after.as_ref(), KEYS_AT_ONCE);
            let Some(last) = sales.last() else { return Ok(()) };
            after = Some(last.clone());
            self.compare_sales(audit, &sales).await?;
        }
    }

    /// Compares sales, whether or not there should be such.
    pub(super) async fn compare_sales(
        &mut self,
        audit: &mut Audit<'_>,
        sales: &[SaleId],
    ) -> Result<(), AuditError> {
        let names: Vec<&str> = sales.iter().map(SaleId::as_str).collect();
        let (mark, found) = audit.copy.sales(&names).await?;
        self.follow(audit, &mark)?;
        let whole = audit.first == 1;
        for (sale, member) in sales.iter().zip(&found) {
            let expected = self.stocks.sale(sale, whole);
            audit.compare(SALES, sale.as_str(), expected.as_ref(), &member.hash);
            let sequence = expected.as_ref().map_or(0, |expected| expected.sequence);
            let is_expected = expected.is_some() || !whole && member.is_listed;
            listed(audit, SALES, sale.as_str(), (is_expected, member), sequence);
        }
        Ok(())
    }

    /// With all that is expected there, the indexes are right if they are as large as they should.
    async fn sizes(&mut self, audit: &mut Audit<'_>) -> Result<(), AuditError> {
        let (mark, found) = audit.copy.sizes().await?;
        self.follow(audit, &mark)?;
        if audit.first != 1 {
            return Ok(());
        }
        let sizes = [("skus", found.skus), ("sales", found.sales), ("sku_sales", found.sku_sales)];
        for ((name, found), expected) in sizes.into_iter().zip(self.stocks.sizes()) {
            if found != expected {
                let (expected, found) = (expected.to_string(), found.to_string());
                let what = (expected.as_str(), found.as_str());
                audit.differs(KEYS, name.to_owned(), "members", what, mark.sequence);
            }
        }
        Ok(())
    }
}

/// Whether the set of all names a member as it should.
fn listed(
    audit: &mut Audit<'_>,
    table: &'static str,
    key: &str,
    (is_expected, member): (bool, &RedisMember),
    sequence: u64,
) {
    let word = |is_there: bool| if is_there { "listed" } else { "not listed" };
    if is_expected != member.is_listed {
        let what = (word(is_expected), word(member.is_listed));
        audit.differs(table, key.to_owned(), "set", what, sequence);
    }
}

fn take(stocks: &mut Stocks, whole: &mut stock::Stocks, record: &Record<'_>) {
    whole.take(record.sequence, record.meta, record.event);
    if !record.is_skipped {
        stocks.take(record);
    }
}
