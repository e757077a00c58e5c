//! What follows from an accepted order: cancels, payments with their webhooks, reads of orders that wait or run out.
//!
//! Each step is planned by the answer before it. A step whose outcome is not known is taken again, but for a cancel:
//! reading the order back tells whether that took effect, and both are right.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::audit::HOLD_LATE_MAX_US;
use crate::book::Book;
use crate::cancels;
use crate::clock::unix_seconds;
use crate::finding::Kind;
use crate::http::Answer;
use crate::order::{Order, refusal_code};
use crate::payments::{self, Timing};
use crate::rest::rest_ns;
use crate::script::Script;
use crate::tally::Class;
use crate::traffic::Fate;
use crate::webhook::{Event, Provider};
use crate::workload::Sent;

/// How often an order that waits is read.
const LOOK_NS: u64 = 250_000_000;
/// How long after its deadline a hold is looked at, beside the second that it may be late.
const MARGIN_NS: u64 = 50_000_000;

/// One step of one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Step {
    /// The buyer cancels.
    Cancel,
    /// The buyer starts a payment.
    Start,
    /// The provider tells that it succeeded.
    Succeed,
    /// The order is read: it waits, its hold should have ended, or nobody knows what a late payment did.
    Look,
    /// The provider tells that the money is back.
    Refund,
}

const STEPS: [Step; 5] = [Step::Cancel, Step::Start, Step::Succeed, Step::Look, Step::Refund];

impl Step {
    /// Whether a rush waits for it after the last planned request: others may be far ahead.
    fn is_soon(self) -> bool {
        self != Step::Look
    }

    /// The step of the order at `place`, as one number.
    fn number(self, place: usize) -> u64 {
        (place * STEPS.len() + self as usize) as u64
    }

    /// The step and the place that a number stands for.
    fn of(number: u64) -> (Step, usize) {
        let number = number as usize;
        (STEPS[number % STEPS.len()], number / STEPS.len())
    }
}

/// Steps that are still to be taken, by when they are due.
pub(crate) struct FollowUps {
    due: BinaryHeap<Reverse<(u64, u64)>>,
    /// How many of them a rush waits for.
    soon: usize,
    attempts: HashMap<u64, u32>,
    attempts_max: u32,
    provider: Option<Provider>,
    /// Cancels sent.
    pub(crate) cancels: u64,
    /// Waiting orders are read again until then.
    looks_until_ns: u64,
    /// And no longer than this, whatever may still come back.
    looks_max_ns: u64,
}

impl FollowUps {
    /// Nothing to do yet. Nobody pays without a provider.
    pub(crate) fn new(provider: Option<Provider>, attempts_max: u32) -> FollowUps {
        FollowUps {
            due: BinaryHeap::new(),
            soon: 0,
            attempts: HashMap::new(),
            attempts_max,
            provider,
            cancels: 0,
            looks_until_ns: 0,
            looks_max_ns: 0,
        }
    }

    /// The order at `place` was accepted, at first (`is_new`) or after it waited: plans what its buyer does.
    pub(crate) fn plan(&mut self, script: &Script, book: &Book, place: usize, is_new: bool) {
        let order = &book.orders[place];
        match script.fate(order.number) {
            // Who waits may cancel as well.
            Fate::Cancelled(after_ns) if is_new => {
                self.add(Step::Cancel, place, order.from_ns + after_ns);
            }
            Fate::Paid(after_ns) | Fate::PaidLate(after_ns) if !order.is_waiting => {
                self.add(Step::Start, place, order.from_ns + after_ns);
            }
            _ => {}
        }
    }

    /// Plans a step.
    pub(crate) fn add(&mut self, step: Step, place: usize, due_ns: u64) {
        self.soon += usize::from(step.is_soon());
        self.due.push(Reverse((due_ns, step.number(place))));
    }

    /// Plans to read every order that waits, now and again until `until_ns`; while units may come back, until `max_ns`.
    pub(crate) fn look_after(&mut self, book: &Book, now_ns: u64, until_ns: u64, max_ns: u64) {
        (self.looks_until_ns, self.looks_max_ns) = (until_ns, max_ns);
        for place in book.waiters.places(book) {
            self.add(Step::Look, place, now_ns);
        }
    }

    /// When the next step is due.
    pub(crate) fn due_ns(&self) -> Option<u64> {
        self.due.peek().map(|Reverse((due_ns, _))| *due_ns)
    }

    /// Whether a rush waits for a step.
    pub(crate) fn holds_up(&self) -> bool {
        self.soon > 0
    }

    /// How many steps are planned.
    pub(crate) fn count(&self) -> usize {
        self.due.len()
    }

    /// Forgets all that is planned; how many steps, but for reads of orders that wait.
    pub(crate) fn forget_all(&mut self, book: &Book) -> usize {
        self.soon = 0;
        let place = |Reverse((_, number)): Reverse<(u64, u64)>| Step::of(number).1;
        self.due.drain().map(place).filter(|&place| !book.orders[place].is_waiting).count()
    }

    /// Writes the next step, which is taken at `now_ns`; its number.
    pub(crate) fn write(
        &mut self,
        script: &Script,
        book: &mut Book,
        now_ns: u64,
        request: &mut Vec<u8>,
    ) -> u64 {
        let Reverse((_, number)) = self.due.pop().expect("what is due can be taken");
        let (step, place) = Step::of(number);
        self.soon -= usize::from(step.is_soon());
        let order = book.orders[place];
        match step {
            Step::Cancel => {
                self.cancels += 1;
                cancels::write(script, book, place, now_ns, request);
            }
            Step::Start => script.write_payment(order.number, &order.id, request),
            Step::Look => script.write_read(order.number, &order.id, request),
            Step::Succeed => self.call(book, place, Event::Paid, now_ns, request),
            Step::Refund => self.call(book, place, Event::Refunded, now_ns, request),
        }
        number
    }

    fn call(
        &self,
        book: &mut Book,
        place: usize,
        event: Event,
        now_ns: u64,
        request: &mut Vec<u8>,
    ) {
        let order = book.orders[place].id;
        let payment = book.payments.of_mut(place).expect("only what was started is told of");
        match event {
            Event::Paid => payment.success.send(now_ns),
            Event::Refunded => payment.refunded.send(now_ns),
        }
        let provider = self.provider.as_ref().expect("nobody pays without a provider");
        provider.write(event, &order, payment, unix_seconds(), request);
        book.payments.webhooks += 1;
    }

    /// Judges an answer, and plans what follows from it.
    pub(crate) fn judge<'a>(
        &mut self,
        script: &Script,
        book: &mut Book,
        sent: &Sent,
        answer: &'a Answer<'_>,
    ) -> Class<'a> {
        let (step, place) = Step::of(sent.ticket.number);
        if step == Step::Cancel {
            return cancels::judge(script, book, place, sent, answer);
        }
        match answer.status {
            // What is unknown is taken again by whoever is told of it.
            500 | 502 | 504 => return Class::Unknown,
            429 | 503 => {
                self.again(script, book, sent, answer.retry_after_s);
                return Class::Refused(refusal_code(&answer.body));
            }
            _ => {}
        }
        match step {
            Step::Cancel => unreachable!("judged above"),
            Step::Start => {
                let class = payments::judge_start(script, book, place, sent, answer);
                if class == Class::FollowedUp {
                    self.started(script, book, place, sent.now_ns);
                }
                class
            }
            Step::Succeed | Step::Refund => {
                let class = payments::judge_webhook(script, book, place, answer);
                if class == Class::FollowedUp {
                    self.told(book, step, place, sent.now_ns);
                }
                class
            }
            Step::Look => self.looked(script, book, place, sent, answer),
        }
    }

    /// A payment is open: its success is told at once, or when the hold has ended.
    fn started(&mut self, script: &Script, book: &Book, place: usize, now_ns: u64) {
        let order = &book.orders[place];
        match script.fate(order.number) {
            Fate::PaidLate(_) => {
                let due_ns = self.over_ns(book, place).unwrap_or(now_ns + LOOK_NS);
                self.add(Step::Look, place, due_ns.max(now_ns));
            }
            _ => self.tell(script, book, Step::Succeed, place, now_ns),
        }
    }

    /// Plans a webhook, or two of them.
    pub(crate) fn tell(
        &mut self,
        script: &Script,
        book: &Book,
        step: Step,
        place: usize,
        now_ns: u64,
    ) {
        let times = if script.calls_twice(book.orders[place].number) { 2 } else { 1 };
        for _ in 0..times {
            self.add(step, place, now_ns);
        }
    }

    /// By when the hold of the order at `place` has ended.
    fn over_ns(&self, book: &Book, place: usize) -> Option<u64> {
        let latest_us = book.orders[place].expires_us? + HOLD_LATE_MAX_US;
        Some(book.clock.latest_ns(latest_us)? + MARGIN_NS)
    }

    /// A webhook was taken. Where that may have been too late, the order tells what came of it.
    fn told(&mut self, book: &mut Book, step: Step, place: usize, now_ns: u64) {
        let (order, clock) = (book.orders[place], book.clock);
        let Some(payment) = book.payments.of_mut(place) else { return };
        match step {
            Step::Refund => payment.refunded.answer(now_ns),
            _ if payment.success.answered_ns.is_none() => {
                payment.success.answer(now_ns);
                if payment.timing(&order, &clock) != Timing::InTime {
                    self.add(Step::Look, place, now_ns);
                }
            }
            _ => {}
        }
    }

    fn looked<'a>(
        &mut self,
        script: &Script,
        book: &mut Book,
        place: usize,
        sent: &Sent,
        answer: &'a Answer<'_>,
    ) -> Class<'a> {
        let known = book.orders[place];
        let read = match answer.status {
            200 => Order::read(&answer.body),
            404 | 410 => {
                let name = || format!("order {:?}, {}", known.id, script.name(known.number));
                book.findings.add(Kind::LostOrder, name);
                return Class::Refused(refusal_code(&answer.body));
            }
            status => Err(format!("status {status}")),
        };
        match read {
            Ok(order) => self.saw(script, book, place, sent, &order),
            Err(why) => {
                book.findings.add(Kind::MalformedOrder, || {
                    format!("order {:?}, {}: {why}", known.id, script.name(known.number))
                });
                return Class::Unexpected;
            }
        }
        Class::FollowedUp
    }

    /// Plans what follows from what an order looks like now.
    fn saw(
        &mut self,
        script: &Script,
        book: &mut Book,
        place: usize,
        sent: &Sent,
        order: &Order<'_>,
    ) {
        if book.observe(script, place, order, sent) {
            self.plan(script, book, place, false);
            self.look_until_over(script, book, place);
        }
        if book.orders[place].is_waiting {
            if order.waits() && (sent.now_ns < self.looks_until_ns || self.holds_up()) {
                self.add(Step::Look, place, sent.now_ns + LOOK_NS);
            }
            return;
        }
        let Some(payment) = book.payments.of_mut(place) else { return };
        match (&*order.status, payment.success.sent_ns) {
            ("reserved", None) => self.saw_held(script, book, place, sent, order),
            (_, None) => {
                payment.was_over = matches!(&*order.status, "expired" | "cancelled");
                self.tell(script, book, Step::Succeed, place, sent.now_ns);
            }
            ("refunding", Some(_)) if payment.refunded.sent_ns.is_none() => {
                self.tell(script, book, Step::Refund, place, sent.now_ns);
            }
            _ => {}
        }
    }

    /// An order got units that will come back: whoever waits is looked after until then.
    fn look_until_over(&mut self, script: &Script, book: &Book, place: usize) {
        let fate = script.fate(book.orders[place].number);
        let over_ns = self.over_ns(book, place).filter(|&over_ns| over_ns <= self.looks_max_ns);
        if let (Fate::Abandoned | Fate::PaidLate(_), Some(over_ns)) = (fate, over_ns) {
            self.looks_until_ns = self.looks_until_ns.max(over_ns);
        }
    }

    /// The hold of a late payer has not ended: it was extended, or it is too late itself.
    fn saw_held(
        &mut self,
        script: &Script,
        book: &mut Book,
        place: usize,
        sent: &Sent,
        order: &Order<'_>,
    ) {
        let told_us = order.expires_us().ok().flatten();
        if told_us > book.orders[place].expires_us {
            book.orders[place].expires_us = told_us;
        }
        let over_ns = self.over_ns(book, place).unwrap_or(0);
        if over_ns > sent.now_ns {
            self.add(Step::Look, place, over_ns);
        } else if !self.try_again(sent, None) {
            self.tell(script, book, Step::Succeed, place, sent.now_ns);
        }
    }

    /// Takes a step again whose outcome is not known, or that was put off.
    pub(crate) fn again(
        &mut self,
        script: &Script,
        book: &mut Book,
        sent: &Sent,
        asked_s: Option<u64>,
    ) {
        let (step, place) = Step::of(sent.ticket.number);
        if step == Step::Cancel || self.try_again(sent, asked_s) {
            return;
        }
        let order = &book.orders[place];
        book.findings.add(Kind::Unchecked, || {
            format!(
                "order {:?}, {}: {step:?} without an answer",
                order.id,
                script.name(order.number)
            )
        });
    }

    /// Plans a step once more, unless it was taken too often.
    fn try_again(&mut self, sent: &Sent, asked_s: Option<u64>) -> bool {
        let (step, place) = Step::of(sent.ticket.number);
        let attempts = self.attempts.entry(sent.ticket.number).or_insert(0);
        *attempts += 1;
        if *attempts >= self.attempts_max {
            return false;
        }
        let rest_ns = rest_ns(*attempts, asked_s);
        self.add(step, place, sent.now_ns + rest_ns);
        true
    }
}
