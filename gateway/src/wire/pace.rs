//! How long a connection may take over each part of a request. Nothing arms a timer per request:
//! one look over all connections, four times a second, ends those that take too long.

use std::cell::{Cell, RefCell};
use std::task::Waker;
use std::time::Duration;

use super::sentry::{Seen, Sentry};

/// How often a worker looks over its connections.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(250);

const LOOKS_A_SECOND: u32 = 4;

/// What a connection is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its first request is awaited.
    New,
    /// Its next request is awaited, or its last answer is being taken.
    Idle,
    /// A head has begun.
    Head,
    /// A body is awaited.
    Body,
    /// An answer is awaited, from this side.
    Serving,
    /// An answer without end goes out, bit by bit.
    Streaming,
    /// Nothing more will be answered; what the client has sent ahead is read and forgotten.
    Lingering,
}

impl Phase {
    /// How many looks it may last; `None` for as long as it takes.
    const fn looks_max(self) -> Option<u32> {
        match self {
            Self::New | Self::Head | Self::Body => Some(10 * LOOKS_A_SECOND),
            Self::Idle => Some(75 * LOOKS_A_SECOND),
            // Something is sent every ten seconds: who takes nothing for so long is gone.
            Self::Streaming => Some(30 * LOOKS_A_SECOND),
            Self::Lingering => Some(LOOKS_A_SECOND),
            Self::Serving => None,
        }
    }
}

/// One connection, as its worker looks over it.
#[derive(Debug)]
pub(crate) struct Pace {
    phase: Cell<Phase>,
    looks: Cell<u32>,
    ended: Cell<bool>,
    closing: Cell<bool>,
    sentry: RefCell<Sentry>,
    waker: RefCell<Option<Waker>>,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            phase: Cell::new(Phase::New),
            looks: Cell::new(0),
            ended: Cell::new(false),
            closing: Cell::new(false),
            sentry: RefCell::new(Sentry::new()),
            waker: RefCell::new(None),
        }
    }

    /// Enters a phase.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.looks.set(0);
    }

    /// The phase it is in.
    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Looks at what came in.
    pub(crate) fn came_in(&self, bytes: &[u8]) {
        let seen = self.sentry.borrow_mut().look(bytes);
        let waiting = matches!(self.phase.get(), Phase::New | Phase::Idle);
        if waiting && seen == Seen::HeadUnderWay {
            self.enter(Phase::Head);
        }
    }

    /// Something went out.
    pub(crate) fn went_out(&self) {
        if self.phase.get() == Phase::Streaming {
            self.looks.set(0);
        }
    }

    /// What is wrong with the stream, if anything is.
    pub(crate) fn suspect(&self) -> Option<&'static str> {
        self.sentry.borrow().suspect()
    }

    /// How long the last request line is, as far as it has come in.
    pub(crate) fn request_line_bytes(&self) -> usize {
        self.sentry.borrow().request_line_bytes()
    }

    /// One look. Wakes the connection if its time is over.
    pub(crate) fn look(&self) {
        self.looks.set(self.looks.get() + 1);
        if self.phase.get().looks_max().is_some_and(|most| self.looks.get() > most) {
            self.end();
        }
    }

    /// Ends the connection, whatever it is about.
    pub(crate) fn end(&self) {
        self.ended.set(true);
        self.wake();
    }

    /// As [`Pace::close`]; ends a connection at once on which nothing was ever asked.
    pub(crate) fn wind_down(&self) {
        match self.phase.get() {
            Phase::New => self.end(),
            _ => self.close(),
        }
    }

    /// Ends the connection once the request under way is answered.
    pub(crate) fn close(&self) {
        self.closing.set(true);
        self.wake();
    }

    /// Whether its time is over.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.get()
    }

    /// Whether it shall end after the request under way.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// Names the task to be woken.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LOOKS_A_SECOND, Pace, Phase};

    fn looks_until_ended(pace: &Pace) -> Option<u32> {
        (1..1_000 * LOOKS_A_SECOND).find(|_| {
            pace.look();
            pace.is_ended()
        })
    }

    #[test]
    fn each_phase_has_its_ceiling_but_the_servers_own() {
        for (phase, seconds) in [
            (Phase::New, Some(10)),
            (Phase::Head, Some(10)),
            (Phase::Body, Some(10)),
            (Phase::Idle, Some(75)),
            (Phase::Streaming, Some(30)),
            (Phase::Lingering, Some(1)),
            (Phase::Serving, None),
        ] {
            let pace = Pace::new();
            pace.enter(phase);
            assert_eq!(
                looks_until_ended(&pace),
                seconds.map(|s: u32| s * LOOKS_A_SECOND + 1),
                "{phase:?}"
            );
        }
    }

    #[test]
    fn a_stream_that_is_taken_may_last() {
        let pace = Pace::new();
        pace.enter(Phase::Streaming);
        for _ in 0..100 {
            (0..30 * LOOKS_A_SECOND).for_each(|_| pace.look());
            assert!(!pace.is_ended());
            pace.went_out();
        }
        assert_eq!(looks_until_ended(&pace), Some(30 * LOOKS_A_SECOND + 1));
    }

    #[test]
    fn a_head_that_trickles_in_does_not_gain_time() {
        let pace = Pace::new();
        pace.came_in(b"GET / HTTP/1.1\r\n");
        for _ in 0..10 * LOOKS_A_SECOND {
            assert!(!pace.is_ended());
            pace.look();
            pace.came_in(b"x");
        }
        pace.look();
        assert!(pace.is_ended());
    }
}
