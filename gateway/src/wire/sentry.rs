//! Reads along with the parser and notices heads of requests whose end two programs could see in
//! different places (request smuggling; RFC 9112, 11.2).
//!
//! The parser drops a second `Content-Length` before anybody sees it, and takes a bare LF for the
//! end of a line. Here each byte that comes in is looked at once, before the parser: the lines of
//! a head are found, what frames the body is read, the body is skipped. Whatever is ambiguous is
//! remembered as [`Sentry::suspect`], and the service answers 400 and closes.

use memchr::memchr;

/// Longest line that is kept while its rest is awaited; the parser's own ceiling is lower.
const CARRY_BYTES_MAX: usize = 128 * 1024;

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// In a head, or before one.
    Head,
    /// In a body that has so many bytes to come.
    Body(u64),
    /// Not looking any more: the connection closes after the request under way.
    Blind,
}

/// What was seen of the head under way.
#[derive(Debug, Default)]
struct Head {
    begun: bool,
    content_length: Option<u64>,
    chunked: bool,
}

/// What came in at one time meant for the pace of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A head has begun and not ended.
    HeadUnderWay,
    /// Nothing is awaited in the middle.
    Whole,
}

/// The reader along, one per connection.
#[derive(Debug)]
pub(crate) struct Sentry {
    stage: Stage,
    head: Head,
    /// The beginning of a line whose end has not come.
    carry: Vec<u8>,
    request_line_bytes: usize,
    suspect: Option<&'static str>,
}

impl Sentry {
    pub(crate) fn new() -> Self {
        Self {
            stage: Stage::Head,
            head: Head::default(),
            carry: Vec::new(),
            request_line_bytes: 0,
            suspect: None,
        }
    }

    /// What is wrong with the stream, if anything is. It stays wrong.
    pub(crate) fn suspect(&self) -> Option<&'static str> {
        self.suspect
    }

    /// How long the last request line is, as far as it has come in.
    pub(crate) fn request_line_bytes(&self) -> usize {
        let under_way = !self.head.begun && !self.carry.is_empty();
        if under_way { self.carry.len() } else { self.request_line_bytes }
    }

    /// Looks at what came in.
    pub(crate) fn look(&mut self, mut bytes: &[u8]) -> Seen {
        loop {
            match &mut self.stage {
                Stage::Blind => return Seen::Whole,
                Stage::Body(rest) => {
                    let skipped = (bytes.len() as u64).min(*rest);
                    *rest -= skipped;
                    bytes = &bytes[skipped as usize..];
                    if *rest > 0 || bytes.is_empty() {
                        if *rest == 0 {
                            self.stage = Stage::Head;
                        }
                        return Seen::Whole;
                    }
                    self.stage = Stage::Head;
                }
                Stage::Head => match memchr(b'\n', bytes) {
                    Some(end) => {
                        self.take_line(&bytes[..end]);
                        bytes = &bytes[end + 1..];
                    }
                    None => {
                        self.carry.extend_from_slice(bytes);
                        if self.carry.len() > CARRY_BYTES_MAX {
                            self.distrust("a line without end");
                        }
                        let between = self.carry.is_empty() && !self.head.begun;
                        return if between { Seen::Whole } else { Seen::HeadUnderWay };
                    }
                },
            }
        }
    }

    fn take_line(&mut self, end: &[u8]) {
        if self.carry.is_empty() {
            self.line(end);
        } else {
            let mut line = std::mem::take(&mut self.carry);
            line.extend_from_slice(end);
            self.line(&line);
        }
    }

    /// A line without its LF.
    fn line(&mut self, line: &[u8]) {
        let Some(line) = line.strip_suffix(b"\r") else {
            return self.distrust("a line of the header ends with a bare LF");
        };
        if line.is_empty() {
            // Empty lines before a request are skipped (RFC 9112, 2.2).
            if self.head.begun {
                self.end_head();
            }
        } else if self.head.begun {
            self.field(line);
        } else {
            self.head.begun = true;
            self.request_line_bytes = line.len();
        }
    }

    #[inline]
    fn field(&mut self, line: &[u8]) {
        match line[0] | 0x20 {
            b'c' => {
                if let Some(value) = value_of(line, b"content-length:") {
                    self.content_length(value);
                }
            }
            b't' => {
                if let Some(value) = value_of(line, b"transfer-encoding:") {
                    self.transfer_encoding(value);
                }
            }
            _ => {}
        }
    }

    fn content_length(&mut self, value: &[u8]) {
        if self.head.content_length.is_some() {
            return self.distrust("Content-Length: given more than once");
        }
        if self.head.chunked {
            return self.distrust("Content-Length: beside Transfer-Encoding");
        }
        let length = std::str::from_utf8(value)
            .ok()
            .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
        match length.and_then(|text| text.parse().ok()) {
            Some(length) => self.head.content_length = Some(length),
            None => self.distrust("Content-Length: must be a whole number"),
        }
    }

    fn transfer_encoding(&mut self, value: &[u8]) {
        if self.head.content_length.is_some() {
            self.distrust("Transfer-Encoding: beside Content-Length");
        } else if self.head.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            self.distrust("Transfer-Encoding: must be chunked, once");
        } else {
            self.head.chunked = true;
        }
    }

    fn end_head(&mut self) {
        if self.stage == Stage::Head {
            self.stage = match self.head {
                Head { chunked: true, .. } => Stage::Blind,
                Head { content_length: Some(length), .. } if length > 0 => Stage::Body(length),
                _ => Stage::Head,
            };
        }
        self.head = Head::default();
    }

    fn distrust(&mut self, why: &'static str) {
        self.suspect.get_or_insert(why);
        self.stage = Stage::Blind;
    }
}

/// The value of a field line, if it is of the field whose name with its colon is given, in lower
/// case.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::{Seen, Sentry, Stage};

    const HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\n";

    /// Looks at a stream at once and byte by byte, which must come to the same.
    fn look(stream: &str) -> Sentry {
        let mut whole = Sentry::new();
        let seen = whole.look(stream.as_bytes());
        let mut bytewise = Sentry::new();
        let mut last = Seen::Whole;
        for byte in stream.as_bytes() {
            last = bytewise.look(std::slice::from_ref(byte));
        }
        assert_eq!(whole.suspect(), bytewise.suspect(), "{stream:?}");
        assert_eq!(whole.stage, bytewise.stage, "{stream:?}");
        assert_eq!(seen, last, "{stream:?}");
        whole
    }

    #[test]
    fn sound_requests_pass_one_after_the_other() {
        let body = format!(
            "{HEAD}Content-Length: 5\r\n\r\n{{\n\n\r}}{HEAD}\r\n{HEAD}content-length:0\r\n\r\n"
        );
        let sentry = look(&body.repeat(3));
        assert_eq!((sentry.suspect(), sentry.stage), (None, Stage::Head));
        let chunked = look(&format!("{HEAD}Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n"));
        assert_eq!((chunked.suspect(), chunked.stage), (None, Stage::Blind));
    }

    #[test]
    fn what_frames_a_body_is_said_once() {
        for fields in [
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "transfer-encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding:\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 5,5\r\n",
            "Content-Length: 5 5\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length: -1\r\n",
            "Content-Length:\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "X: y\n",
        ] {
            assert!(look(&format!("{HEAD}{fields}\r\n")).suspect().is_some(), "{fields:?}");
        }
        assert!(look("GET / HTTP/1.1\nHost: a\n\n").suspect().is_some());
    }

    #[test]
    fn it_knows_whether_a_head_is_under_way() {
        let mut sentry = Sentry::new();
        assert_eq!(sentry.look(b"POST / HT"), Seen::HeadUnderWay);
        assert_eq!(sentry.request_line_bytes(), 9);
        assert_eq!(sentry.look(b"TP/1.1\r\n"), Seen::HeadUnderWay);
        assert_eq!(sentry.request_line_bytes(), 15);
        assert_eq!(sentry.look(b"Content-Length: 3\r\n\r\n"), Seen::Whole);
        assert_eq!(sentry.look(b"abcP"), Seen::HeadUnderWay);
    }
}
