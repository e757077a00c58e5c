//! Everything that happens after the rush: outcomes settled, late payments and refunds made, orders audited.

use crate::audit::{LookUp, ReadBack, Repeat, Seen};
use crate::book::{Book, Course};
use crate::callers::Callers;
use crate::clock::nanos;
use crate::driver::{Driver, Watch};
use crate::errands;
use crate::error::Result;
use crate::expiry::{self, Waiting};
use crate::finding::{Findings, Kind};
use crate::follow::{FollowUps, Step};
use crate::following::Following;
use crate::holds::Peaks;
use crate::operator;
use crate::plan::Plan;
use crate::refunds::Refunding;
use crate::report::{Audit, Payments, Refunds, Report, Standby};
use crate::run;
use crate::script::Script;
use crate::settle::{Settled, Settling};
use crate::standby;
use crate::stock::{Case, Moments, View};
use crate::work::Orders;

/// Connections to the operators' listener at most.
const OPS_CONNECTIONS_MAX: u32 = 8;

/// What a rush leaves to be checked.
pub(crate) struct Checking<'p> {
    pub(crate) plan: &'p Plan,
    pub(crate) orders: &'p Orders,
    pub(crate) callers: Callers,
    pub(crate) script: Script,
    pub(crate) book: Book,
    pub(crate) follow_ups: FollowUps,
    pub(crate) driver: Driver,
    pub(crate) watch: Watch<'p>,
}

impl Checking<'_> {
    /// Settles the outcomes of the requests `unsettled`, brings all orders to their end, and audits them into `report`.
    pub(crate) fn check(
        mut self,
        unsettled: Vec<u64>,
        start: Vec<View>,
        report: &mut Report,
    ) -> Result<Book> {
        let mut notes = Vec::new();
        let settled = self.settle(unsettled)?;
        self.follow(&mut notes)?;
        self.refund(&mut notes)?;
        report.sending.cancels_sent = self.follow_ups.cancels;
        self.wait_for_expiry(&mut notes)?;
        self.audit(start, settled, notes, report)?;
        Ok(self.book)
    }

    fn settle(&mut self, numbers: Vec<u64>) -> Result<Settled> {
        let settled = Settled { asked: numbers.len() as u64, ..Settled::default() };
        let mut settling = Settling {
            script: &self.script,
            book: &mut self.book,
            follow_ups: &mut self.follow_ups,
            numbers,
            settled,
        };
        errands::run(
            &mut self.driver,
            &mut settling,
            self.plan.patience.attempts_max,
            &mut self.watch,
        )?;
        Ok(settling.settled)
    }

    /// Takes the steps that are still to be taken, as far as the patience reaches.
    fn follow(&mut self, notes: &mut Vec<String>) -> Result<()> {
        let now_ns = self.driver.clock().now_ns();
        let patience = self.plan.patience.expiry;
        let until_ns = now_ns.saturating_add(nanos(patience));
        let mut following =
            Following::new(&self.script, &mut self.book, &mut self.follow_ups, (now_ns, until_ns));
        self.driver.drive(&mut following, &mut self.watch)?;
        self.watch.stop.take();
        let left_out = self.follow_ups.forget_all(&self.book);
        if left_out > 0 {
            notes.push(format!(
                "{left_out} steps of payments were due later than {patience:?} after the rush (--expiry-patience): not taken"
            ));
        }
        Ok(())
    }

    /// Refunds a share of what was paid, as an operator, and tells that the money is back.
    fn refund(&mut self, notes: &mut Vec<String>) -> Result<()> {
        let Some(ops) = &self.orders.ops else { return Ok(()) };
        if self.plan.traffic.refunds_percent == 0.0 {
            return Ok(());
        }
        let connections = self.plan.connections.min(OPS_CONNECTIONS_MAX);
        let mut driver = match run::open(self.plan, &ops.url, connections, &mut self.watch) {
            Ok(driver) => driver,
            Err(error) => {
                self.book.findings.add(Kind::Unchecked, || format!("refunds: {error}"));
                return Ok(());
            }
        };
        let now_ns = self.driver.clock().now_ns();
        let (script, book) = (&self.script, &mut self.book);
        let mut refunding =
            Refunding::new(script, book, ops.url.authority(), &ops.admin_token, now_ns);
        let attempts_max = self.plan.patience.attempts_max;
        errands::run(&mut driver, &mut refunding, attempts_max, &mut self.watch)?;
        for place in refunding.granted {
            self.follow_ups.tell(&self.script, &self.book, Step::Refund, place, now_ns);
        }
        self.follow(notes)
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

    fn audit(
        &mut self,
        start: Vec<View>,
        settled: Settled,
        mut notes: Vec<String>,
        report: &mut Report,
    ) -> Result<()> {
        let attempts_max = self.plan.patience.attempts_max;
        let mut moments = Moments { start, settled: self.look(), end: None };

        let promoted = self.book.waiters.promoted();
        let mut read = ReadBack::new(&self.script, &mut self.book);
        errands::run(&mut self.driver, &mut read, attempts_max, &mut self.watch)?;
        let seen = read.seen;
        let mut repeat = Repeat::new(&self.script, &mut self.book);
        errands::run(&mut self.driver, &mut repeat, attempts_max, &mut self.watch)?;
        let repeats_same = repeat.same;
        let moved = self.book.waiters.promoted() > promoted;
        let mut look_up = LookUp::new(&self.script, &mut self.book);
        errands::run(&mut self.driver, &mut look_up, attempts_max, &mut self.watch)?;
        let refused_without_order = look_up.without;

        moments.end = self.look();
        self.ask_server(&mut notes);
        let not_kept = self.book.not_kept;
        let kept = self.book.orders.len();
        self.book.findings.add_many(Kind::Unchecked, not_kept, || {
            format!("orders after the first {kept} were not kept")
        });
        self.book.check_ids(&self.script);
        standby::check_order(&self.script, &mut self.book);
        let alone = self.orders.setup.is_some() && settled.unsettled == 0;
        self.check_stock(&moments, &seen, (moved, alone), report);
        if moved {
            notes.push(
                "orders that waited got units while orders were read: units were not counted one by one"
                    .to_owned(),
            );
        }
        self.note_what_was_not_seen(&moments, &seen, &mut notes);
        report.settled = Some(settled);
        let audit = self.verdict(seen, repeats_same, notes);
        report.audit = Some(Audit { refused_without_order, ..audit });
        Ok(())
    }

    /// Holds stock against what was acknowledged and read back.
    fn check_stock(
        &mut self,
        moments: &Moments,
        seen: &Seen,
        (moved, alone): (bool, bool),
        report: &mut Report,
    ) {
        let limits = moments.limits(self.orders.per_buyer_limit);
        let peaks = Peaks::of(&self.script, &self.book, &limits);
        let empty = Findings::new(self.plan.limits.examples_max);
        let mut findings = std::mem::replace(&mut self.book.findings, empty);
        let case =
            Case { script: &self.script, book: &self.book, seen, peaks: &peaks, moved, alone };
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
            units_per_buyer_max: seen.units_by_buyer.values().copied().max().unwrap_or(0),
            cancels: on_course(Course::Cancelled),
            cancelled_found: seen.cancelled,
            cancels_unknown: on_course(Course::CancelSent),
            abandoned: on_course(Course::Abandoned),
            abandoned_expired: seen.abandoned_expired,
            standby: Standby::of(&self.book, &seen),
            baskets: self.book.baskets,
            payments: Payments::of(&self.book, &seen),
            refunds: Refunds::of(&self.book, &seen),
            refused_without_order: 0,
            by_status: seen.by_status,
            findings,
            notes,
        }
    }
}
