//! What every request meets, on both listeners: the checks that no route can do without, the way
//! to the hot path or to the router, and what every answer carries.

use std::cell::RefCell;
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
use crate::order::OrderDesk;
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
    pub(crate) async fn answer(&self, pace: &Pace, request: Request<Incoming>) -> Response<Body> {
        let id = self.ids.borrow_mut().request();
        // Where two programs could see the end of a request in different places, it is the last.
        let mut last =
            request.headers().contains_key(TRANSFER_ENCODING) || request.uri().scheme().is_some();
        let mut response = match check(pace, &request) {
            Ok(()) => {
                pace.enter(if request.body().is_end_stream() {
                    Phase::Serving
                } else {
                    Phase::Body
                });
                self.route(id, pace, request).await
            }
            Err(problem) => {
                last = true;
                refuse(&problem, id)
            }
        };
        if last || response.status() == Code::BodyTooLarge.status() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let class = usize::from(response.status().as_u16() / 100).clamp(2, 5) - 2;
        self.metrics.answers[class].add(1);
        response
    }

    async fn route(
        &self,
        id: RequestId,
        pace: &Pace,
        request: Request<Incoming>,
    ) -> Response<Body> {
        if let Some(desk) = &self.desk
            && request.method() == Method::POST
            && request.uri().path() == "/v1/orders"
        {
            return match desk.place(id, pace, request).await {
                Ok(response) => response,
                Err(problem) => refuse(&problem, id),
            };
        }
        // Handlers read the body under a deadline of their own.
        pace.enter(Phase::Serving);
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(id);
        let router = self.router.clone();
        let mut response = match router.oneshot(request).await {
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
    }
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
