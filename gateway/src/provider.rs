//! What the sandbox is given of payments and refunds: what the copy in SQL has of them, which is a
//! moment behind.

use std::sync::Arc;
use std::time::Duration;

use sluice_core::id::PaymentId;
use sluice_core::outcome::PaymentStatus;
use sluice_core::sink::StoredPayment;

use crate::lookup::{Lookup, Unreadable};
use crate::problem::{Code, Problem};
use crate::sandbox::refunds::{RefundAsked, Refunds};
use crate::sandbox::{PaymentFacts, Payments, Sandbox};

/// How long a payment that was just begun is waited for.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);

/// The sandbox of this server.
pub(crate) type OwnSandbox = Sandbox<FromCopy>;

/// Payments and refunds of the copy.
#[derive(Clone)]
pub(crate) struct FromCopy(pub(crate) Arc<Lookup>);

impl Payments for FromCopy {
    async fn find(&self, payment: &str) -> Result<Option<PaymentFacts>, Problem> {
        let Some(payment) = PaymentId::parse(payment) else { return Ok(None) };
        let lookup = &self.0;
        let ask = || lookup.payment(payment);
        let found = lookup.caught_up(CATCH_UP_MAX, ask, Option::is_some).await;
        Ok(found.map_err(|unreadable| unavailable(&unreadable))?.as_ref().map(facts))
    }
}

impl Refunds for FromCopy {
    async fn open(&self, after: Option<&str>, most: usize) -> Result<Vec<RefundAsked>, Problem> {
        let found = self.0.refunds(after.and_then(PaymentId::parse), most).await;
        let asked =
            found.map_err(|unreadable| unavailable(&unreadable))?.into_iter().map(|refund| {
                RefundAsked {
                    payment: refund.payment.to_string().into(),
                    order: refund.order.to_string().into(),
                    amount: refund.amount,
                    currency: refund.currency,
                }
            });
        Ok(asked.collect())
    }
}

fn facts(payment: &StoredPayment) -> PaymentFacts {
    let known = PaymentStatus::ALL.iter().find(|(_, word)| *word == &*payment.status);
    let (status, word) = known.copied().unwrap_or((PaymentStatus::Failed, "unknown"));
    PaymentFacts {
        payment: payment.payment.to_string().into(),
        order: payment.order.to_string().into(),
        amount: payment.amount,
        currency: payment.currency,
        status: word,
        is_open: status == PaymentStatus::Open,
    }
}

/// Buyers see the page: why the database does not answer is not for them.
fn unavailable(unreadable: &Unreadable) -> Problem {
    tracing::debug!("the sandbox: {}", unreadable.0);
    Problem::new(Code::Overloaded, "payments cannot be read at the moment")
}
