//! An attempt to get units: what the home of an order keeps while it gathers them.

use std::collections::VecDeque;

use smallvec::SmallVec;

use crate::command::{Envelope, Place as PlaceCommand, PlaceLine, ReplyTo};
use crate::event::{Line, Lines};
use crate::id::{BuyerDigest, OrderId, PaymentId, RequestId};
use crate::money::Currency;
use crate::name::SaleId;

use super::protocol::{Ask, Denial, Grant, Granted, HoldRequest, Message, Place};

/// An attempt whose units are being gathered, line by line.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) aim: Aim,
    reply: Option<ReplyTo>,
    /// The buyer's number in the slot, if they have one: they get it with their first order, and
    /// have at most one in flight.
    pub(super) buyer: Option<u32>,
    /// Lines that hold their units, provisionally.
    pub(super) held: Lines,
    /// Units that its lines so far count for, by sale.
    pub(super) counted: SmallVec<[(SaleId, u64); 1]>,
    /// The place in the queue, if that is what it got.
    pub(super) place: Option<Box<Place>>,
    /// The line that is asked for.
    line: usize,
    /// The line that is refused, and why; the lines behind it are looked at all the same.
    pub(super) refused: Option<(usize, Denial)>,
    pub(super) currency: Option<Currency>,
    pub(super) hold_seconds: u32,
}

/// What is to come of an attempt.
#[derive(Debug)]
pub(super) enum Aim {
    /// A new order.
    Order(Box<PlaceCommand>),
    /// The end of an order that was paid after its hold had ended.
    LatePayment(Box<LatePayment>),
}

/// A payment that came late.
#[derive(Debug)]
pub(super) struct LatePayment {
    pub(super) payment: PaymentId,
    pub(super) order: OrderId,
    pub(super) buyer: BuyerDigest,
    /// What the order held.
    pub(super) was: Lines,
    pub(super) lines: SmallVec<[PlaceLine; 1]>,
    pub(super) request: RequestId,
}

/// An attempt that waits for a SKU owner, and what of the same buyer waits behind it.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) attempt: Attempt,
    pub(super) waiting: VecDeque<Envelope>,
}

impl Attempt {
    pub(super) fn new(aim: Aim, reply: ReplyTo, buyer: Option<u32>) -> Self {
        Self {
            aim,
            reply: Some(reply),
            buyer,
            held: Lines::new(),
            counted: SmallVec::new(),
            place: None,
            line: 0,
            refused: None,
            currency: None,
            hold_seconds: u32::MAX,
        }
    }

    /// Where the answer goes. There is one.
    pub(super) fn take_reply(&mut self) -> ReplyTo {
        self.reply.take().expect("an attempt is answered once")
    }

    pub(super) fn order(&self) -> OrderId {
        match &self.aim {
            Aim::Order(place) => place.order,
            Aim::LatePayment(late) => late.order,
        }
    }

    pub(super) fn buyer_digest(&self) -> BuyerDigest {
        match &self.aim {
            Aim::Order(place) => place.buyer.digest,
            Aim::LatePayment(late) => late.buyer,
        }
    }

    pub(super) fn lines(&self) -> &[PlaceLine] {
        match &self.aim {
            Aim::Order(place) => &place.lines,
            Aim::LatePayment(late) => &late.lines,
        }
    }

    /// Lots that its held lines draw from: the order has one ceiling over all of them.
    pub(super) fn draws(&self) -> usize {
        self.held.iter().map(|line| line.draws.len()).sum()
    }

    /// The line that is to be asked for next.
    pub(super) fn next_line(&self) -> Option<&PlaceLine> {
        self.lines().get(self.line)
    }

    /// Asks the owner of the next line's SKU.
    pub(super) fn hold(&self, ask: Ask) -> Message {
        let line = self.next_line().expect("a line is asked for");
        Message::Hold(Box::new(HoldRequest {
            order: self.order(),
            buyer: self.buyer_digest(),
            sku: line.sku.clone(),
            ask,
        }))
    }

    /// Takes what the owner of the next line's SKU said.
    pub(super) fn take(&mut self, answer: Result<Granted, Denial>) {
        match answer {
            Ok(Granted::Units(grant)) => {
                if let Err(denial) = self.take_units(grant) {
                    return self.refuse(denial);
                }
            }
            Ok(Granted::Place(place)) => {
                self.currency = Some(place.currency);
                self.place = Some(Box::new(place));
            }
            Ok(Granted::Nothing(nothing)) => {
                let agreed = self.count(nothing.currency, nothing.sale.as_ref());
                if let Some(denial) = agreed.err().or(nothing.denial) {
                    return self.refuse(denial);
                }
            }
            Err(denial) => return self.refuse(denial),
        }
        self.line += 1;
    }

    /// Takes that the owner of the next line's SKU refused.
    pub(super) fn refuse(&mut self, denial: Denial) {
        if self.refused.is_none_or(|(_, earlier)| denial.rank() < earlier.rank()) {
            self.refused = Some((self.line, denial));
        }
        self.line += 1;
    }

    fn take_units(&mut self, grant: Grant) -> Result<(), Denial> {
        let agreed = self.count(grant.currency, grant.sale.as_ref());
        let line = self.next_line().expect("a line was asked for");
        let (sku, quantity) = (line.sku.clone(), line.quantity);
        self.held.push(Line { sku, quantity, sale: grant.sale, draws: grant.draws });
        self.hold_seconds = self.hold_seconds.min(grant.hold_seconds);
        agreed
    }

    /// Counts the next line, whether it gets units or not.
    fn count(&mut self, currency: Currency, sale: Option<&SaleId>) -> Result<(), Denial> {
        if let Some(sale) = sale {
            let line = self.next_line().expect("a line was asked for");
            let units = line.quantity.units();
            self.counted.push((sale.clone(), units));
        }
        match self.currency.replace(currency) {
            Some(earlier) if earlier != currency => Err(Denial::CurrenciesDiffer),
            _ => Ok(()),
        }
    }
}
