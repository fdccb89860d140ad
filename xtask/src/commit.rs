//! Which commit of the code is running, for the record of a run.

use std::process::Command;

/// The commit of the working tree around the current folder, with `-changed` if tracked files differ from it;
/// `None` without git or outside a repository.
pub fn current() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit}-changed") })
}
