//! What still follows from orders when the rush is over: late payments, orders that wait, steps to be taken again.
//!
//! Bounded by a moment: what is due later is left where it is.

use crate::book::Book;
use crate::expiry;
use crate::follow::FollowUps;
use crate::http::Answer;
use crate::progress::{Phase, Tick, passed};
use crate::script::Script;
use crate::tally::Class;
use crate::workload::{Due, Failure, Sent, Ticket, Workload};

/// Takes all steps that are due until a moment.
pub(crate) struct Following<'b> {
    script: &'b Script,
    book: &'b mut Book,
    follow_ups: &'b mut FollowUps,
    until_ns: u64,
    done: u64,
    in_flight: usize,
    start_ns: u64,
    is_stopped: bool,
}

impl<'b> Following<'b> {
    /// Takes what is planned, and reads every order that waits for as long as units of abandoned orders come back; from
    /// `now_ns` until `until_ns`.
    pub(crate) fn new(
        script: &'b Script,
        book: &'b mut Book,
        follow_ups: &'b mut FollowUps,
        (now_ns, until_ns): (u64, u64),
    ) -> Following<'b> {
        let looks_until_ns = expiry::last_over_ns(book, until_ns).unwrap_or(now_ns);
        follow_ups.look_after(book, now_ns, looks_until_ns, until_ns);
        Following {
            script,
            book,
            follow_ups,
            until_ns,
            done: 0,
            in_flight: 0,
            start_ns: now_ns,
            is_stopped: false,
        }
    }

    fn is_waited_for(&self) -> bool {
        self.follow_ups.due_ns().is_some_and(|due_ns| due_ns <= self.until_ns)
    }
}

impl Workload for Following<'_> {
    fn start(&mut self, _now_ns: u64) {}

    fn due(&mut self, now_ns: u64) -> Due {
        if self.is_stopped || !self.is_waited_for() {
            return if self.in_flight == 0 { Due::Never } else { Due::AfterAnswer };
        }
        match self.follow_ups.due_ns() {
            Some(due_ns) if due_ns > now_ns => Due::At(due_ns),
            _ => Due::Now,
        }
    }

    fn write(&mut self, now_ns: u64, _free_since_ns: u64, request: &mut Vec<u8>) -> Ticket {
        self.in_flight += 1;
        let number = self.follow_ups.write(self.script, self.book, now_ns, request);
        Ticket { number, due_ns: now_ns, follows: true }
    }

    fn answered(&mut self, sent: Sent, answer: &Answer<'_>) {
        self.in_flight -= 1;
        self.done += 1;
        if self.follow_ups.judge(self.script, self.book, &sent, answer) == Class::Unknown {
            self.follow_ups.again(self.script, self.book, &sent, None);
        }
    }

    fn failed(&mut self, sent: Sent, _failure: Failure) {
        self.in_flight -= 1;
        self.follow_ups.again(self.script, self.book, &sent, None);
    }

    fn stop(&mut self, _now_ns: u64) {
        self.is_stopped = true;
    }

    fn tick(&self, now_ns: u64) -> Tick {
        let total = self.done + (self.in_flight + self.follow_ups.count()) as u64;
        let mut tick = Tick::at(Phase::Follow, self.done, Some(total));
        tick.elapsed = passed(self.start_ns, now_ns);
        tick
    }
}
