//! Stocks, as operators see them, and SKU pages, as anybody does.

use sluice_core::outcome::{Counters, StockView};
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
    json.raw(",\"standby_pass\":").raw(if view.standby_pass { "true" } else { "false" });
    json.raw(",");
    counters(json, &view.counters);
    json.raw(",\"standby\":0,\"lots\":").list(&view.lots, |json, lot| {
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

/// Writes what anybody may know of a SKU.
pub(crate) fn page(json: &mut Writer, page: &SkuPage) {
    let terms = page.terms();
    let available = page.available();
    json.raw("{\"sku\":\"").raw(page.sku().as_str());
    json.raw("\",\"name\":").string(&terms.title);
    json.raw(",\"unit_price\":").number(terms.unit_price.minor());
    json.raw(",\"currency\":\"").raw(terms.currency.as_str());
    json.raw("\",\"available\":").number(available);
    json.raw(",\"status\":\"").raw(if available > 0 { "on_sale" } else { "sold_out" }).raw("\"}");
}
