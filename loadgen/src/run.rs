//! One run from beginning to end: set up, rush, settle, audit.

use crate::audit::{ReadBack, Repeat, Seen};
use crate::book::Book;
use crate::call::Caller;
use crate::clock::unix_seconds;
use crate::driver::{Bounds, Driver, Watch};
use crate::errands;
use crate::error::{Error, Result};
use crate::finding::Kind;
use crate::operator;
use crate::plan::{Fixed, Orders, Plan, Work};
use crate::progress::Progress;
use crate::report::{Audit, Report};
use crate::rush::{Rush, Rushed, Subject};
use crate::script::Script;
use crate::settle::{Settled, Settling};
use crate::stock::{Looker, Moments, View};
use crate::stop::Stop;
use crate::subject::{Ordering, Repeating};

/// How long tokens stay valid beyond the planned duration.
const TOKEN_SPARE_S: u64 = 86_400;

/// Makes one run and reports on it. Blocks the calling thread, which does all the work.
pub fn run(plan: &Plan, stop: &Stop, progress: &mut dyn Progress) -> Result<Report> {
    plan.check()?;
    match &plan.work {
        Work::Fixed(fixed) => run_fixed(plan, fixed, stop, progress),
        Work::Orders(orders) => run_orders(plan, orders, stop, progress),
    }
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
    rush(plan, &mut driver, &mut subject, &mut watch)
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
    let script =
        Script::new(plan, orders, unix_seconds() + plan.duration.as_secs() + TOKEN_SPARE_S);
    let start = if orders.audit { callers.looker().look(&script)? } else { Vec::new() };
    let mut book = Book::new(&script, &plan.limits, orders.audit);

    let mut watch = Watch { stop, progress, unreachable_after: None };
    let mut driver = open(plan, &mut watch)?;
    let unsettled_max = if orders.audit { plan.limits.unknown_max } else { 0 };
    let mut ordering =
        Ordering { script: &script, book: &mut book, unsettled: Vec::new(), unsettled_max };
    let mut report = rush(plan, &mut driver, &mut ordering, &mut watch)?;
    let unsettled = ordering.unsettled;

    if orders.audit {
        watch.unreachable_after = Some(plan.patience.reach);
        let mut checking = Checking { plan, orders, callers, script, book, driver, watch };
        report.settled = Some(checking.settle(unsettled)?);
        checking.audit(start, &mut report)?;
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

fn rush<S: Subject>(
    plan: &Plan,
    driver: &mut Driver,
    subject: &mut S,
    watch: &mut Watch<'_>,
) -> Result<Report> {
    let connections_at_start = driver.open_count();
    let mut rush = Rush::new(plan, subject);
    let drive = driver.drive(&mut rush, watch)?;
    let stopped = rush.is_stopped();
    let rushed: Rushed = rush.finish();
    if stopped {
        // The next asking ends what follows.
        watch.stop.take();
    }
    Ok(Report::new(plan, rushed, drive, connections_at_start, stopped))
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

    fn audit(&mut self, start: Vec<View>, report: &mut Report) -> Result<()> {
        let mut notes = Vec::new();
        let attempts_max = self.plan.patience.attempts_max;
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
        moments.check(&self.script, &seen, self.orders.per_buyer_limit, &mut self.book.findings);
        if moments.limit_unknown(self.orders.per_buyer_limit) {
            notes.push(
                "the limit per buyer is not known (--per-buyer-limit): not checked".to_owned(),
            );
        }
        for sku in moments
            .more_left_than_expected(&self.script, &seen)
            .iter()
            .take(self.plan.limits.examples_max)
        {
            notes.push(format!(
                "{sku}: more is left than the acknowledged orders should have: units came back or were added during the run, or were not counted"
            ));
        }
        report.stock = moments.report(&self.script, &self.book, &seen);
        report.audit = Some(self.verdict(seen, repeats_same, notes));
        Ok(())
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
        let empty = crate::finding::Findings::new(self.plan.limits.examples_max);
        let findings = std::mem::replace(&mut self.book.findings, empty).into_found();
        Audit {
            passed: findings.is_empty(),
            orders: self.book.orders.len() as u64 + self.book.not_kept,
            orders_found: seen.found,
            repeats_same,
            by_status: seen.by_status,
            units_per_buyer_max: seen.units_by_buyer.values().copied().max().unwrap_or(0),
            findings,
            notes,
        }
    }
}
