//! Orders in Redis: one script for each, over connections that many orders share.
//!
//! An order is written to the next connection in turn as soon as it is there, whatever else is
//! under way on that connection. Commands that are ready together leave in one write, and Redis
//! syncs its log once for all that it has read: the same batching that Sluice has.

use std::cell::Cell;
use std::path::Path;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, Cmd, Value};
use anyhow::{Context as _, Result, bail};

use super::store::{AVAILABLE_PREFIX, BUYER_UNITS_MAX, NewOrder, ORDER_PREFIX, Placed, UNIT_PRICE};

/// Orders that may wait to be written to one connection: as many as a contest has connections.
const WAITING_MAX: usize = 4_096;

/// The script that places an order.
const PLACE: &str = include_str!("place.lua");

/// Orders in Redis.
pub(super) struct Orders {
    links: Vec<MultiplexedConnection>,
    next: Cell<usize>,
    /// What Redis calls the script.
    script: String,
}

impl Orders {
    /// Connects and loads the script.
    pub(super) async fn open(socket: &Path, links: u32) -> Result<Self> {
        let client = Client::open(address(socket))?;
        // An order waits as long as it takes: a timer for each would only slow the peer down.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_pipeline_buffer_size(WAITING_MAX);
        let mut opened = Vec::new();
        for _ in 0..links {
            let link = client.get_multiplexed_async_connection_with_config(&config).await;
            opened.push(link.context("Redis")?);
        }
        let first = opened.first_mut().context("Redis: at least one connection")?;
        let script = ::redis::cmd("SCRIPT").arg("LOAD").arg(PLACE).query_async(first).await?;
        Ok(Self { links: opened, next: Cell::new(0), script })
    }

    /// Places an order.
    pub(super) async fn place(&self, order: &NewOrder<'_>) -> Result<Placed> {
        let turn = self.next.get();
        self.next.set((turn + 1) % self.links.len());
        let mut link = self.links[turn].clone();
        outcome(self.command(order).query_async(&mut link).await?)
    }

    fn command(&self, order: &NewOrder<'_>) -> Cmd {
        let NewOrder { id, buyer, key, sku, units, created_at } = order;
        let id = id.ascii();
        let mut command = Cmd::new();
        command.arg("EVALSHA").arg(&self.script).arg(4);
        command.arg(format!("key:{buyer}:{key}"));
        command.arg(format!("{AVAILABLE_PREFIX}{sku}"));
        command.arg(format!("bought:{sku}"));
        command.arg([ORDER_PREFIX.as_bytes(), &id].concat());
        command.arg(&id[..]).arg(buyer).arg(sku).arg(units);
        command.arg(BUYER_UNITS_MAX).arg(UNIT_PRICE).arg(created_at.micros());
        command
    }
}

/// What Redis is called at `socket`.
pub fn address(socket: &Path) -> String {
    format!("redis+unix://{}", socket.display())
}

fn outcome(answer: Value) -> Result<Placed> {
    Ok(match answer {
        Value::Int(1) => Placed::New,
        Value::Int(0) => Placed::SoldOut,
        Value::Int(-1) => Placed::BuyerLimit,
        Value::BulkString(id) => Placed::Earlier(String::from_utf8(id)?),
        other => bail!("Redis answered {other:?}"),
    })
}

#[cfg(test)]
mod tests {
    use super::{Placed, outcome};
    use ::redis::Value;

    #[test]
    fn every_answer_of_the_script_is_understood() {
        for (answer, placed) in [
            (Value::Int(1), Placed::New),
            (Value::Int(0), Placed::SoldOut),
            (Value::Int(-1), Placed::BuyerLimit),
            (Value::BulkString(b"01KA".to_vec()), Placed::Earlier("01KA".to_owned())),
        ] {
            assert_eq!(outcome(answer).expect("known"), placed);
        }
        for answer in [Value::Nil, Value::Okay, Value::Int(2), Value::BulkString(vec![0xFF])] {
            assert!(outcome(answer).is_err());
        }
    }
}
