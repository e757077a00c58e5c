//! A way to a server on which the answer to a commit can be lost.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// What a client sends to commit: a simple query.
const COMMIT: &[u8] = b"COMMIT\0";

/// A listener that passes everything on, but for what it is told to lose.
pub(crate) struct Swallow {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_armed: AtomicBool,
    swallowed: AtomicU64,
}

impl Swallow {
    /// In front of a port of 127.0.0.1.
    pub(crate) fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared::default());
        let way = Arc::clone(&shared);
        // It ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let way = Arc::clone(&way);
                thread::spawn(move || pass(client, server, &way));
            }
        });
        Self { port, shared }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Loses the answer to the next commit, and the connection with it.
    pub(crate) fn next_commit(&self) {
        self.shared.is_armed.store(true, Ordering::SeqCst);
    }

    /// How many answers were lost.
    pub(crate) fn swallowed(&self) -> u64 {
        self.shared.swallowed.load(Ordering::SeqCst)
    }
}

fn pass(mut client: TcpStream, mut server: TcpStream, way: &Shared) {
    let is_lost = Arc::new(AtomicBool::new(false));
    let both = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
    let lost = Arc::clone(&is_lost);
    let back = thread::spawn(move || {
        let (mut client, mut server) = both;
        let mut bytes = [0; 16 << 10];
        while let Ok(length @ 1..) = server.read(&mut bytes) {
            if lost.load(Ordering::SeqCst) {
                // The server has answered: what was committed is committed.
                break;
            }
            if client.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    });
    let mut bytes = [0; 16 << 10];
    while let Ok(length @ 1..) = client.read(&mut bytes) {
        let sent = &bytes[..length];
        if sent.ends_with(COMMIT) && way.is_armed.swap(false, Ordering::SeqCst) {
            is_lost.store(true, Ordering::SeqCst);
        }
        if server.write_all(sent).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
    let _ = back.join();
    if is_lost.load(Ordering::SeqCst) {
        way.swallowed.fetch_add(1, Ordering::SeqCst);
    }
}
