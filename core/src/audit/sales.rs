//! Sales and their SKUs: folded from the journal.

use std::collections::BTreeMap;

use crate::event::{Event, Meta, SaleDefined, SaleMove};
use crate::name::{SaleId, SkuId};
use crate::sink::table::{SALE_SKUS, SALES, Table, Value};
use crate::time::Timestamp;

use super::stock::Rows;

/// One sale.
struct Sale {
    title: String,
    starts_at: Timestamp,
    ends_at: Timestamp,
    per_buyer_limit: u32,
    skus: Vec<SkuId>,
    /// The record that defined its SKUs.
    defined: u64,
    revision: u32,
    paused: bool,
    ended: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
    sequence: u64,
}

/// All of them, but for those whose terms are no longer kept.
#[derive(Default)]
pub(super) struct Sales {
    sales: BTreeMap<SaleId, Sale>,
}

/// The columns of sales of which a trimmed journal does not tell.
pub(super) const UNTOLD: [usize; 2] = [SALES.column("paused"), SALES.column("created_at")];

impl Sales {
    pub(super) fn take(&mut self, sequence: u64, meta: &Meta, event: &Event<'_>) {
        match event {
            Event::SaleDefined(defined) => self.define(sequence, meta, defined),
            Event::SaleMoved(moved) => {
                let Some(sale) = self.sales.get_mut(&moved.sale) else { return };
                match moved.to {
                    SaleMove::Paused => sale.paused = true,
                    SaleMove::Resumed => sale.paused = false,
                    SaleMove::Ended => sale.ended = true,
                }
                (sale.revision, sale.updated_at) = (moved.revision, meta.time);
                sale.sequence = sequence;
            }
            _ => {}
        }
    }

    fn define(&mut self, sequence: u64, meta: &Meta, defined: &SaleDefined<'_>) {
        let earlier = self.sales.get(&defined.sale);
        let sale = Sale {
            title: defined.title.to_owned(),
            starts_at: defined.starts_at,
            ends_at: defined.ends_at,
            per_buyer_limit: defined.per_buyer_limit,
            skus: defined.skus.clone(),
            defined: sequence,
            revision: defined.revision,
            paused: earlier.is_some_and(|earlier| earlier.paused),
            ended: earlier.is_some_and(|earlier| earlier.ended),
            created_at: earlier.map_or(meta.time, |earlier| earlier.created_at),
            updated_at: meta.time,
            sequence,
        };
        self.sales.insert(defined.sale.clone(), sale);
    }

    /// The rows of both tables, in the order of their keys.
    pub(super) fn tables(&self, cell: u16) -> [(&'static Table, Rows); 2] {
        let cell = Value::number(cell);
        let sales = self.sales.iter().map(|(name, sale)| {
            let row = vec![
                cell.clone(),
                Value::text(name.as_str()),
                Value::number(sale.revision),
                Value::text(&sale.title),
                Value::number(sale.starts_at.micros()),
                Value::number(sale.ends_at.micros()),
                Value::number(sale.per_buyer_limit),
                Value::number(u8::from(sale.paused)),
                Value::number(u8::from(sale.ended)),
                Value::number(sale.created_at.micros()),
                Value::number(sale.updated_at.micros()),
                Value::number(sale.sequence),
            ];
            (sale.sequence, row)
        });
        let skus = self.sales.iter().flat_map(|(name, sale)| {
            sale.skus.iter().map(|sku| {
                let row = vec![
                    cell.clone(),
                    Value::text(name.as_str()),
                    Value::text(sku.as_str()),
                    Value::number(sale.defined),
                ];
                (sale.defined, row)
            })
        });
        [(&SALES, sales.collect()), (&SALE_SKUS, skus.collect())]
    }
}
