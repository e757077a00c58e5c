//! Money: payments, refunds, and what providers say that fits neither.

use crate::id::{OrderId, PaymentId};
use crate::money::{Amount, Currency};
use crate::time::Timestamp;

use super::{Lines, OrderStatus};

/// A payment that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentStarted {
    /// The payment.
    pub payment: PaymentId,
    /// The order it is for.
    pub order: OrderId,
    /// The order's version after this event.
    pub version: u32,
    /// What is to be paid.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
    /// When the hold ends from here on.
    pub expires_at: Timestamp,
}

/// A payment that failed, as its provider says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentFailed {
    /// The payment.
    pub payment: PaymentId,
    /// The order it is for.
    pub order: OrderId,
    /// The order's version after this event.
    pub version: u32,
}

/// An order that is paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderPaid {
    /// The payment.
    pub payment: PaymentId,
    /// The order.
    pub order: OrderId,
    /// The order's version after this event.
    pub version: u32,
    /// Whether its hold had ended, so that its units were taken again from what was available.
    pub late: bool,
    /// What it has bought.
    pub lines: Lines,
}

/// A payment that is to be given back. Keyed by the payment: each is asked for at most once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundRequested {
    /// The payment.
    pub payment: PaymentId,
    /// The order it was for.
    pub order: OrderId,
    /// The order's version after this event.
    pub version: u32,
    /// The order's state after this event.
    pub status: OrderStatus,
    /// What is to be given back.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
    /// Why.
    pub reason: RefundReason,
    /// What becomes of the units that were sold.
    pub returned: Returned,
    /// The units that were sold and are no more.
    pub lines: Lines,
}

/// Why a payment is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RefundReason {
    /// An operator asked for it.
    Operator = 1,
    /// It came after the hold had ended, and the units are gone.
    Late = 2,
    /// The order is paid already, or given back.
    Second = 3,
}

impl RefundReason {
    /// All reasons, as they are written down.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Operator, "operator"), (Self::Late, "late"), (Self::Second, "second")];

    /// The reason with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.iter().map(|(reason, _)| *reason).find(|reason| *reason as u8 == number)
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize - 1].1
    }
}

/// What becomes of sold units whose payment is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Returned {
    /// Nothing: none were sold.
    Nothing = 0,
    /// They are available again.
    ToStock = 1,
    /// They are withdrawn: they do not come back.
    Withdrawn = 2,
}

impl Returned {
    /// With this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Nothing),
            1 => Some(Self::ToStock),
            2 => Some(Self::Withdrawn),
            _ => None,
        }
    }
}

/// What became of a refund that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefundEnded {
    /// The payment.
    pub payment: PaymentId,
    /// The order it was for.
    pub order: OrderId,
    /// The order's version after this event.
    pub version: u32,
    /// The order's state after this event.
    pub status: OrderStatus,
}

/// What a provider can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NoticeKind {
    /// The buyer paid.
    PaymentSucceeded = 1,
    /// The buyer did not pay.
    PaymentFailed = 2,
    /// The payment was given back.
    RefundSucceeded = 3,
    /// The payment could not be given back.
    RefundFailed = 4,
}

impl NoticeKind {
    /// All of them, as the contract spells them.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::PaymentSucceeded, "payment.succeeded"),
        (Self::PaymentFailed, "payment.failed"),
        (Self::RefundSucceeded, "refund.succeeded"),
        (Self::RefundFailed, "refund.failed"),
    ];

    /// The one with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.iter().map(|(kind, _)| *kind).find(|kind| *kind as u8 == number)
    }

    /// The contract's word for it.
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize - 1].1
    }

    /// The one that the contract spells so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, word)| *word == text).map(|(kind, _)| *kind)
    }
}

/// A provider's notice that fits no payment: it is for people to look into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoticeUnmatched<'a> {
    /// What it said.
    pub kind: NoticeKind,
    /// Of which payment, in its own words.
    pub payment: &'a str,
    /// Of which order, in its own words.
    pub order: &'a str,
    /// The amount it named.
    pub amount: Amount,
    /// The currency it named, in its own words, whatever that is.
    pub currency: &'a str,
}
