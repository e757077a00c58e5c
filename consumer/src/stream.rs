//! The stream as Redis shows it to one consumer of a group.

use std::time::Duration;

use anyhow::Context as _;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult};

/// How long a read waits for new entries.
const BLOCK: Duration = Duration::from_secs(1);

/// How long an answer may take: longer than a read that waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the stream is, and who reads it.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) events: String,
    pub(crate) watermark: String,
    pub(crate) cell: u16,
    pub(crate) group: String,
    pub(crate) consumer: String,
    pub(crate) batch: u16,
    pub(crate) claim_after: Duration,
}

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: String,
    /// The sequence of its record in the journal of Sluice.
    pub(crate) sequence: u64,
    fields: Vec<String>,
}

/// What a read or a claim gave.
pub(crate) struct Given {
    pub(crate) entries: Vec<Entry>,
    /// Entries that were delivered to somebody, never acknowledged, and are no longer in the stream.
    pub(crate) lost: Vec<String>,
}

impl Given {
    fn new(found: Found, mut lost: Vec<String>) -> Self {
        let mut entries = Vec::new();
        for (id, fields) in found {
            match fields {
                Some(fields) => entries.push(Entry { sequence: sequence_of(&id), id, fields }),
                // Redis names own pending entries that were trimmed, and has nothing more of them.
                None => lost.push(id),
            }
        }
        Self { entries, lost }
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.entries.is_empty() && self.lost.is_empty()
    }
}

/// How far the group is.
pub(crate) struct Progress {
    /// Everything up to here was acknowledged.
    pub(crate) floor: u64,
    /// Entries that were delivered and not acknowledged.
    pub(crate) pending: u64,
    /// The last entry that was delivered to anybody of the group.
    pub(crate) delivered: u64,
    /// Whose events these are.
    pub(crate) source: Option<String>,
    /// From here on the stream has all entries.
    pub(crate) whole_from: u64,
}

type Found = Vec<(String, Option<Vec<String>>)>;

impl Entry {
    /// A field; empty if there is none of that name.
    pub(crate) fn field(&self, name: &str) -> &str {
        let pairs = self.fields.chunks_exact(2);
        pairs.into_iter().find(|pair| pair[0] == name).map_or("", |pair| &pair[1])
    }
}

fn sequence_of(id: &str) -> u64 {
    id.split('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Whether an error says that the group, or the whole stream, is gone.
pub(crate) fn is_without_group(error: &RedisError) -> bool {
    let says = |word: &str| error.to_string().contains(word);
    error.code() == Some("NOGROUP")
        || says("NOGROUP")
        || says("requires the key to exist")
        || says("no such key")
}

impl Place {
    pub(crate) async fn connect(&self) -> anyhow::Result<MultiplexedConnection> {
        // The error would show the address, and a password with it.
        let client = Client::open(self.url.as_str()).ok().context("--redis-url is no address")?;
        let behaviour = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        Ok(client.get_multiplexed_async_connection_with_config(&behaviour).await?)
    }

    /// Whose events the stream has: a journal and its cell. Sequences mean nothing without it. `None`
    /// if there is no copy yet.
    pub(crate) async fn source(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<Option<String>> {
        let mut get = redis::cmd("HGET");
        get.arg(&self.watermark).arg("journal");
        let journal: Option<String> = get.query_async(connection).await?;
        Ok(self.source_of(journal))
    }

    fn source_of(&self, journal: Option<String>) -> Option<String> {
        journal.map(|journal| format!("{journal}/{}", self.cell))
    }

    /// Makes the group, behind a sequence. It may be there: then it is left as it is. Without a
    /// stream there can be none: the stream is the sink's to make.
    pub(crate) async fn make_group(
        &self,
        connection: &mut MultiplexedConnection,
        behind: u64,
    ) -> RedisResult<()> {
        let mut make = redis::cmd("XGROUP");
        make.arg("CREATE").arg(&self.events).arg(&self.group).arg(format!("{behind}-0"));
        match make.query_async(connection).await {
            Err(error) if error.to_string().contains("BUSYGROUP") => Ok(()),
            made => made,
        }
    }

    /// Entries of this consumer: those that it was given before it died (`own`), or new ones.
    pub(crate) async fn read(
        &self,
        connection: &mut MultiplexedConnection,
        own: bool,
    ) -> RedisResult<Given> {
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg(&self.group).arg(&self.consumer).arg("COUNT").arg(self.batch);
        if !own {
            read.arg("BLOCK").arg(BLOCK.as_millis() as u64);
        }
        read.arg("STREAMS").arg(&self.events).arg(if own { "0" } else { ">" });
        let found: Option<Vec<(String, Found)>> = read.query_async(connection).await?;
        let found = found.into_iter().flatten().flat_map(|(_, entries)| entries);
        Ok(Given::new(found.collect(), Vec::new()))
    }

    /// Takes what others were given long ago and never acknowledged.
    /// Looks on from `cursor` (`0-0` for the beginning), which it moves.
    pub(crate) async fn claim(
        &self,
        connection: &mut MultiplexedConnection,
        cursor: &mut String,
    ) -> RedisResult<Given> {
        let mut claim = redis::cmd("XAUTOCLAIM");
        claim.arg(&self.events).arg(&self.group).arg(&self.consumer);
        claim.arg(self.claim_after.as_millis() as u64).arg(&*cursor).arg("COUNT").arg(self.batch);
        let (next, found, lost): (String, Found, Vec<String>) =
            claim.query_async(connection).await?;
        *cursor = next;
        Ok(Given::new(found, lost))
    }

    /// Acknowledges what is done, and what can no longer be.
    pub(crate) async fn acknowledge(
        &self,
        connection: &mut MultiplexedConnection,
        given: &Given,
    ) -> RedisResult<()> {
        let done = given.entries.iter().map(|entry| &entry.id);
        let ids: Vec<&String> = done.chain(&given.lost).collect();
        redis::cmd("XACK").arg(&self.events).arg(&self.group).arg(ids).query_async(connection).await
    }

    /// How far the group is, all read at one moment.
    pub(crate) async fn progress(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<Progress> {
        let mut read = redis::pipe();
        read.atomic();
        read.cmd("XPENDING").arg(&self.events).arg(&self.group);
        read.cmd("XINFO").arg("GROUPS").arg(&self.events);
        read.cmd("HMGET").arg(&self.watermark).arg("events_from").arg("journal");
        type Pending = (u64, Option<String>, Option<String>, redis::Value);
        type Mark = (Option<u64>, Option<String>);
        let (pending, groups, (from, journal)): (Pending, Vec<redis::Value>, Mark) =
            read.query_async(connection).await?;
        let mut delivered = 0;
        for group in groups {
            let group: std::collections::HashMap<String, redis::Value> =
                redis::from_redis_value(group)?;
            let text = |name: &str| -> RedisResult<String> {
                let value = group.get(name).cloned().unwrap_or(redis::Value::Nil);
                Ok(redis::from_redis_value(value)?)
            };
            if text("name")? == self.group {
                delivered = sequence_of(&text("last-delivered-id")?);
            }
        }
        let (count, first, ..) = pending;
        let floor = first.map_or(delivered, |first| sequence_of(&first).saturating_sub(1));
        let whole_from = from.unwrap_or(0);
        let (floor, source) = (floor.min(delivered), self.source_of(journal));
        Ok(Progress { floor, pending: count, delivered, source, whole_from })
    }
}
