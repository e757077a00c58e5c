//! Processor time of processes, as the kernel counts it (proc(5), `/proc/PID/stat`).

use std::fs;
use std::io;
use std::time::Duration;

/// What the kernel says of one process.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    parent: u32,
    ticks: u64,
}

/// Processor time that a process has used so far: in the program and in the kernel for it, to a
/// hundredth of a second.
///
/// # Errors
/// If the process is not there.
pub fn time_of_one(pid: u32) -> io::Result<Duration> {
    let gone = || io::Error::new(io::ErrorKind::NotFound, format!("process {pid}"));
    Ok(time(process(pid).ok_or_else(gone)?.ticks))
}

/// The same, with the processes that it has started and that are still there.
///
/// # Errors
/// If the process is not there.
pub fn time_of(pid: u32) -> io::Result<Duration> {
    let own = time_of_one(pid)?;
    let mut ticks = 0;
    for entry in fs::read_dir("/proc")?.flatten() {
        let other = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(process) = other.and_then(process)
            && process.parent == pid
        {
            ticks += process.ticks;
        }
    }
    Ok(own + time(ticks))
}

/// Processor time that those threads of a process have used so far whose names begin with one of
/// `names`, and that are still there.
///
/// # Errors
/// If the process is not there.
pub fn time_of_threads(pid: u32, names: &[&str]) -> io::Result<Duration> {
    let mut ticks = 0;
    for entry in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        // A thread may end meanwhile.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let name = stat.split_once('(').map_or("", |(_, rest)| rest);
        if names.iter().any(|wanted| name.starts_with(wanted)) {
            ticks += parse(&stat).map_or(0, |thread| thread.ticks);
        }
    }
    Ok(time(ticks))
}

/// Processor time that all processes and the kernel have used since the machine started.
///
/// # Errors
/// If `/proc/stat` cannot be read.
pub fn time_of_machine() -> io::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let unknown = || io::Error::new(io::ErrorKind::InvalidData, "/proc/stat: no line `cpu`");
    parse_machine(&stat).map(time).ok_or_else(unknown)
}

fn time(ticks: u64) -> Duration {
    Duration::from_secs(ticks) / rustix::param::clock_ticks_per_second() as u32
}

fn process(pid: u32) -> Option<Process> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields 4, 14 and 15; they are counted behind the name, which may hold anything.
fn parse(stat: &str) -> Option<Process> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let parent = u32::try_from(number(4)?).ok()?;
    Some(Process { parent, ticks: number(14)? + number(15)? })
}

/// User, nice, system, then behind idle and waiting: interrupts, soft interrupts, and what the
/// host took.
fn parse_machine(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    Some(ticks.get(..3)?.iter().sum::<u64>() + ticks.get(5..8)?.iter().sum::<u64>())
}

#[cfg(test)]
mod tests {
    use super::{Process, parse, parse_machine, time_of, time_of_one, time_of_threads};

    #[test]
    fn a_name_may_look_like_the_rest() {
        let stat = "17 (a) R 1 (b) 2) S 5 17 17 0 -1 4194560 900 0 3 0 41 1 7 8 20 0 1 0 99";
        assert_eq!(parse(stat), Some(Process { parent: 5, ticks: 42 }));
        assert_eq!(parse("17 (a) S 5 17"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn idle_and_waiting_do_not_count() {
        let stat = "cpu  1 2 4 1000 2000 8 16 32 0 0\ncpu0 9 9 9 9 9 9 9 9 9 9\n";
        assert_eq!(parse_machine(stat), Some(63));
        assert_eq!(parse_machine("cpu0 1 2 3 4 5 6 7 8"), None);
        assert_eq!(parse_machine("cpu  1 2 3 4"), None);
    }

    #[test]
    fn threads_are_known_by_their_names() {
        let (pid, name) = (std::process::id(), std::thread::current().name().map(str::to_owned));
        // The kernel keeps 15 bytes.
        let name: String = name.expect("a test has a name").chars().take(15).collect();
        let own = time_of_threads(pid, &[&name]).expect("this process");
        assert!(own <= time_of_one(pid).expect("this process"));
        assert!(time_of_threads(pid, &["none"]).expect("this process").is_zero());
        assert!(time_of_threads(0, &[]).is_err());
    }

    #[test]
    fn this_process_is_there_and_process_0_is_not() {
        assert!(time_of(std::process::id()).is_ok());
        assert!(time_of(0).is_err());
    }
}
