//! SKUs, lots and withdrawals: folded from the journal by additions alone, and I1 checked.

use std::collections::BTreeMap;

use crate::event::{Draw, Event, Line, Meta, Returned, SkuDefined, UnitsWithdrawn};
use crate::name::{LotId, SkuId, WithdrawalId};
use crate::sink::table::{LOTS, SKUS, Table, Value, WITHDRAWAL_DRAWS, WITHDRAWALS};

/// One SKU's terms, as columns behind its key.
struct Terms {
    columns: Vec<Value>,
    created_at: Value,
    sequence: u64,
}

/// Where a lot's units are. May be less than 0 where the journal contradicts itself.
#[derive(Default)]
struct Lot {
    /// `None` if its arrival is no longer kept.
    arrived: Option<Arrival>,
    available: i64,
    held: i64,
    sold: i64,
    withdrawn: i64,
    sequence: u64,
}

struct Arrival {
    ordinal: u32,
    quantity: i64,
    unit_price: Value,
    time: Value,
}

struct Withdrawal {
    quantity: Value,
    reason: Value,
    time: Value,
    draws: Vec<Draw>,
    sequence: u64,
}

/// All of them.
#[derive(Default)]
pub(super) struct Stocks {
    skus: BTreeMap<SkuId, Terms>,
    lots: BTreeMap<(SkuId, LotId), Lot>,
    withdrawals: BTreeMap<(SkuId, WithdrawalId), Withdrawal>,
    /// SKUs of which more went out than came in, with the first record that shows it.
    unbalanced: BTreeMap<SkuId, u64>,
}

/// Rows with the sequence of the last record that made each what it is.
pub(super) type Rows = Vec<(u64, Vec<Value>)>;

/// The columns of a table of which a trimmed journal does not tell.
pub(super) fn untold(table: &'static Table) -> &'static [usize] {
    const SKU: [usize; 1] = [SKUS.column("created_at")];
    const LOT: [usize; 4] = [
        LOTS.column("available"),
        LOTS.column("held"),
        LOTS.column("sold"),
        LOTS.column("withdrawn"),
    ];
    match table.name {
        "skus" => &SKU,
        "lots" => &LOT,
        "sales" => &super::sales::UNTOLD,
        _ => &[],
    }
}

impl Stocks {
    pub(super) fn take(&mut self, sequence: u64, meta: &Meta, event: &Event<'_>) {
        match event {
            Event::SkuDefined(defined) => self.define(sequence, meta, defined),
            Event::LotReceived(received) => {
                let units = i64::from(received.quantity.get());
                let key = (received.sku.clone(), received.lot.clone());
                let lot = self.lots.entry(key).or_default();
                lot.available += units;
                lot.sequence = sequence;
                lot.arrived = Some(Arrival {
                    ordinal: received.ordinal,
                    quantity: units,
                    unit_price: received
                        .unit_price
                        .map_or(Value::Null, |price| Value::number(price.minor())),
                    time: Value::number(meta.time.micros()),
                });
            }
            Event::UnitsWithdrawn(withdrawn) => self.withdraw(sequence, meta, withdrawn),
            Event::OrderPlaced(placed) => {
                self.each(sequence, &placed.lines, |lot, units| {
                    lot.available -= units;
                    lot.held += units;
                });
            }
            Event::OrderCancelled(ended) | Event::OrderExpired(ended) => {
                self.each(sequence, &ended.lines, |lot, units| {
                    lot.held -= units;
                    lot.available += units;
                });
            }
            _ => self.take_later(sequence, event),
        }
    }

    /// What moves units of orders after they were placed, but for holds that end.
    fn take_later(&mut self, sequence: u64, event: &Event<'_>) {
        match event {
            Event::OrderPromoted(promoted) => {
                let line = std::slice::from_ref(&promoted.line);
                self.each(sequence, line, |lot, units| {
                    lot.available -= units;
                    lot.held += units;
                });
            }
            Event::OrderPaid(paid) => self.each(sequence, &paid.lines, |lot, units| {
                let from = if paid.late { &mut lot.available } else { &mut lot.held };
                *from -= units;
                lot.sold += units;
            }),
            Event::RefundRequested(requested) if requested.returned != Returned::Nothing => {
                let to_stock = requested.returned == Returned::ToStock;
                self.each(sequence, &requested.lines, |lot, units| {
                    let to = if to_stock { &mut lot.available } else { &mut lot.withdrawn };
                    *to += units;
                    lot.sold -= units;
                });
            }
            _ => {}
        }
    }

    fn define(&mut self, sequence: u64, meta: &Meta, defined: &SkuDefined<'_>) {
        let time = Value::number(meta.time.micros());
        let columns = vec![
            Value::number(defined.revision),
            Value::text(defined.title),
            Value::number(defined.unit_price.minor()),
            Value::text(defined.currency.as_str()),
            Value::number(defined.per_buyer_limit),
            Value::number(defined.hold_seconds),
            Value::number(u8::from(defined.standby_pass)),
        ];
        let earlier = self.skus.get(&defined.sku);
        let created_at = earlier.map_or(time.clone(), |earlier| earlier.created_at.clone());
        let mut terms = Terms { columns, created_at: created_at.clone(), sequence };
        terms.columns.extend([created_at, time]);
        self.skus.insert(defined.sku.clone(), terms);
    }

    fn withdraw(&mut self, sequence: u64, meta: &Meta, withdrawn: &UnitsWithdrawn<'_>) {
        for draw in &withdrawn.draws {
            self.move_units(sequence, &withdrawn.sku, draw, |lot, units| {
                lot.available -= units;
                lot.withdrawn += units;
            });
        }
        let key = (withdrawn.sku.clone(), withdrawn.withdrawal.clone());
        let withdrawal = Withdrawal {
            quantity: Value::number(withdrawn.quantity.units()),
            reason: Value::text(withdrawn.reason),
            time: Value::number(meta.time.micros()),
            draws: withdrawn.draws.to_vec(),
            sequence,
        };
        self.withdrawals.insert(key, withdrawal);
    }

    fn each(&mut self, sequence: u64, lines: &[Line], act: impl Fn(&mut Lot, i64)) {
        for line in lines {
            for draw in &line.draws {
                self.move_units(sequence, &line.sku, draw, &act);
            }
        }
    }

    fn move_units(&mut self, sequence: u64, sku: &SkuId, draw: &Draw, act: impl Fn(&mut Lot, i64)) {
        let lot = self.lots.entry((sku.clone(), draw.lot.clone())).or_default();
        act(lot, i64::from(draw.quantity.get()));
        lot.sequence = sequence;
        if lot.arrived.is_some() && (lot.available < 0 || lot.held < 0 || lot.sold < 0) {
            self.unbalanced.entry(sku.clone()).or_insert(sequence);
        }
    }

    /// Units that were given away and never arrived.
    pub(super) fn oversold(&self) -> u64 {
        let lacking = self.lots.values().map(|lot| {
            let arrived = lot.arrived.as_ref().map_or(0, |arrival| arrival.quantity);
            (lot.held + lot.sold + lot.withdrawn).saturating_sub(arrived).max(0)
        });
        lacking.sum::<i64>().unsigned_abs()
    }

    /// SKUs whose lots gave more than they had, with the first record that shows it (I1).
    pub(super) fn unbalanced(&self) -> impl Iterator<Item = (&SkuId, u64)> {
        self.unbalanced.iter().map(|(sku, sequence)| (sku, *sequence))
    }

    /// The rows of all tables, in the order of their keys.
    pub(super) fn tables(&self, cell: u16) -> [(&'static Table, Rows); 4] {
        let cell = Value::number(cell);
        let skus = self.skus.iter().map(|(sku, terms)| {
            let mut row = vec![cell.clone(), Value::text(sku.as_str())];
            row.extend(terms.columns.iter().cloned());
            row.push(Value::number(terms.sequence));
            (terms.sequence, row)
        });
        let lots = self.lots.iter().filter_map(|((sku, name), lot)| {
            let arrival = lot.arrived.as_ref()?;
            let row = vec![
                cell.clone(),
                Value::text(sku.as_str()),
                Value::text(name.as_str()),
                Value::number(arrival.ordinal),
                Value::Integer(arrival.quantity),
                arrival.unit_price.clone(),
                Value::Integer(lot.available),
                Value::Integer(lot.held),
                Value::Integer(lot.sold),
                Value::Integer(lot.withdrawn),
                arrival.time.clone(),
                Value::number(lot.sequence),
            ];
            Some((lot.sequence, row))
        });
        let withdrawals = self.withdrawals.iter().map(|((sku, name), withdrawal)| {
            let row = vec![
                cell.clone(),
                Value::text(sku.as_str()),
                Value::text(name.as_str()),
                withdrawal.quantity.clone(),
                withdrawal.reason.clone(),
                withdrawal.time.clone(),
                Value::number(withdrawal.sequence),
            ];
            (withdrawal.sequence, row)
        });
        let draws = self.withdrawals.iter().flat_map(|((sku, name), withdrawal)| {
            let draws = withdrawal.draws.iter().enumerate();
            draws.map(|(number, draw)| {
                let row = vec![
                    cell.clone(),
                    Value::text(sku.as_str()),
                    Value::text(name.as_str()),
                    Value::number(number),
                    Value::text(draw.lot.as_str()),
                    Value::number(draw.ordinal),
                    Value::number(draw.quantity.units()),
                ];
                (withdrawal.sequence, row)
            })
        });
        [
            (&SKUS, skus.collect()),
            (&LOTS, lots.collect()),
            (&WITHDRAWALS, withdrawals.collect()),
            (&WITHDRAWAL_DRAWS, draws.collect()),
        ]
    }
}
