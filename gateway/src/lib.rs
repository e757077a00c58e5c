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
mod copies;
mod copy;
mod demo;
pub mod exit;
mod gate;
mod ids;
mod journal_cli;
mod json;
mod listing;
pub mod logging;
mod lookup;
mod openapi;
mod operator_client;
mod operators;
mod ops;
mod order;
mod payments;
mod preconditions;
mod problem;
mod provider;
mod query;
mod rates;
mod read_through;
mod refusals;
mod replies;
mod retention;
mod routes;
mod sales;
mod sandbox;
pub mod secrets;
pub mod serve;
mod service;
pub mod settings;
mod shutdown;
mod sink_cli;
mod sinks;
mod skus;
mod span;
mod stream;
pub mod token;
mod wakes;
mod webhook;
mod wire;
mod worker;

pub use order::one_line;
