//! What a step publishes: the pages of the SKUs that it touched, as they were when it ended.

use std::sync::Arc;

use rustc_hash::FxBuildHasher;

use crate::ledger::Ledger;
use crate::money::Amount;
use crate::name::{SaleId, SkuId};
use crate::view::{Board, SkuPage, Terms};

/// The pages that a shard has published, and what it said of the terms last.
#[derive(Default)]
pub(super) struct Pages {
    said: hashbrown::HashMap<SkuId, Said, FxBuildHasher>,
    handles: hashbrown::HashMap<SkuId, Arc<SkuPage>, FxBuildHasher>,
}

/// What a page's terms follow from: the SKU's revision, the price, the sale and its revision.
type Said = (u32, Amount, Option<(SaleId, u32)>);

/// One SKU's page, to be published once it is durable.
pub(super) struct Publication {
    sku: SkuId,
    page: Option<Arc<SkuPage>>,
    terms: Option<Terms>,
    available: u64,
}

impl Pages {
    /// Forgets what was said of a bucket's SKUs: another shard will say more.
    pub(super) fn forget(&mut self, bucket: u16) {
        self.said.retain(|sku, _| sku.bucket() != bucket);
        self.handles.retain(|sku, _| sku.bucket() != bucket);
    }

    /// Captures the state of the touched SKUs, and empties the list of them.
    pub(super) fn capture(
        &mut self,
        touched: &mut Vec<SkuId>,
        ledger: &Ledger,
        board: &Board,
    ) -> Vec<Publication> {
        if touched.len() > 1 {
            touched.sort_unstable();
            touched.dedup();
        }
        touched.drain(..).filter_map(|sku| self.capture_one(sku, ledger, board)).collect()
    }

    fn capture_one(&mut self, sku: SkuId, ledger: &Ledger, board: &Board) -> Option<Publication> {
        let stock = ledger.stock(&sku)?;
        let page = match self.handles.get(&sku) {
            Some(page) => Some(Arc::clone(page)),
            None => board.page(&sku).inspect(|page| {
                self.handles.insert(sku.clone(), Arc::clone(page));
            }),
        };
        let sale = stock.sale().map(|sale| (sale.sale.clone(), sale.revision));
        let said = (stock.revision(), stock.next_price(), sale);
        let news = page.is_none() || self.said.get(&sku) != Some(&said);
        let terms = news.then(|| {
            self.said.insert(sku.clone(), said);
            stock.terms()
        });
        Some(Publication { sku, page, terms, available: stock.available() })
    }
}

impl Publication {
    pub(super) fn publish(self, board: &Board) {
        match (self.page, self.terms) {
            (Some(page), None) => page.set_available(self.available),
            (_, Some(terms)) => board.publish(self.sku, terms, self.available),
            (None, None) => unreachable!("the first publication of a page has its terms"),
        }
    }
}
