//! The peers: HTTP servers in Sluice's runtime layout (one accepting thread, one current-thread
//! worker) and with its socket options. Some do part of what Sluice does, the others keep their
//! orders in Redis or PostgreSQL.

mod postgres;
mod redis;
mod store;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use sluice_core::command::Buyer;
use sluice_core::id::{HashKey, OrderId};
use sluice_core::time::Timestamp;
use sluice_gateway::one_line;
use sluice_gateway::token::Signer;
use sluice_gateway::token::cache::TokenCache;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::commands::random;
use store::{NewOrder, Placed, Store};

pub use postgres::options as postgres_options;
pub use redis::address as redis_address;
pub use store::{AVAILABLE_PREFIX, ORDER_PREFIX, SCHEMA, rehearse};

/// The key of the peers' tokens.
pub const JWT_SECRET: &str = "a secret of benchmarks, 32 bytes";

/// An order as Sluice answers it, byte for byte as long.
const ANSWER: &str = r#"{"order_id":"01KA0000000000000000000000","version":1,"status":"reserved","buyer":"00000000-00000","items":[{"sku":"hot","quantity":1,"unit_price":100,"amount":100,"lots":[{"lot":"L1","quantity":1,"unit_price":100}]}],"amount":100,"currency":"CNY","created_at":"2026-11-11T00:00:00.012Z","expires_at":"2026-11-11T00:10:00.012Z"}"#;

/// Largest head of a request, as in Sluice.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// How long a hold lasts, for the answer.
const HOLD_SECONDS: u32 = 600;

/// What a peer does with a request before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Peer {
    /// (a) Reads the body, answers a constant.
    Bare,
    /// (a2) Checks the token, its signature each time, reads the body, decodes the order, answers
    /// a constant.
    Checked,
    /// (a3) As (a2), but knows a token that it has checked before, as Sluice does.
    Cached,
    /// (r) As (a3), and runs one script in Redis for each order.
    Redis,
    /// (p) As (a3), and runs one statement in PostgreSQL for each order.
    Postgres,
}

/// How a contest starts a peer: its own program again, with these.
#[derive(Clone, Debug, clap::Args)]
pub struct PeerFlags {
    /// Serve as one of the peers
    #[arg(long, hide = true)]
    pub peer: Option<Peer>,
    /// Redis' socket, or the folder of PostgreSQL's
    #[arg(long, hide = true, default_value = "/nonexistent")]
    pub store: PathBuf,
    /// Connections to the store
    #[arg(long, hide = true, default_value_t = 1)]
    pub links: u32,
}

struct Desk {
    peer: Peer,
    signer: Signer,
    hash_key: HashKey,
    tokens: RefCell<TokenCache>,
    store: Store,
    /// Orders whose ids have been drawn.
    drawn: Cell<u64>,
}

/// What a request is before the store has seen it.
struct Asked {
    buyer: Buyer,
    key: String,
}

/// Serves on a free port, which it prints as `listening ADDRESS`, until the process is killed.
///
/// # Errors
/// If it cannot listen, or cannot reach its store.
pub fn serve(peer: Peer, flags: &PeerFlags) -> Result<()> {
    let (sender, receiver) = mpsc::channel(256);
    let (opened, ready) = std::sync::mpsc::sync_channel(1);
    let flags = flags.clone();
    std::thread::spawn(move || work(peer, &flags, receiver, &opened));
    ready.recv().context("the worker")??;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        println!("listening {}", listener.local_addr()?);
        io::stdout().flush()?;
        loop {
            let (stream, _) = listener.accept().await?;
            if sender.send(stream.into_std()?).await.is_err() {
                return Ok(());
            }
        }
    })
}

/// Opens the store, says through `opened` how that went, and serves connections.
fn work(
    peer: Peer,
    flags: &PeerFlags,
    mut receiver: mpsc::Receiver<std::net::TcpStream>,
    opened: &std::sync::mpsc::SyncSender<Result<()>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    LocalSet::new().block_on(&runtime, async move {
        let store = match Store::open(peer, &flags.store, flags.links).await {
            Ok(store) => store,
            Err(error) => return drop(opened.send(Err(error))),
        };
        // Whoever waits for it can only be gone with the whole process.
        let _ = opened.send(Ok(()));
        let desk = Rc::new(Desk {
            peer,
            signer: Signer::new(JWT_SECRET.as_bytes()),
            hash_key: HashKey::new([1; 16]),
            tokens: RefCell::new(TokenCache::new()),
            store,
            drawn: Cell::new(0),
        });
        while let Some(stream) = receiver.recv().await {
            let Ok(stream) = TcpStream::from_std(stream) else { continue };
            if stream.set_nodelay(true).is_ok() {
                tokio::task::spawn_local(connection(stream, Rc::clone(&desk)));
            }
        }
    });
}

async fn connection(stream: TcpStream, desk: Rc<Desk>) {
    let service = service_fn(move |request| {
        let desk = Rc::clone(&desk);
        async move { Ok::<_, Infallible>(desk.answer(request).await) }
    });
    // An error is the client's going.
    let _ = http1::Builder::new()
        .half_close(true)
        .writev(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Desk {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let asked = self.let_in(&head.headers);
        let Ok(body) = body.collect().await else {
            return status(StatusCode::BAD_REQUEST);
        };
        let body = body.to_bytes();
        let asked = match asked {
            Ok(asked) => asked,
            Err(refused) => return status(refused),
        };
        if self.peer == Peer::Bare {
            return document(Bytes::from_static(ANSWER.as_bytes()));
        }
        let Some((sku, quantity)) = one_line(&body) else {
            return status(StatusCode::BAD_REQUEST);
        };
        let Some(Asked { buyer, key }) = asked else {
            return document(Bytes::from_static(ANSWER.as_bytes()));
        };
        let drawn = self.drawn.get();
        self.drawn.set(drawn + 1);
        let now = wall_time();
        let order = NewOrder {
            id: OrderId::new(now, 1, buyer.slot, random(drawn)),
            buyer: &buyer.name,
            key: &key,
            sku: sku.as_str(),
            units: quantity.get(),
            created_at: now,
        };
        match self.store.place(&order).await {
            Ok(Placed::New) => document(written(&order, &order.id.to_string()).into()),
            Ok(Placed::Earlier(id)) => {
                let mut response = document(written(&order, &id).into());
                *response.status_mut() = StatusCode::OK;
                response
            }
            Ok(Placed::SoldOut | Placed::BuyerLimit) => status(StatusCode::CONFLICT),
            Err(error) => {
                eprintln!("an order: {error:#}");
                status(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// Who asks, where the peer wants to know for more than to let them in.
    fn let_in(&self, headers: &HeaderMap) -> Result<Option<Asked>, StatusCode> {
        let token = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().get(7..));
        let token = token.ok_or(StatusCode::UNAUTHORIZED)?;
        match self.peer {
            Peer::Bare => Ok(None),
            Peer::Checked => {
                let claims = self.signer.check(token).map_err(|_| StatusCode::UNAUTHORIZED)?;
                let judged = claims.judge(wall_time().millis() / 1_000);
                judged.map(|()| None).map_err(|_| StatusCode::UNAUTHORIZED)
            }
            Peer::Cached | Peer::Redis | Peer::Postgres => {
                let mut tokens = self.tokens.borrow_mut();
                let now = wall_time().millis() / 1_000;
                let checked = tokens.buyer(&self.signer, &self.hash_key, token, now);
                let buyer = checked.map_err(|_| StatusCode::UNAUTHORIZED)?.buyer;
                if self.peer == Peer::Cached {
                    return Ok(None);
                }
                let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
                let key = key.ok_or(StatusCode::BAD_REQUEST)?.to_owned();
                Ok(Some(Asked { buyer, key }))
            }
        }
    }
}

/// An order as Sluice writes it.
fn written(order: &NewOrder<'_>, id: &str) -> String {
    let NewOrder { buyer, sku, units, created_at, .. } = order;
    let expires_at = created_at.plus_seconds(HOLD_SECONDS).rfc_3339();
    let created_at = created_at.rfc_3339();
    let [created_at, expires_at] =
        [&created_at, &expires_at].map(|time| std::str::from_utf8(time).expect("ASCII"));
    let price = store::UNIT_PRICE;
    let amount = u64::from(*units) * price;
    format!(
        r#"{{"order_id":"{id}","version":1,"status":"reserved","buyer":"{buyer}","items":[{{"sku":"{sku}","quantity":{units},"unit_price":{price},"amount":{amount},"lots":[{{"lot":"L1","quantity":{units},"unit_price":{price}}}]}}],"amount":{amount},"currency":"CNY","created_at":"{created_at}","expires_at":"{expires_at}"}}"#
    )
}

fn document(json: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(json));
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    response
}

#[expect(clippy::disallowed_methods, reason = "tokens and orders bear the wall clock's time")]
fn wall_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp::from_micros(since.map_or(0, |since| since.as_micros() as u64))
}
