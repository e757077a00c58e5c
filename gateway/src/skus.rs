//! Lists of SKUs, page by page: what both listeners' lists have in common.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Uri;

use sluice_core::name::SkuId;

use crate::gate::Gate;
use crate::json::write::Writer;
use crate::problem::Problem;
use crate::query::Query;

/// Which SKUs a request asks for.
pub(crate) struct SkusAsked {
    /// Begin behind this one.
    pub(crate) after: Option<SkuId>,
    /// Most that the page may show.
    pub(crate) limit: usize,
}

impl SkusAsked {
    /// Reads `limit` and `cursor`.
    pub(crate) fn read(gate: &Gate, uri: &Uri) -> Result<Self, Problem> {
        let query = Query::read(uri, &["limit", "cursor"])?;
        let most = gate.handle.limits().page_skus_max;
        Ok(Self { after: query.cursor(cursor_sku)?, limit: query.limit(most, most)? })
    }

    /// Cuts what was found, one more than asked for, to the page's length. Gives the SKU behind
    /// which the next page begins, if there is one.
    pub(crate) fn cut<T>(&self, found: &mut Vec<T>, sku: impl Fn(&T) -> &SkuId) -> Option<SkuId> {
        let more = found.len() > self.limit;
        found.truncate(self.limit);
        found.last().filter(|_| more).map(|last| sku(last).clone())
    }
}

/// Ends a list of SKUs.
pub(crate) fn end_of_skus(mut json: Writer, gate: &Gate, next: Option<SkuId>) -> Writer {
    json.raw(",\"next_cursor\":");
    match next {
        Some(sku) => json.string(&cursor(&sku)),
        None => json.raw("null"),
    };
    json.raw(",\"server_time\":").time(gate.handle.now()).raw("}");
    json
}

fn cursor(sku: &SkuId) -> String {
    URL_SAFE_NO_PAD.encode(sku.as_str())
}

fn cursor_sku(text: &str) -> Option<SkuId> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    SkuId::new(std::str::from_utf8(&bytes).ok()?)
}

#[cfg(test)]
mod tests {
    use super::{cursor, cursor_sku};
    use sluice_core::name::SkuId;

    #[test]
    fn a_cursor_comes_back() {
        let sku = SkuId::new("iphone-17.pro_max").expect("a name");
        assert_eq!(cursor_sku(&cursor(&sku)), Some(sku));
        for wrong in ["", "=", "AAAA", "aXBob25l=", "5pel"] {
            assert_eq!(cursor_sku(wrong), None, "{wrong}");
        }
    }
}
