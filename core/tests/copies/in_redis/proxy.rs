//! What stands between a sink and its Redis: a proxy that loses an answer, or leads elsewhere.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// How the call of a batch begins; the source of the functions has their names too.
const BATCH: &[u8] = b"FCALL\r\n$12\r\nsluice_apply";

/// A proxy on a port of its own.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: AtomicU16,
    /// The answer to the next batch is to be lost.
    loses: AtomicBool,
    lost: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let shared = Arc::new(Shared {
            upstream: AtomicU16::new(port),
            loses: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let port = listener.local_addr().expect("bound").port();
        let of = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                of.connect(client);
            }
        });
        Self { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Loses the answer to the next batch, and with it the connection.
    pub(crate) fn lose_one_answer(&self) {
        self.shared.lost.store(false, Ordering::Release);
        self.shared.loses.store(true, Ordering::Release);
    }

    pub(crate) fn has_lost(&self) -> bool {
        self.shared.lost.load(Ordering::Acquire)
    }

    /// Leads elsewhere from now on.
    pub(crate) fn lead_to(&self, port: u16) {
        self.lead_newcomers_to(port);
        self.cut();
    }

    /// Leads those elsewhere who connect from now on.
    pub(crate) fn lead_newcomers_to(&self, port: u16) {
        self.shared.upstream.store(port, Ordering::Release);
    }

    /// Cuts all connections.
    pub(crate) fn cut(&self) {
        for stream in self.shared.open.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: TcpStream) {
        let port = self.upstream.load(Ordering::Acquire);
        // With nobody there the client is closed.
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return };
        let ways = [&client, &server].map(|stream| stream.try_clone().expect("cloned"));
        self.open.lock().expect("no panic").extend(ways);
        let (client_too, server_too) =
            (client.try_clone().expect("cloned"), server.try_clone().expect("cloned"));
        let swallows = Arc::new(AtomicBool::new(false));
        let (of, swallow) = (Arc::clone(self), Arc::clone(&swallows));
        thread::spawn(move || {
            pump(client, server, |bytes| {
                let is_batch = bytes.windows(BATCH.len()).any(|word| word == BATCH);
                if is_batch && of.loses.swap(false, Ordering::AcqRel) {
                    swallow.store(true, Ordering::Release);
                }
                true
            });
        });
        let of = Arc::clone(self);
        thread::spawn(move || {
            pump(server_too, client_too, |_| {
                let is_lost = swallows.load(Ordering::Acquire);
                if is_lost {
                    of.lost.store(true, Ordering::Release);
                }
                !is_lost
            });
        });
    }
}

/// Hands on what `passes`, until one side ends or something does not pass.
fn pump(mut from: TcpStream, mut to: TcpStream, mut passes: impl FnMut(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length) = from.read(&mut buffer) {
        let bytes = &buffer[..length];
        if bytes.is_empty() || !passes(bytes) || to.write_all(bytes).is_err() {
            break;
        }
    }
    for stream in [&from, &to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}
