//! Events to bytes and back.
//!
//! Decoding trusts nothing: a record of an unknown kind or version, of a wrong length or with a
//! value out of its range is refused with the reason.

use zerocopy::FromBytes as _;

use super::layout::{self, Head};
use super::{Event, FormatRaised, Genesis, Meta, RecordSkipped};
use crate::id::{HashKey, RequestId};
use crate::name::{LotId, SkuId};
use crate::time::Timestamp;

mod fields;
mod lines;
mod orders;
mod payments;
mod sales;
mod skip;
mod standby;
mod stock;

use fields::{Reader, actor_number, actor_of, length, put};

/// Why a record could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A newer program wrote it.
    #[error("record kind {kind} version {version} is unknown to sluice {}", env!("CARGO_PKG_VERSION"))]
    Unknown {
        /// Its kind.
        kind: u16,
        /// The version of its layout.
        version: u8,
    },
    /// It ends too early or too late.
    #[error("record of {length} bytes does not have the length its fields say")]
    Length {
        /// Its length in bytes.
        length: usize,
    },
    /// A field is out of its range.
    #[error("record field {field} is out of its range")]
    Field {
        /// Which.
        field: &'static str,
    },
}

/// Appends the record of `event` to `out`.
pub fn encode(meta: &Meta, event: &Event<'_>, out: &mut Vec<u8>) {
    let (kind, version) = kind_of(event);
    put(
        out,
        &Head {
            kind: kind.into(),
            version,
            actor: actor_number(meta.actor),
            time: meta.time.micros().into(),
            request: meta.request.bits().into(),
        },
    );
    match event {
        Event::Genesis(genesis) => encode_genesis(genesis, out),
        Event::FormatRaised(raised) => encode_format_raised(raised, out),
        Event::SkuDefined(defined) => stock::encode_sku_defined(defined, out),
        Event::LotReceived(received) => stock::encode_lot_received(received, out),
        Event::UnitsWithdrawn(withdrawn) => stock::encode_units_withdrawn(withdrawn, out),
        Event::OrderPlaced(placed) => orders::encode_order_placed(placed, out),
        Event::OrderCancelled(ended) | Event::OrderExpired(ended) => {
            orders::encode_order_ended(ended, out);
        }
        Event::OrderRetired(retired) => orders::encode_order_retired(retired, out),
        Event::OrderQueued(queued) => standby::encode_order_queued(queued, out),
        Event::OrderPromoted(promoted) => standby::encode_order_promoted(promoted, out),
        Event::StandbyLeft(left) => standby::encode_standby_left(left, out),
        Event::PaymentStarted(started) => payments::encode_payment_started(started, out),
        Event::PaymentFailed(failed) => payments::encode_payment_failed(failed, out),
        Event::OrderPaid(paid) => payments::encode_order_paid(paid, out),
        Event::RefundRequested(requested) => payments::encode_refund_requested(requested, out),
        Event::RefundSucceeded(ended) | Event::RefundFailed(ended) => {
            payments::encode_refund_ended(ended, out);
        }
        Event::NoticeUnmatched(notice) => payments::encode_notice_unmatched(notice, out),
        Event::OrderShipped(shipped) => orders::encode_order_shipped(shipped, out),
        Event::OrderDelivered(delivered) => orders::encode_order_delivered(delivered, out),
        Event::SaleDefined(defined) => sales::encode_sale_defined(defined, out),
        Event::SaleMoved(moved) => sales::encode_sale_moved(moved, out),
        Event::RecordSkipped(skipped) => skip::encode_record_skipped(skipped, out),
    }
}

/// The number of an event's kind, and the version of the layout that this program writes.
const fn kind_of(event: &Event<'_>) -> (u16, u8) {
    match event {
        Event::Genesis(_) => (layout::GENESIS, 1),
        Event::FormatRaised(_) => (layout::FORMAT_RAISED, 1),
        Event::SkuDefined(_) => (layout::SKU_DEFINED, 1),
        Event::LotReceived(_) => (layout::LOT_RECEIVED, 1),
        Event::UnitsWithdrawn(_) => (layout::UNITS_WITHDRAWN, 1),
        Event::OrderPlaced(_) => (layout::ORDER_PLACED, 2),
        Event::OrderCancelled(_) => (layout::ORDER_CANCELLED, 2),
        Event::OrderExpired(_) => (layout::ORDER_EXPIRED, 2),
        Event::OrderRetired(_) => (layout::ORDER_RETIRED, 1),
        Event::OrderQueued(_) => (layout::ORDER_QUEUED, 1),
        Event::OrderPromoted(_) => (layout::ORDER_PROMOTED, 1),
        Event::StandbyLeft(_) => (layout::STANDBY_LEFT, 1),
        Event::PaymentStarted(_) => (layout::PAYMENT_STARTED, 1),
        Event::PaymentFailed(_) => (layout::PAYMENT_FAILED, 1),
        Event::OrderPaid(_) => (layout::ORDER_PAID, 1),
        Event::RefundRequested(_) => (layout::REFUND_REQUESTED, 1),
        Event::RefundSucceeded(_) => (layout::REFUND_SUCCEEDED, 1),
        Event::RefundFailed(_) => (layout::REFUND_FAILED, 1),
        Event::NoticeUnmatched(_) => (layout::NOTICE_UNMATCHED, 2),
        Event::OrderShipped(_) => (layout::ORDER_SHIPPED, 1),
        Event::OrderDelivered(_) => (layout::ORDER_DELIVERED, 1),
        Event::SaleDefined(_) => (layout::SALE_DEFINED, 1),
        Event::SaleMoved(_) => (layout::SALE_MOVED, 1),
        Event::RecordSkipped(_) => (layout::RECORD_SKIPPED, 1),
    }
}

/// The names that were read last. In a rush most records name the same SKU and lot again.
#[derive(Clone, Debug, Default)]
pub struct LastNames {
    sku: Option<SkuId>,
    lot: Option<LotId>,
}

/// Reads one record.
///
/// # Errors
/// [`RecordError`] says what is wrong with it.
pub fn decode(bytes: &[u8]) -> Result<(Meta, Event<'_>), RecordError> {
    decode_next(bytes, &mut LastNames::default())
}

/// Reads one of many records, to all of which the same `names` are given.
///
/// # Errors
/// [`RecordError`] says what is wrong with it.
pub fn decode_next<'a>(
    bytes: &'a [u8],
    names: &mut LastNames,
) -> Result<(Meta, Event<'a>), RecordError> {
    let mut reader = Reader::new(bytes, names);
    let head: Head = reader.fixed()?;
    let meta = Meta {
        time: Timestamp::from_micros(head.time.get()),
        actor: actor_of(head.actor)?,
        request: RequestId::from_bits(head.request.get()),
    };
    let event = decode_event(&mut reader, head.kind.get(), head.version)?;
    if reader.is_at_end() { Ok((meta, event)) } else { Err(reader.wrong_length()) }
}

/// What a record says that a sink is to pass over; `None` if it says anything else.
pub fn skipped(bytes: &[u8]) -> Option<RecordSkipped<'_>> {
    let (head, _) = Head::ref_from_prefix(bytes).ok()?;
    if head.kind.get() != layout::RECORD_SKIPPED {
        return None;
    }
    match decode(bytes) {
        Ok((_, Event::RecordSkipped(skipped))) => Some(skipped),
        _ => None,
    }
}

fn decode_event<'a>(
    reader: &mut Reader<'a, '_>,
    kind: u16,
    version: u8,
) -> Result<Event<'a>, RecordError> {
    Ok(match (kind, version) {
        (layout::GENESIS, 1) => Event::Genesis(decode_genesis(reader)?),
        (layout::FORMAT_RAISED, 1) => Event::FormatRaised(decode_format_raised(reader)?),
        (layout::SKU_DEFINED, 1) => Event::SkuDefined(stock::decode_sku_defined(reader)?),
        (layout::LOT_RECEIVED, 1) => Event::LotReceived(stock::decode_lot_received(reader)?),
        (layout::UNITS_WITHDRAWN, 1) => {
            Event::UnitsWithdrawn(stock::decode_units_withdrawn(reader)?)
        }
        (layout::ORDER_PLACED, 1 | 2) => {
            Event::OrderPlaced(orders::decode_order_placed(reader, version)?)
        }
        (layout::ORDER_CANCELLED, 1 | 2) => {
            Event::OrderCancelled(orders::decode_order_ended(reader, version)?)
        }
        (layout::ORDER_EXPIRED, 1 | 2) => {
            Event::OrderExpired(orders::decode_order_ended(reader, version)?)
        }
        (layout::ORDER_RETIRED, 1) => Event::OrderRetired(orders::decode_order_retired(reader)?),
        (layout::ORDER_QUEUED, 1) => Event::OrderQueued(standby::decode_order_queued(reader)?),
        (layout::ORDER_PROMOTED, 1) => {
            Event::OrderPromoted(standby::decode_order_promoted(reader)?)
        }
        (layout::STANDBY_LEFT, 1) => Event::StandbyLeft(standby::decode_standby_left(reader)?),
        (layout::PAYMENT_STARTED, 1) => {
            Event::PaymentStarted(payments::decode_payment_started(reader)?)
        }
        (layout::PAYMENT_FAILED, 1) => {
            Event::PaymentFailed(payments::decode_payment_failed(reader)?)
        }
        (layout::ORDER_PAID, 1) => Event::OrderPaid(payments::decode_order_paid(reader)?),
        (layout::REFUND_REQUESTED, 1) => {
            Event::RefundRequested(payments::decode_refund_requested(reader)?)
        }
        (layout::REFUND_SUCCEEDED, 1) => {
            Event::RefundSucceeded(payments::decode_refund_ended(reader)?)
        }
        (layout::REFUND_FAILED, 1) => Event::RefundFailed(payments::decode_refund_ended(reader)?),
        (layout::NOTICE_UNMATCHED, 1) => {
            Event::NoticeUnmatched(payments::decode_notice_unmatched_v1(reader)?)
        }
        (layout::NOTICE_UNMATCHED, 2) => {
            Event::NoticeUnmatched(payments::decode_notice_unmatched(reader)?)
        }
        (layout::ORDER_SHIPPED, 1) => Event::OrderShipped(orders::decode_order_shipped(reader)?),
        (layout::ORDER_DELIVERED, 1) => {
            Event::OrderDelivered(orders::decode_order_delivered(reader)?)
        }
        (layout::SALE_DEFINED, 1) => Event::SaleDefined(sales::decode_sale_defined(reader)?),
        (layout::SALE_MOVED, 1) => Event::SaleMoved(sales::decode_sale_moved(reader)?),
        (layout::RECORD_SKIPPED, 1) => Event::RecordSkipped(skip::decode_record_skipped(reader)?),
        _ => return Err(RecordError::Unknown { kind, version }),
    })
}

fn encode_genesis(genesis: &Genesis, out: &mut Vec<u8>) {
    put(
        out,
        &layout::GenesisV1 {
            cell: genesis.cell.into(),
            hash_key: genesis.hash_key.bytes(),
            format: genesis.format.into(),
        },
    );
}

fn decode_genesis(reader: &mut Reader<'_, '_>) -> Result<Genesis, RecordError> {
    let fixed: layout::GenesisV1 = reader.fixed()?;
    Ok(Genesis {
        cell: fixed.cell.get(),
        hash_key: HashKey::new(fixed.hash_key),
        format: fixed.format.get(),
    })
}

fn encode_format_raised(raised: &FormatRaised<'_>, out: &mut Vec<u8>) {
    let program_length = length(raised.program.as_bytes());
    put(out, &layout::FormatRaisedV1 { format: raised.format.into(), program_length });
    out.extend_from_slice(raised.program.as_bytes());
}

fn decode_format_raised<'a>(reader: &mut Reader<'a, '_>) -> Result<FormatRaised<'a>, RecordError> {
    let fixed: layout::FormatRaisedV1 = reader.fixed()?;
    let program = reader.text(fixed.program_length, "program")?;
    Ok(FormatRaised { format: fixed.format.get(), program })
}

#[cfg(test)]
mod tests;
