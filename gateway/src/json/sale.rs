//! Sales, as operators see them and as anybody does.

use sluice_core::name::SkuId;
use sluice_core::outcome::{SaleState, SaleView};
use sluice_core::time::Timestamp;
use sluice_core::view::Board;

use super::stock;
use super::write::Writer;

/// Writes a sale for operators.
pub(crate) fn sale(json: &mut Writer, view: &SaleView, now: Timestamp) {
    head(json, view, now);
    json.raw(",\"revision\":").number(u64::from(view.revision));
    json.raw(",\"skus\":").list(&view.skus, |json, sku| {
        json.name(Some(sku.as_str()));
    });
    json.raw("}");
}

/// Writes what anybody may know of a sale, without its last brace: its SKUs have their pages.
pub(crate) fn page(json: &mut Writer, view: &SaleView, board: &Board, now: Timestamp) {
    head(json, view, now);
    json.raw(",\"skus\":").list(&view.skus, |json, sku| match board.page(sku) {
        Some(page) => stock::page(json, &page, now),
        None => announced(json, sku, view, now),
    });
}

fn head(json: &mut Writer, view: &SaleView, now: Timestamp) {
    json.raw("{\"sale\":\"").raw(view.sale.as_str());
    json.raw("\",\"name\":").string(&view.title);
    json.raw(",\"state\":\"").raw(view.state(now).as_str());
    // A sale that has not opened is refused for that first, paused or not: its state says so.
    let paused = view.paused && view.state(now) != SaleState::Ended;
    json.raw("\",\"paused\":").bool(paused);
    json.raw(",\"starts_at\":").time(view.starts_at);
    json.raw(",\"ends_at\":").time(view.ends_at);
    json.raw(",\"per_buyer_limit\":").number(u64::from(view.per_buyer_limit));
}

/// Writes a SKU that its sale names and nobody has made yet.
fn announced(json: &mut Writer, sku: &SkuId, view: &SaleView, now: Timestamp) {
    json.raw("{\"sku\":\"").raw(sku.as_str());
    json.raw("\",\"name\":null,\"unit_price\":null,\"currency\":null,\"available\":0");
    json.raw(",\"status\":\"").raw(stock::status(Some(view), 0, now)).raw("\"}");
}
