//! What the orders of one slot were offered: SKU, lot and price, each kept once.
//!
//! An order then names its units by one number. The table belongs to the slot and moves with it.

use hashbrown::HashTable;
use rustc_hash::FxHasher;
use std::hash::{Hash, Hasher};

use crate::event::Draw;
use crate::money::{Amount, Currency};
use crate::name::{LotId, SaleId, SkuId};

use super::rows::Rows;

/// Units of one lot at one price.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    /// The SKU's number in this slot.
    pub(super) sku: u32,
    pub(super) lot: LotId,
    pub(super) ordinal: u32,
    pub(super) unit_price: Amount,
    pub(super) currency: Currency,
    /// The number in this slot of the sale that the SKU was in.
    pub(super) sale: Option<u32>,
}

/// All offers of a slot.
#[derive(Debug, Default)]
pub(super) struct Offers {
    skus: Vec<SkuId>,
    sku_index: HashTable<u32>,
    /// Few: they are looked through.
    sales: Vec<SaleId>,
    offers: Rows<Offer>,
    offer_index: HashTable<u32>,
    /// The SKU and the offer that were asked for last: in a rush, nearly always the next ones.
    last_sku: u32,
    last_offer: u32,
}

impl Offers {
    pub(super) fn get(&self, offer: u32) -> &Offer {
        self.offers.get(offer)
    }

    pub(super) fn len(&self) -> usize {
        self.offers.len()
    }

    /// All offers, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Offer> {
        self.offers.iter()
    }

    /// Puts an offer in that is not there, with the next number.
    pub(super) fn install(&mut self, offer: Offer) {
        let hash = hash_offer(offer.sku, offer.ordinal, offer.unit_price);
        let number = self.offers.push(offer);
        let offers = &self.offers;
        self.offer_index.insert_unique(hash, number, |n| {
            let offer = offers.get(*n);
            hash_offer(offer.sku, offer.ordinal, offer.unit_price)
        });
    }

    pub(super) fn sku(&self, number: u32) -> &SkuId {
        &self.skus[number as usize]
    }

    pub(super) fn sale(&self, number: u32) -> &SaleId {
        &self.sales[number as usize]
    }

    /// The sale's number in this slot.
    pub(super) fn sale_number(&mut self, sale: &SaleId) -> u32 {
        let known = self.sales.iter().rposition(|known| known == sale);
        known.unwrap_or_else(|| {
            self.sales.push(sale.clone());
            self.sales.len() - 1
        }) as u32
    }

    /// The SKU's number in this slot, if an order ever named it.
    pub(super) fn find_sku(&self, sku: &SkuId) -> Option<u32> {
        if self.skus.get(self.last_sku as usize) == Some(sku) {
            return Some(self.last_sku);
        }
        self.sku_index.find(hash_sku(sku), |n| self.skus[*n as usize] == *sku).copied()
    }

    /// The SKU's number in this slot.
    pub(super) fn sku_number(&mut self, sku: &SkuId) -> u32 {
        if let Some(number) = self.find_sku(sku) {
            self.last_sku = number;
            return number;
        }
        let number = self.skus.len() as u32;
        self.skus.push(sku.clone());
        let skus = &self.skus;
        self.sku_index.insert_unique(hash_sku(sku), number, |n| hash_sku(&skus[*n as usize]));
        number
    }

    /// The offer's number in this slot.
    pub(super) fn number(
        &mut self,
        (sku, sale): (u32, Option<u32>),
        draw: &Draw,
        currency: Currency,
    ) -> u32 {
        let offers = &self.offers;
        let same = |number: &u32| {
            let offer = offers.get(*number);
            offer.sku == sku
                && offer.ordinal == draw.ordinal
                && offer.unit_price == draw.unit_price
                && offer.currency == currency
                && offer.sale == sale
        };
        if offers.len() > 0 && same(&self.last_offer) {
            return self.last_offer;
        }
        let hash = hash_offer(sku, draw.ordinal, draw.unit_price);
        if let Some(number) = self.offer_index.find(hash, same) {
            self.last_offer = *number;
            return *number;
        }
        let number = self.offers.len() as u32;
        self.install(Offer {
            sku,
            lot: draw.lot.clone(),
            ordinal: draw.ordinal,
            unit_price: draw.unit_price,
            currency,
            sale,
        });
        number
    }

    pub(super) fn bytes(&self) -> usize {
        self.skus.capacity() * size_of::<SkuId>()
            + self.sales.capacity() * size_of::<SaleId>()
            + self.offers.bytes()
            + self.sku_index.allocation_size()
            + self.offer_index.allocation_size()
    }
}

fn hash_sku(sku: &SkuId) -> u64 {
    let mut hasher = FxHasher::default();
    sku.hash(&mut hasher);
    hasher.finish()
}

fn hash_offer(sku: u32, ordinal: u32, unit_price: Amount) -> u64 {
    let mut hasher = FxHasher::default();
    (sku, ordinal, unit_price.minor()).hash(&mut hasher);
    hasher.finish()
}
