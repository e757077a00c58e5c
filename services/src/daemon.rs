//! A process that serves until it is dropped.
//!
//! `PR_SET_PDEATHSIG` watches a thread, not a process (prctl(2)): what a test's thread had started
//! would end with that thread, though another test still holds it. So one thread, which ends with
//! the process alone, starts them all.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, PipeReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use crate::program::Program;
use crate::tree;

/// Lines of its log that are shown if it does not start.
const LINES_SHOWN_MAX: usize = 20;

/// What ends every process that receives it. The others are for the first to see to.
const AT_ONCE: [Signal; 2] = [Signal::KILL, Signal::QUIT];

/// A process that serves, in a process group of its own.
pub(crate) struct Daemon {
    child: Child,
    /// What ends it at once, with the processes it has started.
    ending: Signal,
}

impl Daemon {
    /// Starts `program`, and waits until its log says `ready`.
    pub(crate) fn start(program: &Program<'_>, ready: &str, ending: Signal) -> Result<Self> {
        let shown = program.path.display().to_string();
        let (log, writer) = io::pipe()?;
        let mut command = program.command(ending);
        command.stdout(writer.try_clone()?).stderr(writer);
        // Ctrl-C is for the process that uses it, which ends it in its turn.
        command.process_group(0);
        let through = || format!("cannot start {shown} by setpriv, of Debian's package util-linux");
        let child = spawn(command).with_context(through)?;
        let mut daemon = Self { child, ending };
        daemon.wait_until(ready, log).with_context(|| format!("{shown} did not start"))?;
        Ok(daemon)
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops it and all it has started, until [`Daemon::resume`]. They have stopped when this
    /// returns.
    pub(crate) fn pause(&self) {
        // The first is stopped before the others are looked for, so that it starts no more.
        tree::stop(self.id());
        for process in tree::descendants(self.id()) {
            tree::stop(process);
        }
    }

    /// Lets it and all it has started go on.
    pub(crate) fn resume(&self) {
        for process in tree::descendants(self.id()) {
            tree::signal(process, Signal::CONT);
        }
        tree::signal(self.id(), Signal::CONT);
    }

    /// Ends it with `signal` and waits until it is gone, even if it was paused.
    pub(crate) fn end(mut self, signal: Signal) {
        self.ending = signal;
    }

    fn wait_until(&mut self, ready: &str, log: PipeReader) -> Result<()> {
        let mut log = BufReader::new(log);
        let mut last = VecDeque::new();
        loop {
            let mut line = String::new();
            if log.read_line(&mut line)? == 0 {
                let said: String = last.into_iter().collect();
                bail!("{}; it said:\n{said}", self.child.wait()?);
            }
            if line.contains(ready) {
                break;
            }
            if last.len() == LINES_SHOWN_MAX {
                last.pop_front();
            }
            last.push_back(line);
        }
        // Nobody reads the rest, but the process must be able to write it.
        std::thread::spawn(move || io::copy(&mut log, &mut io::sink()));
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Stopped, it starts no more, and does nothing more with what it has received.
        tree::stop(self.id());
        let started = tree::descendants(self.id());
        tree::signal(self.id(), self.ending);
        if AT_ONCE.contains(&self.ending) {
            // What it has forked would outlive it for a while, and might write to its folder.
            started.iter().for_each(|&process| tree::signal(process, self.ending));
        }
        self.resume();
        // It may have ended by itself; either way it is gone after the wait.
        let _ = self.child.wait();
        started.into_iter().for_each(tree::wait_until_dead);
    }
}

/// What the thread that starts processes is asked for.
struct Request {
    command: Command,
    reply: SyncSender<io::Result<Child>>,
}

/// Starts a process that outlives the calling thread, but not this process.
fn spawn(command: Command) -> io::Result<Child> {
    static STARTER: OnceLock<SyncSender<Request>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, requests) = sync_channel::<Request>(0);
        std::thread::spawn(move || {
            for mut request in requests {
                let child = request.command.spawn();
                // With it goes this side's end of the pipe, so that the log ends with the process.
                drop(request.command);
                let _ = request.reply.send(child);
            }
        });
        sender
    });
    let (reply, child) = sync_channel(1);
    starter.send(Request { command, reply }).map_err(io::Error::other)?;
    child.recv().map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::Daemon;
    use crate::program::Program;
    use crate::tree;
    use rustix::process::Signal;
    use std::path::Path;

    /// Says that it is ready, and stays.
    const WAITING: &str = "echo ready; exec sleep 1000";

    fn shell(script: &str) -> anyhow::Result<Daemon> {
        let arguments = vec!["-c".to_owned(), script.to_owned()];
        let program = Program { path: Path::new("/bin/sh"), arguments, user: None };
        Daemon::start(&program, "ready", Signal::KILL)
    }

    #[test]
    fn a_daemon_outlives_the_thread_that_asked_for_it_and_ends_when_dropped() {
        let started = std::thread::spawn(|| (rustix::thread::gettid(), shell(WAITING)));
        let (thread, daemon) = started.join().expect("no panic");
        let daemon = daemon.expect("started");
        // A thread that has been joined may still be on its way out.
        let thread = format!("/proc/self/task/{}", thread.as_raw_nonzero());
        while Path::new(&thread).exists() {
            std::thread::yield_now();
        }
        assert!(matches!(tree::state(daemon.id()), Some('R' | 'S' | 'D')));
        let id = daemon.id();
        drop(daemon);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn what_it_has_forked_ends_with_it() {
        let daemon = shell("sleep 1000 & echo ready; wait").expect("started");
        let forked = tree::descendants(daemon.id());
        assert_eq!(forked.len(), 1);
        drop(daemon);
        // It is gone only when its new parent has noticed.
        assert!(matches!(tree::state(forked[0]), None | Some('Z' | 'X')));
    }

    #[test]
    fn the_end_of_the_log_tells_why_it_did_not_start() {
        let script = "for line in $(seq 30); do echo line $line; done; exit 7";
        let error = format!("{:#}", shell(script).err().expect("it did not start"));
        assert!(error.contains("exit status: 7"), "{error}");
        assert!(error.contains("line 30") && error.contains("line 11\n"), "{error}");
        assert!(!error.contains("line 10\n"), "{error}");
    }
}
