//! A distribution of times, point by point, fine enough to be plotted and to be written as an `.hgrm` file.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::tally::Times;

/// Points for each halving of the distance to 100 %, as HdrHistogram's own tools have by default.
const POINTS_PER_HALVING: u32 = 5;

/// How long answers took, from the quickest to the slowest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// How many times were measured.
    pub count: u64,
    /// Their mean, in microseconds.
    pub mean_us: f64,
    /// Their standard deviation, in microseconds.
    pub stdev_us: f64,
    /// The longest, in microseconds.
    pub max_us: u64,
    /// Times by percentile, in ascending order; closer together towards 100 %.
    pub points: Vec<Point>,
}

/// One point of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// This percentage of the times…
    pub percentile: f64,
    /// … is no longer than this, in microseconds.
    pub value_us: u64,
    /// How many times that is.
    pub count: u64,
}

impl Distribution {
    /// Of what was recorded, if anything was.
    pub(crate) fn of(times: &Times) -> Option<Distribution> {
        let max_us = times.quantiles()?.max_us;
        let histogram = times.histogram();
        let mut count = 0;
        let points = histogram.iter_quantiles(POINTS_PER_HALVING).map(|step| {
            count += step.count_since_last_iteration();
            Point {
                percentile: step.quantile_iterated_to() * 100.0,
                value_us: step.value_iterated_to().min(max_us),
                count,
            }
        });
        Some(Distribution {
            points: points.collect(),
            count: histogram.len(),
            mean_us: histogram.mean(),
            stdev_us: histogram.stdev(),
            max_us,
        })
    }

    /// The distribution as HdrHistogram's tools write it (`.hgrm`), in milliseconds.
    pub fn hgrm(&self) -> String {
        let mut text = format!(
            "{:>12} {:>14} {:>10} {:>14}\n\n",
            "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
        );
        let ms = |us: f64| us / 1_000.0;
        for point in &self.points {
            let share = point.percentile / 100.0;
            let value = ms(point.value_us as f64);
            let _ = write!(text, "{value:>12.3} {share:>14.12} {:>10}", point.count);
            // The last line has no further distance to halve.
            let _ = match share < 1.0 {
                true => writeln!(text, " {:>14.2}", 1.0 / (1.0 - share)),
                false => writeln!(text),
            };
        }
        let (mean, stdev) = (ms(self.mean_us), ms(self.stdev_us));
        let (max, count) = (ms(self.max_us as f64), self.count);
        let _ = writeln!(text, "#[Mean    = {mean:>12.3}, StdDeviation   = {stdev:>12.3}]");
        let _ = writeln!(text, "#[Max     = {max:>12.3}, Total count    = {count:>12}]");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Distribution;
    use crate::tally::Times;

    fn thousand() -> Distribution {
        let mut times = Times::new();
        for us in 1..=1_000 {
            times.record_ns(us * 1_000);
        }
        Distribution::of(&times).unwrap()
    }

    #[test]
    fn points_rise_to_the_longest_time() {
        assert_eq!(Distribution::of(&Times::new()), None);
        let distribution = thousand();
        let points = &distribution.points;
        assert!(points.is_sorted_by_key(|point| point.value_us));
        assert!(points.is_sorted_by_key(|point| point.count));
        let (first, last) = (points.first().unwrap(), points.last().unwrap());
        assert_eq!((first.value_us, first.count), (1, 1));
        assert_eq!((last.value_us, last.count, last.percentile), (1_000, 1_000, 100.0));
        let half = points.iter().find(|point| point.percentile >= 50.0).unwrap();
        assert_eq!((half.value_us, half.count), (500, 500));
        assert!((distribution.mean_us - 500.5).abs() < 0.5, "{}", distribution.mean_us);
    }

    #[test]
    fn an_hgrm_has_the_columns_that_plotters_read() {
        let text = thousand().hgrm();
        let mut lines = text.lines();
        let columns: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
        assert_eq!(columns, ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]);
        assert_eq!(lines.next(), Some(""));
        assert_eq!(lines.next(), Some("       0.001 0.000000000000          1           1.00"));
        let rest: Vec<&str> = lines.collect();
        assert!(rest.contains(&"       0.500 0.500000000000        500           2.00"), "{text}");
        assert!(rest.contains(&"       1.000 1.000000000000       1000"), "{text}");
        assert!(rest.iter().any(|line| line.starts_with("#[Max     =        1.000, Total")));
    }
}
