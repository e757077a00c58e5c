//! Money: integers in minor units with a currency. Checked arithmetic only.

use std::fmt;

/// Largest amount, in minor units: 2^53 − 1, which every JSON reader holds exactly.
pub const AMOUNT_MAX: u64 = (1 << 53) - 1;

/// An amount in minor units of some currency: 0 … [`AMOUNT_MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// `None` above [`AMOUNT_MAX`].
    pub const fn new(minor: u64) -> Option<Self> {
        if minor <= AMOUNT_MAX { Some(Self(minor)) } else { None }
    }

    /// Minor units.
    pub const fn minor(self) -> u64 {
        self.0
    }

    /// This amount `units` times; `None` above [`AMOUNT_MAX`].
    pub const fn times(self, units: u64) -> Option<Self> {
        match self.0.checked_mul(units) {
            Some(minor) => Self::new(minor),
            None => None,
        }
    }

    /// The sum; `None` above [`AMOUNT_MAX`].
    pub const fn plus(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(minor) => Self::new(minor),
            None => None,
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An ISO 4217 alphabetic code: three capital letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// `None` unless three capital ASCII letters.
    pub fn new(code: &str) -> Option<Self> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(Self(bytes))
    }

    /// The three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("three capital letters")
    }

    /// The three letters as bytes.
    pub const fn bytes(self) -> [u8; 3] {
        self.0
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{AMOUNT_MAX, Amount, Currency};

    #[test]
    fn amounts_stay_exact_in_json() {
        let most = Amount::new(AMOUNT_MAX).expect("the ceiling itself");
        assert_eq!(Amount::new(AMOUNT_MAX + 1), None);
        assert_eq!(most.times(2), None);
        assert_eq!(most.plus(Amount(1)), None);
        assert_eq!(most.times(u64::MAX), None);
        assert_eq!(Amount(3).times(4), Some(Amount(12)));
    }

    #[test]
    fn currencies_are_three_capitals() {
        assert_eq!(Currency::new("CNY").map(|c| c.to_string()).as_deref(), Some("CNY"));
        for wrong in ["", "cny", "CN", "CNYX", "C1Y", "ÄÖ"] {
            assert_eq!(Currency::new(wrong), None, "{wrong}");
        }
    }
}
