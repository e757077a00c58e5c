//! The trail of results: one JSON line a run in `benches/history.jsonl`.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// Appends a run's `figures` with the commit, the host's cores and processor, and the date.
///
/// # Errors
/// What the system says if the file cannot be written.
pub fn append(bench: &str, command: &str, figures: &Value) -> io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("history.jsonl");
    let line = json!({
        "bench": bench,
        "date": output("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
        "commit": output("git", &["rev-parse", "--short=12", "HEAD"]),
        "host": {
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "processor": processor(),
            "kernel": output("uname", &["-r"]),
        },
        "command": command,
        "figures": figures,
    });
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    writeln!(file, "{line}")
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(": ").map(|(_, name)| name.to_owned())
}
