//! Sales and their SKUs.

use std::sync::Arc;

use crate::event::{SaleDefined, SaleMove, SaleMoved};
use crate::time::Timestamp;

use super::super::table::{SALES, Value};
use super::{At, Batch};

/// What became of a sale. Applied after the rows of sales that the batch defines.
#[derive(Clone, Debug)]
pub(in crate::sink) struct SaleChange {
    pub(in crate::sink) revision: u32,
    /// Whether it is paused, if the batch says so.
    pub(in crate::sink) paused: Option<bool>,
    /// Whether it has ended, if the batch says so.
    pub(in crate::sink) ended: Option<bool>,
    pub(in crate::sink) updated_at: Timestamp,
    pub(in crate::sink) sequence: u64,
}

impl Batch {
    /// A sale's terms. That it is paused stays as it is.
    pub(super) fn sale(&mut self, at: &At<'_>, defined: &SaleDefined<'_>) {
        const CREATED_AT: usize = SALES.column("created_at");
        let sale = self.words.sale(&defined.sale);
        let mut row = [
            self.cell.clone(),
            Value::Text(Arc::clone(&sale)),
            Value::number(defined.revision),
            Value::text(defined.title),
            Value::number(defined.starts_at.micros()),
            Value::number(defined.ends_at.micros()),
            Value::number(defined.per_buyer_limit),
            Value::Integer(0),
            Value::Integer(0),
            at.time(),
            at.time(),
            at.sequence(),
        ];
        match self.sale_rows.get(&defined.sale) {
            Some(number) => {
                let earlier = self.sales.row_mut(*number);
                row[CREATED_AT] = earlier[CREATED_AT].clone();
                earlier.clone_from_slice(&row);
            }
            None => {
                self.sale_rows.insert(defined.sale.clone(), self.sales.len());
                self.sales.values.extend(row);
            }
        }
        // A change that came before must not take the terms back.
        if let Some(change) = self.sale_changes.get_mut(&defined.sale) {
            (change.revision, change.updated_at) = (defined.revision, at.meta.time);
            change.sequence = at.sequence;
        }
        let mut skus = Vec::new();
        for sku in &defined.skus {
            skus.extend([
                self.cell.clone(),
                Value::Text(Arc::clone(&sale)),
                Value::Text(self.words.sku(sku)),
                at.sequence(),
            ]);
        }
        self.sale_skus.insert(defined.sale.clone(), skus);
    }

    pub(super) fn sale_moved(&mut self, at: &At<'_>, moved: &SaleMoved) {
        let earlier = self.sale_changes.get(&moved.sale);
        let (mut paused, mut ended) =
            earlier.map_or((None, None), |earlier| (earlier.paused, earlier.ended));
        match moved.to {
            SaleMove::Paused => paused = Some(true),
            SaleMove::Resumed => paused = Some(false),
            SaleMove::Ended => ended = Some(true),
        }
        let (updated_at, sequence) = (at.meta.time, at.sequence);
        let change = SaleChange { revision: moved.revision, paused, ended, updated_at, sequence };
        self.sale_changes.insert(moved.sale.clone(), change);
    }
}
