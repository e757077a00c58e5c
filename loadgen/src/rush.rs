//! The rush itself: requests sent when they are due, timed from when they were due.
//!
//! It sends each request once and judges no answer: a [`Subject`] knows what requests and answers mean.

use crate::clock::nanos;
use crate::http::Answer;
use crate::plan::{Plan, Profile};
use crate::progress::{Phase, Tick, passed};
use crate::schedule::Schedule;
use crate::tally::{Class, Tally, Times};
use crate::workload::{Due, Failure, Sent, Ticket, Workload};

/// What the requests are and what their answers mean.
pub(crate) trait Subject {
    /// Writes request `number`.
    fn write(&self, number: u64, request: &mut Vec<u8>);
    /// Says what the answer to request `number` means.
    fn judge<'a>(&mut self, number: u64, answer: &'a Answer<'_>) -> Class<'a>;
    /// The outcome of request `number` is unknown.
    fn unknown(&mut self, number: u64);
}

/// When the next request is due.
enum Pace {
    /// As planned; what is overdue at the end is still sent until the grace is over.
    Open { schedule: Box<Schedule>, grace_ns: u64 },
    /// As soon as a connection is free.
    Closed { sent_max: u64 },
}

/// A rush, and what it has measured.
pub(crate) struct Rush<'s, S> {
    subject: &'s mut S,
    pace: Pace,
    window_ns: u64,
    start_ns: u64,
    ended_ns: Option<u64>,
    sent: u64,
    last_sent_ns: u64,
    last_answer_ns: u64,
    tally: Tally,
    lag: Times,
    own_lag: Times,
}

/// What a rush measured.
pub(crate) struct Rushed {
    /// Requests that were due.
    pub(crate) planned: u64,
    /// Requests sent.
    pub(crate) sent: u64,
    /// From the start to the end of the plan, or to the last sending if that came later.
    pub(crate) sending_ns: u64,
    /// From the start to the end of the plan, or to the last answer if that came later.
    pub(crate) answering_ns: u64,
    /// The answers.
    pub(crate) tally: Tally,
    /// From planned to sent.
    pub(crate) lag: Times,
    /// The part of it that passed while a connection was free.
    pub(crate) own_lag: Times,
}

impl<'s, S: Subject> Rush<'s, S> {
    /// A rush as planned.
    pub(crate) fn new(plan: &Plan, subject: &'s mut S) -> Rush<'s, S> {
        let window_ns = nanos(plan.duration);
        let sent_max = plan.requests_max.unwrap_or(u64::MAX);
        let pace = match plan.profile {
            Profile::OpenLoop { rate_per_s, arrivals } => Pace::Open {
                schedule: Box::new(Schedule::new(
                    arrivals, rate_per_s, window_ns, sent_max, plan.seed,
                )),
                grace_ns: nanos(plan.patience.answer),
            },
            Profile::ClosedLoop => Pace::Closed { sent_max },
        };
        Rush {
            subject,
            pace,
            window_ns,
            start_ns: 0,
            ended_ns: None,
            sent: 0,
            last_sent_ns: 0,
            last_answer_ns: 0,
            tally: Tally::new(plan.limits.codes_max),
            lag: Times::new(),
            own_lag: Times::new(),
        }
    }

    /// Whether it was ended early.
    pub(crate) fn is_stopped(&self) -> bool {
        self.ended_ns.is_some()
    }

    /// What was measured.
    pub(crate) fn finish(self) -> Rushed {
        let stopped_ns = self.ended_ns.unwrap_or(u64::MAX);
        let (left, end_ns) = match &self.pace {
            Pace::Open { schedule, .. } => {
                (schedule.due_before(stopped_ns), self.window_ns.min(stopped_ns))
            }
            // A plan that ends by count ends with its last request.
            Pace::Closed { sent_max } if self.sent == *sent_max => (0, 0),
            Pace::Closed { .. } => (0, self.window_ns.min(stopped_ns)),
        };
        Rushed {
            planned: self.sent + left,
            sent: self.sent,
            sending_ns: end_ns.max(self.last_sent_ns),
            answering_ns: end_ns.max(self.last_answer_ns),
            tally: self.tally,
            lag: self.lag,
            own_lag: self.own_lag,
        }
    }

    fn due_at(&mut self, elapsed_ns: u64) -> Due {
        match &self.pace {
            Pace::Open { schedule, grace_ns } => match schedule.peek() {
                Some(_) if elapsed_ns >= self.window_ns.saturating_add(*grace_ns) => Due::Never,
                Some(planned_ns) if planned_ns <= elapsed_ns => Due::Now,
                Some(planned_ns) => Due::At(self.start_ns + planned_ns),
                None => Due::Never,
            },
            Pace::Closed { sent_max } if self.sent < *sent_max && elapsed_ns < self.window_ns => {
                Due::Now
            }
            Pace::Closed { .. } => Due::Never,
        }
    }
}

impl<S: Subject> Workload for Rush<'_, S> {
    fn start(&mut self, now_ns: u64) {
        self.start_ns = now_ns;
    }

    fn due(&mut self, now_ns: u64) -> Due {
        if self.ended_ns.is_some() { Due::Never } else { self.due_at(now_ns - self.start_ns) }
    }

    fn write(&mut self, now_ns: u64, free_since_ns: u64, request: &mut Vec<u8>) -> Ticket {
        let elapsed_ns = now_ns - self.start_ns;
        let ticket = match &mut self.pace {
            Pace::Open { schedule, .. } => {
                let (number, planned_ns) = schedule.take().expect("what is due can be taken");
                let free_ns = free_since_ns.saturating_sub(self.start_ns);
                self.lag.record_ns(elapsed_ns - planned_ns);
                self.own_lag.record_ns(elapsed_ns - planned_ns.max(free_ns).min(elapsed_ns));
                Ticket { number, due_ns: self.start_ns + planned_ns }
            }
            Pace::Closed { .. } => Ticket { number: self.sent, due_ns: now_ns },
        };
        self.subject.write(ticket.number, request);
        self.sent += 1;
        self.last_sent_ns = elapsed_ns;
        ticket
    }

    fn answered(&mut self, sent: Sent, answer: &Answer<'_>) {
        let Ticket { number, due_ns } = sent.ticket;
        let class = self.subject.judge(number, answer);
        if class == Class::Unknown {
            self.subject.unknown(number);
        }
        self.tally.answer(answer.status, class, sent.now_ns - due_ns);
        self.last_answer_ns = sent.now_ns - self.start_ns;
    }

    fn failed(&mut self, sent: Sent, failure: Failure) {
        self.subject.unknown(sent.ticket.number);
        self.tally.failure(failure);
    }

    fn stop(&mut self, now_ns: u64) {
        self.ended_ns.get_or_insert(now_ns - self.start_ns);
    }

    fn tick(&self, now_ns: u64) -> Tick {
        let outcomes = self.tally.answers + self.tally.errors.values().sum::<u64>();
        let elapsed = passed(self.start_ns, now_ns);
        // What is still to come is estimated from the time that is left.
        let share = (elapsed.as_nanos() as f64 / self.window_ns as f64).clamp(1e-9, 1.0);
        let total = (outcomes > 0).then(|| (outcomes as f64 / share) as u64);
        Tick {
            phase: Phase::Rush,
            done: outcomes,
            total,
            elapsed,
            accepted: self.tally.accepted,
            refused: self.tally.refused,
            unknown: self.tally.unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Rush, Subject};
    use crate::endpoint::Endpoint;
    use crate::http::Answer;
    use crate::plan::{Fixed, Plan, Profile, Work};
    use crate::schedule::Arrivals;
    use crate::tally::Class;
    use crate::workload::{Due, Failure, Sent, Ticket, Workload};
    use std::borrow::Cow;
    use std::time::Duration;

    #[derive(Default)]
    struct Nothing {
        unknown: Vec<u64>,
    }

    impl Subject for Nothing {
        fn write(&self, _number: u64, _request: &mut Vec<u8>) {}

        fn judge<'a>(&mut self, _number: u64, _answer: &'a Answer<'_>) -> Class<'a> {
            Class::Accepted
        }

        fn unknown(&mut self, number: u64) {
            self.unknown.push(number);
        }
    }

    const MS: u64 = 1_000_000;
    const START: u64 = 7 * MS;

    fn plan(profile: Profile) -> Plan {
        let fixed = Fixed {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            expected: Vec::new(),
        };
        let mut plan =
            Plan::new(Endpoint::parse("target", "http://127.0.0.1:1").unwrap(), Work::Fixed(fixed));
        plan.profile = profile;
        plan.duration = Duration::from_millis(100);
        plan.patience.answer = Duration::from_millis(50);
        plan
    }

    fn even(rate_per_s: f64) -> Profile {
        Profile::OpenLoop { rate_per_s, arrivals: Arrivals::Even }
    }

    fn ok() -> Answer<'static> {
        Answer {
            status: 201,
            replayed: false,
            retry_after_s: None,
            close: false,
            body: Cow::Borrowed(b""),
        }
    }

    #[test]
    fn latency_counts_from_when_a_request_was_due() {
        let mut subject = Nothing::default();
        let mut rush = Rush::new(&plan(even(100.0)), &mut subject);
        rush.start(START);
        // Due at 0, sent at 30 ms because the only connection was busy until 20 ms; answered at 35 ms.
        assert_eq!(rush.due(START + 30 * MS), Due::Now);
        let ticket = rush.write(START + 30 * MS, START + 20 * MS, &mut Vec::new());
        rush.answered(Sent { ticket, now_ns: START + 35 * MS }, &ok());
        let rushed = rush.finish();
        assert_eq!(rushed.tally.accepted_times.quantiles().unwrap().max_us.div_ceil(100), 350);
        assert_eq!(rushed.lag.quantiles().unwrap().max_us, 30_000);
        assert_eq!(rushed.own_lag.quantiles().unwrap().max_us, 10_000);
        assert_eq!((rushed.planned, rushed.sent), (10, 1));
    }

    #[test]
    fn what_is_overdue_is_sent_until_the_grace_is_over_and_then_counted() {
        let mut subject = Nothing::default();
        let mut rush = Rush::new(&plan(even(100.0)), &mut subject);
        rush.start(START);
        assert_eq!(rush.due(START), Due::Now);
        rush.write(START, START, &mut Vec::new());
        assert_eq!(rush.due(START), Due::At(START + 10 * MS));
        assert_eq!(rush.due(START + 149 * MS), Due::Now);
        rush.write(START + 149 * MS, START, &mut Vec::new());
        assert_eq!(rush.due(START + 150 * MS), Due::Never);
        let rushed = rush.finish();
        assert_eq!((rushed.planned, rushed.sent, rushed.sending_ns), (10, 2, 149 * MS));
    }

    #[test]
    fn a_stopped_rush_answers_for_what_was_due_by_then() {
        let mut subject = Nothing::default();
        let mut rush = Rush::new(&plan(even(100.0)), &mut subject);
        rush.start(START);
        rush.write(START, START, &mut Vec::new());
        rush.stop(START + 45 * MS);
        assert_eq!(rush.due(START + 46 * MS), Due::Never);
        let rushed = rush.finish();
        assert_eq!((rushed.planned, rushed.sent, rushed.sending_ns), (5, 1, 45 * MS));
    }

    #[test]
    fn a_closed_loop_sends_whenever_a_connection_is_free() {
        let mut subject = Nothing::default();
        let mut plan = plan(Profile::ClosedLoop);
        plan.requests_max = Some(2);
        let mut rush = Rush::new(&plan, &mut subject);
        rush.start(START);
        for number in 0..2 {
            assert_eq!(rush.due(START + MS), Due::Now);
            assert_eq!(
                rush.write(START + MS, START, &mut Vec::new()),
                Ticket { number, due_ns: START + MS }
            );
        }
        assert_eq!(rush.due(START + MS), Due::Never);
        rush.failed(
            Sent { ticket: Ticket { number: 1, due_ns: START + MS }, now_ns: START + 2 * MS },
            Failure::Cut,
        );
        let rushed = rush.finish();
        assert_eq!((rushed.planned, rushed.sent, rushed.tally.unknown), (2, 2, 1));
        assert_eq!(rushed.sending_ns, MS);
        assert_eq!(subject.unknown, [1]);
    }
}
