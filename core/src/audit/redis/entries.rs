//! The stream: the entries that the journal calls for, and those that are there.

use std::collections::VecDeque;

use crate::event::{Actor, Event, Line};
use crate::sink::RedisEntry;

use super::super::{AuditError, Record};
use super::{Audit, EVENTS};

/// The fields of an entry. Compared as a set: their order says nothing.
type Fields = Vec<(&'static str, String)>;

/// The stream, being compared.
#[derive(Default)]
pub(super) struct Entries {
    page: VecDeque<RedisEntry>,
    /// The id of the last entry that was read.
    after: String,
    /// From here on the stream has all entries, as it last said.
    whole_from: u64,
}

impl Entries {
    /// From the first entry that the journal may tell of.
    pub(super) fn from(first: u64) -> Self {
        Self { after: format!("{}-{}", first - 1, u64::MAX), ..Self::default() }
    }

    /// Compares the entry that is to have this sequence.
    pub(super) async fn expect(
        &mut self,
        audit: &mut Audit<'_>,
        sequence: u64,
        fields: &Fields,
    ) -> Result<(), AuditError> {
        loop {
            if self.page.is_empty() {
                self.fill(audit).await?;
            }
            let id = format!("{sequence}-0");
            match self.page.front() {
                Some((found, _)) if *found == id => {
                    let (_, found) = self.page.pop_front().expect("it was looked at");
                    audit.count(EVENTS, 1);
                    compare(audit, sequence, fields, &found);
                    return Ok(());
                }
                Some((found, _)) if before(found, sequence) => self.unexpected(audit),
                _ => {
                    // Perhaps it was trimmed since the stream was asked.
                    if sequence >= self.whole_from {
                        let (mark, ..) = audit.copy.entries(&self.after, 1).await?;
                        self.whole_from = mark.events_from;
                    }
                    if sequence >= self.whole_from {
                        audit.differs(EVENTS, id, "row", ("present", "missing"), sequence);
                    }
                    return Ok(());
                }
            }
        }
    }

    /// The journal says no more up to `through`.
    pub(super) async fn finish(
        &mut self,
        audit: &mut Audit<'_>,
        through: u64,
    ) -> Result<(), AuditError> {
        loop {
            if self.page.is_empty() {
                self.fill(audit).await?;
            }
            match self.page.front() {
                Some((found, _)) if before(found, through + 1) => self.unexpected(audit),
                _ => break,
            }
        }
        let (mark, _, last) = audit.copy.entries(&self.after, 1).await?;
        if let Some((id, _)) = last.filter(|(id, _)| !before(id, mark.sequence + 1)) {
            audit.differs(EVENTS, id, "row", ("missing", "present"), 0);
        }
        Ok(())
    }

    async fn fill(&mut self, audit: &Audit<'_>) -> Result<(), AuditError> {
        // As many as one transaction may hold of anything else.
        let limit = audit.config.limits.audit_rows_max.min(super::KEYS_AT_ONCE);
        let (mark, entries, _) = audit.copy.entries(&self.after, limit).await?;
        self.whole_from = mark.events_from;
        if let Some((id, _)) = entries.last() {
            self.after.clone_from(id);
        }
        self.page = entries.into();
        Ok(())
    }

    fn unexpected(&mut self, audit: &mut Audit<'_>) {
        let Some((id, _)) = self.page.pop_front() else { return };
        let sequence = number(&id).0;
        audit.differs(EVENTS, id, "row", ("missing", "present"), sequence);
    }
}

/// Whether an entry's id comes before that of a sequence.
fn before(id: &str, sequence: u64) -> bool {
    number(id) < (sequence, 0)
}

fn number(id: &str) -> (u64, u64) {
    let (first, second) = id.split_once('-').unwrap_or((id, "0"));
    (first.parse().unwrap_or(0), second.parse().unwrap_or(0))
}

fn compare(audit: &mut Audit<'_>, sequence: u64, fields: &Fields, found: &[(String, String)]) {
    let key = || format!("{sequence}-0");
    for (name, wanted) in fields {
        let value = found.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
        if value != Some(wanted) {
            let what = (wanted.as_str(), value.unwrap_or("nothing"));
            audit.differs(EVENTS, key(), name, what, sequence);
        }
    }
    let known = |name: &str| fields.iter().any(|(field, _)| *field == name);
    for (name, value) in found.iter().filter(|(name, _)| !known(name)) {
        let value = format!("{name} {value}");
        audit.differs(EVENTS, key(), "row", ("nothing", &value), sequence);
    }
}

/// The entry that a record calls for; `None` if it is about no order.
pub(super) fn entry(record: &Record<'_>) -> Option<Fields> {
    let order = record.event.order()?;
    let actor = match record.meta.actor {
        Actor::Buyer => "buyer",
        Actor::Operator => "operator",
        Actor::Provider => "provider",
        Actor::Engine => "engine",
    };
    let mut fields = told(record.event);
    fields.push(("order_id", order.to_string()));
    fields.push(("time", record.meta.time.micros().to_string()));
    fields.push(("actor", actor.to_owned()));
    Some(fields)
}

fn kind(kind: &str, version: u32, status: Option<&str>) -> Fields {
    let mut fields = vec![("kind", kind.to_owned()), ("version", version.to_string())];
    fields.extend(status.map(|status| ("status", status.to_owned())));
    fields
}

fn held(lines: &[Line]) -> Fields {
    let draws = lines.iter().flat_map(|line| &line.draws);
    let costs = draws.map(|draw| draw.unit_price.minor().saturating_mul(draw.quantity.units()));
    vec![("amount", costs.sum::<u64>().to_string()), ("items", items(lines))]
}

fn told(event: &Event<'_>) -> Fields {
    let (mut fields, more) = match event {
        Event::OrderPlaced(it) => {
            let mut more = held(&it.lines);
            more.push(("buyer", it.buyer_name.to_owned()));
            more.push(("currency", it.currency.as_str().to_owned()));
            more.push(("expires_at", it.expires_at.micros().to_string()));
            (kind("placed", 1, Some("reserved")), more)
        }
        Event::OrderQueued(it) => {
            let (sku, units) = (&it.sku, it.quantity);
            let item = format!("[{{\"sku\":\"{sku}\",\"quantity\":{},", units.get());
            let more = vec![
                ("items", item + "\"amount\":null,\"lots\":[]}]"),
                ("buyer", it.buyer_name.to_owned()),
                ("currency", it.currency.as_str().to_owned()),
            ];
            (kind("queued", 1, Some("waiting")), more)
        }
        Event::OrderPromoted(it) => {
            let mut more = held(std::slice::from_ref(&it.line));
            more.push(("expires_at", it.expires_at.micros().to_string()));
            (kind("promoted", it.version, Some("reserved")), more)
        }
        Event::StandbyLeft(it) => {
            let reason = it.reason.detail().map(|reason| ("reason", reason.to_owned()));
            (kind("cancelled", it.version, Some("cancelled")), reason.into_iter().collect())
        }
        Event::OrderCancelled(it) => (kind("cancelled", it.version, Some("cancelled")), Vec::new()),
        Event::OrderExpired(it) => (kind("expired", it.version, Some("expired")), Vec::new()),
        Event::OrderShipped(it) => {
            let more = [("carrier", it.carrier), ("tracking_number", it.tracking_number)];
            let more = more.map(|(name, value)| (name, value.to_owned()));
            (kind("shipped", it.version, Some("shipped")), more.into())
        }
        Event::OrderDelivered(it) => (kind("delivered", it.version, Some("delivered")), Vec::new()),
        Event::OrderRetired(_) => (vec![("kind", "retired".to_owned())], Vec::new()),
        event => told_of_payment(event),
    };
    fields.extend(more);
    fields
}

fn told_of_payment(event: &Event<'_>) -> (Fields, Fields) {
    match event {
        Event::PaymentStarted(it) => {
            let more = vec![
                ("payment_id", it.payment.to_string()),
                ("amount", it.amount.minor().to_string()),
                ("currency", it.currency.as_str().to_owned()),
                ("expires_at", it.expires_at.micros().to_string()),
            ];
            (kind("payment_started", it.version, Some("reserved")), more)
        }
        Event::PaymentFailed(it) => {
            let more = vec![("payment_id", it.payment.to_string())];
            (kind("payment_failed", it.version, None), more)
        }
        Event::OrderPaid(it) => {
            let word = if it.late { "paid_late" } else { "paid" };
            let mut more = held(&it.lines);
            more.push(("payment_id", it.payment.to_string()));
            (kind(word, it.version, Some("paid")), more)
        }
        Event::RefundRequested(it) => {
            let more = vec![
                ("payment_id", it.payment.to_string()),
                ("amount", it.amount.minor().to_string()),
                ("currency", it.currency.as_str().to_owned()),
                ("reason", it.reason.as_str().to_owned()),
            ];
            (kind("refund_requested", it.version, Some(it.status.as_str())), more)
        }
        Event::RefundSucceeded(it) => {
            let more = vec![("payment_id", it.payment.to_string())];
            (kind("refund_succeeded", it.version, Some(it.status.as_str())), more)
        }
        Event::RefundFailed(it) => {
            let more = vec![("payment_id", it.payment.to_string())];
            (kind("refund_failed", it.version, Some(it.status.as_str())), more)
        }
        _ => (Vec::new(), Vec::new()),
    }
}

/// Items as the contract spells them.
pub(super) fn items(lines: &[Line]) -> String {
    let items = lines.iter().map(|line| {
        let draws = line.draws.iter();
        let lots = draws.clone().map(|draw| {
            let (lot, price) = (&draw.lot, draw.unit_price.minor());
            let quantity = draw.quantity.get();
            format!("{{\"lot\":\"{lot}\",\"quantity\":{quantity},\"unit_price\":{price}}}")
        });
        let lots: Vec<String> = lots.collect();
        let mut prices: Vec<u64> = draws.clone().map(|draw| draw.unit_price.minor()).collect();
        prices.dedup();
        let price = match prices[..] {
            [price] => format!("\"unit_price\":{price},"),
            _ => String::new(),
        };
        let costs = draws.map(|draw| draw.unit_price.minor().saturating_mul(draw.quantity.units()));
        let amount = if lots.is_empty() { "null".into() } else { costs.sum::<u64>().to_string() };
        let (sku, quantity, lots) = (&line.sku, line.quantity.get(), lots.join(","));
        format!(
            "{{\"sku\":\"{sku}\",\"quantity\":{quantity},{price}\"amount\":{amount},\
             \"lots\":[{lots}]}}"
        )
    });
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}
