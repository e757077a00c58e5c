//! Stocks, as operators see them, and SKU pages, as anybody does.

use sluice_core::name::SaleId;
use sluice_core::outcome::{Counters, SaleState, SaleView, StockView};
use sluice_core::time::Timestamp;
use sluice_core::view::SkuPage;

use super::write::Writer;

/// Writes one SKU's terms, counters and lots.
pub(crate) fn stock(json: &mut Writer, view: &StockView) {
    json.raw("{\"sku\":\"").raw(view.sku.as_str());
    json.raw("\",\"revision\":").number(u64::from(view.revision));
    json.raw(",\"name\":").string(&view.title);
    json.raw(",\"unit_price\":").number(view.unit_price.minor());
    json.raw(",\"currency\":\"").raw(view.currency.as_str());
    json.raw("\",\"per_buyer_limit\":").number(u64::from(view.per_buyer_limit));
    json.raw(",\"hold_seconds\":").number(u64::from(view.hold_seconds));
    json.raw(",\"standby_pass\":").bool(view.standby_pass);
    json.raw(",");
    counters(json, &view.counters);
    json.raw(",\"standby\":").number(view.standby);
    json.raw(",\"sale\":").name(view.sale.as_ref().map(SaleId::as_str));
    json.raw(",\"lots\":").list(&view.lots, |json, lot| {
        json.raw("{\"lot\":\"").raw(lot.lot.as_str()).raw("\",\"unit_price\":");
        match lot.unit_price {
            Some(price) => json.number(price.minor()),
            None => json.raw("null"),
        };
        json.raw(",");
        counters(json, &lot.counters);
        json.raw("}");
    });
    json.raw(",\"shard\":").number(view.shard as u64).raw("}");
}

/// Writes counters, without braces.
pub(crate) fn counters(json: &mut Writer, counters: &Counters) {
    let Counters { received, available, held, sold, withdrawn } = *counters;
    json.raw("\"received\":").number(received);
    json.raw(",\"available\":").number(available);
    json.raw(",\"held\":").number(held);
    json.raw(",\"sold\":").number(sold);
    json.raw(",\"withdrawn\":").number(withdrawn);
}

/// Writes what anybody may know of a SKU at `now`, in engine time.
pub(crate) fn page(json: &mut Writer, page: &SkuPage, now: Timestamp) {
    let terms = page.terms();
    let available = page.available();
    json.raw("{\"sku\":\"").raw(page.sku().as_str());
    json.raw("\",\"name\":").string(&terms.title);
    json.raw(",\"unit_price\":").number(terms.unit_price.minor());
    json.raw(",\"currency\":\"").raw(terms.currency.as_str());
    json.raw("\",\"available\":").number(available);
    json.raw(",\"status\":\"").raw(status(terms.sale.as_deref(), available, now)).raw("\"}");
}

/// Whether a newcomer can order a SKU, and if not, why not: its sale goes before its units.
pub(crate) fn status(sale: Option<&SaleView>, available: u64, now: Timestamp) -> &'static str {
    match sale.map(|sale| sale.state(now)) {
        Some(SaleState::Scheduled) => "not_open",
        Some(SaleState::Paused) => "paused",
        Some(SaleState::Ended) => "ended",
        Some(SaleState::Open) | None if available > 0 => "on_sale",
        Some(SaleState::Open) | None => "sold_out",
    }
}
