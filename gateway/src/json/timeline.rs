//! Orders as operators see them: with all that happened to them.

use sluice_core::outcome::OrderView;
use sluice_core::sink::{Timeline, TimelineEvent};

use super::write::Writer;
use super::{order, payment};

/// What the copy in SQL knows of an order.
pub(crate) enum Known {
    /// All that happened to it.
    All(Timeline),
    /// What happened up to some moment.
    Part(Timeline, Behind),
    /// Nothing: why it cannot tell.
    Nothing(String),
}

/// How far a copy is that is behind.
pub(crate) struct Behind {
    /// The last record that it has.
    pub(crate) copied: u64,
    /// The last record that there is.
    pub(crate) durable: u64,
}

/// Writes an order with its payments, its shipment and its timeline.
pub(crate) fn order(json: &mut Writer, view: &OrderView, known: &Known) {
    let (timeline, why) = match known {
        Known::All(timeline) => (Some(timeline), None),
        Known::Part(timeline, Behind { copied, durable }) => {
            let why = format!("the copy has records up to {copied} of {durable}");
            (Some(timeline), Some(why))
        }
        Known::Nothing(why) => (None, Some(why.clone())),
    };
    let buyer = timeline.and_then(|timeline| timeline.buyer.as_deref());
    order::open_order(json, view, buyer);
    json.raw(",\"payments\":");
    match timeline {
        Some(timeline) => json.list(&timeline.payments, payment::stored),
        None => json.raw("null"),
    };
    json.raw(",\"shipment\":");
    match timeline.and_then(|timeline| timeline.shipment.as_ref()) {
        Some((carrier, number)) => {
            json.raw("{\"carrier\":").string(carrier);
            json.raw(",\"tracking_number\":").string(number).raw("}")
        }
        None => json.raw("null"),
    };
    json.raw(",\"timeline\":");
    match timeline {
        Some(timeline) => json.list(&timeline.events, event),
        None => json.raw("null"),
    };
    json.raw(",\"timeline_complete\":").bool(why.is_none());
    json.raw(",\"timeline_error\":").optional_string(why.as_deref()).raw("}");
}

fn event(json: &mut Writer, event: &TimelineEvent) {
    json.raw("{\"kind\":\"").raw(&event.kind);
    json.raw("\",\"time\":").time(event.time);
    json.raw(",\"sequence\":").number(event.sequence);
    json.raw(",\"actor\":\"").raw(&event.actor);
    json.raw("\",\"request_id\":").name(event.request.as_deref());
    json.raw(",\"version\":");
    match event.version {
        Some(version) => json.number(u64::from(version)),
        None => json.raw("null"),
    };
    json.raw(",\"payment_id\":").name(event.payment.as_deref());
    json.raw(",\"detail\":").optional_string(event.detail.as_deref()).raw("}");
}
