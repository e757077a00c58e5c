//! A run of records as the steps of one call: what becomes of each key, and the entries of the
//! stream.
//!
//! What several records say of one order or SKU is one step; what moved is summed up. Sales are steps
//! of their own, in the order of their records; one that is changed is a batch alone.

use std::collections::BTreeMap;

use redis::Cmd;

use crate::event::{Event, Line, LotReceived, Meta, SaleDefined, SaleMove, SaleMoved, SkuDefined};
use crate::id::OrderId;
use crate::name::{SaleId, SkuId};
use crate::time::Timestamp;

use super::super::store::{Extent, Gathered, Unstorable};
use super::super::told::{Counter, Move, moves};
use super::items::names;
use super::keys::{Keys, LAYOUT};
use super::said::{Fields, said};

/// Most keys of a batch, the SKUs of sales counted among them, unless one record has more: each
/// costs the server some commands, and nobody else is served meanwhile.
const WEIGHT_MAX: usize = 120;

/// What one call stores.
#[derive(Debug)]
pub(in crate::sink) struct RedisBatch {
    keys: Keys,
    extent: Extent,
    orders: BTreeMap<OrderId, OrderStep>,
    skus: BTreeMap<SkuId, SkuStep>,
    sales: Vec<SaleStep>,
    entries: Vec<(u64, Fields)>,
    /// SKUs that enter or leave sales, at most.
    members: usize,
}

/// What becomes of an order's hash.
#[derive(Debug, Default)]
struct OrderStep {
    is_new: bool,
    is_last: bool,
    fields: Fields,
}

/// What becomes of a SKU's hash.
#[derive(Debug, Default)]
struct SkuStep {
    is_new: bool,
    fields: Fields,
    moved: BTreeMap<&'static str, i64>,
}

/// What becomes of a sale's hash, and of the SKUs in it.
#[derive(Debug)]
struct SaleStep {
    sale: SaleId,
    /// Its SKUs, and whether it is new; `None` if the record does not define it.
    defined: Option<(Vec<SkuId>, bool)>,
    fields: Fields,
}

impl RedisBatch {
    pub(super) fn new(keys: Keys) -> Self {
        Self {
            keys,
            extent: Extent::behind(0),
            orders: BTreeMap::new(),
            skus: BTreeMap::new(),
            sales: Vec::new(),
            entries: Vec::new(),
            members: 0,
        }
    }

    /// The call that stores it. The stream is trimmed to about `stream_max` entries.
    pub(super) fn call(&self, journal: &str, stream_max: u64) -> Cmd {
        let mut steps = Steps::default();
        for (order, step) in &self.orders {
            steps.order(self.keys.order(*order), step);
        }
        for (sku, step) in &self.skus {
            steps.sku(self.keys.sku(sku.as_str()), sku, step);
        }
        for step in &self.sales {
            steps.sale(self.keys.sale(step.sale.as_str()), step);
        }
        for (sequence, fields) in &self.entries {
            steps.entry(*sequence, fields);
        }
        let fixed = self.keys.fixed();
        let mut call = redis::cmd("FCALL");
        call.arg("sluice_apply").arg(fixed.len() + steps.keys.len()).arg(&fixed).arg(&steps.keys);
        call.arg(self.extent.after).arg(self.extent.through);
        call.arg(self.extent.last_time.micros()).arg(journal).arg(LAYOUT).arg(stream_max);
        call.arg(&steps.arguments);
        call
    }

    fn weight(&self) -> usize {
        self.orders.len() + self.skus.len() + self.sales.len() + self.members
    }

    fn sku_step(&mut self, sku: &SkuId, sequence: u64, meta: &Meta) -> &mut SkuStep {
        let step = self.skus.entry(sku.clone()).or_default();
        step.fields.set("updated_at", &meta.time.micros());
        step.fields.set("sequence", &sequence);
        step
    }

    fn sku_defined(&mut self, sequence: u64, meta: &Meta, defined: &SkuDefined<'_>) {
        let step = self.sku_step(&defined.sku, sequence, meta);
        step.is_new |= defined.revision == 1;
        step.fields.set("name", &defined.title);
        step.fields.set("unit_price", &defined.unit_price.minor());
        step.fields.set("currency", &defined.currency.as_str());
        step.fields.set("per_buyer_limit", &defined.per_buyer_limit);
        step.fields.set("hold_seconds", &defined.hold_seconds);
    }

    fn received(&mut self, sequence: u64, meta: &Meta, received: &LotReceived) {
        let units = i64::from(received.quantity.get());
        let step = self.sku_step(&received.sku, sequence, meta);
        step.count("received", units);
        step.count("available", units);
    }

    fn move_lines(&mut self, sequence: u64, meta: &Meta, lines: &[Line], (from, to): Move) {
        for line in lines {
            let units = i64::from(line.quantity.get());
            let step = self.sku_step(&line.sku, sequence, meta);
            step.count(field_of(from), -units);
            step.count(field_of(to), units);
        }
    }

    fn waiting(&mut self, sequence: u64, meta: &Meta, sku: &SkuId, orders: i64) {
        self.sku_step(sku, sequence, meta).count("standby", orders);
    }

    fn sale_defined(&mut self, sequence: u64, meta: &Meta, defined: &SaleDefined<'_>) {
        let mut fields = Fields::default();
        fields.set("name", &defined.title);
        fields.set("starts_at", &defined.starts_at.micros());
        fields.set("ends_at", &defined.ends_at.micros());
        fields.set("per_buyer_limit", &defined.per_buyer_limit);
        fields.set("skus", &names(&defined.skus));
        let skus = (defined.skus.clone(), defined.revision == 1);
        self.sale_step(sequence, meta, (&defined.sale, defined.revision), Some(skus), fields);
    }

    fn sale_moved(&mut self, sequence: u64, meta: &Meta, moved: &SaleMoved) {
        let mut fields = Fields::default();
        match moved.to {
            SaleMove::Paused => fields.set("paused", &1),
            SaleMove::Resumed => fields.set("paused", &0),
            SaleMove::Ended => fields.set("ended", &1),
        }
        self.sale_step(sequence, meta, (&moved.sale, moved.revision), None, fields);
    }

    fn sale_step(
        &mut self,
        sequence: u64,
        meta: &Meta,
        (sale, revision): (&SaleId, u32),
        defined: Option<(Vec<SkuId>, bool)>,
        mut fields: Fields,
    ) {
        fields.set("revision", &revision);
        fields.set("updated_at", &meta.time.micros());
        fields.set("sequence", &sequence);
        self.members += members(defined.as_ref().map(|(skus, is_new)| (skus.len(), *is_new)));
        self.sales.push(SaleStep { sale: sale.clone(), defined, fields });
    }

    /// What an event does to SKUs and sales. Orders apart.
    fn take_others(&mut self, sequence: u64, meta: &Meta, event: &Event<'_>) {
        match event {
            Event::SkuDefined(defined) => self.sku_defined(sequence, meta, defined),
            Event::LotReceived(received) => self.received(sequence, meta, received),
            Event::UnitsWithdrawn(withdrawn) => {
                let units = i64::from(withdrawn.quantity.get());
                let step = self.sku_step(&withdrawn.sku, sequence, meta);
                step.count("available", -units);
                step.count("withdrawn", units);
            }
            Event::SaleDefined(defined) => self.sale_defined(sequence, meta, defined),
            Event::SaleMoved(moved) => self.sale_moved(sequence, meta, moved),
            Event::OrderQueued(queued) => self.waiting(sequence, meta, &queued.sku, 1),
            Event::OrderPromoted(promoted) => self.waiting(sequence, meta, &promoted.line.sku, -1),
            Event::StandbyLeft(left) => self.waiting(sequence, meta, &left.sku, -1),
            _ => {}
        }
        if let Some((lines, way)) = moves(event) {
            self.move_lines(sequence, meta, lines, way);
        }
    }
}

/// What the SKUs of a sale weigh that is defined, or moved.
fn members(defined: Option<(usize, bool)>) -> usize {
    match defined {
        Some((skus, true)) => skus,
        // How many it had is known to the server alone.
        _ => WEIGHT_MAX,
    }
}

/// How many keys an event is about, at most.
fn weight(event: &Event<'_>) -> usize {
    match event {
        Event::SaleDefined(defined) => {
            1 + members(Some((defined.skus.len(), defined.revision == 1)))
        }
        Event::SaleMoved(_) => 1 + members(None),
        event => 2 + moves(event).map_or(0, |(lines, _)| lines.len()),
    }
}

impl SkuStep {
    fn count(&mut self, counter: &'static str, units: i64) {
        *self.moved.entry(counter).or_default() += units;
    }
}

const fn field_of(counter: Counter) -> &'static str {
    match counter {
        Counter::Available => "available",
        Counter::Held => "held",
        Counter::Sold => "sold",
        Counter::Withdrawn => "withdrawn",
    }
}

impl Gathered for RedisBatch {
    fn begin(&mut self, after: u64) {
        self.extent = Extent::behind(after);
        self.orders.clear();
        self.skus.clear();
        self.sales.clear();
        self.entries.clear();
        self.members = 0;
    }

    fn extent(&self) -> &Extent {
        &self.extent
    }

    fn has_room_for(&self, event: &Event<'_>) -> bool {
        self.weight() + weight(event) <= WEIGHT_MAX
    }

    fn take(
        &mut self,
        sequence: u64,
        meta: &Meta,
        event: &Event<'_>,
        bytes: usize,
    ) -> Result<(), Unstorable> {
        if let Some(said) = said(sequence, meta, event)?
            && let Some(order) = event.order()
        {
            let step = self.orders.entry(order).or_default();
            step.is_new |= said.is_new;
            step.is_last |= said.is_last;
            step.fields.set_all(said.hash);
            self.entries.push((sequence, said.entry));
        }
        self.take_others(sequence, meta, event);
        self.extent.cover(sequence, meta.time, bytes);
        Ok(())
    }

    fn pass_over(&mut self, sequence: u64, time: Timestamp, bytes: usize) {
        self.extent.cover(sequence, time, bytes);
    }

    fn rows(&self) -> u64 {
        let keys = self.orders.len() + self.skus.len() + self.sales.len();
        (keys + self.entries.len()) as u64
    }

    fn is_full(&self) -> bool {
        self.weight() >= WEIGHT_MAX
    }
}

/// The steps of a call, as `sluice_apply` reads them: the kind, the number of its arguments, and
/// those; and beside them the keys that they are about.
#[derive(Default)]
struct Steps {
    keys: Vec<String>,
    arguments: Vec<String>,
}

impl Steps {
    fn begin(&mut self, kind: &str, arguments: usize) {
        self.arguments.extend([kind.to_owned(), arguments.to_string()]);
    }

    fn fields(&mut self, fields: &Fields) {
        for (name, value) in fields.iter() {
            self.arguments.extend([(*name).to_owned(), value.clone()]);
        }
    }

    fn order(&mut self, key: String, step: &OrderStep) {
        self.keys.push(key);
        if step.is_last {
            return self.begin("order_gone", 0);
        }
        let kind = if step.is_new { "order_new" } else { "order" };
        self.begin(kind, 2 * step.fields.len());
        self.fields(&step.fields);
    }

    fn sku(&mut self, key: String, sku: &SkuId, step: &SkuStep) {
        self.keys.push(key);
        let moved = step.moved.iter().filter(|(_, units)| **units != 0);
        let fields = 2 * step.fields.len();
        self.begin(
            if step.is_new { "sku_new" } else { "sku" },
            2 + fields + 2 * moved.clone().count(),
        );
        self.arguments.extend([sku.to_string(), fields.to_string()]);
        self.fields(&step.fields);
        for (counter, units) in moved {
            self.arguments.extend([(*counter).to_owned(), units.to_string()]);
        }
    }

    fn sale(&mut self, key: String, step: &SaleStep) {
        self.keys.push(key);
        let fields = 2 * step.fields.len();
        match &step.defined {
            Some((skus, is_new)) => {
                let kind = if *is_new { "sale_new" } else { "sale" };
                self.begin(kind, 2 + fields + skus.len());
                self.arguments.extend([step.sale.to_string(), fields.to_string()]);
                self.fields(&step.fields);
                self.arguments.extend(skus.iter().map(ToString::to_string));
            }
            None => {
                self.begin("sale_moved", 1 + fields);
                self.arguments.push(step.sale.to_string());
                self.fields(&step.fields);
            }
        }
    }

    fn entry(&mut self, sequence: u64, fields: &Fields) {
        self.begin("event", 1 + 2 * fields.len());
        self.arguments.push(sequence.to_string());
        self.fields(fields);
    }
}
