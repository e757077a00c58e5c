//! Records of the journal, as they are printed.

use sluice_core::event::{
    Actor, Event, Line, Meta, NoticeUnmatched, OrderEnded, OrderPaid, OrderPlaced, OrderPromoted,
    OrderQueued, OrderShipped, PaymentStarted, RefundEnded, RefundRequested, Returned, SaleDefined,
    SaleMove, SaleMoved, SkuDefined,
};
use sluice_core::id::{OrderId, PaymentId};
use sluice_core::money::{Amount, Currency};

use super::write::Writer;

/// Writes one record.
pub(crate) fn record(json: &mut Writer, sequence: u64, meta: &Meta, event: &Event<'_>) {
    json.raw("{\"sequence\":").number(sequence);
    json.raw(",\"time\":").time(meta.time);
    json.raw(",\"actor\":\"").raw(actor(meta.actor));
    json.raw("\",\"request_id\":\"").id(meta.request.ascii()).raw("\",\"kind\":\"");
    match event {
        Event::Genesis(_)
        | Event::FormatRaised(_)
        | Event::SkuDefined(_)
        | Event::LotReceived(_)
        | Event::UnitsWithdrawn(_)
        | Event::SaleDefined(_)
        | Event::SaleMoved(_)
        | Event::RecordSkipped(_) => of_operators(json, event),
        Event::OrderPlaced(placed) => order_placed(json, placed),
        Event::OrderCancelled(ended) => order_ended(json, "order_cancelled", ended),
        Event::OrderExpired(ended) => order_ended(json, "order_expired", ended),
        Event::OrderRetired(retired) => {
            json.raw("order_retired\"");
            order_id(json, retired.order);
        }
        Event::OrderQueued(queued) => order_queued(json, queued),
        Event::OrderPromoted(promoted) => order_promoted(json, promoted),
        Event::StandbyLeft(left) => {
            about(json, "standby_left", left.order, left.version);
            json.raw(",\"sku\":\"").raw(left.sku.as_str());
            json.raw("\",\"ticket\":").number(left.ticket);
            if let Some(why) = left.reason.detail() {
                json.raw(",\"detail\":").string(why);
            }
        }
        Event::PaymentStarted(started) => payment_started(json, started),
        Event::PaymentFailed(failed) => {
            about(json, "payment_failed", failed.order, failed.version);
            payment_id(json, failed.payment);
        }
        Event::OrderPaid(paid) => order_paid(json, paid),
        Event::RefundRequested(requested) => refund_requested(json, requested),
        Event::RefundSucceeded(ended) => refund_ended(json, "refund_succeeded", ended),
        Event::RefundFailed(ended) => refund_ended(json, "refund_failed", ended),
        Event::NoticeUnmatched(notice) => notice_unmatched(json, notice),
        Event::OrderShipped(shipped) => order_shipped(json, shipped),
        Event::OrderDelivered(delivered) => {
            about(json, "order_delivered", delivered.order, delivered.version);
        }
    }
    json.raw("}");
}

/// The word for who caused an event.
const fn actor(actor: Actor) -> &'static str {
    match actor {
        Actor::Buyer => "buyer",
        Actor::Operator => "operator",
        Actor::Provider => "provider",
        Actor::Engine => "engine",
    }
}

/// What is about no order, but about what operators set up.
fn of_operators(json: &mut Writer, event: &Event<'_>) {
    match event {
        Event::Genesis(genesis) => {
            // The hash key stays where it is: it tells buyers' digests.
            json.raw("genesis\",\"cell\":").number(u64::from(genesis.cell));
            json.raw(",\"format\":").number(u64::from(genesis.format));
        }
        Event::FormatRaised(raised) => {
            json.raw("format_raised\",\"format\":").number(u64::from(raised.format));
            json.raw(",\"program\":").string(raised.program);
        }
        Event::SkuDefined(defined) => sku_defined(json, defined),
        Event::LotReceived(received) => {
            json.raw("lot_received\",\"sku\":\"").raw(received.sku.as_str());
            json.raw("\",\"lot\":\"").raw(received.lot.as_str());
            json.raw("\",\"quantity\":").number(received.quantity.units());
            if let Some(price) = received.unit_price {
                json.raw(",\"unit_price\":").number(price.minor());
            }
        }
        Event::UnitsWithdrawn(withdrawn) => {
            json.raw("units_withdrawn\",\"sku\":\"").raw(withdrawn.sku.as_str());
            json.raw("\",\"withdrawal\":\"").raw(withdrawn.withdrawal.as_str());
            json.raw("\",\"quantity\":").number(withdrawn.quantity.units());
            json.raw(",\"reason\":").string(withdrawn.reason);
        }
        Event::SaleDefined(defined) => sale_defined(json, defined),
        Event::SaleMoved(moved) => sale_moved(json, moved),
        Event::RecordSkipped(skipped) => {
            json.raw("record_skipped\",\"sink\":\"").raw(skipped.sink.as_str());
            json.raw("\",\"skipped_sequence\":").number(skipped.sequence);
            json.raw(",\"why\":").string(skipped.why);
        }
        _ => unreachable!("all others are about an order or a payment"),
    }
}

fn sku_defined(json: &mut Writer, defined: &SkuDefined<'_>) {
    json.raw("sku_defined\",\"sku\":\"").raw(defined.sku.as_str());
    json.raw("\",\"revision\":").number(u64::from(defined.revision));
    json.raw(",\"name\":").string(defined.title);
    json.raw(",\"unit_price\":").number(defined.unit_price.minor());
    json.raw(",\"currency\":\"").raw(defined.currency.as_str());
    json.raw("\",\"per_buyer_limit\":").number(u64::from(defined.per_buyer_limit));
    json.raw(",\"hold_seconds\":").number(u64::from(defined.hold_seconds));
    json.raw(",\"standby_pass\":").bool(defined.standby_pass);
}

fn sale_defined(json: &mut Writer, defined: &SaleDefined<'_>) {
    json.raw("sale_defined\",\"sale\":\"").raw(defined.sale.as_str());
    json.raw("\",\"revision\":").number(u64::from(defined.revision));
    json.raw(",\"name\":").string(defined.title);
    json.raw(",\"starts_at\":").time(defined.starts_at);
    json.raw(",\"ends_at\":").time(defined.ends_at);
    json.raw(",\"per_buyer_limit\":").number(u64::from(defined.per_buyer_limit));
    json.raw(",\"skus\":").list(&defined.skus, |json, sku| {
        json.string(sku.as_str());
    });
}

fn sale_moved(json: &mut Writer, moved: &SaleMoved) {
    json.raw(match moved.to {
        SaleMove::Paused => "sale_paused",
        SaleMove::Resumed => "sale_resumed",
        SaleMove::Ended => "sale_ended",
    });
    json.raw("\",\"sale\":\"").raw(moved.sale.as_str());
    json.raw("\",\"revision\":").number(u64::from(moved.revision));
}

/// Begins an event that changes an order.
fn about(json: &mut Writer, kind: &str, order: OrderId, version: u32) {
    json.raw(kind).raw("\"");
    order_id(json, order);
    json.raw(",\"version\":").number(u64::from(version));
}

fn order_id(json: &mut Writer, order: OrderId) {
    json.raw(",\"order_id\":\"").id(order.ascii()).raw("\"");
}

fn payment_id(json: &mut Writer, payment: PaymentId) {
    json.raw(",\"payment_id\":\"").id(payment.ascii()).raw("\"");
}

fn money(json: &mut Writer, amount: Amount, currency: Currency) {
    json.raw(",\"amount\":").number(amount.minor());
    json.raw(",\"currency\":\"").raw(currency.as_str()).raw("\"");
}

fn order_placed(json: &mut Writer, placed: &OrderPlaced<'_>) {
    about(json, "order_placed", placed.order, 1);
    json.raw(",\"buyer\":").string(placed.buyer_name);
    if let Some((_, key)) = &placed.key {
        json.raw(",\"idempotency_key\":").string(key);
    }
    json.raw(",\"currency\":\"").raw(placed.currency.as_str());
    json.raw("\",\"expires_at\":").time(placed.expires_at);
    lines(json, &placed.lines);
}

fn order_ended(json: &mut Writer, kind: &str, ended: &OrderEnded) {
    about(json, kind, ended.order, ended.version);
    lines(json, &ended.lines);
}

fn order_queued(json: &mut Writer, queued: &OrderQueued<'_>) {
    about(json, "order_queued", queued.order, 1);
    json.raw(",\"buyer\":").string(queued.buyer_name);
    if let Some((_, key)) = &queued.key {
        json.raw(",\"idempotency_key\":").string(key);
    }
    json.raw(",\"currency\":\"").raw(queued.currency.as_str());
    json.raw("\",\"sku\":\"").raw(queued.sku.as_str());
    json.raw("\",\"quantity\":").number(queued.quantity.units());
    json.raw(",\"ticket\":").number(queued.ticket);
    if let Some(sale) = &queued.sale {
        json.raw(",\"sale\":\"").raw(sale.as_str()).raw("\"");
    }
    if let Some(most) = queued.max_amount {
        json.raw(",\"max_amount\":").number(most.minor());
    }
}

fn order_promoted(json: &mut Writer, promoted: &OrderPromoted) {
    about(json, "order_promoted", promoted.order, promoted.version);
    json.raw(",\"ticket\":").number(promoted.ticket);
    json.raw(",\"expires_at\":").time(promoted.expires_at);
    lines(json, std::slice::from_ref(&promoted.line));
}

fn payment_started(json: &mut Writer, started: &PaymentStarted) {
    about(json, "payment_started", started.order, started.version);
    payment_id(json, started.payment);
    money(json, started.amount, started.currency);
    json.raw(",\"expires_at\":").time(started.expires_at);
}

fn order_paid(json: &mut Writer, paid: &OrderPaid) {
    about(json, "order_paid", paid.order, paid.version);
    payment_id(json, paid.payment);
    json.raw(",\"late\":").bool(paid.late);
    lines(json, &paid.lines);
}

fn refund_requested(json: &mut Writer, requested: &RefundRequested) {
    about(json, "refund_requested", requested.order, requested.version);
    payment_id(json, requested.payment);
    money(json, requested.amount, requested.currency);
    json.raw(",\"status\":\"").raw(requested.status.as_str());
    json.raw("\",\"reason\":\"").raw(requested.reason.as_str());
    json.raw("\",\"units\":\"").raw(match requested.returned {
        Returned::Nothing => "none",
        Returned::ToStock => "returned",
        Returned::Withdrawn => "withdrawn",
    });
    json.raw("\"");
    lines(json, &requested.lines);
}

fn refund_ended(json: &mut Writer, kind: &str, ended: &RefundEnded) {
    about(json, kind, ended.order, ended.version);
    payment_id(json, ended.payment);
    json.raw(",\"status\":\"").raw(ended.status.as_str()).raw("\"");
}

fn notice_unmatched(json: &mut Writer, notice: &NoticeUnmatched<'_>) {
    json.raw("notice_unmatched\",\"type\":\"").raw(notice.kind.as_str());
    json.raw("\",\"payment_id\":").string(notice.payment);
    json.raw(",\"order_id\":").string(notice.order);
    json.raw(",\"amount\":").number(notice.amount.minor());
    json.raw(",\"currency\":").string(notice.currency);
}

fn order_shipped(json: &mut Writer, shipped: &OrderShipped<'_>) {
    about(json, "order_shipped", shipped.order, shipped.version);
    json.raw(",\"carrier\":").string(shipped.carrier);
    json.raw(",\"tracking_number\":").string(shipped.tracking_number);
}

fn lines(json: &mut Writer, lines: &[Line]) {
    json.raw(",\"items\":").list(lines, |json, line| {
        json.raw("{\"sku\":\"").raw(line.sku.as_str());
        json.raw("\",\"quantity\":").number(line.quantity.units());
        json.raw(",\"lots\":").list(&line.draws, |json, draw| {
            json.raw("{\"lot\":\"").raw(draw.lot.as_str());
            json.raw("\",\"quantity\":").number(draw.quantity.units());
            json.raw(",\"unit_price\":").number(draw.unit_price.minor()).raw("}");
        });
        json.raw("}");
    });
}
