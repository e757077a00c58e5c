//! Reading the copy in Redis, for the audit. Never writes.
//!
//! What is read at once is read together with the watermark, as one transaction: it is what the copy
//! was behind exactly that record, however fast the copy moves on.

use std::collections::BTreeMap;

use deadpool_redis::Connection;
use redis::{FromRedisValue, Pipeline, RedisResult, Value};

use crate::event::SinkName;
use crate::id::OrderId;

use super::super::error::{SinkError, Trouble};
use super::RedisConfig;
use super::erase::ask;
use super::keys::Keys;
use super::shared::Connections;
use super::trouble::from_redis;

/// The copy of a cell in Redis.
pub struct RedisCopy {
    connections: Connections,
    keys: Keys,
}

/// Where the copy stood when something was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisMark {
    /// The last sequence that is stored; 0 if none is.
    pub sequence: u64,
    /// Whose journal it is a copy of.
    pub journal: Option<String>,
    /// The first sequence from which on the stream has all entries.
    pub events_from: u64,
}

/// What is at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisHash {
    /// Nothing.
    None,
    /// A hash, by field. What is no text is shown as well as it can be.
    Fields(BTreeMap<String, String>),
    /// Something else.
    NoHash,
}

/// A key of the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisKey {
    /// A SKU's hash.
    Sku(String),
    /// A sale's.
    Sale(String),
    /// An order's.
    Order(OrderId),
    /// One that every copy has.
    Fixed,
    /// None that the sink makes.
    Strange(String),
}

/// An entry of the stream: its id, and its fields in their order.
pub type RedisEntry = (String, Vec<(String, String)>);

/// A SKU or a sale: its hash, and what the set of all says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisMember {
    /// The hash.
    pub hash: RedisHash,
    /// Whether the set of all names it.
    pub is_listed: bool,
}

/// What of a copy names SKUs or sales beside their hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisIndex {
    /// The set of all SKUs.
    Skus,
    /// The set of all sales.
    Sales,
    /// By SKU: the sale that has not ended which names it.
    SkuSales,
}

impl RedisCopy {
    /// The copy of `cell`. Nothing is asked yet.
    ///
    /// # Errors
    /// The address cannot be used.
    pub fn new(config: &RedisConfig, cell: u16) -> Result<Self, SinkError> {
        let connections = Connections::new(&config.address)?;
        Ok(Self { connections, keys: config.keys(cell) })
    }

    /// Which sink's copy it is.
    pub const fn sink(&self) -> SinkName {
        SinkName::Redis
    }

    /// Where it stands.
    ///
    /// # Errors
    /// What Redis says.
    pub async fn mark(&self) -> Result<RedisMark, SinkError> {
        Ok(self.together(redis::pipe()).await?.0)
    }

    /// The hashes of orders.
    ///
    /// # Errors
    /// What Redis says.
    pub async fn orders(
        &self,
        orders: &[OrderId],
    ) -> Result<(RedisMark, Vec<RedisHash>), SinkError> {
        let mut read = redis::pipe();
        for order in orders {
            read.cmd("HGETALL").arg(self.keys.order(*order));
        }
        let (mark, answers) = self.together(read).await?;
        let hashes: Result<_, _> = answers.into_iter().map(|answer| self.hash(answer)).collect();
        Ok((mark, hashes?))
    }

    /// SKUs.
    ///
    /// # Errors
    /// What Redis says.
    pub async fn skus(&self, skus: &[&str]) -> Result<(RedisMark, Vec<RedisMember>), SinkError> {
        let set = self.keys.skus();
        self.members(&set, skus.iter().map(|sku| (*sku, self.keys.sku(sku)))).await
    }

    /// Sales.
    ///
    /// # Errors
    /// What Redis says.
    pub async fn sales(&self, sales: &[&str]) -> Result<(RedisMark, Vec<RedisMember>), SinkError> {
        let set = self.keys.sales();
        self.members(&set, sales.iter().map(|sale| (*sale, self.keys.sale(sale)))).await
    }

    /// Members of a set that have hashes of their own: their names, and where those are.
    async fn members<'n>(
        &self,
        set: &str,
        members: impl Iterator<Item = (&'n str, String)>,
    ) -> Result<(RedisMark, Vec<RedisMember>), SinkError> {
        let mut read = redis::pipe();
        for (name, key) in members {
            read.cmd("HGETALL").arg(key).cmd("SISMEMBER").arg(set).arg(name);
        }
        let (mark, answers) = self.together(read).await?;
        let mut members = Vec::new();
        let mut answers = answers.into_iter();
        while let (Some(fields), Some(listed)) = (answers.next(), answers.next()) {
            let hash = self.hash(fields)?;
            let is_listed = self.unless_strange(listed)?.unwrap_or(false);
            members.push(RedisMember { hash, is_listed });
        }
        Ok((mark, members))
    }

    /// The sales that have not ended which name SKUs.
    ///
    /// # Errors
    /// What Redis says.
    pub async fn sales_of(
        &self,
        skus: &[&str],
    ) -> Result<(RedisMark, Vec<Option<String>>), SinkError> {
        let mut read = redis::pipe();
        read.cmd("HMGET").arg(self.keys.sku_sales()).arg(skus);
        let (mark, answers) = self.together(read).await?;
        let first = answers.into_iter().next();
        let first = first.map(|answer| self.unless_strange::<Vec<Option<Text>>>(answer));
        let sales =
            first.transpose()?.flatten().unwrap_or_else(|| skus.iter().map(|_| None).collect());
        Ok((mark, sales.into_iter().map(|sale| sale.map(|sale| sale.0)).collect()))
    }

    /// The next entries of the stream behind an id, at most `limit`; and the last of all.
    ///
    /// # Errors
    /// What Redis says.
    pub async fn entries(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<(RedisMark, Vec<RedisEntry>, Option<RedisEntry>), SinkError> {
        let mut read = redis::pipe();
        let events = self.keys.events();
        read.cmd("XRANGE").arg(&events).arg(format!("({after}")).arg("+").arg("COUNT").arg(limit);
        read.cmd("XREVRANGE").arg(&events).arg("+").arg("-").arg("COUNT").arg(1);
        let (mark, answers) = self.together(read).await?;
        let mut answers = answers.into_iter();
        let mut next = || -> Result<Vec<RedisEntry>, SinkError> {
            let read =
                answers.next().map(|answer| self.unless_strange::<Vec<(Text, Vec<Text>)>>(answer));
            let read = read.transpose()?;
            let entries = read.flatten().unwrap_or_default();
            Ok(entries.into_iter().map(|(id, fields)| (id.0, pairs(fields))).collect())
        };
        let entries = next()?;
        Ok((mark, entries, next()?.pop()))
    }

    /// Some keys of the copy, and where the search for more goes on; it ends at 0. What is there all
    /// along is found, perhaps twice.
    ///
    /// # Errors
    /// What Redis says.
    pub async fn scan(&self, cursor: u64, limit: usize) -> Result<(u64, Vec<RedisKey>), SinkError> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(self.keys.pattern()).arg("COUNT").arg(limit);
        let mut connection = self.connection().await?;
        let answer = ask(&mut connection, &scan).await;
        let (next, found): (u64, Vec<Text>) =
            answer.map_err(|error| self.connections.says(&error))?;
        Ok((next, found.into_iter().map(|key| self.key(&key.0)).collect()))
    }

    /// Some names in an index, and where the search for more goes on; it ends at 0. What is there all
    /// along is found, perhaps twice. `None` if something of another type is there.
    ///
    /// # Errors
    /// What Redis says.
    pub async fn scan_index(
        &self,
        index: RedisIndex,
        cursor: u64,
        limit: usize,
    ) -> Result<Option<(u64, Vec<String>)>, SinkError> {
        let (command, key, step) = match index {
            RedisIndex::Skus => ("SSCAN", self.keys.skus(), 1),
            RedisIndex::Sales => ("SSCAN", self.keys.sales(), 1),
            // Each name is followed by what it stands for.
            RedisIndex::SkuSales => ("HSCAN", self.keys.sku_sales(), 2),
        };
        let mut scan = redis::cmd(command);
        scan.arg(key).arg(cursor).arg("COUNT").arg(limit);
        let mut connection = self.connection().await?;
        let answer = scan.query_async::<Value>(&mut connection).await;
        let found = self.unless_strange::<(u64, Vec<Text>)>(answer)?;
        Ok(found.map(|(next, found)| {
            (next, found.into_iter().step_by(step).map(|name| name.0).collect())
        }))
    }

    fn key(&self, key: &str) -> RedisKey {
        if self.keys.fixed().iter().any(|fixed| fixed == key) {
            return RedisKey::Fixed;
        }
        let rest = self.keys.rest(key).and_then(|rest| rest.split_once(':'));
        match rest {
            Some(("sku", sku)) => RedisKey::Sku(sku.to_owned()),
            Some(("sale", sale)) => RedisKey::Sale(sale.to_owned()),
            Some(("order", order)) => match OrderId::parse(order) {
                Some(order) => RedisKey::Order(order),
                None => RedisKey::Strange(key.to_owned()),
            },
            _ => RedisKey::Strange(key.to_owned()),
        }
    }

    /// Whether this user may read several keys as one transaction. Of one who may not, the client
    /// library says no more than that the connection broke.
    ///
    /// # Errors
    /// What Redis says.
    pub async fn may_read(&self) -> Result<(), SinkError> {
        let mut connection = self.connection().await?;
        for command in ["MULTI", "EXEC"] {
            let answer = ask::<Value, _>(&mut connection, &redis::cmd(command)).await;
            answer.map_err(|error| self.connections.says(&error))?;
        }
        Ok(())
    }

    async fn connection(&self) -> Result<Connection, SinkError> {
        self.connections.get().await
    }

    /// Reads as one transaction, with the watermark.
    async fn together(
        &self,
        read: Pipeline,
    ) -> Result<(RedisMark, Vec<RedisResult<Value>>), SinkError> {
        let mut all = redis::pipe();
        all.atomic().ignore_errors();
        let fields = ["sequence", "journal", "events_from"];
        all.cmd("HMGET").arg(self.keys.watermark()).arg(&fields);
        for command in read.cmd_iter() {
            all.add_command(command.clone());
        }
        let mut connection = self.connection().await?;
        let answers = all.query_async::<Vec<RedisResult<Value>>>(&mut connection).await;
        let answers = answers.map_err(|error| self.connections.says(&from_redis(&error)));
        let mut answers = answers?.into_iter();
        let first = answers.next().map(|answer| self.unless_strange(answer));
        let first = first.transpose()?.flatten();
        let (sequence, journal, from): (Option<String>, Option<String>, Option<String>) =
            first.unwrap_or_default();
        let number = |text: Option<String>| text.and_then(|it| it.parse().ok()).unwrap_or(0);
        let mark = RedisMark { sequence: number(sequence), journal, events_from: number(from) };
        Ok((mark, answers.collect()))
    }

    /// What was read; `None` if something of another type is there.
    fn unless_strange<T: FromRedisValue>(
        &self,
        answer: RedisResult<Value>,
    ) -> Result<Option<T>, SinkError> {
        let error = match answer {
            Ok(value) => match redis::from_redis_value(value) {
                Ok(read) => return Ok(Some(read)),
                Err(error) => SinkError::new(
                    Trouble::Other,
                    format!("Redis answered something else: {error}"),
                ),
            },
            Err(error) => match from_redis(&error) {
                error if error.trouble == Trouble::Poison => return Ok(None),
                error => error,
            },
        };
        Err(self.connections.says(&error))
    }

    fn hash(&self, answer: RedisResult<Value>) -> Result<RedisHash, SinkError> {
        Ok(match self.unless_strange::<BTreeMap<Text, Text>>(answer)? {
            None => RedisHash::NoHash,
            Some(fields) if fields.is_empty() => RedisHash::None,
            Some(fields) => {
                let fields = fields.into_iter().map(|(name, value)| (name.0, value.0));
                RedisHash::Fields(fields.collect())
            }
        })
    }
}

/// Text, whatever bytes it is made of.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Text(String);

impl FromRedisValue for Text {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let bytes = Vec::<u8>::from_redis_value(value)?;
        Ok(Self(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

fn pairs(flat: Vec<Text>) -> Vec<(String, String)> {
    let mut flat = flat.into_iter();
    let mut pairs = Vec::new();
    while let (Some(name), Some(value)) = (flat.next(), flat.next()) {
        pairs.push((name.0, value.0));
    }
    pairs
}
