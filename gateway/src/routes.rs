//! Every route of the two listeners, in one table. The routers, the `Allow` field, the OpenAPI
//! document and the tests of ownership are all held against it.

use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use hyper::header::{ALLOW, HeaderValue};

use crate::problem::{Code, Problem};

/// Which socket a route is served on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    /// The public one.
    Buyers,
    /// The operators'.
    Operators,
}

/// One path with its methods, as `Allow` spells them.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) listener: Listener,
    pub(crate) path: &'static str,
    pub(crate) methods: &'static str,
}

const fn route(listener: Listener, path: &'static str, methods: &'static str) -> Route {
    Route { listener, path, methods }
}

const READ: &str = "GET, HEAD";

/// All routes.
#[rustfmt::skip]
pub(crate) const ROUTES: &[Route] = &[
    route(Listener::Buyers, "/v1/orders", "GET, HEAD, POST"),
    route(Listener::Buyers, "/v1/orders/{order_id}", READ),
    route(Listener::Buyers, "/v1/orders/{order_id}/cancel", "POST"),
    route(Listener::Buyers, "/v1/orders/by-key/{key}", READ),
    route(Listener::Buyers, "/v1/orders/{order_id}/payments", "POST"),
    route(Listener::Buyers, "/v1/webhooks/payments", "POST"),
    route(Listener::Buyers, "/v1/sales", READ),
    route(Listener::Buyers, "/v1/sales/{sale}", READ),
    route(Listener::Buyers, "/v1/sales/{sale}/stream", READ),
    route(Listener::Buyers, "/sandbox/payments/{payment_id}", "GET, HEAD, POST"),
    route(Listener::Buyers, "/v1/skus", READ),
    route(Listener::Buyers, "/v1/skus/{sku}", READ),
    route(Listener::Operators, "/healthz", READ),
    route(Listener::Operators, "/readyz", READ),
    route(Listener::Operators, "/metrics", READ),
    route(Listener::Operators, "/openapi.json", READ),
    route(Listener::Operators, "/admin/v1/skus", READ),
    route(Listener::Operators, "/admin/v1/skus/{sku}", "GET, HEAD, PUT"),
    route(Listener::Operators, "/admin/v1/skus/{sku}/lots", "POST"),
    route(Listener::Operators, "/admin/v1/skus/{sku}/withdrawals", "POST"),
    route(Listener::Operators, "/admin/v1/orders", READ),
    route(Listener::Operators, "/admin/v1/orders/{order_id}", READ),
    route(Listener::Operators, "/admin/v1/orders/{order_id}/refund", "POST"),
    route(Listener::Operators, "/admin/v1/orders/{order_id}/ship", "POST"),
    route(Listener::Operators, "/admin/v1/orders/{order_id}/deliver", "POST"),
    route(Listener::Operators, "/admin/v1/sales", READ),
    route(Listener::Operators, "/admin/v1/sales/{sale}", "GET, HEAD, PUT"),
    route(Listener::Operators, "/admin/v1/sales/{sale}/pause", "POST"),
    route(Listener::Operators, "/admin/v1/sales/{sale}/resume", "POST"),
    route(Listener::Operators, "/admin/v1/sales/{sale}/end", "POST"),
    route(Listener::Operators, "/admin/v1/payments", READ),
    route(Listener::Operators, "/admin/v1/notices", READ),
    route(Listener::Operators, "/admin/v1/sinks", READ),
    route(Listener::Operators, "/admin/v1/sinks/{sink}/skip", "POST"),
    route(Listener::Operators, "/admin/v1/audit", READ),
    route(Listener::Operators, "/admin/v1/shards", READ),
];

/// What is answered where no route is.
pub(crate) async fn nothing_here() -> Problem {
    Problem::new(Code::NotFound, "no such path")
}

/// What is answered where a route does not take the method.
pub(crate) async fn wrong_method(
    listener: Listener,
    path: MatchedPath,
    request: Request,
) -> Response {
    let detail = format!("{} is not a method of this path", request.method());
    let mut response = Problem::new(Code::MethodNotAllowed, detail).into_response();
    let route = ROUTES.iter().find(|r| r.listener == listener && r.path == path.as_str());
    if let Some(route) = route {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(route.methods));
    }
    response
}
