//! Words that stand in many rows, shared instead of copied.

use std::sync::Arc;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use crate::event::OrderStatus;
use crate::money::Currency;
use crate::name::{LotId, SaleId, SkuId};

type Map<K> = HashMap<K, Arc<str>, FxBuildHasher>;

/// The words of a sink. Names are given up when there are too many, and begun anew.
#[derive(Debug)]
pub(super) struct Words {
    skus: Map<SkuId>,
    lots: Map<LotId>,
    sales: Map<SaleId>,
    currencies: Map<Currency>,
    /// Names of the program's own: states, kinds, actors.
    fixed: Map<&'static str>,
    names_max: usize,
}

impl Words {
    pub(super) fn new(names_max: usize) -> Self {
        Self {
            skus: Map::default(),
            lots: Map::default(),
            sales: Map::default(),
            currencies: Map::default(),
            fixed: Map::default(),
            names_max,
        }
    }

    pub(super) fn sku(&mut self, sku: &SkuId) -> Arc<str> {
        shared(&mut self.skus, sku, sku.as_str(), self.names_max)
    }

    pub(super) fn lot(&mut self, lot: &LotId) -> Arc<str> {
        shared(&mut self.lots, lot, lot.as_str(), self.names_max)
    }

    pub(super) fn sale(&mut self, sale: &SaleId) -> Arc<str> {
        shared(&mut self.sales, sale, sale.as_str(), self.names_max)
    }

    pub(super) fn currency(&mut self, currency: Currency) -> Arc<str> {
        shared(&mut self.currencies, &currency, currency.as_str(), self.names_max)
    }

    pub(super) fn status(&mut self, status: OrderStatus) -> Arc<str> {
        self.word(status.as_str())
    }

    pub(super) fn word(&mut self, word: &'static str) -> Arc<str> {
        shared(&mut self.fixed, &word, word, usize::MAX)
    }
}

fn shared<K: Clone + Eq + std::hash::Hash>(
    map: &mut Map<K>,
    key: &K,
    text: &str,
    most: usize,
) -> Arc<str> {
    if let Some(known) = map.get(key) {
        return Arc::clone(known);
    }
    if map.len() >= most {
        map.clear();
    }
    let text: Arc<str> = Arc::from(text);
    map.insert(key.clone(), Arc::clone(&text));
    text
}

#[cfg(test)]
mod tests {
    use super::Words;
    use crate::name::SkuId;
    use std::sync::Arc;

    #[test]
    fn a_name_is_shared_and_there_are_never_too_many() {
        let mut words = Words::new(2);
        let name = |number: u32| SkuId::new(&format!("sku-{number}")).expect("a name");
        let first = words.sku(&name(1));
        assert!(Arc::ptr_eq(&first, &words.sku(&name(1))));
        for number in 2..100 {
            assert_eq!(*words.sku(&name(number)), *name(number).as_str());
            assert!(words.skus.len() <= 2, "I6");
        }
    }
}
