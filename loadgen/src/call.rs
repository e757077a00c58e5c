//! Single calls, one connection each: setting up before a run and looking at stock around it.
//!
//! Never used while a rush is on.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::http::{self, Answer};
use crate::secret::Secret;

/// Somebody who can be called.
#[derive(Debug)]
pub(crate) struct Caller {
    endpoint: Endpoint,
    address: SocketAddr,
    bearer: Option<Secret>,
    patience: Duration,
    answer_bytes_max: usize,
}

/// What a call brought.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The call, for messages.
    pub(crate) call: String,
    /// The status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Caller {
    /// Calls `endpoint` at `address`, with a bearer token if one is given.
    pub(crate) fn new(
        endpoint: &Endpoint,
        address: SocketAddr,
        bearer: Option<Secret>,
        patience: Duration,
        answer_bytes_max: usize,
    ) -> Caller {
        Caller { endpoint: endpoint.clone(), address, bearer, patience, answer_bytes_max }
    }

    /// Makes one call and waits for the answer.
    pub(crate) fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<Reply> {
        let call = format!("{method} {}{path}", self.endpoint);
        let unreachable =
            |why: String| Error::Unreachable { url: format!("{}{path}", self.endpoint), why };
        let bearer = self.bearer.as_ref().map(|token| format!("Bearer {}", token.expose()));
        let mut headers = vec![("connection", "close")];
        headers.extend(bearer.as_ref().map(|bearer| ("authorization", bearer.as_str())));
        headers.extend(body.map(|_| ("content-type", "application/json")));
        let body = body.map(ToString::to_string).unwrap_or_default();
        let request =
            http::request(method, path, self.endpoint.authority(), &headers, body.as_bytes());
        let mut bytes = Vec::new();
        let answer = self.exchange(&request, &mut bytes).map_err(unreachable)?;
        Ok(Reply { call, status: answer.status, body: answer.body.into_owned() })
    }

    fn exchange<'b>(
        &self,
        request: &[u8],
        bytes: &'b mut Vec<u8>,
    ) -> std::result::Result<Answer<'b>, String> {
        let words = |error: std::io::Error| error.to_string();
        let mut stream = TcpStream::connect_timeout(&self.address, self.patience).map_err(words)?;
        stream.set_read_timeout(Some(self.patience)).map_err(words)?;
        stream.set_write_timeout(Some(self.patience)).map_err(words)?;
        stream.write_all(request).map_err(words)?;
        let mut scratch = [0; 16 << 10];
        let bad = || "the answer is not HTTP, or too long".to_owned();
        loop {
            let count = stream.read(&mut scratch).map_err(words)?;
            if count == 0 {
                return Err("the connection was closed before the answer was whole".to_owned());
            }
            bytes.extend_from_slice(&scratch[..count]);
            if http::parse(bytes, self.answer_bytes_max).map_err(|_| bad())?.is_some() {
                break;
            }
        }
        match http::parse(bytes, self.answer_bytes_max) {
            Ok(Some((answer, _))) => Ok(answer),
            Ok(None) | Err(_) => Err(bad()),
        }
    }
}

impl Reply {
    /// The body as JSON, if the status is one of `expected`; otherwise says what was needed.
    pub(crate) fn json(&self, expected: &[u16], needed: &str) -> Result<serde_json::Value> {
        if !expected.contains(&self.status) {
            return Err(self.refused(needed));
        }
        serde_json::from_slice(&self.body).map_err(|_| self.refused(needed))
    }

    /// The refusal as an error.
    pub(crate) fn refused(&self, needed: &str) -> Error {
        let body = String::from_utf8_lossy(&self.body);
        let body: String = body.chars().filter(|char| !char.is_control()).take(300).collect();
        Error::Refused {
            call: self.call.clone(),
            answer: format!("{} {body}", self.status),
            needed: needed.to_owned(),
        }
    }
}
