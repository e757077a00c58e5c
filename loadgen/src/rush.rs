//! The rush itself: requests sent when they are due, timed from when they were due.
//!
//! It sends each request once and judges no answer: a [`Subject`] knows what requests and answers mean, and may
//! have more to send because of an answer.

use crate::clock::nanos;
use crate::http::Answer;
use crate::plan::{Plan, Profile};
use crate::progress::{Phase, Tick, passed};
use crate::schedule::Schedule;
use crate::series::{Mark, Second, Series};
use crate::subject::Subject;
use crate::tally::{Class, Tally, Times};
use crate::workload::{Due, Failure, Sent, Ticket, Workload};

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
    /// From the start to where the measured span begins.
    warm_up_ns: u64,
    /// From the start to the end of the plan.
    window_ns: u64,
    grace_ns: u64,
    start_ns: u64,
    ended_ns: Option<u64>,
    /// Requests sent, the warm-up's included.
    sent: u64,
    sent_measured: u64,
    last_sent_ns: u64,
    last_answer_ns: u64,
    tally: Tally,
    /// The same of what was due outside the measured span.
    unmeasured: Tally,
    series: Series,
    lag: Times,
    own_lag: Times,
}

/// What a rush measured; what was due outside the measured span is in `unmeasured` and `seconds` alone.
pub(crate) struct Rushed {
    /// When it started, by the driver's clock.
    pub(crate) start_ns: u64,
    /// Requests that were due.
    pub(crate) planned: u64,
    /// Requests sent.
    pub(crate) sent: u64,
    /// Requests sent during the warm-up.
    pub(crate) unmeasured_sent: u64,
    /// Of the measured span: to the end of the plan, or to the last sending if that came later.
    pub(crate) sending_ns: u64,
    /// Of the measured span: to the end of the plan, or to the last answer if that came later.
    pub(crate) answering_ns: u64,
    /// The answers.
    pub(crate) tally: Tally,
    /// The answers to what was due outside the measured span.
    pub(crate) unmeasured: Tally,
    /// Second by second.
    pub(crate) seconds: Vec<Second>,
    /// From planned to sent.
    pub(crate) lag: Times,
    /// The part of it that passed while a connection was free.
    pub(crate) own_lag: Times,
}

impl<'s, S: Subject> Rush<'s, S> {
    /// A rush as planned.
    pub(crate) fn new(plan: &Plan, subject: &'s mut S) -> Rush<'s, S> {
        let warm_up_ns = nanos(plan.warm_up);
        let window_ns = warm_up_ns.saturating_add(nanos(plan.duration));
        let sent_max = plan.requests_max.unwrap_or(u64::MAX);
        let grace_ns = nanos(plan.patience.answer);
        let pace = match plan.profile {
            Profile::OpenLoop { rate_per_s, arrivals } => {
                let intensity = plan.intensity(rate_per_s);
                let schedule = Schedule::new(arrivals, intensity, window_ns, sent_max, plan.seed);
                Pace::Open { schedule: Box::new(schedule), grace_ns }
            }
            Profile::ClosedLoop => Pace::Closed { sent_max },
        };
        Rush {
            subject,
            pace,
            warm_up_ns,
            window_ns,
            grace_ns,
            start_ns: 0,
            ended_ns: None,
            sent: 0,
            sent_measured: 0,
            last_sent_ns: 0,
            last_answer_ns: 0,
            tally: Tally::new(plan.limits.codes_max),
            unmeasured: Tally::new(plan.limits.codes_max),
            series: Series::new(warm_up_ns),
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
                (schedule.due_within(self.warm_up_ns, stopped_ns), self.window_ns.min(stopped_ns))
            }
            // A plan that ends by count ends with its last request.
            Pace::Closed { sent_max } if self.sent == *sent_max => (0, 0),
            Pace::Closed { .. } => (0, self.window_ns.min(stopped_ns)),
        };
        Rushed {
            start_ns: self.start_ns,
            planned: self.sent_measured + left,
            sent: self.sent_measured,
            unmeasured_sent: self.sent - self.sent_measured,
            sending_ns: end_ns.max(self.last_sent_ns).saturating_sub(self.warm_up_ns),
            answering_ns: end_ns.max(self.last_answer_ns).saturating_sub(self.warm_up_ns),
            tally: self.tally,
            unmeasured: self.unmeasured,
            seconds: self.series.finish(),
            lag: self.lag,
            own_lag: self.own_lag,
        }
    }

    /// When the next planned request is due.
    fn planned_due(&self, elapsed_ns: u64) -> Due {
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

    /// When the next request that follows from an answer is due; after the end of the plan they are sent until the
    /// grace is over, like all that is due.
    fn follow_up_due(&self, now_ns: u64) -> Due {
        match self.subject.follow_up_due_ns() {
            Some(_) if now_ns - self.start_ns >= self.window_ns.saturating_add(self.grace_ns) => {
                Due::Never
            }
            Some(due_ns) if due_ns <= now_ns => Due::Now,
            Some(due_ns) => Due::At(due_ns),
            None => Due::Never,
        }
    }

    fn write_follow_up(&mut self, now_ns: u64, request: &mut Vec<u8>) -> Ticket {
        let due_ns = self.subject.follow_up_due_ns().unwrap_or(now_ns);
        let number = self.subject.write_follow_up(now_ns, request);
        Ticket { number, due_ns, follows: true }
    }

    fn write_planned(&mut self, now_ns: u64, request: &mut Vec<u8>) -> Ticket {
        let (number, due_ns) = match &mut self.pace {
            Pace::Open { schedule, .. } => {
                let (number, planned_ns) = schedule.take().expect("what is due can be taken");
                (number, self.start_ns + planned_ns)
            }
            Pace::Closed { .. } => (self.sent, now_ns),
        };
        self.subject.write(number, request);
        self.sent += 1;
        Ticket { number, due_ns, follows: false }
    }

    fn is_measured(&self, ticket: &Ticket) -> bool {
        let due_ns = ticket.due_ns - self.start_ns;
        // What follows from answers may be due after the end of the plan; what was planned never is.
        due_ns >= self.warm_up_ns && due_ns < self.window_ns
    }

    /// Notes the lateness of a request that is being sent over a connection free since `free_since_ns`.
    fn note_sent(&mut self, ticket: &Ticket, now_ns: u64, free_since_ns: u64) {
        let elapsed_ns = now_ns - self.start_ns;
        let lag_ns = now_ns - ticket.due_ns;
        self.series.sent(elapsed_ns, lag_ns);
        if !self.is_measured(ticket) {
            return;
        }
        self.last_sent_ns = elapsed_ns;
        self.sent_measured += u64::from(!ticket.follows);
        if let Pace::Open { .. } = self.pace {
            self.lag.record_ns(lag_ns);
            self.own_lag.record_ns(now_ns - ticket.due_ns.max(free_since_ns).min(now_ns));
        }
    }
}

fn mark(class: &Class<'_>) -> Mark {
    match class {
        Class::Accepted => Mark::Accepted,
        Class::Waiting => Mark::Waiting,
        Class::Replayed => Mark::Replayed,
        Class::Refused(_) => Mark::Refused,
        Class::Cancelled => Mark::Cancelled,
        Class::FollowedUp => Mark::FollowedUp,
        Class::Unknown | Class::Unexpected => Mark::Failed,
    }
}

impl<S: Subject> Workload for Rush<'_, S> {
    fn start(&mut self, now_ns: u64) {
        self.start_ns = now_ns;
    }

    fn due(&mut self, now_ns: u64) -> Due {
        if self.ended_ns.is_some() {
            return Due::Never;
        }
        let planned = self.planned_due(now_ns - self.start_ns);
        match (planned, self.follow_up_due(now_ns)) {
            (Due::Now, _) | (_, Due::Now) => Due::Now,
            // What is far ahead is left to what comes after the rush.
            (Due::Never, Due::At(_)) if !self.subject.holds_up() => Due::Never,
            (Due::At(planned_ns), Due::At(follow_ns)) => Due::At(planned_ns.min(follow_ns)),
            (Due::Never, other) | (other, _) => other,
        }
    }

    fn write(&mut self, now_ns: u64, free_since_ns: u64, request: &mut Vec<u8>) -> Ticket {
        let ticket = match self.follow_up_due(now_ns) {
            Due::Now => self.write_follow_up(now_ns, request),
            _ => self.write_planned(now_ns, request),
        };
        self.note_sent(&ticket, now_ns, free_since_ns);
        ticket
    }

    fn answered(&mut self, sent: Sent, answer: &Answer<'_>) {
        let class = self.subject.judge(&sent, answer);
        if class == Class::Unknown {
            self.subject.unknown(&sent);
        }
        let corrected_ns = sent.now_ns - sent.ticket.due_ns;
        let raw_ns = sent.now_ns - sent.sent_ns;
        let elapsed_ns = sent.now_ns - self.start_ns;
        self.series.ended(elapsed_ns, mark(&class), Some(corrected_ns));
        if self.is_measured(&sent.ticket) {
            self.tally.answer(answer.status, &class, corrected_ns, raw_ns);
            self.last_answer_ns = elapsed_ns;
        } else {
            self.unmeasured.answer(answer.status, &class, corrected_ns, raw_ns);
        }
    }

    fn failed(&mut self, sent: Sent, failure: Failure) {
        self.subject.unknown(&sent);
        self.series.ended(sent.now_ns - self.start_ns, Mark::Failed, None);
        let tally =
            if self.is_measured(&sent.ticket) { &mut self.tally } else { &mut self.unmeasured };
        tally.failure(failure);
    }

    fn stop(&mut self, now_ns: u64) {
        self.ended_ns.get_or_insert(now_ns - self.start_ns);
    }

    fn tick(&self, now_ns: u64) -> Tick {
        let both = |count: fn(&Tally) -> u64| count(&self.tally) + count(&self.unmeasured);
        let outcomes = both(Tally::ended);
        let elapsed = passed(self.start_ns, now_ns);
        let phase = match now_ns - self.start_ns < self.warm_up_ns {
            true => Phase::WarmUp,
            false => Phase::Rush,
        };
        let mut tick = Tick::at(phase, outcomes, self.total());
        tick.elapsed = elapsed;
        tick.whole = Some(passed(0, self.window_ns));
        tick.accepted = both(|tally| tally.accepted);
        tick.refused = both(|tally| tally.refused);
        tick.unknown = both(|tally| tally.unknown);
        tick.last_second = self.series.last().copied();
        tick.refusals = self.tally.refusals.clone();
        for (code, count) in &self.unmeasured.refusals {
            *tick.refusals.entry(code.clone()).or_default() += count;
        }
        tick
    }
}

impl<S> Rush<'_, S> {
    /// How many requests there will be, where the plan says so.
    fn total(&self) -> Option<u64> {
        match &self.pace {
            Pace::Closed { sent_max } => Some(*sent_max).filter(|&most| most < u64::MAX),
            Pace::Open { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rush;
    use crate::endpoint::Endpoint;
    use crate::http::Answer;
    use crate::plan::{Plan, Profile};
    use crate::schedule::Arrivals;
    use crate::subject::Subject;
    use crate::tally::Class;
    use crate::work::{Fixed, Work};
    use crate::workload::{Due, Failure, Sent, Ticket, Workload};
    use std::borrow::Cow;
    use std::time::Duration;

    #[derive(Default)]
    struct Nothing {
        unknown: Vec<u64>,
        follows_at_ns: Option<u64>,
    }

    impl Subject for Nothing {
        fn write(&mut self, _number: u64, _request: &mut Vec<u8>) {}

        fn judge<'a>(&mut self, _sent: &Sent, _answer: &'a Answer<'_>) -> Class<'a> {
            Class::Accepted
        }

        fn unknown(&mut self, sent: &Sent) {
            self.unknown.push(sent.ticket.number);
        }

        fn follow_up_due_ns(&self) -> Option<u64> {
            self.follows_at_ns
        }

        fn write_follow_up(&mut self, _now_ns: u64, _request: &mut Vec<u8>) -> u64 {
            self.follows_at_ns = None;
            9
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
        rush.answered(Sent { ticket, sent_ns: START + 30 * MS, now_ns: START + 35 * MS }, &ok());
        let rushed = rush.finish();
        let accepted = &rushed.tally.latencies.accepted;
        assert_eq!(accepted.corrected.quantiles().unwrap().max_us, 35_000);
        assert_eq!(accepted.raw.quantiles().unwrap().max_us, 5_000);
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
                Ticket { number, due_ns: START + MS, follows: false }
            );
        }
        assert_eq!(rush.due(START + MS), Due::Never);
        rush.failed(
            Sent {
                ticket: Ticket { number: 1, due_ns: START + MS, follows: false },
                sent_ns: START + MS,
                now_ns: START + 2 * MS,
            },
            Failure::Cut,
        );
        let rushed = rush.finish();
        assert_eq!((rushed.planned, rushed.sent, rushed.tally.unknown), (2, 2, 1));
        assert_eq!(rushed.sending_ns, MS);
        assert_eq!(subject.unknown, [1]);
    }

    #[test]
    fn the_warm_up_is_sent_and_not_measured() {
        let mut subject = Nothing::default();
        let mut plan = plan(even(100.0));
        plan.warm_up = Duration::from_millis(30);
        let mut rush = Rush::new(&plan, &mut subject);
        rush.start(START);
        for number in 0..5 {
            let now_ns = START + (10 * number + 1) * MS;
            assert_eq!(rush.due(now_ns), Due::Now);
            let ticket = rush.write(now_ns, now_ns, &mut Vec::new());
            rush.answered(Sent { ticket, sent_ns: now_ns, now_ns: now_ns + MS }, &ok());
        }
        let rushed = rush.finish();
        assert_eq!((rushed.unmeasured_sent, rushed.sent, rushed.planned), (3, 2, 10));
        assert_eq!((rushed.unmeasured.accepted, rushed.tally.accepted), (3, 2));
        assert_eq!(rushed.lag.quantiles().unwrap().count, 2);
        assert_eq!((rushed.sending_ns, rushed.answering_ns), (100 * MS, 100 * MS));
        let seconds: Vec<(i64, u64)> =
            rushed.seconds.iter().map(|second| (second.at_s, second.accepted)).collect();
        assert_eq!(seconds, [(-1, 3), (0, 2)]);
    }

    #[test]
    fn what_follows_an_answer_is_sent_when_it_is_due() {
        let mut subject = Nothing { follows_at_ns: Some(START + 95 * MS), ..Nothing::default() };
        let mut rush = Rush::new(&plan(even(10.0)), &mut subject);
        rush.start(START);
        rush.write(START, START, &mut Vec::new());
        assert_eq!(rush.due(START + MS), Due::At(START + 95 * MS));
        let ticket = rush.write(START + 99 * MS, START, &mut Vec::new());
        assert_eq!(ticket, Ticket { number: 9, due_ns: START + 95 * MS, follows: true });
        assert_eq!(rush.due(START + 99 * MS), Due::Never);
        let rushed = rush.finish();
        assert_eq!((rushed.planned, rushed.sent), (1, 1));
        assert_eq!(rushed.lag.quantiles().unwrap().max_us, 4_000);
    }
}
