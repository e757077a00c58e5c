//! Unknown outcomes: asked for again with the same key, until each is an order or a refusal.

use serde::{Deserialize, Serialize};

use crate::book::{Book, How};
use crate::errands::{Errand, Verdict};
use crate::finding::Kind;
use crate::follow::FollowUps;
use crate::http::Answer;
use crate::progress::Phase;
use crate::script::Script;
use crate::workload::Sent;

/// What became of the unknown outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Outcomes that were unknown and were asked for again.
    pub asked: u64,
    /// The first request had made the order.
    pub had_been_made: u64,
    /// The first had done nothing; its repeat made the order.
    pub made_by_repeat: u64,
    /// The first had done nothing; its repeat was refused.
    pub refused: u64,
    /// Still unknown.
    pub unsettled: u64,
}

/// Settles a list of requests.
pub(crate) struct Settling<'b> {
    /// Writes the requests again.
    pub(crate) script: &'b Script,
    /// What is acknowledged now.
    pub(crate) book: &'b mut Book,
    /// What follows from it.
    pub(crate) follow_ups: &'b mut FollowUps,
    /// The requests.
    pub(crate) numbers: Vec<u64>,
    /// How it went.
    pub(crate) settled: Settled,
}

impl Errand for Settling<'_> {
    const PHASE: Phase = Phase::Settle;

    fn count(&self) -> usize {
        self.numbers.len()
    }

    fn write(&self, item: usize, request: &mut Vec<u8>) {
        self.script.write_order(self.numbers[item], request);
    }

    fn judge(&mut self, item: usize, sent: &Sent, answer: &Answer<'_>) -> Verdict {
        let number = self.numbers[item];
        match answer.status {
            200..=202 => {
                if (answer.status == 200) != answer.replayed {
                    let script = self.script;
                    self.book.findings.add(Kind::RepeatNotMarked, || script.name(number));
                }
                let (made, how) = if answer.status == 200 {
                    (&mut self.settled.had_been_made, How::Replayed)
                } else {
                    let how = if answer.status == 202 { How::Waits } else { How::Made };
                    (&mut self.settled.made_by_repeat, how)
                };
                *made += 1;
                let (script, book) = (self.script, &mut *self.book);
                if let Some(place) = book.acknowledge(script, number, how, sent, &answer.body) {
                    self.follow_ups.plan(script, book, place, true);
                }
                Verdict::Done
            }
            429 => Verdict::Again,
            400..=499 => {
                self.settled.refused += 1;
                Verdict::Done
            }
            _ => Verdict::Again,
        }
    }

    fn give_up(&mut self, item: usize) {
        self.settled.unsettled += 1;
        let (script, number) = (self.script, self.numbers[item]);
        self.book.findings.add(Kind::Unsettled, || script.name(number));
    }
}

#[cfg(test)]
mod tests {
    use super::{Settled, Settling};
    use crate::book::Book;
    use crate::book::tests::{AT, body};
    use crate::errands::{Errand as _, Verdict};
    use crate::finding::Kind;
    use crate::follow::FollowUps;
    use crate::http::Answer;
    use crate::limits::Limits;
    use crate::script::tests::script;
    use std::borrow::Cow;

    #[test]
    fn each_answer_settles_or_is_asked_again() {
        let script = script(9, 1);
        let mut book = Book::new(&script, &Limits::DEFAULT, true);
        let mut settling = Settling {
            script: &script,
            book: &mut book,
            follow_ups: &mut FollowUps::new(None, 3),
            numbers: (0..5).collect(),
            settled: Settled::default(),
        };
        let mut judge = |item: usize, status, replayed| {
            let body = body(&script, item as u64, &format!("order-{item}"));
            settling.judge(
                item,
                &AT,
                &Answer {
                    status,
                    replayed,
                    retry_after_s: None,
                    close: false,
                    body: Cow::Owned(body),
                },
            )
        };
        assert_eq!(judge(0, 201, false), Verdict::Done);
        assert_eq!(judge(1, 200, true), Verdict::Done);
        assert_eq!(judge(2, 409, false), Verdict::Done);
        assert_eq!(judge(3, 200, false), Verdict::Done);
        for status in [429, 503, 500, 504, 302] {
            assert_eq!(judge(4, status, false), Verdict::Again);
        }
        settling.give_up(4);
        let expected =
            Settled { asked: 0, had_been_made: 2, made_by_repeat: 1, refused: 1, unsettled: 1 };
        assert_eq!(settling.settled, expected);
        assert_eq!(book.orders.len(), 3);
        assert_eq!(
            (book.findings.count(Kind::RepeatNotMarked), book.findings.count(Kind::Unsettled)),
            (1, 1)
        );
    }
}
