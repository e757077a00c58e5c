//! Orders that have left the ledger, read from the database that they were copied to.
//!
//! One thread with one connection asks for all that waits by one query; whoever asks for an id that
//! is being looked for waits for that answer. What was found, and what was not, is remembered for a
//! while, outside the ledger, under ceilings of its own. An order that is not found is said not to
//! exist only if the copy is as far as it ever was: otherwise nobody can tell.

mod loader;
mod memory;

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use sluice_core::command::Buyer;
use sluice_core::engine::Handle;
use sluice_core::id::OrderId;
use sluice_core::metrics::Counter;
use sluice_core::sink::{Database, SinkStatus, StoredOrder};
use sluice_core::time::Timestamp;

use crate::copy::{CopyConnection, Reached};
use crate::problem::{Code, Problem};
use crate::refusals::no_such_order;
use crate::retention::Earlier;
use loader::Loader;
use memory::{Memory, Remembered};

/// How long an answer may take until its client is told to come again.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is counted of reads.
#[derive(Debug, Default)]
pub(crate) struct ReadMetrics {
    /// Requests answered from memory.
    pub(crate) remembered: Counter,
    /// Requests that waited for the database.
    pub(crate) waited: Counter,
    /// Queries.
    pub(crate) queries: Counter,
    /// Ids that were looked for.
    pub(crate) ids: Counter,
    /// Requests turned away because too many were waiting.
    pub(crate) full: Counter,
    /// Requests turned away because the database could not tell.
    pub(crate) unavailable: Counter,
}

/// One who waits.
struct Ask {
    order: OrderId,
    answer: oneshot::Sender<Answer>,
}

/// What a look came to.
#[derive(Clone, Debug)]
enum Answer {
    /// Here it is.
    Order(Arc<StoredOrder>),
    /// There is none.
    Nothing,
    /// The database does not answer, or is not as far as it was.
    Unknown,
}

/// The way to retired orders. Shared by all workers.
pub(crate) struct RetiredOrders {
    asks: mpsc::Sender<Ask>,
    memory: Arc<Memory>,
    cell: u16,
    retention_us: u64,
    /// No order is older.
    began: Timestamp,
    /// The time from which on all orders that were placed were in the ledger at the start.
    none_before_since: Timestamp,
    reached: Reached,
    pub(crate) metrics: Arc<ReadMetrics>,
}

/// What reads rest on.
pub(crate) struct ReadSource {
    /// The database.
    pub(crate) database: Database,
    /// The sink that fills it.
    pub(crate) status: Arc<SinkStatus>,
    /// The last sequence that this start recovered.
    pub(crate) recovered: u64,
    /// How long a final order stays in the ledger, in microseconds.
    pub(crate) retention_us: u64,
    /// What is known of the starts before this one.
    pub(crate) earlier: Earlier,
}

impl RetiredOrders {
    /// Starts the thread that reads. It ends when nobody can ask any more.
    ///
    /// # Errors
    /// The thread or its runtime cannot be had.
    pub(crate) fn start(source: ReadSource, handle: &Handle) -> io::Result<Self> {
        let limits = handle.limits();
        let (asks, asked) = mpsc::channel(limits.reads_waiting_max);
        let memory = Arc::new(Memory::new(limits.retired_orders_max, limits.absent_orders_max));
        let metrics = Arc::new(ReadMetrics::default());
        let connection = CopyConnection::new(source.database, Arc::clone(&source.status), handle);
        let reached = Reached::new(source.status, source.recovered);
        let clock = handle.clone();
        let loader = Loader {
            connection,
            reached: reached.clone(),
            cell: handle.cell(),
            asks_max: limits.reads_waiting_max,
            memory: Arc::clone(&memory),
            metrics: Arc::clone(&metrics),
            now: Box::new(move || clock.now()),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new()
            .name("reads-sql".to_owned())
            .spawn(move || runtime.block_on(loader.run(asked)))?;
        let Earlier { began, retention_us } = source.earlier;
        Ok(Self {
            asks,
            memory,
            cell: handle.cell(),
            retention_us: source.retention_us,
            began,
            none_before_since: older_left(handle.now(), retention_us),
            reached,
            metrics,
        })
    }

    /// The order, if it is this buyer's, for whom the ledger has none of this id.
    ///
    /// # Errors
    /// 404 if there is none; 503 if that cannot be told now.
    pub(crate) async fn order(
        &self,
        order: OrderId,
        buyer: &Buyer,
        now: Timestamp,
    ) -> Result<Arc<StoredOrder>, Problem> {
        if order.slot() != buyer.slot {
            return Err(no_such_order());
        }
        let found = self.anybodys(order, now).await?;
        // Another's order is answered like none.
        if *found.buyer == *buyer.name { Ok(found) } else { Err(no_such_order()) }
    }

    /// The order, whoever's it is, for an operator.
    ///
    /// # Errors
    /// 404 if there is none; 503 if that cannot be told now.
    pub(crate) async fn anybodys(
        &self,
        order: OrderId,
        now: Timestamp,
    ) -> Result<Arc<StoredOrder>, Problem> {
        if !self.may_be_retired(order, now) {
            return Err(no_such_order());
        }
        let answer = match self.memory.recall(order, now) {
            Some(remembered) => {
                self.metrics.remembered.add_shared(1);
                remembered.into()
            }
            None => self.ask(order).await?,
        };
        match answer {
            Answer::Order(found) => Ok(found),
            Answer::Nothing => Err(no_such_order()),
            Answer::Unknown => Err(self.nobody_knows()),
        }
    }

    /// What is said when the copy cannot tell.
    pub(crate) fn nobody_knows(&self) -> Problem {
        self.metrics.unavailable.add_shared(1);
        Problem::new(Code::Overloaded, "older orders cannot be read at the moment")
    }

    /// The time from which on all orders that were placed are in the ledger.
    pub(crate) fn none_since(&self, now: Timestamp) -> Timestamp {
        older_left(now, self.retention_us).max(self.none_before_since)
    }

    /// Whether any order that was placed at `first` or later can have left the ledger.
    pub(crate) fn may_have_some_since(&self, first: Timestamp, now: Timestamp) -> bool {
        first.max(self.began) < self.none_since(now)
    }

    /// A copy with this last sequence has every order that has left the ledger until now.
    pub(crate) fn least_copy(&self) -> u64 {
        self.reached.least()
    }

    /// Whether an order of this id can have left the ledger. An id says when it was drawn, which is
    /// before its order's retention began.
    fn may_be_retired(&self, order: OrderId, now: Timestamp) -> bool {
        order.drawn_at() < self.none_since(now) && order.cell() == self.cell
    }

    async fn ask(&self, order: OrderId) -> Result<Answer, Problem> {
        let (answer, answered) = oneshot::channel();
        self.asks.try_send(Ask { order, answer }).map_err(|_| {
            self.metrics.full.add_shared(1);
            Problem::new(Code::Overloaded, "too many older orders are asked for")
        })?;
        self.metrics.waited.add_shared(1);
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Ok(Answer::Unknown),
        }
    }
}

impl From<Remembered> for Answer {
    fn from(remembered: Remembered) -> Self {
        match remembered {
            Remembered::Order(order) => Self::Order(order),
            Remembered::Nothing => Self::Nothing,
        }
    }
}

/// The time from which on no order that was placed has left by `now`, if final ones stay so long.
fn older_left(now: Timestamp, retention_us: u64) -> Timestamp {
    let last = now.micros().checked_sub(retention_us);
    last.map_or(Timestamp::ZERO, |last| Timestamp::from_micros(last + 1))
}

#[cfg(test)]
mod tests;
