//! Runs the binary from the top of the repository, and makes small inputs for it.

use std::path::{Path, PathBuf};
use std::process::Command;

use regulus_images::{RgbImage, encode_png};

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The binary under test.
pub fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_xtask").into()
}

/// What a command left behind.
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Fails with everything the command said unless it ended with `code`.
    #[track_caller]
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Fails unless the request was refused: exit code 2, and one message on standard error is all there is.
    #[track_caller]
    pub fn refused(self) -> Self {
        let ended = self.with_code(2);
        let alone = ended.stderr.starts_with("error: ") && ended.stderr.matches("error: ").count() == 1;
        assert!(alone && ended.stdout.is_empty(), "stdout: {}\nstderr: {}", ended.stdout, ended.stderr);
        ended
    }

    /// Fails unless the message on standard error holds every one of `parts`.
    #[track_caller]
    pub fn naming(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is not in: {}", self.stderr);
        }
        self
    }
}

pub fn xtask(arguments: &[&str]) -> Ended {
    ended(Command::new(program()).args(arguments))
}

/// [`xtask`] on a given number of threads.
pub fn xtask_on_threads(threads: usize, arguments: &[&str]) -> Ended {
    let mut command = Command::new(program());
    ended(command.args(arguments).env("RAYON_NUM_THREADS", threads.to_string()))
}

/// [`xtask`] where a run may take so much memory.
pub fn xtask_allowed(memory: &str, arguments: &[&str]) -> Ended {
    ended(Command::new(program()).args(arguments).env("REGULUS_MEMORY", memory))
}

/// [`xtask`] with decoded images in a cache of at most `budget`.
pub fn xtask_caching(folder: &Path, budget: &str, arguments: &[&str]) -> Ended {
    let mut command = Command::new(program());
    ended(command.args(arguments).env(CACHE, folder).env("REGULUS_CACHE_BUDGET", budget))
}

const CACHE: &str = "REGULUS_CACHE";

fn ended(command: &mut Command) -> Ended {
    if command.get_envs().all(|(name, _)| name != CACHE) {
        command.env(CACHE, "off");
    }
    let output = command.current_dir(root()).output().unwrap();
    Ended {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// [`xtask`] with these variables, and none that the hub's client or a proxy reads from the environment.
pub fn xtask_with(variables: &[(&str, &str)], arguments: &[&str]) -> Ended {
    ended(&mut command_with(variables, arguments))
}

/// The command of [`xtask_with`].
pub fn command_with(variables: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    let of_network = |name: &str| name.starts_with("HF_") || name.to_ascii_lowercase().ends_with("_proxy");
    for (name, _) in std::env::vars().filter(|(name, _)| of_network(name)) {
        command.env_remove(name);
    }
    command.args(arguments).envs(variables.iter().copied());
    command
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A PNG of `side` pixels whose colours depend on `tint`.
pub fn png(side: usize, tint: u8) -> Vec<u8> {
    let pixels = (0..side * side * 3).map(|value| (value as u8).wrapping_mul(7).wrapping_add(tint)).collect();
    encode_png(&RgbImage::new(side, side, pixels).unwrap()).unwrap()
}

pub fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// `count` images of every class in `folder/<class>/<n>.png`.
pub fn class_folders(folder: &Path, classes: &[&str], count: usize) {
    for (index, class) in classes.iter().enumerate() {
        for n in 0..count {
            write(&folder.join(class).join(format!("{n}.png")), &png(20 + n, (index * 90) as u8));
        }
    }
}

/// The folders of the runs under `runs`.
pub fn run_folders(runs: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(runs) else { return Vec::new() };
    let mut folders: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}
