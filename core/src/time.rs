//! Points in time and spans, in microseconds. Reads no clock: time is an argument.

use std::fmt;

/// Microseconds since 1970-01-01T00:00:00Z, in engine time unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The epoch.
    pub const ZERO: Self = Self(0);

    /// The latest moment that can be written down (year 9999).
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// From microseconds since the epoch; later than [`Timestamp::MAX`] becomes `MAX`.
    pub const fn from_micros(micros: u64) -> Self {
        if micros > Self::MAX.0 { Self::MAX } else { Self(micros) }
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the epoch.
    pub const fn millis(self) -> u64 {
        self.0 / 1_000
    }

    /// This moment and `micros` more, at most [`Timestamp::MAX`].
    #[must_use]
    pub const fn plus_micros(self, micros: u64) -> Self {
        Self::from_micros(self.0.saturating_add(micros))
    }

    /// This moment and `seconds` more, at most [`Timestamp::MAX`].
    #[must_use]
    pub const fn plus_seconds(self, seconds: u32) -> Self {
        self.plus_micros(seconds as u64 * 1_000_000)
    }

    /// Microseconds from `earlier` to this moment; 0 if `earlier` is later.
    pub const fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// RFC 3339 in UTC with milliseconds, in ASCII, e.g. `2026-11-11T00:00:00.012Z`.
    pub fn rfc_3339(self) -> [u8; 24] {
        let seconds = self.0 / 1_000_000;
        let (year, month, day) = civil_from_days(seconds / 86_400);
        let of_day = (seconds % 86_400) as u32;
        let millis = (self.0 / 1_000 % 1_000) as u32;
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut two_digits = |at: usize, number: u32| {
            text[at] += (number / 10) as u8;
            text[at + 1] += (number % 10) as u8;
        };
        two_digits(0, year as u32 / 100);
        two_digits(2, year as u32 % 100);
        two_digits(5, month as u32);
        two_digits(8, day as u32);
        two_digits(11, of_day / 3_600);
        two_digits(14, of_day / 60 % 60);
        two_digits(17, of_day % 60);
        two_digits(20, millis / 10);
        text[22] += (millis % 10) as u8;
        text
    }
}

impl fmt::Display for Timestamp {
    /// As [`Timestamp::rfc_3339`] writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.rfc_3339()).expect("ASCII"))
    }
}

/// Year, month and day of a count of days since 1970-01-01.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
const fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn prints_rfc_3339() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000Z"),
            (1_794_355_200_012_345, "2026-11-11T00:00:00.012Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_micros(micros).to_string(), text);
        }
    }

    #[test]
    fn never_overflows() {
        assert_eq!(Timestamp::MAX.plus_seconds(u32::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::ZERO.micros_since(Timestamp::MAX), 0);
    }
}
