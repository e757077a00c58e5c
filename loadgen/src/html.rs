//! The report as one HTML page: figures, plots and verdicts, with nothing to be fetched and no script.
//!
//! Everything that came from outside, a server's words above all, is escaped.

mod charts;
mod plot;

use std::fmt::Write as _;

use crate::report::{Audit, Report, Timeliness, WorkSent};
use crate::tally::Quantiles;

const STYLE: &str = include_str!("html/style.css");

/// Classes and names of what a plot shows.
type Legend = Vec<(&'static str, &'static str)>;

impl Report {
    /// The report as a page that needs nothing but a browser, in light or dark as the reader has it.
    pub fn html(&self) -> String {
        let title = format!("Load report {}", escape(&self.run.run_id));
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{title}</title><style>{STYLE}</style></head><body><main>\n"
        );
        page += &head(self, &title);
        page += &verdicts(self);
        page += &figures(self);
        for chart in charts::charts(self) {
            let _ = writeln!(
                page,
                "<section>{}<h2>{}</h2><p class=\"note\">{}</p>{}</section>",
                legend(&chart.legend),
                chart.title,
                escape(&chart.note),
                chart.plot.svg()
            );
        }
        page += &latencies(self);
        page += "<div class=\"pair\">";
        page += &answers(self);
        page += &sending(self);
        page += "</div>";
        page += &thresholds(self);
        if let Some(audit) = &self.audit {
            page += &audited(audit);
        }
        page += &stock(self);
        page += &settings(self);
        page += "</main></body></html>\n";
        page
    }
}

/// Text that may stand anywhere in the page, in quotes too.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            char => out.push(char),
        }
    }
    out
}

/// A count or a rate, with its thousands parted; small rates with a decimal.
fn count(number: f64) -> String {
    if number > 0.0 && number < 10.0 && number.fract() != 0.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && out != "-" {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Microseconds as milliseconds, to three digits or so.
fn ms(us: u64) -> String {
    let ms = us as f64 / 1_000.0;
    match us {
        0..10_000 => format!("{ms:.3}"),
        10_000..100_000 => format!("{ms:.2}"),
        100_000..1_000_000 => format!("{ms:.1}"),
        _ => format!("{ms:.0}"),
    }
}

fn head(report: &Report, title: &str) -> String {
    let run = &report.run;
    let rate = match run.rate_asked_per_s {
        Some(rate) => format!("open loop, {}/s", count(rate)),
        None => "closed loop".to_owned(),
    };
    let spike = run.spike.map_or(String::new(), |spike| {
        format!(", {} × at {} s, decay {} s", spike.factor, spike.quiet_s, spike.decay_s)
    });
    let warm_up = match run.warm_up_s > 0.0 {
        true => format!(" after {} s of warm-up", run.warm_up_s),
        false => String::new(),
    };
    format!(
        "<h1>{title}</h1><p class=\"quiet\">{}, {}: {rate}{spike}, {} s{warm_up}, {} connections</p>\n",
        escape(&run.target),
        escape(&run.started_at),
        run.duration_s,
        run.connections
    )
}

fn verdict(is_good: Option<bool>, text: &str) -> String {
    let class = match is_good {
        Some(true) => " good",
        Some(false) => " bad",
        None => "",
    };
    format!("<span class=\"verdict{class}\">{}</span>", escape(text))
}

fn verdicts(report: &Report) -> String {
    let mut out = "<div class=\"verdicts\">".to_owned();
    out += &match &report.audit {
        Some(audit) if audit.passed => verdict(Some(true), "Audit passed"),
        Some(_) => verdict(Some(false), "Audit FAILED"),
        None => verdict(None, "No audit"),
    };
    out += &match report.sending.timeliness {
        Timeliness::OnTime => verdict(Some(true), "Sent on time"),
        Timeliness::ConnectionsBusy => verdict(None, "Connections were all busy"),
        Timeliness::GeneratorOverloaded => verdict(Some(false), "Not valid: generator overloaded"),
        Timeliness::GeneratorHeldUp => verdict(Some(false), "Not valid: generator was late"),
        Timeliness::NotPlanned => verdict(None, "Closed loop: queueing is not seen"),
    };
    for judged in &report.thresholds {
        let word = if judged.failed { "came true" } else { "did not come true" };
        out += &verdict(Some(!judged.failed), &format!("{} {word}", judged.condition));
    }
    if report.run.stopped_early {
        out += &verdict(None, "Stopped early");
    }
    out + "</div>\n"
}

fn figures(report: &Report) -> String {
    let (sending, answers) = (&report.sending, &report.answers);
    let mut figures = vec![
        ("offered", format!("{}/s", count(sending.offered_per_s))),
        ("answered", format!("{}/s", count(answers.answered_per_s))),
        ("accepted", count(answers.accepted as f64)),
        ("refused", count(answers.refused as f64)),
    ];
    if let Some(all) = answers.latency_all {
        figures.push(("p50", format!("{} ms", ms(all.p50_us))));
        figures.push(("p99", format!("{} ms", ms(all.p99_us))));
        figures.push(("max", format!("{} ms", ms(all.max_us))));
    }
    if let Some(lag) = sending.own_lag {
        figures.push(("generator late, p99.9", format!("{} ms", ms(lag.p999_us))));
    }
    let figures = figures.iter().map(|(name, figure)| {
        format!("<div class=\"figure\"><b>{figure}</b><span>{name}</span></div>")
    });
    format!("<div class=\"figures\">{}</div>\n", figures.collect::<String>())
}

fn legend(legend: &Legend) -> String {
    let entries =
        legend.iter().map(|(class, name)| format!("<i class=\"{class}\"></i>{}", escape(name)));
    format!("<div class=\"legend\">{}</div>", entries.collect::<String>())
}

fn row(class: &str, cells: &[String]) -> String {
    let cells = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect::<String>();
    format!("<tr class=\"{class}\">{cells}</tr>")
}

/// A section with a table of names and words; the words are escaped here.
fn words(title: &str, rows: &[(String, String)]) -> String {
    let rows = rows.iter().map(|(name, text)| row("", &[escape(name), escape(text)]));
    format!(
        "<section><h2>{title}</h2><table class=\"words\">{}</table></section>\n",
        rows.collect::<String>()
    )
}

fn latencies(report: &Report) -> String {
    let cells = |name: &str, times: Quantiles| {
        let times_us = [times.p50_us, times.p90_us, times.p99_us, times.p999_us, times.max_us];
        let mut cells = vec![name.to_owned()];
        cells.extend(times_us.map(ms));
        cells.push(count(times.count as f64));
        cells
    };
    let mut rows = String::new();
    for (name, corrected, raw) in report.answers.latencies() {
        let (Some(corrected), Some(raw)) = (corrected, raw) else { continue };
        rows += &row("", &cells(name, corrected));
        if report.run.rate_asked_per_s.is_some() {
            rows += &row("raw", &cells("raw", raw));
        }
    }
    format!(
        "<section><h2>Latency in ms</h2><p class=\"note\">From when a request was due: what its buyer waited. \
         Raw, from when it was sent: without the time in which it could not be.</p>\
         <table><tr><th></th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th><th>answers</th></tr>\
         {rows}</table></section>\n"
    )
}

fn answers(report: &Report) -> String {
    let answers = &report.answers;
    let mut rows = vec![
        ("answers".to_owned(), answers.count),
        ("accepted".to_owned(), answers.accepted),
        ("replayed".to_owned(), answers.replayed),
        ("cancelled".to_owned(), answers.cancelled),
        ("refused".to_owned(), answers.refused),
    ];
    let beyond = [("told to wait", answers.waiting), ("payment steps", answers.followed_up)];
    let beyond = beyond.into_iter().filter(|(_, number)| *number > 0);
    rows.extend(beyond.map(|(name, number)| (name.to_owned(), number)));
    rows.extend(answers.refusals.iter().map(|(code, count)| (format!("— {code}"), *count)));
    rows.push(("unknown outcome".to_owned(), answers.unknown));
    rows.extend(
        answers.errors.iter().map(|(failure, count)| (format!("— {}", failure.words()), *count)),
    );
    rows.push(("unexpected".to_owned(), answers.unexpected));
    if let Some(buyers) = report.buyers_served {
        rows.push(("buyers served".to_owned(), buyers));
    }
    let rows: Vec<(String, String)> =
        rows.into_iter().map(|(name, number)| (name, count(number as f64))).collect();
    words("Answers", &rows)
}

fn sending(report: &Report) -> String {
    let sending = &report.sending;
    let mut rows = vec![
        ("planned".to_owned(), count(sending.planned as f64)),
        ("sent".to_owned(), count(sending.sent as f64)),
        ("never sent".to_owned(), count(sending.never_sent as f64)),
        ("cancels sent".to_owned(), count(sending.cancels_sent as f64)),
    ];
    for (name, lag) in [("late by", sending.lag), ("late by own fault", sending.own_lag)] {
        if let Some(lag) = lag {
            let text = format!(
                "p50 {} ms, p99 {} ms, p99.9 {} ms, max {} ms",
                ms(lag.p50_us),
                ms(lag.p99_us),
                ms(lag.p999_us),
                ms(lag.max_us)
            );
            rows.push((name.to_owned(), text));
        }
    }
    let bound = format!("{} ms at p99.9, by own fault", ms(sending.lag_max_us));
    rows.push(("allowed".to_owned(), bound));
    rows.push(("generator busy".to_owned(), format!("{:.1} %", sending.busy_percent)));
    let connections = format!(
        "{} at the start, {} opened again, {} openings failed",
        sending.connections_at_start, sending.reconnects, sending.connect_failures
    );
    rows.push(("connections".to_owned(), connections));
    words("Sending", &rows)
}

fn thresholds(report: &Report) -> String {
    if report.thresholds.is_empty() {
        return String::new();
    }
    let rows = report.thresholds.iter().map(|judged| {
        let measured = judged.measured.as_deref().unwrap_or("not measured");
        let verdict = match judged.failed {
            true => "<span class=\"bad\">failed</span>",
            false => "<span class=\"good\">passed</span>",
        };
        row("", &[escape(&judged.condition), escape(measured), verdict.to_owned()])
    });
    format!(
        "<section><h2>Fail if</h2><table class=\"words\">{}</table></section>\n",
        rows.collect::<String>()
    )
}

fn audited(audit: &Audit) -> String {
    let states: Vec<String> =
        audit.by_status.iter().map(|(status, orders)| format!("{status} {orders}")).collect();
    let mut rows = vec![
        ("acknowledged orders".to_owned(), count(audit.orders as f64)),
        ("found again".to_owned(), count(audit.orders_found as f64)),
        ("same on repeat".to_owned(), count(audit.repeats_same as f64)),
        ("states now".to_owned(), states.join(", ")),
    ];
    if audit.cancels + audit.cancels_unknown > 0 {
        let text = format!(
            "{} acknowledged, {} found cancelled, {} with unknown outcome",
            audit.cancels, audit.cancelled_found, audit.cancels_unknown
        );
        rows.push(("cancelled".to_owned(), text));
    }
    if audit.abandoned > 0 {
        let text = format!("{}, of them expired {}", audit.abandoned, audit.abandoned_expired);
        rows.push(("abandoned".to_owned(), text));
    }
    rows.extend(audit.courses().into_iter().map(|(name, text)| (name.to_owned(), text)));
    let mut out = words("Audit from outside", &rows);
    for (kind, finding) in &audit.findings {
        let _ = writeln!(
            out,
            "<section><h2 class=\"bad\">{}: {}</h2><pre>{}</pre></section>",
            escape(kind.words()),
            finding.count,
            escape(&finding.examples.join("\n"))
        );
    }
    if !audit.notes.is_empty() {
        let notes = audit.notes.iter().map(|note| format!("<p>{}</p>", escape(note)));
        let _ = writeln!(
            out,
            "<section><h2>What the audit could not see</h2>{}</section>",
            notes.collect::<String>()
        );
    }
    out
}

/// SKUs listed one by one at most.
const SKUS_LISTED_MAX: usize = 100;

fn stock(report: &Report) -> String {
    if report.stock.is_empty() {
        return String::new();
    }
    let number = |units: u64| count(units as f64);
    let rows = report.stock.iter().take(SKUS_LISTED_MAX).map(|sku| {
        let end = sku.available_at_end.map_or_else(|| "unknown".to_owned(), number);
        let mut cells = vec![
            escape(&sku.sku),
            number(sku.available_at_start),
            end,
            number(sku.units_acknowledged),
            number(sku.units_taken),
            number(sku.units_at_once_max),
        ];
        let counters = sku.counters.map(|c| [c.received, c.held, c.sold, c.withdrawn]);
        cells.extend(match counters {
            Some(counters) => counters.map(number).to_vec(),
            None => vec![String::new(); 4],
        });
        row("", &cells)
    });
    let note = match report.stock.len().checked_sub(SKUS_LISTED_MAX) {
        Some(rest) if rest > 0 => format!("<p class=\"note\">and {rest} more SKUs</p>"),
        _ => String::new(),
    };
    format!(
        "<section><h2>Units around the run</h2><table><tr><th>SKU</th><th>available before</th><th>after</th>\
         <th>acknowledged</th><th>still taken</th><th>at once</th><th>received</th><th>held</th><th>sold</th>\
         <th>withdrawn</th></tr>{}</table>{note}</section>\n",
        rows.collect::<String>()
    )
}

fn settings(report: &Report) -> String {
    let (run, traffic) = (&report.run, &report.run.traffic);
    let work = match &run.work {
        WorkSent::Orders { skus, quantity, buyers } => {
            format!("orders of {quantity} unit(s) of {} SKU(s) by {buyers} buyers", skus.len())
        }
        WorkSent::Fixed { method, path } => format!("{method} {path}"),
    };
    let mut rows = vec![
        ("work".to_owned(), work),
        ("seed".to_owned(), run.seed.to_string()),
        ("generator".to_owned(), run.generator.clone()),
    ];
    for (name, figure) in [
        ("Zipf exponent", traffic.zipf),
        ("retries, %", traffic.retries_percent),
        ("duplicate buyers, %", traffic.duplicates_percent),
        ("standby, %", traffic.standby_percent),
        ("baskets, %", traffic.baskets_percent),
        ("cancels, %", traffic.cancels_percent),
        ("abandons, %", traffic.abandons_percent),
        ("paid, %", traffic.pays_percent),
        ("paid late, %", traffic.pays_late_percent),
        ("refunded, %", traffic.refunds_percent),
    ] {
        if figure > 0.0 {
            rows.push((name.to_owned(), figure.to_string()));
        }
    }
    words("Settings", &rows)
}

#[cfg(test)]
mod tests {
    use super::{count, escape, ms};
    use crate::finding::{Finding, Kind};
    use crate::report::a_report;
    use crate::threshold::Judged;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(
            [0.0, 0.25, 7.0, 999.0, 1_000.0, 1_234_567.4].map(count),
            ["0", "0.2", "7", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [7, 999, 12_345, 123_456, 2_000_000].map(ms),
            ["0.007", "0.999", "12.35", "123.5", "2000"]
        );
    }

    #[test]
    fn nothing_from_outside_is_markup() {
        assert_eq!(
            escape("<a href='x'>\"&\"</a>"),
            "&lt;a href=&#39;x&#39;&gt;&quot;&amp;&quot;&lt;/a&gt;"
        );
        let mut report = a_report();
        let hostile = "<script>alert(1)</script>";
        report.run.target = hostile.to_owned();
        report.answers.refusals.insert(hostile.to_owned(), 1);
        let audit = report.audit.as_mut().unwrap();
        audit.by_status.insert(hostile.to_owned(), 1);
        audit.notes.push(hostile.to_owned());
        let finding = Finding { count: 1, examples: vec![hostile.to_owned()] };
        audit.findings.insert(Kind::LostOrder, finding);
        report.thresholds.push(Judged {
            condition: hostile.to_owned(),
            measured: Some(hostile.to_owned()),
            failed: true,
        });
        let page = report.html();
        assert!(!page.contains("<script") && page.matches("&lt;script&gt;").count() >= 7, "{page}");
    }

    #[test]
    fn the_page_fetches_nothing() {
        let page = a_report().html();
        for word in ["src=", "href=", "url(", "@import", "<script", "<link"] {
            assert!(!page.contains(word), "{word}");
        }
    }
}
