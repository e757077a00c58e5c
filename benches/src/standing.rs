//! What a contest has found so far: the figures of each turn, their medians and ratios.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::entrant::Turn;

/// The figures of one turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Answers a second.
    pub per_s: f64,
    /// Half of the answers took no longer, in microseconds.
    pub p50_us: u64,
    /// 99 % of the answers took no longer, in microseconds.
    pub p99_us: u64,
    /// The share of time in which the generator had something to do.
    pub generator_busy_percent: f64,
    /// Processor time for each answer, in microseconds.
    pub processor_us: ProcessorTime,
    /// What all else on the machine used meanwhile, in hundredths of one core. It disturbs.
    pub others_percent: f64,
}

/// Processor time for each answer, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessorTime {
    /// The HTTP server's.
    pub server: f64,
    /// What of that its sinks used.
    pub sinks: f64,
    /// Its store's; 0 without one.
    pub store: f64,
    /// The client's.
    pub generator: f64,
}

/// The figures of all turns, by entrant.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    letter: &'static str,
    what: &'static str,
    turns: Vec<Figures>,
}

impl Figures {
    /// Of the answers that an entrant is there to give.
    pub fn of(turn: &Turn) -> Self {
        let Turn { report, used, .. } = turn;
        let answers = &report.answers;
        let each = |used: Duration| used.as_secs_f64() * 1e6 / answers.count as f64;
        let latency = answers.latency_accepted.as_ref().filter(|_| answers.accepted > 1);
        let latency = latency.or(answers.latency_refused.as_ref());
        let contest = used.server + used.store + used.generator;
        let others = used.machine.saturating_sub(contest);
        Self {
            per_s: answers.answered_per_s,
            p50_us: latency.map_or(0, |latency| latency.p50_us),
            p99_us: latency.map_or(0, |latency| latency.p99_us),
            generator_busy_percent: report.sending.busy_percent,
            processor_us: ProcessorTime {
                server: each(used.server),
                sinks: each(used.sinks),
                store: each(used.store),
                generator: each(used.generator),
            },
            others_percent: 100.0 * others.as_secs_f64() / answers.window_s,
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>9.0}/s  p50 {:>6} µs  p99 {:>6} µs  generator busy {:>3.0} %  processor µs: {}, others {:.0} %",
            self.per_s,
            self.p50_us,
            self.p99_us,
            self.generator_busy_percent,
            self.processor_us,
            self.others_percent
        )
    }
}

impl fmt::Display for ProcessorTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, sinks, store, generator } = self;
        write!(
            f,
            "server {server:.1} (sinks {sinks:.1}), store {store:.1}, generator {generator:.1}"
        )
    }
}

impl Standing {
    /// Of entrants that have not had a turn yet: the letter and a description of each.
    pub fn new(entrants: impl IntoIterator<Item = (&'static str, &'static str)>) -> Self {
        let rows = entrants.into_iter();
        Self { rows: rows.map(|(letter, what)| Row { letter, what, turns: Vec::new() }).collect() }
    }

    /// Adds a turn.
    ///
    /// # Panics
    /// If nobody has that letter.
    pub fn add(&mut self, letter: &str, figures: Figures) {
        let row = self.rows.iter_mut().find(|row| row.letter == letter);
        row.expect("an entrant's letter").turns.push(figures);
    }

    /// The median of `ours` to `theirs`, round by round: what disturbs the machine for longer than
    /// a turn disturbs both.
    ///
    /// # Panics
    /// If nobody has one of the letters, or they have had no turn.
    pub fn ratio(&self, ours: &str, theirs: &str) -> f64 {
        let (ours, theirs) = (self.turns(ours), self.turns(theirs));
        median(ours.iter().zip(theirs).map(|(ours, theirs)| ours.per_s / theirs.per_s))
    }

    /// A line for each ratio, if there are any.
    ///
    /// # Panics
    /// As [`Standing::ratio`].
    pub fn ratios_text(&self, ratios: &[(&str, &str)]) -> String {
        let lines = ratios.iter().map(|(ours, theirs)| {
            format!("  {:8} {:.3}\n", name(ours, theirs), self.ratio(ours, theirs))
        });
        if ratios.is_empty() {
            return String::new();
        }
        std::iter::once("medians of the rounds' ratios:\n".to_owned()).chain(lines).collect()
    }

    /// The medians and ratios for the trail.
    ///
    /// # Panics
    /// As [`Standing::ratio`].
    pub fn summary(&self, ratios: &[(&str, &str)]) -> Map<String, Value> {
        let tenths = |value: f64| (value * 10.0).round() / 10.0;
        let medians = |figure: fn(&Figures) -> f64| -> Map<String, Value> {
            let of = |row: &Row| json!(tenths(median(row.turns.iter().map(figure))));
            self.rows.iter().map(|row| (row.letter.to_owned(), of(row))).collect()
        };
        let ratios: Map<String, Value> = ratios
            .iter()
            .map(|(ours, theirs)| (name(ours, theirs), json!(self.ratio(ours, theirs))))
            .collect();
        [
            ("per_s", medians(|turn| turn.per_s)),
            ("p50_us", medians(|turn| turn.p50_us as f64)),
            ("p99_us", medians(|turn| turn.p99_us as f64)),
            ("server_processor_us", medians(|turn| turn.processor_us.server)),
            ("sinks_processor_us", medians(|turn| turn.processor_us.sinks)),
            ("store_processor_us", medians(|turn| turn.processor_us.store)),
            ("generator_processor_us", medians(|turn| turn.processor_us.generator)),
            ("others_percent", medians(|turn| turn.others_percent)),
            ("ratios", ratios),
        ]
        .into_iter()
        .map(|(name, figures)| (name.to_owned(), Value::Object(figures)))
        .collect()
    }

    fn turns(&self, letter: &str) -> &[Figures] {
        let row = self.rows.iter().find(|row| row.letter == letter);
        &row.expect("an entrant's letter").turns
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Row { letter, what, turns } in &self.rows {
            let per_s = median(turns.iter().map(|turn| turn.per_s));
            writeln!(f, "({letter:2}) {per_s:>9.0}/s  {what}")?;
        }
        Ok(())
    }
}

fn name(ours: &str, theirs: &str) -> String {
    format!("{ours}_per_{theirs}")
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::{Figures, ProcessorTime, Standing};
    use serde_json::json;

    fn standing(turns: &[(f64, f64)]) -> Standing {
        let mut standing = Standing::new([("b", "ours"), ("r", "theirs")]);
        for &(ours, theirs) in turns {
            for (letter, per_s) in [("b", ours), ("r", theirs)] {
                let processor_us =
                    ProcessorTime { server: 3.0, sinks: 0.5, store: 1.0, generator: 2.0 };
                let figures = Figures {
                    per_s,
                    p50_us: 7,
                    p99_us: 9,
                    generator_busy_percent: 50.0,
                    processor_us,
                    others_percent: 4.0,
                };
                standing.add(letter, figures);
            }
        }
        standing
    }

    #[test]
    fn a_ratio_is_taken_within_each_round_before_the_median() {
        // The medians alone would say 60 / 20.
        let standing = standing(&[(100.0, 50.0), (60.0, 10.0), (40.0, 20.0)]);
        assert_eq!(standing.ratio("b", "r"), 2.0);
        assert_eq!(standing.ratio("r", "b"), 0.5);
    }

    #[test]
    fn one_wild_round_does_not_count() {
        let standing = standing(&[(100.0, 50.0), (100.0, 1.0), (100.0, 40.0)]);
        assert_eq!(standing.ratio("b", "r"), 2.5);
    }

    #[test]
    fn the_summary_names_every_figure() {
        let standing = standing(&[(100.4, 50.2)]);
        assert_eq!(
            serde_json::Value::from(standing.summary(&[("b", "r")])),
            json!({
                "per_s": {"b": 100.4, "r": 50.2},
                "p50_us": {"b": 7.0, "r": 7.0},
                "p99_us": {"b": 9.0, "r": 9.0},
                "server_processor_us": {"b": 3.0, "r": 3.0},
                "sinks_processor_us": {"b": 0.5, "r": 0.5},
                "store_processor_us": {"b": 1.0, "r": 1.0},
                "generator_processor_us": {"b": 2.0, "r": 2.0},
                "others_percent": {"b": 4.0, "r": 4.0},
                "ratios": {"b_per_r": 2.0},
            })
        );
        assert!(standing.ratios_text(&[("b", "r")]).contains("b_per_r  2.000\n"));
        assert_eq!(standing.ratios_text(&[]), "");
        assert!(standing.to_string().contains("(r )        50/s  theirs\n"));
    }
}
