//! Programs: where they are, how they are run, and what to install if they are not there.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

/// A program and how to run it.
pub(crate) struct Program<'a> {
    /// Where it is.
    pub(crate) path: &'a Path,
    /// What it is called with.
    pub(crate) arguments: Vec<String>,
    /// Who runs it, if not the one who runs this process.
    pub(crate) user: Option<&'a str>,
}

impl Program<'_> {
    /// `setpriv` runs it, so that the kernel sends it `ending` when the thread that started it is
    /// gone.
    pub(crate) fn command(&self, ending: Signal) -> Command {
        let mut command = Command::new("setpriv");
        let name = if ending == Signal::QUIT { "QUIT" } else { "KILL" };
        command.args(["--pdeathsig", name]);
        if let Some(user) = self.user {
            command.arg(format!("--reuid={user}")).arg(format!("--regid={user}"));
            command.arg("--init-groups");
        }
        command.arg(self.path).args(&self.arguments);
        command.stdin(Stdio::null());
        command
    }

    /// Runs it to its end, in `folder`; `input` is what it reads.
    ///
    /// # Errors
    /// With what it said, if it fails.
    pub(crate) fn run(&self, folder: &Path, input: Option<File>) -> Result<()> {
        let mut command = self.command(Signal::KILL);
        command.current_dir(folder);
        if let Some(input) = input {
            command.stdin(input);
        }
        output(&mut command)?;
        Ok(())
    }
}

/// Runs a command to its end and gives what it printed.
///
/// # Errors
/// With what it said, if it fails.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let name = command.get_program().display().to_string();
    let done = command.output().with_context(|| format!("cannot start {name}"))?;
    ensure!(
        done.status.success(),
        "{command:?}: {}\n{}{}",
        done.status,
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr).trim_end()
    );
    Ok(done.stdout)
}

/// Finds `program` in one of `folders`, the first counts; `package` is Debian's that has it.
///
/// # Errors
/// If it is in none.
pub(crate) fn find(
    program: &str,
    folders: impl IntoIterator<Item = PathBuf>,
    package: &str,
) -> Result<PathBuf> {
    let mut places = folders.into_iter().map(|folder| folder.join(program));
    places.find(|place| place.is_file()).with_context(|| {
        format!(
            "{program} is not installed. On Debian: apt-get install --no-install-recommends {package}"
        )
    })
}

/// The folders of the environment's search path.
pub(crate) fn search_path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map_or(Vec::new(), |path| std::env::split_paths(&path).collect())
}

#[cfg(test)]
mod tests {
    use super::{Program, find, output};
    use rustix::process::Signal;
    use std::path::Path;
    use std::process::Command;

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

    #[test]
    fn what_a_failing_program_said_is_in_the_error() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo wrong >&2; exit 3"]);
        let error = output(&mut command).expect_err("it fails").to_string();
        for said in ["exit status: 3", "out", "wrong"] {
            assert!(error.contains(said), "{error}");
        }
    }
}
