//! The hot path: `POST /v1/orders`.
//!
//! It decodes, submits and encodes, on the worker's own thread and without a task of its own. What
//! the answer's header repeats of its body (the request's id, the order's location) shares one
//! buffer with the body.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use hyper::{HeaderMap, Request, Response, StatusCode};
use smallvec::{SmallVec, smallvec};

use sluice_core::command::{Buyer, Command, Key, Place, PlaceLine};
use sluice_core::event::OrderStatus;
use sluice_core::id::RequestId;
use sluice_core::limits::KEY_BYTES_MAX;
use sluice_core::money::{AMOUNT_MAX, Amount};
use sluice_core::name::SkuId;
use sluice_core::outcome::{OrderView, Outcome, Refusal};
use sluice_core::quantity::{QUANTITY_MAX, Quantity};
use sluice_core::time::Timestamp;

use crate::body::{self, Body};
use crate::clock;
use crate::gate::{Gate, WorkerMetrics, bearer, single, unauthenticated};
use crate::ids::{DRAWS_MAX, Ids};
use crate::json::write::Writer;
use crate::json::{self, Document, Fields};
use crate::problem::{Code, Problem};
use crate::replies::{Replies, Reply};
use crate::service::{X_REQUEST_ID, shared_value};
use crate::token::cache::TokenCache;
use crate::wakes;
use crate::wire::pace::{Pace, Phase};

/// Lines of one order that a request may name.
const LINES_MAX: usize = 20;

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Where one worker takes orders.
pub(crate) struct OrderDesk {
    gate: Arc<Gate>,
    replies: Rc<Replies>,
    ids: Rc<RefCell<Ids>>,
    tokens: RefCell<TokenCache>,
    metrics: Arc<WorkerMetrics>,
}

/// What the head of a request says.
pub(crate) struct Asked {
    buyer: Buyer,
    /// What is wrong with it is said after what is wrong with the body's length.
    key: Result<Option<Key>, Problem>,
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    lines: SmallVec<[PlaceLine; 1]>,
    standby: bool,
    max_amount: Option<Amount>,
}

impl OrderDesk {
    pub(crate) fn new(
        gate: Arc<Gate>,
        replies: Rc<Replies>,
        ids: Rc<RefCell<Ids>>,
        metrics: Arc<WorkerMetrics>,
    ) -> Self {
        Self { gate, replies, ids, tokens: RefCell::new(TokenCache::new()), metrics }
    }

    /// Settles what the head of a request says, and gives its body to be read.
    pub(crate) fn let_in(&self, request: Request<Incoming>) -> Result<(Asked, Incoming), Problem> {
        self.shed()?;
        let buyer = self.buyer(request.headers())?;
        body::check_length(request.body())?;
        body::check_media_type(request.headers())?;
        let key = match request.uri().query() {
            None => idempotency_key(request.headers()),
            Some(_) => Err(Problem::invalid("query: this call takes no parameters")),
        };
        let key = key.map(|key| key.map(|key| Key::new(self.gate.handle.hash_key(), &buyer, key)));
        Ok((Asked { buyer, key }, request.into_body()))
    }

    /// Places an order.
    pub(crate) async fn place(
        &self,
        id: RequestId,
        pace: &Pace,
        asked: Asked,
        mut body: Incoming,
    ) -> Result<Response<Body>, Problem> {
        let bytes = body::read(&mut body).await?;
        drop(body);
        pace.enter(Phase::Serving);
        let mut wanted = Wanted::read(&bytes)?;
        let Asked { buyer, key } = asked;
        let key = key?;
        // Its body may have taken long; how long it waits for its turn counts from here.
        let arrived = self.gate.handle.now();
        for _ in 0..DRAWS_MAX {
            let place = self.command(id, arrived, buyer.clone(), wanted, key.clone());
            match self.submit(place, arrived)?.await {
                Ok(Outcome::Placed(order)) => return Ok(created(id, &order, &buyer.name)),
                Ok(Outcome::Repeated(order)) => return Ok(repeated(id, &order, &buyer.name)),
                Ok(Outcome::Refused(Refusal::IdTaken)) => wanted = Wanted::read(&bytes)?,
                Ok(Outcome::Refused(refusal)) => return Err(Problem::refused(refusal, arrived)),
                Ok(other) => {
                    tracing::error!("an order was answered with {other:?}");
                    return Err(Problem::new(
                        Code::Internal,
                        "the engine's answer is of another kind",
                    ));
                }
                Err(_late) => {
                    self.metrics.outcomes_unknown.add(1);
                    return Err(Problem::new(
                        Code::UnknownOutcome,
                        "the answer did not come in time",
                    ));
                }
            }
        }
        Err(Problem::refused(Refusal::IdTaken, arrived))
    }

    /// Puts an order in front of its shard, and gives the place where its answer will be.
    fn submit(&self, place: Command, arrived: Timestamp) -> Result<Reply, Problem> {
        let Some((reply, reply_to)) = self.replies.open() else { return Err(self.full()) };
        match self.gate.handle.submit_asleep(place, reply_to, arrived) {
            Ok(shard) => {
                wakes::later(&self.gate.handle, shard);
                Ok(reply)
            }
            Err(busy) => {
                reply.forget();
                Err(self.gate.busy(busy))
            }
        }
    }

    /// Refuses what could not be taken anyway, before it costs anything.
    fn shed(&self) -> Result<(), Problem> {
        if self.gate.is_draining() {
            return Err(Problem::new(Code::ShuttingDown, "no new orders are taken"));
        }
        if self.replies.is_full() { Err(self.full()) } else { Ok(()) }
    }

    fn full(&self) -> Problem {
        self.metrics.replies_full.add(1);
        Problem::new(Code::Overloaded, "too many requests are open")
    }

    fn buyer(&self, headers: &HeaderMap) -> Result<Buyer, Problem> {
        let token = bearer(headers)?;
        let (signer, hash_key) = (&self.gate.signer, self.gate.handle.hash_key());
        let now = clock::wall_seconds();
        let checked = self.tokens.borrow_mut().buyer(signer, hash_key, token, now);
        let checked = checked.map_err(unauthenticated)?;
        match checked.hit {
            true => self.metrics.tokens_known.add(1),
            false => self.metrics.tokens_checked.add(1),
        }
        Ok(checked.buyer)
    }

    fn command(
        &self,
        id: RequestId,
        arrived: Timestamp,
        buyer: Buyer,
        wanted: Wanted,
        key: Option<Key>,
    ) -> Command {
        let cell = self.gate.handle.cell();
        let Wanted { lines, standby, max_amount } = wanted;
        Command::Place(Box::new(Place {
            order: self.ids.borrow_mut().order(arrived, cell, buyer.slot),
            key,
            fingerprint: Place::fingerprint_of(&lines, standby, max_amount),
            buyer,
            lines,
            standby,
            max_amount,
            request: id,
        }))
    }
}

/// 201, or 202 if it waits, and where the order is.
fn created(id: RequestId, order: &OrderView, buyer: &str) -> Response<Body> {
    let mut json = Writer::with_capacity(512);
    json::order::order(&mut json, order, Some(buyer));
    let body_end = json.len();
    json.raw("/v1/orders/").id(order.order.ascii());
    let location_end = json.len();
    json.id(id.ascii());
    let bytes = Bytes::from(json.into_bytes());
    let mut response = Response::new(Body::Full(bytes.slice(..body_end)));
    *response.status_mut() = match order.status {
        OrderStatus::Waiting => StatusCode::ACCEPTED,
        _ => StatusCode::CREATED,
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(LOCATION, shared_value(bytes.slice(body_end..location_end)));
    headers.insert(X_REQUEST_ID, shared_value(bytes.slice(location_end..)));
    response
}

/// 200 with the order that an earlier request made.
fn repeated(id: RequestId, order: &OrderView, buyer: &str) -> Response<Body> {
    let mut response = created(id, order, buyer);
    *response.status_mut() = StatusCode::OK;
    let value = HeaderValue::from_static("true");
    response.headers_mut().insert(IDEMPOTENCY_REPLAYED, value);
    response
}

/// What `body` orders, if it decodes to an order of one line; for benchmarks, which weigh the way
/// to the engine.
pub fn one_line(body: &[u8]) -> Option<(SkuId, Quantity)> {
    match Wanted::read(body).ok()?.lines.as_slice() {
        [line] => Some((line.sku.clone(), line.quantity)),
        _ => None,
    }
}

impl Wanted {
    fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let document = Document::read(bytes)?;
        let fields = document.fields(&["sku", "quantity", "items", "standby", "max_amount"])?;
        let lines = match fields.optional_list("items")? {
            None => smallvec![line(&fields)?],
            Some(_) if fields.get("sku").is_some() => {
                return Err(fields.wrong("sku", "cannot stand beside items").into());
            }
            Some(_) if fields.get("quantity").is_some() => {
                return Err(fields.wrong("quantity", "cannot stand beside items").into());
            }
            Some(items) => lines_of(&fields, items)?,
        };
        let standby = fields.optional_bool("standby")?.unwrap_or(false);
        if standby && lines.len() > 1 {
            return Err(fields.wrong("standby", "an order of several lines cannot wait").into());
        }
        let max_amount = fields.optional_integer("max_amount", 0, AMOUNT_MAX)?;
        Ok(Self { lines, standby, max_amount: max_amount.and_then(Amount::new) })
    }
}

fn lines_of(
    fields: &Fields<'_, '_>,
    items: &[json::Value<'_>],
) -> Result<SmallVec<[PlaceLine; 1]>, Problem> {
    if !(1..=LINES_MAX).contains(&items.len()) {
        return Err(fields.wrong("items", format_args!("must have 1 to {LINES_MAX} lines")).into());
    }
    let mut lines: SmallVec<[PlaceLine; 1]> = SmallVec::new();
    for (index, item) in items.iter().enumerate() {
        lines.push(line(&Fields::of_element("items", index, item, &["sku", "quantity"])?)?);
    }
    lines.sort_unstable_by(|a, b| a.sku.cmp(&b.sku));
    match lines.windows(2).find(|pair| pair[0].sku == pair[1].sku) {
        Some(pair) => Err(fields.wrong("items", format_args!("sku {} twice", pair[0].sku)).into()),
        None => Ok(lines),
    }
}

fn line(fields: &Fields<'_, '_>) -> Result<PlaceLine, Problem> {
    let sku = SkuId::new(fields.text("sku")?);
    let sku = sku.ok_or_else(|| fields.wrong("sku", "must be 1 to 64 of [A-Za-z0-9._-]"))?;
    let units = fields.integer("quantity", 1, u64::from(QUANTITY_MAX))?;
    let quantity = Quantity::new(units as u32).expect("in range");
    Ok(PlaceLine { sku, quantity })
}

/// The key of a request: 1 … 255 of `[A-Za-z0-9._~:@+=-]`, not only dots, in quotes or without.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let value = single(headers, &IDEMPOTENCY_KEY)
        .map_err(|_| Problem::invalid("Idempotency-Key: given more than once"))?;
    let Some(value) = value else { return Ok(None) };
    match value.to_str().ok().and_then(plain_key) {
        Some(key) => Ok(Some(key)),
        None => Err(Problem::invalid(format!(
            "Idempotency-Key: must be 1 to {KEY_BYTES_MAX} of [A-Za-z0-9._~:@+=-], not only dots"
        ))),
    }
}

/// A key without its enclosing quotes, if it is one.
pub(crate) fn plain_key(text: &str) -> Option<&str> {
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._~:@+=-".contains(&byte);
    let right = (1..=KEY_BYTES_MAX).contains(&bare.len())
        && bare.bytes().all(allowed)
        && bare.bytes().any(|byte| byte != b'.');
    right.then_some(bare)
}

#[cfg(test)]
mod tests {
    use super::{Wanted, plain_key};
    use crate::problem::Code;

    #[test]
    fn one_line_is_read_in_either_form() {
        let short = Wanted::read(br#"{"sku":"a","quantity":2,"max_amount":9}"#).expect("right");
        let long =
            Wanted::read(br#"{"items":[{"quantity":2,"sku":"a"}],"standby":false,"max_amount":9}"#);
        assert_eq!(Ok(&short), long.as_ref());
        assert_eq!(short.lines[0].quantity.get(), 2);
        assert_eq!(short.max_amount.map(|amount| amount.minor()), Some(9));
    }

    #[test]
    fn lines_are_put_in_order() {
        let basket = br#"{"items":[{"sku":"b","quantity":2},{"sku":"a","quantity":1}]}"#;
        let lines = Wanted::read(basket).expect("right").lines;
        let named: Vec<_> =
            lines.iter().map(|line| (line.sku.as_str(), line.quantity.get())).collect();
        assert_eq!(named, [("a", 1), ("b", 2)]);
        let waits = Wanted::read(br#"{"sku":"a","quantity":1,"standby":true}"#).expect("right");
        assert!(waits.standby);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let lines: Vec<String> =
            (0..21).map(|n| format!("{{\"sku\":\"s{n}\",\"quantity\":1}}")).collect();
        let twenty_one = format!("{{\"items\":[{}]}}", lines.join(","));
        for (body, field) in [
            (r#"{"sku":"a"}"#, "quantity: is missing"),
            (r#"{"quantity":1}"#, "sku: is missing"),
            (r#"{"sku":"a","quantity":1000001}"#, "quantity: must be"),
            (r#"{"sku":"a b","quantity":1}"#, "sku: must be"),
            (r#"{"sku":"","quantity":1}"#, "sku: must be"),
            (r#"{"sku":null,"quantity":1}"#, "sku: must be a string, not null"),
            (r#"{"sku":"a","quantity":1,"items":[]}"#, "sku: cannot"),
            (r#"{"quantity":1,"items":[]}"#, "quantity: cannot"),
            (r#"{"items":[]}"#, "items: must have"),
            (r#"{"items":{}}"#, "items: must be a list"),
            (r#"{"items":[1]}"#, "items[0]: must be an object"),
            (r#"{"items":[{"sku":"a","quantity":1,"price":1}]}"#, "items[0].price: unknown"),
            (r#"{"items":[{"sku":"a","quantity":0}]}"#, "items[0].quantity: must"),
            (
                r#"{"items":[{"sku":"a","quantity":1},{"sku":"a","quantity":1}]}"#,
                "items: sku a twice",
            ),
            (
                r#"{"items":[{"sku":"a","quantity":1},{"sku":"b","quantity":1}],"standby":true}"#,
                "standby: an order of several",
            ),
            (&twenty_one, "items: must have 1 to 20"),
            (r#"{"sku":"a","quantity":1,"standby":null}"#, "standby: must"),
            (r#"{"sku":"a","quantity":1,"max_amount":null}"#, "max_amount: must"),
            (r#"{"sku":"a","quantity":1,"max_amount":9007199254740992}"#, "max_amount: must"),
            (r#"{"sku":"a","quantity":1,"buyer":"eve"}"#, "buyer: unknown field"),
            (r#"{"sku":"a","quantity":1,"price":1}"#, "price: unknown field"),
            (r#"{"sku":"a","quantity":1,"status":"paid"}"#, "status: unknown field"),
        ] {
            let problem = Wanted::read(body.as_bytes()).expect_err(body);
            assert_eq!(problem.code, Code::InvalidRequest, "{body}");
            assert!(problem.detail.starts_with(field), "{body}: {}", problem.detail);
        }
    }

    #[test]
    fn keys_keep_to_their_alphabet() {
        let long = "k".repeat(255);
        for (text, key) in
            [("a", "a"), ("\"a\"", "a"), ("A.z_0~:@+=-", "A.z_0~:@+=-"), ("a..", "a..")]
        {
            assert_eq!(plain_key(text), Some(key), "{text}");
        }
        assert!(plain_key(&long).is_some() && plain_key(&format!("{long}k")).is_none());
        for wrong in
            ["", ".", "...", "\"\"", "\"a", "a\"", "\"\"a\"\"", "a b", "a/b", "a,b", "é", "{}"]
        {
            assert_eq!(plain_key(wrong), None, "{wrong}");
        }
    }
}
