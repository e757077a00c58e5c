//! Calls that the command line makes to the operators' listener of a server that runs.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::exit::{DISK, Failure};
use crate::secrets::Given;
use crate::settings::Settings;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a connection may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// What a running server answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Asks the server at the operators' address of these settings, with its token. `None` if none
/// listens there.
pub(crate) async fn ask(
    settings: &Settings,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<Option<Answer>, Failure> {
    let address = settings.ops_listen;
    let failed = |what: &dyn std::fmt::Display| Failure::new(DISK, format!("{address}: {what}"));
    let connecting = timeout(CONNECT_PATIENCE, TcpStream::connect(address)).await;
    let Ok(Ok(stream)) = connecting else { return Ok(None) };
    let given = Given::read(|name| std::env::var(name).ok())?;
    let token = given.admin_token(&settings.data_dir)?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, address.to_string())
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| failed(&error))?;
    let asked = async {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let answered = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            // The connection ends with its sender.
            drop(sender);
            Ok(Answer { status, body })
        };
        let (answer, _) = tokio::join!(answered, connection);
        answer
    };
    let answer: Result<Answer, hyper::Error> =
        timeout(PATIENCE, asked).await.map_err(|_| failed(&"no answer"))?;
    answer.map(Some).map_err(|error| failed(&error))
}
