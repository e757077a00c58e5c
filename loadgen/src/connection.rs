//! One keep-alive connection: at most one request in flight on it.
//!
//! Knows sockets and what state they are in; never decides what to send, nor what an answer means.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Protocol, Socket, Type};

use crate::workload::Ticket;

/// How long a connection that could not be opened rests before the next try, at first and at most.
const REST_NS: (u64, u64) = (10_000_000, 1_000_000_000);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not open; not to be tried again before this time.
    Closed {
        /// The time.
        retry_at_ns: u64,
    },
    /// Being opened.
    Connecting {
        /// Since when.
        since_ns: u64,
    },
    /// Open, nothing in flight.
    Idle {
        /// Since when.
        since_ns: u64,
    },
    /// A request is in flight.
    Busy {
        /// What the workload knows it by.
        ticket: Ticket,
        /// When it was handed to the socket.
        sent_ns: u64,
    },
}

/// What a read brought.
pub(crate) enum Arrived {
    /// This many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The end of the stream, or an error.
    End,
}

/// A connection and its buffers.
pub(crate) struct Connection {
    /// What it is doing.
    pub(crate) state: State,
    /// Counts openings, so that an event for an earlier socket is not taken for this one's.
    pub(crate) generation: u32,
    /// The request being sent.
    pub(crate) out: Vec<u8>,
    /// The part of an answer that arrived so far, if it did not arrive at once.
    pub(crate) partial: Vec<u8>,
    stream: Option<TcpStream>,
    written: usize,
    rest_ns: u64,
}

impl Connection {
    /// A connection not yet opened.
    pub(crate) fn new() -> Connection {
        Connection {
            state: State::Closed { retry_at_ns: 0 },
            generation: 0,
            out: Vec::with_capacity(1024),
            partial: Vec::new(),
            stream: None,
            written: 0,
            rest_ns: REST_NS.0,
        }
    }

    /// Begins to open the socket, without waiting for it.
    pub(crate) fn open(&mut self, address: SocketAddr, now_ns: u64) -> io::Result<&TcpStream> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking(),
            Some(Protocol::TCP),
        )?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error)
                if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
        self.generation = self.generation.wrapping_add(1);
        self.state = State::Connecting { since_ns: now_ns };
        Ok(self.stream.insert(socket.into()))
    }

    /// Whether the opening has come to an end, and which.
    pub(crate) fn opened(&mut self, now_ns: u64) -> io::Result<bool> {
        let Some(stream) = &self.stream else {
            return Ok(false);
        };
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        match stream.peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(false),
            Err(error) => return Err(error),
        }
        self.state = State::Idle { since_ns: now_ns };
        Ok(true)
    }

    /// Sends what stands in `out` as the request `ticket`.
    pub(crate) fn send(&mut self, ticket: Ticket, now_ns: u64) -> io::Result<()> {
        self.written = 0;
        self.state = State::Busy { ticket, sent_ns: now_ns };
        self.flush()
    }

    /// Goes on sending what the socket did not take at once.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let Some(mut stream) = self.stream.as_ref() else {
            return Ok(());
        };
        while self.written < self.out.len() {
            match stream.write(&self.out[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what has arrived.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> Arrived {
        let Some(mut stream) = self.stream.as_ref() else {
            return Arrived::Nothing;
        };
        loop {
            match stream.read(into) {
                Ok(0) => return Arrived::End,
                Ok(count) => return Arrived::Bytes(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Arrived::Nothing,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Arrived::End,
            }
        }
    }

    /// The answer has been read: the connection is free again.
    pub(crate) fn free(&mut self, now_ns: u64) {
        self.partial.clear();
        self.rest_ns = REST_NS.0;
        self.state = State::Idle { since_ns: now_ns };
    }

    /// Closes the socket; it may be opened again at once, or after a rest that doubles each time.
    pub(crate) fn close(&mut self, now_ns: u64, rest: bool) {
        self.stream = None;
        self.partial.clear();
        let rest_ns = if rest { self.rest_ns } else { 0 };
        self.rest_ns = if rest { (self.rest_ns * 2).min(REST_NS.1) } else { REST_NS.0 };
        self.state = State::Closed { retry_at_ns: now_ns + rest_ns };
    }
}
