//! One connection, from its first byte to its last.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use futures_util::FutureExt as _;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::ids::Ids;
use crate::service::Service;

use super::pace::Pace;
use super::watched::Watched;

/// Longest head of a request, and size of the buffer it is read into.
pub(crate) const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Serves a connection until it ends by itself, its time is over, or the worker ends it.
pub(crate) async fn serve(
    stream: TcpStream,
    service: Rc<Service>,
    pace: Rc<Pace>,
    ids: Rc<RefCell<Ids>>,
) {
    let io = TokioIo::new(Watched::new(stream, Rc::clone(&pace), ids));
    let handler = {
        let pace = Rc::clone(&pace);
        service_fn(move |request| {
            let answer = Rc::clone(&service).answer(Rc::clone(&pace), request);
            answer.map(Ok::<_, Infallible>)
        })
    };
    let mut connection = pin!(
        http1::Builder::new()
            .half_close(true)
            .writev(false)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_header_size(HEAD_BYTES_MAX)
            .serve_connection(io, handler)
    );
    let mut told = false;
    poll_fn(|cx| {
        pace.register(cx.waker());
        if pace.is_ended() {
            return Poll::Ready(());
        }
        if pace.is_closing() && !told {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx).map(|outcome| {
            if let Err(error) = outcome {
                tracing::debug!("a connection ended: {error}");
            }
        })
    })
    .await;
}
