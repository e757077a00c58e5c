//! Calls to Redis, taken down on their way and made again by themselves.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::bare::now;

/// A call, as it goes over the wire, and how long its answer is.
#[derive(Clone, Debug, Default)]
struct Call {
    request: Vec<u8>,
    answer_bytes: usize,
}

/// What passes a recorder. One call is under way at a time.
#[derive(Debug, Default)]
struct Tape {
    calls: Vec<Call>,
    is_answered: bool,
}

/// A way to a Redis server on which everything is taken down.
pub struct Recorder {
    port: u16,
    tape: Arc<Mutex<Tape>>,
}

impl Recorder {
    /// To the server at this port of 127.0.0.1.
    ///
    /// # Errors
    /// No port can be had.
    pub fn start(server: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let tape = Arc::new(Mutex::new(Tape::default()));
        let shared = Arc::clone(&tape);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { return };
                pass(&client, &server, &shared, Tape::asked);
                pass(&server, &client, &shared, Tape::answered);
            }
        });
        Ok(Self { port, tape })
    }

    /// The port of 127.0.0.1 that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// All calls of functions so far.
    pub fn calls(self) -> Calls {
        let tape = self.tape.lock().unwrap_or_else(PoisonError::into_inner);
        let is_function = |call: &&Call| call.request.windows(5).take(64).any(|w| w == b"FCALL");
        Calls(tape.calls.iter().filter(is_function).cloned().collect())
    }
}

impl Tape {
    fn asked(&mut self, bytes: &[u8]) {
        if self.is_answered || self.calls.is_empty() {
            self.calls.push(Call::default());
        }
        self.is_answered = false;
        self.calls.last_mut().expect("one was pushed").request.extend_from_slice(bytes);
    }

    fn answered(&mut self, bytes: &[u8]) {
        self.is_answered = true;
        if let Some(call) = self.calls.last_mut() {
            call.answer_bytes += bytes.len();
        }
    }
}

/// Passes on what comes, and takes it down first.
fn pass(from: &TcpStream, to: &TcpStream, tape: &Arc<Mutex<Tape>>, take: fn(&mut Tape, &[u8])) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    let tape = Arc::clone(tape);
    thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            take(&mut tape.lock().unwrap_or_else(PoisonError::into_inner), &bytes[..count]);
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        // The other side may have closed it already.
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// Calls to be made again.
pub struct Calls(Vec<Call>);

impl Calls {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Makes them one after the other, each when the last is answered, and says how long it took.
    ///
    /// # Errors
    /// The server cannot be reached, or ends the connection.
    pub fn make(&self, server: u16) -> Result<Duration> {
        let mut stream = TcpStream::connect(("127.0.0.1", server))?;
        stream.set_nodelay(true)?;
        let mut answer = Vec::new();
        let begun = now();
        for call in &self.0 {
            stream.write_all(&call.request)?;
            answer.resize(call.answer_bytes, 0);
            stream.read_exact(&mut answer).context("the same answer")?;
            anyhow::ensure!(answer.first() != Some(&b'-'), "{}", String::from_utf8_lossy(&answer));
        }
        Ok(begun.elapsed())
    }
}
