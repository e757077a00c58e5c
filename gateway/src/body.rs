//! Bodies: what a request brings, under its ceiling and of the right kind, and what an answer is.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};

use crate::gate::single;
use crate::problem::{Code, Problem};

/// Largest body of a request, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 16 * 1024;

/// The body of an answer.
pub(crate) enum Body {
    /// In one piece; taken once.
    Full(Bytes),
    /// A handler's.
    Handler(axum::body::Body),
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Full(bytes)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.get_mut() {
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Handler(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_empty(),
            Self::Handler(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Handler(body) => body.size_hint(),
        }
    }
}

/// Refuses a body whose announced length is over the ceiling, before any of it is read.
pub(crate) fn check_length(body: &impl HttpBody) -> Result<(), Problem> {
    match body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        true => Err(too_large()),
        false => Ok(()),
    }
}

/// Refuses what does not say that it is plain JSON.
pub(crate) fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let wrong = |detail| Err(Problem::new(Code::UnsupportedMediaType, detail));
    if headers.contains_key(CONTENT_ENCODING) {
        return wrong("Content-Encoding: bodies are taken as they are");
    }
    match single(headers, &CONTENT_TYPE) {
        Ok(Some(value)) if value == "application/json" => Ok(()),
        Ok(Some(value)) if is_plain(value.as_bytes(), b"application/json") => Ok(()),
        _ => wrong("Content-Type: must be application/json, once"),
    }
}

/// Whether a body says that it is a form, as browsers send it.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    let form = b"application/x-www-form-urlencoded";
    !headers.contains_key(CONTENT_ENCODING)
        && matches!(single(headers, &CONTENT_TYPE), Ok(Some(value)) if is_plain(value.as_bytes(), form))
}

/// The media type `wanted`, with no charset but the one that JSON has anyway (RFC 8259, 8.1).
fn is_plain(value: &[u8], wanted: &[u8]) -> bool {
    let mut parts = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let media_type = parts.next().unwrap_or_default();
    let is_utf8 = |parameter: &[u8]| {
        let charset = parameter.to_ascii_lowercase();
        !charset.starts_with(b"charset=")
            || matches!(&charset[8..], b"utf-8" | b"\"utf-8\"" | b"utf8")
    };
    media_type.eq_ignore_ascii_case(wanted) && parts.all(is_utf8)
}

/// Reads a body under the ceiling. One that comes in one piece is not copied.
pub(crate) async fn read<B>(body: &mut B) -> Result<Bytes, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let Some(first) = next_piece(body).await? else { return Ok(Bytes::new()) };
    if first.len() > BODY_BYTES_MAX {
        return Err(too_large());
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let Some(second) = next_piece(body).await? else { return Ok(first) };
    let mut whole = BytesMut::from(first);
    let mut piece = Some(second);
    while let Some(bytes) = piece {
        if whole.len() + bytes.len() > BODY_BYTES_MAX {
            return Err(too_large());
        }
        whole.extend_from_slice(&bytes);
        piece = next_piece(body).await?;
    }
    Ok(whole.freeze())
}

async fn next_piece<B>(body: &mut B) -> Result<Option<Bytes>, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(_)) => return Err(Problem::invalid("the body is cut short or malformed")),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Ok(Some(bytes)),
                // Trailers: nothing in them counts.
                Err(_) => {}
            },
        }
    }
}

fn too_large() -> Problem {
    Problem::new(Code::BodyTooLarge, format!("the body may have {BODY_BYTES_MAX} bytes"))
}

#[cfg(test)]
mod tests {
    use super::{BODY_BYTES_MAX, check_media_type, read};
    use crate::problem::Code;
    use bytes::Bytes;
    use http_body_util::Full;
    use hyper::HeaderMap;
    use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};

    fn judged(types: &[&str], encoding: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        for value in types {
            headers.append(CONTENT_TYPE, HeaderValue::from_str(value).expect("a value"));
        }
        if let Some(encoding) = encoding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_str(encoding).expect("a value"));
        }
        check_media_type(&headers).is_ok()
    }

    #[test]
    fn plain_json_alone_is_taken() {
        for right in ["application/json", "Application/JSON", "application/json; charset=utf-8"] {
            assert!(judged(&[right], None), "{right}");
        }
        for wrong in [
            "",
            "application/json; charset=latin1",
            "text/plain",
            "application/jsonx",
            "application/x-www-form-urlencoded",
        ] {
            assert!(!judged(&[wrong], None), "{wrong}");
        }
        assert!(!judged(&[], None));
        assert!(!judged(&["application/json", "application/json"], None));
        assert!(!judged(&["application/json"], Some("gzip")));
    }

    #[tokio::test]
    async fn a_body_may_be_as_large_as_its_ceiling() {
        let mut body = Full::new(Bytes::from(vec![b' '; BODY_BYTES_MAX]));
        assert_eq!(read(&mut body).await.map(|bytes| bytes.len()), Ok(BODY_BYTES_MAX));
        let mut body = Full::new(Bytes::from(vec![b' '; BODY_BYTES_MAX + 1]));
        assert_eq!(read(&mut body).await.expect_err("too large").code, Code::BodyTooLarge);
    }
}
