//! What operators do: SKUs, lots, withdrawals, and what there is to see.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use hyper::header::{ETAG, IF_MATCH};
use hyper::{HeaderMap, StatusCode};

use sluice_core::command::{Command, DefineSku, ReceiveLot, Withdraw};
use sluice_core::id::RequestId;
use sluice_core::limits::TEXT_BYTES_MAX;
use sluice_core::money::{AMOUNT_MAX, Amount, Currency};
use sluice_core::name::{LotId, SkuId, WithdrawalId};
use sluice_core::outcome::StockView;
use sluice_core::quantity::{QUANTITY_MAX, Quantity};

use crate::buyers::{json_response, quoted};
use crate::gate::Gate;
use crate::json::write::Writer;
use crate::json::{self, Document, Fields};
use crate::problem::{Code, Problem};
use crate::routes::{self, Listener};
use crate::skus::{SkusAsked, end_of_skus};
use crate::{body, call, ops, query, sinks};

/// How long a body may take to come in.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// Longest hold that may be set: a year.
const HOLD_SECONDS_MAX: u64 = 366 * 86_400;

type PathPart = Result<Path<String>, PathRejection>;

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
    define.if_revision = match if_match(request.headers())? {
        IfMatch::Nothing => None,
        IfMatch::Revisions(revisions) if revisions.len() == 1 => Some(revisions[0]),
        wanted => Some(present_revision(&gate, sku, &wanted).await?),
    };
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
    Ok(json_response(StatusCode::OK, end_of_skus(json, &gate, next)))
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
    sinks::list(&mut json, &gate);
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

const NAME_RANGE: &str = "must be 1 to 64 of [A-Za-z0-9._-]";

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

fn request_id(request: &Request) -> RequestId {
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

/// What `If-Match` says (RFC 9110, 13.1.1).
#[derive(Debug, PartialEq, Eq)]
enum IfMatch {
    /// It is not there.
    Nothing,
    /// `*`: the SKU must exist.
    Existing,
    /// One of these; other tags were never given out.
    Revisions(Vec<u32>),
}

fn if_match(headers: &HeaderMap) -> Result<IfMatch, Problem> {
    let wrong = || Problem::invalid("If-Match: must be * or quoted revisions");
    let mut revisions = Vec::new();
    let mut given = false;
    for value in headers.get_all(IF_MATCH) {
        given = true;
        let text = value.to_str().map_err(|_| wrong())?.trim();
        if text == "*" {
            return Ok(IfMatch::Existing);
        }
        for tag in text.split(',').map(str::trim) {
            let bare = tag.strip_prefix("W/").unwrap_or(tag);
            let number = bare.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            let number = number.ok_or_else(wrong)?;
            // A weak tag never matches strongly; revisions count from 1.
            let revision = number.parse().ok().filter(|revision: &u32| {
                bare == tag && *revision > 0 && revision.to_string() == number
            });
            revisions.extend(revision);
        }
    }
    Ok(if given { IfMatch::Revisions(revisions) } else { IfMatch::Nothing })
}

/// The revision that a SKU is at, if it is one of those wanted.
async fn present_revision(gate: &Gate, sku: SkuId, wanted: &IfMatch) -> Result<u32, Problem> {
    let found = match call::stock(gate, Command::ReadStock(sku)).await {
        Ok((_, stock)) => Some(stock.revision),
        Err(problem) if problem.code == Code::SkuNotFound => None,
        Err(problem) => return Err(problem),
    };
    let right = found.filter(|found| match wanted {
        IfMatch::Revisions(revisions) => revisions.contains(found),
        IfMatch::Existing | IfMatch::Nothing => true,
    });
    right.ok_or_else(|| {
        Problem::new(Code::PreconditionFailed, "If-Match: the SKU is at another revision, or none")
    })
}

#[cfg(test)]
mod tests {
    use super::{IfMatch, if_match};
    use hyper::HeaderMap;
    use hyper::header::{HeaderValue, IF_MATCH};

    fn read(values: &[&str]) -> Option<IfMatch> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IF_MATCH, HeaderValue::from_str(value).expect("a value"));
        }
        if_match(&headers).ok()
    }

    #[test]
    fn entity_tags_are_read_as_rfc_9110_says() {
        assert_eq!(read(&[]), Some(IfMatch::Nothing));
        assert_eq!(read(&["*"]), Some(IfMatch::Existing));
        assert_eq!(read(&["\"7\""]), Some(IfMatch::Revisions(vec![7])));
        assert_eq!(read(&["\"7\", \"8\"", "\"9\""]), Some(IfMatch::Revisions(vec![7, 8, 9])));
        for never in ["W/\"7\"", "\"x\"", "\"07\"", "\"0\"", "\"+7\"", "\"\""] {
            assert_eq!(read(&[never]), Some(IfMatch::Revisions(vec![])), "{never}");
        }
        for wrong in ["7", "\"7", "", "\"7\" \"8\""] {
            assert!(!matches!(read(&[wrong]), Some(IfMatch::Revisions(tags)) if !tags.is_empty()));
        }
    }
}
