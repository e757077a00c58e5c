//! Health, readiness, shards and metrics.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;

use sluice_core::metrics::ShardMetrics;

use crate::buyers::json_response;
use crate::gate::{Gate, WorkerMetrics};
use crate::json::write::Writer;
use crate::openapi;
use crate::problem::{Code, Problem};
use crate::query;
use crate::sinks;
use crate::wire::accept::Doorman;

/// Whether the process is alive.
pub(crate) async fn health(State(gate): State<Arc<Gate>>) -> Response {
    let mut json = Writer::default();
    // Orders do not wait for copies, and endings go on when the disk is full: the process is alive
    // either way.
    json.raw(match sinks::are_well(&gate) && !gate.handle.is_disk_full() {
        true => "{\"status\":\"ok\"}",
        false => "{\"status\":\"degraded\"}",
    });
    json_response(StatusCode::OK, json)
}

/// Whether new orders are taken.
pub(crate) async fn ready(State(gate): State<Arc<Gate>>) -> Result<Response, Problem> {
    if gate.is_draining() {
        return Err(Problem::new(Code::ShuttingDown, "no new orders are taken"));
    }
    if !gate.handle.is_accepting() {
        return Err(Problem::new(Code::Overloaded, "the disk is late; no new orders are taken"));
    }
    let mut json = Writer::default();
    json.raw("{\"status\":\"ready\"}");
    Ok(json_response(StatusCode::OK, json))
}

/// The contract, for programs.
pub(crate) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], openapi::DOCUMENT).into_response()
}

/// What each shard has and does.
pub(crate) async fn shards(
    State(gate): State<Arc<Gate>>,
    request: Request,
) -> Result<Response, Problem> {
    gate.operator(request.headers())?;
    query::none(request.uri())?;
    let mut json = Writer::default();
    json.raw("{\"shards\":").list(0..gate.handle.shards(), |json, shard| {
        let (metrics, depths) = (gate.handle.shard_metrics(shard), gate.handle.depths(shard));
        let rates = gate.rates.of(shard);
        json.raw("{\"shard\":").number(shard as u64);
        json.raw(",\"skus\":").number(metrics.skus.get());
        json.raw(",\"slots\":").number(metrics.slots.get());
        json.raw(",\"live_orders\":").number(metrics.live_orders.get());
        json.raw(",\"lanes\":{\"peer\":").number(depths.peer as u64);
        json.raw(",\"vital\":").number(depths.vital as u64);
        json.raw(",\"orders\":").number(depths.orders as u64);
        json.raw("},\"orders_per_second\":").number(rates.orders_per_second);
        json.raw(",\"batch_size\":").number(rates.batch_size);
        json.raw(",\"wait_us\":").number(rates.wait_us(depths.orders)).raw("}");
    });
    json.raw(",\"server_time\":").time(gate.handle.now()).raw("}");
    Ok(json_response(StatusCode::OK, json))
}

/// Everything counted, as Prometheus text (exposition format 0.0.4).
pub(crate) async fn metrics(State(gate): State<Arc<Gate>>) -> Response {
    let mut text = Exposition::default();
    shard_families(&mut text, &gate);
    journal_families(&mut text, &gate);
    worker_families(&mut text, &gate);
    door_families(&mut text, &gate);
    sinks::families(&mut text, &gate);
    front_families(&mut text, &gate);
    let handle = &gate.handle;
    text.family("sluice_accepting", "gauge", "1 while new orders are taken");
    text.sample("", u64::from(handle.is_accepting()));
    text.family("sluice_clock_offset_us", "gauge", "engine time minus wall time");
    text.sample("", handle.clock_offset_us());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text.text).into_response()
}

/// Text in the exposition format.
#[derive(Default)]
pub(crate) struct Exposition {
    text: String,
    name: &'static str,
}

impl Exposition {
    pub(crate) fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("in memory");
    }

    pub(crate) fn sample(&mut self, labels: &str, value: impl std::fmt::Display) {
        let name = self.name;
        match labels.is_empty() {
            true => writeln!(self.text, "{name} {value}"),
            false => writeln!(self.text, "{name}{{{labels}}} {value}"),
        }
        .expect("in memory");
    }
}

type ShardFamily = (&'static str, &'static str, &'static str, fn(&ShardMetrics) -> u64);

#[rustfmt::skip]
const SHARD_FAMILIES: [ShardFamily; 28] = [
    ("sluice_shard_skus", "gauge", "SKUs that the shard owns", |m| m.skus.get()),
    ("sluice_shard_slots", "gauge", "buyer slots that the shard owns", |m| m.slots.get()),
    ("sluice_live_orders", "gauge", "orders that live in the shard's slots", |m| m.live_orders.get()),
    ("sluice_commands_total", "counter", "commands taken from the lanes", |m| m.commands.get()),
    ("sluice_messages_total", "counter", "messages of other shards taken", |m| m.messages.get()),
    ("sluice_batches_total", "counter", "steps that recorded or answered something", |m| m.batches.get()),
    ("sluice_records_total", "counter", "records staged", |m| m.records.get()),
    ("sluice_orders_placed_total", "counter", "orders placed", |m| m.placed.get()),
    ("sluice_orders_repeated_total", "counter", "orders answered with an earlier one", |m| m.repeated.get()),
    ("sluice_orders_sold_out_total", "counter", "orders refused because units were lacking", |m| m.sold_out.get()),
    ("sluice_orders_refused_total", "counter", "orders refused for another reason", |m| m.refused.get()),
    ("sluice_orders_overloaded_total", "counter", "orders refused because they waited too long or a queue in front of them was full", |m| m.overloaded.get()),
    ("sluice_orders_cancelled_total", "counter", "holds cancelled", |m| m.cancelled.get()),
    ("sluice_orders_expired_total", "counter", "holds that ran out", |m| m.expired.get()),
    ("sluice_orders_retired_total", "counter", "final orders that left the ledger", |m| m.retired.get()),
    ("sluice_orders_queued_total", "counter", "orders that had to wait", |m| m.queued.get()),
    ("sluice_orders_promoted_total", "counter", "waiting orders that got their units", |m| m.promoted.get()),
    ("sluice_orders_paid_total", "counter", "orders paid", |m| m.paid.get()),
    ("sluice_orders_paid_late_total", "counter", "orders paid after their hold had ended", |m| m.paid_late.get()),
    ("sluice_refunds_requested_total", "counter", "refunds asked for", |m| m.refunds_requested.get()),
    ("sluice_refunds_succeeded_total", "counter", "payments given back", |m| m.refunded.get()),
    ("sluice_refunds_failed_total", "counter", "refunds that failed: an alarm, somebody must look", |m| m.refunds_failed.get()),
    ("sluice_notices_unmatched_total", "counter", "notices of providers that fitted no payment", |m| m.unmatched.get()),
    ("sluice_orders_lane_full_total", "counter", "orders turned away at the full lane", |m| m.orders_lane_full.get()),
    ("sluice_vital_lane_full_total", "counter", "commands turned away at the full vital lane", |m| m.vital_lane_full.get()),
    ("sluice_peer_lane_full_total", "counter", "steps that took no orders because a peer lane was full", |m| m.peer_lane_full.get()),
    ("sluice_unanswered_full_total", "counter", "steps that took nothing because too many wait for the journal", |m| m.unanswered_full.get()),
    ("sluice_moved_in_total", "counter", "values that moved in", |m| m.moved_in.get()),
];

fn shard_families(text: &mut Exposition, gate: &Gate) {
    for (name, kind, help, value) in SHARD_FAMILIES {
        text.family(name, kind, help);
        for shard in 0..gate.handle.shards() {
            text.sample(&format!("shard=\"{shard}\""), value(gate.handle.shard_metrics(shard)));
        }
    }
    text.family("sluice_lane_depth", "gauge", "commands or batches that wait in a lane");
    for shard in 0..gate.handle.shards() {
        let depths = gate.handle.depths(shard);
        for (lane, depth) in
            [("peer", depths.peer), ("vital", depths.vital), ("orders", depths.orders)]
        {
            text.sample(&format!("shard=\"{shard}\",lane=\"{lane}\""), depth as u64);
        }
    }
}

fn journal_families(text: &mut Exposition, gate: &Gate) {
    let journal = gate.handle.journal_metrics();
    let upkeep = gate.handle.upkeep_metrics();
    for (name, kind, help, value) in [
        ("sluice_journal_commits_total", "counter", "commits", &journal.commits),
        ("sluice_journal_records_total", "counter", "records committed", &journal.records),
        ("sluice_journal_commit_us_total", "counter", "time spent in commits", &journal.commit_us),
        ("sluice_journal_commit_us_max", "gauge", "the longest commit", &journal.commit_us_max),
        ("sluice_journal_durable", "gauge", "the highest durable sequence", &journal.durable),
        ("sluice_snapshots_total", "counter", "snapshots made", &upkeep.snapshots),
        (
            "sluice_snapshot_sequence",
            "gauge",
            "the last sequence in the newest one",
            &upkeep.snapshot_sequence,
        ),
        ("sluice_snapshot_bytes", "gauge", "the length of the newest one", &upkeep.snapshot_bytes),
        (
            "sluice_upkeep_failed_total",
            "counter",
            "attempts at a snapshot or at trimming that failed",
            &upkeep.failed,
        ),
        (
            "sluice_segments_trimmed_total",
            "counter",
            "segments taken away",
            &upkeep.segments_trimmed,
        ),
        (
            "sluice_trimmed_through",
            "gauge",
            "the last sequence taken away",
            &upkeep.trimmed_through,
        ),
    ] {
        text.family(name, kind, help);
        text.sample("", value.get());
    }
    text.family("sluice_disk_reserve", "gauge", "1 while the disk has room for endings only");
    text.sample("", u64::from(gate.handle.is_disk_full()));
}

fn worker_families(text: &mut Exposition, gate: &Gate) {
    text.family("sluice_http_answers_total", "counter", "requests answered, by class of status");
    for (thread, metrics) in gate.threads() {
        for (class, count) in metrics.answers.iter().enumerate() {
            let labels = format!("thread=\"{thread}\",class=\"{}xx\"", class + 2);
            text.sample(&labels, count.get());
        }
    }
    type Family = (&'static str, &'static str, fn(&WorkerMetrics) -> u64);
    let families: [Family; 5] = [
        ("sluice_tokens_known_total", "tokens found in the cache", |m| m.tokens_known.get()),
        ("sluice_tokens_checked_total", "tokens checked anew", |m| m.tokens_checked.get()),
        ("sluice_replies_full_total", "orders turned away for want of a place", |m| {
            m.replies_full.get()
        }),
        ("sluice_outcomes_unknown_total", "orders whose answer came too late", |m| {
            m.outcomes_unknown.get()
        }),
        ("sluice_connections_ended_total", "connections that took too long", |m| {
            m.connections_ended.get()
        }),
    ];
    for (name, help, value) in families {
        text.family(name, "counter", help);
        for (thread, metrics) in gate.threads() {
            text.sample(&format!("thread=\"{thread}\""), value(metrics));
        }
    }
}

fn front_families(text: &mut Exposition, gate: &Gate) {
    let streams = &gate.streams;
    for (name, kind, help, value) in [
        (
            "sluice_webhooks_refused_total",
            "counter",
            "calls to the webhook whose signature or time is wrong",
            gate.webhooks_refused.get(),
        ),
        ("sluice_stream_clients", "gauge", "clients that watch sales", streams.clients() as u64),
        (
            "sluice_stream_turned_away_total",
            "counter",
            "clients that found no place to watch",
            streams.turned_away.get(),
        ),
        (
            "sluice_stream_events_total",
            "counter",
            "events written for those who watch, once for all of a sale's clients",
            streams.events.get(),
        ),
    ] {
        text.family(name, kind, help);
        text.sample("", value);
    }
}

fn door_families(text: &mut Exposition, gate: &Gate) {
    type Family = (&'static str, &'static str, &'static str, fn(&Doorman) -> u64);
    let families: [Family; 4] = [
        ("sluice_connections", "gauge", "connections open", |door| door.open() as u64),
        ("sluice_connections_accepted_total", "counter", "accepted", |door| door.accepted.get()),
        (
            "sluice_connections_turned_away_total",
            "counter",
            "over the ceiling per address",
            |door| door.turned_away.get(),
        ),
        ("sluice_accept_paused_total", "counter", "pauses at the ceiling in all", |door| {
            door.paused.get()
        }),
    ];
    for (name, kind, help, value) in families {
        text.family(name, kind, help);
        text.sample("listener=\"buyers\"", value(&gate.buyers_door));
        text.sample("listener=\"operators\"", value(&gate.operators_door));
    }
}
