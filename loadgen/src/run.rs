//! One run from beginning to end: set up, rush, settle, audit.

use crate::audit::{ReadBack, Repeat, Seen};
use crate::book::{Book, Course};
use crate::call::Caller;
use crate::clock::{nanos, unix_seconds, wall_text};
use crate::driver::{Bounds, Driver, Watch};
use crate::errands;
use crate::error::{Error, Result};
use crate::expiry::{self, Waiting};
use crate::finding::{Findings, Kind};
use crate::holds::Peaks;
use crate::operator;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::report::{Audit, Report};
use crate::rush::{Rush, Rushed};
use crate::sampler::Sampler;
use crate::script::Script;
use crate::settle::{Settled, Settling};
use crate::stock::{Case, Looker, Moments, View};
use crate::stop::Stop;
use crate::subject::{Ordering, Repeating, Subject};
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
    let mut driver = open(plan, &mut watch)?;
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
    let mut driver = open(plan, &mut watch)?;
    let unsettled_max = if orders.audit { plan.limits.unknown_max } else { 0 };
    let sampler = plan.stock_every.map(|every| {
        let (caller, is_operator) = callers.looked_at_by(plan, orders)?;
        Sampler::start(caller, is_operator, &orders.skus, every, driver.clock())
    });
    let sampler = sampler.transpose()?;
    let mut ordering = Ordering::new(&script, &mut book, unsettled_max);
    let (mut report, zero_ns) = rush(plan, &mut driver, &mut ordering, &mut watch)?;
    report.stock_samples = sampler.map(|sampler| sampler.finish(zero_ns));
    let unsettled = ordering.into_unsettled();

    if orders.audit {
        watch.unreachable_after = Some(plan.patience.reach);
        let mut checking = Checking { plan, orders, callers, script, book, driver, watch };
        let settled = checking.settle(unsettled)?;
        checking.audit(start, settled, &mut report)?;
        book = checking.book;
    }
    report.buyers_served = Some(book.buyers_served());
    Ok(report)
}

fn open(plan: &Plan, watch: &mut Watch<'_>) -> Result<Driver> {
    let address = plan.target.reach(plan.allow_remote, plan.patience.answer)?;
    let bounds = Bounds {
        answer: plan.patience.answer,
        connect: plan.patience.answer,
        answer_bytes_max: plan.limits.answer_bytes_max,
    };
    let mut driver = Driver::new(address, plan.connections, bounds)?;
    driver.open_all(watch)?;
    if driver.open_count() == 0 && !watch.stop.is_asked() {
        return Err(Error::Unreachable {
            url: plan.target.to_string(),
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

/// Who is called for single answers.
struct Callers {
    public: Caller,
    ops: Option<Caller>,
}

impl Callers {
    fn new(plan: &Plan, orders: &Orders) -> Result<Callers> {
        let patience = plan.patience.answer;
        let bytes_max = plan.limits.answer_bytes_max;
        let address = plan.target.reach(plan.allow_remote, patience)?;
        let public = Caller::new(&plan.target, address, None, patience, bytes_max);
        let ops = orders.ops.as_ref().map(|ops| {
            let address = ops.url.reach(plan.allow_remote, patience)?;
            Ok(Caller::new(&ops.url, address, Some(ops.admin_token.clone()), patience, bytes_max))
        });
        Ok(Callers { public, ops: ops.transpose()? })
    }

    /// Who looks at stock during the rush, and whether that is an operator.
    fn looked_at_by(&self, plan: &Plan, orders: &Orders) -> Result<(Caller, bool)> {
        let Callers { public, ops } = Callers::new(plan, orders)?;
        Ok(match ops {
            Some(ops) => (ops, true),
            None => (public, false),
        })
    }

    fn looker(&self) -> Looker<'_> {
        Looker { public: &self.public, ops: self.ops.as_ref() }
    }
}

/// Everything that happens after the rush.
struct Checking<'p> {
    plan: &'p Plan,
    orders: &'p Orders,
    callers: Callers,
    script: Script,
    book: Book,
    driver: Driver,
    watch: Watch<'p>,
}

impl Checking<'_> {
    fn settle(&mut self, numbers: Vec<u64>) -> Result<Settled> {
        let settled = Settled { asked: numbers.len() as u64, ..Settled::default() };
        let mut settling =
            Settling { script: &self.script, book: &mut self.book, numbers, settled };
        errands::run(
            &mut self.driver,
            &mut settling,
            self.plan.patience.attempts_max,
            &mut self.watch,
        )?;
        Ok(settling.settled)
    }

    /// Waits for the deadlines of abandoned orders, if the patience reaches as far.
    fn wait_for_expiry(&mut self, notes: &mut Vec<String>) -> Result<()> {
        let Some(until_ns) = expiry::all_over_ns(&self.book) else {
            return Ok(());
        };
        let now_ns = self.driver.clock().now_ns();
        let patience = self.plan.patience.expiry;
        match Waiting::new(now_ns, until_ns, patience) {
            Some(mut waiting) => {
                self.driver.wait(&mut waiting, &mut self.watch)?;
                self.watch.stop.take();
            }
            None => notes.push(format!(
                "holds of abandoned orders end later than {patience:?} after the rush (--expiry-patience): not waited for"
            )),
        }
        Ok(())
    }

    fn audit(&mut self, start: Vec<View>, settled: Settled, report: &mut Report) -> Result<()> {
        let mut notes = Vec::new();
        let attempts_max = self.plan.patience.attempts_max;
        self.wait_for_expiry(&mut notes)?;
        let mut moments = Moments { start, settled: self.look(), end: None };

        let mut read = ReadBack::new(&self.script, &mut self.book);
        errands::run(&mut self.driver, &mut read, attempts_max, &mut self.watch)?;
        let seen = read.seen;
        let mut repeat = Repeat::new(&self.script, &mut self.book);
        errands::run(&mut self.driver, &mut repeat, attempts_max, &mut self.watch)?;
        let repeats_same = repeat.same;

        moments.end = self.look();
        self.ask_server(&mut notes);
        let not_kept = self.book.not_kept;
        let kept = self.book.orders.len();
        self.book.findings.add_many(Kind::Unchecked, not_kept, || {
            format!("orders after the first {kept} were not kept")
        });
        self.book.check_ids(&self.script);
        self.check_stock(&moments, &seen, settled, report);
        self.note_what_was_not_seen(&moments, &seen, &mut notes);
        report.settled = Some(settled);
        report.audit = Some(self.verdict(seen, repeats_same, notes));
        Ok(())
    }

    /// Holds stock against what was acknowledged and read back.
    fn check_stock(
        &mut self,
        moments: &Moments,
        seen: &Seen,
        settled: Settled,
        report: &mut Report,
    ) {
        let limits = moments.limits(self.orders.per_buyer_limit);
        let peaks = Peaks::of(&self.script, &self.book.orders, &limits);
        let empty = Findings::new(self.plan.limits.examples_max);
        let mut findings = std::mem::replace(&mut self.book.findings, empty);
        let case = Case {
            script: &self.script,
            book: &self.book,
            seen,
            peaks: &peaks,
            alone: self.orders.setup.is_some() && settled.unsettled == 0,
        };
        moments.check(&case, &limits, &mut findings);
        report.stock = moments.report(&case);
        self.book.findings = findings;
    }

    fn note_what_was_not_seen(&self, moments: &Moments, seen: &Seen, notes: &mut Vec<String>) {
        if moments.limit_unknown(self.orders.per_buyer_limit) {
            notes.push(
                "the limit per buyer is not known (--per-buyer-limit): not checked".to_owned(),
            );
        }
        if self.book.clock.jumped() {
            notes.push(
                "the server's clock jumped during the run: deadlines were not checked".to_owned(),
            );
        }
        for sku in moments
            .more_left_than_expected(&self.script, seen)
            .iter()
            .take(self.plan.limits.examples_max)
        {
            notes.push(format!(
                "{sku}: more is left than the acknowledged orders should have: units came back or were added during the run, or were not counted"
            ));
        }
    }

    /// Looks at stock; the report is made even when the server has gone away.
    fn look(&mut self) -> Option<Vec<View>> {
        match self.callers.looker().look(&self.script) {
            Ok(views) => Some(views),
            Err(error) => {
                self.book.findings.add(Kind::Unchecked, || format!("stock: {error}"));
                None
            }
        }
    }

    fn ask_server(&mut self, notes: &mut Vec<String>) {
        let Some(ops) = &self.callers.ops else {
            notes.push("no admin token: stock is what buyers saw before the run, counters were not checked".to_owned());
            return;
        };
        match operator::oversold(ops) {
            Ok(Some(0)) => {}
            Ok(Some(units)) => {
                self.book.findings.add(Kind::ServerReportsOversold, || units.to_string());
            }
            Ok(None) => notes.push("the server's own audit says nothing of `oversold`".to_owned()),
            Err(error) => self
                .book
                .findings
                .add(Kind::Unchecked, || format!("the server's own audit: {error}")),
        }
    }

    fn verdict(&mut self, seen: Seen, repeats_same: u64, notes: Vec<String>) -> Audit {
        let empty = Findings::new(self.plan.limits.examples_max);
        let findings = std::mem::replace(&mut self.book.findings, empty).into_found();
        let on_course = |course: Course| {
            self.book.orders.iter().filter(|order| order.course == course).count() as u64
        };
        Audit {
            passed: findings.is_empty(),
            orders: self.book.orders.len() as u64 + self.book.not_kept,
            orders_found: seen.found,
            repeats_same,
            by_status: seen.by_status,
            units_per_buyer_max: seen.units_by_buyer.values().copied().max().unwrap_or(0),
            cancels: on_course(Course::Cancelled),
            cancelled_found: seen.cancelled,
            cancels_unknown: on_course(Course::CancelSent),
            abandoned: on_course(Course::Abandoned),
            abandoned_expired: seen.abandoned_expired,
            findings,
            notes,
        }
    }
}
