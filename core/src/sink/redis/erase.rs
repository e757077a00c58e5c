//! Erasing the copy of a cell, in steps that are small enough for whoever else uses the server.
//!
//! The watermark goes first: from then on nobody takes what is left for a copy. A mark with a token
//! and an end keeps everybody else away: the sink neither opens nor stores meanwhile. An erasure that
//! was interrupted is seen by the keys that go last, and is finished by the next sink that opens.

use std::time::Duration;

use redis::aio::ConnectionLike;
use tokio::time::Instant;

use super::super::error::{SinkError, Trouble};
use super::keys::Keys;
use super::trouble::from_redis;

/// How long the mark stays if whoever erases is gone.
const MARK_MILLIS: u64 = 30_000;

/// Keys that the server looks at in one step.
const KEYS_A_STEP: u64 = 512;

/// How far an erasure has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Erased {
    /// Nothing is left. So many keys were there.
    All(u64),
    /// The time was over; it goes on from this cursor.
    UpTo(u64),
}

/// Who erases.
#[derive(Debug)]
pub(super) struct Eraser<'k> {
    keys: &'k Keys,
    token: String,
}

impl<'k> Eraser<'k> {
    /// Sets the mark, and takes the watermark away.
    ///
    /// # Errors
    /// Somebody else erases.
    pub(super) async fn begin<C: ConnectionLike>(
        connection: &mut C,
        keys: &'k Keys,
    ) -> Result<Self, SinkError> {
        // The server's own count of connections: no two are the same while the mark lasts.
        let id: u64 = ask(connection, redis::cmd("CLIENT").arg("ID")).await?;
        let (seconds, micros): (u64, u64) = ask(connection, &redis::cmd("TIME")).await?;
        let token = format!("{id}-{seconds}.{micros:06}");
        let mut mark = redis::cmd("FCALL");
        mark.arg("sluice_erasing").arg(1).arg(keys.erasing()).arg(&token).arg(MARK_MILLIS);
        let set: u64 = ask(connection, &mark).await?;
        if set == 0 {
            return Err(being_erased());
        }
        let eraser = Self { keys, token };
        eraser.remove(connection, &[keys.watermark()]).await?;
        Ok(eraser)
    }

    /// Erases until all is gone or the time is over.
    pub(super) async fn run<C: ConnectionLike>(
        &self,
        connection: &mut C,
        from: u64,
        until: Option<Instant>,
    ) -> Result<Erased, SinkError> {
        let (mut cursor, mut removed) = (from, 0);
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(self.keys.pattern()).arg("COUNT").arg(KEYS_A_STEP);
            let (next, found): (u64, Vec<String>) = ask(connection, &scan).await?;
            let last = self.keys.lasting();
            let found: Vec<String> = found
                .into_iter()
                .filter(|key| *key != self.keys.erasing() && !last.contains(key))
                .collect();
            // With nothing to remove the mark is prolonged.
            removed += self.remove(connection, &found).await?;
            cursor = next;
            if cursor == 0 {
                break;
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok(Erased::UpTo(cursor));
            }
        }
        removed += self.remove(connection, &self.keys.lasting()).await?;
        Ok(Erased::All(removed))
    }

    /// Takes the mark away.
    pub(super) async fn end<C: ConnectionLike>(self, connection: &mut C) -> Result<(), SinkError> {
        let mut end = redis::cmd("FCALL");
        end.arg("sluice_erased").arg(1).arg(self.keys.erasing()).arg(&self.token);
        ask::<u64, _>(connection, &end).await.map(|_| ())
    }

    async fn remove<C: ConnectionLike>(
        &self,
        connection: &mut C,
        keys: &[String],
    ) -> Result<u64, SinkError> {
        let mut remove = redis::cmd("FCALL");
        remove.arg("sluice_erase").arg(1 + keys.len()).arg(self.keys.erasing()).arg(keys);
        remove.arg(&self.token).arg(MARK_MILLIS);
        let removed: i64 = ask(connection, &remove).await?;
        u64::try_from(removed).map_err(|_| {
            let what = "the mark of the erasure is gone or somebody else's: it took too long";
            SinkError::new(Trouble::Locked, what)
        })
    }
}

/// What whoever comes in between is told.
pub(super) fn being_erased() -> SinkError {
    SinkError::new(Trouble::Locked, "the copy in Redis is being erased")
}

/// How long one opening of the sink may erase; it goes on with the next.
pub(super) const ERASE_AT_ONCE: Duration = Duration::from_secs(15);

/// Asks the server.
pub(super) async fn ask<A: redis::FromRedisValue, C: ConnectionLike>(
    connection: &mut C,
    command: &redis::Cmd,
) -> Result<A, SinkError> {
    command.query_async(connection).await.map_err(|error| from_redis(&error))
}
