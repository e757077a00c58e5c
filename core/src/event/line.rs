//! What an order holds: lines, and the lots they draw from.

use smallvec::SmallVec;

use crate::money::Amount;
use crate::name::{LotId, SaleId, SkuId};
use crate::quantity::Quantity;

/// The lines of an order. Nearly always one.
pub type Lines = SmallVec<[Line; 1]>;

/// The lots that a line draws from. Nearly always one.
pub type Draws = SmallVec<[Draw; 1]>;

/// One SKU of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The SKU.
    pub sku: SkuId,
    /// How many units.
    pub quantity: Quantity,
    /// The sale that the SKU was in when it was ordered.
    pub sale: Option<SaleId>,
    /// Where they were drawn from; their quantities add up to `quantity`. Empty while the order
    /// waits.
    pub draws: Draws,
}

/// Units of one lot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The lot.
    pub lot: LotId,
    /// The lot's place among the SKU's lots.
    pub ordinal: u32,
    /// How many units.
    pub quantity: Quantity,
    /// What each costs.
    pub unit_price: Amount,
}

impl Line {
    /// The sum over its draws. `None` beyond [`crate::money::AMOUNT_MAX`].
    pub fn amount(&self) -> Option<Amount> {
        self.draws.iter().try_fold(Amount::ZERO, |sum, draw| {
            sum.plus(draw.unit_price.times(draw.quantity.units())?)
        })
    }
}

/// The sum over all lines. `None` beyond [`crate::money::AMOUNT_MAX`].
pub fn total(lines: &[Line]) -> Option<Amount> {
    lines.iter().try_fold(Amount::ZERO, |sum, line| sum.plus(line.amount()?))
}
