//! HTTP/1.1 as a client sees it: requests as bytes, answers parsed out of what has arrived.
//!
//! Reads and writes no socket. An answer whose end is not marked by a length or by chunks is refused.

use std::borrow::Cow;

use crate::limits::HEADERS_MAX;

/// One whole answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    /// The status.
    pub(crate) status: u16,
    /// `Idempotency-Replayed: true` was there.
    pub(crate) replayed: bool,
    /// `Retry-After` in seconds.
    pub(crate) retry_after_s: Option<u64>,
    /// The server will close the connection.
    pub(crate) close: bool,
    /// The body.
    pub(crate) body: Cow<'a, [u8]>,
}

/// What arrived is not an HTTP/1.1 answer, or more than may be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadAnswer;

enum Framing {
    Length(usize),
    Chunked,
}

/// The answer at the beginning of `bytes` and the length of it, or `None` while some of it is missing.
pub(crate) fn parse(
    bytes: &[u8],
    bytes_max: usize,
) -> Result<Option<(Answer<'_>, usize)>, BadAnswer> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let head_bytes = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < bytes_max => return Ok(None),
        Ok(httparse::Status::Partial) | Err(_) => return Err(BadAnswer),
    };
    let status = head.code.ok_or(BadAnswer)?;
    let mut answer = Answer {
        status,
        replayed: false,
        retry_after_s: None,
        close: head.version == Some(0),
        body: Cow::Borrowed(&[]),
    };
    let framing = read_headers(head.headers, &mut answer)?;
    let rest = &bytes[head_bytes..];
    let room = bytes_max.saturating_sub(head_bytes);
    let body = match framing {
        _ if matches!(status, 204 | 304) => Some((Cow::Borrowed(&rest[..0]), 0)),
        // An interim answer was never asked for.
        _ if status < 200 => return Err(BadAnswer),
        Some(Framing::Length(length)) if length > room => return Err(BadAnswer),
        Some(Framing::Length(length)) => {
            rest.get(..length).map(|body| (Cow::Borrowed(body), length))
        }
        Some(Framing::Chunked) => {
            parse_chunks(rest, room)?.map(|(body, length)| (Cow::Owned(body), length))
        }
        None => return Err(BadAnswer),
    };
    Ok(body.map(|(body, length)| {
        answer.body = body;
        (answer, head_bytes + length)
    }))
}

fn read_headers(
    headers: &[httparse::Header<'_>],
    answer: &mut Answer<'_>,
) -> Result<Option<Framing>, BadAnswer> {
    let mut framing = None;
    for header in headers {
        // Told apart by length first: most headers are none of these.
        match header.name.len() {
            10 if header.name.eq_ignore_ascii_case("connection") => {
                answer.close = header.value.eq_ignore_ascii_case(b"close");
            }
            11 if header.name.eq_ignore_ascii_case("retry-after") => {
                answer.retry_after_s = decimal(header.value).map(|seconds| seconds as u64);
            }
            14 if header.name.eq_ignore_ascii_case("content-length") => {
                let length = decimal(header.value).ok_or(BadAnswer)?;
                if framing.replace(Framing::Length(length)).is_some() {
                    return Err(BadAnswer);
                }
            }
            17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                let chunked = header.value.eq_ignore_ascii_case(b"chunked");
                if !chunked || framing.replace(Framing::Chunked).is_some() {
                    return Err(BadAnswer);
                }
            }
            20 if header.name.eq_ignore_ascii_case("idempotency-replayed") => {
                answer.replayed = header.value == b"true";
            }
            _ => {}
        }
    }
    Ok(framing)
}

fn decimal(value: &[u8]) -> Option<usize> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The joined chunks and the bytes they took, trailer included.
fn parse_chunks(bytes: &[u8], bytes_max: usize) -> Result<Option<(Vec<u8>, usize)>, BadAnswer> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let (head, length) = match httparse::parse_chunk_size(&bytes[at..]) {
            Ok(httparse::Status::Complete((head, length))) => (head, length),
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(BadAnswer),
        };
        at += head;
        if length == 0 {
            return parse_trailer(&bytes[at..])
                .map(|trailer| trailer.map(|trailer| (body, at + trailer)));
        }
        let length = usize::try_from(length).map_err(|_| BadAnswer)?;
        if length > bytes_max - body.len() {
            return Err(BadAnswer);
        }
        let Some(chunk) = bytes.get(at..at + length + 2) else {
            return Ok(None);
        };
        if &chunk[length..] != b"\r\n" {
            return Err(BadAnswer);
        }
        body.extend_from_slice(&chunk[..length]);
        at += length + 2;
    }
}

fn parse_trailer(bytes: &[u8]) -> Result<Option<usize>, BadAnswer> {
    if bytes.starts_with(b"\r\n") {
        return Ok(Some(2));
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    match httparse::parse_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete((length, _))) => Ok(Some(length)),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err(BadAnswer),
    }
}

/// One request as bytes.
pub(crate) fn request(
    method: &str,
    path: &str,
    authority: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let mut out = format!("{method} {path} HTTP/1.1\r\nhost: {authority}\r\n").into_bytes();
    for (name, value) in headers {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if !body.is_empty() || method != "GET" {
        out.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out
}

#[cfg(test)]
mod tests {
    use super::{BadAnswer, parse, request};

    const MAX: usize = 4096;

    #[test]
    fn an_answer_is_whole_only_at_its_last_byte() {
        let plain = b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\nX: y\r\n\r\nabcNEXT".as_slice();
        let chunked = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\nNEXT".as_slice();
        for bytes in [plain, chunked] {
            let whole = bytes.len() - 4;
            for cut in 0..whole {
                assert_eq!(parse(&bytes[..cut], MAX), Ok(None), "{cut}");
            }
            let (answer, length) = parse(bytes, MAX).unwrap().unwrap();
            assert_eq!((answer.status, &*answer.body, length), (201, b"abc".as_slice(), whole));
        }
    }

    #[test]
    fn the_headers_that_matter_are_read() {
        let bytes = b"HTTP/1.1 200 OK\r\nidempotency-replayed: true\r\nRetry-After: 7\r\nConnection: Close\r\ncontent-length: 0\r\n\r\n";
        let (answer, _) = parse(bytes, MAX).unwrap().unwrap();
        assert!(answer.replayed && answer.close);
        assert_eq!(answer.retry_after_s, Some(7));
        let (answer, _) = parse(b"HTTP/1.1 204 No Content\r\n\r\n", MAX).unwrap().unwrap();
        assert!(!answer.replayed && !answer.close);
    }

    #[test]
    fn what_is_not_an_answer_is_refused() {
        for bytes in [
            b"SSH-2.0-OpenSSH\r\n\r\n".as_slice(),
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\na",
            b"HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\na",
            b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfff0\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
        ] {
            assert_eq!(parse(bytes, MAX), Err(BadAnswer), "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(
            parse(&b"HTTP/1.1 200 OK\r\nx: aaaaaaaaaaaaaaaaaaaaaaaaaaa"[..], 20),
            Err(BadAnswer)
        );
    }

    #[test]
    fn a_request_says_how_long_its_body_is() {
        let bytes = request("POST", "/v1/orders", "h:1", &[("a", "b")], b"{}");
        assert_eq!(
            bytes,
            b"POST /v1/orders HTTP/1.1\r\nhost: h:1\r\na: b\r\ncontent-length: 2\r\n\r\n{}"
        );
        assert_eq!(request("GET", "/", "h", &[], b""), b"GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    }
}
