//! The thread that reads: one connection, one query for all that waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use sluice_core::id::OrderId;
use sluice_core::sink::{FoundOrders, SinkError};
use sluice_core::time::Timestamp;

use crate::copy::{CopyConnection, Reached};

use super::memory::Memory;
use super::{Answer, Ask, ReadMetrics};

/// The least time from one query to the next. A lone request is looked for at once; a crowd shares
/// a few queries, however fast it comes.
const QUERY_EVERY: Duration = Duration::from_millis(50);

/// What the thread has.
pub(super) struct Loader {
    pub(super) connection: CopyConnection,
    pub(super) reached: Reached,
    pub(super) cell: u16,
    /// Requests that are answered together.
    pub(super) asks_max: usize,
    pub(super) memory: Arc<Memory>,
    pub(super) metrics: Arc<ReadMetrics>,
    pub(super) now: Box<dyn Fn() -> Timestamp + Send>,
}

impl Loader {
    /// Answers until nobody can ask any more.
    pub(super) async fn run(mut self, mut asked: mpsc::Receiver<Ask>) {
        let mut asks = Vec::new();
        let mut query_at = Instant::now();
        while asked.recv_many(&mut asks, self.asks_max).await > 0 {
            if Instant::now() < query_at {
                // Meanwhile the others come.
                sleep_until(query_at).await;
                while asks.len() < self.asks_max
                    && let Ok(ask) = asked.try_recv()
                {
                    asks.push(ask);
                }
            }
            let before = self.metrics.queries.get();
            let answers = self.look(&asks).await;
            if self.metrics.queries.get() > before {
                query_at = Instant::now() + QUERY_EVERY;
            }
            for ask in asks.drain(..) {
                let answer = answers.get(&ask.order).cloned().unwrap_or(Answer::Unknown);
                // Whoever asked may have gone.
                let _ = ask.answer.send(answer);
            }
        }
    }

    /// What there is to say to all of them: from memory, or by one query.
    async fn look(&mut self, asks: &[Ask]) -> HashMap<OrderId, Answer> {
        let now = (self.now)();
        let mut answers = HashMap::new();
        let mut wanted = Vec::new();
        for ask in asks {
            let answer = answers.entry(ask.order).or_insert_with(|| {
                // The query before may have found what was asked for meanwhile.
                let remembered = self.memory.recall(ask.order, now);
                remembered.map_or(Answer::Unknown, Answer::from)
            });
            if matches!(answer, Answer::Unknown) {
                wanted.push(ask.order);
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return answers;
        }
        let least = self.reached.least();
        let found = match self.query(&wanted).await {
            Ok(found) => found,
            Err(error) => {
                self.connection.close();
                tracing::debug!("retired orders cannot be read: {error}");
                return answers;
            }
        };
        if found.sequence < least {
            return answers;
        }
        for order in found.orders {
            let order = Arc::new(order);
            self.memory.remember(Arc::clone(&order), now);
            answers.insert(order.view.order, Answer::Order(order));
        }
        for order in wanted {
            let answer = answers.entry(order).or_insert(Answer::Nothing);
            if matches!(answer, Answer::Unknown) {
                *answer = Answer::Nothing;
                self.memory.remember_none(order, now);
            }
        }
        answers
    }

    async fn query(&mut self, wanted: &[OrderId]) -> Result<FoundOrders, SinkError> {
        let reading = self.connection.open().await?;
        self.metrics.queries.add(1);
        self.metrics.ids.add(wanted.len() as u64);
        reading.orders(self.cell, wanted).await
    }
}
