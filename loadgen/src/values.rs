//! The texts of flags as values: numbers, shares, times, spikes.

use std::str::FromStr;
use std::time::Duration;

use sluice_loadgen::{Error, Result, Spike};

/// A whole number; what is none is told the range, which the plan checks.
pub(crate) fn number<T: FromStr>(
    range: &'static str,
) -> impl Fn(&str) -> std::result::Result<T, String> + Clone + Send + Sync + 'static {
    move |text| text.parse().map_err(|_| format!("must be {range}"))
}

/// A share in percent: `5`, `0.5` or `5%`. The plan checks its range.
pub(crate) fn percent(text: &str) -> std::result::Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim_end();
    number.parse().map_err(|_| "must be 0…100 percent".to_owned())
}

/// A number with its unit: `500us`, `500ms`, `10s`, `2m`, `1h`.
pub(crate) fn time(key: &'static str, text: &str) -> Result<Duration> {
    let bad =
        || setting(key, text, "must be a whole number with its unit: 500us, 500ms, 10s, 2m, 1h");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| bad())?;
    let micros_each = match unit {
        "us" | "µs" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return Err(bad()),
    };
    number.checked_mul(micros_each).map(Duration::from_micros).ok_or_else(bad)
}

/// `quiet=10s,factor=20,decay=5s`, in any order.
pub(crate) fn spike(text: &str) -> Result<Spike> {
    let bad = || setting("spike", text, "must be quiet=TIME,factor=N,decay=TIME");
    let (mut quiet, mut factor, mut decay) = (None, None, None);
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or_else(bad)?;
        let known = match name.trim() {
            "quiet" => quiet.replace(time("spike quiet", value)?).is_some(),
            "decay" => decay.replace(time("spike decay", value)?).is_some(),
            "factor" => factor.replace(value.parse().map_err(|_| bad())?).is_some(),
            _ => return Err(bad()),
        };
        if known {
            return Err(bad());
        }
    }
    match (quiet, factor, decay) {
        (Some(quiet), Some(factor), Some(decay)) => Ok(Spike { quiet, factor, decay }),
        _ => Err(bad()),
    }
}

/// A wrong setting.
pub(crate) fn setting(
    key: &'static str,
    value: &(impl ToString + ?Sized),
    range: impl Into<String>,
) -> Error {
    Error::Setting { key, value: value.to_string(), range: range.into() }
}

#[cfg(test)]
mod tests {
    use super::{percent, spike, time};
    use sluice_loadgen::Spike;
    use std::time::Duration;

    #[test]
    fn times_have_units() {
        assert_eq!(time("duration", "500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(time("lag-max", "250us").unwrap(), Duration::from_micros(250));
        assert_eq!(time("duration", "2m").unwrap(), Duration::from_secs(120));
        for text in
            ["", "10", "s", "-1s", "1.5s", "1d", "99999999999999999999s", "18446744073709551615h"]
        {
            assert!(time("duration", text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_are_numbers_with_or_without_the_sign() {
        assert_eq!(
            (percent("5"), percent("0.5%"), percent("100 %")),
            (Ok(5.0), Ok(0.5), Ok(100.0))
        );
        assert!(percent("few").is_err() && percent("").is_err());
    }

    #[test]
    fn a_spike_has_three_parts() {
        let expected =
            Spike { quiet: Duration::from_secs(10), factor: 20.0, decay: Duration::from_secs(5) };
        assert_eq!(spike("quiet=10s,factor=20,decay=5s").unwrap(), expected);
        assert_eq!(spike("factor=20, quiet=10s, decay=5s").unwrap(), expected);
        for text in [
            "",
            "factor=20",
            "quiet=10,factor=20,decay=5s",
            "quiet=10s,factor=x,decay=5s",
            "quiet=10s,factor=20,decay=5s,height=2",
            "quiet=10s,factor=20,decay=5s,factor=3",
        ] {
            assert!(spike(text).is_err(), "{text}");
        }
    }
}
