//! One thread that serves connections: a worker for buyers, or the operators' thread.
//!
//! A current-thread runtime each: what belongs to a worker is never locked, and a connection stays
//! where it was dealt.

use std::cell::RefCell;
use std::io;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::FutureExt as _;
use slab::Slab;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::exit::broken;
use crate::gate::{Gate, WorkerMetrics};
use crate::ids::Ids;
use crate::order::OrderDesk;
use crate::replies::Replies;
use crate::service::Service;
use crate::shutdown::Stage;
use crate::wire::accept::Accepted;
use crate::wire::connection;
use crate::wire::pace::{LOOK_EVERY, Pace};
use crate::{buyers, operators};

/// Looks between two samples of the shards' rates: one second.
const LOOKS_A_SAMPLE: u32 = 4;

/// Whom a thread serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Buyers; the worker's number, which is that of its reply port.
    Buyers(usize),
    /// Operators.
    Operators,
}

impl Role {
    /// When connections are to end after the request under way, and when at once.
    const fn stages(self) -> (Stage, Stage) {
        match self {
            Self::Buyers(_) => (Stage::Draining, Stage::Cut),
            Self::Operators => (Stage::Cut, Stage::Ending),
        }
    }
}

/// Serves what comes through `accepted` until the shutdown has reached its stage and the last
/// connection has ended. Drops `alive` then.
pub(crate) fn run(
    role: Role,
    gate: Arc<Gate>,
    accepted: mpsc::Receiver<Accepted>,
    stage: watch::Receiver<Stage>,
    alive: mpsc::Sender<()>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    runtime.block_on(local.run_until(Worker::new(role, gate).serve(accepted, stage)));
    drop(alive);
    Ok(())
}

struct Worker {
    role: Role,
    gate: Arc<Gate>,
    service: Rc<Service>,
    ids: Rc<RefCell<Ids>>,
    replies: Option<Rc<Replies>>,
    metrics: Arc<WorkerMetrics>,
    connections: Rc<RefCell<Slab<Rc<Pace>>>>,
}

impl Worker {
    fn new(role: Role, gate: Arc<Gate>) -> Self {
        let ids = Rc::new(RefCell::new(Ids::new()));
        let (number, replies, router) = match role {
            Role::Buyers(number) => {
                let most = gate.handle.limits().port_requests_max;
                let port = gate.handle.port(number);
                let replies = Replies::new(number as u16, port, most);
                (number, Some(replies), buyers::router(Arc::clone(&gate)))
            }
            Role::Operators => (gate.workers.len() - 1, None, operators::router(Arc::clone(&gate))),
        };
        let metrics = Arc::clone(&gate.workers[number]);
        let desk = replies.clone().map(|replies| {
            OrderDesk::new(Arc::clone(&gate), replies, Rc::clone(&ids), Arc::clone(&metrics))
        });
        let service = Service::new(desk, router, Rc::clone(&ids), Arc::clone(&metrics));
        Self {
            role,
            gate,
            service: Rc::new(service),
            ids,
            replies,
            metrics,
            connections: Rc::default(),
        }
    }

    async fn serve(self, mut accepted: mpsc::Receiver<Accepted>, stage: watch::Receiver<Stage>) {
        let (close_at, cut_at) = self.role.stages();
        if let Some(replies) = &self.replies {
            let pump = AssertUnwindSafe(Rc::clone(replies).pump()).catch_unwind();
            tokio::task::spawn_local(async {
                if pump.await.is_err() {
                    broken("the way of answers back to their requests panicked");
                }
            });
        }
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut closing = false;
        let mut looked: u32 = 0;
        let reached = |wanted: Stage| {
            let mut stage = stage.clone();
            // An error means that whoever would say so is gone: reached as well.
            async move { drop(stage.wait_for(|stage| *stage >= wanted).await) }
        };
        let (mut close, mut cut) = (Box::pin(reached(close_at)), Box::pin(reached(cut_at)));
        let ended = Rc::new(tokio::sync::Notify::new());
        loop {
            if closing && self.connections.borrow().is_empty() && accepted.is_empty() {
                return;
            }
            tokio::select! {
                biased;
                () = &mut cut => {
                    self.each(Pace::end);
                    return;
                }
                () = &mut close, if !closing => {
                    closing = true;
                    accepted.close();
                    self.each(Pace::wind_down);
                }
                Some(connection) = accepted.recv() => self.take(connection, closing, &ended),
                _ = looks.tick() => {
                    looked = looked.wrapping_add(1);
                    self.look(looked);
                }
                () = ended.notified(), if closing => {}
            }
        }
    }

    fn each(&self, act: impl Fn(&Pace)) {
        for (_, pace) in self.connections.borrow().iter() {
            act(pace);
        }
    }

    fn look(&self, looked: u32) {
        if let Some(replies) = &self.replies {
            replies.look();
        }
        self.each(|pace| {
            pace.look();
            if pace.is_ended() {
                self.metrics.connections_ended.add(1);
            }
        });
        if self.role == Role::Operators && looked.is_multiple_of(LOOKS_A_SAMPLE) {
            self.gate.rates.sample(&self.gate.handle);
        }
    }

    fn take(&self, accepted: Accepted, closing: bool, ended: &Rc<tokio::sync::Notify>) {
        let Accepted { stream, place } = accepted;
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!("a connection could not be taken: {error}"),
        };
        // Without it a small answer may wait for the client's acknowledgement of the one before.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let pace = Rc::new(Pace::new());
        if closing {
            pace.close();
        }
        let key = self.connections.borrow_mut().insert(Rc::clone(&pace));
        let service = Rc::clone(&self.service);
        let ids = Rc::clone(&self.ids);
        let entry =
            Entry { connections: Rc::clone(&self.connections), key, ended: Rc::clone(ended) };
        tokio::task::spawn_local(async move {
            let _entry = entry;
            let _place = place;
            connection::serve(stream, service, pace, ids).await;
        });
    }
}

/// A connection's line in its worker's table; crossed out when dropped, after a panic too.
struct Entry {
    connections: Rc<RefCell<Slab<Rc<Pace>>>>,
    key: usize,
    ended: Rc<tokio::sync::Notify>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.borrow_mut().remove(self.key);
        self.ended.notify_one();
    }
}
