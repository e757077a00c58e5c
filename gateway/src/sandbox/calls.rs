//! Calls that the sandbox makes to the webhook: over HTTP to the server's own address, signed like
//! anyone else's, and made again while the server does not answer or says that it cannot.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use smallvec::SmallVec;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use sluice_core::command::Notice;

use crate::clock;
use crate::ids::Ids;
use crate::problem::{Code, Problem};
use crate::webhook::notice;
use crate::webhook::signature::{Signer, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};

/// Most calls that may be to be made.
pub(super) const CALLS_MAX: usize = 1_024;

/// Most calls that are made at the same time.
const AT_ONCE_MAX: usize = 16;

/// Where calls go.
const WEBHOOK: &str = "/v1/webhooks/payments";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long after a call that was in vain the next is made; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Calls to make, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// How long the first one waits.
    pub(super) delay: Duration,
    /// How often all of them are made, again under the same ids.
    pub(super) times: u32,
    pub(super) notices: SmallVec<[Notice; 2]>,
}

impl Delivery {
    /// How many calls it makes.
    pub(super) fn calls(&self) -> u32 {
        self.times * self.notices.len() as u32
    }
}

/// What is to be called, and the places that it takes until it is done.
struct Scheduled {
    delivery: Delivery,
    _places: OwnedSemaphorePermit,
}

/// Where calls are put to be made.
#[derive(Clone)]
pub(crate) struct Schedule {
    sender: mpsc::Sender<Scheduled>,
    places: Arc<Semaphore>,
}

/// The other end of a schedule.
pub(crate) struct Added(mpsc::Receiver<Scheduled>);

impl Schedule {
    /// A schedule, and where what is added comes out.
    pub(crate) fn new() -> (Self, Added) {
        let (sender, receiver) = mpsc::channel(CALLS_MAX);
        (Self { sender, places: Arc::new(Semaphore::new(CALLS_MAX)) }, Added(receiver))
    }

    /// Adds calls, all or none.
    ///
    /// # Errors
    /// 503 if there is no place for them.
    pub(super) fn add(&self, delivery: Delivery) -> Result<(), Problem> {
        let full =
            || Problem::new(Code::Overloaded, "too many calls of the sandbox are to be made");
        let places = Arc::clone(&self.places).try_acquire_many_owned(delivery.calls());
        let places = places.map_err(|_| full())?;
        self.sender.try_send(Scheduled { delivery, _places: places }).map_err(|_| full())
    }
}

#[cfg(test)]
impl Added {
    /// Takes what was added next, and gives its places back.
    pub(super) async fn next(&mut self) -> Option<Delivery> {
        self.0.recv().await.map(|scheduled| scheduled.delivery)
    }

    /// The same, if there is something.
    pub(super) fn try_next(&mut self) -> Option<Delivery> {
        self.0.try_recv().ok().map(|scheduled| scheduled.delivery)
    }
}

/// Makes calls.
pub(crate) struct Caller {
    line: Arc<Line>,
    added: Added,
    ids: Ids,
}

impl Caller {
    /// Of a server that listens at `listener`.
    pub(crate) fn new(listener: SocketAddr, signer: Signer, added: Added) -> Self {
        let line =
            Line { address: reachable(listener), signer, at_once: Semaphore::new(AT_ONCE_MAX) };
        Self { line: Arc::new(line), added, ids: Ids::new() }
    }

    /// Makes calls until nobody can add any, and the last is made.
    pub(crate) async fn run(mut self) {
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                scheduled = self.added.0.recv() => {
                    let Some(scheduled) = scheduled else { break };
                    let id = || format!("sandbox_{}", self.ids.request());
                    let ids = std::iter::repeat_with(id).take(scheduled.delivery.notices.len());
                    let ids: SmallVec<[String; 2]> = ids.collect();
                    under_way.spawn(Arc::clone(&self.line).deliver(scheduled, ids));
                }
                Some(done) = under_way.join_next() => ended(done),
            }
        }
        while let Some(done) = under_way.join_next().await {
            ended(done);
        }
    }
}

fn ended(done: Result<(), tokio::task::JoinError>) {
    if let Err(error) = done {
        tracing::error!("a call of the sandbox: {error}");
    }
}

/// How the server is reached from inside: an address that stands for all is none to call.
pub(super) fn reachable(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("cannot connect: {0}")]
    Connect(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the answer did not come in time")]
    Late,
}

/// What all calls need.
struct Line {
    address: SocketAddr,
    signer: Signer,
    at_once: Semaphore,
}

impl Line {
    async fn deliver(self: Arc<Self>, scheduled: Scheduled, ids: SmallVec<[String; 2]>) {
        let delivery = &scheduled.delivery;
        sleep(delivery.delay).await;
        for _ in 0..delivery.times {
            for (notice, id) in delivery.notices.iter().zip(&ids) {
                self.call_until_answered(id, &Bytes::from(notice::body(notice))).await;
            }
        }
    }

    async fn call_until_answered(&self, id: &str, body: &Bytes) {
        let mut pause = FIRST_PAUSE;
        loop {
            let answer = {
                let _turn = self.at_once.acquire().await.expect("never closed");
                let call = timeout(PATIENCE, self.call(id, body.clone())).await;
                call.unwrap_or(Err(NoAnswer::Late))
            };
            match answer {
                Ok(status) if status.is_success() => return,
                Ok(status) if !is_passing(status) => {
                    return tracing::warn!("the webhook answered the sandbox with {status}");
                }
                Ok(status) => tracing::debug!("{id}: {status}, once more"),
                Err(error) => tracing::debug!("{id}: {error}, once more"),
            }
            sleep(pause).await;
            pause = PAUSE_MAX.min(2 * pause);
        }
    }

    /// One call, signed now.
    async fn call(&self, id: &str, body: Bytes) -> Result<StatusCode, NoAnswer> {
        let now = clock::wall_seconds();
        let request = Request::post(WEBHOOK)
            .header(HOST, self.address.to_string())
            .header(CONTENT_TYPE, "application/json")
            .header(WEBHOOK_ID, id)
            .header(WEBHOOK_TIMESTAMP, now)
            .header(WEBHOOK_SIGNATURE, self.signer.sign(id, now, &body))
            .body(Full::new(body))
            .expect("visible ASCII");
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Dropped, it ends with this call.
        let mut connecting = JoinSet::new();
        connecting.spawn(connection);
        Ok(sender.send_request(request).await?.status())
    }
}

/// Whether the same call may be answered otherwise later.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

#[cfg(test)]
pub(super) mod tests;
