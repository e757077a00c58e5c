//! The copy as others find it who connect now. The sink's own connection, held for life, says nothing
//! of that: the name may lead elsewhere by now, or nobody else may be let in.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::id::JournalId;

use super::super::status::{SinkState, SinkStatus};
use super::RedisConfig;
use super::shared::stored_in_redis;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Reads how far the copy is, each time over a new connection, and says in `status` what is wrong.
pub(in crate::sink) async fn look_for_ever(
    config: RedisConfig,
    (cell, journal): (u16, JournalId),
    status: &SinkStatus,
) -> Infallible {
    let journal = journal.to_string();
    loop {
        sleep(LOOK_EVERY).await;
        let follows = status.state() == SinkState::Following;
        let (stored, rewinds) = (status.watermark.get(), status.rewinds.get());
        let wrong = match timeout(PATIENCE, stored_in_redis(&config, cell)).await {
            Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
            Ok(Err(error)) => Some(error.what),
            // What the sink says of itself says enough.
            Ok(Ok(_)) if !follows || stored == 0 || status.rewinds.get() > rewinds => None,
            Ok(Ok(Some((sequence, _, of)))) if of == journal && sequence >= stored => None,
            Ok(Ok(found)) => Some(elsewhere(stored, found.map(|(sequence, ..)| sequence))),
        };
        if status.read(wrong.clone()) {
            match wrong {
                Some(wrong) => tracing::warn!("others cannot read the copy in Redis: {wrong}"),
                None => tracing::info!("others can read the copy in Redis"),
            }
        }
    }
}

fn elsewhere(stored: u64, found: Option<u64>) -> String {
    let found = found.map_or("none".to_owned(), |found| format!("one that ends at {found}"));
    format!(
        "the sink has stored all up to {stored}, and who connects now finds no such copy, but \
         {found}: the address leads to another server, or the copy has just been erased"
    )
}

#[cfg(test)]
mod tests {
    use super::elsewhere;

    #[test]
    fn what_is_found_instead_is_said() {
        assert!(elsewhere(7, None).contains("up to 7") && elsewhere(7, None).contains("but none"));
        assert!(elsewhere(7, Some(3)).contains("one that ends at 3"));
    }
}
