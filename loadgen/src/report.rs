//! What a run found out, as data: every figure with its unit in its name.
//!
//! Only figures that were measured; what was not measured is absent, never zero.

mod courses;
mod measured;

pub use courses::{Payments, Refunds, Standby};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::book::Baskets;
use crate::distribution::Distribution;
use crate::finding::{Finding, Kind};
use crate::sampler::StockSamples;
use crate::schedule::Arrivals;
use crate::series::Second;
use crate::settle::Settled;
use crate::stock::SkuStock;
use crate::tally::Quantiles;
use crate::threshold::Judged;
use crate::traffic::Traffic;
use crate::workload::Failure;

/// What a run found out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The version of this layout: fields may be added to one, and none changes its meaning.
    pub schema: u32,
    /// What was asked for.
    pub run: Run,
    /// How it was sent.
    pub sending: Sending,
    /// What came back.
    pub answers: Answers,
    /// What was sent outside the measured span: the warm-up, and cancels after the end of the plan. In none of the
    /// figures above, but in the audit; absent where there was nothing.
    pub unmeasured: Option<Unmeasured>,
    /// How long answers to orders took, point by point, from when each was due; absent where none came.
    pub distribution: Option<Distribution>,
    /// The same from when each was sent.
    pub raw_distribution: Option<Distribution>,
    /// The rush second by second, the warm-up included.
    pub seconds: Vec<Second>,
    /// Stock while the rush was on, if it was looked at.
    pub stock_samples: Option<StockSamples>,
    /// Buyers with at least one order; absent where no orders were sent.
    pub buyers_served: Option<u64>,
    /// What became of unknown outcomes; absent where they were not asked for again.
    pub settled: Option<Settled>,
    /// Each SKU around the run; empty without an audit.
    pub stock: Vec<SkuStock>,
    /// The audit from outside, if it was asked for.
    pub audit: Option<Audit>,
    /// What the run was to be failed for, each with its verdict.
    pub thresholds: Vec<Judged>,
}

/// What was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Sets this run's buyers and keys apart.
    pub run_id: String,
    /// When the rush began, by the generator's wall clock, as RFC 3339 writes it.
    pub started_at: String,
    /// The generator's version.
    pub generator: String,
    /// Who was called.
    pub target: String,
    /// Requests a second asked for; absent in a closed loop.
    pub rate_asked_per_s: Option<f64>,
    /// How arrivals were drawn; absent in a closed loop.
    pub arrivals: Option<Arrivals>,
    /// A crowd that came at one moment, if one was planned.
    pub spike: Option<SpikeAsked>,
    /// Seconds of traffic before the measured span.
    pub warm_up_s: f64,
    /// For how long requests were planned and measured.
    pub duration_s: f64,
    /// How many requests were planned at most.
    pub requests_max: Option<u64>,
    /// Connections asked for.
    pub connections: u32,
    /// The seed.
    pub seed: u64,
    /// What was sent.
    pub work: WorkSent,
    /// Shares of buyers who did more than order once.
    pub traffic: Traffic,
    /// The rush was ended early by request.
    pub stopped_early: bool,
}

/// A crowd that came at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpikeAsked {
    /// Seconds of the measured span before it.
    pub quiet_s: f64,
    /// How many times the plain rate it came with.
    pub factor: f64,
    /// Seconds after which what it added was down to 1/e.
    pub decay_s: f64,
}

/// What was sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkSent {
    /// Orders.
    Orders {
        /// The SKUs.
        skus: Vec<String>,
        /// Units in each order.
        quantity: u32,
        /// How many buyers took turns.
        buyers: u32,
    },
    /// One request again and again.
    Fixed {
        /// Its method.
        method: String,
        /// Its path.
        path: String,
    },
}

/// Whether requests were sent when they were due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timeliness {
    /// They were: all of them, and p99.9 of the lateness was within the bound.
    OnTime,
    /// They were not: every connection was waiting for its answer.
    ConnectionsBusy,
    /// They were not: the generator itself had no time left. Its latencies are not the server's.
    GeneratorOverloaded,
    /// They were not: the generator had time and free connections, but did not get the processor when it needed it.
    /// Its latencies are not the server's alone.
    GeneratorHeldUp,
    /// A closed loop has no plan to be late for.
    NotPlanned,
}

/// How it was sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sending {
    /// Requests that were due.
    pub planned: u64,
    /// Requests sent.
    pub sent: u64,
    /// Requests that were due and never sent: they have no latency, it would be longer than any below.
    pub never_sent: u64,
    /// From the start to the end of the plan, or to the last sending if that came later.
    pub window_s: f64,
    /// Requests sent, over that time.
    pub offered_per_s: f64,
    /// Cancels sent because an order was accepted; not among the requests above.
    pub cancels_sent: u64,
    /// The lateness (p99.9, by the generator's own fault) from which the result is not valid, in microseconds.
    pub lag_max_us: u64,
    /// How late requests were sent after they were due; absent in a closed loop.
    pub lag: Option<Quantiles>,
    /// The part of it that passed while a connection was free: the generator's own fault.
    pub own_lag: Option<Quantiles>,
    /// The share of time in which the generator was not waiting for something to do.
    pub busy_percent: f64,
    /// The verdict on all this.
    pub timeliness: Timeliness,
    /// Connections open when the rush began.
    pub connections_at_start: usize,
    /// Openings that failed during the rush.
    pub connect_failures: u64,
    /// Connections opened again during the rush.
    pub reconnects: u64,
}

/// What came back in the rush.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answers {
    /// Answers of any kind.
    pub count: u64,
    /// From the start to the end of the plan, or to the last answer if that came later.
    pub window_s: f64,
    /// Answers, over that time.
    pub answered_per_s: f64,
    /// 201 Created (or, for a fixed request, an expected status).
    pub accepted: u64,
    /// Those, over that time.
    pub goodput_per_s: f64,
    /// 202 Accepted: orders that wait for units.
    #[serde(default)]
    pub waiting: u64,
    /// Retries answered with the order that their key had made.
    pub replayed: u64,
    /// Orders cancelled as asked.
    pub cancelled: u64,
    /// Steps of payments, webhooks and reads between them, done as asked.
    #[serde(default)]
    pub followed_up: u64,
    /// Refusals: 4xx and 503, nothing happened.
    pub refused: u64,
    /// 500, 502, 504, and requests without an answer: something may have happened.
    pub unknown: u64,
    /// Answers that the contract does not know here.
    pub unexpected: u64,
    /// Answers by status.
    pub by_status: BTreeMap<u16, u64>,
    /// Refusals by code.
    pub refusals: BTreeMap<String, u64>,
    /// Requests without an answer, by kind.
    pub errors: BTreeMap<Failure, u64>,
    /// From due to answered, of all answers to orders.
    pub latency_all: Option<Quantiles>,
    /// From due to answered, of what was accepted.
    pub latency_accepted: Option<Quantiles>,
    /// From due to answered, of orders that wait.
    #[serde(default)]
    pub latency_waiting: Option<Quantiles>,
    /// From due to answered, of retries that got the order of their key.
    pub latency_replayed: Option<Quantiles>,
    /// From due to answered, of what was refused.
    pub latency_refused: Option<Quantiles>,
    /// From due to answered, of cancels.
    pub latency_cancelled: Option<Quantiles>,
    /// From due to answered, of payments, webhooks and reads between them.
    #[serde(default)]
    pub latency_followed_up: Option<Quantiles>,
    /// From due to answered, of the other answers.
    pub latency_other: Option<Quantiles>,
    /// From sent to answered, of all answers to orders.
    pub raw_latency_all: Option<Quantiles>,
    /// From sent to answered, of what was accepted.
    pub raw_latency_accepted: Option<Quantiles>,
    /// From sent to answered, of orders that wait.
    #[serde(default)]
    pub raw_latency_waiting: Option<Quantiles>,
    /// From sent to answered, of retries that got the order of their key.
    pub raw_latency_replayed: Option<Quantiles>,
    /// From sent to answered, of what was refused.
    pub raw_latency_refused: Option<Quantiles>,
    /// From sent to answered, of cancels.
    pub raw_latency_cancelled: Option<Quantiles>,
    /// From sent to answered, of payments, webhooks and reads between them.
    #[serde(default)]
    pub raw_latency_followed_up: Option<Quantiles>,
    /// From sent to answered, of the other answers.
    pub raw_latency_other: Option<Quantiles>,
}

/// What was sent outside the measured span, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmeasured {
    /// Requests sent; cancels are not among them.
    pub sent: u64,
    /// Orders accepted.
    pub accepted: u64,
    /// Orders accepted that wait.
    #[serde(default)]
    pub waiting: u64,
    /// Retries answered with the order that their key had made.
    pub replayed: u64,
    /// Orders cancelled as asked.
    pub cancelled: u64,
    /// Steps of payments, webhooks and reads between them.
    #[serde(default)]
    pub followed_up: u64,
    /// Orders refused.
    pub refused: u64,
    /// Outcomes that were not known.
    pub unknown: u64,
    /// Answers that the contract does not know.
    pub unexpected: u64,
}

/// What the audit from outside found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Audit {
    /// Nothing was found wrong, and nothing stayed unchecked.
    pub passed: bool,
    /// Acknowledged orders that were to be checked.
    pub orders: u64,
    /// Of those, found again.
    pub orders_found: u64,
    /// Of those, repeated with their key and answered with the same order.
    pub repeats_same: u64,
    /// Orders by their state now.
    pub by_status: BTreeMap<String, u64>,
    /// The most units of one SKU that one buyer has.
    pub units_per_buyer_max: u64,
    /// Cancels acknowledged, those of the warm-up included.
    pub cancels: u64,
    /// Of those orders, found cancelled.
    pub cancelled_found: u64,
    /// Cancels whose outcome is not known; their orders may be either.
    pub cancels_unknown: u64,
    /// Orders left to expire.
    pub abandoned: u64,
    /// Of those, found expired, none before its time unless that is among the findings.
    pub abandoned_expired: u64,
    /// What became of orders that were told to wait.
    #[serde(default)]
    pub standby: Standby,
    /// What became of orders of several SKUs.
    #[serde(default)]
    pub baskets: Baskets,
    /// What became of payments.
    #[serde(default)]
    pub payments: Payments,
    /// What became of refunds that an operator asked for.
    #[serde(default)]
    pub refunds: Refunds,
    /// Keys of refused requests that were looked up and have no order.
    #[serde(default)]
    pub refused_without_order: u64,
    /// What is wrong.
    pub findings: BTreeMap<Kind, Finding>,
    /// What the audit could not see.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether the audit was asked for and failed.
    pub fn audit_failed(&self) -> bool {
        self.audit.as_ref().is_some_and(|audit| !audit.passed)
    }

    /// Whether the generator itself sent too late, so that its latencies are not the server's.
    pub fn is_invalid(&self) -> bool {
        matches!(
            self.sending.timeliness,
            Timeliness::GeneratorOverloaded | Timeliness::GeneratorHeldUp
        )
    }

    /// Whether something came true that the run was to be failed for.
    pub fn threshold_failed(&self) -> bool {
        self.thresholds.iter().any(|judged| judged.failed)
    }
}

impl Answers {
    /// Each kind of answer with its latencies: from when it was due, and from when it was sent.
    pub fn latencies(&self) -> [(&'static str, Option<Quantiles>, Option<Quantiles>); 8] {
        [
            ("all orders", self.latency_all, self.raw_latency_all),
            ("accepted", self.latency_accepted, self.raw_latency_accepted),
            ("waiting", self.latency_waiting, self.raw_latency_waiting),
            ("replayed", self.latency_replayed, self.raw_latency_replayed),
            ("refused", self.latency_refused, self.raw_latency_refused),
            ("cancelled", self.latency_cancelled, self.raw_latency_cancelled),
            ("payments", self.latency_followed_up, self.raw_latency_followed_up),
            ("other", self.latency_other, self.raw_latency_other),
        ]
    }

    /// Requests whose end is known here: answered, or given up.
    pub(crate) fn ended(&self) -> u64 {
        self.count + self.errors.values().sum::<u64>()
    }
}

#[cfg(test)]
pub(crate) use measured::tests::report as a_report;
