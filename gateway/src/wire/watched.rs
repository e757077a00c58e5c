//! A TCP stream that is read along with, and whose bare refusals get a body: the parser answers
//! what it cannot parse with an empty 400, 414 or 431, and the contract wants a problem document.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::ids::Ids;
use crate::problem::{Code, Problem};
use crate::service::URI_BYTES_MAX;

use super::pace::{Pace, Phase};

/// The parser's own refusals are shorter than this; every answer of the service is longer.
const BARE_BYTES_MAX: usize = 140;

/// Most that is read from a client whose connection is being closed.
const FORGOTTEN_BYTES_MAX: usize = 256 * 1024;

/// A stream as the parser reads and writes it.
pub(crate) struct Watched {
    stream: TcpStream,
    pace: Rc<Pace>,
    ids: Rc<RefCell<Ids>>,
    /// What takes the place of a bare refusal, and how much of it has gone out.
    instead: Option<(Vec<u8>, usize)>,
    /// How many bytes were read and forgotten.
    forgotten: usize,
}

impl Watched {
    pub(crate) fn new(stream: TcpStream, pace: Rc<Pace>, ids: Rc<RefCell<Ids>>) -> Self {
        Self { stream, pace, ids, instead: None, forgotten: 0 }
    }

    fn write_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((bytes, done)) = &mut self.instead {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, &bytes[*done..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *done += count;
            if *done == bytes.len() {
                self.instead = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the client has closed its side. The parser does not read while an answer goes out,
    /// and one without end would go out to nobody until a write fails.
    fn has_gone(&self, cx: &mut Context<'_>) -> bool {
        let mut space = [0; 1];
        let peeked = self.stream.poll_peek(cx, &mut ReadBuf::new(&mut space));
        matches!(peeked, Poll::Ready(Ok(0) | Err(_)))
    }

    /// Reads what the client has sent ahead: a socket that is closed over unread bytes resets the
    /// connection, and the client may never see its answer.
    fn poll_forget(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0; 4 * 1024];
        while self.forgotten < FORGOTTEN_BYTES_MAX {
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                // In a shutdown nobody is waited for.
                Poll::Pending if !self.pace.is_closing() => return Poll::Pending,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.forgotten += buffer.filled().len();
                }
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn refusal(&self, status: &[u8]) -> Vec<u8> {
        let problem = match status {
            b"431" if self.pace.request_line_bytes() > URI_BYTES_MAX => {
                Problem::new(Code::UriTooLong, "the request line is too long")
            }
            b"431" => Problem::new(Code::HeadersTooLarge, "the header is too large"),
            b"414" => Problem::new(Code::UriTooLong, "the URI is too long"),
            _ => Problem::invalid(self.pace.suspect().unwrap_or("the request is not HTTP/1.1")),
        };
        let request = self.ids.borrow_mut().request();
        canned("", &problem, &problem.document(request), request)
    }
}

/// A whole answer with a problem document, after which the connection closes. `fields` are header
/// lines that it has besides.
pub(crate) fn canned(
    fields: &str,
    problem: &Problem,
    document: &[u8],
    request: sluice_core::id::RequestId,
) -> Vec<u8> {
    let status = problem.code.status();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16());
    for (name, value) in problem.headers().into_iter().flatten() {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = document.len();
    head.push_str(fields);
    head.push_str(&format!(
        "content-length: {length}\r\nconnection: close\r\nx-request-id: {request}\r\n\r\n"
    ));
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(document);
    bytes
}

/// The status of an answer that the parser gave by itself: a refusal without a body.
fn bare_refusal(bytes: &[u8]) -> Option<&[u8]> {
    let status = bytes.strip_prefix(b"HTTP/1.1 4")?;
    let bare = bytes.len() <= BARE_BYTES_MAX
        && memchr::memmem::find(bytes, b"content-length: 0\r\n").is_some();
    (bare && status.len() > 2).then(|| &bytes[9..12])
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        let new = &buffer.filled()[before..];
        if !new.is_empty() {
            this.pace.came_in(new);
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.write_instead(cx))?;
        match bare_refusal(bytes) {
            None => {
                let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
                if matches!(written, Poll::Ready(Ok(count)) if count > 0) {
                    this.pace.went_out();
                }
                written
            }
            Some(status) => {
                this.instead = Some((this.refusal(status), 0));
                Poll::Ready(Ok(bytes.len()))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.pace.phase() == Phase::Streaming && this.has_gone(cx) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        this.write_instead(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.pace.phase() != Phase::Lingering {
            ready!(this.write_instead(cx))?;
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.pace.enter(Phase::Lingering);
        }
        this.poll_forget(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::bare_refusal;

    #[test]
    fn only_refusals_without_a_body_are_bare() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\
            content-length: 0\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
        assert_eq!(bare_refusal(bare), Some(&b"431"[..]));
        for answer in [
            &b"HTTP/1.1 409 Conflict\r\ncontent-length: 210\r\n\r\n{}"[..],
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 4",
        ] {
            assert_eq!(bare_refusal(answer), None);
        }
    }
}
