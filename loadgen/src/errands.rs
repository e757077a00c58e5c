//! A list of requests, each sent again until its answer is final: how outcomes are settled and orders audited.
//!
//! Paced by nothing but free connections; what cannot be finished is given up by name, never forgotten.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::driver::{Drive, Driver, Watch};
use crate::error::Result;
use crate::http::Answer;
use crate::progress::{Phase, Tick, passed};
use crate::rest::rest_ns;
use crate::workload::{Due, Failure, Sent, Ticket, Workload};

/// Whether an answer ends an errand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It does.
    Done,
    /// Nothing is known yet; send it again.
    Again,
}

/// One list of requests and what their answers mean.
pub(crate) trait Errand {
    /// What this is, for the progress.
    const PHASE: Phase;
    /// How many there are.
    fn count(&self) -> usize;
    /// Writes one.
    fn write(&self, item: usize, request: &mut Vec<u8>);
    /// Judges an answer.
    fn judge(&mut self, item: usize, sent: &Sent, answer: &Answer<'_>) -> Verdict;
    /// No final answer came.
    fn give_up(&mut self, item: usize);
}

/// Runs all errands; when it returns each of them was judged final or given up.
pub(crate) fn run<E: Errand>(
    driver: &mut Driver,
    errand: &mut E,
    attempts_max: u32,
    watch: &mut Watch<'_>,
) -> Result<Drive> {
    let mut errands = Errands {
        errand,
        fresh: 0,
        again: BinaryHeap::new(),
        attempts: HashMap::new(),
        attempts_max,
        in_flight: 0,
        start_ns: 0,
        stopped: false,
    };
    let drive = driver.drive(&mut errands, watch)?;
    errands.give_up_rest();
    Ok(drive)
}

struct Errands<'e, E> {
    errand: &'e mut E,
    fresh: usize,
    again: BinaryHeap<Reverse<(u64, usize)>>,
    attempts: HashMap<usize, u32>,
    attempts_max: u32,
    in_flight: usize,
    start_ns: u64,
    stopped: bool,
}

impl<E: Errand> Errands<'_, E> {
    fn again(&mut self, item: usize, now_ns: u64, asked_s: Option<u64>) {
        let attempts = self.attempts.entry(item).or_insert(0);
        *attempts += 1;
        if *attempts >= self.attempts_max {
            self.errand.give_up(item);
            return;
        }
        self.again.push(Reverse((now_ns + rest_ns(*attempts, asked_s), item)));
    }

    fn give_up_rest(&mut self) {
        while let Some(Reverse((_, item))) = self.again.pop() {
            self.errand.give_up(item);
        }
        for item in self.fresh..self.errand.count() {
            self.errand.give_up(item);
        }
    }
}

impl<E: Errand> Workload for Errands<'_, E> {
    fn start(&mut self, now_ns: u64) {
        self.start_ns = now_ns;
    }

    fn due(&mut self, now_ns: u64) -> Due {
        if self.stopped {
            return Due::Never;
        }
        match self.again.peek() {
            Some(Reverse((at_ns, _))) if *at_ns <= now_ns => Due::Now,
            _ if self.fresh < self.errand.count() => Due::Now,
            Some(Reverse((at_ns, _))) => Due::At(*at_ns),
            None if self.in_flight > 0 => Due::AfterAnswer,
            None => Due::Never,
        }
    }

    fn write(&mut self, now_ns: u64, _free_since_ns: u64, request: &mut Vec<u8>) -> Ticket {
        let item = match self.again.peek() {
            Some(&Reverse((at_ns, item))) if at_ns <= now_ns => {
                self.again.pop();
                item
            }
            _ => {
                self.fresh += 1;
                self.fresh - 1
            }
        };
        self.in_flight += 1;
        self.errand.write(item, request);
        Ticket { number: item as u64, due_ns: now_ns, follows: false }
    }

    fn answered(&mut self, sent: Sent, answer: &Answer<'_>) {
        self.in_flight -= 1;
        let item = sent.ticket.number as usize;
        if self.errand.judge(item, &sent, answer) == Verdict::Again {
            self.again(item, sent.now_ns, answer.retry_after_s);
        }
    }

    fn failed(&mut self, sent: Sent, _failure: Failure) {
        self.in_flight -= 1;
        self.again(sent.ticket.number as usize, sent.now_ns, None);
    }

    fn stop(&mut self, _now_ns: u64) {
        self.stopped = true;
    }

    fn tick(&self, now_ns: u64) -> Tick {
        let done = (self.fresh - self.in_flight).saturating_sub(self.again.len());
        let mut tick = Tick::at(E::PHASE, done as u64, Some(self.errand.count() as u64));
        tick.elapsed = passed(self.start_ns, now_ns);
        tick
    }
}

#[cfg(test)]
mod tests {
    use super::{Errand, Errands, Verdict};
    use crate::http::Answer;
    use crate::progress::Phase;
    use crate::workload::{Due, Failure, Sent, Ticket, Workload};
    use std::borrow::Cow;
    use std::collections::{BinaryHeap, HashMap};

    #[derive(Default)]
    struct Three {
        done: Vec<usize>,
        given_up: Vec<usize>,
    }

    impl Errand for Three {
        const PHASE: Phase = Phase::Settle;

        fn count(&self) -> usize {
            3
        }

        fn write(&self, _item: usize, _request: &mut Vec<u8>) {}

        fn judge(&mut self, item: usize, _sent: &Sent, answer: &Answer<'_>) -> Verdict {
            if answer.status == 503 {
                return Verdict::Again;
            }
            self.done.push(item);
            Verdict::Done
        }

        fn give_up(&mut self, item: usize) {
            self.given_up.push(item);
        }
    }

    fn errands(errand: &mut Three) -> Errands<'_, Three> {
        Errands {
            errand,
            fresh: 0,
            again: BinaryHeap::new(),
            attempts: HashMap::new(),
            attempts_max: 2,
            in_flight: 0,
            start_ns: 0,
            stopped: false,
        }
    }

    fn answer(status: u16) -> Answer<'static> {
        Answer {
            status,
            replayed: false,
            retry_after_s: Some(9),
            close: false,
            body: Cow::Borrowed(b""),
        }
    }

    fn at(number: u64) -> Sent {
        Sent { ticket: Ticket { number, due_ns: 0, follows: false }, sent_ns: 0, now_ns: 0 }
    }

    #[test]
    fn each_errand_is_done_or_given_up() {
        let mut three = Three::default();
        let mut errands = errands(&mut three);
        for item in 0..3 {
            assert_eq!(errands.due(0), Due::Now);
            assert_eq!(errands.write(0, 0, &mut Vec::new()).number, item);
        }
        assert_eq!(errands.due(0), Due::AfterAnswer);
        errands.answered(at(0), &answer(200));
        errands.answered(at(1), &answer(503));
        errands.failed(at(2), Failure::Cut);
        // A failure rests a little, a refusal as long as it asks, but no longer than a second.
        assert_eq!(errands.due(0), Due::At(50_000_000));
        assert_eq!(errands.write(50_000_000, 0, &mut Vec::new()).number, 2);
        assert_eq!(errands.due(50_000_000), Due::At(1_000_000_000));
        assert_eq!(errands.write(1_000_000_000, 0, &mut Vec::new()).number, 1);
        errands.answered(at(1), &answer(200));
        errands.failed(at(2), Failure::Timeout);
        assert_eq!(errands.due(0), Due::Never);
        errands.give_up_rest();
        assert_eq!((three.done, three.given_up), (vec![0, 1], vec![2]));
    }

    #[test]
    fn what_a_stop_leaves_is_given_up() {
        let mut three = Three::default();
        let mut errands = errands(&mut three);
        errands.write(0, 0, &mut Vec::new());
        errands.stop(0);
        assert_eq!(errands.due(0), Due::Never);
        errands.failed(at(0), Failure::Cut);
        errands.give_up_rest();
        three.given_up.sort_unstable();
        assert_eq!(three.given_up, [0, 1, 2]);
    }
}
