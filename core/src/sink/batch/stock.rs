//! SKUs, lots and withdrawals; and the units that events move between a lot's counters.

use std::sync::Arc;

use crate::event::{Draw, Line, LotReceived, SkuDefined, UnitsWithdrawn};
use crate::name::SkuId;

use super::super::table::{SKUS, Value};
use super::super::told::{Counter, Move};
use super::{At, Batch};

/// How many units of a lot went where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sink) struct Moved {
    pub(in crate::sink) available: i64,
    pub(in crate::sink) held: i64,
    pub(in crate::sink) sold: i64,
    pub(in crate::sink) withdrawn: i64,
    pub(in crate::sink) sequence: u64,
}

impl Moved {
    fn counter(&mut self, counter: Counter) -> &mut i64 {
        match counter {
            Counter::Available => &mut self.available,
            Counter::Held => &mut self.held,
            Counter::Sold => &mut self.sold,
            Counter::Withdrawn => &mut self.withdrawn,
        }
    }
}

impl Batch {
    pub(super) fn sku(&mut self, at: &At<'_>, defined: &SkuDefined<'_>) {
        const CREATED_AT: usize = SKUS.column("created_at");
        let mut row = [
            self.cell.clone(),
            Value::Text(self.words.sku(&defined.sku)),
            Value::number(defined.revision),
            Value::text(defined.title),
            Value::number(defined.unit_price.minor()),
            Value::Text(self.words.currency(defined.currency)),
            Value::number(defined.per_buyer_limit),
            Value::number(defined.hold_seconds),
            Value::number(u8::from(defined.standby_pass)),
            at.time(),
            at.time(),
            at.sequence(),
        ];
        match self.sku_rows.get(&defined.sku) {
            Some(number) => {
                let earlier = self.skus.row_mut(*number);
                row[CREATED_AT] = earlier[CREATED_AT].clone();
                earlier.clone_from_slice(&row);
            }
            None => {
                self.sku_rows.insert(defined.sku.clone(), self.skus.len());
                self.skus.values.extend(row);
            }
        }
    }

    pub(super) fn lot(&mut self, at: &At<'_>, received: &LotReceived) {
        let quantity = Value::number(received.quantity.units());
        self.lots.values.extend([
            self.cell.clone(),
            Value::Text(self.words.sku(&received.sku)),
            Value::Text(self.words.lot(&received.lot)),
            Value::number(received.ordinal),
            quantity.clone(),
            received.unit_price.map_or(Value::Null, |price| Value::number(price.minor())),
            quantity,
            Value::Integer(0),
            Value::Integer(0),
            Value::Integer(0),
            at.time(),
            at.sequence(),
        ]);
    }

    pub(super) fn withdrawal(&mut self, at: &At<'_>, withdrawn: &UnitsWithdrawn<'_>) {
        let sku = self.words.sku(&withdrawn.sku);
        let withdrawal = Value::text(withdrawn.withdrawal.as_str());
        self.withdrawals.values.extend([
            self.cell.clone(),
            Value::Text(Arc::clone(&sku)),
            withdrawal.clone(),
            Value::number(withdrawn.quantity.units()),
            Value::text(withdrawn.reason),
            at.time(),
            at.sequence(),
        ]);
        for (number, draw) in withdrawn.draws.iter().enumerate() {
            self.withdrawal_draws.values.extend([
                self.cell.clone(),
                Value::Text(Arc::clone(&sku)),
                withdrawal.clone(),
                Value::number(number),
                Value::Text(self.words.lot(&draw.lot)),
                Value::number(draw.ordinal),
                Value::number(draw.quantity.units()),
            ]);
            self.move_units(at, &withdrawn.sku, draw, (Counter::Available, Counter::Withdrawn));
        }
    }

    /// Moves all units of an order's lines.
    pub(super) fn move_lines(&mut self, at: &At<'_>, lines: &[Line], way: Move) {
        for line in lines {
            for draw in &line.draws {
                self.move_units(at, &line.sku, draw, way);
            }
        }
    }

    fn move_units(&mut self, at: &At<'_>, sku: &SkuId, draw: &Draw, (from, to): Move) {
        let moved = self.moved.entry((sku.clone(), draw.lot.clone())).or_default();
        let units = i64::from(draw.quantity.get());
        *moved.counter(from) -= units;
        *moved.counter(to) += units;
        moved.sequence = at.sequence;
    }
}
