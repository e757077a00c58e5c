//! The real binary in a folder of its own, and a client that writes the bytes it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use sluice_gateway::token::Signer;

const JWT_SECRET: &str = "canary-jwt-secret-0123456789abcdef";
pub(crate) const ADMIN_TOKEN: &str = "canary-admin-token-0123456789abcdef";

/// What webhooks are signed with: base64 of a canary.
const WEBHOOK_SECRET: &str = "whsec_Y2FuYXJ5LXdlYmhvb2stc2VjcmV0LTAxMjM0NTY3ODk=";

/// Far in the future, in seconds since the epoch.
const FUTURE: u64 = 4_000_000_000;

/// A running server. Killed when dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) buyers: SocketAddr,
    pub(crate) operators: SocketAddr,
}

/// The command line of a server on `folder`, with ports that the system chooses.
pub(crate) fn command(folder: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])
        .args(["--segment-bytes", "1048576", "--data-dir"])
        .arg(folder)
        .args(flags)
        .env("SLUICE_JWT_SECRET", JWT_SECRET)
        .env("SLUICE_ADMIN_TOKEN", ADMIN_TOKEN)
        .env("SLUICE_WEBHOOK_SECRET", WEBHOOK_SECRET)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Server {
    /// Starts a server and waits until it listens.
    pub(crate) fn start(folder: &Path, flags: &[&str]) -> Self {
        Self::spawn(&mut command(folder, flags))
    }

    /// Starts what `command` says and waits until it listens. A process group of its own, so that
    /// a server that runs under another program ends with it.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.process_group(0).spawn().expect("the server starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = |name: &str| {
            let found = line.split_whitespace().find_map(|part| part.strip_prefix(name));
            found.and_then(|text| text.parse().ok())
        };
        match (address("buyers="), address("operators=")) {
            (Some(buyers), Some(operators)) => Self { child, buyers, operators },
            _ => panic!("the server did not start: {line:?} {}", stderr_of(&mut child)),
        }
    }

    /// An operator's call.
    pub(crate) fn operate(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let token = format!("Authorization: Bearer {ADMIN_TOKEN}\r\n");
        Client::connect(self.operators).call(method, path, &token, body)
    }

    /// Makes a SKU with one lot.
    pub(crate) fn stock(&self, sku: &str, units: u32, per_buyer_limit: u32) {
        let path = format!("/admin/v1/skus/{sku}");
        let terms = serde_json::json!({
            "name": sku, "unit_price": 500, "currency": "CNY",
            "per_buyer_limit": per_buyer_limit, "hold_seconds": 600,
        });
        assert_eq!(self.operate("PUT", &path, Some(&terms)).status, 201);
        let lot = serde_json::json!({"lot": "L1", "quantity": units});
        assert_eq!(self.operate("POST", &format!("{path}/lots"), Some(&lot)).status, 201);
    }

    /// A SKU's stock, as operators see it.
    pub(crate) fn counters(&self, sku: &str) -> Value {
        let answer = self.operate("GET", &format!("/admin/v1/skus/{sku}"), None);
        assert_eq!(answer.status, 200);
        answer.json()
    }

    /// A figure of `/metrics`, by its name and labels as they stand there.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let answer = self.operate("GET", "/metrics", None);
        let text = String::from_utf8(answer.body).expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let figure = line.unwrap_or_else(|| panic!("{name} is there"));
        figure.parse().expect("a figure")
    }

    /// Waits until the copy has all that is durable.
    pub(crate) fn caught_up(&self) {
        while self.metric("sluice_sink_lag_records{sink=\"sql\"}") > 0.0 {}
    }

    /// Asks the server to stop.
    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    }

    /// Waits until the server has ended, and says how, with what it wrote to stderr.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let text = stderr_of(&mut self.child);
        (self.child.wait().expect("it ends"), text)
    }

    /// Stops the server; it must end well.
    pub(crate) fn stop(self) {
        self.terminate();
        let (status, text) = self.end();
        assert!(status.success(), "{status}: {text}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, and the whole group with it.
        let group = Pid::from_child(&self.child);
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Audits what is in `folder`. Gives the exit code and what was printed.
pub(crate) fn audit(folder: &Path, flags: &[&str]) -> (Option<i32>, String) {
    let mut audit = Command::new(env!("CARGO_BIN_EXE_sluice"));
    run(audit.args(["audit", "--data-dir"]).arg(folder).args(flags))
}

/// Runs a command to its end. Gives the exit code and what was printed.
pub(crate) fn run(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

fn stderr_of(child: &mut Child) -> String {
    let mut text = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut text).expect("text");
    }
    text
}

/// A buyer's `Authorization` field.
pub(crate) fn buyer(name: &str) -> String {
    let token = Signer::new(JWT_SECRET.as_bytes()).sign(name, FUTURE);
    format!("Authorization: Bearer {token}\r\n")
}

/// A keep-alive connection.
pub(crate) struct Client {
    /// What it reads from and writes to.
    pub(crate) stream: BufReader<TcpStream>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Client {
    /// Connects. Whatever takes longer than a minute fails.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
        stream.set_nodelay(true).expect("set");
        Self { stream: BufReader::new(stream) }
    }

    /// Writes bytes as they are; whether the server took them is seen by its answer.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.get_mut().write_all(bytes);
    }

    /// Sends a request with header fields as given, each with its CR LF.
    pub(crate) fn send(&mut self, method: &str, path: &str, fields: &str, body: Option<&Value>) {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: sluice\r\n{fields}");
        match body {
            Some(body) => {
                let body = body.to_string();
                let length = body.len();
                request.push_str(&format!(
                    "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
                ));
            }
            None => request.push_str("\r\n"),
        }
        self.write(request.as_bytes());
    }

    /// Sends a request and reads its answer.
    pub(crate) fn call(
        &mut self,
        method: &str,
        path: &str,
        fields: &str,
        body: Option<&Value>,
    ) -> Answer {
        self.send(method, path, fields, body);
        self.answer(method == "HEAD").expect("an answer")
    }

    /// Reads one answer; `None` if the connection ended.
    pub(crate) fn answer(&mut self, without_body: bool) -> Option<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match self.stream.read_line(&mut head) {
                Ok(count) if count > 0 => {}
                _ => return None,
            }
        }
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let mut answer = Answer { status, head, body: Vec::new() };
        if !without_body && status >= 200 {
            let length = answer.field("content-length").and_then(|text| text.parse().ok());
            answer.body = vec![0; length.unwrap_or(0)];
            self.stream.read_exact(&mut answer.body).ok()?;
        }
        Some(answer)
    }
}

impl Answer {
    /// The value of a header field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body.
    pub(crate) fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {} {text}", self.head))
    }
}
