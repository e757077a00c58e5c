//! The report as people read it.

use std::fmt::{self, Display, Formatter};

use crate::report::{Answers, Audit, Report, Run, Sending, Timeliness, Unmeasured, WorkSent};
use crate::schedule::Arrivals;
use crate::settle::Settled;
use crate::stock::SkuStock;
use crate::tally::Quantiles;
use crate::threshold::Judged;
use crate::traffic::Traffic;

/// SKUs listed one by one at most; the rest is summed up.
const SKUS_LISTED_MAX: usize = 20;

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}", self.run, self.sending, self.answers)?;
        if let Some(unmeasured) = &self.unmeasured {
            write!(f, "{unmeasured}")?;
        }
        if let Some(buyers) = self.buyers_served {
            writeln!(f, "  buyers served      {buyers}")?;
        }
        match &self.settled {
            Some(settled) if settled.asked > 0 => writeln!(f, "\n{settled}")?,
            None if self.answers.unknown > 0 => {
                writeln!(f, "  unknown outcomes were not asked for again (no audit)")?;
            }
            _ => {}
        }
        write_stock(f, &self.stock)?;
        match &self.audit {
            Some(audit) => write!(f, "\n{audit}")?,
            None => writeln!(f, "\naudit: not asked for")?,
        }
        write_thresholds(f, &self.thresholds)?;
        if self.is_invalid() {
            writeln!(f, "\nRESULT NOT VALID: the generator itself sent too late")?;
        }
        Ok(())
    }
}

fn write_thresholds(f: &mut Formatter<'_>, thresholds: &[Judged]) -> fmt::Result {
    if thresholds.is_empty() {
        return Ok(());
    }
    writeln!(f, "\nfail if")?;
    for judged in thresholds {
        let verdict = if judged.failed { "FAILED" } else { "passed" };
        let measured = judged.measured.as_deref().unwrap_or("not measured");
        writeln!(f, "  {:<24} {verdict}  ({measured})", judged.condition)?;
    }
    Ok(())
}

impl Display for Run {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "run {} against {}", self.run_id, self.target)?;
        match &self.work {
            WorkSent::Orders { skus, quantity, buyers } => {
                let names = match skus.as_slice() {
                    [sku] => sku.clone(),
                    [first, .., last] => format!("{} SKUs, {first} … {last}", skus.len()),
                    [] => "no SKU".to_owned(),
                };
                writeln!(f, "  orders of {quantity} × {names}, {buyers} buyers in turn")?;
            }
            WorkSent::Fixed { method, path } => writeln!(f, "  {method} {path}, again and again")?,
        }
        match (self.rate_asked_per_s, self.arrivals) {
            (Some(rate), Some(arrivals)) => {
                let arrivals = match arrivals {
                    Arrivals::Even => "even",
                    Arrivals::Poisson => "poisson",
                };
                writeln!(
                    f,
                    "  open loop: {rate} requests/s asked for, {arrivals} arrivals, latency from when each was due"
                )?;
            }
            _ => writeln!(
                f,
                "  closed loop: each connection sends as soon as it is answered; latency from sending, queueing is not seen"
            )?,
        }
        if let Some(spike) = &self.spike {
            writeln!(
                f,
                "  spike: quiet for {} s, then {} times the rate, decaying by {} s",
                spike.quiet_s, spike.factor, spike.decay_s
            )?;
        }
        write_traffic(f, &self.traffic)?;
        write!(f, "  {} s, {} connections, seed {}", self.duration_s, self.connections, self.seed)?;
        if self.warm_up_s > 0.0 {
            write!(f, ", after {} s of warm-up", self.warm_up_s)?;
        }
        if let Some(requests) = self.requests_max {
            write!(f, ", at most {requests} requests")?;
        }
        writeln!(f)?;
        if self.stopped_early {
            writeln!(f, "  STOPPED EARLY by request")?;
        }
        Ok(())
    }
}

fn write_traffic(f: &mut Formatter<'_>, traffic: &Traffic) -> fmt::Result {
    let mut words = Vec::new();
    if traffic.zipf > 0.0 {
        words.push(format!("SKUs by Zipf with exponent {}", traffic.zipf));
    }
    for (percent, what) in [
        (traffic.retries_percent, "retries"),
        (traffic.duplicates_percent, "duplicate buyers"),
        (traffic.standby_percent, "in standby"),
        (traffic.baskets_percent, "baskets"),
        (traffic.cancels_percent, "of orders cancelled"),
        (traffic.abandons_percent, "of orders abandoned"),
        (traffic.pays_percent, "of orders paid"),
        (traffic.pays_late_percent, "of orders paid late"),
        (traffic.refunds_percent, "of paid orders refunded"),
    ] {
        if percent > 0.0 {
            words.push(format!("{percent} % {what}"));
        }
    }
    if traffic.baskets_percent > 0.0 {
        words.push(format!("{} SKUs in a basket", traffic.basket_lines));
    }
    if words.is_empty() { Ok(()) } else { writeln!(f, "  {}", words.join(", ")) }
}

impl Display for Sending {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "sending")?;
        writeln!(f, "  planned            {}", self.planned)?;
        writeln!(
            f,
            "  sent               {} in {:.3} s, {:.1}/s offered",
            self.sent, self.window_s, self.offered_per_s
        )?;
        writeln!(f, "  never sent         {}", self.never_sent)?;
        if self.cancels_sent > 0 {
            writeln!(f, "  cancels            {} more", self.cancels_sent)?;
        }
        write_times(f, "  late by", self.lag)?;
        write_times(f, "    own fault", self.own_lag)?;
        writeln!(f, "  generator busy     {:.1} % of the time", self.busy_percent)?;
        writeln!(
            f,
            "  connections        {} at the start, {} opened again, {} openings failed",
            self.connections_at_start, self.reconnects, self.connect_failures
        )?;
        let verdict = match self.timeliness {
            Timeliness::OnTime => "yes, all of it",
            Timeliness::ConnectionsBusy => {
                "NO: all connections were waiting for answers; the lateness is part of the latencies below"
            }
            Timeliness::GeneratorOverloaded => {
                "NO: THE GENERATOR ITSELF WAS OVERLOADED; the latencies below are not the server's"
            }
            Timeliness::GeneratorHeldUp => {
                "NO: THE GENERATOR ITSELF WAS LATE: it did not get the processor in time; the latencies below are not the server's alone"
            }
            Timeliness::NotPlanned => "no plan to be late for (closed loop)",
        };
        let bound_ms = self.lag_max_us as f64 / 1_000.0;
        writeln!(f, "  sent on time       {verdict} (p99.9 of own lateness allowed: {bound_ms} ms)")
    }
}

impl Display for Answers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "answers")?;
        writeln!(
            f,
            "  answered           {} in {:.3} s, {:.1}/s",
            self.count, self.window_s, self.answered_per_s
        )?;
        writeln!(f, "  accepted           {}, goodput {:.1}/s", self.accepted, self.goodput_per_s)?;
        if self.waiting > 0 {
            writeln!(f, "  told to wait       {}", self.waiting)?;
        }
        if self.replayed > 0 {
            writeln!(f, "  replayed           {}", self.replayed)?;
        }
        if self.cancelled > 0 {
            writeln!(f, "  cancelled          {}", self.cancelled)?;
        }
        if self.followed_up > 0 {
            writeln!(f, "  payment steps      {}", self.followed_up)?;
        }
        writeln!(f, "  refused            {}", self.refused)?;
        for (code, count) in &self.refusals {
            writeln!(f, "    {code:<24} {count}")?;
        }
        writeln!(f, "  unknown outcome    {}", self.unknown)?;
        for (failure, count) in &self.errors {
            writeln!(f, "    {:<24} {count}", failure.words())?;
        }
        if self.unexpected > 0 {
            writeln!(f, "  unexpected answers {}", self.unexpected)?;
        }
        write!(f, "  by status         ")?;
        for (status, count) in &self.by_status {
            write!(f, " {status}: {count}")?;
        }
        writeln!(f)?;
        self.write_latencies(f)?;
        if !self.errors.is_empty() {
            writeln!(f, "  requests without an answer are in none of these latencies")?;
        }
        Ok(())
    }
}

impl Answers {
    fn write_latencies(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let columns = ["p50", "p90", "p99", "p99.9", "max", "count"];
        write!(f, "  {:<16}", "latency in ms")?;
        for column in columns {
            write!(f, " {column:>9}")?;
        }
        writeln!(f)?;
        for (name, corrected, raw) in self.latencies() {
            let (Some(corrected), Some(raw)) = (corrected, raw) else { continue };
            write_row(f, name, corrected)?;
            // In a closed loop what is due is sent.
            if raw != corrected {
                write_row(f, "  raw", raw)?;
            }
        }
        writeln!(f, "    from when each was due; raw: from when it was sent")
    }
}

fn write_row(f: &mut Formatter<'_>, name: &str, times: Quantiles) -> fmt::Result {
    write!(f, "    {name:<14}")?;
    for us in [times.p50_us, times.p90_us, times.p99_us, times.p999_us, times.max_us] {
        write!(f, " {:>9.3}", us as f64 / 1_000.0)?;
    }
    writeln!(f, " {:>9}", times.count)
}

impl Display for Unmeasured {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  not measured       {} sent in the warm-up, {} accepted, {} refused; {} cancelled",
            self.sent, self.accepted, self.refused, self.cancelled
        )
    }
}

impl Display for Settled {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "settled {} unknown outcomes: {} had been made, {} made by the repeat, {} refused, {} still unknown",
            self.asked, self.had_been_made, self.made_by_repeat, self.refused, self.unsettled
        )
    }
}

impl Display for Audit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "audit from outside: {}", if self.passed { "passed" } else { "FAILED" })?;
        writeln!(f, "  acknowledged       {} orders", self.orders)?;
        writeln!(f, "  found again        {}", self.orders_found)?;
        writeln!(f, "  same on repeat     {}", self.repeats_same)?;
        if !self.by_status.is_empty() {
            write!(f, "  states now        ")?;
            for (status, count) in &self.by_status {
                write!(f, " {status}: {count}")?;
            }
            writeln!(f)?;
        }
        writeln!(f, "  units of one SKU   {} at most with one buyer", self.units_per_buyer_max)?;
        if self.cancels + self.cancels_unknown > 0 {
            writeln!(
                f,
                "  cancelled          {} acknowledged, {} found cancelled, {} with unknown outcome",
                self.cancels, self.cancelled_found, self.cancels_unknown
            )?;
        }
        if self.abandoned > 0 {
            writeln!(
                f,
                "  abandoned          {}, of them expired {}",
                self.abandoned, self.abandoned_expired
            )?;
        }
        for (name, text) in self.courses() {
            writeln!(f, "  {name:<18} {text}")?;
        }
        for (kind, finding) in &self.findings {
            writeln!(f, "  WRONG: {}: {}", kind.words(), finding.count)?;
            for example in &finding.examples {
                writeln!(f, "    {example}")?;
            }
        }
        for note in &self.notes {
            writeln!(f, "  note: {note}")?;
        }
        Ok(())
    }
}

fn write_times(f: &mut Formatter<'_>, name: &str, times: Option<Quantiles>) -> fmt::Result {
    let Some(times) = times else { return Ok(()) };
    writeln!(
        f,
        "{name:<20} p50 {} µs  p90 {} µs  p99 {} µs  p99.9 {} µs  max {} µs  ({})",
        times.p50_us, times.p90_us, times.p99_us, times.p999_us, times.max_us, times.count
    )
}

fn write_stock(f: &mut Formatter<'_>, stock: &[SkuStock]) -> fmt::Result {
    if stock.is_empty() {
        return Ok(());
    }
    writeln!(f, "\nstock (units)")?;
    for sku in stock.iter().take(SKUS_LISTED_MAX) {
        let end =
            sku.available_at_end.map_or_else(|| "unknown".to_owned(), |units| units.to_string());
        writeln!(
            f,
            "  {}: available {} before, {end} after; acknowledged {}, still taken {}, at most {} at once",
            sku.sku,
            sku.available_at_start,
            sku.units_acknowledged,
            sku.units_taken,
            sku.units_at_once_max
        )?;
        if let Some(counters) = sku.counters {
            writeln!(
                f,
                "    operators see: received {}; available {}, held {}, sold {}, withdrawn {}",
                counters.received,
                counters.available,
                counters.held,
                counters.sold,
                counters.withdrawn
            )?;
        }
    }
    if let Some(rest) = stock.get(SKUS_LISTED_MAX..).filter(|rest| !rest.is_empty()) {
        let acknowledged: u64 = rest.iter().map(|sku| sku.units_acknowledged).sum();
        writeln!(f, "  and {} more SKUs: acknowledged {acknowledged}", rest.len())?;
    }
    Ok(())
}
