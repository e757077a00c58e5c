//! What is sent in a rush: orders, or one fixed request.

use crate::book::Book;
use crate::finding::Kind;
use crate::http::{self, Answer};
use crate::order::refusal_code;
use crate::plan::{Fixed, Plan};
use crate::rush::Subject;
use crate::script::Script;
use crate::tally::Class;

/// Orders of a script; acknowledgements go into the book, unknown outcomes onto a list.
pub(crate) struct Ordering<'b> {
    /// The requests.
    pub(crate) script: &'b Script,
    /// What was acknowledged.
    pub(crate) book: &'b mut Book,
    /// Requests whose outcome is unknown, to be settled.
    pub(crate) unsettled: Vec<u64>,
    /// How many may stand on that list.
    pub(crate) unsettled_max: usize,
}

impl Subject for Ordering<'_> {
    fn write(&self, number: u64, request: &mut Vec<u8>) {
        self.script.write_order(number, request);
    }

    fn judge<'a>(&mut self, number: u64, answer: &'a Answer<'_>) -> Class<'a> {
        match answer.status {
            201 => {
                self.book.acknowledge(self.script, number, &answer.body);
                Class::Accepted
            }
            200 => {
                let script = self.script;
                self.book.findings.add(Kind::FreshKeyReplayed, || script.name(number));
                Class::Unexpected
            }
            500 | 502 | 504 => Class::Unknown,
            400..=499 | 503 => Class::Refused(refusal_code(&answer.body)),
            _ => Class::Unexpected,
        }
    }

    fn unknown(&mut self, number: u64) {
        if self.unsettled.len() < self.unsettled_max {
            self.unsettled.push(number);
        } else {
            let script = self.script;
            self.book.findings.add(Kind::Unsettled, || {
                format!("{}: not kept to be settled", script.name(number))
            });
        }
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
    fn write(&self, _number: u64, request: &mut Vec<u8>) {
        request.extend_from_slice(&self.request);
    }

    fn judge<'a>(&mut self, _number: u64, answer: &'a Answer<'_>) -> Class<'a> {
        if self.expected.contains(&answer.status) { Class::Accepted } else { Class::Unexpected }
    }

    fn unknown(&mut self, _number: u64) {}
}

#[cfg(test)]
mod tests {
    use super::Ordering;
    use crate::book::Book;
    use crate::book::tests::body;
    use crate::finding::Kind;
    use crate::http::Answer;
    use crate::limits::Limits;
    use crate::rush::Subject as _;
    use crate::script::tests::script;
    use crate::tally::Class;
    use std::borrow::Cow;

    #[test]
    fn answers_are_told_apart_as_the_contract_does() {
        let script = script(2, 1);
        let mut book = Book::new(&script, &Limits::TINY, true);
        let mut ordering =
            Ordering { script: &script, book: &mut book, unsettled: Vec::new(), unsettled_max: 2 };
        let mut judge = |status, body: &[u8]| {
            let answer = Answer {
                status,
                replayed: false,
                retry_after_s: None,
                close: false,
                body: Cow::Borrowed(body),
            };
            match ordering.judge(0, &answer) {
                Class::Refused(code) => {
                    Class::Refused(code.map(|code| Cow::Owned(code.into_owned())))
                }
                Class::Accepted => Class::Accepted,
                Class::Unknown => Class::Unknown,
                Class::Unexpected => Class::Unexpected,
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
            ordering.unknown(number);
        }
        assert_eq!(ordering.unsettled, [0, 1]);
        assert_eq!(book.findings.kinds(), [Kind::FreshKeyReplayed, Kind::Unsettled]);
    }
}
