//! The HTTP gateway of Sluice and its command line.
//!
//! Only this package knows HTTP and JSON. No handler holds a rule of business: it decodes a
//! request into a command, submits it to the engine's handle, and encodes the outcome.

mod audit_cli;
mod body;
mod buyers;
mod call;
pub mod cli;
mod clock;
mod demo;
pub mod exit;
mod gate;
mod ids;
mod journal_cli;
mod json;
pub mod logging;
mod openapi;
mod operators;
mod ops;
mod order;
mod problem;
mod query;
mod rates;
mod read_through;
mod refusals;
mod replies;
mod routes;
#[cfg_attr(not(test), expect(dead_code, reason = "the ledger knows no payments yet"))]
mod sandbox;
pub mod secrets;
pub mod serve;
mod service;
pub mod settings;
mod shutdown;
mod sinks;
mod skus;
mod span;
pub mod token;
mod wakes;
#[cfg_attr(not(test), expect(dead_code, reason = "the ledger knows no payments yet"))]
mod webhook;
mod wire;
mod worker;

pub use order::one_line;
