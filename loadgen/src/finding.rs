//! What the audit found wrong: kinds, counts and a few examples of each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A 201 whose order is not found again.
    LostOrder,
    /// An order that reads otherwise than its 201.
    ChangedOrder,
    /// A 201 whose order is not what was asked for.
    WrongOrder,
    /// A 201 or 200 whose body is no order.
    MalformedOrder,
    /// One key, two different orders.
    SecondOrder,
    /// Two keys, one order.
    SharedOrder,
    /// A key whose order exists and whose repeat was refused.
    KeyForgotten,
    /// A repeat answered with its order but not marked as a repeat (200 and `Idempotency-Replayed: true`).
    RepeatNotMarked,
    /// A key never sent before, answered as a repeat.
    FreshKeyReplayed,
    /// An order whose cancel was acknowledged and that is not cancelled.
    CancelUndone,
    /// A cancel refused although the order was, and stayed, reserved.
    CancelRefused,
    /// A cancelled order that nobody cancelled.
    CancelledUnasked,
    /// An order expired before its `expires_at`.
    ExpiredEarly,
    /// An order still reserved more than a second after its `expires_at`.
    HeldTooLong,
    /// Units of cancelled or expired orders that did not come back.
    UnitsNotReturned,
    /// A payment that could not be started although the order was held.
    PaymentRefused,
    /// A payment that is not one of its order: another order, amount, currency, or a second one.
    WrongPayment,
    /// A webhook, signed and true, that was not answered with 200.
    WebhookRefused,
    /// An order paid in time by a webhook that was answered with 200, and that is neither paid nor refunded by us.
    PaymentLost,
    /// An order paid late by such a webhook, and that is neither paid nor being refunded.
    LatePaymentLost,
    /// An order paid or refunded although nobody had paid.
    PaidUnasked,
    /// A refund of a paid order that was refused.
    RefundRefused,
    /// A refund that was told done, and is not.
    RefundUndone,
    /// Somebody got units while another, who had come before, still waited for them.
    StandbyOvertaken,
    /// A waiting order whose position grew.
    PositionGrew,
    /// A refused request that made an order.
    RefusedHadEffect,
    /// Units held that no reserved order holds, or the other way round.
    HeldMiscounted,
    /// Units sold that no paid order has, or the other way round.
    SoldMiscounted,
    /// More units acknowledged than there were.
    Oversold,
    /// A buyer with more units than the limit.
    BuyerOverLimit,
    /// `received` is not `available + held + sold + withdrawn`.
    Unbalanced,
    /// The server's own audit reports `oversold`.
    ServerReportsOversold,
    /// The server counts fewer units held and sold than it acknowledged.
    UnitsNotCounted,
    /// An outcome that stayed unknown.
    Unsettled,
    /// Something that could not be checked.
    Unchecked,
}

impl Kind {
    /// The kind in words.
    pub fn words(self) -> &'static str {
        match self {
            Kind::LostOrder => "acknowledged order not found",
            Kind::ChangedOrder => "order differs from its 201",
            Kind::WrongOrder => "order is not what was asked for",
            Kind::MalformedOrder => "answer is no order",
            Kind::SecondOrder => "two orders for one key",
            Kind::SharedOrder => "one order for two keys",
            Kind::KeyForgotten => "repeat of an accepted key refused",
            Kind::RepeatNotMarked => "repeat not marked as one",
            Kind::FreshKeyReplayed => "fresh key answered as a repeat",
            Kind::CancelUndone => "acknowledged cancel not in force",
            Kind::CancelRefused => "cancel of a reserved order refused",
            Kind::CancelledUnasked => "order cancelled by nobody",
            Kind::ExpiredEarly => "order expired before its time",
            Kind::HeldTooLong => "order held beyond its time",
            Kind::UnitsNotReturned => "units of ended orders did not come back",
            Kind::PaymentRefused => "payment of a held order refused",
            Kind::WrongPayment => "payment is not its order's",
            Kind::WebhookRefused => "signed webhook refused",
            Kind::PaymentLost => "paid in time, and not paid",
            Kind::LatePaymentLost => "paid late, neither confirmed nor refunded",
            Kind::PaidUnasked => "paid or refunded, and nobody had paid",
            Kind::RefundRefused => "refund of a paid order refused",
            Kind::RefundUndone => "acknowledged refund not in force",
            Kind::StandbyOvertaken => "served before somebody who waited longer",
            Kind::PositionGrew => "position in standby grew",
            Kind::RefusedHadEffect => "refused request made an order",
            Kind::HeldMiscounted => "units held are not those of reserved orders",
            Kind::SoldMiscounted => "units sold are not those of paid orders",
            Kind::Oversold => "more units acknowledged than there were",
            Kind::BuyerOverLimit => "buyer over the limit",
            Kind::Unbalanced => "stock counters do not add up",
            Kind::ServerReportsOversold => "the server's audit reports oversold",
            Kind::UnitsNotCounted => "acknowledged units missing from the stock counters",
            Kind::Unsettled => "outcome still unknown",
            Kind::Unchecked => "could not be checked",
        }
    }
}

/// All of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How many.
    pub count: u64,
    /// The first few.
    pub examples: Vec<String>,
}

/// All findings of a run.
#[derive(Clone, Debug)]
pub(crate) struct Findings {
    found: BTreeMap<Kind, Finding>,
    examples_max: usize,
}

impl Findings {
    /// None so far.
    pub(crate) fn new(examples_max: usize) -> Findings {
        Findings { found: BTreeMap::new(), examples_max }
    }

    /// Adds one; its example is only written while examples are kept.
    pub(crate) fn add(&mut self, kind: Kind, example: impl FnOnce() -> String) {
        let finding = self.found.entry(kind).or_default();
        finding.count += 1;
        if finding.examples.len() < self.examples_max {
            finding.examples.push(example());
        }
    }

    /// Adds `count` of which nothing more is known.
    pub(crate) fn add_many(&mut self, kind: Kind, count: u64, example: impl FnOnce() -> String) {
        if count > 0 {
            self.add(kind, example);
            self.found.entry(kind).or_default().count += count - 1;
        }
    }

    /// Hands them out.
    pub(crate) fn into_found(self) -> BTreeMap<Kind, Finding> {
        self.found
    }

    /// How many of one kind.
    #[cfg(test)]
    pub(crate) fn count(&self, kind: Kind) -> u64 {
        self.found.get(&kind).map_or(0, |finding| finding.count)
    }

    /// All kinds found.
    #[cfg(test)]
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        self.found.keys().copied().collect()
    }
}
