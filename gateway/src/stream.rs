//! `GET /v1/sales/{sale}/stream`: stock and state of a sale, as server-sent events.
//!
//! One task looks at the sales that somebody watches, writes a message when something has changed,
//! and puts it where all clients of that sale find it. There is one place per sale, not a queue: a
//! client that is slow finds the newest message and holds no others in memory. No history is kept,
//! so that whoever comes back, with whatever `Last-Event-ID`, gets the present state at once.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval};

use sluice_core::metrics::Counter;
use sluice_core::name::SaleId;
use sluice_core::outcome::SaleView;
use sluice_core::time::Timestamp;
use sluice_core::view::Board;

use crate::gate::Gate;
use crate::json;
use crate::json::write::Writer;
use crate::problem::{Code, Problem};

/// How often sales are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Looks after which a client hears something even if nothing has changed: ten seconds.
const LOOKS_A_BEAT: u64 = 40;

/// What a client hears when nothing has changed: a comment.
const BEAT: &[u8] = b": beat\n\n";

/// How long a client waits before it comes back, in milliseconds, as the first message tells it.
const RETRY_MS: &str = "retry: 2000\n";

/// What all clients of a sale find.
#[derive(Clone)]
struct Latest {
    /// The event, whole, its first line for those who have just come.
    event: Bytes,
    /// Its id: when it was written, so that a later one is larger, over restarts too.
    id: u64,
    /// How often nothing had changed for a while.
    beats: u64,
}

/// One sale that somebody watches.
struct Channel {
    latest: watch::Sender<Latest>,
    /// The state that the event tells, without its time.
    state: Vec<u8>,
    looks: u64,
}

/// All that are watched.
pub(crate) struct Streams {
    channels: Mutex<HashMap<SaleId, Channel>>,
    places: Arc<Semaphore>,
    places_max: usize,
    /// Clients that were turned away because there was no place.
    pub(crate) turned_away: Counter,
    /// Events written, however many clients each went to.
    pub(crate) events: Counter,
}

impl Streams {
    /// With places for so many clients.
    pub(crate) fn new(places_max: usize) -> Self {
        Self {
            channels: Mutex::default(),
            places: Arc::new(Semaphore::new(places_max)),
            places_max,
            turned_away: Counter::default(),
            events: Counter::default(),
        }
    }

    /// Clients that there are.
    pub(crate) fn clients(&self) -> usize {
        self.places_max - self.places.available_permits()
    }

    /// A stream of a sale that exists.
    ///
    /// # Errors
    /// 503 if there is no place, or a shutdown has begun.
    pub(crate) fn join(&self, gate: &Gate, sale: &SaleId) -> Result<Response, Problem> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            self.turned_away.add_shared(1);
            Problem::new(Code::Overloaded, "too many clients watch sales")
        })?;
        let latest = self.subscribe(gate, sale)?;
        let watcher = Watcher { latest, seen: None, _place: place };
        let body = stream::unfold(watcher, |mut watcher| async move {
            let message = watcher.next().await?;
            Some((Ok::<_, Infallible>(message), watcher))
        });
        let mut response = Response::new(Body::from_stream(body));
        for (name, value) in [
            (CONTENT_TYPE, "text/event-stream"),
            (CACHE_CONTROL, "no-store"),
            // A proxy in front must not gather what is to go out at once.
            (HeaderName::from_static("x-accel-buffering"), "no"),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        Ok(response)
    }

    fn subscribe(&self, gate: &Gate, sale: &SaleId) -> Result<watch::Receiver<Latest>, Problem> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: whoever ends all streams takes it afterwards.
        if gate.is_draining() {
            return Err(Problem::new(Code::ShuttingDown, "streams end"));
        }
        if let Some(channel) = channels.get(sale) {
            return Ok(channel.latest.subscribe());
        }
        let (board, now) = (gate.handle.board(), gate.handle.now());
        let view = board.sale(sale).ok_or_else(crate::refusals::no_such_sale)?;
        let state = state(&view, board, now);
        let latest = Latest { event: event(&state, now), id: now.micros(), beats: 0 };
        self.events.add_shared(1);
        let (latest, client) = watch::channel(latest);
        channels.insert(sale.clone(), Channel { latest, state, looks: 0 });
        Ok(client)
    }

    /// Looks at all that is watched, until a shutdown begins; then all streams end.
    pub(crate) async fn run(gate: Arc<Gate>) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let streams = &gate.streams;
            let mut channels = streams.channels.lock().unwrap_or_else(PoisonError::into_inner);
            if gate.is_draining() {
                channels.clear();
                return;
            }
            let (board, now) = (gate.handle.board(), gate.handle.now());
            channels.retain(|sale, channel| {
                let Some(view) = board.sale(sale) else { return false };
                if channel.latest.is_closed() {
                    return false;
                }
                if channel.look(&view, board, now) {
                    streams.events.add_shared(1);
                }
                true
            });
        }
    }
}

impl Channel {
    /// One look. Says whether something has changed.
    fn look(&mut self, view: &SaleView, board: &Board, now: Timestamp) -> bool {
        self.looks += 1;
        let state = state(view, board, now);
        if state == self.state {
            if self.looks.is_multiple_of(LOOKS_A_BEAT) {
                self.latest.send_modify(|latest| latest.beats += 1);
            }
            return false;
        }
        let (event, id) = (event(&state, now), now.micros());
        self.latest.send_modify(|latest| (latest.event, latest.id) = (event, id));
        self.state = state;
        true
    }
}

/// One client.
struct Watcher {
    latest: watch::Receiver<Latest>,
    /// The id of the event that it got last.
    seen: Option<u64>,
    _place: OwnedSemaphorePermit,
}

impl Watcher {
    /// What it is to get next; `None` if all streams end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.seen.is_some() {
            self.latest.changed().await.ok()?;
        }
        let latest = self.latest.borrow_and_update();
        let known = self.seen.replace(latest.id);
        match known == Some(latest.id) {
            true => Some(Bytes::from_static(BEAT)),
            false => Some(latest.event.clone()),
        }
    }
}

/// What is told of a sale, but for the time and the last brace.
fn state(view: &SaleView, board: &Board, now: Timestamp) -> Vec<u8> {
    let mut json = Writer::with_capacity(512);
    json::sale::page(&mut json, view, board, now);
    json.into_bytes()
}

/// A whole event (HTML Living Standard, 9.2.6). JSON has no line breaks of its own.
fn event(state: &[u8], now: Timestamp) -> Bytes {
    let mut end = Writer::default();
    end.raw(",\"server_time\":").time(now).raw("}\n\n");
    let head = format!("{RETRY_MS}id: {}\nevent: sale\ndata: ", now.micros());
    Bytes::from([head.as_bytes(), state, &end.into_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::{BEAT, Channel, LOOKS_A_BEAT, Latest, Watcher, event, state};
    use sluice_core::name::{SaleId, SkuId};
    use sluice_core::outcome::SaleView;
    use sluice_core::time::Timestamp;
    use sluice_core::view::Board;
    use std::sync::Arc;
    use tokio::sync::{Semaphore, watch};

    fn view() -> SaleView {
        SaleView {
            sale: SaleId::new("s").expect("a name"),
            revision: 1,
            title: "S".into(),
            starts_at: Timestamp::from_micros(10),
            ends_at: Timestamp::from_micros(20),
            per_buyer_limit: 0,
            skus: vec![SkuId::new("a").expect("a name")],
            paused: false,
            ended: false,
        }
    }

    fn watched(now: Timestamp) -> (Channel, Watcher) {
        let state = state(&view(), &Board::default(), now);
        let latest = Latest { event: event(&state, now), id: now.micros(), beats: 0 };
        let (latest, client) = watch::channel(latest);
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("a place");
        let watcher = Watcher { latest: client, seen: None, _place: place };
        (Channel { latest, state, looks: 0 }, watcher)
    }

    #[tokio::test]
    async fn a_slow_client_finds_the_newest_event_and_no_other() {
        let at = Timestamp::from_micros;
        let (mut channel, mut watcher) = watched(at(1));
        let first = watcher.next().await.expect("an event");
        let text = std::str::from_utf8(&first).expect("text");
        assert!(
            text.starts_with("retry: 2000\nid: 1\nevent: sale\ndata: {\"sale\":\"s\""),
            "{text}"
        );
        assert!(text.contains("\"state\":\"scheduled\"") && text.ends_with("Z\"}\n\n"), "{text}");
        assert!(text.contains("\"sku\":\"a\",\"name\":null"), "{text}");
        assert!(channel.look(&view(), &Board::default(), at(10)));
        assert!(channel.look(&view(), &Board::default(), at(20)));
        let text = watcher.next().await.expect("an event");
        assert!(std::str::from_utf8(&text).expect("text").contains("id: 20\n"));
        drop(channel);
        assert!(watcher.next().await.is_none(), "it ends");
    }

    #[tokio::test]
    async fn a_client_hears_something_even_if_nothing_changes() {
        let at = Timestamp::from_micros;
        let (mut channel, mut watcher) = watched(at(1));
        watcher.next().await.expect("an event");
        for look in 1..=LOOKS_A_BEAT {
            assert!(!channel.look(&view(), &Board::default(), at(2)), "{look}");
        }
        assert_eq!(watcher.next().await.as_deref(), Some(BEAT));
        assert_eq!(channel.latest.receiver_count(), 1);
        drop(watcher);
        assert!(channel.latest.is_closed());
    }
}
