//! Settings held against their ranges.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::error::{Error, Result};

/// A range in words.
pub(crate) fn range_text<T: Display>(range: &RangeInclusive<T>, unit: &str) -> String {
    let space = if unit.is_empty() { "" } else { " " };
    format!("must be {}…{}{space}{unit}", range.start(), range.end())
}

/// Names a setting that is outside its range.
pub(crate) fn within<T: PartialOrd + Display>(
    key: &'static str,
    value: &T,
    range: &RangeInclusive<T>,
    unit: &str,
) -> Result<()> {
    if range.contains(value) {
        Ok(())
    } else {
        Err(Error::setting(key, value, range_text(range, unit)))
    }
}

/// Names a time that is outside its range.
pub(crate) fn within_time(
    key: &'static str,
    value: Duration,
    range: &RangeInclusive<Duration>,
) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    let range = format!("must be {:?}…{:?}", range.start(), range.end());
    Err(Error::setting(key, &format!("{value:?}"), range))
}
