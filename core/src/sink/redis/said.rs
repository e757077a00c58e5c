//! What an event says of an order: the fields of its entry in the stream, and those of the order's
//! hash that it changes.

use crate::event::{Event, Line, Meta, OrderStatus, total};
use crate::id::PaymentId;
use crate::outcome::PaymentStatus;

use super::super::batch::actor;
use super::super::store::Unstorable;
use super::super::told::kind;
use super::items::items;

/// Fields, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<(&'static str, String)>);

impl Fields {
    /// Sets one, in place of what it was.
    pub(super) fn set(&mut self, name: &'static str, value: &impl ToString) {
        let value = value.to_string();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    /// Sets all of `others`.
    pub(super) fn set_all(&mut self, others: Self) {
        for (name, value) in others.0 {
            self.set(name, &value);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(&'static str, String)> {
        self.0.iter()
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }
}

/// What an event says of an order.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The entry in the stream.
    pub(super) entry: Fields,
    /// What the order's hash says from now on.
    pub(super) hash: Fields,
    /// Whether the hash begins with it.
    pub(super) is_new: bool,
    /// Whether the hash ends with it.
    pub(super) is_last: bool,
}

impl Said {
    /// For both.
    fn both(&mut self, name: &'static str, value: &impl ToString) {
        let value = value.to_string();
        self.entry.set(name, &value);
        self.hash.set(name, &value);
    }

    fn version(&mut self, version: u32) {
        self.both("version", &version);
    }

    fn status(&mut self, status: OrderStatus) {
        self.both("status", &status.as_str());
    }

    /// What the order holds.
    fn holds(&mut self, lines: &[Line]) -> Result<(), Unstorable> {
        self.both("amount", &amount_of(lines)?);
        self.both("items", &items(lines));
        Ok(())
    }

    fn payment(&mut self, payment: PaymentId, status: PaymentStatus) {
        self.both("payment_id", &payment);
        self.hash.set("payment_status", &status.as_str());
    }
}

/// What an event says of an order; `None` if it is about none.
///
/// # Errors
/// The order's amount is beyond what an amount can be.
pub(super) fn said(
    sequence: u64,
    meta: &Meta,
    event: &Event<'_>,
) -> Result<Option<Said>, Unstorable> {
    let (Some(kind), Some(order)) = (kind(event), event.order()) else { return Ok(None) };
    let mut said = Said::default();
    said.entry.set("kind", &kind);
    said.entry.set("order_id", &order);
    said.entry.set("time", &meta.time.micros());
    said.entry.set("actor", &actor(meta.actor));
    match event {
        Event::OrderPlaced(_) | Event::OrderQueued(_) | Event::OrderPromoted(_) => {
            gets_units(&mut said, meta, event)?;
        }
        Event::StandbyLeft(left) => {
            said.version(left.version);
            said.status(OrderStatus::Cancelled);
            if let Some(reason) = left.reason.detail() {
                said.entry.set("reason", &reason);
            }
        }
        Event::OrderCancelled(ended) => {
            said.version(ended.version);
            said.status(OrderStatus::Cancelled);
        }
        Event::OrderExpired(ended) => {
            said.version(ended.version);
            said.status(OrderStatus::Expired);
        }
        Event::OrderShipped(shipped) => {
            said.version(shipped.version);
            said.status(OrderStatus::Shipped);
            said.both("carrier", &shipped.carrier);
            said.both("tracking_number", &shipped.tracking_number);
        }
        Event::OrderDelivered(delivered) => {
            said.version(delivered.version);
            said.status(OrderStatus::Delivered);
        }
        Event::OrderRetired(_) => said.is_last = true,
        event => pays(&mut said, event)?,
    }
    said.hash.set("updated_at", &meta.time.micros());
    said.hash.set("sequence", &sequence);
    Ok(Some(said))
}

/// An order that is made, or gets what it waited for.
fn gets_units(said: &mut Said, meta: &Meta, event: &Event<'_>) -> Result<(), Unstorable> {
    match event {
        Event::OrderPlaced(placed) => {
            said.is_new = true;
            said.both("buyer", &placed.buyer_name);
            said.version(1);
            said.status(OrderStatus::Reserved);
            said.holds(&placed.lines)?;
            said.both("currency", &placed.currency.as_str());
            said.hash.set("created_at", &meta.time.micros());
            said.both("expires_at", &placed.expires_at.micros());
        }
        Event::OrderQueued(queued) => {
            let line = Line {
                sku: queued.sku.clone(),
                quantity: queued.quantity,
                sale: queued.sale.clone(),
                draws: Default::default(),
            };
            said.is_new = true;
            said.both("buyer", &queued.buyer_name);
            said.version(1);
            said.status(OrderStatus::Waiting);
            said.both("items", &items(&[line]));
            said.both("currency", &queued.currency.as_str());
            said.hash.set("created_at", &meta.time.micros());
        }
        Event::OrderPromoted(promoted) => {
            said.version(promoted.version);
            said.status(OrderStatus::Reserved);
            said.holds(std::slice::from_ref(&promoted.line))?;
            said.both("expires_at", &promoted.expires_at.micros());
        }
        _ => {}
    }
    Ok(())
}

/// An event about money.
fn pays(said: &mut Said, event: &Event<'_>) -> Result<(), Unstorable> {
    match event {
        Event::PaymentStarted(started) => {
            said.version(started.version);
            said.status(OrderStatus::Reserved);
            said.payment(started.payment, PaymentStatus::Open);
            said.entry.set("amount", &started.amount.minor());
            said.entry.set("currency", &started.currency.as_str());
            said.both("expires_at", &started.expires_at.micros());
        }
        Event::PaymentFailed(failed) => {
            said.version(failed.version);
            said.payment(failed.payment, PaymentStatus::Failed);
        }
        Event::OrderPaid(paid) => {
            said.version(paid.version);
            said.status(OrderStatus::Paid);
            said.payment(paid.payment, PaymentStatus::Succeeded);
            if paid.late {
                // They were drawn anew, perhaps at other prices.
                said.holds(&paid.lines)?;
            } else {
                said.entry.set("amount", &amount_of(&paid.lines)?);
                said.entry.set("items", &items(&paid.lines));
            }
        }
        Event::RefundRequested(requested) => {
            said.version(requested.version);
            said.status(requested.status);
            said.payment(requested.payment, PaymentStatus::Refunding);
            said.entry.set("amount", &requested.amount.minor());
            said.entry.set("currency", &requested.currency.as_str());
            said.entry.set("reason", &requested.reason.as_str());
        }
        Event::RefundSucceeded(ended) => {
            said.version(ended.version);
            said.status(ended.status);
            said.payment(ended.payment, PaymentStatus::Refunded);
        }
        Event::RefundFailed(ended) => {
            said.version(ended.version);
            said.status(ended.status);
            said.payment(ended.payment, PaymentStatus::Refunding);
        }
        _ => {}
    }
    Ok(())
}

fn amount_of(lines: &[Line]) -> Result<u64, Unstorable> {
    let what = "the amount of its order is beyond what an amount can be";
    let amount = total(lines).ok_or_else(|| Unstorable { what: what.to_owned() })?;
    Ok(amount.minor())
}
