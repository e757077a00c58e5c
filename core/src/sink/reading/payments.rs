//! Payments, and what providers said that fits none.

use crate::id::{OrderId, PaymentId};
use crate::money::{Amount, Currency};
use crate::time::Timestamp;

use super::super::connection::Row;
use super::super::error::SinkError;
use super::super::table::Value;
use super::{Reading, at_most, optional, ranged, read, text, time};

/// A payment as the copy has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPayment {
    /// Its id.
    pub payment: PaymentId,
    /// The order it is for.
    pub order: OrderId,
    /// What is to be paid.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
    /// Its state: see [`crate::outcome::PaymentStatus`].
    pub status: Box<str>,
    /// Why it is or was given back: see [`crate::event::RefundReason`].
    pub refund_reason: Option<Box<str>>,
    /// Whether the provider could not give it back; it is still to be.
    pub refund_failed: bool,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When something was heard of it last.
    pub updated_at: Timestamp,
}

/// What a provider said and fits no payment, as the copy has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredNotice {
    /// Its record.
    pub sequence: u64,
    /// What it said: see [`crate::event::NoticeKind`].
    pub kind: Box<str>,
    /// Of which payment, in its own words.
    pub payment: Box<str>,
    /// Of which order, in its own words.
    pub order: Box<str>,
    /// The amount it named.
    pub amount: Amount,
    /// The currency it named, in its own words.
    pub currency: Box<str>,
    /// When it came.
    pub received_at: Timestamp,
}

/// All that is asked of a payment.
const PAYMENTS: &str = "SELECT payment_id, order_id, amount, currency, status, refund_reason, \
     refund_failed, created_at, updated_at FROM payments WHERE cell = ?";

impl Reading {
    /// A payment, if the copy has it.
    ///
    /// # Errors
    /// What the database says; a row is not what this program writes.
    pub async fn payment(
        &mut self,
        cell: u16,
        payment: PaymentId,
    ) -> Result<Option<StoredPayment>, SinkError> {
        let values = vec![Value::number(cell), Value::text(&payment.to_string())];
        let rows = self.connection.query(&format!("{PAYMENTS} AND payment_id = ?"), values).await?;
        rows.first().map(stored_payment).transpose()
    }

    /// Payments that are to be given back, behind `after`, at most `limit`, in order of their ids.
    ///
    /// # Errors
    /// What the database says; a row is not what this program writes.
    pub async fn refunds(
        &mut self,
        cell: u16,
        after: Option<PaymentId>,
        limit: usize,
    ) -> Result<Vec<StoredPayment>, SinkError> {
        // The ids apart: only then does the database go by the index of these states.
        let query = format!(
            "{PAYMENTS} AND payment_id IN (SELECT r.payment_id FROM payments AS r \
             WHERE r.cell = ? AND r.status = 'refunding' AND r.payment_id > ? \
             ORDER BY r.payment_id LIMIT ?) ORDER BY payment_id"
        );
        // Every id is behind no text.
        let after = after.map_or(String::new(), |after| after.to_string());
        let cell = Value::number(cell);
        let values = vec![cell.clone(), cell, Value::text(&after), at_most(limit)];
        let rows = self.connection.query(&query, values).await?;
        rows.iter().map(stored_payment).collect()
    }

    /// What providers said and fits no payment, before the record `before`, at most `limit`, newest
    /// first.
    ///
    /// # Errors
    /// What the database says; a row is not what this program writes.
    pub async fn unmatched(
        &mut self,
        cell: u16,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StoredNotice>, SinkError> {
        let query = "SELECT sequence, kind, payment_id, order_id, amount, currency, received_at \
                     FROM unmatched_notices WHERE cell = ? AND sequence < ? \
                     ORDER BY cell DESC, sequence DESC LIMIT ?";
        let before = before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX);
        let values = vec![Value::number(cell), Value::Integer(before), at_most(limit)];
        let rows = self.connection.query(query, values).await?;
        rows.iter().map(stored_notice).collect()
    }

    /// The payments of an order, in order of their ids.
    pub(super) async fn payments_of(
        &mut self,
        cell: u16,
        order: OrderId,
    ) -> Result<Vec<StoredPayment>, SinkError> {
        let query = format!("{PAYMENTS} AND order_id = ? ORDER BY created_at, payment_id");
        let values = vec![Value::number(cell), Value::text(&order.to_string())];
        let rows = self.connection.query(&query, values).await?;
        rows.iter().map(stored_payment).collect()
    }
}

fn stored_payment(row: &Row) -> Result<StoredPayment, SinkError> {
    Ok(StoredPayment {
        payment: read(row, "payment_id", PaymentId::parse)?,
        order: read(row, "order_id", OrderId::parse)?,
        amount: ranged(row, "amount", Amount::new)?,
        currency: read(row, "currency", Currency::new)?,
        status: text(row, "status")?,
        refund_reason: optional(row, "refund_reason", text)?,
        refund_failed: row.number("refund_failed")? != 0,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

fn stored_notice(row: &Row) -> Result<StoredNotice, SinkError> {
    Ok(StoredNotice {
        sequence: ranged(row, "sequence", Some)?,
        kind: text(row, "kind")?,
        payment: text(row, "payment_id")?,
        order: text(row, "order_id")?,
        amount: ranged(row, "amount", Amount::new)?,
        currency: text(row, "currency")?,
        received_at: time(row, "received_at")?,
    })
}
