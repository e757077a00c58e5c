//! What a driver asks of those it sends for: when the next request is due, what it is, what its answer means.
//!
//! A workload sees no socket; time is an argument.

use crate::http::Answer;
use crate::progress::Tick;

/// When the next request is due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Now, as soon as a connection is free.
    Now,
    /// At this time.
    At(u64),
    /// Not before an answer arrives.
    AfterAnswer,
    /// Never: the run ends when the last answer is in.
    Never,
}

/// Why a request got no answer. Whether it took effect is unknown.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// None came in time.
    Timeout,
    /// The connection was closed or reset before the answer was whole.
    Cut,
    /// What came was not an HTTP answer.
    BadAnswer,
}

impl Failure {
    /// The failure in words.
    pub fn words(self) -> &'static str {
        match self {
            Failure::Timeout => "no answer in time",
            Failure::Cut => "connection cut",
            Failure::BadAnswer => "answer not HTTP",
        }
    }
}

/// What a workload knows a request by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// Its number.
    pub(crate) number: u64,
    /// When it was due.
    pub(crate) due_ns: u64,
    /// It was not planned by itself: it follows an answer, and has a number of another series.
    pub(crate) follows: bool,
}

/// When things happened to one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// Which one.
    pub(crate) ticket: Ticket,
    /// When it was handed to the socket.
    pub(crate) sent_ns: u64,
    /// When its end was seen.
    pub(crate) now_ns: u64,
}

/// What to send, and what to make of the answers.
pub(crate) trait Workload {
    /// Time zero of the workload: the connections are open.
    fn start(&mut self, now_ns: u64);
    /// When the next request is due.
    fn due(&mut self, now_ns: u64) -> Due;
    /// Writes the request that is due, for a connection free since `free_since_ns`.
    fn write(&mut self, now_ns: u64, free_since_ns: u64, request: &mut Vec<u8>) -> Ticket;
    /// An answer came.
    fn answered(&mut self, sent: Sent, answer: &Answer<'_>);
    /// No answer will come.
    fn failed(&mut self, sent: Sent, failure: Failure);
    /// Plan nothing more.
    fn stop(&mut self, now_ns: u64);
    /// How far it has come.
    fn tick(&self, now_ns: u64) -> Tick;
}
