//! Sales: their windows and moves, and which SKU is in which.

use sluice_core::event::{Actor, Meta, SaleDefined, SaleMove, SaleMoved};
use sluice_core::name::{SaleId, SkuId};
use sluice_core::outcome::SaleView;
use sluice_core::time::Timestamp;

use super::{Model, at};

/// Whether a sale takes no orders any more.
pub fn is_over(sale: &SaleView, now: Timestamp) -> bool {
    sale.ended || sale.ends_at <= now
}

impl Model {
    /// A sale at a sequence.
    pub fn sale_at(&self, sale: &SaleId, sequence: u64) -> Option<&SaleView> {
        self.sales.get(sale).and_then(|past| at(past, sequence))
    }

    /// The sale that a SKU was in at a sequence.
    pub fn sale_of(&self, sku: &SkuId, sequence: u64) -> Option<&SaleView> {
        let sale = at(self.sale_of.get(sku)?, sequence)?.as_ref()?;
        self.sale_at(sale, sequence)
    }

    /// All that the owner of a SKU may have known of its sale between two sequences.
    pub fn sales_within(
        &self,
        sku: &SkuId,
        (from, to): (u64, u64),
    ) -> impl Iterator<Item = Option<&SaleView>> {
        let news = self.sale_news.iter().copied().filter(move |news| *news > from && *news <= to);
        std::iter::once(from).chain(news).map(move |sequence| self.sale_of(sku, sequence))
    }

    /// Whether the owner of a SKU may think that its sale is over.
    pub(super) fn may_be_over(&self, sku: &SkuId, now: Timestamp) -> bool {
        let last = self.last_sequence();
        let from = if self.alone { last } else { self.settled.min(last) };
        self.sales_within(sku, (from, last)).flatten().any(|sale| is_over(sale, now))
    }

    pub(super) fn sale_defined(
        &mut self,
        sequence: u64,
        defined: &SaleDefined<'_>,
    ) -> Result<(), String> {
        let known = self.sales.get(&defined.sale).and_then(|past| past.last());
        let known = known.map(|(_, sale)| sale);
        let revision = known.map_or(0, |sale| sale.revision) + 1;
        if defined.revision != revision || known.is_some_and(|sale| sale.ended) {
            return Err(format!("{defined:?} follows {known:?}"));
        }
        for sku in &defined.skus {
            let other = self.sale_of(sku, sequence).filter(|sale| sale.sale != defined.sale);
            if other.is_some_and(|sale| !sale.ended) {
                return Err(format!("{sku} is in {other:?} and {defined:?}"));
            }
        }
        let sale = SaleView {
            sale: defined.sale.clone(),
            revision,
            title: Box::from(defined.title),
            starts_at: defined.starts_at,
            ends_at: defined.ends_at,
            per_buyer_limit: defined.per_buyer_limit,
            skus: defined.skus.clone(),
            paused: known.is_some_and(|sale| sale.paused),
            ended: false,
        };
        let before = known.map_or(Vec::new(), |sale| sale.skus.clone());
        for sku in before.into_iter().filter(|sku| !sale.skus.contains(sku)) {
            self.sale_of.entry(sku).or_default().push((sequence, None));
        }
        for sku in &sale.skus {
            let past = self.sale_of.entry(sku.clone()).or_default();
            past.push((sequence, Some(sale.sale.clone())));
        }
        self.sale_news.push(sequence);
        self.sales.entry(sale.sale.clone()).or_default().push((sequence, sale));
        Ok(())
    }

    pub(super) fn sale_moved(
        &mut self,
        sequence: u64,
        meta: &Meta,
        moved: &SaleMoved,
    ) -> Result<(), String> {
        let past = self.sales.get_mut(&moved.sale).ok_or("the sale does not exist")?;
        let mut sale = past.last().expect("never empty").1.clone();
        let right = match moved.to {
            SaleMove::Paused => !sale.paused,
            SaleMove::Resumed => sale.paused,
            SaleMove::Ended => meta.actor == Actor::Operator || meta.time >= sale.ends_at,
        };
        if !right || sale.ended || moved.revision != sale.revision + 1 {
            return Err(format!("{moved:?} follows {sale:?}"));
        }
        sale.revision += 1;
        match moved.to {
            SaleMove::Paused => sale.paused = true,
            SaleMove::Resumed => sale.paused = false,
            SaleMove::Ended => sale.ended = true,
        }
        past.push((sequence, sale));
        self.sale_news.push(sequence);
        Ok(())
    }
}
