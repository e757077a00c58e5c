//! What a run is to be failed for: `p99>50ms` and the like, read from the command line and judged by the report.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::finding::Kind;
use crate::report::Report;
use crate::tally::Quantiles;

/// One condition that fails a run: a metric, a comparison, a bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    text: String,
    metric: Metric,
    comparison: Comparison,
    bound: f64,
}

/// A threshold and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The condition as it was given.
    pub condition: String,
    /// The figure it was judged by, with its unit; absent where nothing of the kind was measured.
    pub measured: Option<String>,
    /// The condition came true, or could not be judged.
    pub failed: bool,
}

/// Which answers' latencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    All,
    Accepted,
    Replayed,
    Refused,
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Percentile {
    P50,
    P90,
    P99,
    P999,
    Max,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metric {
    Latency { answers: Answers, percentile: Percentile, raw: bool },
    Lag,
    Rate,
    Goodput,
    Accepted,
    Refused,
    Failed,
    Errors,
    Oversold,
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Time,
    PerSecond,
    Percent,
    Count,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Over,
    AtLeast,
    Under,
    AtMost,
}

/// What may be given, for messages.
pub(crate) const FORM: &str = "must be METRIC, one of > >= < <=, and a number with its unit: p50 p90 p99 p99.9 max \
     (also raw.p99, accepted.p99, refused.p99, replayed.p99, cancelled.p99, raw.accepted.p99 …) and lag in us, ms or s; \
     rate and goodput in /s; accepted, refused, failed and errors in %; oversold and lost as plain numbers";

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Threshold, String> {
        let wrong = |why: &str| format!("{why}; {FORM}");
        let at = text.find(['<', '>']).ok_or_else(|| wrong("there is no comparison"))?;
        let (name, rest) = text.split_at(at);
        let (comparison, bound) = match rest.as_bytes() {
            [b'>', b'=', ..] => (Comparison::AtLeast, &rest[2..]),
            [b'>', ..] => (Comparison::Over, &rest[1..]),
            [b'<', b'=', ..] => (Comparison::AtMost, &rest[2..]),
            _ => (Comparison::Under, &rest[1..]),
        };
        let metric = Metric::read(name.trim())
            .ok_or_else(|| wrong(&format!("{:?} is no metric", name.trim())))?;
        let bound = metric
            .unit()
            .read(bound.trim())
            .ok_or_else(|| wrong(&format!("{:?} is no bound of {}", bound.trim(), name.trim())))?;
        Ok(Threshold { text: text.trim().to_owned(), metric, comparison, bound })
    }
}

impl Threshold {
    /// Whether only an audit can tell.
    pub fn needs_audit(&self) -> bool {
        matches!(self.metric, Metric::Oversold | Metric::Lost)
    }

    /// Whether only a plan of arrivals can tell.
    pub(crate) fn needs_plan(&self) -> bool {
        self.metric == Metric::Lag
    }

    /// Judges a report by it. What was not measured fails: a check that was not made must not pass for one that was.
    pub(crate) fn judge(&self, report: &Report) -> Judged {
        let measured = self.metric.measure(report);
        let failed = measured.is_none_or(|measured| match self.comparison {
            Comparison::Over => measured > self.bound,
            Comparison::AtLeast => measured >= self.bound,
            Comparison::Under => measured < self.bound,
            Comparison::AtMost => measured <= self.bound,
        });
        let measured = measured.map(|measured| self.metric.unit().write(measured));
        Judged { condition: self.text.clone(), measured, failed }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Metric {
    fn read(name: &str) -> Option<Metric> {
        Some(match name {
            "lag" => Metric::Lag,
            "rate" => Metric::Rate,
            "goodput" => Metric::Goodput,
            "accepted" => Metric::Accepted,
            "refused" => Metric::Refused,
            "failed" => Metric::Failed,
            "errors" => Metric::Errors,
            "oversold" => Metric::Oversold,
            "lost" => Metric::Lost,
            _ => return Metric::read_latency(name),
        })
    }

    fn read_latency(name: &str) -> Option<Metric> {
        let (raw, name) = match name.strip_prefix("raw.") {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        let (answers, name) = match name.split_once('.') {
            Some(("accepted", rest)) => (Answers::Accepted, rest),
            Some(("replayed", rest)) => (Answers::Replayed, rest),
            Some(("refused", rest)) => (Answers::Refused, rest),
            Some(("cancelled", rest)) => (Answers::Cancelled, rest),
            _ => (Answers::All, name),
        };
        let percentile = match name {
            "p50" => Percentile::P50,
            "p90" => Percentile::P90,
            "p99" => Percentile::P99,
            "p99.9" => Percentile::P999,
            "max" => Percentile::Max,
            _ => return None,
        };
        Some(Metric::Latency { answers, percentile, raw })
    }

    fn unit(self) -> Unit {
        match self {
            Metric::Latency { .. } | Metric::Lag => Unit::Time,
            Metric::Rate | Metric::Goodput => Unit::PerSecond,
            Metric::Accepted | Metric::Refused | Metric::Failed | Metric::Errors => Unit::Percent,
            Metric::Oversold | Metric::Lost => Unit::Count,
        }
    }

    /// The figure: times in microseconds.
    fn measure(self, report: &Report) -> Option<f64> {
        let answers = &report.answers;
        let share = |count: u64| {
            let ended = answers.ended();
            (ended > 0).then(|| 100.0 * count as f64 / ended as f64)
        };
        match self {
            Metric::Latency { answers: of, percentile, raw } => {
                latency(report, of, raw).map(|times| at(times, percentile) as f64)
            }
            Metric::Lag => report.sending.lag.map(|lag| lag.p999_us as f64),
            Metric::Rate => Some(answers.answered_per_s),
            Metric::Goodput => Some(answers.goodput_per_s),
            Metric::Accepted => share(answers.accepted),
            Metric::Refused => share(answers.refused),
            Metric::Failed => share(answers.unknown + answers.unexpected),
            Metric::Errors => share(answers.errors.values().sum()),
            Metric::Oversold => found(report, &[Kind::Oversold, Kind::ServerReportsOversold]),
            Metric::Lost => found(report, &[Kind::LostOrder]),
        }
    }
}

fn latency(report: &Report, of: Answers, raw: bool) -> Option<Quantiles> {
    let answers = &report.answers;
    match (of, raw) {
        (Answers::All, false) => answers.latency_all,
        (Answers::All, true) => answers.raw_latency_all,
        (Answers::Accepted, false) => answers.latency_accepted,
        (Answers::Accepted, true) => answers.raw_latency_accepted,
        (Answers::Replayed, false) => answers.latency_replayed,
        (Answers::Replayed, true) => answers.raw_latency_replayed,
        (Answers::Refused, false) => answers.latency_refused,
        (Answers::Refused, true) => answers.raw_latency_refused,
        (Answers::Cancelled, false) => answers.latency_cancelled,
        (Answers::Cancelled, true) => answers.raw_latency_cancelled,
    }
}

fn at(times: Quantiles, percentile: Percentile) -> u64 {
    match percentile {
        Percentile::P50 => times.p50_us,
        Percentile::P90 => times.p90_us,
        Percentile::P99 => times.p99_us,
        Percentile::P999 => times.p999_us,
        Percentile::Max => times.max_us,
    }
}

/// How many findings of these kinds the audit has.
fn found(report: &Report, kinds: &[Kind]) -> Option<f64> {
    let audit = report.audit.as_ref()?;
    let counts = audit.findings.iter().filter(|(kind, _)| kinds.contains(kind));
    Some(counts.map(|(_, finding)| finding.count).sum::<u64>() as f64)
}

impl Unit {
    fn read(self, text: &str) -> Option<f64> {
        let end = text.find(|char: char| !char.is_ascii_digit() && char != '.');
        let (number, unit) = text.split_at(end.unwrap_or(text.len()));
        let factor = match (self, unit.trim()) {
            (Unit::Time, "us" | "µs") => 1.0,
            (Unit::Time, "ms") => 1_000.0,
            (Unit::Time, "s") => 1_000_000.0,
            (Unit::PerSecond, "/s" | "") | (Unit::Percent, "%") | (Unit::Count, "") => 1.0,
            _ => return None,
        };
        number.parse::<f64>().ok().map(|number| number * factor)
    }

    fn write(self, figure: f64) -> String {
        match self {
            Unit::Time if figure >= 1_000_000.0 => format!("{:.3} s", figure / 1_000_000.0),
            Unit::Time => format!("{:.3} ms", figure / 1_000.0),
            Unit::PerSecond => format!("{figure:.1}/s"),
            Unit::Percent => format!("{figure:.3} %"),
            Unit::Count => format!("{figure}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Judged, Threshold};
    use crate::finding::{Finding, Kind};
    use crate::report::a_report;
    use crate::tally::Quantiles;
    use crate::workload::Failure;

    fn times(us: u64) -> Option<Quantiles> {
        Some(Quantiles {
            count: 9,
            p50_us: us,
            p90_us: 2 * us,
            p99_us: 3 * us,
            p999_us: 4 * us,
            max_us: 5 * us,
        })
    }

    fn judged(text: &str) -> Judged {
        let mut report = a_report();
        report.answers.count = 198;
        report.answers.accepted = 50;
        report.answers.unknown = 4;
        report.answers.errors.insert(Failure::Timeout, 2);
        report.answers.answered_per_s = 99.5;
        report.answers.latency_all = times(10_000);
        report.answers.raw_latency_accepted = times(1_000);
        report.sending.lag = times(100);
        let audit = report.audit.as_mut().unwrap();
        let finding = Finding { count: 3, examples: Vec::new() };
        audit.findings.insert(Kind::Oversold, finding);
        text.parse::<Threshold>().unwrap().judge(&report)
    }

    #[test]
    fn each_metric_is_judged_in_its_unit() {
        for (condition, measured, failed) in [
            ("p50>10ms", "10.000 ms", false),
            ("p50>=10ms", "10.000 ms", true),
            ("p90 < 20 ms", "20.000 ms", false),
            ("p99<=30000us", "30.000 ms", true),
            ("p99.9>0.039s", "40.000 ms", true),
            ("max>50ms", "50.000 ms", false),
            ("raw.accepted.p99>2ms", "3.000 ms", true),
            ("lag>1ms", "0.400 ms", false),
            ("rate<100", "99.5/s", true),
            ("rate<99/s", "99.5/s", false),
            ("accepted<25%", "25.000 %", false),
            ("failed>1.9%", "2.000 %", true),
            ("errors>1%", "1.000 %", false),
            ("oversold>0", "3", true),
            ("lost>0", "0", false),
        ] {
            let judged = judged(condition);
            assert_eq!(
                (judged.measured.as_deref(), judged.failed),
                (Some(measured), failed),
                "{condition}"
            );
        }
    }

    #[test]
    fn what_was_not_measured_fails() {
        let judged = judged("cancelled.p99>1s");
        assert_eq!((judged.measured, judged.failed), (None, true));
    }

    #[test]
    fn what_is_no_condition_is_told_the_form() {
        for (text, why) in [
            ("p99", "no comparison"),
            ("p98>1ms", "\"p98\" is no metric"),
            ("raw.lag>1ms", "\"raw.lag\" is no metric"),
            ("p99>50", "\"50\" is no bound of p99"),
            ("p99>50%", "is no bound"),
            ("accepted<0.5", "is no bound"),
            ("oversold>1ms", "is no bound"),
            ("p99=>1ms", "no metric"),
            ("p99>-1ms", "is no bound"),
            ("p99>1.1.1ms", "is no bound"),
        ] {
            let error = text.parse::<Threshold>().unwrap_err();
            assert!(error.contains(why) && error.contains("must be METRIC"), "{text}: {error}");
        }
    }
}
