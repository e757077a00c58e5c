//! Sales, as anybody sees them: read from the board, without asking a shard.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use hyper::{StatusCode, Uri};

use sluice_core::name::SaleId;
use sluice_core::outcome::SaleView;
use sluice_core::time::Timestamp;

use crate::buyers::{PathPart, json_response};
use crate::gate::Gate;
use crate::json;
use crate::json::write::Writer;
use crate::problem::Problem;
use crate::query::{self, Query, end_of_page};
use crate::refusals::no_such_sale;

/// Sales of a page that does not say how many, and of any: each may have many SKUs.
const PAGE_SALES: usize = 20;

/// Which sales a request asks for.
pub(crate) struct SalesAsked {
    after: Option<SaleId>,
    limit: usize,
}

impl SalesAsked {
    /// Reads `limit` and `cursor`.
    pub(crate) fn read(uri: &Uri) -> Result<Self, Problem> {
        let query = Query::read(uri, &["limit", "cursor"])?;
        let after = query.cursor(|bytes| SaleId::new(std::str::from_utf8(bytes).ok()?))?;
        Ok(Self { after, limit: query.limit(PAGE_SALES, PAGE_SALES)? })
    }

    /// The sales, and the one behind which the next page begins, if there is one.
    pub(crate) fn find(&self, gate: &Gate) -> (Vec<Arc<SaleView>>, Option<SaleId>) {
        let mut sales = gate.handle.board().sales(self.after.as_ref(), self.limit + 1);
        let more = sales.len() > self.limit;
        sales.truncate(self.limit);
        let next = sales.last().filter(|_| more).map(|last| last.sale.clone());
        (sales, next)
    }
}

/// Ends a list of sales.
pub(crate) fn end_of_sales(mut json: Writer, next: Option<&SaleId>, now: Timestamp) -> Writer {
    end_of_page(&mut json, next.map(|sale| sale.as_str().as_bytes()));
    json.raw(",\"server_time\":").time(now).raw("}");
    json
}

/// The sale of a path.
pub(crate) fn find(gate: &Gate, path: &PathPart) -> Result<Arc<SaleView>, Problem> {
    let sale = path.as_ref().ok().and_then(|Path(text)| SaleId::new(text));
    sale.and_then(|sale| gate.handle.board().sale(&sale)).ok_or_else(no_such_sale)
}

pub(crate) async fn list(
    State(gate): State<Arc<Gate>>,
    request: Request,
) -> Result<Response, Problem> {
    let (sales, next) = SalesAsked::read(request.uri())?.find(&gate);
    let now = gate.handle.now();
    let mut json = Writer::with_capacity(512 * sales.len() + 128);
    json.raw("{\"sales\":").list(&sales, |json, sale| {
        json::sale::page(json, sale, gate.handle.board(), now);
        json.raw("}");
    });
    Ok(json_response(StatusCode::OK, end_of_sales(json, next.as_ref(), now)))
}

pub(crate) async fn one(
    State(gate): State<Arc<Gate>>,
    path: PathPart,
    request: Request,
) -> Result<Response, Problem> {
    query::none(request.uri())?;
    let sale = find(&gate, &path)?;
    let now = gate.handle.now();
    let mut json = Writer::with_capacity(512);
    json::sale::page(&mut json, &sale, gate.handle.board(), now);
    json.raw(",\"server_time\":").time(now).raw("}");
    Ok(json_response(StatusCode::OK, json))
}

/// Stock and state of a sale as they change.
pub(crate) async fn stream(
    State(gate): State<Arc<Gate>>,
    path: PathPart,
    request: Request,
) -> Result<Response, Problem> {
    query::none(request.uri())?;
    let sale = find(&gate, &path)?;
    gate.streams.join(&gate, &sale.sale)
}
