//! A process that serves until it is dropped.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, PipeReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// Lines of its log that are shown if it does not start.
const LINES_SHOWN_MAX: usize = 20;

/// A process that serves.
pub(super) struct Daemon {
    child: Child,
    /// What ends it at once, with the processes it has started.
    ending: Signal,
}

impl Daemon {
    /// Starts `program`, and waits until its log says `ready`.
    pub(super) fn start(program: &Program<'_>, ready: &str, ending: Signal) -> Result<Self> {
        let shown = program.path.display().to_string();
        let (log, writer) = io::pipe()?;
        let mut command = program.command(ending);
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        // Ctrl-C is for the contest, which ends it in its turn.
        command.process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {shown}"))?;
        // With it goes this side's end of the pipe, so that the log ends with the process.
        drop(command);
        let mut daemon = Self { child, ending };
        daemon.wait_until(ready, log).with_context(|| format!("{shown} did not start"))?;
        Ok(daemon)
    }

    /// The process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
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
        // It may have ended by itself; either way it is gone after the wait.
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process(pid, self.ending);
        }
        let _ = self.child.wait();
    }
}

/// A program and how to run it.
pub(super) struct Program<'a> {
    /// Where it is.
    pub(super) path: &'a Path,
    /// What it is called with.
    pub(super) arguments: Vec<String>,
    /// Who runs it, if not the one who runs the contest.
    pub(super) user: Option<&'a str>,
}

impl Program<'_> {
    /// `setpriv` runs it, so that the kernel sends it `ending` if the contest is killed.
    pub(super) fn command(&self, ending: Signal) -> Command {
        let mut command = Command::new("setpriv");
        let name = if ending == Signal::QUIT { "QUIT" } else { "KILL" };
        command.args(["--pdeathsig", name]);
        if let Some(user) = self.user {
            command.arg(format!("--reuid={user}")).arg(format!("--regid={user}"));
            command.arg("--init-groups");
        }
        command.arg(self.path).args(&self.arguments);
        command
    }
}

/// Finds `program` in one of `folders`, the first counts.
pub(super) fn find(
    program: &str,
    folders: impl IntoIterator<Item = PathBuf>,
    package: &str,
) -> Result<PathBuf> {
    let mut places = folders.into_iter().map(|folder| folder.join(program));
    let found = places.find(|place| place.is_file());
    ensure!(
        found.is_some(),
        "{program} is not installed. On Debian: apt-get install --no-install-recommends {package}"
    );
    found.context("found")
}

/// The folders of the environment's search path.
pub(super) fn search_path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map_or(Vec::new(), |path| std::env::split_paths(&path).collect())
}

#[cfg(test)]
mod tests {
    use super::{Program, find};
    use rustix::process::Signal;
    use std::path::Path;

    #[test]
    fn a_program_is_found_in_the_first_folder_that_has_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let [first, second, third] = ["1", "2", "3"].map(|name| folder.path().join(name));
        for place in [&first, &second, &third] {
            std::fs::create_dir(place).expect("created");
        }
        for place in [&second, &third] {
            std::fs::write(place.join("served"), "").expect("written");
        }
        let found = find("served", [first.clone(), second.clone(), third], "server");
        assert_eq!(found.expect("there"), second.join("served"));
        let missing = find("served", [first], "server").expect_err("not there").to_string();
        assert!(missing.contains("served is not installed"), "{missing}");
        assert!(missing.ends_with("apt-get install --no-install-recommends server"), "{missing}");
    }

    #[test]
    fn another_user_runs_it_only_if_asked() {
        let arguments = vec!["--port".to_owned(), "0".to_owned()];
        let mut program = Program { path: Path::new("/bin/served"), arguments, user: None };
        let words = |program: &Program<'_>, ending| -> Vec<String> {
            let command = program.command(ending);
            command.get_args().map(|word| word.to_string_lossy().into_owned()).collect()
        };
        let own = ["--pdeathsig", "KILL", "/bin/served", "--port", "0"];
        assert_eq!(words(&program, Signal::KILL), own);
        program.user = Some("served");
        let others = words(&program, Signal::QUIT).join(" ");
        let expected =
            "--pdeathsig QUIT --reuid=served --regid=served --init-groups /bin/served --port 0";
        assert_eq!(others, expected);
    }
}
