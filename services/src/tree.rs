//! A process and what it has started: `/proc` says who is whose child.
//!
//! PostgreSQL's backends leave their parent's process group (each calls `setsid`), so that a signal
//! to the group would not reach them.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How often a process is looked at that does not yet do what it was told.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The processes that `ancestor` has started, and those that they have started.
pub(crate) fn descendants(ancestor: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parents: Vec<(u32, u32)> =
        numbers.filter_map(|process| Some((process, status(process)?.1))).collect();
    let mut found = vec![ancestor];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(process, _)| process));
        next += 1;
    }
    found.split_off(1)
}

/// Stops a process, and returns when it has stopped or is gone.
pub(crate) fn stop(process: u32) {
    signal(process, Signal::STOP);
    // It may be in a system call that must end first.
    look_until(process, |state| matches!(state, None | Some('T' | 't' | 'Z' | 'X')));
}

/// Waits for a process that was killed.
pub(crate) fn wait_until_dead(process: u32) {
    look_until(process, |state| matches!(state, None | Some('Z' | 'X')));
}

fn look_until(process: u32, is_so: impl Fn(Option<char>) -> bool) {
    while !is_so(state(process)) {
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// Sends a signal; a process that is gone does not need it.
pub(crate) fn signal(process: u32, signal: Signal) {
    if let Some(process) = Pid::from_raw(process as i32) {
        let _ = kill_process(process, signal);
    }
}

/// What a process does: `R` runs, `S` and `D` sleep, `T` is stopped, `t` by who traces it, `Z` is
/// dead (proc(5)). Nothing if there is none.
pub(crate) fn state(process: u32) -> Option<char> {
    status(process).map(|(state, _)| state)
}

/// What a process does, and its parent.
fn status(process: u32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    parse(&text)
}

/// Reads `pid (name) state parent …`; a name may have parentheses and spaces in it.
fn parse(stat: &str) -> Option<(char, u32)> {
    let mut words = stat.rsplit_once(')')?.1.split_whitespace();
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{descendants, parse, signal, state, stop};
    use rustix::process::Signal;
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    #[test]
    fn a_name_may_look_like_the_rest_of_the_line() {
        assert_eq!(parse("12 (a) S 1 2 3"), Some(('S', 1)));
        assert_eq!(parse("12 (a) R 9 (b) T 7 2 3"), Some(('T', 7)));
        assert_eq!(parse("12 a S"), None);
    }

    #[test]
    fn children_and_grandchildren_are_found_and_stop() {
        let script = "(sleep 1000 & echo one; wait) & echo two; wait";
        let mut child = Command::new("setsid");
        let child = child.args(["sh", "-c", script]).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("started");
        let mut said = [0; 8];
        child.stdout.take().expect("piped").read_exact(&mut said).expect("both lines");
        let found = descendants(child.id());
        assert_eq!(found.len(), 2, "{found:?}");
        for process in found.iter().copied().chain([child.id()]) {
            stop(process);
            assert_eq!(state(process), Some('T'));
            signal(process, Signal::CONT);
            assert_ne!(state(process), Some('T'));
        }
        for process in found.into_iter().chain([child.id()]) {
            signal(process, Signal::KILL);
        }
        child.wait().expect("gone");
        assert_eq!(state(child.id()), None);
        stop(child.id());
    }
}
