//! The display while a run goes on: lines that redraw on a terminal, and plain lines elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::progress::{Phase, Progress, Tick};
use crate::series::Second;

/// How often a plain line is written within one phase.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Codes of refusals shown; the most frequent ones.
const CODES_SHOWN_MAX: usize = 4;

/// Shows a run on standard error: on a terminal three lines that redraw and go away when it is dropped, elsewhere
/// one line at the beginning of each phase and then one every five seconds.
pub struct Live {
    bar: ProgressBar,
    is_terminal: bool,
    last_line: Option<(Phase, Duration)>,
}

impl Live {
    /// A display on standard error.
    pub fn new() -> Live {
        let bar = ProgressBar::new(SHARES);
        let is_terminal = !bar.is_hidden();
        if let Ok(style) = ProgressStyle::with_template("{prefix:>12} [{bar:40}] {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Live { bar, is_terminal, last_line: None }
    }
}

/// The bar's length: thousandths of a phase.
const SHARES: u64 = 1_000;

impl Default for Live {
    fn default() -> Live {
        Live::new()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Live {
    fn tick(&mut self, tick: &Tick) {
        if self.is_terminal {
            self.bar.set_prefix(tick.phase.name());
            self.bar.set_position((tick.share().unwrap_or(0.0) * SHARES as f64) as u64);
            self.bar.set_message(message(tick, "\n             "));
            return;
        }
        let is_due = match self.last_line {
            Some((phase, at)) => phase != tick.phase || tick.elapsed >= at + LINE_EVERY,
            None => true,
        };
        if is_due {
            self.last_line = Some((tick.phase, tick.elapsed));
            eprintln!("{}: {}", tick.phase.name(), message(tick, "; "));
        }
    }
}

/// What is told of a tick; its parts are parted by `next`.
fn message(tick: &Tick, next: &str) -> String {
    if !matches!(tick.phase, Phase::WarmUp | Phase::Rush) {
        return match tick.total {
            Some(total) => format!("{} of {total}", tick.done),
            None => format!("{:.0} s", tick.elapsed.as_secs_f64()),
        };
    }
    let mut text = format!("{:.0} s", tick.elapsed.as_secs_f64());
    if let Some(left) = left(tick) {
        text += &format!(", {left:.0} s left");
    }
    if let Some(second) = &tick.last_second {
        text += &format!("{next}{}", of_second(second));
    }
    text += &format!(
        "{next}{} accepted, {} refused, {} unknown",
        tick.accepted, tick.refused, tick.unknown
    );
    let mut codes: Vec<(&String, &u64)> = tick.refusals.iter().collect();
    codes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (code, count) in codes.iter().take(CODES_SHOWN_MAX) {
        text += &format!(", {code} {count}");
    }
    text
}

fn of_second(second: &Second) -> String {
    let answers = second.accepted
        + second.waiting
        + second.replayed
        + second.refused
        + second.cancelled
        + second.followed_up
        + second.failed;
    let mut text = format!("{}/s sent, {answers}/s answered", second.sent);
    if let (Some(p50_us), Some(p99_us)) = (second.p50_us, second.p99_us) {
        text += &format!(", p50 {} ms, p99 {} ms", ms(p50_us), ms(p99_us));
    }
    text
}

fn ms(us: u64) -> String {
    format!("{:.2}", us as f64 / 1_000.0)
}

/// Seconds that are left, by the share that is over.
fn left(tick: &Tick) -> Option<f64> {
    let share = tick.share().filter(|share| *share > 0.0)?;
    Some(tick.elapsed.as_secs_f64() * (1.0 - share) / share)
}

#[cfg(test)]
mod tests {
    use super::message;
    use crate::progress::{Phase, Tick};
    use crate::series::Second;
    use std::time::Duration;

    #[test]
    fn a_rush_tells_rate_percentiles_refusals_and_the_time_left() {
        let mut tick = Tick::at(Phase::Rush, 900, None);
        tick.elapsed = Duration::from_secs(5);
        tick.whole = Some(Duration::from_secs(20));
        (tick.accepted, tick.refused) = (100, 800);
        for (code, count) in [("a", 1), ("sold_out", 500), ("b", 2), ("c", 3), ("d", 4)] {
            tick.refusals.insert(code.to_owned(), count);
        }
        tick.last_second = Some(Second {
            sent: 200,
            accepted: 20,
            refused: 170,
            p50_us: Some(350),
            p99_us: Some(1_200),
            ..Second::default()
        });
        assert_eq!(
            message(&tick, "; "),
            "5 s, 15 s left; 200/s sent, 190/s answered, p50 0.35 ms, p99 1.20 ms; \
             100 accepted, 800 refused, 0 unknown, sold_out 500, d 4, c 3, b 2"
        );
    }

    #[test]
    fn the_share_is_that_of_what_ends_the_phase_first() {
        let mut tick = Tick::at(Phase::Rush, 90, Some(100));
        assert_eq!(tick.share(), Some(0.9));
        tick.elapsed = Duration::from_secs(1);
        tick.whole = Some(Duration::from_secs(10));
        assert_eq!(tick.share(), Some(0.9));
        tick.elapsed = Duration::from_secs(20);
        assert_eq!(tick.share(), Some(1.0));
        assert_eq!(Tick::at(Phase::Rush, 5, None).share(), None);
    }

    #[test]
    fn other_phases_count() {
        assert_eq!(message(&Tick::at(Phase::ReadBack, 3, Some(9)), "; "), "3 of 9");
    }
}
