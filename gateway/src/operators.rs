//! What operators do: SKUs, lots, withdrawals, and what there is to see. Orders, sales and money
//! have files of their own.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::ETAG;

use sluice_core::command::{Command, DefineSku, ReceiveLot, Withdraw};
use sluice_core::id::RequestId;
use sluice_core::limits::TEXT_BYTES_MAX;
use sluice_core::money::{AMOUNT_MAX, Amount, Currency};
use sluice_core::name::{LotId, SkuId, WithdrawalId};
use sluice_core::outcome::StockView;
use sluice_core::quantity::{QUANTITY_MAX, Quantity};

use crate::buyers::{PathPart, json_response, quoted};
use crate::gate::Gate;
use crate::json::write::Writer;
use crate::json::{self, Document, Fields};
use crate::preconditions::if_match;
use crate::problem::{Code, Problem};
use crate::routes::{self, Listener};
use crate::skus::{SkusAsked, end_of_skus};
use crate::{body, call, ops, query};

mod orders;
mod payments;
mod sales;
mod sinks;

/// How long a body may take to come in.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// Longest hold that may be set: a year.
const HOLD_SECONDS_MAX: u64 = 366 * 86_400;

/// The operators' listener's routes.
pub(crate) fn router(gate: Arc<Gate>) -> Router {
    Router::new()
        .route("/healthz", get(ops::health))
        .route("/readyz", get(ops::ready))
        .route("/metrics", get(ops::metrics))
        .route("/openapi.json", get(ops::openapi))
        .route("/admin/v1/skus", get(stocks))
        .route("/admin/v1/skus/{sku}", get(stock).put(define_sku))
        .route("/admin/v1/skus/{sku}/lots", post(receive_lot))
        .route("/admin/v1/skus/{sku}/withdrawals", post(withdraw))
        .route("/admin/v1/orders", get(orders::search))
        .route("/admin/v1/orders/{order_id}", get(orders::one))
        .route("/admin/v1/orders/{order_id}/refund", post(orders::refund))
        .route("/admin/v1/orders/{order_id}/ship", post(orders::ship))
        .route("/admin/v1/orders/{order_id}/deliver", post(orders::deliver))
        .route("/admin/v1/sales", get(sales::list))
        .route("/admin/v1/sales/{sale}", get(sales::one).put(sales::define))
        .route("/admin/v1/sales/{sale}/pause", post(sales::pause))
        .route("/admin/v1/sales/{sale}/resume", post(sales::resume))
        .route("/admin/v1/sales/{sale}/end", post(sales::end))
        .route("/admin/v1/payments", get(payments::refunds))
        .route("/admin/v1/notices", get(payments::notices))
        .route("/admin/v1/sinks", get(sinks::list))
        .route("/admin/v1/sinks/{sink}/skip", post(sinks::skip))
        .route("/admin/v1/audit", get(audit))
        .route("/admin/v1/shards", get(ops::shards))
        .method_not_allowed_fallback(|path: MatchedPath, request: Request| {
            routes::wrong_method(Listener::Operators, path, request)
        })
        .fallback(routes::nothing_here)
        .with_state(gate)
}

async fn define_sku(
    State(gate): State<Arc<Gate>>,
    path: PathPart,
    mut request: Request,
) -> Result<Response, Problem> {
    let bytes = admitted(&gate, &mut request).await?;
    let document = Document::read(&bytes)?;
    let fields = document.fields(&[
        "name",
        "unit_price",
        "currency",
        "per_buyer_limit",
        "hold_seconds",
        "standby_pass",
    ])?;
    let sku = sku_name(&path)?;
    let price = fields.integer("unit_price", 0, AMOUNT_MAX)?;
    let currency = Currency::new(fields.text("currency")?);
    let mut define = DefineSku {
        sku: sku.clone(),
        title: Box::from(fields.plain_text("name", TEXT_BYTES_MAX)?),
        unit_price: Amount::new(price).expect("in range"),
        currency: currency
            .ok_or_else(|| fields.wrong("currency", "must be three capital letters"))?,
        per_buyer_limit: fields.integer("per_buyer_limit", 0, u64::from(u32::MAX))? as u32,
        hold_seconds: fields.integer("hold_seconds", 1, HOLD_SECONDS_MAX)? as u32,
        standby_pass: fields.optional_bool("standby_pass")?.unwrap_or(false),
        if_revision: None,
        request: request_id(&request),
    };
    let present = async || match call::stock(&gate, Command::ReadStock(sku)).await {
        Ok((_, stock)) => Ok(Some(stock.revision)),
        Err(problem) if problem.code == Code::SkuNotFound => Ok(None),
        Err(problem) => Err(problem),
    };
    define.if_revision = if_match(request.headers())?.revision(present).await?;
    let (created, stock) = call::stock(&gate, Command::DefineSku(Box::new(define))).await?;
    Ok(one_stock(created, &stock))
}

async fn receive_lot(
    State(gate): State<Arc<Gate>>,
    path: PathPart,
    mut request: Request,
) -> Result<Response, Problem> {
    let bytes = admitted(&gate, &mut request).await?;
    let document = Document::read(&bytes)?;
    let fields = document.fields(&["lot", "quantity", "unit_price"])?;
    let lot = LotId::new(fields.text("lot")?);
    let price = fields.optional_integer("unit_price", 0, AMOUNT_MAX)?;
    let receive = ReceiveLot {
        sku: sku_name(&path)?,
        lot: lot.ok_or_else(|| fields.wrong("lot", NAME_RANGE))?,
        quantity: quantity(&fields)?,
        unit_price: price.and_then(Amount::new),
        request: request_id(&request),
    };
    let (created, stock) = call::stock(&gate, Command::ReceiveLot(Box::new(receive))).await?;
    Ok(one_stock(created, &stock))
}

async fn withdraw(
    State(gate): State<Arc<Gate>>,
    path: PathPart,
    mut request: Request,
) -> Result<Response, Problem> {
    let bytes = admitted(&gate, &mut request).await?;
    let document = Document::read(&bytes)?;
    let fields = document.fields(&["withdrawal", "quantity", "reason"])?;
    let withdrawal = WithdrawalId::new(fields.text("withdrawal")?);
    let withdraw = Withdraw {
        sku: sku_name(&path)?,
        withdrawal: withdrawal.ok_or_else(|| fields.wrong("withdrawal", NAME_RANGE))?,
        quantity: quantity(&fields)?,
        reason: Box::from(fields.plain_text("reason", TEXT_BYTES_MAX)?),
        request: request_id(&request),
    };
    let (created, stock) = call::stock(&gate, Command::Withdraw(Box::new(withdraw))).await?;
    Ok(one_stock(created, &stock))
}

async fn stock(
    State(gate): State<Arc<Gate>>,
    path: PathPart,
    request: Request,
) -> Result<Response, Problem> {
    gate.operator(request.headers())?;
    query::none(request.uri())?;
    let sku = path.ok().and_then(|Path(text)| SkuId::new(&text));
    let sku = sku.ok_or_else(|| Problem::new(Code::SkuNotFound, "no SKU of this name"))?;
    let (_, stock) = call::stock(&gate, Command::ReadStock(sku)).await?;
    Ok(one_stock(false, &stock))
}

async fn stocks(State(gate): State<Arc<Gate>>, request: Request) -> Result<Response, Problem> {
    gate.operator(request.headers())?;
    let asked = SkusAsked::read(&gate, request.uri())?;
    let mut stocks = call::stocks(&gate, asked.after.as_ref(), asked.limit + 1, true).await?;
    let next = asked.cut(&mut stocks, |stock| &stock.sku);
    let mut json = Writer::with_capacity(512 * stocks.len() + 128);
    json.raw("{\"skus\":").list(&stocks, json::stock::stock);
    Ok(json_response(StatusCode::OK, end_of_skus(json, &gate, next.as_ref())))
}

async fn audit(State(gate): State<Arc<Gate>>, request: Request) -> Result<Response, Problem> {
    gate.operator(request.headers())?;
    query::none(request.uri())?;
    let stocks = every_stock(&gate).await?;
    let mut json = Writer::with_capacity(192 * stocks.len() + 64);
    json.raw("{\"skus\":").list(&stocks, |json, stock| {
        let counters = &stock.counters;
        json.raw("{\"sku\":\"").raw(stock.sku.as_str()).raw("\",");
        json::stock::counters(json, counters);
        let gone = counters.sold + counters.held + counters.withdrawn;
        json.raw(",\"sum\":").number(gone + counters.available);
        json.raw(",\"oversold\":").number(gone.saturating_sub(counters.received)).raw("}");
    });
    let oversold: u64 = stocks.iter().map(oversold).sum();
    json.raw(",\"oversold\":").number(oversold).raw(",\"sinks\":");
    crate::sinks::list(&mut json, &gate);
    json.raw("}");
    Ok(json_response(StatusCode::OK, json))
}

/// All stocks without their lots, gathered page by page, so that no shard is kept long.
async fn every_stock(gate: &Gate) -> Result<Vec<StockView>, Problem> {
    let most = gate.handle.limits().page_skus_max;
    let mut all: Vec<StockView> = Vec::new();
    loop {
        let page = call::stocks(gate, all.last().map(|last| &last.sku), most, false).await?;
        let is_last = page.len() < most;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

/// Units that were given away and never arrived (I1 says none).
fn oversold(stock: &StockView) -> u64 {
    let counters = &stock.counters;
    (counters.sold + counters.held + counters.withdrawn).saturating_sub(counters.received)
}

/// What a name must be.
pub(crate) const NAME_RANGE: &str = "must be 1 to 64 of [A-Za-z0-9._-]";

/// The body of an operator's request that changes something.
async fn admitted(gate: &Gate, request: &mut Request) -> Result<Bytes, Problem> {
    gate.operator(request.headers())?;
    body::check_length(request.body())?;
    body::check_media_type(request.headers())?;
    let bytes = read_in_time(request.body_mut()).await?;
    query::none(request.uri())?;
    Ok(bytes)
}

/// Reads a body under its ceiling and its deadline.
pub(crate) async fn read_in_time(body: &mut Body) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_PATIENCE, body::read(body)).await {
        Ok(read) => read,
        Err(_) => Err(Problem::invalid("the body did not come in time")),
    }
}

pub(crate) fn request_id(request: &Request) -> RequestId {
    request.extensions().get().copied().unwrap_or(RequestId::NONE)
}

/// The SKU that an operator names.
fn sku_name(path: &PathPart) -> Result<SkuId, Problem> {
    let sku = path.as_ref().ok().and_then(|Path(text)| SkuId::new(text));
    sku.ok_or_else(|| Problem::invalid(format!("sku: {NAME_RANGE}")))
}

fn quantity(fields: &Fields<'_, '_>) -> Result<Quantity, Problem> {
    let units = fields.integer("quantity", 1, u64::from(QUANTITY_MAX))?;
    Ok(Quantity::new(units as u32).expect("in range"))
}

fn one_stock(created: bool, stock: &StockView) -> Response {
    let mut json = Writer::with_capacity(512);
    json::stock::stock(&mut json, stock);
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = json_response(status, json);
    response.headers_mut().insert(ETAG, quoted(stock.revision));
    response
}
