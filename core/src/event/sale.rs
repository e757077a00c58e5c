//! What operators do to a sale, and its end.

use crate::name::{SaleId, SkuId};
use crate::time::Timestamp;

/// A sale, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaleDefined<'a> {
    /// The sale.
    pub sale: SaleId,
    /// 1 when created, one more at each event of the sale.
    pub revision: u32,
    /// Its title, for people.
    pub title: &'a str,
    /// When it opens.
    pub starts_at: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
    /// Most units one buyer may have over all its SKUs; 0 for no limit.
    pub per_buyer_limit: u32,
    /// Its SKUs, sorted, each once.
    pub skus: Vec<SkuId>,
}

/// What became of a sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaleMoved {
    /// The sale.
    pub sale: SaleId,
    /// The sale's revision after this event.
    pub revision: u32,
    /// What.
    pub to: SaleMove,
}

/// How a sale can be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SaleMove {
    /// No new orders.
    Paused = 1,
    /// New orders again.
    Resumed = 2,
    /// For good: no new orders, and those that wait end.
    Ended = 3,
}

impl SaleMove {
    /// The one with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Paused),
            2 => Some(Self::Resumed),
            3 => Some(Self::Ended),
            _ => None,
        }
    }
}
