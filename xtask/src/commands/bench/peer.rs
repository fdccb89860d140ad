//! PyTorch beside Regulus: finding a Python that has it, and starting the script with one of its forms.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::anyhow;
use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};

/// The script. It is handed to Python as an argument, so that no file has to be found.
const SCRIPT: &str = include_str!("peer.py");

/// A Python that has PyTorch.
pub struct Peer {
    python: String,
}

impl Peer {
    /// Checks that Python is there and finds PyTorch.
    pub fn find(python: &str) -> Outcome<Self> {
        let missing = |what: String| {
            Failure::Request(anyhow!(
                "--peer needs a Python with PyTorch: {what}; name one with --python, or leave out --peer"
            ))
        };
        let asked = Command::new(python)
            .args(["-c", "import torch"])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| missing(format!("`{python}` cannot be started ({error})")))?;
        if asked.status.success() {
            return Ok(Self { python: python.to_owned() });
        }
        let said = String::from_utf8_lossy(&asked.stderr);
        let last = said.lines().last().unwrap_or("it ended with an error").to_owned();
        Err(missing(format!("`{python}` cannot import torch ({last})")))
    }

    /// What starts the script for one of its forms.
    pub fn command(&self, turn: &PeerTurn<'_>) -> Command {
        let PeerTurn { form, batch, classes, threads, sizes, folder } = turn;
        let request = json!({
            "form": form, "batch": batch, "classes": classes, "threads": threads.unwrap_or(0), "sizes": sizes,
            "folder": folder.map(|folder| folder.to_string_lossy()),
        });
        let mut command = Command::new(&self.python);
        command.args(["-c", SCRIPT, &request.to_string()]);
        command
    }
}

/// What the script is asked to do.
pub struct PeerTurn<'a> {
    /// One of its forms.
    pub form: &'a str,
    /// Images of a turn.
    pub batch: usize,
    /// Classes.
    pub classes: usize,
    /// Threads, if not as many as PyTorch takes.
    pub threads: Option<usize>,
    /// Sizes of the model.
    pub sizes: &'a Value,
    /// Folder of the model to load.
    pub folder: Option<&'a Path>,
}
