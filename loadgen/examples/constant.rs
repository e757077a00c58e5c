//! A server that answers every request with the same refusal, for as little as a server can cost: one thread, one
//! read and one write for each request. Shows what the generator itself can do.
//!
//! ```text
//! cargo run --release -p sluice-loadgen --example constant -- 127.0.0.1:8080
//! sluice-loadgen run --rate 100000 --no-audit --jwt-secret <32 bytes or more>
//! ```

use std::convert::Infallible;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use rustix::event::epoll;

const BODY: &str = r#"{"type":"urn:sluice:sold_out","title":"Sold out","status":409,"detail":"no units left","code":"sold_out","retryable":false,"request_id":"01KA0000000000000000000000"}"#;

/// A connection and the part of a request that has arrived.
struct Connection {
    stream: TcpStream,
    partial: Vec<u8>,
}

/// The length of the first request in `bytes`, if all of it is there.
fn whole(bytes: &[u8]) -> io::Result<Option<usize>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(bytes).map_err(io::Error::other)? {
        httparse::Status::Complete(head) => head,
        httparse::Status::Partial => return Ok(None),
    };
    let length = request.headers.iter().find(|header| header.name == "content-length");
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
    let end = head + length.unwrap_or(0);
    Ok((bytes.len() >= end).then_some(end))
}

impl Connection {
    /// Reads what has arrived and answers each request that is whole; whether the connection goes on.
    fn serve(&mut self, answer: &[u8], scratch: &mut [u8]) -> io::Result<bool> {
        let count = match self.stream.read(scratch) {
            Ok(0) => return Ok(false),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        };
        self.partial.extend_from_slice(&scratch[..count]);
        while let Some(end) = whole(&self.partial)? {
            self.partial.drain(..end);
            // The answer is far smaller than a socket's buffer.
            self.stream.write_all(answer)?;
        }
        Ok(true)
    }
}

fn main() -> io::Result<Infallible> {
    let answer = format!(
        "HTTP/1.1 409 Conflict\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(&address)?;
    listener.set_nonblocking(true)?;
    eprintln!("answering on http://{}", listener.local_addr()?);
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, epoll::EventData::new_u64(u64::MAX), epoll::EventFlags::IN)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = Vec::with_capacity(1024);
    let mut scratch = vec![0; 64 << 10];
    loop {
        match epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            let data = event.data.u64();
            if data == u64::MAX {
                let Ok((stream, _)) = listener.accept() else { continue };
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                let data = epoll::EventData::new_u64(connections.len() as u64);
                epoll::add(&poll, &stream, data, epoll::EventFlags::IN)?;
                connections.push(Some(Connection { stream, partial: Vec::new() }));
                continue;
            }
            let connection = &mut connections[data as usize];
            let goes_on = connection.as_mut().is_some_and(|connection| {
                connection.serve(answer.as_bytes(), &mut scratch).unwrap_or(false)
            });
            if !goes_on {
                *connection = None;
            }
        }
    }
}
