//! A small file system in a mount namespace of its own, to be filled or made read-only.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::{Server, command, run};

/// A small file system at a path that only those see who enter its namespace. Goes when dropped.
pub(crate) struct SmallDisk {
    keeper: Child,
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one of `size`, e.g. `16m`, at `path`.
    pub(crate) fn mount(path: &Path, size: &str) -> Self {
        let script = "mount -t tmpfs -o size=\"$1\" none \"$0\" && echo mounted && exec sleep 3600";
        let mut keeper = Command::new("unshare")
            .args(if is_root() { &["--mount"][..] } else { &["--mount", "--map-root-user"][..] })
            .args(["sh", "-c", script])
            .arg(path)
            .arg(size)
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let mut line = String::new();
        let stdout = keeper.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert_eq!(line.trim(), "mounted");
        Self { keeper, path: path.to_path_buf() }
    }

    /// Where those see it who enter its namespace.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Starts a server that sees it.
    pub(crate) fn serve(&self, data_dir: &Path, flags: &[&str]) -> Server {
        let server = command(data_dir, flags);
        let mut inside = self.inside(server.get_program());
        inside.args(server.get_args());
        for (name, value) in server.get_envs() {
            inside.env(name, value.expect("set"));
        }
        Server::spawn(inside.stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    /// Audits as one who sees it. Gives the exit code and what was printed.
    pub(crate) fn audit(&self, data_dir: &Path, flags: &[&str]) -> (Option<i32>, String) {
        let mut audit = self.inside(env!("CARGO_BIN_EXE_sluice").as_ref());
        run(audit.args(["audit", "--data-dir"]).arg(data_dir).args(flags))
    }

    /// Lets it be written to, or not. Nobody may have a file on it open for writing.
    pub(crate) fn remount(&self, read_only: bool) {
        let options = if read_only { "remount,ro" } else { "remount,rw" };
        let mut mount = self.inside("mount".as_ref());
        let status = mount.args(["-o", options]).arg(&self.path).status().expect("mount runs");
        assert!(status.success(), "{options}");
    }

    fn inside(&self, program: &std::ffi::OsStr) -> Command {
        let mut inside = Command::new("nsenter");
        let keeper = self.keeper.id().to_string();
        inside.args(["--target", &keeper, "--mount"]);
        if !is_root() {
            inside.args(["--user", "--preserve-credentials"]);
        }
        inside.arg(program);
        inside
    }

    /// A path on it, as it is seen from outside.
    pub(crate) fn seen(&self, name: &str) -> PathBuf {
        let inside = self.path.strip_prefix("/").expect("absolute").join(name);
        PathBuf::from(format!("/proc/{}/root", self.keeper.id())).join(inside)
    }

    /// Takes all the room there is.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.seen("filler")).expect("created");
        for bytes in [&[1; 65_536][..], &[1; 512][..]] {
            while file.write_all(bytes).is_ok() {}
        }
    }

    /// Gives the room back.
    pub(crate) fn free(&self) {
        fs::remove_file(self.seen("filler")).expect("it is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The mount goes with the last process in its namespace.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
