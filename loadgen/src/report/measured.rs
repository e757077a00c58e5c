//! From what a rush measured to what the report says of it.

use crate::clock::seconds;
use crate::distribution::Distribution;
use crate::driver::Drive;
use crate::limits;
use crate::plan::{Plan, Profile};
use crate::report::{Answers, Report, Run, Sending, SpikeAsked, Timeliness, Unmeasured, WorkSent};
use crate::rush::Rushed;
use crate::tally::{Latencies, Latency, Quantiles, Tally};
use crate::work::Work;

/// The layout that this program writes.
const SCHEMA: u32 = 1;

impl Report {
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
            cancels_sent: 0,
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
        let Latencies { accepted, waiting, replayed, refused, cancelled, followed_up, other } =
            &tally.latencies;
        Answers {
            count: tally.answers,
            window_s,
            answered_per_s: per(tally.answers as f64, window_s),
            accepted: tally.accepted,
            goodput_per_s: per(tally.accepted as f64, window_s),
            waiting: tally.waiting,
            replayed: tally.replayed,
            cancelled: tally.cancelled,
            followed_up: tally.followed_up,
            refused: tally.refused,
            unknown: tally.unknown,
            unexpected: tally.unexpected,
            latency_all: orders.corrected.quantiles(),
            latency_accepted: accepted.corrected.quantiles(),
            latency_waiting: waiting.corrected.quantiles(),
            latency_replayed: replayed.corrected.quantiles(),
            latency_refused: refused.corrected.quantiles(),
            latency_cancelled: cancelled.corrected.quantiles(),
            latency_followed_up: followed_up.corrected.quantiles(),
            latency_other: other.corrected.quantiles(),
            raw_latency_all: orders.raw.quantiles(),
            raw_latency_accepted: accepted.raw.quantiles(),
            raw_latency_waiting: waiting.raw.quantiles(),
            raw_latency_replayed: replayed.raw.quantiles(),
            raw_latency_refused: refused.raw.quantiles(),
            raw_latency_cancelled: cancelled.raw.quantiles(),
            raw_latency_followed_up: followed_up.raw.quantiles(),
            raw_latency_other: other.raw.quantiles(),
            by_status: tally.by_status,
            refusals: tally.refusals,
            errors: tally.errors,
        }
    }
}

impl Unmeasured {
    fn of(sent: u64, tally: &Tally) -> Option<Unmeasured> {
        let unmeasured = Unmeasured {
            sent,
            accepted: tally.accepted,
            waiting: tally.waiting,
            replayed: tally.replayed,
            cancelled: tally.cancelled,
            followed_up: tally.followed_up,
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
    use super::judge;
    use crate::driver::Drive;
    use crate::endpoint::Endpoint;
    use crate::plan::Plan;
    use crate::report::{Audit, Report, Timeliness};
    use crate::rush::Rush;
    use crate::subject::Repeating;
    use crate::tally::Quantiles;
    use crate::work::{Fixed, Work};

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
