//! The payment provider inside the server, for demos and tests. It takes no money: it shows a page
//! with Pay and Fail, and calls the webhook over HTTP, signed like anyone else's. It can be told to
//! be late, to call twice, out of order, or with a wrong amount, and to fail a refund.
//!
//! It knows of payments only what it is given through [`Payments`] and [`Refunds`], and changes
//! them only through the webhook. What it was told and has not done yet is lost when the server
//! stops; refunds are asked for again.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::get;
use hyper::StatusCode;
use hyper::header::{HeaderValue, LOCATION};

use sluice_core::money::{Amount, Currency};
use tokio::runtime::Handle;

use crate::buyers::json_response;
use crate::json::write::Writer;
use crate::problem::{Code, Problem};
use crate::query::{self, Query};
use crate::webhook::signature::{Keys, Signer};
use crate::{body, operators};

use calls::{Caller, Schedule, reachable};
use manners::Manners;
use refunds::{FailingRefunds, Refunder, Refunds};

mod calls;
mod manners;
mod page;
pub(crate) mod refunds;

/// Where the page of a payment is, on the public listener.
const PAGE: &str = "/sandbox/payments/{payment_id}";

/// The `pay_url` of a payment at a server that listens for buyers at `listener`.
pub(crate) fn pay_url(listener: SocketAddr, payment: &str) -> String {
    format!("http://{}{}", reachable(listener), PAGE.replace("{payment_id}", payment))
}

/// What the provider knows of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PaymentFacts {
    pub(crate) payment: Box<str>,
    pub(crate) order: Box<str>,
    pub(crate) amount: Amount,
    pub(crate) currency: Currency,
    /// As buyers see it.
    pub(crate) status: &'static str,
    /// Whether nothing has been heard of it yet.
    pub(crate) is_open: bool,
}

/// The payments there are.
pub(crate) trait Payments: Send + Sync + 'static {
    /// The payment of an id that anybody may have made up, `None` if there is none.
    fn find(
        &self,
        payment: &str,
    ) -> impl Future<Output = Result<Option<PaymentFacts>, Problem>> + Send;
}

/// The provider, as its page sees it.
pub(crate) struct Sandbox<P> {
    payments: P,
    schedule: Schedule,
    failing: Arc<FailingRefunds>,
}

impl<P: Payments> Sandbox<P> {
    /// Starts the provider of a server that listens for buyers at `listener` and knows webhooks by
    /// `keys`. Calls and refunds are made on `runtime`, until it ends.
    pub(crate) fn start<R: Refunds>(
        runtime: &Handle,
        listener: SocketAddr,
        keys: &Keys,
        payments: P,
        refunds: R,
    ) -> Arc<Self> {
        let (schedule, added) = Schedule::new();
        let failing: Arc<FailingRefunds> = Arc::default();
        runtime.spawn(Caller::new(listener, Signer::new(keys), added).run());
        runtime.spawn(Refunder::new(refunds, schedule.clone(), Arc::clone(&failing)).run());
        Arc::new(Self { payments, schedule, failing })
    }

    async fn find(&self, path: PathPart) -> Result<PaymentFacts, Problem> {
        let none = || Problem::new(Code::NotFound, "no such payment");
        let Path(payment) = path.map_err(|_| none())?;
        self.payments.find(&payment).await?.ok_or_else(none)
    }
}

type PathPart = Result<Path<String>, PathRejection>;

/// The provider's page, for the public listener; only where the provider is the sandbox.
pub(crate) fn router<P: Payments>(sandbox: Arc<Sandbox<P>>) -> Router {
    Router::new().route(PAGE, get(show::<P>).post(settle::<P>)).with_state(sandbox)
}

async fn show<P: Payments>(
    State(sandbox): State<Arc<Sandbox<P>>>,
    path: PathPart,
    request: Request,
) -> Result<Response, Problem> {
    let told = Query::read(request.uri(), &["told"])?.get("told").is_some();
    drop(request);
    Ok(page::of(&sandbox.find(path).await?, told))
}

/// Does what the page, or a program in its place, asks for.
async fn settle<P: Payments>(
    State(sandbox): State<Arc<Sandbox<P>>>,
    path: PathPart,
    request: Request,
) -> Result<Response, Problem> {
    let (head, mut body) = request.into_parts();
    body::check_length(&body)?;
    let is_form = body::is_form(&head.headers);
    if !is_form {
        body::check_media_type(&head.headers)?;
    }
    let bytes = operators::read_in_time(&mut body).await?;
    query::none(&head.uri)?;
    let manners = if is_form { Manners::of_form(&bytes) } else { Manners::of_json(&bytes) }?;
    let facts = sandbox.find(path).await?;
    let delivery = manners.delivery(&facts);
    let (calls, delay) = (delivery.calls(), delivery.delay);
    sandbox.schedule.add(delivery)?;
    if manners.refund_fails {
        sandbox.failing.add(&facts.payment);
    }
    if is_form {
        return Ok(see_the_page());
    }
    let mut json = Writer::with_capacity(64);
    json.raw("{\"calls\":").number(u64::from(calls));
    json.raw(",\"delay_seconds\":").number(delay.as_secs()).raw("}");
    Ok(json_response(StatusCode::ACCEPTED, json))
}

/// Back to the page, by a reference relative to itself: no reload sends the form again.
fn see_the_page() -> Response {
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("?told=1"));
    response
}

#[cfg(test)]
mod tests;
