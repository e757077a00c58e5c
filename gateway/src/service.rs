//! What every request meets, on both listeners: the checks that no route can do without, the way
//! to the hot path or to the router, and what every answer carries.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, CONNECTION, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::{Method, Request, Response, Version};
use tower::ServiceExt;

use sluice_core::id::RequestId;

use crate::body::Body;
use crate::gate::WorkerMetrics;
use crate::ids::Ids;
use crate::order::{Asked, OrderDesk};
use crate::problem::{Code, Problem};
use crate::wire::pace::{Pace, Phase};

/// Longest path with its query, in bytes.
pub(crate) const URI_BYTES_MAX: usize = 4 * 1024;

/// The request's id in every answer.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// One thread's way of answering.
pub(crate) struct Service {
    desk: Option<OrderDesk>,
    router: Router,
    ids: Rc<RefCell<Ids>>,
    metrics: Arc<WorkerMetrics>,
}

impl Service {
    /// With a desk for orders, if this thread serves buyers.
    pub(crate) fn new(
        desk: Option<OrderDesk>,
        router: Router,
        ids: Rc<RefCell<Ids>>,
        metrics: Arc<WorkerMetrics>,
    ) -> Self {
        Self { desk, router, ids, metrics }
    }

    /// Answers one request.
    ///
    /// What the head of the request says is settled before the first wait, so that the request
    /// itself is neither kept nor moved with the future.
    pub(crate) fn answer(
        self: Rc<Self>,
        pace: Rc<Pace>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> {
        let id = self.ids.borrow_mut().request();
        // Where two programs could see the end of a request in different places, it is the last.
        let mut last =
            request.headers().contains_key(TRANSFER_ENCODING) || request.uri().scheme().is_some();
        let way = self.way(id, &pace, request);
        last |= matches!(way, Way::Nowhere(_));
        async move {
            let mut response = match way {
                Way::Desk(Ok((asked, body))) => {
                    let desk = self.desk.as_ref().expect("the desk has let it in");
                    let placed = desk.place(id, &pace, asked, body).await;
                    placed.unwrap_or_else(|problem| refuse(&problem, id))
                }
                Way::Router(request) => Rc::clone(&self).by_router(id, request).await,
                Way::Desk(Err(problem)) | Way::Nowhere(problem) => refuse(&problem, id),
            };
            if last || response.status() == Code::BodyTooLarge.status() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            let class = usize::from(response.status().as_u16() / 100).clamp(2, 5) - 2;
            self.metrics.answers[class].add(1);
            pace.enter(match response.body().size_hint().exact() {
                Some(_) => Phase::Idle,
                None => Phase::Streaming,
            });
            response
        }
    }

    fn way(&self, id: RequestId, pace: &Pace, request: Request<Incoming>) -> Way {
        if let Err(problem) = check(pace, &request) {
            return Way::Nowhere(problem);
        }
        let is_read = request.body().is_end_stream();
        pace.enter(if is_read { Phase::Serving } else { Phase::Body });
        if let Some(desk) = &self.desk
            && request.method() == Method::POST
            && request.uri().path() == "/v1/orders"
        {
            return Way::Desk(desk.let_in(request));
        }
        // Handlers read the body under a deadline of their own.
        pace.enter(Phase::Serving);
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(id);
        Way::Router(Box::new(request))
    }

    /// In a box: what is not on the hot path must not make the hot path's future larger.
    fn by_router(
        self: Rc<Self>,
        id: RequestId,
        request: Box<Request<axum::body::Body>>,
    ) -> Pin<Box<dyn Future<Output = Response<Body>>>> {
        Box::pin(async move {
            let router = self.router.clone();
            let mut response = match router.oneshot(*request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            if let Some(problem) = response.extensions_mut().remove::<Problem>() {
                let mut refusal = refuse(&problem, id);
                if let Some(methods) = response.headers_mut().remove(ALLOW) {
                    refusal.headers_mut().insert(ALLOW, methods);
                }
                return refusal;
            }
            let value = HeaderValue::from_bytes(&id.ascii()).expect("base32");
            response.headers_mut().insert(X_REQUEST_ID, value);
            response.map(Body::Handler)
        })
    }
}

/// The way of a request.
enum Way {
    /// An order, or why it is not even read.
    Desk(Result<(Asked, Incoming), Problem>),
    /// All else.
    Router(Box<Request<axum::body::Body>>),
    /// Refused, and the connection with it.
    Nowhere(Problem),
}

/// Whether a byte may stand in a `Host` field (RFC 9112, 3.2; RFC 3986, 3.2.2 and 3.2.3).
const fn is_of_a_host(byte: &u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':')
        || matches!(
            byte,
            b'[' | b']' | b'%' | b'!' | b'$' | b'&'..=b'*' | b'+' | b',' | b';' | b'='
        )
}

/// What the parser lets pass and no route should see.
fn check(pace: &Pace, request: &Request<Incoming>) -> Result<(), Problem> {
    if let Some(suspect) = pace.suspect() {
        return Err(Problem::invalid(suspect));
    }
    let hosts = request.headers().get_all(HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Err(Problem::invalid("Host: must be given once"));
    }
    if !request.headers().get(HOST).is_none_or(|host| host.as_bytes().iter().all(is_of_a_host)) {
        return Err(Problem::invalid("Host: must be a host, and maybe a port"));
    }
    let uri = request.uri();
    let length = uri.path_and_query().map_or(0, |path| path.as_str().len());
    if length > URI_BYTES_MAX {
        let detail = format!("path and query may have {URI_BYTES_MAX} bytes");
        return Err(Problem::new(Code::UriTooLong, detail));
    }
    Ok(())
}

/// A refusal with all that every answer carries. The request's id is cut out of the document's end.
fn refuse(problem: &Problem, id: RequestId) -> Response<Body> {
    let mut response: Response<Body> = problem.response(id);
    if let Body::Full(document) = response.body() {
        let end = document.len() - 2;
        let value = shared_value(document.slice(end - 26..end));
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

/// A header value that shares the bytes of a body, which are visible ASCII.
pub(crate) fn shared_value(bytes: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(bytes).expect("visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::{X_REQUEST_ID, refuse};
    use crate::problem::{Code, Problem};
    use sluice_core::id::RequestId;

    #[test]
    fn a_refusal_carries_the_requests_id_twice() {
        let id = RequestId::from_bits(u128::MAX / 3);
        let response = refuse(&Problem::new(Code::SoldOut, "a"), id);
        assert_eq!(response.headers()[X_REQUEST_ID], id.to_string());
        assert_eq!(response.status(), 409);
    }
}
