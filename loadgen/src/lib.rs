//! An open-loop load generator for Sluice, and an auditor of what Sluice acknowledged.
//!
//! It knows the HTTP contract and nothing else of the server, so that it can share no bug with it. Requests are
//! planned by a rate and sent when they are due, whatever the answers to earlier ones do; latency counts from when
//! a request was due. Afterwards every acknowledged order is read back and repeated, and held against the stock.
//!
//! ```no_run
//! use sluice_loadgen::{Endpoint, Orders, Plan, Secret, Silent, Stop, Work, run};
//!
//! # fn main() -> Result<(), sluice_loadgen::Error> {
//! let orders = Orders {
//!     skus: vec!["iphone".to_owned()],
//!     quantity: 1,
//!     buyers: 10_000,
//!     jwt_secret: Secret::new("the key that the server checks tokens with"),
//!     per_buyer_limit: Some(1),
//!     ops: None,
//!     setup: None,
//!     audit: true,
//! };
//! let plan = Plan::new(Endpoint::parse("target", "http://127.0.0.1:8080")?, Work::Orders(orders));
//! let report = run(&plan, &Stop::new(), &mut Silent)?;
//! println!("{report}");
//! # Ok(())
//! # }
//! ```

mod audit;
mod book;
mod call;
mod callers;
mod cancels;
mod checking;
mod clock;
mod connection;
mod distribution;
mod driver;
mod endpoint;
mod engine_clock;
mod errands;
mod error;
mod expiry;
mod finding;
mod follow;
mod following;
mod holds;
mod html;
mod http;
mod intensity;
mod limits;
mod lines;
mod live;
mod operator;
mod order;
mod payments;
mod plan;
mod progress;
mod random;
mod range;
mod refunds;
mod report;
mod rest;
mod run;
mod run_id;
mod rush;
mod sampler;
mod schedule;
mod script;
mod secret;
mod series;
mod settle;
mod standby;
mod stock;
mod stop;
mod subject;
mod tally;
mod text;
mod threshold;
mod token;
mod traffic;
mod webhook;
mod work;
mod workload;
mod zipf;

pub use book::Baskets;
pub use distribution::{Distribution, Point};
pub use endpoint::Endpoint;
pub use error::{Error, Result};
pub use finding::{Finding, Kind};
pub use intensity::Spike;
pub use limits::Limits;
pub use live::Live;
pub use plan::{Patience, Plan, Profile};
pub use progress::{Phase, Progress, Silent, Tick};
pub use report::{
    Answers, Audit, Payments, Refunds, Report, Run, Sending, SpikeAsked, Standby, Timeliness,
    Unmeasured, WorkSent,
};
pub use run::run;
pub use sampler::{StockSample, StockSamples};
pub use schedule::Arrivals;
pub use secret::{Secret, Secrets};
pub use series::Second;
pub use settle::Settled;
pub use stock::{SkuCounters, SkuStock};
pub use stop::Stop;
pub use tally::Quantiles;
pub use threshold::{Judged, Threshold};
pub use traffic::Traffic;
pub use work::{Fixed, Ops, Orders, Setup, Work};
pub use workload::Failure;
