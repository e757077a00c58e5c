//! The pass over all records: the stream is compared, then SKUs, sales and their indexes.

use crate::event::Event;
use crate::name::{SaleId, SkuId};
use crate::sink::{RedisHash, RedisMark, RedisMember};
use crate::storage::Storage;

use super::super::{AuditError, Record, stock};
use super::compare::Expected;
use super::entries::{Entries, entry};
use super::journal::Journal;
use super::skus::Stocks;
use super::{Audit, KEYS, KEYS_AT_ONCE, SALES, SKU_SALES, SKUS, strays};

/// What of SKUs or sales is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Both,
    /// Their hashes.
    Hashes,
    /// Whether the set of all names them.
    Listing,
}

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
    members.taken(audit).await?;
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
            let more = self.journal.step(begun.sequence, audit.skips, &mut |record| {
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
            self.compare_skus(audit, &skus, Judged::Both).await?;
        }
    }

    /// Compares SKUs, whether or not there should be such.
    pub(super) async fn compare_skus(
        &mut self,
        audit: &mut Audit<'_>,
        skus: &[SkuId],
        judged: Judged,
    ) -> Result<(), AuditError> {
        let names: Vec<&str> = skus.iter().map(SkuId::as_str).collect();
        let (mark, found) = audit.copy.skus(&names).await?;
        self.follow(audit, &mark)?;
        let whole = audit.first == 1;
        for (sku, member) in skus.iter().zip(&found) {
            let expected = self.stocks.sku(sku, whole);
            judge(audit, (SKUS, sku.as_str()), expected.as_ref(), member, judged);
        }
        Ok(())
    }

    async fn sales(&mut self, audit: &mut Audit<'_>) -> Result<(), AuditError> {
        let mut after: Option<SaleId> = None;
        loop {
            let sales = self.stocks.sales_behind(after.as_ref(), KEYS_AT_ONCE);
            let Some(last) = sales.last() else { return Ok(()) };
            after = Some(last.clone());
            self.compare_sales(audit, &sales, Judged::Both).await?;
        }
    }

    /// Compares sales, whether or not there should be such.
    pub(super) async fn compare_sales(
        &mut self,
        audit: &mut Audit<'_>,
        sales: &[SaleId],
        judged: Judged,
    ) -> Result<(), AuditError> {
        let names: Vec<&str> = sales.iter().map(SaleId::as_str).collect();
        let (mark, found) = audit.copy.sales(&names).await?;
        self.follow(audit, &mark)?;
        for (sale, member) in sales.iter().zip(&found) {
            let expected = self.stocks.sale(sale);
            judge(audit, (SALES, sale.as_str()), expected.as_ref(), member, judged);
        }
        Ok(())
    }

    async fn taken(&mut self, audit: &mut Audit<'_>) -> Result<(), AuditError> {
        let mut after: Option<SkuId> = None;
        loop {
            let skus = self.stocks.taken_behind(after.as_ref(), KEYS_AT_ONCE);
            let Some(last) = skus.last() else { return Ok(()) };
            after = Some(last.clone());
            self.compare_taken(audit, &skus).await?;
        }
    }

    /// Compares which sales SKUs are in, whether or not they should be in one.
    pub(super) async fn compare_taken(
        &mut self,
        audit: &mut Audit<'_>,
        skus: &[SkuId],
    ) -> Result<(), AuditError> {
        let names: Vec<&str> = skus.iter().map(SkuId::as_str).collect();
        let (mark, found) = audit.copy.sales_of(&names).await?;
        self.follow(audit, &mark)?;
        for (sku, found) in skus.iter().zip(found) {
            let expected = self.stocks.sale_of(sku).map(SaleId::as_str);
            if expected.is_some() && found.is_some() {
                audit.count(SKU_SALES, 1);
            }
            let is_told = || {
                let sale = found.as_deref().and_then(SaleId::new);
                audit.first == 1 || sale.is_none_or(|sale| self.stocks.tells_skus_of(&sale))
            };
            if expected != found.as_deref() && (expected.is_some() || is_told()) {
                let none = || "none".to_owned();
                let expected = expected.map_or_else(none, str::to_owned);
                let found = found.unwrap_or_else(none);
                audit.differs(SKU_SALES, sku.to_string(), "sale", (&expected, &found), 0);
            }
        }
        Ok(())
    }
}

/// Compares a member with what the journal calls for. The set of all is to name it if it has a hash.
fn judge(
    audit: &mut Audit<'_>,
    (table, key): (&'static str, &str),
    expected: Option<&Expected>,
    member: &RedisMember,
    judged: Judged,
) {
    if judged != Judged::Listing {
        audit.compare(table, key, expected, &member.hash);
    }
    if judged == Judged::Hashes {
        return;
    }
    let word = |is_there: bool| if is_there { "listed" } else { "not listed" };
    let is_untold = audit.first > 1 && member.hash != RedisHash::None;
    let is_expected = expected.is_some() || is_untold;
    if is_expected != member.is_listed {
        let what = (word(is_expected), word(member.is_listed));
        let sequence = expected.map_or(0, |expected| expected.sequence);
        audit.differs(table, key.to_owned(), "set", what, sequence);
    }
}

fn take(stocks: &mut Stocks, whole: &mut stock::Stocks, record: &Record<'_>) {
    whole.take(record.sequence, record.meta, record.event);
    if !record.is_skipped {
        stocks.take(record);
    }
}
