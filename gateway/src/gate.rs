//! What all threads of the gateway share: the engine's handle, the secrets, the shutdown's
//! beginning, and the counters.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use subtle::ConstantTimeEq;

use sluice_core::command::Buyer;
use sluice_core::engine::{Busy, Handle};
use sluice_core::id::PaymentId;
use sluice_core::metrics::Counter;

use crate::clock;
use crate::lookup::Lookup;
use crate::problem::{Code, Problem};
use crate::provider::OwnSandbox;
use crate::rates::Rates;
use crate::read_through::RetiredOrders;
use crate::sandbox;
use crate::secrets::Secrets;
use crate::sinks::SeenSink;
use crate::stream::Streams;
use crate::token::{Signer, TokenError};
use crate::webhook::signature::Verifier;
use crate::wire::accept::Doorman;

/// What one worker counts.
#[derive(Debug, Default)]
pub(crate) struct WorkerMetrics {
    /// Requests answered, by the first digit of the status less two.
    pub(crate) answers: [Counter; 4],
    /// Tokens found in the cache.
    pub(crate) tokens_known: Counter,
    /// Tokens checked by their signature.
    pub(crate) tokens_checked: Counter,
    /// Orders turned away because every place for an answer was taken.
    pub(crate) replies_full: Counter,
    /// Orders whose answer did not come in time.
    pub(crate) outcomes_unknown: Counter,
    /// Connections that took too long over something.
    pub(crate) connections_ended: Counter,
}

/// What the threads of the gateway share.
pub(crate) struct Gate {
    pub(crate) handle: Handle,
    pub(crate) signer: Signer,
    pub(crate) webhooks: Verifier,
    /// Calls to the webhook that nobody who knows a secret had signed.
    pub(crate) webhooks_refused: Counter,
    /// The payment provider inside the server, if it is the one that is used.
    pub(crate) sandbox: Option<Arc<OwnSandbox>>,
    /// Where buyers' requests come in.
    listener: SocketAddr,
    /// Who watches sales.
    pub(crate) streams: Streams,
    admin_token: Box<[u8]>,
    draining: AtomicBool,
    /// One for each worker, and a last one for the operators' thread.
    pub(crate) workers: Vec<Arc<WorkerMetrics>>,
    pub(crate) rates: Rates,
    pub(crate) buyers_door: Arc<Doorman>,
    pub(crate) operators_door: Arc<Doorman>,
    /// What copies the journal elsewhere.
    pub(crate) sinks: Vec<SeenSink>,
    /// The way to orders that have left the ledger.
    pub(crate) retired: RetiredOrders,
    /// The way to what operators ask of the copy.
    pub(crate) lookup: Arc<Lookup>,
    /// The way to the lists that buyers ask of it.
    pub(crate) buyers_lookup: Lookup,
}

/// What is known of the copies.
pub(crate) struct Copies {
    pub(crate) sinks: Vec<SeenSink>,
    pub(crate) retired: RetiredOrders,
    pub(crate) lookup: Arc<Lookup>,
    pub(crate) buyers_lookup: Lookup,
}

/// What buyers' listener has beside its threads.
pub(crate) struct Front {
    pub(crate) listener: SocketAddr,
    pub(crate) sandbox: Option<Arc<OwnSandbox>>,
    pub(crate) streams: Streams,
}

impl Gate {
    pub(crate) fn new(
        handle: Handle,
        secrets: &Secrets,
        workers: usize,
        (buyers_door, operators_door): (Arc<Doorman>, Arc<Doorman>),
        copies: Copies,
        front: Front,
    ) -> Self {
        Self {
            handle,
            signer: Signer::new(secrets.jwt_secret.as_bytes()),
            webhooks: Verifier::new(&secrets.webhook_keys),
            webhooks_refused: Counter::default(),
            sandbox: front.sandbox,
            listener: front.listener,
            streams: front.streams,
            admin_token: Box::from(secrets.admin_token.as_bytes()),
            draining: AtomicBool::new(false),
            workers: (0..=workers).map(|_| Arc::default()).collect(),
            rates: Rates::default(),
            buyers_door,
            operators_door,
            sinks: copies.sinks,
            retired: copies.retired,
            lookup: copies.lookup,
            buyers_lookup: copies.buyers_lookup,
        }
    }

    /// The threads that answer requests, by name, with what they count.
    pub(crate) fn threads(&self) -> impl Iterator<Item = (String, &WorkerMetrics)> {
        let operators = self.workers.len() - 1;
        self.workers.iter().enumerate().map(move |(number, metrics)| match number == operators {
            true => ("operators".to_owned(), &**metrics),
            false => (format!("worker-{number}"), &**metrics),
        })
    }

    /// Where a payment can be paid, if that is here.
    pub(crate) fn pay_url(&self, payment: PaymentId) -> Option<String> {
        self.sandbox.as_ref().map(|_| sandbox::pay_url(self.listener, &payment.to_string()))
    }

    /// A shutdown begins: no new orders from now on.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.handle.stop_accepting();
    }

    /// Whether a shutdown has begun.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Why a command was not taken, for its sender.
    pub(crate) fn busy(&self, busy: Busy) -> Problem {
        match busy {
            Busy::NotAccepting if !self.is_draining() => {
                Problem::new(Code::Overloaded, "the disk is late; no new orders are taken")
            }
            busy => Problem::from(busy),
        }
    }

    /// The buyer that a request's token names.
    pub(crate) fn buyer(&self, headers: &HeaderMap) -> Result<Buyer, Problem> {
        let claims = self.signer.check(bearer(headers)?).map_err(unauthenticated)?;
        claims.judge(clock::wall_seconds()).map_err(unauthenticated)?;
        Ok(Buyer::new(self.handle.hash_key(), &claims.buyer))
    }

    /// Refuses whoever does not have the operators' token.
    pub(crate) fn operator(&self, headers: &HeaderMap) -> Result<(), Problem> {
        match bool::from(bearer(headers)?.ct_eq(&self.admin_token)) {
            true => Ok(()),
            false => Err(Problem::new(Code::Unauthenticated, "the token is not the operators'")),
        }
    }
}

/// The token of a request: one `Authorization` field with the scheme Bearer (RFC 6750, 2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&[u8], Problem> {
    let wrong = |what| Problem::new(Code::Unauthenticated, what);
    let value = single(headers, &AUTHORIZATION)
        .map_err(|_| wrong("Authorization: given more than once"))?
        .ok_or_else(|| wrong("Authorization: a bearer token is needed"))?;
    let bytes = value.as_bytes();
    match bytes.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty() => {
            Ok(token)
        }
        _ => Err(wrong("Authorization: must be Bearer and a token")),
    }
}

/// A field was given more than once.
pub(crate) struct Repeated;

/// The value of a field that may be given once.
pub(crate) fn single<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Repeated> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(Repeated),
    }
}

/// 401, saying what is wrong with the token.
pub(crate) fn unauthenticated(error: TokenError) -> Problem {
    Problem::new(Code::Unauthenticated, error.to_string())
}
