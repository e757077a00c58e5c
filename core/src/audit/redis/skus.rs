//! SKUs and sales: what the journal says of each, folded by additions alone.

use std::collections::BTreeMap;

use crate::event::{Event, Line, Meta, Returned, SaleDefined, SaleMove, SkuDefined};
use crate::name::{SaleId, SkuId};
use crate::time::Timestamp;

use super::super::Record;
use super::compare::Expected;

/// What the journal says of one SKU.
#[derive(Default)]
struct Sku {
    /// Its terms; empty if their record is no longer kept.
    terms: BTreeMap<&'static str, String>,
    received: i64,
    available: i64,
    held: i64,
    sold: i64,
    withdrawn: i64,
    standby: i64,
    time: Timestamp,
    sequence: u64,
}

/// What the journal says of one sale.
#[derive(Default)]
struct Sale {
    /// Its fields; without those of which a trimmed journal does not tell.
    fields: BTreeMap<&'static str, String>,
    sequence: u64,
}

/// The fields of a sale's hash.
const SALE_FIELDS: [&str; 10] = [
    "name",
    "starts_at",
    "ends_at",
    "per_buyer_limit",
    "skus",
    "paused",
    "ended",
    "revision",
    "updated_at",
    "sequence",
];

/// All of them.
#[derive(Default)]
pub(super) struct Stocks {
    skus: BTreeMap<SkuId, Sku>,
    sales: BTreeMap<SaleId, Sale>,
    /// Which sale that has not ended a SKU is in.
    taken: BTreeMap<SkuId, SaleId>,
}

impl Stocks {
    pub(super) fn take(&mut self, record: &Record<'_>) {
        let Record { sequence, meta, event, .. } = *record;
        match event {
            Event::SkuDefined(defined) => self.define(sequence, meta, defined),
            Event::LotReceived(received) => {
                let units = i64::from(received.quantity.get());
                self.touch(&received.sku, sequence, meta, |sku| {
                    sku.received += units;
                    sku.available += units;
                });
            }
            Event::UnitsWithdrawn(withdrawn) => {
                let units = i64::from(withdrawn.quantity.get());
                self.touch(&withdrawn.sku, sequence, meta, |sku| {
                    sku.available -= units;
                    sku.withdrawn += units;
                });
            }
            Event::SaleDefined(defined) => self.define_sale(sequence, meta, defined),
            Event::SaleMoved(moved) => {
                let sale = self.sales.entry(moved.sale.clone()).or_default();
                match moved.to {
                    SaleMove::Paused => sale.set("paused", &1),
                    SaleMove::Resumed => sale.set("paused", &0),
                    SaleMove::Ended => {
                        sale.set("ended", &1);
                        self.taken.retain(|_, of| *of != moved.sale);
                    }
                }
                sale.touch(moved.revision, sequence, meta);
            }
            event => self.take_order(sequence, meta, event),
        }
    }

    /// What an event of an order moves.
    fn take_order(&mut self, sequence: u64, meta: &Meta, event: &Event<'_>) {
        let mut each = |lines: &[Line], act: fn(&mut Sku, i64)| {
            for line in lines {
                let units = i64::from(line.quantity.get());
                self.touch(&line.sku, sequence, meta, |sku| act(sku, units));
            }
        };
        match event {
            Event::OrderPlaced(placed) => each(&placed.lines, Sku::hold),
            Event::OrderCancelled(ended) | Event::OrderExpired(ended) => {
                each(&ended.lines, |sku, units| sku.hold(-units));
            }
            Event::OrderPaid(paid) if paid.late => each(&paid.lines, |sku, units| {
                sku.available -= units;
                sku.sold += units;
            }),
            Event::OrderPaid(paid) => each(&paid.lines, |sku, units| {
                sku.held -= units;
                sku.sold += units;
            }),
            Event::RefundRequested(requested) => match requested.returned {
                Returned::Nothing => {}
                Returned::ToStock => each(&requested.lines, |sku, units| {
                    sku.sold -= units;
                    sku.available += units;
                }),
                Returned::Withdrawn => each(&requested.lines, |sku, units| {
                    sku.sold -= units;
                    sku.withdrawn += units;
                }),
            },
            Event::OrderPromoted(promoted) => {
                each(std::slice::from_ref(&promoted.line), Sku::hold);
                self.touch(&promoted.line.sku, sequence, meta, |sku| sku.standby -= 1);
            }
            Event::OrderQueued(queued) => {
                self.touch(&queued.sku, sequence, meta, |sku| sku.standby += 1);
            }
            Event::StandbyLeft(left) => {
                self.touch(&left.sku, sequence, meta, |sku| sku.standby -= 1);
            }
            _ => {}
        }
    }

    fn touch(&mut self, sku: &SkuId, sequence: u64, meta: &Meta, act: impl FnOnce(&mut Sku)) {
        let known = self.skus.entry(sku.clone()).or_default();
        act(known);
        (known.sequence, known.time) = (sequence, meta.time);
    }

    fn define(&mut self, sequence: u64, meta: &Meta, defined: &SkuDefined<'_>) {
        let terms = [
            ("name", defined.title.to_owned()),
            ("unit_price", defined.unit_price.minor().to_string()),
            ("currency", defined.currency.as_str().to_owned()),
            ("per_buyer_limit", defined.per_buyer_limit.to_string()),
            ("hold_seconds", defined.hold_seconds.to_string()),
        ];
        self.touch(&defined.sku, sequence, meta, |sku| sku.terms = terms.into());
    }

    fn define_sale(&mut self, sequence: u64, meta: &Meta, defined: &SaleDefined<'_>) {
        let quoted: Vec<String> = defined.skus.iter().map(|sku| format!("\"{sku}\"")).collect();
        let sale = self.sales.entry(defined.sale.clone()).or_default();
        if defined.revision == 1 {
            sale.set("paused", &0);
        }
        // One that has ended is never defined again.
        sale.set("ended", &0);
        sale.set("name", &defined.title);
        sale.set("starts_at", &defined.starts_at.micros());
        sale.set("ends_at", &defined.ends_at.micros());
        sale.set("per_buyer_limit", &defined.per_buyer_limit);
        sale.set("skus", &format!("[{}]", quoted.join(",")));
        sale.touch(defined.revision, sequence, meta);
        self.taken.retain(|_, of| *of != defined.sale);
        self.taken.extend(defined.skus.iter().map(|sku| (sku.clone(), defined.sale.clone())));
    }

    /// The first SKU that is called for behind `after`.
    pub(super) fn skus_behind(&self, after: Option<&SkuId>, most: usize) -> Vec<SkuId> {
        behind(&self.skus, after, most)
    }

    /// The same of sales.
    pub(super) fn sales_behind(&self, after: Option<&SaleId>, most: usize) -> Vec<SaleId> {
        behind(&self.sales, after, most)
    }

    /// What a SKU's hash is to be; `whole` if the journal reaches back to its beginning.
    pub(super) fn sku(&self, name: &SkuId, whole: bool) -> Option<Expected> {
        let sku = self.skus.get(name)?;
        let told = |value: i64| whole.then(|| value.to_string());
        let mut fields: BTreeMap<&'static str, Option<String>> = [
            ("received", told(sku.received)),
            ("available", told(sku.available)),
            ("held", told(sku.held)),
            ("sold", told(sku.sold)),
            ("withdrawn", told(sku.withdrawn)),
            ("standby", told(sku.standby)),
            ("updated_at", Some(sku.time.micros().to_string())),
            ("sequence", Some(sku.sequence.to_string())),
        ]
        .into();
        for term in ["name", "unit_price", "currency", "per_buyer_limit", "hold_seconds"] {
            fields.insert(term, sku.terms.get(term).cloned());
        }
        Some(Expected { sequence: sku.sequence, fields })
    }

    /// What a sale's hash is to be.
    pub(super) fn sale(&self, name: &SaleId) -> Option<Expected> {
        let sale = self.sales.get(name)?;
        let fields = SALE_FIELDS.map(|field| (field, sale.fields.get(field).cloned()));
        Some(Expected { sequence: sale.sequence, fields: fields.into() })
    }

    /// The first SKU behind `after` that a sale names which has not ended.
    pub(super) fn taken_behind(&self, after: Option<&SkuId>, most: usize) -> Vec<SkuId> {
        behind(&self.taken, after, most)
    }

    /// The sale that has not ended that names a SKU, as far as is told.
    pub(super) fn sale_of(&self, sku: &SkuId) -> Option<&SaleId> {
        self.taken.get(sku)
    }

    /// Whether all SKUs of a sale are told.
    pub(super) fn tells_skus_of(&self, name: &SaleId) -> bool {
        let fields = self.sales.get(name).map(|sale| &sale.fields);
        fields.is_some_and(|fields| fields.contains_key("skus") || fields.contains_key("ended"))
    }
}

fn behind<K: Ord + Clone, V>(map: &BTreeMap<K, V>, after: Option<&K>, most: usize) -> Vec<K> {
    use std::ops::Bound::{Excluded, Unbounded};
    let from = after.map_or(Unbounded, Excluded);
    map.range((from, Unbounded)).take(most).map(|(key, _)| key.clone()).collect()
}

impl Sku {
    fn hold(&mut self, units: i64) {
        self.available -= units;
        self.held += units;
    }
}

impl Sale {
    fn set(&mut self, field: &'static str, value: &impl ToString) {
        self.fields.insert(field, value.to_string());
    }

    fn touch(&mut self, revision: u32, sequence: u64, meta: &Meta) {
        self.set("revision", &revision);
        self.set("updated_at", &meta.time.micros());
        self.set("sequence", &sequence);
        self.sequence = sequence;
    }
}
