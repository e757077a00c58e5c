//! `scripts/bench outage`: what buyers notice when every sink is dead: nothing (I7).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use serde_json::json;
use sluice_benches::contest::Terms;
use sluice_benches::server::{Server, sluice_program};
use sluice_benches::sinks::Sinks;
use sluice_benches::{goal, history};
use sluice_loadgen::{Arrivals, Profile, Report, Stop};

/// Sends orders at a pace to a server that is followed by PostgreSQL and Redis: to one with both
/// healthy, then to another, as new as the first was, while every process of both is stopped
/// (SIGSTOP), for as long each. Then they go on, and once they have caught up the audit compares them
/// with the journal. Everything is synced, and shares the cores: the generator, the server, both
/// stores.
#[derive(Clone, Copy, Parser)]
#[command(name = "scripts/bench outage")]
struct Flags {
    /// Seconds of each of the two measurements
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=7_200))]
    seconds: u64,
    /// Orders a second
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Connections
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    connections: u32,
    /// Do not append the result to benches/history.jsonl
    #[arg(long)]
    no_history: bool,
}

/// How long the sinks may take to catch up for each second of their outage.
const CATCH_UP_FOR_EACH: u64 = 4;

/// Seconds of orders before anything is measured.
const WARM_UP_S: u64 = 10;

/// By how much more memory an order may take while no sink works: what waits for a sink waits in the
/// journal.
const MEMORY_MAX: f64 = 1.1;

/// By how much the p99 may grow while no sink works.
const P99_MAX: f64 = 1.1;

/// What a stretch of orders came to.
struct Stretch {
    p50_us: u64,
    p99_us: u64,
    accepted: u64,
    /// Memory of the server at its end, in KiB.
    memory_kib: u64,
    /// What of that was added meanwhile, for each order, in bytes.
    bytes_each: f64,
    /// Records that SQL was behind at its end.
    lag_records: u64,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    let stop = Stop::new();
    let healthy = measure(&flags, false, &stop)?;
    let stopped = measure(&flags, true, &stop)?;
    let p99_ratio = stopped.p99_us as f64 / healthy.p99_us.max(1) as f64;
    let memory_ratio = stopped.bytes_each / healthy.bytes_each;
    println!("\nstopped / healthy: p99 {p99_ratio:.2}, memory for each order {memory_ratio:.2}");
    if !flags.no_history {
        let figures = json!({
            "seconds": flags.seconds, "rate": flags.rate, "connections": flags.connections,
            "p99_us_healthy": healthy.p99_us, "p99_us_stopped": stopped.p99_us,
            "p99_ratio": p99_ratio,
            "p50_us_healthy": healthy.p50_us, "p50_us_stopped": stopped.p50_us,
            "memory_kib_healthy": healthy.memory_kib, "memory_kib_stopped": stopped.memory_kib,
            "bytes_each_healthy": healthy.bytes_each.round(),
            "bytes_each_stopped": stopped.bytes_each.round(), "memory_ratio": memory_ratio,
            "lag_records": stopped.lag_records, "audits": "no difference",
        });
        let command: Vec<String> = std::env::args().skip(1).collect();
        let command = format!("scripts/bench outage {}", command.join(" "));
        history::append("outage", &command, &figures)?;
    }
    let memory =
        goal::at_most("memory for each order, stopped / healthy", memory_ratio, MEMORY_MAX);
    memory.and(goal::at_most("p99 stopped / healthy", p99_ratio, P99_MAX))
}

/// Orders to a new server, whose sinks are stopped meanwhile or not; then the audit.
fn measure(flags: &Flags, is_stopped: bool, stop: &Stop) -> Result<Stretch> {
    let sinks = Sinks::start()?;
    let server = Server::sluice_with(&sinks.flags())?;
    let units = 2 * flags.seconds * u64::from(flags.rate) + 1_000_000;
    // Memory that a server fills once counts for neither.
    let warm_up = Flags { seconds: WARM_UP_S, ..*flags };
    stretch(&server, &warm_up, Some(units), stop)?;
    caught_up(&server, flags.seconds)?;
    if is_stopped {
        sinks.pause();
    }
    let measured = stretch(&server, flags, None, stop);
    let lag = metric(&server, "sluice_sink_lag_records{sink=\"sql\"}");
    sinks.resume();
    let (mut measured, lag) = (measured?, lag?);
    measured.lag_records = lag as u64;
    let what = if is_stopped { "stopped" } else { "healthy" };
    println!("both sinks {what}: {measured}");
    ensure!(!is_stopped || lag >= measured.accepted as f64, "the sinks were not stopped");
    caught_up(&server, flags.seconds)?;
    audit(&server, &sinks.flags())?;
    Ok(measured)
}

impl std::fmt::Display for Stretch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { p50_us, p99_us, accepted, memory_kib, bytes_each, lag_records } = self;
        let (p50, p99) = (*p50_us as f64 / 1e3, *p99_us as f64 / 1e3);
        write!(f, "{accepted} orders, p50 {p50:.2} ms, p99 {p99:.2} ms, ")?;
        let mib = memory_kib / 1_024;
        write!(
            f,
            "{mib} MiB, {bytes_each:.0} bytes for each order, SQL {lag_records} records behind"
        )
    }
}

fn stretch(server: &Server, flags: &Flags, stock: Option<u64>, stop: &Stop) -> Result<Stretch> {
    let profile =
        Profile::OpenLoop { rate_per_s: f64::from(flags.rate), arrivals: Arrivals::Poisson };
    let terms = Terms {
        rounds: 1,
        seconds: flags.seconds,
        connections: flags.connections,
        buyers: 1_000_000,
        others_max: 0,
        no_history: true,
    };
    let before = memory_of(server.id())?;
    let report: Report = server.drive_by(profile, &terms, stock, stop)?;
    ensure!(report.answers.unknown == 0, "{} unknown outcomes", report.answers.unknown);
    let latency = report.answers.latency_accepted.as_ref().context("orders were taken")?;
    let memory_kib = memory_of(server.id())?;
    let accepted = report.answers.accepted;
    let bytes_each = (memory_kib.saturating_sub(before) * 1_024) as f64 / accepted.max(1) as f64;
    let (p50_us, p99_us) = (latency.p50_us, latency.p99_us);
    Ok(Stretch { p50_us, p99_us, accepted, memory_kib, bytes_each, lag_records: 0 })
}

/// Waits until no sink is behind.
fn caught_up(server: &Server, seconds: u64) -> Result<()> {
    for _ in 0..(seconds * CATCH_UP_FOR_EACH + 60) * 10 {
        let lags =
            ["sql", "redis"].map(|sink| format!("sluice_sink_lag_records{{sink=\"{sink}\"}}"));
        let lags = lags.map(|name| metric(server, &name));
        if lags.into_iter().collect::<Result<Vec<f64>>>()?.iter().all(|lag| *lag == 0.0) {
            return Ok(());
        }
        thread::park_timeout(Duration::from_millis(100));
    }
    bail!("the sinks do not catch up")
}

/// A sample of the server's metrics.
fn metric(server: &Server, name: &str) -> Result<f64> {
    let url = server.operators().context("it has operators")?;
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.with_context(|| format!("no {name}"))?.trim().parse().context("a number")
}

/// Resident memory of a process, in KiB (proc(5), `/proc/PID/status`).
fn memory_of(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    line.trim().trim_end_matches(" kB").parse().context("a number")
}

/// Compares journal and stores; prints what came of it.
fn audit(server: &Server, sinks: &[String]) -> Result<()> {
    let folder = server.data_dir().context("it has a data directory")?;
    let mut command = Command::new(sluice_program()?);
    let output = command.arg("audit").arg("--data-dir").arg(folder).args(sinks).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the audit: {}: {said}", output.status);
    Ok(())
}
