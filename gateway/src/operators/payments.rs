//! Money that operators look after: refunds that are under way, and notices that fitted no payment.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use hyper::StatusCode;

use sluice_core::id::PaymentId;
use sluice_core::outcome::PaymentStatus;

use crate::buyers::{PAGE_ORDERS, json_response};
use crate::gate::Gate;
use crate::json;
use crate::json::write::Writer;
use crate::problem::Problem;
use crate::query::{Query, end_of_page};

/// Payments that are to be given back, as far as the copy knows them, in order of their ids.
pub(super) async fn refunds(
    State(gate): State<Arc<Gate>>,
    request: Request,
) -> Result<Response, Problem> {
    gate.operator(request.headers())?;
    let query = Query::read(request.uri(), &["status", "limit", "cursor"])?;
    let limit = query.limit(PAGE_ORDERS, gate.handle.limits().page_orders_max)?;
    let wanted = PaymentStatus::Refunding.as_str();
    if query.get("status") != Some(wanted) {
        return Err(Problem::invalid(format!("status: must be {wanted}")));
    }
    let after = query
        .cursor(|bytes| Some(PaymentId::from_bits(u128::from_be_bytes(bytes.try_into().ok()?))))?;
    let mut found = gate.lookup.refunds(after, limit + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more);
    let next = last.map(|last| last.payment.bits().to_be_bytes());
    let mut json = Writer::with_capacity(384 * found.len() + 64);
    json.raw("{\"payments\":").list(&found, json::payment::stored);
    end_of_page(&mut json, next.as_ref().map(|place| &place[..]));
    json.raw("}");
    Ok(json_response(StatusCode::OK, json))
}

/// What providers said and fits no payment, as far as the copy knows it, newest first.
pub(super) async fn notices(
    State(gate): State<Arc<Gate>>,
    request: Request,
) -> Result<Response, Problem> {
    gate.operator(request.headers())?;
    let query = Query::read(request.uri(), &["limit", "cursor"])?;
    let limit = query.limit(PAGE_ORDERS, gate.handle.limits().page_orders_max)?;
    let before = query.cursor(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)))?;
    let mut found = gate.lookup.notices(before, limit + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| last.sequence.to_be_bytes());
    let mut json = Writer::with_capacity(256 * found.len() + 64);
    json.raw("{\"notices\":").list(&found, json::payment::notice);
    end_of_page(&mut json, next.as_ref().map(|place| &place[..]));
    json.raw("}");
    Ok(json_response(StatusCode::OK, json))
}
