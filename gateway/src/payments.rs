//! Payments, from outside: a buyer begins one, a provider says what became of it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use hyper::StatusCode;

use sluice_core::command::{Buyer, Command, StartPayment};
use sluice_core::id::{OrderId, RequestId};
use sluice_core::outcome::{Outcome, Refusal};

use crate::buyers::{PathPart, json_response, order_id};
use crate::gate::Gate;
use crate::ids::{self, DRAWS_MAX};
use crate::json;
use crate::json::write::Writer;
use crate::problem::{Code, Problem};
use crate::{buyers, call, clock, operators, query, webhook};

/// Begins a payment, or gives the one that is open.
pub(crate) async fn start(
    State(gate): State<Arc<Gate>>,
    path: PathPart,
    mut request: Request,
) -> Result<Response, Problem> {
    let buyer = gate.buyer(request.headers())?;
    buyers::empty_body(&mut request).await?;
    query::none(request.uri())?;
    let order = order_id(&path)?;
    let (created, payment) =
        match begin(&gate, order, &buyer, operators::request_id(&request)).await? {
            Outcome::Payment { created, payment } => (created, payment),
            // What has left the ledger is final, and no payment of it can begin.
            Outcome::Refused(Refusal::OrderNotFound) => {
                let retired = gate.retired.order(order, &buyer, gate.handle.now()).await?;
                let refusal = Refusal::OrderState { status: retired.view.status };
                return Err(Problem::refused(refusal, gate.handle.now()));
            }
            Outcome::Refused(refusal) => {
                return Err(Problem::refused(refusal, gate.handle.now()));
            }
            other => return Err(call::unexpected(&other)),
        };
    let mut json = Writer::with_capacity(320);
    json::payment::payment(&mut json, &payment, gate.pay_url(payment.payment).as_deref());
    Ok(json_response(if created { StatusCode::CREATED } else { StatusCode::OK }, json))
}

/// Submits the beginning of a payment under ids drawn until one is free.
async fn begin(
    gate: &Gate,
    order: OrderId,
    buyer: &Buyer,
    request: RequestId,
) -> Result<Outcome, Problem> {
    let mut outcome = Outcome::Refused(Refusal::IdTaken);
    for _ in 0..DRAWS_MAX {
        let (now, cell) = (gate.handle.now(), gate.handle.cell());
        let payment = ids::draw(|ids| ids.payment(now, cell, order.slot()));
        let start = StartPayment { payment, order, buyer: buyer.digest, request };
        outcome = call::submit(gate, Command::StartPayment(Box::new(start))).await?;
        if outcome != Outcome::Refused(Refusal::IdTaken) {
            break;
        }
    }
    Ok(outcome)
}

/// Takes what a provider says. 200 only once it is synced.
pub(crate) async fn notify(
    State(gate): State<Arc<Gate>>,
    request: Request,
) -> Result<Response, Problem> {
    let now = clock::wall_seconds();
    let admitted = webhook::admitted(&gate.webhooks, now, request).await;
    if admitted.as_ref().is_err_and(|problem| problem.code == Code::InvalidSignature) {
        gate.webhooks_refused.add_shared(1);
    }
    if let Some(notice) = admitted? {
        match call::ask(&gate, Command::Notify(Box::new(notice))).await? {
            Outcome::Noted => {}
            other => return Err(call::unexpected(&other)),
        }
    }
    let mut json = Writer::default();
    json.raw("{\"received\":true}");
    Ok(json_response(StatusCode::OK, json))
}
