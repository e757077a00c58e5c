//! The plots of a report: rate, latency and stock over time, and the distribution of latencies.

use super::plot::{Layer, Plot, Scale};
use super::{Legend, count, ms};
use crate::distribution::Distribution;
use crate::report::Report;
use crate::sampler::StockSamples;
use crate::series::Second;

/// Columns of a plot over time at most; of longer runs several seconds share one.
const COLUMNS_MAX: usize = 600;

/// A plot with its heading and legend.
pub(super) struct Chart {
    /// What it is called.
    pub(super) title: &'static str,
    /// What has to be known to read it.
    pub(super) note: String,
    /// Classes and names of what it shows.
    pub(super) legend: Legend,
    /// The drawing.
    pub(super) plot: Plot,
}

/// Seconds that share a column: their mean rates and their worst latencies.
struct Column {
    from_s: f64,
    to_s: f64,
    sent: f64,
    /// By outcome, in the order of [`OUTCOMES`].
    per_s: [f64; 7],
    p50_us: Option<u64>,
    p99_us: Option<u64>,
    max_us: Option<u64>,
}

const OUTCOMES: [(&str, &str); 7] = [
    ("accepted", "accepted"),
    ("waiting", "told to wait"),
    ("replayed", "replayed"),
    ("refused", "refused"),
    ("cancelled", "cancelled"),
    ("followed-up", "payment steps"),
    ("failed", "failed"),
];

/// All plots that the report has figures for.
pub(super) fn charts(report: &Report) -> Vec<Chart> {
    let columns = columns(&report.seconds);
    let time = TimeAxis::of(report, &columns);
    let mut charts = Vec::new();
    if !columns.is_empty() {
        charts.push(rate(&columns, &time));
    }
    charts.extend(latency(&columns, &time));
    charts.extend(
        report
            .stock_samples
            .as_ref()
            .filter(|stock| stock.samples.len() > 1)
            .map(|stock| stock_chart(stock, &time)),
    );
    charts.extend(distribution(report));
    charts
}

fn columns(seconds: &[Second]) -> Vec<Column> {
    let per_column = seconds.len().div_ceil(COLUMNS_MAX).max(1);
    let column = |seconds: &[Second]| {
        let length_s = seconds.len() as f64;
        let mean =
            |count: fn(&Second) -> u64| seconds.iter().map(count).sum::<u64>() as f64 / length_s;
        let worst = |figure: fn(&Second) -> Option<u64>| seconds.iter().filter_map(figure).max();
        let from_s = seconds[0].at_s as f64;
        Column {
            from_s,
            to_s: from_s + length_s,
            sent: mean(|second| second.sent),
            per_s: [
                mean(|second| second.accepted),
                mean(|second| second.waiting),
                mean(|second| second.replayed),
                mean(|second| second.refused),
                mean(|second| second.cancelled),
                mean(|second| second.followed_up),
                mean(|second| second.failed),
            ],
            p50_us: worst(|second| second.p50_us),
            p99_us: worst(|second| second.p99_us),
            max_us: worst(|second| second.max_us),
        }
    };
    seconds.chunks(per_column).map(column).collect()
}

/// What plots over time have in common.
struct TimeAxis {
    scale: Scale,
    spans: Vec<(f64, f64, &'static str)>,
    marks: Vec<(f64, &'static str)>,
}

impl TimeAxis {
    fn of(report: &Report, columns: &[Column]) -> TimeAxis {
        let from_s = columns.first().map_or(0.0, |column| column.from_s);
        let to_s = columns.last().map_or(1.0, |column| column.to_s).max(from_s + 1.0);
        let warm_up = (from_s < 0.0).then_some((from_s, 0.0, "warm-up"));
        let spike = report.run.spike.map(|spike| (spike.quiet_s, "spike"));
        TimeAxis {
            scale: Scale::Linear(from_s, to_s),
            spans: warm_up.into_iter().collect(),
            marks: spike.into_iter().collect(),
        }
    }

    fn plot(
        &self,
        y: (Scale, Vec<(f64, String)>),
        layers: Vec<Layer>,
        tips: Vec<(f64, f64, String)>,
        label: &str,
    ) -> Plot {
        let ticks = self.scale.ticks().into_iter().map(|tick| (tick, format!("{tick} s")));
        Plot {
            x: (self.scale, ticks.collect()),
            y,
            layers,
            spans: self.spans.clone(),
            marks: self.marks.clone(),
            tips,
            label: label.to_owned(),
        }
    }
}

fn rate(columns: &[Column], time: &TimeAxis) -> Chart {
    let all = |column: &Column| column.per_s.iter().sum::<f64>();
    let most = columns.iter().map(|column| all(column).max(column.sent)).fold(0.0, f64::max);
    let mut layers = Vec::new();
    let mut legend = Vec::new();
    for (index, (class, name)) in OUTCOMES.into_iter().enumerate() {
        if columns.iter().all(|column| column.per_s[index] == 0.0) {
            continue;
        }
        let below = |column: &Column| column.per_s[..index].iter().sum::<f64>();
        let points = columns.iter().flat_map(|column| {
            let (low, high) = (below(column), below(column) + column.per_s[index]);
            [(column.from_s, low, high), (column.to_s, low, high)]
        });
        layers.push(Layer::Area { class, points: points.collect() });
        legend.push((class, name));
    }
    let sent = columns
        .iter()
        .flat_map(|column| [(column.from_s, column.sent), (column.to_s, column.sent)]);
    layers.push(Layer::Line { class: "sent", points: sent.collect() });
    legend.push(("sent", "sent"));
    let tips = columns.iter().map(|column| {
        let mut text = format!("{}: sent {}/s", span(column), count(column.sent));
        for ((_, name), per_s) in OUTCOMES.iter().zip(column.per_s) {
            if per_s > 0.0 {
                text += &format!("\n{name} {}/s", count(per_s));
            }
        }
        (column.from_s, column.to_s, text)
    });
    let scale = Scale::from_zero(most);
    let ticks = scale.ticks().into_iter().map(|tick| (tick, count(tick))).collect();
    let label = "requests a second by outcome, over time";
    Chart {
        title: "Rate",
        note: "requests a second, by outcome, in the second in which the answer came".to_owned(),
        legend,
        plot: time.plot((scale, ticks), layers, tips.collect(), label),
    }
}

fn latency(columns: &[Column], time: &TimeAxis) -> Option<Chart> {
    type Figure = fn(&Column) -> Option<u64>;
    let lines: [(&str, &str, Figure); 3] = [
        ("max", "max", |column| column.max_us),
        ("p99", "p99", |column| column.p99_us),
        ("p50", "p50", |column| column.p50_us),
    ];
    let least = columns.iter().filter_map(|column| column.p50_us).min()?;
    let most = columns.iter().filter_map(|column| column.max_us).max()?;
    let in_ms = |us: u64| us.max(1) as f64 / 1_000.0;
    let scale = Scale::logarithmic(in_ms(least), in_ms(most));
    let layers = lines.iter().map(|(class, _, figure)| {
        let points = columns.iter().filter_map(|column| {
            Some(((column.from_s + column.to_s) / 2.0, in_ms(figure(column)?)))
        });
        Layer::Line { class, points: points.collect() }
    });
    let tips = columns.iter().filter_map(|column| {
        let text = format!(
            "{}: p50 {} ms\np99 {} ms\nmax {} ms",
            span(column),
            ms(column.p50_us?),
            ms(column.p99_us?),
            ms(column.max_us?)
        );
        Some((column.from_s, column.to_s, text))
    });
    let ticks = scale.ticks().into_iter().map(|tick| (tick, format!("{tick} ms"))).collect();
    Some(Chart {
        title: "Latency",
        note: "of all answers, from when each request was due; logarithmic".to_owned(),
        legend: lines.iter().map(|(class, name, _)| (*class, *name)).collect(),
        plot: time.plot((scale, ticks), layers.collect(), tips.collect(), "latency over time"),
    })
}

fn stock_chart(stock: &StockSamples, time: &TimeAxis) -> Chart {
    let parts = |sample: &crate::sampler::StockSample| {
        [sample.sold.unwrap_or(0), sample.held.unwrap_or(0), sample.available]
            .map(|units| units as f64)
    };
    let names = [("sold", "sold"), ("held", "held"), ("available", "available")];
    let most = stock.samples.iter().map(|sample| parts(sample).iter().sum()).fold(0.0, f64::max);
    let mut legend = Vec::new();
    let mut layers = Vec::new();
    for (index, (class, name)) in names.into_iter().enumerate() {
        if stock.samples.iter().all(|sample| parts(sample)[index] == 0.0) {
            continue;
        }
        let points = stock.samples.iter().map(|sample| {
            let parts = parts(sample);
            let low: f64 = parts[..index].iter().sum();
            (sample.at_s, low, low + parts[index])
        });
        layers.push(Layer::Area { class, points: points.collect() });
        legend.push((class, name));
    }
    let tips = stock.samples.windows(2).map(|pair| {
        let mut text = format!("{:.0} s", pair[0].at_s);
        for ((_, name), units) in names.iter().zip(parts(&pair[0])).rev() {
            text += &format!("\n{name} {units}");
        }
        (pair[0].at_s, pair[1].at_s, text)
    });
    let scale = Scale::from_zero(most);
    let ticks = scale.ticks().into_iter().map(|tick| (tick, count(tick))).collect();
    let of = match stock.skus.as_slice() {
        [sku] => sku.clone(),
        skus => format!("all {} SKUs together", skus.len()),
    };
    Chart {
        title: "Stock",
        note: format!("units of {of}"),
        legend,
        plot: time.plot((scale, ticks), layers, tips.collect(), "stock over time"),
    }
}

fn distribution(report: &Report) -> Option<Chart> {
    let lines: Vec<(&'static str, &'static str, &Distribution)> = [
        ("corrected", "from when it was due", &report.distribution),
        ("raw", "raw, from when it was sent", &report.raw_distribution),
    ]
    .into_iter()
    .filter_map(|(class, name, distribution)| Some((class, name, distribution.as_ref()?)))
    .collect();
    let least =
        lines.iter().filter_map(|(_, _, of)| of.points.first()).map(|p| p.value_us).min()?;
    let most = lines.iter().map(|(_, _, of)| of.max_us).max()?;
    let count = lines.iter().map(|(_, _, of)| of.count).max()?;
    let in_ms = |us: u64| us.max(1) as f64 / 1_000.0;
    let y = Scale::logarithmic(in_ms(least), in_ms(most));
    // By how often it is exceeded: each tick to the right is ten times rarer.
    let x = Scale::Log(1.0, (count as f64).max(10.0));
    let rarity = |percentile: f64| 1.0 / (1.0 - percentile / 100.0).max(1.0 / count as f64);
    let layers = lines.iter().map(|(class, _, of)| {
        let points = of.points.iter().map(|p| (rarity(p.percentile), in_ms(p.value_us)));
        Layer::Line { class, points: points.collect() }
    });
    let nines = [(1.0, "0 %"), (2.0, "50 %"), (1e1, "90 %"), (1e2, "99 %"), (1e3, "99.9 %")];
    let more = [(1e4, "99.99 %"), (1e5, "99.999 %"), (1e6, "99.9999 %")];
    let ticks = nines.into_iter().chain(more).filter(|(at, _)| *at <= count as f64);
    let y_ticks = y.ticks().into_iter().map(|tick| (tick, format!("{tick} ms"))).collect();
    Some(Chart {
        title: "Distribution",
        note: "of the latencies of all orders, by percentile; both axes logarithmic".to_owned(),
        legend: lines.iter().map(|(class, name, _)| (*class, *name)).collect(),
        plot: Plot {
            x: (x, ticks.map(|(at, label)| (at, label.to_owned())).collect()),
            y: (y, y_ticks),
            layers: layers.collect(),
            spans: Vec::new(),
            marks: Vec::new(),
            tips: Vec::new(),
            label: "latency by percentile".to_owned(),
        },
    })
}

fn span(column: &Column) -> String {
    match column.to_s - column.from_s > 1.0 {
        true => format!("{} s to {} s", column.from_s, column.to_s),
        false => format!("{} s", column.from_s),
    }
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS_MAX, charts, columns};
    use crate::report::a_report;
    use crate::sampler::{StockSample, StockSamples};
    use crate::series::Second;

    fn second(at_s: i64, accepted: u64) -> Second {
        let (p50_us, p99_us, max_us) = (Some(400), Some(900), Some(2_000));
        Second { at_s, sent: accepted, accepted, p50_us, p99_us, max_us, ..Second::default() }
    }

    #[test]
    fn long_runs_share_columns() {
        let seconds: Vec<Second> = (-1..5_999).map(|at_s| second(at_s, 1)).collect();
        let columns = columns(&seconds);
        assert_eq!(columns.len(), COLUMNS_MAX);
        assert_eq!((columns[0].from_s, columns[0].to_s, columns[0].per_s[0]), (-1.0, 9.0, 1.0));
    }

    #[test]
    fn a_chart_is_drawn_for_what_was_measured_and_no_other() {
        let mut report = a_report();
        report.seconds = Vec::new();
        assert_eq!(charts(&report).len(), 0);
        report.seconds = vec![second(-1, 5), second(0, 9)];
        let sample = |at_s| StockSample { at_s, available: 3, held: Some(2), sold: Some(0) };
        let samples = vec![sample(0.0), sample(1.0)];
        report.stock_samples = Some(StockSamples { skus: vec!["a".to_owned()], samples });
        let charts = charts(&report);
        let titles: Vec<&str> = charts.iter().map(|chart| chart.title).collect();
        assert_eq!(titles, ["Rate", "Latency", "Stock"]);
        assert_eq!(charts[0].legend, [("accepted", "accepted"), ("sent", "sent")]);
        assert_eq!(charts[2].legend, [("held", "held"), ("available", "available")]);
        assert_eq!(charts[1].plot.spans, [(-1.0, 0.0, "warm-up")]);
    }
}
