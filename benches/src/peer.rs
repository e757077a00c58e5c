//! The yardsticks: HTTP servers that do part of what Sluice does, in its runtime layout (one
//! accepting thread, one current-thread worker) and with its socket options.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use sluice_core::id::HashKey;
use sluice_gateway::is_order;
use sluice_gateway::token::Signer;
use sluice_gateway::token::cache::TokenCache;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

/// The key of the peers' tokens.
pub const JWT_SECRET: &str = "a secret of benchmarks, 32 bytes";

/// An order as Sluice answers it, byte for byte as long.
const ANSWER: &str = r#"{"order_id":"01KA0000000000000000000000","version":1,"status":"reserved","buyer":"00000000-00000","items":[{"sku":"hot","quantity":1,"unit_price":100,"amount":100,"lots":[{"lot":"L1","quantity":1,"unit_price":100}]}],"amount":100,"currency":"CNY","created_at":"2026-11-11T00:00:00.012Z","expires_at":"2026-11-11T00:10:00.012Z"}"#;

/// Largest head of a request, as in Sluice.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// What a peer does with a request before it answers a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Peer {
    /// (a) Reads the body.
    Bare,
    /// (a2) Checks the token, its signature each time, reads the body, decodes the order.
    Checked,
    /// (a3) As (a2), but knows a token that it has checked before, as Sluice does.
    Cached,
}

struct Desk {
    peer: Peer,
    signer: Signer,
    hash_key: HashKey,
    tokens: RefCell<TokenCache>,
}

/// Serves on a free port, which it prints as `listening ADDRESS`, until the process is killed.
///
/// # Errors
/// What the system says if it cannot listen.
pub fn serve(peer: Peer) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel(256);
    std::thread::spawn(move || work(peer, receiver));
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

fn work(peer: Peer, mut receiver: mpsc::Receiver<std::net::TcpStream>) {
    let desk = Rc::new(Desk {
        peer,
        signer: Signer::new(JWT_SECRET.as_bytes()),
        hash_key: HashKey::new([1; 16]),
        tokens: RefCell::new(TokenCache::new()),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    LocalSet::new().block_on(&runtime, async move {
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
        let token = head.headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().get(7..));
        let allowed = token.is_some_and(|token| self.allows(token));
        let Ok(body) = body.collect().await else {
            return status(StatusCode::BAD_REQUEST);
        };
        let body = body.to_bytes();
        if !allowed {
            return status(StatusCode::UNAUTHORIZED);
        }
        if self.peer != Peer::Bare && !is_order(&body) {
            return status(StatusCode::BAD_REQUEST);
        }
        let mut response = Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())));
        *response.status_mut() = StatusCode::CREATED;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    fn allows(&self, token: &[u8]) -> bool {
        match self.peer {
            Peer::Bare => true,
            Peer::Checked => {
                self.signer.check(token).is_ok_and(|claims| claims.judge(wall_seconds()).is_ok())
            }
            Peer::Cached => {
                let mut tokens = self.tokens.borrow_mut();
                tokens.buyer(&self.signer, &self.hash_key, token, wall_seconds()).is_ok()
            }
        }
    }
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    response
}

#[expect(clippy::disallowed_methods, reason = "tokens are judged by the wall clock")]
fn wall_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
