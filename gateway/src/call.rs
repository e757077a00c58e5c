//! Commands of the rarer routes: submitted one by one, answered through a channel of their own.

use std::sync::Arc;
use std::time::Duration;

use sluice_core::command::{Command, ReplyTo};
use sluice_core::name::SkuId;
use sluice_core::outcome::{OrderView, Outcome, SaleView, StockView};
use tokio::sync::oneshot;

use crate::gate::Gate;
use crate::problem::{Code, Problem};

/// How long an answer may take until its client is told that its outcome is unknown.
const PATIENCE: Duration = Duration::from_secs(10);

/// Submits a command and waits for what it comes to. A refusal is a problem.
pub(crate) async fn ask(gate: &Gate, command: Command) -> Result<Outcome, Problem> {
    match submit(gate, command).await? {
        Outcome::Refused(refusal) => Err(Problem::refused(refusal, gate.handle.now())),
        outcome => Ok(outcome),
    }
}

/// Submits a command and waits for what it comes to, a refusal included.
pub(crate) async fn submit(gate: &Gate, command: Command) -> Result<Outcome, Problem> {
    let (sender, receiver) = oneshot::channel();
    let reply = ReplyTo::Call(Box::new(move |outcome| {
        // Whoever asked may have gone.
        let _ = sender.send(outcome);
    }));
    let arrived = gate.handle.now();
    gate.handle.submit(command, reply, arrived).map_err(|busy| gate.busy(busy))?;
    match tokio::time::timeout(PATIENCE, receiver).await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(_)) | Err(_) => {
            Err(Problem::new(Code::UnknownOutcome, "the answer did not come in time"))
        }
    }
}

/// Asks for one order.
pub(crate) async fn order(gate: &Gate, command: Command) -> Result<Box<OrderView>, Problem> {
    match ask(gate, command).await? {
        Outcome::Order(order) => Ok(order),
        other => Err(unexpected(&other)),
    }
}

/// Asks for one SKU's stock, and whether the command made what it names.
pub(crate) async fn stock(
    gate: &Gate,
    command: Command,
) -> Result<(bool, Box<StockView>), Problem> {
    match ask(gate, command).await? {
        Outcome::Stock { created, stock } => Ok((created, stock)),
        other => Err(unexpected(&other)),
    }
}

/// Asks for one sale, and whether the command made it.
pub(crate) async fn sale(gate: &Gate, command: Command) -> Result<(bool, Arc<SaleView>), Problem> {
    match ask(gate, command).await? {
        Outcome::Sale { created, sale } => Ok((created, sale)),
        other => Err(unexpected(&other)),
    }
}

/// The stocks behind `after`, in order of SKU, at most `limit` of them, from all shards.
pub(crate) async fn stocks(
    gate: &Gate,
    after: Option<&SkuId>,
    limit: usize,
    lots: bool,
) -> Result<Vec<StockView>, Problem> {
    let mut page = Vec::new();
    for shard in 0..gate.handle.shards() {
        match ask(gate, Command::ListStocks { shard, after: after.cloned(), limit, lots }).await? {
            Outcome::Stocks(stocks) => page.extend(stocks),
            other => return Err(unexpected(&other)),
        }
    }
    page.sort_unstable_by(|a: &StockView, b| a.sku.cmp(&b.sku));
    // One that was moved meanwhile was shown by both shards.
    page.dedup_by(|a, b| a.sku == b.sku);
    page.truncate(limit);
    Ok(page)
}

/// The engine answered a command with an outcome of another kind.
pub(crate) fn unexpected(outcome: &Outcome) -> Problem {
    tracing::error!("a command was answered with {outcome:?}");
    Problem::new(Code::Internal, "the engine's answer is of another kind")
}
