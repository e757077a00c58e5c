//! Plots as SVG: axes, areas, lines, and what a pointer is told. Colours are classes of the page's style.

use std::fmt::Write as _;

use super::escape;

/// Units of the drawing; the page scales it.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 28.0;
/// Lines with no more points than this show each of them.
const DOTTED_MAX: usize = 90;
/// About how many ticks an axis has.
const TICKS: f64 = 6.0;

/// How numbers lie along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// In proportion, from the first to the second.
    Linear(f64, f64),
    /// By their logarithm; both are above zero.
    Log(f64, f64),
}

/// A number of an axis, and its label.
type Tick = (f64, String);

impl Scale {
    /// From zero to a round number that is no smaller than `most`.
    pub(super) fn from_zero(most: f64) -> Scale {
        let step = round_step(most.max(f64::MIN_POSITIVE) / TICKS);
        Scale::Linear(0.0, (most / step).ceil().max(1.0) * step)
    }

    /// From a power of ten (or 2 or 5 times one) below `least` to one above `most`.
    pub(super) fn logarithmic(least: f64, most: f64) -> Scale {
        let low = round_step(least / 2.001);
        let high = round_step(most);
        Scale::Log(low, high.max(low * 10.0))
    }

    /// Where a number lies, from 0 to 1.
    fn share(self, number: f64) -> f64 {
        let share = match self {
            Scale::Linear(low, high) => (number - low) / (high - low),
            Scale::Log(low, high) => (number.max(low) / low).ln() / (high / low).ln(),
        };
        share.clamp(0.0, 1.0)
    }

    /// Round numbers along the axis.
    pub(super) fn ticks(self) -> Vec<f64> {
        match self {
            Scale::Linear(low, high) => {
                let step = round_step((high - low) / TICKS);
                let first = (low / step).ceil() as i64;
                let last = (high / step + 1e-9).floor() as i64;
                (first..=last).map(|count| count as f64 * step).collect()
            }
            Scale::Log(low, high) => {
                let wide = high / low > 2_000.0;
                let factors: &[f64] = if wide { &[1.0] } else { &[1.0, 2.0, 5.0] };
                let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
                decades
                    .flat_map(|decade| {
                        factors.iter().map(move |factor| factor * 10f64.powi(decade))
                    })
                    .filter(|tick| *tick >= low * 0.999 && *tick <= high * 1.001)
                    .collect()
            }
        }
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is no smaller than `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= least * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

/// Something drawn over the axes.
pub(super) enum Layer {
    /// Filled from the second number to the third at each first.
    Area {
        /// The style's class.
        class: &'static str,
        /// From left to right.
        points: Vec<(f64, f64, f64)>,
    },
    /// From point to point.
    Line {
        /// The style's class.
        class: &'static str,
        /// From left to right.
        points: Vec<(f64, f64)>,
    },
}

/// A plot.
pub(super) struct Plot {
    /// The axis to the right, and its labels.
    pub(super) x: (Scale, Vec<Tick>),
    /// The axis upwards, and its labels.
    pub(super) y: (Scale, Vec<Tick>),
    /// What is drawn, the first lowest.
    pub(super) layers: Vec<Layer>,
    /// Spans that are shaded, with their names.
    pub(super) spans: Vec<(f64, f64, &'static str)>,
    /// Moments that are marked, with their names.
    pub(super) marks: Vec<(f64, &'static str)>,
    /// What a pointer between two numbers is told.
    pub(super) tips: Vec<(f64, f64, String)>,
    /// What the plot shows, for those who do not see it.
    pub(super) label: String,
}

impl Plot {
    /// The plot as an `svg` element.
    pub(super) fn svg(&self) -> String {
        let mut out = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escape(&self.label)
        );
        self.write_spans(&mut out);
        self.write_grid(&mut out);
        for layer in &self.layers {
            self.write_layer(&mut out, layer);
        }
        self.write_marks(&mut out);
        for (from, to, text) in &self.tips {
            let (left, right) = (self.left(*from), self.left(*to));
            let _ = write!(
                out,
                "<rect class=\"tip\" x=\"{left:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{}\"><title>{}</title></rect>",
                (right - left).max(0.1),
                HEIGHT - TOP - BOTTOM,
                escape(text)
            );
        }
        out.push_str("</svg>");
        out
    }

    fn left(&self, number: f64) -> f64 {
        LEFT + self.x.0.share(number) * (WIDTH - LEFT - RIGHT)
    }

    fn top(&self, number: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.0.share(number) * (HEIGHT - TOP - BOTTOM)
    }

    fn write_grid(&self, out: &mut String) {
        let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (number, label) in &self.y.1 {
            let top = self.top(*number);
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{LEFT} {top:.1}H{right}\"/><text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                top + 4.0,
                escape(label)
            );
        }
        for (number, label) in &self.x.1 {
            let left = self.left(*number);
            let _ = write!(
                out,
                "<path class=\"axis\" d=\"M{left:.1} {floor}v4\"/><text class=\"tick\" x=\"{left:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                floor + 18.0,
                escape(label)
            );
        }
        let _ = write!(out, "<path class=\"axis\" d=\"M{LEFT} {floor}H{right}\"/>");
    }

    fn write_layer(&self, out: &mut String, layer: &Layer) {
        match layer {
            Layer::Area { class, points } => {
                let up = points.iter().map(|&(x, _, high)| (x, high));
                let down = points.iter().rev().map(|&(x, low, _)| (x, low));
                let path = self.path(up.chain(down));
                let _ = write!(out, "<path class=\"area {class}\" d=\"{path}Z\"/>");
            }
            Layer::Line { class, points } => {
                let path = self.path(points.iter().copied());
                let _ = write!(out, "<path class=\"line {class}\" d=\"{path}\"/>");
                if points.len() <= DOTTED_MAX {
                    for &(x, y) in points {
                        let (left, top) = (self.left(x), self.top(y));
                        let _ = write!(
                            out,
                            "<circle class=\"dot {class}\" cx=\"{left:.1}\" cy=\"{top:.1}\" r=\"2\"/>"
                        );
                    }
                }
            }
        }
    }

    fn path(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
        let mut path = String::new();
        for (index, (x, y)) in points.enumerate() {
            let letter = if index == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", self.left(x), self.top(y));
        }
        path
    }

    fn write_spans(&self, out: &mut String) {
        for (from, to, name) in &self.spans {
            let (left, right) = (self.left(*from), self.left(*to));
            let _ = write!(
                out,
                "<rect class=\"span\" x=\"{left:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{}\"/><text class=\"note\" x=\"{:.1}\" y=\"{}\">{name}</text>",
                right - left,
                HEIGHT - TOP - BOTTOM,
                left + 4.0,
                TOP + 12.0
            );
        }
    }

    fn write_marks(&self, out: &mut String) {
        for (at, name) in &self.marks {
            let left = self.left(*at);
            let _ = write!(
                out,
                "<path class=\"mark\" d=\"M{left:.1} {TOP}V{}\"/><text class=\"note\" x=\"{:.1}\" y=\"{}\">{name}</text>",
                HEIGHT - BOTTOM,
                left + 4.0,
                TOP + 12.0
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Layer, Plot, Scale};

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!(Scale::from_zero(873.0), Scale::Linear(0.0, 1_000.0));
        assert_eq!(Scale::from_zero(1_201.0), Scale::Linear(0.0, 1_500.0));
        assert_eq!(Scale::from_zero(0.0).ticks().first(), Some(&0.0));
        assert_eq!(Scale::logarithmic(0.3, 29.2), Scale::Log(0.2, 50.0));
        assert_eq!(Scale::logarithmic(7.0, 7.0), Scale::Log(5.0, 50.0));
    }

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(Scale::Linear(0.0, 10.0).ticks(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(Scale::Linear(-2.0, 8.0).ticks(), [-2.0, 0.0, 2.0, 4.0, 6.0, 8.0]);
        let close = Scale::Log(0.5, 20.0).ticks();
        assert_eq!(close, [0.5, 1.0, 2.0, 5.0, 10.0, 20.0]);
        assert_eq!(Scale::Log(0.01, 1_000.0).ticks().len(), 6);
    }

    #[test]
    fn texts_are_escaped_and_points_lie_within_the_plot() {
        let plot = Plot {
            x: (Scale::Linear(0.0, 10.0), vec![(5.0, "<5>".to_owned())]),
            y: (Scale::Linear(0.0, 2.0), Vec::new()),
            layers: vec![
                Layer::Line { class: "p50", points: vec![(0.0, 0.0), (10.0, 99.0)] },
                Layer::Area { class: "held", points: vec![(0.0, 0.0, 1.0), (10.0, 0.0, 2.0)] },
            ],
            spans: vec![(0.0, 5.0, "warm-up")],
            marks: vec![(5.0, "spike")],
            tips: vec![(0.0, 1.0, "a & b".to_owned())],
            label: "\"x\"".to_owned(),
        };
        let svg = plot.svg();
        assert!(svg.contains("&lt;5&gt;") && svg.contains("a &amp; b"), "{svg}");
        assert!(svg.contains("aria-label=\"&quot;x&quot;\""), "{svg}");
        assert!(svg.contains("d=\"M60.0 252.0L948.0 12.0\""), "{svg}");
        assert!(svg.contains("d=\"M60.0 132.0L948.0 12.0L948.0 252.0L60.0 252.0Z\""), "{svg}");
    }
}
