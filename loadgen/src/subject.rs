//! What is sent in a rush: orders and what follows from them, or one fixed request.

use crate::book::{Book, How};
use crate::finding::Kind;
use crate::follow::FollowUps;
use crate::http::{self, Answer};
use crate::order::refusal_code;
use crate::plan::Plan;
use crate::script::Script;
use crate::tally::{Class, printable};
use crate::traffic::Shape;
use crate::work::Fixed;
use crate::workload::Sent;

/// What the requests are and what their answers mean.
pub(crate) trait Subject {
    /// Writes request `number`.
    fn write(&mut self, number: u64, request: &mut Vec<u8>);
    /// Says what an answer means.
    fn judge<'a>(&mut self, sent: &Sent, answer: &'a Answer<'_>) -> Class<'a>;
    /// The outcome of a request is unknown.
    fn unknown(&mut self, sent: &Sent);
    /// When the next request that follows from an answer is due.
    fn follow_up_due_ns(&self) -> Option<u64> {
        None
    }
    /// Whether something that follows is due so soon that a rush waits for it when all that was planned is sent.
    fn holds_up(&self) -> bool {
        true
    }
    /// Writes that request; it is sent at `now_ns`. Its number.
    fn write_follow_up(&mut self, _now_ns: u64, _request: &mut Vec<u8>) -> u64 {
        unreachable!("nothing follows")
    }
}

/// Orders of a script; acknowledgements go into the book, unknown outcomes onto a list.
pub(crate) struct Ordering<'b> {
    /// The requests.
    pub(crate) script: &'b Script,
    /// What was acknowledged.
    pub(crate) book: &'b mut Book,
    /// What follows from them.
    pub(crate) follow_ups: FollowUps,
    /// Keys whose outcome is unknown, to be settled.
    pub(crate) unsettled: Vec<u64>,
    /// How many may stand on that list.
    pub(crate) unsettled_max: usize,
}

impl<'b> Ordering<'b> {
    /// Nothing sent yet.
    pub(crate) fn new(
        script: &'b Script,
        book: &'b mut Book,
        follow_ups: FollowUps,
        unsettled_max: usize,
    ) -> Ordering<'b> {
        Ordering { script, book, follow_ups, unsettled: Vec::new(), unsettled_max }
    }

    /// The keys whose outcome is still unknown (a retry may have told the outcome of one), and what is still to follow.
    pub(crate) fn into_rest(self) -> (Vec<u64>, FollowUps) {
        let mut keys = self.unsettled;
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|&key| !self.book.knows(key));
        (keys, self.follow_ups)
    }

    fn judge_order<'a>(&mut self, sent: &Sent, answer: &'a Answer<'_>) -> Class<'a> {
        let (script, number) = (self.script, sent.ticket.number);
        match answer.status {
            201 => {
                self.acknowledge(sent, How::Made, answer);
                Class::Accepted
            }
            202 if script.shape(number) == Shape::Standby => {
                self.acknowledge(sent, How::Waits, answer);
                Class::Waiting
            }
            200 if script.is_retried(script.key_of(number)) => {
                if !answer.replayed {
                    self.book.findings.add(Kind::RepeatNotMarked, || script.name(number));
                }
                self.acknowledge(sent, How::Replayed, answer);
                Class::Replayed
            }
            200 => {
                self.book.findings.add(Kind::FreshKeyReplayed, || script.name(number));
                Class::Unexpected
            }
            500 | 502 | 504 => Class::Unknown,
            status @ (400..=499 | 503) => {
                let code = refusal_code(&answer.body);
                // 429 and 503 may come before the key is looked at.
                if !matches!(status, 429 | 503) {
                    let word = code.as_deref().map_or("(no code)", printable);
                    self.book.refused(script, number, sent, word);
                }
                Class::Refused(code)
            }
            _ => Class::Unexpected,
        }
    }

    fn acknowledge(&mut self, sent: &Sent, how: How, answer: &Answer<'_>) {
        let (script, number) = (self.script, sent.ticket.number);
        if let Some(place) = self.book.acknowledge(script, number, how, sent, &answer.body) {
            self.follow_ups.plan(script, self.book, place, true);
        }
    }
}

impl Subject for Ordering<'_> {
    fn write(&mut self, number: u64, request: &mut Vec<u8>) {
        self.script.write_order(number, request);
    }

    fn judge<'a>(&mut self, sent: &Sent, answer: &'a Answer<'_>) -> Class<'a> {
        if sent.ticket.follows {
            return self.follow_ups.judge(self.script, self.book, sent, answer);
        }
        self.judge_order(sent, answer)
    }

    fn unknown(&mut self, sent: &Sent) {
        if sent.ticket.follows {
            return self.follow_ups.again(self.script, self.book, sent, None);
        }
        let key = self.script.key_of(sent.ticket.number);
        if self.unsettled.len() < self.unsettled_max {
            self.unsettled.push(key);
        } else {
            let script = self.script;
            self.book
                .findings
                .add(Kind::Unsettled, || format!("{}: not kept to be settled", script.name(key)));
        }
    }

    fn follow_up_due_ns(&self) -> Option<u64> {
        self.follow_ups.due_ns()
    }

    fn holds_up(&self) -> bool {
        self.follow_ups.holds_up()
    }

    fn write_follow_up(&mut self, now_ns: u64, request: &mut Vec<u8>) -> u64 {
        self.follow_ups.write(self.script, self.book, now_ns, request)
    }
}

/// The same request each time.
pub(crate) struct Repeating {
    request: Vec<u8>,
    expected: Vec<u16>,
}

impl Repeating {
    /// The request of `fixed`, as bytes.
    pub(crate) fn new(plan: &Plan, fixed: &Fixed) -> Repeating {
        let headers: Vec<(&str, &str)> =
            fixed.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Repeating {
            request: http::request(
                &fixed.method,
                &fixed.path,
                plan.target.authority(),
                &headers,
                &fixed.body,
            ),
            expected: fixed.expected.clone(),
        }
    }
}

impl Subject for Repeating {
    fn write(&mut self, _number: u64, request: &mut Vec<u8>) {
        request.extend_from_slice(&self.request);
    }

    fn judge<'a>(&mut self, _sent: &Sent, answer: &'a Answer<'_>) -> Class<'a> {
        if self.expected.contains(&answer.status) { Class::Accepted } else { Class::Unexpected }
    }

    fn unknown(&mut self, _sent: &Sent) {}
}

#[cfg(test)]
mod tests {
    use super::{Ordering, Subject as _};
    use crate::book::Book;
    use crate::book::tests::{AT, body};
    use crate::finding::Kind;
    use crate::follow::FollowUps;
    use crate::http::Answer;
    use crate::limits::Limits;
    use crate::script::tests::{script, script_of};
    use crate::tally::Class;
    use crate::traffic::Traffic;
    use crate::workload::{Sent, Ticket};
    use std::borrow::Cow;

    #[test]
    fn answers_are_told_apart_as_the_contract_does() {
        let script = script(2, 1);
        let mut book = Book::new(&script, &Limits::TINY, true);
        let mut ordering = Ordering::new(&script, &mut book, FollowUps::new(None, 3), 2);
        let mut judge = |status, body: &[u8]| {
            let answer = Answer {
                status,
                replayed: false,
                retry_after_s: None,
                close: false,
                body: Cow::Borrowed(body),
            };
            match ordering.judge(&AT, &answer) {
                Class::Refused(code) => {
                    Class::Refused(code.map(|code| Cow::Owned(code.into_owned())))
                }
                Class::Accepted => Class::Accepted,
                Class::Unknown => Class::Unknown,
                Class::Unexpected => Class::Unexpected,
                _ => panic!("nothing is repeated, and nothing follows"),
            }
        };
        assert_eq!(judge(201, &body(&script, 0, "order")), Class::Accepted);
        assert_eq!(judge(409, br#"{"code":"sold_out"}"#), Class::Refused(Some("sold_out".into())));
        assert_eq!(judge(503, b""), Class::Refused(None));
        assert_eq!(judge(504, b""), Class::Unknown);
        assert_eq!(judge(500, b""), Class::Unknown);
        assert_eq!(judge(202, b""), Class::Unexpected);
        assert_eq!(judge(200, b""), Class::Unexpected);
        for number in 0..3 {
            ordering.unknown(&Sent { ticket: Ticket { number, ..AT.ticket }, ..AT });
        }
        assert_eq!(ordering.into_rest().0, [0, 1]);
        assert_eq!(book.findings.kinds(), [Kind::FreshKeyReplayed, Kind::Unsettled]);
    }

    #[test]
    fn retries_are_replays_and_settle_their_keys() {
        let script = script_of(2, 1, Traffic { retries_percent: 100.0, ..Traffic::default() });
        let mut book = Book::new(&script, &Limits::DEFAULT, true);
        let mut ordering = Ordering::new(&script, &mut book, FollowUps::new(None, 3), 9);
        let sent = |number| Sent { ticket: Ticket { number, ..AT.ticket }, ..AT };
        let answer = |replayed| Answer {
            status: 200,
            replayed,
            retry_after_s: None,
            close: false,
            body: Cow::Owned(body(&script, 0, "order")),
        };
        ordering.unknown(&sent(0));
        assert_eq!(ordering.judge(&sent(1), &answer(true)), Class::Replayed);
        assert_eq!(ordering.judge(&sent(2), &answer(false)), Class::Replayed);
        assert_eq!(ordering.into_rest().0, Vec::<u64>::new());
        assert_eq!((book.orders.len(), book.units_by_sku()[0]), (1, 1));
        assert_eq!(book.findings.kinds(), [Kind::RepeatNotMarked]);
    }
}
