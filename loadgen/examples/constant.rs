//! A server that answers every request with the same refusal, on one thread: shows what the generator itself can do.
//!
//! ```text
//! cargo run --release -p sluice-loadgen --example constant -- 127.0.0.1:8080
//! sluice-loadgen run --rate max --no-audit --jwt-secret <32 bytes or more>
//! ```

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

const BODY: &[u8] = br#"{"type":"urn:sluice:sold_out","title":"Sold out","status":409,"detail":"no units left","code":"sold_out","retryable":false,"request_id":"01KA0000000000000000000000"}"#;

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    request.into_body().collect().await?;
    let response = Response::builder()
        .status(409)
        .header("content-type", "application/problem+json")
        .body(Full::new(Bytes::from_static(BODY)));
    Ok(response.expect("the answer is well-formed"))
}

fn main() -> std::io::Result<Infallible> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(&address).await?;
        eprintln!("answering on http://{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(answer)),
            );
        }
    })
}
