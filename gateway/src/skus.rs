//! Lists of SKUs, page by page: what both listeners' lists have in common.

use hyper::Uri;

use sluice_core::name::SkuId;

use crate::gate::Gate;
use crate::json::write::Writer;
use crate::problem::Problem;
use crate::query::{Query, end_of_page};

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
        Ok(Self {
            after: query.cursor(|bytes| SkuId::new(std::str::from_utf8(bytes).ok()?))?,
            limit: query.limit(most, most)?,
        })
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
pub(crate) fn end_of_skus(mut json: Writer, gate: &Gate, next: Option<&SkuId>) -> Writer {
    end_of_page(&mut json, next.map(SkuId::as_bytes));
    json.raw(",\"server_time\":").time(gate.handle.now()).raw("}");
    json
}
