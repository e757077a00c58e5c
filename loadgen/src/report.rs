//! What a run found out, as data: every figure with its unit in its name.
//!
//! Only figures that were measured; what was not measured is absent, never zero.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::seconds;
use crate::driver::Drive;
use crate::finding::{Finding, Kind};
use crate::limits;
use crate::plan::{Plan, Profile, Work};
use crate::rush::Rushed;
use crate::schedule::Arrivals;
use crate::settle::Settled;
use crate::stock::SkuStock;
use crate::tally::Quantiles;
use crate::workload::Failure;

/// What a run found out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What was asked for.
    pub run: Run,
    /// How it was sent.
    pub sending: Sending,
    /// What came back.
    pub answers: Answers,
    /// Buyers with at least one order; absent where no orders were sent.
    pub buyers_served: Option<u64>,
    /// What became of unknown outcomes; absent where they were not asked for again.
    pub settled: Option<Settled>,
    /// Each SKU around the run; empty without an audit.
    pub stock: Vec<SkuStock>,
    /// The audit from outside, if it was asked for.
    pub audit: Option<Audit>,
}

/// What was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Sets this run's buyers and keys apart.
    pub run_id: String,
    /// Who was called.
    pub target: String,
    /// Requests a second asked for; absent in a closed loop.
    pub rate_asked_per_s: Option<f64>,
    /// How arrivals were drawn; absent in a closed loop.
    pub arrivals: Option<Arrivals>,
    /// For how long requests were planned.
    pub duration_s: f64,
    /// How many requests were planned at most.
    pub requests_max: Option<u64>,
    /// Connections asked for.
    pub connections: u32,
    /// The seed.
    pub seed: u64,
    /// What was sent.
    pub work: WorkSent,
    /// The rush was ended early by request.
    pub stopped_early: bool,
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
    /// They were: all of them, and p99.9 of the lateness was below a millisecond.
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
    /// From due to answered, of what was accepted.
    pub latency_accepted: Option<Quantiles>,
    /// From due to answered, of what was refused.
    pub latency_refused: Option<Quantiles>,
    /// From due to answered, of the other answers.
    pub latency_other: Option<Quantiles>,
}

/// What the audit from outside found.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

    pub(crate) fn new(
        plan: &Plan,
        rushed: Rushed,
        drive: Drive,
        connections_at_start: usize,
        stopped: bool,
    ) -> Report {
        Report {
            run: Run::new(plan, stopped),
            sending: Sending::new(plan, &rushed, drive, connections_at_start),
            answers: Answers::new(rushed),
            buyers_served: None,
            settled: None,
            stock: Vec::new(),
            audit: None,
        }
    }
}

impl Run {
    fn new(plan: &Plan, stopped_early: bool) -> Run {
        let (rate_asked_per_s, arrivals) = match plan.profile {
            Profile::OpenLoop { rate_per_s, arrivals } => (Some(rate_per_s), Some(arrivals)),
            Profile::ClosedLoop => (None, None),
        };
        let work = match &plan.work {
            Work::Orders(orders) => WorkSent::Orders {
                skus: orders.skus.clone(),
                quantity: orders.quantity,
                buyers: orders.buyers,
            },
            Work::Fixed(fixed) => {
                WorkSent::Fixed { method: fixed.method.clone(), path: fixed.path.clone() }
            }
        };
        Run {
            run_id: plan.run_id.clone(),
            target: plan.target.to_string(),
            rate_asked_per_s,
            arrivals,
            duration_s: plan.duration.as_secs_f64(),
            requests_max: plan.requests_max,
            connections: plan.connections,
            seed: plan.seed,
            work,
            stopped_early,
        }
    }
}

impl Sending {
    fn new(plan: &Plan, rushed: &Rushed, drive: Drive, connections_at_start: usize) -> Sending {
        let never_sent = rushed.planned - rushed.sent;
        let (lag, own_lag) = (rushed.lag.quantiles(), rushed.own_lag.quantiles());
        let busy_percent = 100.0 * per(drive.busy_ns as f64, drive.elapsed_ns as f64);
        let window_s = seconds(rushed.sending_ns);
        let timeliness = match plan.profile {
            Profile::ClosedLoop => Timeliness::NotPlanned,
            Profile::OpenLoop { .. } => judge(never_sent, lag, own_lag, busy_percent),
        };
        Sending {
            planned: rushed.planned,
            sent: rushed.sent,
            never_sent,
            window_s,
            offered_per_s: per(rushed.sent as f64, window_s),
            lag,
            own_lag,
            busy_percent,
            timeliness,
            connections_at_start,
            connect_failures: drive.connect_failures,
            reconnects: drive.reconnects,
        }
    }
}

fn judge(
    never_sent: u64,
    lag: Option<Quantiles>,
    own_lag: Option<Quantiles>,
    busy_percent: f64,
) -> Timeliness {
    let late = |times: Option<Quantiles>| {
        times.is_some_and(|times| times.p999_us >= limits::LAG_P999_US_MAX)
    };
    if never_sent == 0 && !late(lag) {
        Timeliness::OnTime
    } else if busy_percent >= limits::BUSY_PERCENT_MAX {
        Timeliness::GeneratorOverloaded
    } else if late(own_lag) {
        Timeliness::GeneratorHeldUp
    } else {
        Timeliness::ConnectionsBusy
    }
}

impl Answers {
    fn new(rushed: Rushed) -> Answers {
        let window_s = seconds(rushed.answering_ns);
        let tally = rushed.tally;
        Answers {
            count: tally.answers,
            window_s,
            answered_per_s: per(tally.answers as f64, window_s),
            accepted: tally.accepted,
            goodput_per_s: per(tally.accepted as f64, window_s),
            refused: tally.refused,
            unknown: tally.unknown,
            unexpected: tally.unexpected,
            latency_accepted: tally.accepted_times.quantiles(),
            latency_refused: tally.refused_times.quantiles(),
            latency_other: tally.other_times.quantiles(),
            by_status: tally.by_status,
            refusals: tally.refusals,
            errors: tally.errors,
        }
    }
}

fn per(amount: f64, whole: f64) -> f64 {
    if whole > 0.0 { amount / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::{Timeliness, judge};
    use crate::tally::Quantiles;

    fn p999(p999_us: u64) -> Option<Quantiles> {
        Some(Quantiles { count: 1, p50_us: 1, p90_us: 1, p99_us: 1, p999_us, max_us: p999_us })
    }

    #[test]
    fn lateness_is_laid_at_the_right_door() {
        assert_eq!(judge(0, p999(999), p999(999), 50.0), Timeliness::OnTime);
        assert_eq!(judge(0, p999(5_000), p999(20), 50.0), Timeliness::ConnectionsBusy);
        assert_eq!(judge(9, p999(20), p999(20), 50.0), Timeliness::ConnectionsBusy);
        assert_eq!(judge(0, p999(5_000), p999(5_000), 50.0), Timeliness::GeneratorHeldUp);
        assert_eq!(judge(9, p999(5_000), p999(20), 99.0), Timeliness::GeneratorOverloaded);
        assert_eq!(judge(3, None, None, 1.0), Timeliness::ConnectionsBusy);
    }
}
