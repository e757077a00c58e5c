//! Published views: what anybody may read of a SKU without asking its shard.
//!
//! A shard publishes after the sync of what it publishes (I2); readers take no lock a shard
//! waits for, except while a SKU is being created.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;
use dashmap::DashMap;

use crate::money::{Amount, Currency};
use crate::name::{SaleId, SkuId};
use crate::outcome::SaleView;

/// All SKU pages of a node.
#[derive(Debug, Default)]
pub struct Board {
    pages: DashMap<SkuId, Arc<SkuPage>>,
    /// The same in order of SKU, for those who list them.
    in_order: RwLock<BTreeMap<SkuId, Arc<SkuPage>>>,
    sales: DashMap<SaleId, Arc<SaleView>>,
}

/// What anybody may know of a SKU.
#[derive(Debug)]
pub struct SkuPage {
    sku: SkuId,
    terms: ArcSwap<Terms>,
    available: AtomicU64,
}

/// What a SKU costs and is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Its title.
    pub title: Box<str>,
    /// The price that a newcomer pays for the next unit.
    pub unit_price: Amount,
    /// The currency.
    pub currency: Currency,
    /// The sale that it is in, or was in last.
    pub sale: Option<Arc<SaleView>>,
}

impl Board {
    /// A sale.
    pub fn sale(&self, sale: &SaleId) -> Option<Arc<SaleView>> {
        self.sales.get(sale).map(|sale| Arc::clone(&sale))
    }

    /// The sales behind `after`, in order of name, at most `limit` of them.
    pub fn sales(&self, after: Option<&SaleId>, limit: usize) -> Vec<Arc<SaleView>> {
        let mut sales: Vec<_> = self.sales.iter().map(|sale| Arc::clone(&sale)).collect();
        sales.sort_unstable_by(|a, b| a.sale.cmp(&b.sale));
        let behind = sales.into_iter().filter(|sale| after.is_none_or(|after| sale.sale > *after));
        behind.take(limit).collect()
    }

    /// Makes or replaces a sale.
    pub fn publish_sale(&self, sale: Arc<SaleView>) {
        self.sales.insert(sale.sale.clone(), sale);
    }

    /// The page of a SKU.
    pub fn page(&self, sku: &SkuId) -> Option<Arc<SkuPage>> {
        self.pages.get(sku).map(|page| Arc::clone(&page))
    }

    /// The pages of the SKUs behind `after`, in order of SKU, at most `limit` of them.
    pub fn pages(&self, after: Option<&SkuId>, limit: usize) -> Vec<Arc<SkuPage>> {
        let pages = self.in_order.read().unwrap_or_else(PoisonError::into_inner);
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = pages.range::<SkuId, _>((begin, Bound::Unbounded));
        behind.take(limit).map(|(_, page)| Arc::clone(page)).collect()
    }

    /// How many SKUs have a page.
    pub fn len(&self) -> usize {
        self.pages.len()
    }

    /// Whether no SKU has a page.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Makes or replaces the page of a SKU.
    pub fn publish(&self, sku: SkuId, terms: Terms, available: u64) {
        if let Some(page) = self.page(&sku) {
            page.terms.store(Arc::new(terms));
            page.set_available(available);
        } else {
            let page = Arc::new(SkuPage {
                sku: sku.clone(),
                terms: ArcSwap::from_pointee(terms),
                available: AtomicU64::new(available),
            });
            self.pages.insert(sku.clone(), Arc::clone(&page));
            let mut in_order = self.in_order.write().unwrap_or_else(PoisonError::into_inner);
            in_order.insert(sku, page);
        }
    }
}

impl SkuPage {
    /// The SKU.
    pub fn sku(&self) -> &SkuId {
        &self.sku
    }

    /// Its terms.
    pub fn terms(&self) -> Arc<Terms> {
        self.terms.load_full()
    }

    /// Units that a newcomer can get.
    pub fn available(&self) -> u64 {
        self.available.load(Ordering::Acquire)
    }

    /// Sets the units that a newcomer can get. For the SKU's shard alone, after the sync.
    pub fn set_available(&self, units: u64) {
        self.available.store(units, Ordering::Release);
    }
}
