//! A process that takes turns: this program with one case, or the peer's script. One line in asks for a turn, one line of
//! JSON out says how long it took.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, anyhow};
use regulus_trainer::stages::StageSeconds;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Outcome};

/// One line that such a process says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Said {
    /// Everything has been set up: by what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
    /// There is no such case for this model: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsupported: Option<String>,
    /// Something that is needed is not there: what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// A turn was taken: in how many seconds by the clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Where they went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stages: Option<StageSeconds>,
    /// There will be no more turns: the largest resident set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
}

/// One turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    /// Seconds by the clock.
    pub seconds: f64,
    /// Where they went, if it is known.
    pub stages: Option<StageSeconds>,
}

/// A process that is ready to take turns.
pub struct Worker {
    what: String,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// Name and version of what computes.
    pub by: String,
}

/// What came of starting a process.
pub enum Started {
    /// It is ready.
    Ready(Worker),
    /// It cannot do this, and says why.
    Unsupported(String),
    /// It lacks something, and says what.
    Missing(String),
}

impl Worker {
    /// Starts a process and waits until it is ready. `what` names it in messages.
    pub fn start(mut command: Command, what: String) -> Outcome<Started> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {what}"))
            .map_err(Failure::Work)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::Work(anyhow!("{what} has no input or output")));
        };
        let output = BufReader::new(output);
        let mut worker = Self { what, child, input: Some(input), output, by: String::new() };
        let said = worker.listen()?;
        match said {
            Said { ready: Some(by), .. } => Ok(Started::Ready(Self { by, ..worker })),
            Said { unsupported: Some(why), .. } => Ok(Started::Unsupported(why)),
            Said { error: Some(what), .. } => Ok(Started::Missing(what)),
            _ => Err(Failure::Work(anyhow!("{} did not say that it is ready", worker.what))),
        }
    }

    /// Lets it take one turn.
    pub fn turn(&mut self) -> Outcome<Turn> {
        if let Some(input) = &mut self.input {
            let asked = writeln!(input, "turn").and_then(|()| input.flush());
            asked.with_context(|| format!("{} ended too early", self.what)).map_err(Failure::Work)?;
        }
        match self.listen()? {
            Said { seconds: Some(seconds), stages, .. } => Ok(Turn { seconds, stages }),
            _ => Err(Failure::Work(anyhow!("{} did not say how long its turn took", self.what))),
        }
    }

    /// Ends it; how much memory it took, in bytes, where that is known.
    pub fn end(mut self) -> Outcome<Option<u64>> {
        self.input = None;
        let peak = self.listen()?.peak_bytes;
        self.child.wait().with_context(|| self.what.clone()).map_err(Failure::Work)?;
        Ok(peak)
    }

    fn listen(&mut self) -> Outcome<Said> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line).with_context(|| self.what.clone());
        if read.map_err(Failure::Work)? == 0 {
            let ended = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            return Err(Failure::Work(anyhow!("{} ended too early ({ended})", self.what)));
        }
        serde_json::from_str(&line)
            .with_context(|| format!("{} said `{}`", self.what, line.trim()))
            .map_err(Failure::Work)
    }
}
