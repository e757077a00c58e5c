//! The loop: read, apply, acknowledge; claim what a dead consumer left; make the group again.

use std::time::Duration;

use redis::RedisError;
use redis::aio::MultiplexedConnection;
use tokio::time::sleep;

use crate::effects::Effects;
use crate::stream::{Given, Place, is_without_group};

/// How long to wait for Redis, or for a stream.
const PAUSE: Duration = Duration::from_millis(250);

/// Follows the stream.
pub(crate) struct Follower {
    place: Place,
    effects: Effects,
    exit_when_idle: bool,
    /// Whose events the group was made for.
    source: String,
    /// The last gap that was told.
    told: u64,
}

/// Why a session ended.
enum End {
    /// It was asked to, or nothing is left.
    Done,
    /// There is no copy, or that of another journal.
    Elsewhere,
}

/// What a look at the stream came to.
enum Look {
    /// There was something to do.
    Busy,
    /// There was nothing.
    Idle,
}

impl Follower {
    pub(crate) fn new(place: Place, effects: Effects, exit_when_idle: bool) -> Self {
        Self { place, effects, exit_when_idle, source: String::new(), told: 0 }
    }

    /// Follows until `stop`, or until nothing is left if so asked.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        tokio::pin!(stop);
        loop {
            let session = self.session(&mut stop).await;
            match session {
                Ok(End::Done) => return Ok(()),
                Ok(End::Elsewhere) => {}
                // Redis is gone, or the group is: what was not acknowledged comes again.
                Err(error) if error.downcast_ref::<RedisError>().is_some() => {
                    eprintln!("sluice-consumer: waits for Redis: {error:#}");
                }
                Err(error) => return Err(error),
            }
            tokio::select! {
                () = &mut stop => return Ok(()),
                () = sleep(PAUSE) => {}
            }
        }
    }

    async fn session(
        &mut self,
        stop: &mut (impl Future<Output = ()> + Unpin),
    ) -> anyhow::Result<End> {
        let mut connection = self.place.connect().await?;
        let Some(source) = self.place.source(&mut connection).await? else {
            return Ok(End::Elsewhere);
        };
        if source != self.source {
            (self.source, self.told) = (source, 0);
        }
        self.make_group(&mut connection).await?;
        let (mut own, mut cursor) = (true, String::from("0-0"));
        loop {
            let place = self.place.clone();
            // Only a read is given up half-way; what it was given is read again as its own.
            let read = async {
                let claimed = place.claim(&mut connection, &mut cursor).await?;
                if !claimed.is_nothing() {
                    return Ok(claimed);
                }
                place.read(&mut connection, own).await
            };
            let given = tokio::select! {
                () = &mut *stop => return Ok(End::Done),
                read = read => match read {
                    Ok(read) => read,
                    Err(error) if is_without_group(&error) => {
                        eprintln!("sluice-consumer: the group is gone: Redis was wiped");
                        return Ok(End::Elsewhere);
                    }
                    Err(error) => return Err(error.into()),
                },
            };
            // A copy of another journal may have come in its place before the read: its events are
            // taken for what they are when they are read again.
            if self.place.source(&mut connection).await?.as_ref() != Some(&self.source) {
                return Ok(End::Elsewhere);
            }
            let (was_own, is_idle) = (own, given.is_nothing() && cursor == "0-0");
            own &= !is_idle;
            match self.take(&mut connection, &given).await? {
                Look::Idle if is_idle && !was_own && self.exit_when_idle => return Ok(End::Done),
                _ => {}
            }
        }
    }

    /// Applies entries, acknowledges them, and notes how far the group is.
    async fn take(
        &mut self,
        connection: &mut MultiplexedConnection,
        given: &Given,
    ) -> anyhow::Result<Look> {
        let Given { entries, lost } = given;
        if !lost.is_empty() {
            println!("gap: entries {} were trimmed before they were done", lost.join(", "));
        }
        let applied = self.effects.apply(&self.source, entries).await?;
        if !given.is_nothing() {
            // Were it killed here, another would claim them, and find them applied.
            self.place.acknowledge(connection, given).await?;
        }
        if !entries.is_empty() {
            let (first, last) = (entries[0].sequence, entries[entries.len() - 1].sequence);
            println!("{first}…{last}: {} events, {applied} new", entries.len());
        }
        let progress = match self.place.progress(connection).await {
            Ok(progress) => progress,
            // The next read makes the group again.
            Err(error) if is_without_group(&error) => return Ok(Look::Busy),
            Err(error) => return Err(error.into()),
        };
        if progress.source.as_ref() != Some(&self.source) {
            return Ok(Look::Busy);
        }
        self.effects.raise_floor(&self.source, &self.place.group, progress.floor).await?;
        self.tell_gap(progress.delivered, progress.whole_from);
        let is_idle = given.is_nothing() && progress.pending == 0;
        Ok(if is_idle { Look::Idle } else { Look::Busy })
    }

    /// Makes the group behind what it has done, once there is a stream.
    async fn make_group(&mut self, connection: &mut MultiplexedConnection) -> anyhow::Result<()> {
        let floor = self.effects.floor(&self.source, &self.place.group).await?;
        self.place.make_group(connection, floor).await?;
        Ok(())
    }

    /// Says that entries were trimmed which nobody of the group was given.
    fn tell_gap(&mut self, delivered: u64, whole_from: u64) {
        if whole_from > delivered + 1 && whole_from > self.told {
            self.told = whole_from;
            println!(
                "gap: the stream is whole from {whole_from} on, {delivered} was delivered last: \
                 what is between must be read from SQL (order_events)"
            );
        }
    }
}
