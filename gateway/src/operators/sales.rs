//! What operators do with sales.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use hyper::StatusCode;
use hyper::header::ETAG;

use sluice_core::command::{Command, DefineSale};
use sluice_core::event::SaleMove;
use sluice_core::limits::TEXT_BYTES_MAX;
use sluice_core::name::{SaleId, SkuId};
use sluice_core::outcome::SaleView;
use sluice_core::time::Timestamp;

use crate::buyers::{self, PathPart, json_response, quoted};
use crate::gate::Gate;
use crate::json::write::Writer;
use crate::json::{self, Document, Fields, Value};
use crate::preconditions::if_match;
use crate::problem::Problem;
use crate::refusals::no_such_sale;
use crate::sales::{SalesAsked, end_of_sales};
use crate::{call, operators, query};

pub(super) async fn define(
    State(gate): State<Arc<Gate>>,
    path: PathPart,
    mut request: Request,
) -> Result<Response, Problem> {
    let bytes = operators::admitted(&gate, &mut request).await?;
    let document = Document::read(&bytes)?;
    let fields = document.fields(&["name", "starts_at", "ends_at", "skus", "per_buyer_limit"])?;
    let sale = path.ok().and_then(|Path(text)| SaleId::new(&text));
    let sale = sale.ok_or_else(|| Problem::invalid(format!("sale: {}", operators::NAME_RANGE)))?;
    let (starts_at, ends_at) = (time(&fields, "starts_at")?, time(&fields, "ends_at")?);
    if starts_at >= ends_at {
        return Err(fields.wrong("ends_at", "must be later than starts_at").into());
    }
    let mut define = DefineSale {
        sale: sale.clone(),
        title: Box::from(fields.plain_text("name", TEXT_BYTES_MAX)?),
        starts_at,
        ends_at,
        per_buyer_limit: fields.integer("per_buyer_limit", 0, u64::from(u32::MAX))? as u32,
        skus: skus(&fields, gate.handle.limits().skus_per_sale_max)?,
        if_revision: None,
        request: operators::request_id(&request),
    };
    let present = async || Ok(gate.handle.board().sale(&sale).map(|sale| sale.revision));
    define.if_revision = if_match(request.headers())?.revision(present).await?;
    let (created, sale) = call::sale(&gate, Command::DefineSale(Box::new(define))).await?;
    Ok(one_sale(&gate, created, &sale))
}

pub(super) async fn pause(
    State(gate): State<Arc<Gate>>,
    path: PathPart,
    request: Request,
) -> Result<Response, Problem> {
    moved(&gate, path, request, SaleMove::Paused).await
}

pub(super) async fn resume(
    State(gate): State<Arc<Gate>>,
    path: PathPart,
    request: Request,
) -> Result<Response, Problem> {
    moved(&gate, path, request, SaleMove::Resumed).await
}

pub(super) async fn end(
    State(gate): State<Arc<Gate>>,
    path: PathPart,
    request: Request,
) -> Result<Response, Problem> {
    moved(&gate, path, request, SaleMove::Ended).await
}

async fn moved(
    gate: &Gate,
    path: PathPart,
    mut request: Request,
    to: SaleMove,
) -> Result<Response, Problem> {
    gate.operator(request.headers())?;
    buyers::empty_body(&mut request).await?;
    query::none(request.uri())?;
    let sale = path.ok().and_then(|Path(text)| SaleId::new(&text)).ok_or_else(no_such_sale)?;
    let request = operators::request_id(&request);
    let (created, sale) = call::sale(gate, Command::MoveSale { sale, to, request }).await?;
    Ok(one_sale(gate, created, &sale))
}

pub(super) async fn one(
    State(gate): State<Arc<Gate>>,
    path: PathPart,
    request: Request,
) -> Result<Response, Problem> {
    gate.operator(request.headers())?;
    query::none(request.uri())?;
    let sale = crate::sales::find(&gate, &path)?;
    Ok(one_sale(&gate, false, &sale))
}

pub(super) async fn list(
    State(gate): State<Arc<Gate>>,
    request: Request,
) -> Result<Response, Problem> {
    gate.operator(request.headers())?;
    let (sales, next) = SalesAsked::read(request.uri())?.find(&gate);
    let now = gate.handle.now();
    let mut json = Writer::with_capacity(512 * sales.len() + 128);
    json.raw("{\"sales\":").list(&sales, |json, sale| json::sale::sale(json, sale, now));
    Ok(json_response(StatusCode::OK, end_of_sales(json, next.as_ref(), now)))
}

fn one_sale(gate: &Gate, created: bool, sale: &SaleView) -> Response {
    let mut json = Writer::with_capacity(512);
    json::sale::sale(&mut json, sale, gate.handle.now());
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = json_response(status, json);
    response.headers_mut().insert(ETAG, quoted(sale.revision));
    response
}

/// The SKUs of a sale, sorted, each once.
fn skus(fields: &Fields<'_, '_>, most: usize) -> Result<Vec<SkuId>, Problem> {
    let wrong = |what: &dyn std::fmt::Display| Problem::from(fields.wrong("skus", what));
    let listed = fields.optional_list("skus")?.ok_or_else(|| wrong(&"is missing"))?;
    if listed.len() > most {
        return Err(wrong(&format_args!("must have at most {most} SKUs")));
    }
    let mut skus = Vec::with_capacity(listed.len());
    for (place, value) in listed.iter().enumerate() {
        let Value::Text(text) = value else {
            return Err(Problem::invalid(format!("skus[{place}]: must be a string")));
        };
        let sku = SkuId::new(text);
        skus.push(sku.ok_or_else(|| {
            Problem::invalid(format!("skus[{place}]: {}", operators::NAME_RANGE))
        })?);
    }
    skus.sort_unstable();
    match skus.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(wrong(&format_args!("{} twice", pair[0]))),
        None => Ok(skus),
    }
}

/// A moment: RFC 3339 with its offset from UTC, to the microsecond.
fn time(fields: &Fields<'_, '_>, name: &str) -> Result<Timestamp, Problem> {
    let range = "must be a time as in RFC 3339 with its offset, 1970 to 9999";
    moment(fields.text(name)?).ok_or_else(|| fields.wrong(name, range).into())
}

fn moment(text: &str) -> Option<Timestamp> {
    // The parser takes more than RFC 3339 does: dates with spaces, weeks, names of zones.
    // Its T and Z may be lower case (RFC 3339, 5.6).
    let text = text.to_ascii_uppercase();
    let shape = text.as_bytes().get(10) == Some(&b'T')
        && text.bytes().all(|b| b.is_ascii_digit() || b"-+:.TZ".contains(&b))
        && (text.ends_with('Z') || text.as_bytes().iter().rev().nth(2) == Some(&b':'))
        && (20..=35).contains(&text.len());
    let parsed: jiff::Timestamp = text.parse().ok().filter(|_| shape)?;
    let micros = u64::try_from(parsed.as_microsecond()).ok()?;
    (micros <= Timestamp::MAX.micros()).then(|| Timestamp::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn moments_are_read_as_rfc_3339_says() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-11T00:00:00Z", 1_794_355_200_000_000),
            ("2026-11-11T08:00:00+08:00", 1_794_355_200_000_000),
            ("2026-11-10T19:30:00.5-04:30", 1_794_355_200_500_000),
            ("2026-11-11T00:00:00.012345Z", 1_794_355_200_012_345),
            ("2026-11-11t00:00:00z", 1_794_355_200_000_000),
            ("2026-11-11t08:00:00.5+08:00", 1_794_355_200_500_000),
        ] {
            assert_eq!(moment(text).map(|moment| moment.micros()), Some(micros), "{text}");
        }
        for wrong in [
            "",
            "2026-11-11",
            "2026-11-11T00:00:00",
            "2026-11-11 00:00:00Z",
            "2026-11-11T00:00:00zz",
            "t026-11-11T00:00:00z",
            "2026-11-11T00:00:00+0800",
            "2026-11-11T00:00:00+08",
            "2026-11-11T00:00:00[UTC]",
            "2026-11-11T00:00:00+08:00[Asia/Shanghai]",
            "2026-02-30T00:00:00Z",
            "2026-11-11T24:00:01Z",
            "1969-12-31T23:59:59Z",
            "20261111T000000Z",
            "2026-11-11T00:00Z",
            "+002026-11-11T00:00:00Z",
            "1794355200",
        ] {
            assert_eq!(moment(wrong).map(|moment| moment.micros()), None, "{wrong}");
        }
    }
}
