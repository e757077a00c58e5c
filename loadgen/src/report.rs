//! What a run found out, as data: every figure with its unit in its name.
//!
//! Only figures that were measured; what was not measured is absent, never zero.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::seconds;
use crate::distribution::Distribution;
use crate::driver::Drive;
use crate::finding::{Finding, Kind};
use crate::limits;
use crate::plan::{Plan, Profile, Work};
use crate::rush::Rushed;
use crate::sampler::StockSamples;
use crate::schedule::Arrivals;
use crate::series::Second;
use crate::settle::Settled;
use crate::stock::SkuStock;
use crate::tally::{Latencies, Latency, Quantiles, Tally};
use crate::threshold::Judged;
use crate::traffic::Traffic;
use crate::workload::Failure;

/// The layout that this program writes.
const SCHEMA: u32 = 1;

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
    /// Retries answered with the order that their key had made.
    pub replayed: u64,
    /// Orders cancelled as asked.
    pub cancelled: u64,
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
    /// From due to answered, of retries that got the order of their key.
    pub latency_replayed: Option<Quantiles>,
    /// From due to answered, of what was refused.
    pub latency_refused: Option<Quantiles>,
    /// From due to answered, of cancels.
    pub latency_cancelled: Option<Quantiles>,
    /// From due to answered, of the other answers.
    pub latency_other: Option<Quantiles>,
    /// From sent to answered, of all answers to orders.
    pub raw_latency_all: Option<Quantiles>,
    /// From sent to answered, of what was accepted.
    pub raw_latency_accepted: Option<Quantiles>,
    /// From sent to answered, of retries that got the order of their key.
    pub raw_latency_replayed: Option<Quantiles>,
    /// From sent to answered, of what was refused.
    pub raw_latency_refused: Option<Quantiles>,
    /// From sent to answered, of cancels.
    pub raw_latency_cancelled: Option<Quantiles>,
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
    /// Retries answered with the order that their key had made.
    pub replayed: u64,
    /// Orders cancelled as asked.
    pub cancelled: u64,
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

    pub(crate) fn new(
        plan: &Plan,
        rushed: Rushed,
        drive: Drive,
        connections_at_start: usize,
        started_at: &str,
        stopped: bool,
    ) -> Report {
        let orders = rushed.tally.latencies.orders();
        Report {
            schema: SCHEMA,
            run: Run::new(plan, started_at, stopped),
            sending: Sending::new(plan, &rushed, drive, connections_at_start),
            unmeasured: Unmeasured::of(rushed.unmeasured_sent, &rushed.unmeasured),
            distribution: Distribution::of(&orders.corrected),
            raw_distribution: Distribution::of(&orders.raw),
            answers: Answers::new(rushed.tally, &orders, seconds(rushed.answering_ns)),
            seconds: rushed.seconds,
            stock_samples: None,
            buyers_served: None,
            settled: None,
            stock: Vec::new(),
            audit: None,
            thresholds: Vec::new(),
        }
    }
}

impl Run {
    fn new(plan: &Plan, started_at: &str, stopped_early: bool) -> Run {
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
            started_at: started_at.to_owned(),
            generator: concat!("sluice-loadgen ", env!("CARGO_PKG_VERSION")).to_owned(),
            target: plan.target.to_string(),
            rate_asked_per_s,
            arrivals,
            spike: plan.spike.map(|spike| SpikeAsked {
                quiet_s: spike.quiet.as_secs_f64(),
                factor: spike.factor,
                decay_s: spike.decay.as_secs_f64(),
            }),
            warm_up_s: plan.warm_up.as_secs_f64(),
            duration_s: plan.duration.as_secs_f64(),
            requests_max: plan.requests_max,
            connections: plan.connections,
            seed: plan.seed,
            work,
            traffic: plan.traffic,
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
        let lag_max_us = plan.lag_max.as_micros() as u64;
        let timeliness = match plan.profile {
            Profile::ClosedLoop => Timeliness::NotPlanned,
            Profile::OpenLoop { .. } => judge(never_sent, lag, own_lag, busy_percent, lag_max_us),
        };
        Sending {
            planned: rushed.planned,
            sent: rushed.sent,
            never_sent,
            window_s,
            offered_per_s: per(rushed.sent as f64, window_s),
            cancels_sent: rushed.follow_ups,
            lag_max_us,
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
    lag_max_us: u64,
) -> Timeliness {
    let late = |times: Option<Quantiles>| times.is_some_and(|times| times.p999_us >= lag_max_us);
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
    fn new(tally: Tally, orders: &Latency, window_s: f64) -> Answers {
        let Latencies { accepted, replayed, refused, cancelled, other } = &tally.latencies;
        Answers {
            count: tally.answers,
            window_s,
            answered_per_s: per(tally.answers as f64, window_s),
            accepted: tally.accepted,
            goodput_per_s: per(tally.accepted as f64, window_s),
            replayed: tally.replayed,
            cancelled: tally.cancelled,
            refused: tally.refused,
            unknown: tally.unknown,
            unexpected: tally.unexpected,
            latency_all: orders.corrected.quantiles(),
            latency_accepted: accepted.corrected.quantiles(),
            latency_replayed: replayed.corrected.quantiles(),
            latency_refused: refused.corrected.quantiles(),
            latency_cancelled: cancelled.corrected.quantiles(),
            latency_other: other.corrected.quantiles(),
            raw_latency_all: orders.raw.quantiles(),
            raw_latency_accepted: accepted.raw.quantiles(),
            raw_latency_replayed: replayed.raw.quantiles(),
            raw_latency_refused: refused.raw.quantiles(),
            raw_latency_cancelled: cancelled.raw.quantiles(),
            raw_latency_other: other.raw.quantiles(),
            by_status: tally.by_status,
            refusals: tally.refusals,
            errors: tally.errors,
        }
    }

    /// Each kind of answer with its latencies: from when it was due, and from when it was sent.
    pub fn latencies(&self) -> [(&'static str, Option<Quantiles>, Option<Quantiles>); 6] {
        [
            ("all orders", self.latency_all, self.raw_latency_all),
            ("accepted", self.latency_accepted, self.raw_latency_accepted),
            ("replayed", self.latency_replayed, self.raw_latency_replayed),
            ("refused", self.latency_refused, self.raw_latency_refused),
            ("cancelled", self.latency_cancelled, self.raw_latency_cancelled),
            ("other", self.latency_other, self.raw_latency_other),
        ]
    }

    /// Requests whose end is known here: answered, or given up.
    pub(crate) fn ended(&self) -> u64 {
        self.count + self.errors.values().sum::<u64>()
    }
}

impl Unmeasured {
    fn of(sent: u64, tally: &Tally) -> Option<Unmeasured> {
        let unmeasured = Unmeasured {
            sent,
            accepted: tally.accepted,
            replayed: tally.replayed,
            cancelled: tally.cancelled,
            refused: tally.refused,
            unknown: tally.unknown,
            unexpected: tally.unexpected,
        };
        (sent + tally.ended() > 0).then_some(unmeasured)
    }
}

fn per(amount: f64, whole: f64) -> f64 {
    if whole > 0.0 { amount / whole } else { 0.0 }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Audit, Report, Timeliness, judge};
    use crate::driver::Drive;
    use crate::endpoint::Endpoint;
    use crate::plan::{Fixed, Plan, Work};
    use crate::rush::Rush;
    use crate::subject::Repeating;
    use crate::tally::Quantiles;

    /// A report of a run that sent nothing, with an audit that passed.
    pub(crate) fn report() -> Report {
        let fixed = Fixed {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            expected: vec![200],
        };
        let target = Endpoint::parse("target", "http://127.0.0.1:1").unwrap();
        let mut plan = Plan::new(target, Work::Fixed(fixed.clone()));
        (plan.seed, plan.run_id) = (1, "run".to_owned());
        let mut subject = Repeating::new(&plan, &fixed);
        let rushed = Rush::new(&plan, &mut subject).finish();
        let mut report =
            Report::new(&plan, rushed, Drive::default(), 1, "2026-11-21T00:00:00Z", false);
        report.audit = Some(Audit { passed: true, ..Audit::default() });
        report
    }

    fn p999(p999_us: u64) -> Option<Quantiles> {
        Some(Quantiles { count: 1, p50_us: 1, p90_us: 1, p99_us: 1, p999_us, max_us: p999_us })
    }

    #[test]
    fn lateness_is_laid_at_the_right_door() {
        assert_eq!(judge(0, p999(999), p999(999), 50.0, 1_000), Timeliness::OnTime);
        assert_eq!(judge(0, p999(5_000), p999(20), 50.0, 1_000), Timeliness::ConnectionsBusy);
        assert_eq!(judge(9, p999(20), p999(20), 50.0, 1_000), Timeliness::ConnectionsBusy);
        assert_eq!(judge(0, p999(5_000), p999(5_000), 50.0, 1_000), Timeliness::GeneratorHeldUp);
        assert_eq!(judge(9, p999(5_000), p999(20), 99.0, 1_000), Timeliness::GeneratorOverloaded);
        assert_eq!(judge(0, p999(5_000), p999(5_000), 50.0, 6_000), Timeliness::OnTime);
        assert_eq!(judge(3, None, None, 1.0, 1_000), Timeliness::ConnectionsBusy);
    }
}
