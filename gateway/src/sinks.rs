//! How the copies are doing, as operators see it.

use std::fmt::Write as _;
use std::sync::Arc;

use sluice_core::sink::{SinkState, SinkStatus, Trouble};
use sluice_core::watermark::Watermark;

use crate::gate::Gate;
use crate::json::write::Writer;
use crate::ops::Exposition;

/// A copy that lags longer is not well, whatever its sink says, in microseconds.
const LAG_US_MAX: u64 = 10_000_000;

/// A sink, as the rest of the server sees it.
pub(crate) struct SeenSink {
    pub(crate) status: Arc<SinkStatus>,
    /// How far the journal is kept for it.
    pub(crate) watermark: Watermark,
}

/// Whether every copy is being made, and keeps up.
pub(crate) fn are_well(gate: &Gate) -> bool {
    let (durable, now) = (gate.handle.journal_metrics().durable.get(), gate.handle.now());
    gate.sinks.iter().all(|sink| {
        let follows = matches!(sink.status.state(), SinkState::Connecting | SinkState::Following);
        let is_behind = sink.status.lag_us(durable, now) >= LAG_US_MAX;
        let is_readable = sink.status.read_error().is_none();
        follows && !is_behind && is_readable && !sink.watermark.is_detached()
    })
}

/// Writes the list of sinks.
pub(crate) fn list(json: &mut Writer, gate: &Gate) {
    json.list(&gate.sinks, |json, sink| one(json, gate, sink));
}

/// Writes one of them.
fn one(json: &mut Writer, gate: &Gate, sink: &SeenSink) {
    let (status, watermark) = (&sink.status, &sink.watermark);
    let durable = gate.handle.journal_metrics().durable.get();
    let lag_us = status.lag_us(durable, gate.handle.now());
    json.raw("{\"name\":\"").raw(status.name().as_str());
    json.raw("\",\"state\":\"").raw(status.state().as_str());
    json.raw("\",\"watermark\":").number(status.watermark.get());
    json.raw(",\"synced\":").number(status.synced.get());
    json.raw(",\"lag_records\":").number(status.lag_records(durable));
    json.raw(",\"lag_seconds\":").number(lag_us.div_ceil(1_000_000));
    json.raw(",\"stopped_at\":").optional_number(status.poison());
    json.raw(",\"detached\":").bool(watermark.is_detached());
    json.raw(",\"last_error\":").optional_string(status.last_error().as_deref());
    json.raw(",\"read_error\":").optional_string(status.read_error().as_deref()).raw("}");
}

type Family = (&'static str, &'static str, &'static str, fn(&SeenSink, u64) -> u64);

#[rustfmt::skip]
const FAMILIES: [Family; 13] = [
    ("sluice_sink_watermark", "gauge", "the last sequence stored", |s, _| s.status.watermark.get()),
    ("sluice_sink_synced", "gauge", "the last sequence stored and synced", |s, _| s.status.synced.get()),
    ("sluice_sink_lag_records", "gauge", "durable records not stored yet", |s, durable| s.status.lag_records(durable)),
    ("sluice_sink_records_total", "counter", "records stored", |s, _| s.status.records.get()),
    ("sluice_sink_rows_total", "counter", "rows or keys added or changed", |s, _| s.status.rows.get()),
    ("sluice_sink_batches_total", "counter", "transactions", |s, _| s.status.batches.get()),
    ("sluice_sink_batch_records", "gauge", "records of the last transaction", |s, _| s.status.batch_records.get()),
    ("sluice_sink_connections_total", "counter", "times the store was opened", |s, _| s.status.connections.get()),
    ("sluice_sink_rewinds_total", "counter", "times the store had less than before", |s, _| s.status.rewinds.get()),
    ("sluice_sink_stopped_at", "gauge", "the record that the store refuses and that an operator must look at; 0 for none", |s, _| s.status.poison().unwrap_or(0)),
    ("sluice_sink_near_ceiling", "gauge", "1: the sink keeps the journal from being trimmed, and that is near the size at which it is detached", |s, _| u64::from(s.watermark.is_near_ceiling())),
    ("sluice_sink_unreadable", "gauge", "1: who connects to Redis now cannot read the copy; of databases it is not looked at", |s, _| u64::from(s.status.read_error().is_some())),
    ("sluice_sink_detached", "gauge", "1: the journal is kept no longer for this sink", |s, _| u64::from(s.watermark.is_detached())),
];

/// Writes what is counted of sinks and of reads of retired orders.
pub(crate) fn families(text: &mut Exposition, gate: &Gate) {
    let durable = gate.handle.journal_metrics().durable.get();
    let labels: Vec<String> =
        gate.sinks.iter().map(|sink| format!("sink=\"{}\"", sink.status.name().as_str())).collect();
    let sinks = || gate.sinks.iter().zip(&labels);
    for (name, kind, help, value) in FAMILIES {
        text.family(name, kind, help);
        sinks().for_each(|(sink, label)| text.sample(label, value(sink, durable)));
    }
    text.family("sluice_sink_lag_seconds", "gauge", "age of the last record stored, if any lags");
    for (sink, label) in sinks() {
        let lag = sink.status.lag_us(durable, gate.handle.now());
        text.sample(label, format_args!("{}.{:06}", lag / 1_000_000, lag % 1_000_000));
    }
    let mut labels = String::new();
    text.family("sluice_sink_state", "gauge", "1 for the state that the sink is in");
    for (sink, label) in sinks() {
        for state in SinkState::ALL {
            labels.clear();
            write!(labels, "{label},state=\"{}\"", state.as_str()).expect("in memory");
            text.sample(&labels, u8::from(sink.status.state() == state));
        }
    }
    text.family("sluice_sink_errors_total", "counter", "trouble with the store, by kind");
    for (sink, label) in sinks() {
        for trouble in Trouble::ALL {
            labels.clear();
            write!(labels, "{label},kind=\"{}\"", trouble.as_str()).expect("in memory");
            text.sample(&labels, sink.status.troubles(trouble));
        }
    }
    read_families(text, gate);
}

fn read_families(text: &mut Exposition, gate: &Gate) {
    let reads = &gate.retired.metrics;
    for (name, help, value) in [
        ("sluice_retired_remembered_total", "reads answered from memory", &reads.remembered),
        ("sluice_retired_waited_total", "reads that waited for the database", &reads.waited),
        ("sluice_retired_queries_total", "queries for retired orders", &reads.queries),
        ("sluice_retired_ids_total", "ids looked for by those queries", &reads.ids),
        ("sluice_retired_full_total", "reads turned away, too many waiting", &reads.full),
        (
            "sluice_retired_unavailable_total",
            "reads turned away, the database could not tell",
            &reads.unavailable,
        ),
    ] {
        text.family(name, "counter", help);
        text.sample("", value.get());
    }
}
