//! What follows from the answer to a step.

use super::{FollowUps, Step};
use crate::audit::HOLD_LATE_MAX_US;
use crate::book::Book;
use crate::cancels;
use crate::finding::Kind;
use crate::http::Answer;
use crate::order::{Order, refusal_code};
use crate::payments::{self, Timing};
use crate::script::Script;
use crate::tally::Class;
use crate::traffic::Fate;
use crate::workload::Sent;

/// How often an order that waits is read.
const LOOK_NS: u64 = 250_000_000;
/// How long after its deadline a hold is looked at, beside the second that it may be late.
const MARGIN_NS: u64 = 50_000_000;

impl FollowUps {
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
}
