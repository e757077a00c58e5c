//! What operators do with orders, and all that they may know of them. An order is the ledger's to
//! show; its buyer's name and what happened to it are in the copy, which may be behind or away.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use hyper::StatusCode;
use hyper::header::ETAG;

use sluice_core::command::{Command, Refund, Ship};
use sluice_core::id::OrderId;
use sluice_core::limits::{BUYER_BYTES_MAX, TEXT_BYTES_MAX};
use sluice_core::name::SkuId;
use sluice_core::outcome::{OrderView, Outcome, Refusal};
use sluice_core::sink::{OrderSearch, Timeline};

use crate::buyers::{self, PAGE_ORDERS, PathPart, json_response, order_id, quoted};
use crate::gate::Gate;
use crate::json::timeline::{Behind, Known};
use crate::json::write::Writer;
use crate::json::{self, Document};
use crate::listing::{cursor, place_at, place_of};
use crate::lookup::{SEARCH_PATIENCE, Unreadable};
use crate::problem::{Code, Problem};
use crate::query::{self, Query, end_of_page};
use crate::{call, operators};

/// How long the copy may take to catch up with an order.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);

/// How long an answer waits for the name of an order's buyer.
const NAME_PATIENCE: Duration = Duration::from_millis(200);

pub(super) async fn refund(
    State(gate): State<Arc<Gate>>,
    path: PathPart,
    mut request: Request,
) -> Result<Response, Problem> {
    let bytes = operators::admitted(&gate, &mut request).await?;
    let document = Document::read(&bytes)?;
    let fields = document.fields(&["return_to_stock"])?;
    let refund = Refund {
        order: order_id(&path)?,
        return_to_stock: fields.bool("return_to_stock")?,
        request: operators::request_id(&request),
    };
    changed(&gate, refund.order, Command::Refund(Box::new(refund))).await
}

pub(super) async fn ship(
    State(gate): State<Arc<Gate>>,
    path: PathPart,
    mut request: Request,
) -> Result<Response, Problem> {
    let bytes = operators::admitted(&gate, &mut request).await?;
    let document = Document::read(&bytes)?;
    let fields = document.fields(&["carrier", "tracking_number"])?;
    let ship = Ship {
        order: order_id(&path)?,
        carrier: Box::from(fields.plain_text("carrier", TEXT_BYTES_MAX)?),
        tracking_number: Box::from(fields.plain_text("tracking_number", TEXT_BYTES_MAX)?),
        request: operators::request_id(&request),
    };
    changed(&gate, ship.order, Command::Ship(Box::new(ship))).await
}

pub(super) async fn deliver(
    State(gate): State<Arc<Gate>>,
    path: PathPart,
    mut request: Request,
) -> Result<Response, Problem> {
    gate.operator(request.headers())?;
    buyers::empty_body(&mut request).await?;
    query::none(request.uri())?;
    let order = order_id(&path)?;
    let request = operators::request_id(&request);
    changed(&gate, order, Command::Deliver { order, request }).await
}

/// Changes an order and shows it.
async fn changed(gate: &Gate, order: OrderId, command: Command) -> Result<Response, Problem> {
    let view = match call::submit(gate, command).await? {
        Outcome::Order(view) => view,
        Outcome::Refused(Refusal::OrderNotFound) => {
            let retired = gate.retired.anybodys(order, gate.handle.now()).await?;
            let status = retired.view.status.as_str();
            let detail = format!("the order is {status}, and its retention is over");
            return Err(Problem::new(Code::OrderState, detail));
        }
        Outcome::Refused(refusal) => return Err(Problem::refused(refusal, gate.handle.now())),
        other => return Err(call::unexpected(&other)),
    };
    let named = tokio::time::timeout(NAME_PATIENCE, gate.lookup.timeline(order)).await;
    let buyer = named.ok().and_then(Result::ok).and_then(|timeline| timeline.buyer);
    let mut json = Writer::with_capacity(512);
    json::order::order(&mut json, &view, buyer.as_deref());
    Ok(tagged(json, view.version))
}

/// One order with all that happened to it.
pub(super) async fn one(
    State(gate): State<Arc<Gate>>,
    path: PathPart,
    request: Request,
) -> Result<Response, Problem> {
    gate.operator(request.headers())?;
    query::none(request.uri())?;
    let order = order_id(&path)?;
    let view = present(&gate, order).await?;
    let known = match history(&gate, &view).await {
        Ok(timeline) => Known::All(timeline),
        Err(Unseen::Behind(timeline)) => {
            Known::Part(timeline, Behind { copied: gate.lookup.copied(), durable: durable(&gate) })
        }
        Err(Unseen::Unreadable(Unreadable(why))) => Known::Nothing(why),
    };
    let mut json = Writer::with_capacity(2_048);
    json::timeline::order(&mut json, &view, &known);
    Ok(tagged(json, view.version))
}

/// The order as the ledger has it, or had it.
async fn present(gate: &Gate, order: OrderId) -> Result<OrderView, Problem> {
    match call::order(gate, Command::ReadOrder { order, buyer: None }).await {
        Err(problem) if problem.code == Code::OrderNotFound => {
            let retired = gate.retired.anybodys(order, gate.handle.now()).await?;
            Ok(retired.view.clone())
        }
        view => view.map(|view| *view),
    }
}

/// Why a timeline is not all there.
enum Unseen {
    /// The copy is behind.
    Behind(Timeline),
    /// The copy has no answer.
    Unreadable(Unreadable),
}

impl From<Unreadable> for Unseen {
    fn from(unreadable: Unreadable) -> Self {
        Self::Unreadable(unreadable)
    }
}

/// All that happened to an order up to its version; the copy may take a while to have it.
async fn history(gate: &Gate, view: &OrderView) -> Result<Timeline, Unseen> {
    let (lookup, order) = (&gate.lookup, view.order);
    let is_enough = |timeline: &Timeline| is_complete(timeline, view);
    let timeline = lookup.caught_up(CATCH_UP_MAX, || lookup.timeline(order), is_enough).await?;
    if is_complete(&timeline, view) { Ok(timeline) } else { Err(Unseen::Behind(timeline)) }
}

/// Every event raises an order's version by one: the last one has the order's.
fn is_complete(timeline: &Timeline, view: &OrderView) -> bool {
    timeline.events.iter().filter_map(|event| event.version).max() >= Some(view.version)
}

fn durable(gate: &Gate) -> u64 {
    gate.handle.journal_metrics().durable.get()
}

/// Orders that fit, as far as the copy knows them, newest first.
pub(super) async fn search(
    State(gate): State<Arc<Gate>>,
    request: Request,
) -> Result<Response, Problem> {
    gate.operator(request.headers())?;
    let query = Query::read(request.uri(), &["buyer", "sku", "status", "limit", "cursor"])?;
    let limit = query.limit(PAGE_ORDERS, gate.handle.limits().page_orders_max)?;
    let search = OrderSearch {
        buyer: query.get("buyer").map(buyer_name).transpose()?,
        sku: query.get("sku").map(sku_name).transpose()?,
        status: buyers::status_of(&query)?,
        before: query.cursor(place_at)?,
    };
    let mut found = gate.lookup.orders(search, limit + 1, SEARCH_PATIENCE).await?;
    let more = found.orders.len() > limit;
    found.orders.truncate(limit);
    let last = found.orders.last().filter(|_| more);
    let next = last.map(|last| cursor(place_of(&last.view)));
    let mut json = Writer::with_capacity(512 * found.orders.len() + 128);
    json.raw("{\"orders\":").list(&found.orders, |json, order| {
        json::order::order(json, &order.view, Some(&order.buyer));
    });
    json.raw(",\"sequence\":").number(found.sequence);
    end_of_page(&mut json, next.as_deref());
    json.raw("}");
    Ok(json_response(StatusCode::OK, json))
}

fn buyer_name(text: &str) -> Result<Box<str>, Problem> {
    let right = (1..=BUYER_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    match right {
        true => Ok(Box::from(text)),
        false => Err(Problem::invalid(format!(
            "buyer: must be 1 to {BUYER_BYTES_MAX} bytes of visible ASCII"
        ))),
    }
}

fn sku_name(text: &str) -> Result<SkuId, Problem> {
    SkuId::new(text).ok_or_else(|| Problem::invalid(format!("sku: {}", operators::NAME_RANGE)))
}

/// An answer of JSON with the order's version as its entity tag.
fn tagged(json: Writer, version: u32) -> Response {
    let mut response = json_response(StatusCode::OK, json);
    response.headers_mut().insert(ETAG, quoted(version));
    response
}
