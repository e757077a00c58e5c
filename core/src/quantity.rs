//! Counts of units and the sequence of the journal, as types that cannot hold a wrong value.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

/// Largest quantity of one line, lot or withdrawal, in units.
pub const QUANTITY_MAX: u32 = 1_000_000;

/// A quantity of units: 1 … [`QUANTITY_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(NonZeroU32);

impl Quantity {
    /// One unit.
    pub const ONE: Self = Self(NonZeroU32::MIN);

    /// `None` unless 1 ≤ `units` ≤ [`QUANTITY_MAX`].
    pub const fn new(units: u32) -> Option<Self> {
        match NonZeroU32::new(units) {
            Some(nonzero) if units <= QUANTITY_MAX => Some(Self(nonzero)),
            _ => None,
        }
    }

    /// The number of units.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The number of units, widened.
    pub const fn units(self) -> u64 {
        self.0.get() as u64
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a journal record: 1, 2, 3 … without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(NonZeroU64);

impl Sequence {
    /// The number of the first record.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// `None` for 0.
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(nonzero) => Some(Self(nonzero)),
            None => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::{QUANTITY_MAX, Quantity, Sequence};

    #[test]
    fn quantity_keeps_its_range() {
        assert_eq!(Quantity::new(0), None);
        assert_eq!(Quantity::new(1), Some(Quantity::ONE));
        assert_eq!(Quantity::new(QUANTITY_MAX).map(Quantity::units), Some(1_000_000));
        assert_eq!(Quantity::new(QUANTITY_MAX + 1), None);
    }

    #[test]
    fn sequences_start_at_one() {
        assert_eq!(Sequence::new(0), None);
        assert_eq!(Sequence::new(1), Some(Sequence::FIRST));
    }
}
