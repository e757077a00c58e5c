//! How the copies are doing, as operators see it.

use std::fmt::Write as _;

use sluice_core::sink::{SinkState, Trouble};

use crate::gate::Gate;
use crate::json::write::Writer;
use crate::ops::Exposition;

/// Whether every copy is being made.
pub(crate) fn are_well(gate: &Gate) -> bool {
    matches!(gate.sql.state(), SinkState::Connecting | SinkState::Following)
}

/// Writes the list of sinks.
pub(crate) fn list(json: &mut Writer, gate: &Gate) {
    let durable = gate.handle.journal_metrics().durable.get();
    let lag_us = gate.sql.lag_us(durable, gate.handle.now());
    json.raw("[{\"name\":\"").raw(gate.sql.name().as_str());
    json.raw("\",\"state\":\"").raw(gate.sql.state().as_str());
    json.raw("\",\"watermark\":").number(gate.sql.watermark.get());
    json.raw(",\"lag_records\":").number(gate.sql.lag_records(durable));
    json.raw(",\"lag_seconds\":").number(lag_us.div_ceil(1_000_000));
    json.raw(",\"last_error\":");
    match gate.sql.last_error() {
        Some(error) => json.string(&error),
        None => json.raw("null"),
    };
    json.raw("}]");
}

/// Writes what is counted of sinks and of reads of retired orders.
pub(crate) fn families(text: &mut Exposition, gate: &Gate) {
    let sql = &gate.sql;
    let durable = gate.handle.journal_metrics().durable.get();
    let label = format!("sink=\"{}\"", sql.name().as_str());
    for (name, kind, help, value) in [
        ("sluice_sink_watermark", "gauge", "the last sequence stored", sql.watermark.get()),
        ("sluice_sink_synced", "gauge", "the last sequence stored and synced", sql.synced.get()),
        (
            "sluice_sink_lag_records",
            "gauge",
            "durable records not stored yet",
            sql.lag_records(durable),
        ),
        ("sluice_sink_records_total", "counter", "records stored", sql.records.get()),
        ("sluice_sink_rows_total", "counter", "rows added or changed", sql.rows.get()),
        ("sluice_sink_batches_total", "counter", "transactions", sql.batches.get()),
        (
            "sluice_sink_batch_records",
            "gauge",
            "records of the last transaction",
            sql.batch_records.get(),
        ),
        (
            "sluice_sink_connections_total",
            "counter",
            "times the store was opened",
            sql.connections.get(),
        ),
        (
            "sluice_sink_rewinds_total",
            "counter",
            "times the store had less than before",
            sql.rewinds.get(),
        ),
    ] {
        text.family(name, kind, help);
        text.sample(&label, value);
    }
    let lag = sql.lag_us(durable, gate.handle.now());
    text.family("sluice_sink_lag_seconds", "gauge", "age of the last record stored, if any lags");
    text.sample(&label, format_args!("{}.{:06}", lag / 1_000_000, lag % 1_000_000));
    text.family("sluice_sink_state", "gauge", "1 for the state that the sink is in");
    let mut labels = String::new();
    for state in SinkState::ALL {
        labels.clear();
        write!(labels, "{label},state=\"{}\"", state.as_str()).expect("in memory");
        text.sample(&labels, u8::from(sql.state() == state));
    }
    text.family("sluice_sink_errors_total", "counter", "trouble with the store, by kind");
    for trouble in Trouble::ALL {
        labels.clear();
        write!(labels, "{label},kind=\"{}\"", trouble.as_str()).expect("in memory");
        text.sample(&labels, sql.troubles(trouble));
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
