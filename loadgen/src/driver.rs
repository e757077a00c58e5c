//! The loop that keeps many connections busy on one thread: epoll, one timer, no task and no allocation
//! for a request.
//!
//! It knows nothing of orders: a [`Workload`] says what to send when, and learns what came of it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::clock::{Clock, nanos};
use crate::connection::{Arrived, Connection, State};
use crate::error::{Error, Result};
use crate::expiry::Waiting;
use crate::http::{self, Answer};
use crate::progress::{Phase, Progress, Tick};
use crate::stop::Stop;
use crate::workload::{Due, Failure, Sent, Ticket, Workload};

const TIMER: u64 = u64::MAX;
const EVENTS_MAX: usize = 1024;
const READ_BYTES: usize = 64 << 10;
/// How often deadlines are looked at and progress is told.
const SWEEP_NS: u64 = 25_000_000;
/// What is due sooner than this is waited for without sleeping: going to sleep and being woken takes about as long.
const SPIN_NS: u64 = 20_000;
/// One sweep in this many tells progress.
const SWEEPS_PER_TICK: u64 = 4;

/// What a drive cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Drive {
    /// From start to end.
    pub(crate) elapsed_ns: u64,
    /// Of which not spent waiting for the kernel.
    pub(crate) busy_ns: u64,
    /// Openings that failed.
    pub(crate) connect_failures: u64,
    /// Openings after the first of each connection.
    pub(crate) reconnects: u64,
    /// Nobody could be connected to for as long as the patience lasts.
    pub(crate) unreachable: bool,
}

/// What a drive is watched by.
pub(crate) struct Watch<'a> {
    /// Asked to stop.
    pub(crate) stop: &'a Stop,
    /// Told how it goes.
    pub(crate) progress: &'a mut dyn Progress,
    /// Give up when no connection could be open for this long.
    pub(crate) unreachable_after: Option<Duration>,
}

/// How long and how much a driver bears.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// For an answer.
    pub(crate) answer: Duration,
    /// For a connection.
    pub(crate) connect: Duration,
    /// In one answer.
    pub(crate) answer_bytes_max: usize,
}

/// Connections to one address, kept over several workloads.
pub(crate) struct Driver {
    clock: Clock,
    address: SocketAddr,
    answer_patience_ns: u64,
    connect_patience_ns: u64,
    answer_bytes_max: usize,
    epoll: OwnedFd,
    timer: OwnedFd,
    armed_ns: u64,
    connections: Vec<Connection>,
    idle: VecDeque<u32>,
    closed: Vec<u32>,
    in_flight: usize,
    scratch: Box<[u8]>,
    cost: Drive,
    opened_once: u64,
    last_open_ns: u64,
}

impl Driver {
    /// A driver with `connections` connections, none of them open yet.
    pub(crate) fn new(address: SocketAddr, connections: u32, bounds: Bounds) -> Result<Driver> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|error| Error::system("epoll_create", error))?;
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )
        .map_err(|error| Error::system("timerfd_create", error))?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(TIMER), flags)
            .map_err(|error| Error::system("epoll_ctl", error))?;
        Ok(Driver {
            clock: Clock::start(),
            address,
            answer_patience_ns: nanos(bounds.answer),
            connect_patience_ns: nanos(bounds.connect),
            answer_bytes_max: bounds.answer_bytes_max,
            epoll,
            timer,
            armed_ns: 0,
            connections: (0..connections).map(|_| Connection::new()).collect(),
            idle: VecDeque::with_capacity(connections as usize),
            closed: (0..connections).collect(),
            in_flight: 0,
            scratch: vec![0; READ_BYTES].into_boxed_slice(),
            cost: Drive::default(),
            opened_once: 0,
            last_open_ns: 0,
        })
    }

    /// The clock of all its times.
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// Connections that are open.
    pub(crate) fn open_count(&self) -> usize {
        self.idle.len() + self.in_flight
    }

    /// Opens the connections, as many as can be within the patience.
    pub(crate) fn open_all(&mut self, watch: &mut Watch<'_>) -> Result<()> {
        let mut opening =
            Opening { all: self.connections.len(), until_ns: self.connect_patience_ns };
        opening.until_ns += self.clock.now_ns();
        self.drive_while(&mut opening, watch, |driver, opening| {
            driver.open_count() < opening.all && driver.clock.now_ns() < opening.until_ns
        })
        .map(|_| ())
    }

    /// Runs a workload to its end.
    pub(crate) fn drive<W: Workload>(
        &mut self,
        work: &mut W,
        watch: &mut Watch<'_>,
    ) -> Result<Drive> {
        self.drive_while(work, watch, |_, _| true)
    }

    /// Lets time pass, while idle connections are watched.
    pub(crate) fn wait(&mut self, waiting: &mut Waiting, watch: &mut Watch<'_>) -> Result<()> {
        self.drive_while(waiting, watch, |driver, waiting| !waiting.is_over(driver.clock.now_ns()))
            .map(|_| ())
    }

    fn drive_while<W: Workload>(
        &mut self,
        work: &mut W,
        watch: &mut Watch<'_>,
        go_on: impl Fn(&Driver, &W) -> bool,
    ) -> Result<Drive> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let started_ns = self.clock.now_ns();
        let mut waited_ns = 0;
        let mut sweep = Sweep { at_ns: started_ns, count: 0 };
        self.cost = Drive::default();
        self.last_open_ns = started_ns;
        work.start(started_ns);
        while go_on(self, work) {
            self.reopen();
            let due = self.dispatch(work);
            if due == Due::Never && self.in_flight == 0 {
                break;
            }
            if self.clock.now_ns() >= sweep.at_ns {
                self.sweep(work, watch, &mut sweep);
            }
            if self.cost.unreachable {
                break;
            }
            let mut wake_ns = sweep.at_ns;
            if let Due::At(due_ns) = due
                && !self.idle.is_empty()
            {
                wake_ns = wake_ns.min(due_ns);
            }
            let before_ns = self.clock.now_ns();
            self.sleep(wake_ns, before_ns, &mut events)?;
            waited_ns += self.clock.now_ns() - before_ns;
            for event in events.drain(..) {
                self.on_event(event, work);
                // What is due does not wait for the other answers of this batch.
                if !self.idle.is_empty() {
                    self.dispatch(work);
                }
            }
        }
        self.cost.elapsed_ns = self.clock.now_ns() - started_ns;
        self.cost.busy_ns = self.cost.elapsed_ns.saturating_sub(waited_ns);
        Ok(self.cost)
    }

    /// Hands requests to free connections while there are both.
    fn dispatch<W: Workload>(&mut self, work: &mut W) -> Due {
        loop {
            let now_ns = self.clock.now_ns();
            let due = work.due(now_ns);
            let (Due::Now, Some(&index)) = (&due, self.idle.front()) else {
                return due;
            };
            let connection = &mut self.connections[index as usize];
            let State::Idle { since_ns } = connection.state else {
                unreachable!("a connection in the idle queue is idle");
            };
            self.idle.pop_front();
            self.in_flight += 1;
            connection.out.clear();
            let ticket = work.write(now_ns, since_ns, &mut connection.out);
            if connection.send(ticket, now_ns).is_err() {
                self.lose(index, Failure::Cut, work);
            }
        }
    }

    fn sleep(&mut self, wake_ns: u64, now_ns: u64, events: &mut Vec<epoll::Event>) -> Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let poll = wake_ns <= now_ns + SPIN_NS;
        if !poll && self.armed_ns != wake_ns {
            let wait = Duration::from_nanos(wake_ns - now_ns);
            let timer = Itimerspec {
                it_interval: zero,
                it_value: Timespec::try_from(wait).unwrap_or(zero),
            };
            timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &timer)
                .map_err(|error| Error::system("timerfd_settime", error))?;
            self.armed_ns = wake_ns;
        }
        let timeout = if poll { Some(&zero) } else { None };
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), timeout) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(Error::system("epoll_wait", error)),
        }
    }

    fn on_event<W: Workload>(&mut self, event: epoll::Event, work: &mut W) {
        let (data, flags) = (event.data.u64(), event.flags);
        if data == TIMER {
            return;
        }
        let (generation, index) = ((data >> 32) as u32, data as u32);
        let connection = &mut self.connections[index as usize];
        if connection.generation != generation {
            return;
        }
        if let State::Connecting { .. } = connection.state {
            self.finish_opening(index);
        }
        let connection = &mut self.connections[index as usize];
        if matches!(connection.state, State::Connecting { .. } | State::Closed { .. }) {
            return;
        }
        if flags.contains(epoll::EventFlags::OUT) && connection.flush().is_err() {
            self.lose(index, Failure::Cut, work);
            return;
        }
        if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR)
        {
            self.read(index, work);
        }
    }

    fn read<W: Workload>(&mut self, index: u32, work: &mut W) {
        loop {
            let connection = &mut self.connections[index as usize];
            let count = match connection.read(&mut self.scratch) {
                Arrived::Bytes(count) => count,
                Arrived::Nothing => return,
                Arrived::End => return self.lose(index, Failure::Cut, work),
            };
            let State::Busy { ticket, sent_ns } = connection.state else {
                // Bytes that nobody asked for: the connection cannot be trusted.
                return self.lose(index, Failure::BadAnswer, work);
            };
            let whole = connection.partial.is_empty();
            if !whole {
                connection.partial.extend_from_slice(&self.scratch[..count]);
            }
            let bytes = if whole { &self.scratch[..count] } else { connection.partial.as_slice() };
            match http::parse(bytes, self.answer_bytes_max) {
                Ok(Some((answer, length))) => {
                    let close = answer.close || length < bytes.len();
                    let now_ns = self.clock.now_ns();
                    work.answered(Sent { ticket, sent_ns, now_ns }, &answer);
                    self.in_flight -= 1;
                    if close {
                        connection.close(now_ns, false);
                        self.closed.push(index);
                        return;
                    }
                    connection.free(now_ns);
                    self.idle.push_back(index);
                }
                Ok(None) => {
                    if whole {
                        connection.partial.extend_from_slice(&self.scratch[..count]);
                    }
                }
                Err(http::BadAnswer) => return self.lose(index, Failure::BadAnswer, work),
            }
            if count < READ_BYTES {
                return;
            }
        }
    }

    /// Closes a connection; a request in flight on it has failed.
    fn lose<W: Workload>(&mut self, index: u32, failure: Failure, work: &mut W) {
        let now_ns = self.clock.now_ns();
        let connection = &mut self.connections[index as usize];
        match connection.state {
            State::Busy { ticket, sent_ns } => {
                self.in_flight -= 1;
                work.failed(Sent { ticket, sent_ns, now_ns }, failure);
            }
            State::Idle { .. } => self.idle.retain(|&other| other != index),
            State::Connecting { .. } => self.cost.connect_failures += 1,
            State::Closed { .. } => return,
        }
        connection.close(now_ns, true);
        self.closed.push(index);
    }

    /// Begins to open every closed connection that has rested.
    fn reopen(&mut self) {
        if self.closed.is_empty() {
            return;
        }
        let now_ns = self.clock.now_ns();
        let mut resting = Vec::new();
        for index in std::mem::take(&mut self.closed) {
            let connection = &mut self.connections[index as usize];
            if matches!(connection.state, State::Closed { retry_at_ns } if retry_at_ns > now_ns) {
                resting.push(index);
                continue;
            }
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            let generation = connection.generation.wrapping_add(1);
            let data = epoll::EventData::new_u64(u64::from(generation) << 32 | u64::from(index));
            let opened = connection
                .open(self.address, now_ns)
                .is_ok_and(|stream| epoll::add(&self.epoll, stream, data, flags).is_ok());
            if !opened {
                self.cost.connect_failures += 1;
                connection.close(now_ns, true);
                resting.push(index);
            }
        }
        self.closed = resting;
    }

    fn finish_opening(&mut self, index: u32) {
        let now_ns = self.clock.now_ns();
        let connection = &mut self.connections[index as usize];
        match connection.opened(now_ns) {
            Ok(true) => {
                self.idle.push_back(index);
                self.opened_once += 1;
                if self.opened_once > self.connections.len() as u64 {
                    self.cost.reconnects += 1;
                }
            }
            Ok(false) => {}
            Err(_) => {
                self.cost.connect_failures += 1;
                connection.close(now_ns, true);
                self.closed.push(index);
            }
        }
    }

    /// Ends what has waited too long, and looks whether to stop.
    fn sweep<W: Workload>(&mut self, work: &mut W, watch: &mut Watch<'_>, sweep: &mut Sweep) {
        let now_ns = self.clock.now_ns();
        for index in 0..self.connections.len() {
            let late = match self.connections[index].state {
                State::Busy { sent_ns, .. } => {
                    now_ns.saturating_sub(sent_ns) > self.answer_patience_ns
                }
                State::Connecting { since_ns } => {
                    now_ns.saturating_sub(since_ns) > self.connect_patience_ns
                }
                State::Closed { .. } | State::Idle { .. } => false,
            };
            if late {
                self.lose(index as u32, Failure::Timeout, work);
            }
        }
        if self.open_count() > 0 {
            self.last_open_ns = now_ns;
        } else if let Some(patience) = watch.unreachable_after {
            self.cost.unreachable = now_ns - self.last_open_ns > nanos(patience);
        }
        if watch.stop.is_asked() {
            work.stop(now_ns);
        }
        if sweep.count.is_multiple_of(SWEEPS_PER_TICK) {
            watch.progress.tick(&work.tick(now_ns));
        }
        sweep.count += 1;
        sweep.at_ns = now_ns + SWEEP_NS;
    }
}

struct Sweep {
    at_ns: u64,
    count: u64,
}

/// A workload that sends nothing: time passes while connections open.
struct Opening {
    all: usize,
    until_ns: u64,
}

impl Workload for Opening {
    fn start(&mut self, _now_ns: u64) {}

    fn due(&mut self, _now_ns: u64) -> Due {
        Due::AfterAnswer
    }

    fn write(&mut self, _now_ns: u64, _free_since_ns: u64, _request: &mut Vec<u8>) -> Ticket {
        unreachable!("nothing is ever due")
    }

    fn answered(&mut self, _sent: Sent, _answer: &Answer<'_>) {}

    fn failed(&mut self, _sent: Sent, _failure: Failure) {}

    fn stop(&mut self, now_ns: u64) {
        self.until_ns = now_ns;
    }

    fn tick(&self, _now_ns: u64) -> Tick {
        Tick::at(Phase::Connect, 0, Some(self.all as u64))
    }
}
