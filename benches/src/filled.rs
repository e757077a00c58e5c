//! A journal full of orders, written without an engine.

use std::path::Path;

use anyhow::{Context as _, Result};
use sluice_core::event::{
    Actor, Draw, Event, Genesis, Line, LotReceived, Meta, OrderEnded, OrderPlaced, SaleDefined,
    SaleMove, SaleMoved, SkuDefined, record,
};
use sluice_core::id::{OrderId, RequestId};
use sluice_core::journal::{Batch, JournalConfig, Preparer, Preparing, Writer, open};
use sluice_core::limits::DEFAULT;
use sluice_core::money::{Amount, Currency};
use sluice_core::name::{LotId, SaleId, SkuId};
use sluice_core::quantity::{QUANTITY_MAX, Quantity};
use sluice_core::storage::Directory;

use crate::commands;

/// SKUs that orders of several lines are of.
const BASKET_SKUS: u64 = 200;

/// Records of one commit, about.
const COMMIT_RECORDS: usize = 4_096;

/// What a journal is filled with.
#[derive(Clone, Copy, Debug)]
pub struct Filling {
    /// Orders, each by a buyer of their own; every tenth is cancelled.
    pub orders: u64,
    /// Lines of each, of one unit: of the one SKU that there is, or of some of 200.
    pub lines: u64,
    /// SKUs of a sale between the orders: it is defined, defined again with one SKU less, with others
    /// altogether, and ended. 0: there is none.
    pub sale_skus: u64,
}

/// A journal that is written.
pub struct Journal {
    /// Where it is.
    pub storage: Directory,
    /// Its last sequence.
    pub last: u64,
}

/// Writes a journal into a folder.
///
/// # Errors
/// What the disk says.
pub fn fill(path: &Path, filling: &Filling) -> Result<Journal> {
    let storage = Directory::lock(path)?;
    let config = JournalConfig {
        cell: 1,
        segment_bytes: DEFAULT.segment_bytes,
        limits: DEFAULT,
        segment_seed: 1,
    };
    let begin = commands::BEGIN;
    let opened = open(storage.clone(), config, None, begin, &mut |_, _, _| Ok(()), &mut || {})?;
    let (writer, preparer) = (opened.writer, opened.preparer);
    let mut pen = Pen { writer, preparer, batch: Batch::new(), number: 0, last: 0 };
    let genesis = Genesis { cell: 1, hash_key: commands::HASH_KEY, format: 1 };
    pen.write(&Event::Genesis(genesis))?;
    let skus = if filling.lines == 1 { 1 } else { BASKET_SKUS };
    for number in 0..skus {
        let units = filling.orders * filling.lines / skus;
        stock(number, units)?.iter().try_for_each(|event| pen.write(event))?;
    }
    let mut sale = sale(filling.sale_skus)?.into_iter();
    for number in 0..filling.orders {
        pen.number = number;
        let (name, key) = (format!("buyer-{number}"), format!("order-{number}"));
        let placed = placed(number, (skus, filling.lines), &name, &key)?;
        let ended = OrderEnded { order: placed.order, version: 2, lines: placed.lines.clone() };
        pen.write(&Event::OrderPlaced(placed))?;
        if number % 10 == 0 {
            pen.write(&Event::OrderCancelled(ended))?;
        }
        if filling.sale_skus > 0 && (number + 1).is_multiple_of(filling.orders / 5) {
            sale.next().iter().try_for_each(|event| pen.write(event))?;
        }
    }
    pen.commit()?;
    Ok(Journal { storage, last: pen.last })
}

/// What writes.
struct Pen {
    writer: Writer<Directory>,
    preparer: Preparer<Directory>,
    batch: Batch,
    /// Which order it is about: the time goes by with them.
    number: u64,
    last: u64,
}

impl Pen {
    fn write(&mut self, event: &Event<'_>) -> Result<()> {
        let meta = Meta {
            time: commands::BEGIN.plus_micros(self.number),
            actor: Actor::Buyer,
            request: RequestId::from_bits(u128::from(commands::random(self.number)) << 60),
        };
        self.batch.push_with(|out| record::encode(&meta, event, out));
        if self.batch.len() >= COMMIT_RECORDS { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        while self.preparer.step()? != Preparing::Idle {}
        let now = commands::BEGIN.plus_micros(self.number);
        self.last = self.writer.commit(&mut std::iter::once(&self.batch), now)?.through();
        self.batch.clear();
        Ok(())
    }
}

/// A SKU with at least so many units.
fn stock(number: u64, units: u64) -> Result<Vec<Event<'static>>> {
    let sku = sku(number)?;
    let mut events = vec![Event::SkuDefined(SkuDefined {
        sku: sku.clone(),
        revision: 1,
        title: "Phone",
        unit_price: Amount::new(599_900).context("in range")?,
        currency: Currency::new("CNY").context("a code")?,
        per_buyer_limit: 0,
        hold_seconds: 600,
        standby_pass: false,
        sale: None,
    })];
    for ordinal in 0..=(units / u64::from(QUANTITY_MAX)) as u32 {
        events.push(Event::LotReceived(LotReceived {
            sku: sku.clone(),
            lot: lot(ordinal)?,
            ordinal,
            quantity: Quantity::new(QUANTITY_MAX).context("in range")?,
            unit_price: None,
        }));
    }
    Ok(events)
}

fn sku(number: u64) -> Result<SkuId> {
    SkuId::new(&format!("phone-{number:03}")).context("a name")
}

fn lot(ordinal: u32) -> Result<LotId> {
    LotId::new(&format!("L{ordinal}")).context("a name")
}

fn placed<'a>(
    number: u64,
    (skus, lines): (u64, u64),
    name: &'a str,
    key: &'a str,
) -> Result<OrderPlaced<'a>> {
    let buyer = commands::buyer(number);
    let ordinal = (number * lines / skus / u64::from(QUANTITY_MAX)) as u32;
    let line = |line: u64| -> Result<Line> {
        let draw = Draw {
            lot: lot(ordinal)?,
            ordinal,
            quantity: Quantity::ONE,
            unit_price: Amount::new(599_900).context("in range")?,
        };
        let sku = sku((number * lines + line) % skus)?;
        Ok(Line { sku, quantity: Quantity::ONE, sale: None, draws: smallvec::smallvec![draw] })
    };
    let drawn_at = commands::BEGIN.plus_micros(number * 10);
    Ok(OrderPlaced {
        order: OrderId::new(drawn_at, 1, buyer.slot, commands::random(number)),
        buyer: buyer.digest,
        buyer_name: name,
        key: Some((commands::HASH_KEY.key(buyer.digest, key), key)),
        fingerprint: number,
        currency: Currency::new("CNY").context("a code")?,
        expires_at: commands::BEGIN.plus_seconds(600),
        lines: (0..lines).map(line).collect::<Result<_>>()?,
    })
}

/// The life of a sale.
fn sale(count: u64) -> Result<Vec<Event<'static>>> {
    let sale = SaleId::new("night").context("a name")?;
    let defined = |revision: u32, skus: std::ops::Range<u64>| -> Result<Event<'static>> {
        let skus = skus.map(|number| SkuId::new(&format!("member-{number:04}")).context("a name"));
        Ok(Event::SaleDefined(SaleDefined {
            sale: sale.clone(),
            revision,
            title: "The night",
            starts_at: commands::BEGIN,
            ends_at: commands::BEGIN.plus_seconds(3_600),
            per_buyer_limit: 0,
            skus: skus.collect::<Result<_>>()?,
        }))
    };
    let ended = SaleMoved { sale: sale.clone(), revision: 4, to: SaleMove::Ended };
    Ok(vec![
        defined(1, 0..count)?,
        defined(2, 1..count)?,
        defined(3, count..2 * count)?,
        Event::SaleMoved(ended),
    ])
}
