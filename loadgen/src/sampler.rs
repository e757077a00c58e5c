//! Stock over time: looked at while the rush is on, from a thread and over connections of its own.
//!
//! One request at a time, once in a while; it takes nothing from the rush but the moment of the processor that one
//! request costs.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::call::Caller;
use crate::clock::{Clock, nanos};
use crate::error::{Error, Result};

/// Stock of the SKUs that are watched, together, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StockSample {
    /// Seconds from the beginning of the measured span; negative in the warm-up.
    pub at_s: f64,
    /// Units that nobody holds.
    pub available: u64,
    /// Units held for unpaid orders; absent where only buyers look.
    pub held: Option<u64>,
    /// Units paid for; absent where only buyers look.
    pub sold: Option<u64>,
}

/// Stock over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StockSamples {
    /// The SKUs that were looked at: all of the run for operators, the first one for buyers.
    pub skus: Vec<String>,
    /// The moments. Those at which the server gave no answer are missing.
    pub samples: Vec<StockSample>,
}

/// A look at one moment, by the driver's clock.
type Look = (u64, StockSample);

/// A thread that looks at stock until it is told to end.
pub(crate) struct Sampler {
    skus: Vec<String>,
    stop: SyncSender<()>,
    thread: JoinHandle<Vec<Look>>,
}

impl Sampler {
    /// Looks at `skus` every `every` with one request: as an operator if `is_operator`, else as a buyer, who sees the
    /// first of them alone.
    pub(crate) fn start(
        caller: Caller,
        is_operator: bool,
        skus: &[String],
        every: Duration,
        clock: Clock,
    ) -> Result<Sampler> {
        let watched = if is_operator { skus } else { &skus[..1] }.to_vec();
        let skus = watched.clone();
        let (stop, stopped) = sync_channel(1);
        let looks = move || {
            let (mut looks, mut next_ns) = (Vec::new(), clock.now_ns());
            loop {
                let asked_ns = clock.now_ns();
                if let Some(sample) = look(&caller, is_operator, &watched) {
                    // Of the time that the request took, the middle.
                    looks.push((asked_ns + (clock.now_ns() - asked_ns) / 2, sample));
                }
                next_ns = (next_ns + nanos(every)).max(clock.now_ns());
                let pause_ns = next_ns.saturating_sub(clock.now_ns());
                match stopped.recv_timeout(Duration::from_nanos(pause_ns)) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return looks,
                }
            }
        };
        let thread = std::thread::Builder::new().name("stock".to_owned());
        let thread = thread.spawn(looks).map_err(|error| Error::system("spawn a thread", error))?;
        Ok(Sampler { skus, stop, thread })
    }

    /// Ends it. What it saw, counted from `zero_ns`.
    pub(crate) fn finish(self, zero_ns: u64) -> StockSamples {
        // If it has ended, nobody listens.
        let _ = self.stop.try_send(());
        let looks = self.thread.join().unwrap_or_default();
        let samples = looks.into_iter().map(|(at_ns, sample)| StockSample {
            at_s: (at_ns as f64 - zero_ns as f64) / 1e9,
            ..sample
        });
        StockSamples { skus: self.skus, samples: samples.collect() }
    }
}

impl StockSample {
    const NOTHING: StockSample =
        StockSample { at_s: 0.0, available: 0, held: Some(0), sold: Some(0) };

    fn plus(self, other: StockSample) -> Option<StockSample> {
        let add = |left: Option<u64>, right: Option<u64>| left?.checked_add(right?);
        Some(StockSample {
            at_s: 0.0,
            available: self.available.checked_add(other.available)?,
            held: add(self.held, other.held),
            sold: add(self.sold, other.sold),
        })
    }
}

fn look(caller: &Caller, is_operator: bool, skus: &[String]) -> Option<StockSample> {
    let path = match skus {
        [sku] if is_operator => format!("/admin/v1/skus/{sku}"),
        [sku] => format!("/v1/skus/{sku}"),
        _ => "/admin/v1/audit".to_owned(),
    };
    let reply = caller.call("GET", &path, None).ok()?;
    let value = reply.json(&[200], "stock").ok()?;
    match skus {
        [_] => read(&value),
        _ => read_all(&value, skus),
    }
}

fn read(value: &Value) -> Option<StockSample> {
    let counter = |name: &str| value.get(name).and_then(Value::as_u64);
    Some(StockSample {
        at_s: 0.0,
        available: counter("available")?,
        held: counter("held"),
        sold: counter("sold"),
    })
}

/// The sum over `skus` in the server's own audit.
fn read_all(value: &Value, skus: &[String]) -> Option<StockSample> {
    let mut sum = StockSample::NOTHING;
    for sku in value.get("skus")?.as_array()? {
        let name = sku.get("sku").and_then(Value::as_str);
        if name.is_some_and(|name| skus.iter().any(|wanted| wanted == name)) {
            sum = sum.plus(read(sku)?)?;
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::{StockSample, read, read_all};
    use serde_json::json;

    #[test]
    fn buyers_and_operators_see_what_they_may() {
        let operators = read(&json!({"available": 3, "held": 2, "sold": 1})).unwrap();
        assert_eq!((operators.available, operators.held, operators.sold), (3, Some(2), Some(1)));
        let buyers = read(&json!({"available": 4})).unwrap();
        assert_eq!((buyers.available, buyers.held, buyers.sold), (4, None, None));
        assert_eq!(read(&json!({"code": "sku_not_found"})), None);
    }

    #[test]
    fn the_skus_of_the_run_are_summed_up() {
        let audit = json!({"oversold": 0, "skus": [
            {"sku": "a", "available": 3, "held": 2, "sold": 1},
            {"sku": "other", "available": 100, "held": 100, "sold": 100},
            {"sku": "b", "available": 4, "held": 0, "sold": 5},
        ]});
        let sum = StockSample { at_s: 0.0, available: 7, held: Some(2), sold: Some(6) };
        assert_eq!(read_all(&audit, &["a".to_owned(), "b".to_owned()]), Some(sum));
        assert_eq!(read_all(&json!({}), &[]), None);
    }
}
