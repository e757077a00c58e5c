//! Opening: whether this server can hold a copy, the functions, and where the copy stands.

use std::collections::BTreeMap;

use redis::aio::ConnectionLike;
use tokio::time::Instant;

use crate::time::Timestamp;

use super::super::error::{SinkError, Trouble};
use super::super::store::Mark;
use super::erase::{ERASE_AT_ONCE, Erased, Eraser, ask, being_erased};
use super::keys::{Keys, LAYOUT};

/// What runs inside the server.
const FUNCTIONS: &str = include_str!("functions.lua");

/// The oldest version that can run them.
const VERSION_MIN: u64 = 7;

/// An erasure that was not finished: which process of the server it is in, and from where it goes on.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    run_id: String,
    cursor: u64,
}

/// What a server says of itself.
struct Info(BTreeMap<String, String>);

impl Info {
    async fn ask<C: ConnectionLike>(connection: &mut C) -> Result<Self, SinkError> {
        let text: String = ask(connection, &redis::cmd("INFO")).await?;
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        Ok(Self(lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()))
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Whether a copy can be kept there now.
    fn judge(&self) -> Result<(), SinkError> {
        let version = self.get("redis_version");
        let major = version.split('.').next().and_then(|major| major.parse::<u64>().ok());
        if major.is_some_and(|major| major < VERSION_MIN) {
            let what = format!("Redis {version} has no functions: version 7.0 or newer is needed");
            return Err(SinkError::new(Trouble::Unusable, what));
        }
        if self.get("loading") == "1" {
            return Err(SinkError::new(Trouble::Unreachable, "Redis is loading its data"));
        }
        if self.get("role") == "slave" {
            let what = "this Redis is a replica: the address must be its master's";
            return Err(SinkError::new(Trouble::ReadOnly, what));
        }
        let policy = self.get("maxmemory_policy");
        if self.get("maxmemory") != "0" && policy.starts_with("allkeys-") {
            let what = format!(
                "Redis drops keys when its memory is full (maxmemory-policy {policy}), and a copy \
                 that lacks keys unnoticed is none: set maxmemory-policy to noeviction, or to one \
                 of volatile-*"
            );
            return Err(SinkError::new(Trouble::Evicting, what));
        }
        Ok(())
    }
}

/// Whether a copy can be kept there now: what the server was told to do may change.
pub(super) async fn judge<C: ConnectionLike>(connection: &mut C) -> Result<(), SinkError> {
    Info::ask(connection).await?.judge()
}

/// Makes the server ready, and says where the copy stands. Erases what is left of one that has no
/// watermark, or another layout.
pub(super) async fn open<C: ConnectionLike>(
    connection: &mut C,
    keys: &Keys,
    unfinished: &mut Unfinished,
) -> Result<Mark, SinkError> {
    ask::<String, _>(connection, &redis::cmd("PING")).await?;
    let info = Info::ask(connection).await?;
    info.judge()?;
    load(connection).await?;
    if ask::<bool, _>(connection, redis::cmd("EXISTS").arg(keys.erasing())).await? {
        return Err(being_erased());
    }
    match stored(connection, keys).await? {
        Found::Copy(mark) => return Ok(mark),
        Found::Nothing => return Ok(Mark::NONE),
        Found::Other(layout) => tracing::warn!(
            "redis: the copy has layout {layout}, this program's is {LAYOUT}: it is made anew"
        ),
        Found::Remains => tracing::warn!("redis: a copy without a watermark: it is made anew"),
    }
    let from = if unfinished.run_id == info.get("run_id") { unfinished.cursor } else { 0 };
    let eraser = Eraser::begin(connection, keys).await?;
    let until = Some(Instant::now() + ERASE_AT_ONCE);
    let erased = eraser.run(connection, from, until).await?;
    eraser.end(connection).await?;
    match erased {
        Erased::All(_) => {
            *unfinished = Unfinished::default();
            Ok(Mark::NONE)
        }
        Erased::UpTo(cursor) => {
            *unfinished = Unfinished { run_id: info.get("run_id").to_owned(), cursor };
            let what = "the remains of a copy in Redis are being erased; there are many keys";
            Err(SinkError::new(Trouble::Locked, what))
        }
    }
}

/// Loads the functions, in place of those of an earlier program.
pub(super) async fn load<C: ConnectionLike>(connection: &mut C) -> Result<(), SinkError> {
    let mut load = redis::cmd("FUNCTION");
    load.arg("LOAD").arg("REPLACE").arg(FUNCTIONS);
    ask::<String, _>(connection, &load).await.map(|_| ())
}

/// What there is of a copy.
pub(super) enum Found {
    /// One that can be followed.
    Copy(Mark),
    /// One of another layout.
    Other(String),
    /// Keys without a watermark.
    Remains,
    /// Nothing.
    Nothing,
}

/// Looks what there is.
pub(super) async fn stored<C: ConnectionLike>(
    connection: &mut C,
    keys: &Keys,
) -> Result<Found, SinkError> {
    let mut get = redis::cmd("HMGET");
    get.arg(keys.watermark()).arg(&["sequence", "recorded_at", "journal", "layout"]);
    type Fields = (Option<String>, Option<String>, Option<String>, Option<String>);
    let (sequence, time, journal, layout): Fields = ask(connection, &get).await?;
    let Some(sequence) = sequence else {
        let mut exist = redis::cmd("EXISTS");
        exist.arg(&keys.lasting());
        let remains: u64 = ask(connection, &exist).await?;
        return Ok(if remains > 0 { Found::Remains } else { Found::Nothing });
    };
    let layout = layout.unwrap_or_default();
    if layout != LAYOUT {
        return Ok(Found::Other(layout));
    }
    let number = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok());
    match (number(Some(sequence)), number(time), journal) {
        (Some(sequence), Some(time), Some(journal)) => {
            let time = Timestamp::from_micros(time);
            Ok(Found::Copy(Mark { sequence, time, journal: Some(journal) }))
        }
        // Whoever wrote that, it is no watermark.
        _ => Ok(Found::Remains),
    }
}

#[cfg(test)]
mod tests {
    use super::{Info, Trouble};

    fn judged(lines: &[(&str, &str)]) -> Option<Trouble> {
        let usual = [
            ("redis_version", "7.0.15"),
            ("role", "master"),
            ("loading", "0"),
            ("maxmemory", "0"),
            ("maxmemory_policy", "allkeys-lru"),
        ];
        let lines = usual.iter().chain(lines);
        let lines = lines.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Info(lines.collect()).judge().err().map(|error| error.trouble)
    }

    #[test]
    fn a_server_that_cannot_hold_a_copy_is_told_why() {
        assert_eq!(judged(&[]), None);
        assert_eq!(judged(&[("redis_version", "6.2.14")]), Some(Trouble::Unusable));
        assert_eq!(judged(&[("redis_version", "8.2.1")]), None);
        assert_eq!(judged(&[("role", "slave")]), Some(Trouble::ReadOnly));
        assert_eq!(judged(&[("loading", "1")]), Some(Trouble::Unreachable));
        assert_eq!(judged(&[("maxmemory", "1000")]), Some(Trouble::Evicting));
        let volatile = [("maxmemory", "1000"), ("maxmemory_policy", "volatile-lru")];
        assert_eq!(judged(&volatile), None);
    }
}
