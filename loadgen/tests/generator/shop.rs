//! A small shop that speaks the contract over real sockets, and breaks it where it is told to.
//!
//! It keeps everything in memory behind one lock and promises nothing about speed.

mod books;
mod fault;
mod payments;

pub(crate) use fault::Fault;
pub(crate) use payments::WEBHOOK_SECRET;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use books::Books;

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
        books.put(sku, units);
    }

    /// How many orders it remembers.
    pub(crate) fn orders(&self) -> usize {
        self.books().orders_count()
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
            (&Method::POST, ["v1", "orders", id, "payments"]) => {
                books.start_payment(&buyer(&bearer), id, fault)
            }
            (&Method::POST, ["v1", "webhooks", "payments"]) => {
                let signed = [header("webhook-id"), header("webhook-timestamp")];
                books.webhook(&signed, &header("webhook-signature"), &body, fault)
            }
            (&Method::GET, ["v1", "orders", "by-key", key]) => {
                books.read_by_key(&buyer(&bearer), key)
            }
            (&Method::GET, ["v1", "orders", id]) => books.read(&buyer(&bearer), id, fault),
            (&Method::GET, ["v1", "skus", sku]) => books.sku(sku),
            (&Method::PUT, ["admin", "v1", "skus", sku]) => books.put_sku(sku, &body),
            (&Method::POST, ["admin", "v1", "skus", sku, "lots"]) => books.put_lot(sku, &body),
            (&Method::GET, ["admin", "v1", "skus", sku]) => books.counters(sku, fault),
            (&Method::POST, ["admin", "v1", "orders", id, "refund"]) => books.refund(id, fault),
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
