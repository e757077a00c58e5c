//! What operators ask of the copy in SQL: timelines, searches, refunds, notices; and, by another
//! thread that waits for none of these, what buyers ask of it: lists of their orders.
//!
//! One thread with one connection answers one question at a time; how many may wait has a ceiling.
//! The ledger waits for none of it.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use sluice_core::engine::Handle;
use sluice_core::id::{OrderId, PaymentId};
use sluice_core::sink::{
    Database, FoundOrders, OrderSearch, SinkError, SinkStatus, StoredNotice, StoredPayment,
    Timeline,
};

use crate::copy::CopyConnection;
use crate::problem::{Code, Problem};

/// Questions that may wait.
const WAITING_MAX: usize = 64;

/// How long an answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// How long a search may take, which may have to look at all orders.
pub(crate) const SEARCH_PATIENCE: Duration = Duration::from_secs(10);

/// How often the copy is looked at while it catches up.
const LOOK_EVERY: Duration = Duration::from_millis(5);

type Reply<T> = oneshot::Sender<Result<T, Unreadable>>;

/// One question and where its answer goes.
enum Ask {
    Timeline(OrderId, Reply<Timeline>),
    Orders(OrderSearch, usize, Reply<FoundOrders>),
    Payment(PaymentId, Reply<Option<StoredPayment>>),
    Refunds(Option<PaymentId>, usize, Reply<Vec<StoredPayment>>),
    Notices(Option<u64>, usize, Reply<Vec<StoredNotice>>),
}

/// Why the copy has no answer, in words for operators.
#[derive(Debug)]
pub(crate) struct Unreadable(pub(crate) String);

impl From<Unreadable> for Problem {
    fn from(unreadable: Unreadable) -> Self {
        Self::new(Code::Overloaded, unreadable.0)
    }
}

/// The way to the copy. Shared by all threads.
pub(crate) struct Lookup {
    asks: mpsc::Sender<Ask>,
    status: Arc<SinkStatus>,
    handle: Handle,
}

impl Lookup {
    /// Starts the thread that reads. It ends when nobody can ask any more.
    ///
    /// # Errors
    /// The thread or its runtime cannot be had.
    pub(crate) fn start(
        name: &str,
        database: Database,
        status: Arc<SinkStatus>,
        handle: &Handle,
    ) -> io::Result<Self> {
        let (asks, asked) = mpsc::channel(WAITING_MAX);
        let connection = CopyConnection::new(database, Arc::clone(&status), handle);
        let reader = Reader { connection, cell: handle.cell() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || runtime.block_on(reader.run(asked)))?;
        Ok(Self { asks, status, handle: handle.clone() })
    }

    /// The last sequence that the copy has, as far as is known.
    pub(crate) fn copied(&self) -> u64 {
        self.status.watermark.get()
    }

    /// All that happened to an order.
    pub(crate) async fn timeline(&self, order: OrderId) -> Result<Timeline, Unreadable> {
        self.ask(|reply| Ask::Timeline(order, reply)).await
    }

    /// The newest orders that fit, at most `limit`.
    pub(crate) async fn orders(
        &self,
        search: OrderSearch,
        limit: usize,
        patience: Duration,
    ) -> Result<FoundOrders, Unreadable> {
        self.ask_within(patience, |reply| Ask::Orders(search, limit, reply)).await
    }

    /// A payment, if the copy has it.
    pub(crate) async fn payment(
        &self,
        payment: PaymentId,
    ) -> Result<Option<StoredPayment>, Unreadable> {
        self.ask(|reply| Ask::Payment(payment, reply)).await
    }

    /// Payments that are to be given back, behind `after`, at most `limit`.
    pub(crate) async fn refunds(
        &self,
        after: Option<PaymentId>,
        limit: usize,
    ) -> Result<Vec<StoredPayment>, Unreadable> {
        self.ask(|reply| Ask::Refunds(after, limit, reply)).await
    }

    /// Notices that fitted no payment, before the record `before`, at most `limit`, newest first.
    pub(crate) async fn notices(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StoredNotice>, Unreadable> {
        self.ask(|reply| Ask::Notices(before, limit, reply)).await
    }

    /// What `ask` is answered, if it is enough; otherwise what it is answered once the copy has all
    /// that is durable now, or `most` is over.
    pub(crate) async fn caught_up<T, F>(
        &self,
        most: Duration,
        ask: impl Fn() -> F,
        is_enough: impl Fn(&T) -> bool,
    ) -> Result<T, Unreadable>
    where
        F: Future<Output = Result<T, Unreadable>>,
    {
        let answer = ask().await;
        if answer.as_ref().is_ok_and(is_enough) {
            return answer;
        }
        self.catch_up(most).await;
        ask().await
    }

    async fn catch_up(&self, most: Duration) {
        let wanted = self.handle.journal_metrics().durable.get();
        let until = Instant::now() + most;
        while self.status.watermark.get() < wanted {
            if Instant::now() >= until {
                return;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn ask<T>(&self, ask: impl FnOnce(Reply<T>) -> Ask) -> Result<T, Unreadable> {
        self.ask_within(PATIENCE, ask).await
    }

    async fn ask_within<T>(
        &self,
        patience: Duration,
        ask: impl FnOnce(Reply<T>) -> Ask,
    ) -> Result<T, Unreadable> {
        let (reply, answer) = oneshot::channel();
        let full = |_| Unreadable("too many questions to the database wait".to_owned());
        self.asks.try_send(ask(reply)).map_err(full)?;
        match timeout(patience, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => {
                Err(Unreadable("the database does not answer in time".to_owned()))
            }
        }
    }
}

/// What the thread has.
struct Reader {
    connection: CopyConnection,
    cell: u16,
}

impl Reader {
    /// Answers until nobody can ask any more.
    async fn run(mut self, mut asked: mpsc::Receiver<Ask>) {
        while let Some(ask) = asked.recv().await {
            self.answer(ask).await;
        }
    }

    async fn answer(&mut self, ask: Ask) {
        let cell = self.cell;
        let reading = match self.connection.open().await {
            Ok(reading) => reading,
            Err(error) => return self.refuse(ask, &error),
        };
        let sound = match ask {
            Ask::Timeline(order, reply) => give(reply, reading.timeline(cell, order).await),
            Ask::Orders(search, limit, reply) => {
                give(reply, reading.find_orders(cell, &search, limit).await)
            }
            Ask::Payment(payment, reply) => give(reply, reading.payment(cell, payment).await),
            Ask::Refunds(after, limit, reply) => {
                give(reply, reading.refunds(cell, after, limit).await)
            }
            Ask::Notices(before, limit, reply) => {
                give(reply, reading.unmatched(cell, before, limit).await)
            }
        };
        if !sound {
            self.connection.close();
        }
    }

    fn refuse(&mut self, ask: Ask, error: &SinkError) {
        self.connection.close();
        match ask {
            Ask::Timeline(_, reply) => tell(reply, error),
            Ask::Orders(_, _, reply) => tell(reply, error),
            Ask::Payment(_, reply) => tell(reply, error),
            Ask::Refunds(_, _, reply) => tell(reply, error),
            Ask::Notices(_, _, reply) => tell(reply, error),
        }
    }
}

/// Gives an answer to whoever asked, who may have gone. Says whether it is one.
fn give<T>(reply: Reply<T>, answer: Result<T, SinkError>) -> bool {
    match answer {
        Ok(answer) => {
            let _ = reply.send(Ok(answer));
            true
        }
        Err(error) => {
            tell(reply, &error);
            false
        }
    }
}

fn tell<T>(reply: Reply<T>, error: &SinkError) {
    let _ = reply.send(Err(Unreadable(format!("the database cannot be read: {error}"))));
}
