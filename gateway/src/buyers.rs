//! What buyers ask for beside placing orders, and the pages that anybody may read.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, ETAG, HeaderValue};

use sluice_core::command::{Buyer, Cancel, Command, Key, ListOrders};
use sluice_core::event::OrderStatus;
use sluice_core::id::OrderId;
use sluice_core::name::SkuId;
use sluice_core::outcome::{OrderView, Refusal};

use crate::call;
use crate::gate::Gate;
use crate::json::write::Writer;
use crate::json::{self, Document};
use crate::listing::{self, cursor, place_at};
use crate::order::plain_key;
use crate::problem::{Code, Problem};
use crate::query::{self, Query, end_of_page};
use crate::refusals::no_such_order;
use crate::routes::{self, Listener};
use crate::skus::{SkusAsked, end_of_skus};
use crate::{body, operators, payments, sales, sandbox};

/// Orders of a page that does not say how many.
pub(crate) const PAGE_ORDERS: usize = 20;

pub(crate) type PathPart = Result<Path<String>, PathRejection>;

/// The public listener's routes, but for placing orders, which never comes here.
pub(crate) fn router(gate: Arc<Gate>) -> Router {
    let sandbox = gate.sandbox.as_ref().map(|sandbox| sandbox::router(Arc::clone(sandbox)));
    Router::new()
        .route("/v1/orders", get(list_orders))
        .route("/v1/orders/{order_id}", get(read_order))
        .route("/v1/orders/{order_id}/cancel", post(cancel))
        .route("/v1/orders/{order_id}/payments", post(payments::start))
        .route("/v1/orders/by-key/{key}", get(read_by_key))
        .route("/v1/webhooks/payments", post(payments::notify))
        .route("/v1/sales", get(sales::list))
        .route("/v1/sales/{sale}", get(sales::one))
        .route("/v1/sales/{sale}/stream", get(sales::stream))
        .route("/v1/skus", get(pages))
        .route("/v1/skus/{sku}", get(page))
        .with_state(gate)
        .merge(sandbox.unwrap_or_default())
        .method_not_allowed_fallback(|path: MatchedPath, request: Request| {
            routes::wrong_method(Listener::Buyers, path, request)
        })
        .fallback(routes::nothing_here)
}

async fn read_order(
    State(gate): State<Arc<Gate>>,
    path: PathPart,
    request: Request,
) -> Result<Response, Problem> {
    let buyer = gate.buyer(request.headers())?;
    query::none(request.uri())?;
    let order = order_id(&path)?;
    let command = Command::ReadOrder { order, buyer: Some(buyer.digest) };
    match call::order(&gate, command).await {
        Err(problem) if problem.code == Code::OrderNotFound => {
            let retired = gate.retired.order(order, &buyer, gate.handle.now()).await?;
            Ok(one_order(&retired.view, &buyer))
        }
        order => Ok(one_order(&*order?, &buyer)),
    }
}

async fn read_by_key(
    State(gate): State<Arc<Gate>>,
    path: PathPart,
    request: Request,
) -> Result<Response, Problem> {
    let buyer = gate.buyer(request.headers())?;
    query::none(request.uri())?;
    let key = path.ok().and_then(|Path(text)| plain_key(&text).map(str::to_owned));
    let key = key.ok_or_else(|| Problem::invalid("key: is not an idempotency key"))?;
    let key = Key::new(gate.handle.hash_key(), &buyer, &key).digest;
    let command = Command::ReadByKey { slot: buyer.slot, buyer: buyer.digest, key };
    let order = call::order(&gate, command).await?;
    Ok(one_order(&order, &buyer))
}

async fn cancel(
    State(gate): State<Arc<Gate>>,
    path: PathPart,
    mut request: Request,
) -> Result<Response, Problem> {
    let buyer = gate.buyer(request.headers())?;
    empty_body(&mut request).await?;
    query::none(request.uri())?;
    let order = order_id(&path)?;
    let cancel = Cancel { order, buyer: buyer.digest, request: operators::request_id(&request) };
    match call::order(&gate, Command::Cancel(Box::new(cancel))).await {
        Err(problem) if problem.code == Code::OrderNotFound => {
            // What has left the ledger is final.
            let retired = gate.retired.order(order, &buyer, gate.handle.now()).await?;
            match retired.view.status {
                // A retry of a cancel whose answer was lost.
                OrderStatus::Cancelled => Ok(one_order(&retired.view, &buyer)),
                status => Err(Problem::refused(Refusal::OrderState { status }, gate.handle.now())),
            }
        }
        order => Ok(one_order(&*order?, &buyer)),
    }
}

async fn list_orders(State(gate): State<Arc<Gate>>, request: Request) -> Result<Response, Problem> {
    let buyer = gate.buyer(request.headers())?;
    let query = Query::read(request.uri(), &["limit", "cursor", "status"])?;
    let list = ListOrders {
        slot: buyer.slot,
        buyer: buyer.digest,
        status: status_of(&query)?,
        after: query.cursor(place_at)?,
        limit: query.limit(PAGE_ORDERS, gate.handle.limits().page_orders_max)?,
    };
    let page = listing::page(&gate, &buyer, list).await?;
    let mut json = Writer::with_capacity(512 * page.orders.len() + 64);
    json.raw("{\"orders\":").list(&page.orders, |json, order| {
        json::order::order(json, order, Some(&buyer.name));
    });
    end_of_page(&mut json, page.next.map(cursor).as_deref());
    json.raw("}");
    Ok(json_response(StatusCode::OK, json))
}

async fn page(
    State(gate): State<Arc<Gate>>,
    path: PathPart,
    request: Request,
) -> Result<Response, Problem> {
    query::none(request.uri())?;
    let sku = path.ok().and_then(|Path(text)| SkuId::new(&text));
    let page = sku.and_then(|sku| gate.handle.board().page(&sku));
    let page = page.ok_or_else(|| Problem::new(Code::SkuNotFound, "no SKU of this name"))?;
    let mut json = Writer::with_capacity(192);
    json::stock::page(&mut json, &page, gate.handle.now());
    Ok(json_response(StatusCode::OK, json))
}

async fn pages(State(gate): State<Arc<Gate>>, request: Request) -> Result<Response, Problem> {
    let asked = SkusAsked::read(&gate, request.uri())?;
    let mut pages = gate.handle.board().pages(asked.after.as_ref(), asked.limit + 1);
    let next = asked.cut(&mut pages, |page| page.sku());
    let now = gate.handle.now();
    let mut json = Writer::with_capacity(192 * pages.len() + 128);
    json.raw("{\"skus\":").list(&pages, |json, page| json::stock::page(json, page, now));
    Ok(json_response(StatusCode::OK, end_of_skus(json, &gate, next.as_ref())))
}

/// Reads the body of a call that takes none: nothing, or an object without fields.
pub(crate) async fn empty_body(request: &mut Request) -> Result<(), Problem> {
    body::check_length(request.body())?;
    let bytes = operators::read_in_time(request.body_mut()).await?;
    if !bytes.is_empty() {
        body::check_media_type(request.headers())?;
        Document::read(&bytes)?.fields(&[])?;
    }
    Ok(())
}

/// An order id that is none is answered like one that nobody has.
pub(crate) fn order_id(path: &PathPart) -> Result<OrderId, Problem> {
    let order = path.as_ref().ok().and_then(|Path(text)| OrderId::parse(text));
    order.ok_or_else(no_such_order)
}

fn one_order(order: &OrderView, buyer: &Buyer) -> Response {
    let mut json = Writer::with_capacity(512);
    json::order::order(&mut json, order, Some(&buyer.name));
    let mut response = json_response(StatusCode::OK, json);
    response.headers_mut().insert(ETAG, quoted(order.version));
    response
}

/// An entity tag of a number.
pub(crate) fn quoted(number: u32) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{number}\"")).expect("digits in quotes")
}

/// An answer of JSON.
pub(crate) fn json_response(status: StatusCode, json: Writer) -> Response {
    let mut response = Response::new(axum::body::Body::from(json.into_bytes()));
    *response.status_mut() = status;
    let value = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, value);
    response
}

/// The state that a list is about, if it is about one.
pub(crate) fn status_of(query: &Query<'_>) -> Result<Option<OrderStatus>, Problem> {
    let Some(text) = query.get("status") else { return Ok(None) };
    OrderStatus::parse(text).map(Some).ok_or_else(|| {
        let words = OrderStatus::ALL.map(|(_, word)| word).join(", ");
        Problem::invalid(format!("status: must be one of {words}"))
    })
}
