//! Spans as people write them: a number and a unit.

use std::str::FromStr;

/// What a span may be.
pub(crate) const SPAN_RANGE: &str =
    "a number and s, m, h or d, such as 90s or 30d, at least 1s, at most 3650d";

/// The longest span, in seconds: ten years.
const SECONDS_MAX: u64 = 3_650 * 86_400;

/// A span of up to ten years, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(u64);

impl Span {
    /// Of so many seconds.
    pub(crate) const fn from_seconds(seconds: u64) -> Self {
        assert!(seconds <= SECONDS_MAX);
        Self(seconds)
    }

    /// Whether it is any time at all: what [`SPAN_RANGE`] asks for.
    pub(crate) fn is_some_time(&self) -> bool {
        self.0 > 0
    }

    /// Its seconds.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// Its microseconds.
    pub const fn micros(self) -> u64 {
        self.0 * 1_000_000
    }
}

/// It is none, or out of its range.
#[derive(Debug, PartialEq, Eq)]
pub struct NoSpan;

impl FromStr for Span {
    type Err = NoSpan;

    fn from_str(text: &str) -> Result<Self, NoSpan> {
        let unit = match text.bytes().last() {
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3_600,
            Some(b'd') => 86_400,
            _ => return Err(NoSpan),
        };
        let number = &text[..text.len() - 1];
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let number: Option<u64> = digits.then(|| number.parse().ok()).flatten();
        let seconds = number.and_then(|number| number.checked_mul(unit));
        seconds.filter(|seconds| *seconds <= SECONDS_MAX).map(Self).ok_or(NoSpan)
    }
}

#[cfg(test)]
mod tests {
    use super::{NoSpan, Span};

    #[test]
    fn spans_are_a_number_and_a_unit() {
        for (text, wanted) in
            [("0s", 0), ("90s", 90), ("15m", 900), ("1h", 3_600), ("30d", 2_592_000)]
        {
            assert_eq!(text.parse().map(Span::seconds), Ok(wanted));
        }
        for wrong in ["", "h", "1", "0", "-1h", "1.5h", "1w", "é", "99999999999999999999d", "3651d"]
        {
            assert_eq!(wrong.parse::<Span>(), Err(NoSpan), "{wrong}");
        }
        assert!(Span::from_seconds(1).is_some_time() && !Span::from_seconds(0).is_some_time());
    }
}
