//! One run from beginning to end: set up, rush, settle, audit.

use crate::book::Book;
use crate::callers::Callers;
use crate::checking::Checking;
use crate::clock::{nanos, unix_seconds, wall_text};
use crate::driver::{Bounds, Driver, Watch};
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::follow::FollowUps;
use crate::operator;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::report::Report;
use crate::rush::{Rush, Rushed};
use crate::sampler::Sampler;
use crate::script::Script;
use crate::stop::Stop;
use crate::subject::{Ordering, Repeating, Subject};
use crate::webhook::{self, Provider};
use crate::work::{Fixed, Orders, Work};

/// How long tokens stay valid beyond the planned duration.
const TOKEN_SPARE_S: u64 = 86_400;

/// Makes one run and reports on it. Blocks the calling thread, which does all the work.
pub fn run(plan: &Plan, stop: &Stop, progress: &mut dyn Progress) -> Result<Report> {
    plan.check()?;
    let mut report = match &plan.work {
        Work::Fixed(fixed) => run_fixed(plan, fixed, stop, progress)?,
        Work::Orders(orders) => run_orders(plan, orders, stop, progress)?,
    };
    report.thresholds = plan.thresholds.iter().map(|threshold| threshold.judge(&report)).collect();
    Ok(report)
}

fn run_fixed(
    plan: &Plan,
    fixed: &Fixed,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<Report> {
    let mut subject = Repeating::new(plan, fixed);
    let mut watch = Watch { stop, progress, unreachable_after: None };
    let mut driver = open(plan, &plan.target, plan.connections, &mut watch)?;
    rush(plan, &mut driver, &mut subject, &mut watch).map(|(report, _)| report)
}

fn run_orders(
    plan: &Plan,
    orders: &Orders,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<Report> {
    let callers = Callers::new(plan, orders)?;
    if let (Some(ops), Some(setup)) = (&callers.ops, &orders.setup) {
        operator::set_up(ops, orders, setup, &plan.run_id)?;
    }
    let planned_s = plan.warm_up.as_secs() + plan.duration.as_secs();
    let script = Script::new(plan, orders, unix_seconds() + planned_s + TOKEN_SPARE_S);
    let start = if orders.audit { callers.looker().look(&script)? } else { Vec::new() };
    let mut book = Book::new(&script, &plan.limits, orders.audit);

    let mut watch = Watch { stop, progress, unreachable_after: None };
    let mut driver = open(plan, &plan.target, plan.connections, &mut watch)?;
    let unsettled_max = if orders.audit { plan.limits.unknown_max } else { 0 };
    let sampler = plan.stock_every.map(|every| {
        let (caller, is_operator) = callers.looked_at_by(plan, orders)?;
        Sampler::start(caller, is_operator, &orders.skus, every, driver.clock())
    });
    let sampler = sampler.transpose()?;
    let key = plan.webhook_secret.as_ref().and_then(webhook::key);
    let provider = key.map(|key| Provider::new(&key, plan.target.authority()));
    let follow_ups = FollowUps::new(provider, plan.patience.attempts_max);
    let mut ordering = Ordering::new(&script, &mut book, follow_ups, unsettled_max);
    let (mut report, zero_ns) = rush(plan, &mut driver, &mut ordering, &mut watch)?;
    report.stock_samples = sampler.map(|sampler| sampler.finish(zero_ns));
    let (unsettled, follow_ups) = ordering.into_rest();
    report.sending.cancels_sent = follow_ups.cancels;

    if orders.audit {
        watch.unreachable_after = Some(plan.patience.reach);
        let checking = Checking { plan, orders, callers, script, book, follow_ups, driver, watch };
        book = checking.check(unsettled, start, &mut report)?;
    }
    report.buyers_served = Some(book.buyers_served());
    Ok(report)
}

/// Opens connections to `endpoint`.
pub(crate) fn open(
    plan: &Plan,
    endpoint: &Endpoint,
    connections: u32,
    watch: &mut Watch<'_>,
) -> Result<Driver> {
    let address = endpoint.reach(plan.allow_remote, plan.patience.answer)?;
    let bounds = Bounds {
        answer: plan.patience.answer,
        connect: plan.patience.answer,
        answer_bytes_max: plan.limits.answer_bytes_max,
    };
    let mut driver = Driver::new(address, connections, bounds)?;
    driver.open_all(watch)?;
    if driver.open_count() == 0 && !watch.stop.is_asked() {
        return Err(Error::Unreachable {
            url: endpoint.to_string(),
            why: "no connection stayed open".to_owned(),
        });
    }
    Ok(driver)
}

/// The rush and its report, and the moment at which its measured span began.
fn rush<S: Subject>(
    plan: &Plan,
    driver: &mut Driver,
    subject: &mut S,
    watch: &mut Watch<'_>,
) -> Result<(Report, u64)> {
    let connections_at_start = driver.open_count();
    let started_at = wall_text();
    let mut rush = Rush::new(plan, subject);
    let drive = driver.drive(&mut rush, watch)?;
    let stopped = rush.is_stopped();
    let rushed: Rushed = rush.finish();
    if stopped {
        // The next asking ends what follows.
        watch.stop.take();
    }
    let zero_ns = rushed.start_ns + nanos(plan.warm_up);
    Ok((Report::new(plan, rushed, drive, connections_at_start, &started_at, stopped), zero_ns))
}
