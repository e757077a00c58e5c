//! A worker's open requests to the engine: one fixed table, one wake per batch of answers.
//!
//! The table has at most `port_requests_max` places (I6). A place is given up when its answer has
//! come, not when its client has gone: until then the engine may still deliver to it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use sluice_core::command::ReplyTo;
use sluice_core::outcome::Outcome;
use sluice_core::shard::reply::Port;

/// How many looks (four a second) an answer may take until its client is told that its outcome is
/// unknown.
const LOOKS_MAX: u32 = 40;

/// The open requests of one worker.
pub(crate) struct Replies {
    number: u16,
    port: Arc<Port>,
    places: RefCell<Slab<Place>>,
    places_max: usize,
}

struct Place {
    looks: u32,
    state: State,
}

enum State {
    /// Nothing yet; whoever waits is woken.
    Waiting(Option<Waker>),
    /// The answer is here.
    Answered(Outcome),
    /// It took too long; the client is told so.
    Late(Option<Waker>),
    /// The client has gone.
    Abandoned,
}

/// The answer did not come in time: the outcome is unknown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Late;

/// An answer to come.
pub(crate) struct Reply {
    replies: Rc<Replies>,
    key: usize,
    /// The place was given up: the answer was taken, or none will come.
    done: bool,
}

impl Replies {
    pub(crate) fn new(number: u16, port: Arc<Port>, places_max: usize) -> Rc<Self> {
        let places = RefCell::new(Slab::with_capacity(places_max));
        Rc::new(Self { number, port, places, places_max })
    }

    /// Whether every place is taken.
    pub(crate) fn is_full(&self) -> bool {
        self.places.borrow().len() >= self.places_max
    }

    /// Takes a place for one answer; `None` if there is none.
    pub(crate) fn open(self: &Rc<Self>) -> Option<(Reply, ReplyTo)> {
        if self.is_full() {
            return None;
        }
        let place = Place { looks: 0, state: State::Waiting(None) };
        let key = self.places.borrow_mut().insert(place);
        let reply_to = ReplyTo::Port { port: self.number, ticket: key as u64 };
        Some((Reply { replies: Rc::clone(self), key, done: false }, reply_to))
    }

    /// Takes in every batch of answers, for ever.
    pub(crate) async fn pump(self: Rc<Self>) {
        poll_fn(|cx| -> Poll<()> {
            self.port.register(cx.waker());
            while let Some(batch) = self.port.take() {
                let mut places = self.places.borrow_mut();
                for (ticket, outcome) in batch {
                    fill(&mut places, ticket as usize, outcome);
                }
            }
            Poll::Pending
        })
        .await;
    }

    /// One look: whoever has waited too long is told.
    pub(crate) fn look(&self) {
        for (_, place) in self.places.borrow_mut().iter_mut() {
            place.looks += 1;
            if place.looks > LOOKS_MAX
                && let State::Waiting(waker) = &mut place.state
            {
                let waker = waker.take();
                if let Some(waker) = &waker {
                    waker.wake_by_ref();
                }
                place.state = State::Late(waker);
            }
        }
    }
}

/// Puts an answer into its place. A place is reused only after its one answer has come, so that a
/// ticket never names another request's place.
fn fill(places: &mut Slab<Place>, key: usize, outcome: Outcome) {
    let place = places.get_mut(key).expect("a request that was submitted has its place");
    match std::mem::replace(&mut place.state, State::Answered(outcome)) {
        State::Waiting(waker) | State::Late(waker) => {
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        State::Abandoned => {
            places.remove(key);
        }
        State::Answered(_) => unreachable!("a request is answered once"),
    }
}

impl Reply {
    /// Gives the place up: the command was not taken, no answer will come.
    pub(crate) fn forget(mut self) {
        self.replies.places.borrow_mut().remove(self.key);
        self.done = true;
    }
}

impl Future for Reply {
    type Output = Result<Outcome, Late>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let replies = Rc::clone(&self.replies);
        let mut places = replies.places.borrow_mut();
        let place = &mut places[self.key];
        match &mut place.state {
            State::Waiting(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            State::Late(_) => {
                place.state = State::Abandoned;
                self.done = true;
                Poll::Ready(Err(Late))
            }
            State::Answered(_) => {
                self.done = true;
                match places.remove(self.key).state {
                    State::Answered(outcome) => Poll::Ready(Ok(outcome)),
                    _ => unreachable!("it was looked at above"),
                }
            }
            State::Abandoned => unreachable!("whoever polls has not gone"),
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut places = self.replies.places.borrow_mut();
        match places[self.key].state {
            State::Answered(_) => {
                places.remove(self.key);
            }
            _ => places[self.key].state = State::Abandoned,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LOOKS_MAX, Late, Replies};
    use sluice_core::command::ReplyTo;
    use sluice_core::outcome::{Outcome, Refusal};
    use sluice_core::shard::reply::Port;
    use std::rc::Rc;
    use std::sync::Arc;
    use tokio::task::{LocalSet, yield_now};

    const SOLD: Outcome = Outcome::Refused(Refusal::OrderNotFound);

    fn ticket(reply_to: &ReplyTo) -> u64 {
        match reply_to {
            ReplyTo::Port { port: 3, ticket } => *ticket,
            other => panic!("{other:?}"),
        }
    }

    async fn with_replies(test: impl AsyncFnOnce(Rc<Replies>, Arc<Port>)) {
        let port = Arc::new(Port::new(2));
        let replies = Replies::new(3, Arc::clone(&port), 2);
        let pump = tokio::task::spawn_local(Rc::clone(&replies).pump());
        test(replies, port).await;
        pump.abort();
    }

    #[tokio::test]
    async fn an_answer_reaches_its_request_and_frees_its_place() {
        let test = with_replies(async |replies, port| {
            let (first, to_first) = replies.open().expect("a place");
            let (second, to_second) = replies.open().expect("a place");
            assert!(replies.open().is_none(), "I6");
            port.deliver(vec![(ticket(&to_second), SOLD), (ticket(&to_first), Outcome::Relocated)]);
            assert_eq!((first.await, second.await), (Ok(Outcome::Relocated), Ok(SOLD)));
            assert!(!replies.is_full());
            replies.open().expect("a place").0.forget();
            assert_eq!(replies.places.borrow().len(), 0);
        });
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn a_request_whose_client_left_keeps_its_place_until_answered() {
        let test = with_replies(async |replies, port| {
            let (gone, to_gone) = replies.open().expect("a place");
            drop(gone);
            assert_eq!(replies.places.borrow().len(), 1);
            port.deliver(vec![(ticket(&to_gone), SOLD)]);
            yield_now().await;
            assert_eq!(replies.places.borrow().len(), 0);
        });
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn whoever_waits_too_long_is_told_and_a_late_answer_finds_its_place() {
        let test = with_replies(async |replies, port| {
            let (slow, to_slow) = replies.open().expect("a place");
            let waiting = tokio::task::spawn_local(slow);
            yield_now().await;
            for _ in 0..=LOOKS_MAX {
                replies.look();
            }
            assert_eq!(waiting.await.expect("no panic"), Err(Late));
            assert_eq!(replies.places.borrow().len(), 1);
            port.deliver(vec![(ticket(&to_slow), SOLD)]);
            yield_now().await;
            assert_eq!(replies.places.borrow().len(), 0);
        });
        LocalSet::new().run_until(test).await;
    }
}
