//! A small shop that speaks the contract over real sockets, and breaks it where it is told to.
//!
//! It keeps everything in memory behind one lock and promises nothing about speed.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// What the shop does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Sells whether or not there is stock.
    Oversells,
    /// Forgets every third order it acknowledged.
    LosesOrders,
    /// Tells another price when an order is read.
    ChangesOrders,
    /// Makes a new order for a key it has seen.
    ForgetsKeys,
    /// Acknowledges the first order to everyone.
    SharesOrder,
    /// Lets buyers have more than the limit.
    IgnoresLimit,
    /// Counts fewer units than it sells.
    Miscounts,
    /// Makes every third order, and cuts the connection instead of answering the first time.
    CutsAfterOrder,
    /// Makes every third order, and never answers the first time.
    FallsSilent,
    /// Refuses every second order with 503.
    IsOverloaded,
    /// Closes the connection after each answer.
    ClosesEach,
    /// Answers in chunks.
    Chunks,
    /// Speaks no JSON.
    Mumbles,
    /// Holds orders for 20 ms, and says so.
    HoldsBriefly,
    /// Holds orders for 20 ms by their own words, and never lets them go.
    NeverExpires,
    /// Lets every order go at once, whatever its deadline.
    ExpiresEarly,
    /// Acknowledges cancels and keeps the orders.
    KeepsCancelled,
    /// Cancels orders and keeps their units.
    KeepsUnits,
    /// Gives the units of cancelled orders back twice.
    ReturnsTwice,
    /// Refuses to cancel what is reserved.
    RefusesCancels,
    /// Cancels every third order by itself.
    CancelsByItself,
    /// Refuses to repeat an order.
    RefusesRepeats,
}

/// How long orders are held, in microseconds.
const HOLD_US: i64 = 600_000_000;
const BRIEF_HOLD_US: i64 = 20_000;

/// When the shop opens: 2026-11-11, in microseconds since 1970.
const OPENING_US: i64 = 1_794_355_200_000_000;

/// The orders and stock of the shop.
#[derive(Debug)]
struct Books {
    opened: Instant,
    stock: HashMap<String, u64>,
    received: HashMap<String, u64>,
    limit: u64,
    orders: HashMap<String, Value>,
    keys: HashMap<(String, String), String>,
    units: HashMap<(String, String), u64>,
    seen: u64,
}

/// A running shop; it ends when dropped.
pub(crate) struct Shop {
    address: SocketAddr,
    books: Arc<Mutex<Books>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Shop {
    /// Opens a shop on a free port.
    pub(crate) fn open(fault: Fault) -> Shop {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let books = Arc::new(Mutex::new(Books::new()));
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&books);
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, shared, fault) => {}
                    _ = stopped => {}
                }
            });
        });
        Shop { address, books, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Puts units on the shelf without an operator.
    pub(crate) fn put(&self, sku: &str, units: u64) {
        let mut books = self.books();
        books.stock.insert(sku.to_owned(), units);
        books.received.insert(sku.to_owned(), units);
    }

    /// How many orders it remembers.
    pub(crate) fn orders(&self) -> usize {
        self.books().orders.len()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn serve(listener: std::net::TcpListener, books: Arc<Mutex<Books>>, fault: Fault) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let books = Arc::clone(&books);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &books, fault));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    books: &Mutex<Books>,
    fault: Fault,
) -> io::Result<Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let header = |name: &str| {
        head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let bearer = header("authorization").trim_start_matches("Bearer ").to_owned();
    let key = header("idempotency-key");
    let path: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
    let outcome = {
        let mut books = books.lock().unwrap();
        books.expire(fault);
        match (&head.method, path.as_slice()) {
            (&Method::POST, ["v1", "orders"]) => books.order(&buyer(&bearer), &key, &body, fault),
            (&Method::POST, ["v1", "orders", id, "cancel"]) => {
                books.cancel(&buyer(&bearer), id, fault)
            }
            (&Method::GET, ["v1", "orders", id]) => books.read(&buyer(&bearer), id, fault),
            (&Method::GET, ["v1", "skus", sku]) => books.sku(sku),
            (&Method::PUT, ["admin", "v1", "skus", sku]) => books.put_sku(sku, &body),
            (&Method::POST, ["admin", "v1", "skus", sku, "lots"]) => books.put_lot(sku, &body),
            (&Method::GET, ["admin", "v1", "skus", sku]) => books.counters(sku, fault),
            (&Method::GET, ["admin", "v1", "audit"]) => Reply::new(200, json!({"oversold": 0})),
            _ => Reply::refusal(404, "not_found"),
        }
    };
    match outcome.silence {
        Some(Silence::Cut) => Err(io::Error::other("cut")),
        Some(Silence::Forever) => std::future::pending().await,
        None => Ok(outcome.into_response(fault)),
    }
}

/// A time as the contract writes it: in milliseconds, the rest cut.
fn time(us: i64) -> String {
    Timestamp::from_millisecond(us.div_euclid(1_000)).unwrap().to_string()
}

#[expect(clippy::disallowed_methods, reason = "a shop has a clock")]
fn instant() -> Instant {
    Instant::now()
}

/// The `sub` of a token, taken on trust.
fn buyer(token: &str) -> String {
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Value = serde_json::from_slice(&claims.unwrap_or_default()).unwrap_or_default();
    claims["sub"].as_str().unwrap_or_default().to_owned()
}

enum Silence {
    Cut,
    Forever,
}

struct Reply {
    status: u16,
    body: Value,
    replayed: bool,
    silence: Option<Silence>,
}

impl Reply {
    fn new(status: u16, body: Value) -> Reply {
        Reply { status, body, replayed: false, silence: None }
    }

    fn refusal(status: u16, code: &str) -> Reply {
        Reply::new(
            status,
            json!({"type": format!("urn:sluice:{code}"), "status": status, "code": code}),
        )
    }

    fn into_response(
        self,
        fault: Fault,
    ) -> Response<http_body_util::combinators::BoxBody<Bytes, Infallible>> {
        let mut response = Response::builder().status(StatusCode::from_u16(self.status).unwrap());
        if self.replayed {
            response = response.header("Idempotency-Replayed", "true");
        }
        if self.status == 503 {
            response = response.header("Retry-After", "0");
        }
        if fault == Fault::ClosesEach {
            response = response.header("Connection", "close");
        }
        let text = if fault == Fault::Mumbles && self.status == 201 {
            "ok".to_owned()
        } else {
            self.body.to_string()
        };
        let body = if fault == Fault::Chunks {
            // A body whose length is not known beforehand is sent in chunks.
            Full::new(Bytes::from(text)).with_trailers(async { None }).boxed()
        } else {
            Full::new(Bytes::from(text)).boxed()
        };
        response.body(body).unwrap()
    }
}

impl Books {
    fn new() -> Books {
        Books {
            opened: instant(),
            stock: HashMap::new(),
            received: HashMap::new(),
            limit: 0,
            orders: HashMap::new(),
            keys: HashMap::new(),
            units: HashMap::new(),
            seen: 0,
        }
    }

    fn now_us(&self) -> i64 {
        OPENING_US + i64::try_from(instant().duration_since(self.opened).as_micros()).unwrap()
    }

    /// Ends the holds that are over.
    fn expire(&mut self, fault: Fault) {
        let now = self.now_us();
        let is_over = |order: &Value| {
            let deadline = order["expires_at"].as_str().map(|text| text.parse().unwrap());
            let is_over =
                deadline.is_some_and(|deadline: Timestamp| deadline.as_microsecond() <= now);
            order["status"] == "reserved" && (is_over || fault == Fault::ExpiresEarly)
        };
        if fault == Fault::NeverExpires {
            return;
        }
        let over: Vec<String> = self
            .orders
            .iter()
            .filter(|(_, order)| is_over(order))
            .map(|(id, _)| id.clone())
            .collect();
        for id in over {
            self.end(&id, "expired", 1);
        }
    }

    /// Ends a hold, and gives its units back so many times.
    fn end(&mut self, id: &str, status: &str, times: u64) {
        let order = self.orders.get_mut(id).unwrap();
        order["status"] = json!(status);
        order["version"] = json!(2);
        order.as_object_mut().unwrap().remove("expires_at");
        let quantity = order["items"][0]["quantity"].as_u64().unwrap();
        let sku = order["items"][0]["sku"].as_str().unwrap().to_owned();
        let buyer = order["buyer"].as_str().unwrap().to_owned();
        *self.stock.get_mut(&sku).unwrap() += times * quantity;
        *self.units.get_mut(&(buyer, sku)).unwrap() -= quantity;
    }

    fn cancel(&mut self, buyer: &str, id: &str, fault: Fault) -> Reply {
        let Some(order) = self.orders.get(id).filter(|order| order["buyer"] == buyer) else {
            return Reply::refusal(404, "order_not_found");
        };
        match order["status"].as_str().unwrap() {
            "reserved" if fault != Fault::RefusesCancels => {}
            "cancelled" => return Reply::new(200, order.clone()),
            _ => return Reply::refusal(409, "order_state"),
        }
        let before = order.clone();
        let times = match fault {
            Fault::KeepsUnits => 0,
            Fault::ReturnsTwice => 2,
            _ => 1,
        };
        self.end(id, "cancelled", times);
        let reply = Reply::new(200, self.orders[id].clone());
        if fault == Fault::KeepsCancelled {
            self.orders.insert(id.to_owned(), before);
        }
        reply
    }

    fn order(&mut self, buyer: &str, key: &str, body: &[u8], fault: Fault) -> Reply {
        let known = (buyer.to_owned(), key.to_owned());
        if let Some(id) = self.keys.get(&known)
            && fault != Fault::ForgetsKeys
        {
            if fault == Fault::RefusesRepeats {
                return Reply::refusal(409, "sold_out");
            }
            let mut reply = Reply::new(200, self.orders.get(id).cloned().unwrap_or_default());
            reply.replayed = true;
            return reply;
        }
        self.seen += 1;
        if fault == Fault::IsOverloaded && self.seen.is_multiple_of(2) {
            return Reply::refusal(503, "overloaded");
        }
        let request: Value = serde_json::from_slice(body).unwrap();
        let sku = request["sku"].as_str().unwrap().to_owned();
        let quantity = request["quantity"].as_u64().unwrap();
        let units = self.units.entry((buyer.to_owned(), sku.clone())).or_default();
        if self.limit > 0 && *units + quantity > self.limit && fault != Fault::IgnoresLimit {
            return Reply::refusal(409, "buyer_limit");
        }
        let Some(stock) = self.stock.get_mut(&sku) else {
            return Reply::refusal(404, "sku_not_found");
        };
        if *stock < quantity && fault != Fault::Oversells {
            return Reply::refusal(409, "sold_out");
        }
        *units += quantity;
        *stock = stock.saturating_sub(quantity);
        self.make(buyer, key, &sku, quantity, fault)
    }

    fn make(&mut self, buyer: &str, key: &str, sku: &str, quantity: u64, fault: Fault) -> Reply {
        let id = format!("01KA{:022}", self.seen);
        let now = self.now_us();
        let hold = match fault {
            Fault::HoldsBriefly | Fault::NeverExpires => BRIEF_HOLD_US,
            _ => HOLD_US,
        };
        let order = json!({
            "order_id": id, "version": 1, "status": "reserved", "buyer": buyer,
            "items": [{"sku": sku, "quantity": quantity, "unit_price": 5, "amount": 5 * quantity,
                       "lots": [{"lot": "L1", "quantity": quantity, "unit_price": 5}]}],
            "amount": 5 * quantity, "currency": "CNY",
            "created_at": time(now), "expires_at": time(now + hold),
        });
        let third = self.seen.is_multiple_of(3);
        if fault == Fault::SharesOrder
            && let Some(first) = self.orders.values().next()
        {
            return Reply::new(201, first.clone());
        }
        if !(fault == Fault::LosesOrders && third) {
            self.orders.insert(id.clone(), order.clone());
            self.keys.insert((buyer.to_owned(), key.to_owned()), id.clone());
        }
        if fault == Fault::CancelsByItself && third {
            self.end(&id, "cancelled", 1);
        }
        let mut reply = Reply::new(201, order);
        reply.silence = match fault {
            Fault::CutsAfterOrder if third => Some(Silence::Cut),
            Fault::FallsSilent if third => Some(Silence::Forever),
            _ => None,
        };
        reply
    }

    fn read(&self, buyer: &str, id: &str, fault: Fault) -> Reply {
        match self.orders.get(id) {
            Some(order) if order["buyer"] == buyer => {
                let mut order = order.clone();
                if fault == Fault::ChangesOrders {
                    order["amount"] = json!(1);
                }
                Reply::new(200, order)
            }
            _ => Reply::refusal(404, "order_not_found"),
        }
    }

    fn sku(&self, sku: &str) -> Reply {
        match self.stock.get(sku) {
            Some(available) => {
                Reply::new(200, json!({"sku": sku, "available": available, "status": "on_sale"}))
            }
            None => Reply::refusal(404, "sku_not_found"),
        }
    }

    fn put_sku(&mut self, sku: &str, body: &[u8]) -> Reply {
        let body: Value = serde_json::from_slice(body).unwrap();
        self.limit = body["per_buyer_limit"].as_u64().unwrap();
        self.stock.entry(sku.to_owned()).or_default();
        Reply::new(201, json!({"sku": sku}))
    }

    fn put_lot(&mut self, sku: &str, body: &[u8]) -> Reply {
        let body: Value = serde_json::from_slice(body).unwrap();
        let quantity = body["quantity"].as_u64().unwrap();
        *self.stock.entry(sku.to_owned()).or_default() += quantity;
        *self.received.entry(sku.to_owned()).or_default() += quantity;
        Reply::new(201, json!({"lot": body["lot"]}))
    }

    fn counters(&self, sku: &str, fault: Fault) -> Reply {
        let (received, available) = (self.received[sku], self.stock[sku]);
        let held = received.saturating_sub(available)
            - u64::from(fault == Fault::Miscounts && received > available);
        let body = json!({"sku": sku, "received": received, "available": available, "held": held, "sold": 0, "withdrawn": 0});
        Reply::new(200, body)
    }
}
