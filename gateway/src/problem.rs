//! Refusals as the contract words them: RFC 9457 problem documents with a stable code.

use std::borrow::Cow;

use axum::response::IntoResponse;
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use sluice_core::id::RequestId;
use sluice_core::time::Timestamp;

use crate::json::Invalid;
use crate::json::write::Writer;

/// The codes of the contract that this gateway answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidRequest,
    Unauthenticated,
    InvalidSignature,
    NotFound,
    SkuNotFound,
    OrderNotFound,
    SaleNotFound,
    MethodNotAllowed,
    BuyerLimit,
    PriceChanged,
    SoldOut,
    OrderState,
    SinkState,
    LotExists,
    SaleNotOpen,
    SalePaused,
    SaleEnded,
    SkuInSale,
    PreconditionFailed,
    BodyTooLarge,
    UriTooLong,
    UnsupportedMediaType,
    IdempotencyKeyReused,
    TooManyKeys,
    RateLimited,
    HeadersTooLarge,
    Internal,
    Overloaded,
    Capacity,
    DiskReserve,
    ShuttingDown,
    UnknownOutcome,
}

/// A code's status, spelling, title, and after how many seconds the same request may be sent
/// again (`None`: it would be refused again).
struct Entry(StatusCode, &'static str, &'static str, Option<&'static str>);

impl Code {
    #[rustfmt::skip]
    const fn entry(self) -> Entry {
        use StatusCode as S;
        match self {
            Self::InvalidRequest => Entry(S::BAD_REQUEST, "invalid_request", "The request is not valid", None),
            Self::Unauthenticated => Entry(S::UNAUTHORIZED, "unauthenticated", "A valid bearer token is needed", None),
            Self::InvalidSignature => Entry(S::UNAUTHORIZED, "invalid_signature", "The call is not signed as it must be", None),
            Self::NotFound => Entry(S::NOT_FOUND, "not_found", "There is nothing here", None),
            Self::SkuNotFound => Entry(S::NOT_FOUND, "sku_not_found", "There is no such SKU", None),
            Self::OrderNotFound => Entry(S::NOT_FOUND, "order_not_found", "There is no such order", None),
            Self::SaleNotFound => Entry(S::NOT_FOUND, "sale_not_found", "There is no such sale", None),
            Self::MethodNotAllowed => Entry(S::METHOD_NOT_ALLOWED, "method_not_allowed", "The method is not allowed here", None),
            Self::BuyerLimit => Entry(S::CONFLICT, "buyer_limit", "The buyer would have too many units", None),
            Self::PriceChanged => Entry(S::CONFLICT, "price_changed", "The order would cost more than max_amount", None),
            Self::SoldOut => Entry(S::CONFLICT, "sold_out", "There are not enough units left", None),
            Self::OrderState => Entry(S::CONFLICT, "order_state", "The order's state does not allow it", None),
            Self::SinkState => Entry(S::CONFLICT, "sink_state", "The sink's state does not allow it", None),
            Self::LotExists => Entry(S::CONFLICT, "lot_exists", "A lot of this name is there already", None),
            Self::SaleNotOpen => Entry(S::CONFLICT, "sale_not_open", "The sale has not opened", None),
            Self::SalePaused => Entry(S::CONFLICT, "sale_paused", "The sale is paused", None),
            Self::SaleEnded => Entry(S::CONFLICT, "sale_ended", "The sale is over", None),
            Self::SkuInSale => Entry(S::CONFLICT, "sku_in_sale", "A SKU is in another sale that has not ended", None),
            Self::PreconditionFailed => Entry(S::PRECONDITION_FAILED, "precondition_failed", "It is at another revision", None),
            Self::BodyTooLarge => Entry(S::PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large", None),
            Self::UriTooLong => Entry(S::URI_TOO_LONG, "uri_too_long", "The URI is too long", None),
            Self::UnsupportedMediaType => Entry(S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body must be plain JSON", None),
            Self::IdempotencyKeyReused => Entry(S::UNPROCESSABLE_ENTITY, "idempotency_key_reused", "The key was used for another request", None),
            Self::TooManyKeys => Entry(S::TOO_MANY_REQUESTS, "too_many_keys", "The buyer has too many live keys", None),
            Self::RateLimited => Entry(S::TOO_MANY_REQUESTS, "rate_limited", "Too many connections", Some("1")),
            Self::HeadersTooLarge => Entry(S::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "The header is too large", None),
            Self::Internal => Entry(S::INTERNAL_SERVER_ERROR, "internal", "Something went wrong inside", Some("1")),
            Self::Overloaded => Entry(S::SERVICE_UNAVAILABLE, "overloaded", "Too much is waiting already; nothing happened", Some("1")),
            Self::Capacity => Entry(S::SERVICE_UNAVAILABLE, "capacity", "A ceiling is met; nothing happened", Some("5")),
            Self::DiskReserve => Entry(S::SERVICE_UNAVAILABLE, "disk_reserve", "The disk is full; nothing happened", Some("5")),
            Self::ShuttingDown => Entry(S::SERVICE_UNAVAILABLE, "shutting_down", "No new orders are taken; nothing happened", Some("2")),
            Self::UnknownOutcome => Entry(S::GATEWAY_TIMEOUT, "unknown_outcome", "It may have happened; ask again with the same key", Some("1")),
        }
    }

    /// Its HTTP status.
    pub(crate) const fn status(self) -> StatusCode {
        self.entry().0
    }
}

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) detail: Cow<'static, str>,
    /// When it will be otherwise, if a sale has not opened.
    pub(crate) opening: Option<Box<Opening>>,
}

/// When a sale opens, and when that was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) opens_at: Timestamp,
    pub(crate) server_time: Timestamp,
}

impl Problem {
    /// A refusal with its detail.
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), opening: None }
    }

    /// 400 `invalid_request`; `detail` names the field.
    pub(crate) fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    /// The problem document.
    pub(crate) fn document(&self, request: RequestId) -> Vec<u8> {
        let Entry(status, code, title, retry_after) = self.code.entry();
        let mut json = Writer::with_capacity(320);
        json.raw("{\"type\":\"urn:sluice:").raw(code).raw("\",\"title\":\"").raw(title);
        json.raw("\",\"status\":").number(u64::from(status.as_u16()));
        json.raw(",\"detail\":").string(&self.detail);
        json.raw(",\"code\":\"").raw(code).raw("\",\"retryable\":");
        json.raw(if retry_after.is_some() { "true" } else { "false" });
        if let Some(opening) = &self.opening {
            json.raw(",\"opens_at\":").time(opening.opens_at);
            json.raw(",\"server_time\":").time(opening.server_time);
        }
        json.raw(",\"request_id\":\"").id(request.ascii()).raw("\"}");
        json.into_bytes()
    }

    /// The answer, but for what every answer carries.
    pub(crate) fn response<B: From<Bytes>>(&self, request: RequestId) -> Response<B> {
        let mut response = Response::new(B::from(Bytes::from(self.document(request))));
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        for (name, value) in self.headers().into_iter().flatten() {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }

    /// The header fields that go with its code.
    pub(crate) fn headers(&self) -> [Option<(HeaderName, &'static str)>; 3] {
        [
            Some((CONTENT_TYPE, "application/problem+json")),
            self.code.entry().3.map(|seconds| (RETRY_AFTER, seconds)),
            self.challenge().map(|scheme| (WWW_AUTHENTICATE, scheme)),
        ]
    }

    /// What every 401 says of how to do better (RFC 9110, 11.6.1).
    const fn challenge(&self) -> Option<&'static str> {
        match self.code {
            Code::Unauthenticated => Some("Bearer"),
            Code::InvalidSignature => Some("Webhook-Signature"),
            _ => None,
        }
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self::invalid(invalid.0)
    }
}

/// Handlers answer with a problem; the service writes it out, because it knows the request's id.
impl IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        let mut response = Response::new(axum::body::Body::empty());
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, Problem};
    use sluice_core::id::RequestId;

    #[test]
    fn a_problem_is_json_and_says_whether_to_come_again() {
        let problem = Problem::new(Code::Overloaded, "the \"orders\" lane is full");
        let document = problem.document(RequestId::from_bits(1));
        let json: serde_json::Value = serde_json::from_slice(&document).expect("valid JSON");
        assert_eq!(
            json,
            serde_json::json!({
                "type": "urn:sluice:overloaded",
                "title": "Too much is waiting already; nothing happened",
                "status": 503,
                "detail": "the \"orders\" lane is full",
                "code": "overloaded",
                "retryable": true,
                "request_id": "00000000000000000000000001",
            })
        );
        assert!(problem.headers().iter().flatten().any(|(name, _)| name == "retry-after"));
    }
}
