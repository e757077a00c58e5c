//! Listening sockets and their ceilings: connections in all, and from one address.
//!
//! One thread accepts for all workers and deals connections out in turn, so that each worker has
//! its share whatever the kernel would do, and nobody else can listen on the same port. The
//! ceiling on connections in all is met by not accepting: the backlog pushes back for nothing.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sluice_core::metrics::Counter;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::error::{SendError, TrySendError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::ids::Ids;
use crate::problem::{Code, Problem};
use crate::shutdown::Stage;

use super::watched::canned;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4_096;

/// A connection with its place under the ceilings, which it gives up when dropped.
pub(crate) struct Accepted {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) place: Place,
}

/// A place under the ceilings.
pub(crate) struct Place {
    _in_all: OwnedSemaphorePermit,
    address: IpAddr,
    doorman: Arc<Doorman>,
}

/// Counts the connections of one listener.
pub(crate) struct Doorman {
    in_all: Arc<Semaphore>,
    per_address: Mutex<HashMap<IpAddr, usize>>,
    per_address_max: usize,
    open: AtomicUsize,
    /// Connections accepted.
    pub(crate) accepted: Counter,
    /// Connections turned away at the ceiling per address.
    pub(crate) turned_away: Counter,
    /// Times that accepting paused at the ceiling in all.
    pub(crate) paused: Counter,
}

impl Doorman {
    pub(crate) fn new(in_all_max: usize, per_address_max: usize) -> Self {
        Self {
            in_all: Arc::new(Semaphore::new(in_all_max)),
            per_address: Mutex::new(HashMap::new()),
            per_address_max,
            open: AtomicUsize::new(0),
            accepted: Counter::default(),
            turned_away: Counter::default(),
            paused: Counter::default(),
        }
    }

    /// Connections that are open now.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        let in_all = Arc::clone(&self.in_all);
        if let Ok(permit) = Arc::clone(&in_all).try_acquire_owned() {
            return permit;
        }
        self.paused.add(1);
        in_all.acquire_owned().await.expect("the semaphore is never closed")
    }

    fn admit(self: &Arc<Self>, permit: OwnedSemaphorePermit, address: IpAddr) -> Option<Place> {
        let mut counts = self.per_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        if *count >= self.per_address_max {
            return None;
        }
        *count += 1;
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(Place { _in_all: permit, address, doorman: Arc::clone(self) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.doorman.open.fetch_sub(1, Ordering::Relaxed);
        let mut counts = self.doorman.per_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// A socket that has its address and does not listen yet: whoever calls is refused.
pub(crate) struct Bound(Socket);

impl Bound {
    /// Takes an address.
    pub(crate) fn to(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(Self(socket))
    }

    /// Listens from now on.
    pub(crate) fn listen(self) -> io::Result<StdListener> {
        self.0.listen(BACKLOG)?;
        Ok(self.0.into())
    }
}

/// Accepts and deals out until the shutdown begins, or, for operators, until it ends.
pub(crate) async fn accept(
    listener: StdListener,
    doorman: Arc<Doorman>,
    workers: Vec<mpsc::Sender<Accepted>>,
    mut stage: watch::Receiver<Stage>,
    until: Stage,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut ids = Ids::new();
    let mut turn = 0;
    let over = async move {
        // An error means that whoever would say so is gone: over as well.
        let _ = stage.wait_for(|stage| *stage >= until).await;
    };
    let accepting = async {
        loop {
            let permit = doorman.permit().await;
            let (stream, peer) = next(&listener).await;
            match doorman.admit(permit, peer.ip()) {
                Some(place) => {
                    doorman.accepted.add(1);
                    let Ok(stream) = stream.into_std() else { continue };
                    turn = (turn + 1) % workers.len();
                    if hand_over(&workers, turn, Accepted { stream, place }).await.is_err() {
                        return;
                    }
                }
                None => {
                    doorman.turned_away.add(1);
                    turn_away(stream, &mut ids, doorman.per_address_max).await;
                }
            }
        }
    };
    tokio::select! {
        () = over => {}
        () = accepting => {}
    }
    Ok(())
}

/// Gives a connection to the worker whose turn it is, or to the next that has room; waits for the
/// first if none has.
async fn hand_over(
    workers: &[mpsc::Sender<Accepted>],
    turn: usize,
    mut accepted: Accepted,
) -> Result<(), SendError<Accepted>> {
    for worker in workers.iter().cycle().skip(turn).take(workers.len()) {
        match worker.try_send(accepted) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Full(back)) => accepted = back,
            Err(TrySendError::Closed(back)) => return Err(SendError(back)),
        }
    }
    workers[turn].send(accepted).await
}

/// The next connection; rests a moment when the process is out of file descriptors.
async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if error.raw_os_error().is_some_and(is_of_the_client) => {}
            Err(error) => {
                tracing::warn!("accept: {error}");
                tokio::time::sleep(super::pace::LOOK_EVERY).await;
            }
        }
    }
}

/// Whether an error of `accept` is about a connection that has gone meanwhile.
fn is_of_the_client(errno: i32) -> bool {
    use rustix::io::Errno;
    [Errno::CONNABORTED, Errno::INTR, Errno::PROTO, Errno::CONNRESET, Errno::NETUNREACH]
        .iter()
        .any(|known| known.raw_os_error() == errno)
}

/// Says 429 as far as the socket takes it at once, and closes. The limit is on connections open at
/// the same time: `quota` of them, of which none is left (draft-ietf-httpapi-ratelimit-headers).
async fn turn_away(mut stream: TcpStream, ids: &mut Ids, quota: usize) {
    let problem = Problem::new(Code::RateLimited, "too many connections from this address");
    let request = ids.request();
    let fields = format!(
        "ratelimit: \"connections\";r=0;t=1\r\nratelimit-policy: \"connections\";q={quota}\r\n"
    );
    let answer = canned(&fields, &problem, &problem.document(request), request);
    // A client that does not take it is closed all the same.
    let _ = stream.try_write(&answer);
    let _ = stream.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::{Accepted, Doorman, hand_over};
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn a_worker_that_is_stuck_does_not_keep_the_others_waiting() {
        let doorman = Arc::new(Doorman::new(9, 9));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let (stuck, _nobody_reads) = mpsc::channel(1);
        let (brisk, mut taken) = mpsc::channel(9);
        for number in 0..4 {
            let address = listener.local_addr().expect("bound");
            let stream = std::net::TcpStream::connect(address).expect("it listens");
            let place = doorman.admit(doorman.permit().await, address.ip()).expect("a place");
            let workers = [stuck.clone(), brisk.clone()];
            let handed = hand_over(&workers, number % 2, Accepted { stream, place }).await;
            assert!(handed.is_ok(), "{number}");
        }
        let mut count = 0;
        while taken.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!((count, stuck.capacity()), (3, 0));
    }

    #[tokio::test]
    async fn places_are_counted_in_all_and_per_address_and_given_back() {
        let doorman = Arc::new(Doorman::new(3, 2));
        let (one, two) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::BROADCAST));
        let first = doorman.admit(doorman.permit().await, one).expect("a place");
        let _second = doorman.admit(doorman.permit().await, one).expect("a place");
        assert!(doorman.admit(doorman.permit().await, one).is_none(), "two per address");
        let _third = doorman.admit(doorman.permit().await, two).expect("another address");
        assert_eq!((doorman.open(), doorman.in_all.available_permits()), (3, 0));
        drop(first);
        assert_eq!((doorman.open(), doorman.in_all.available_permits()), (2, 1));
        assert!(doorman.admit(doorman.permit().await, one).is_some());
    }
}
