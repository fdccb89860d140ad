//! How a command fails: a wrong request (exit code 2, before any work), work that went wrong (1), or work that was
//! interrupted (130).

use std::fmt;
use std::process::ExitCode;

use regulus_trainer::experiment::ComposeError;
use regulus_trainer::run::RunError;

use crate::interrupt;

/// A failed command with its message.
#[derive(Debug)]
pub enum Failure {
    /// The request cannot be carried out: a path, a key or a value is wrong. No work was done.
    Request(anyhow::Error),
    /// The work itself failed.
    Work(anyhow::Error),
    /// The work was interrupted and can go on.
    Stopped(anyhow::Error),
}

impl Failure {
    /// Marks an error as a fault of the request.
    pub fn request(error: impl Into<anyhow::Error>) -> Self {
        Self::Request(error.into())
    }

    /// Marks an error as a fault of the work.
    pub fn work(error: impl Into<anyhow::Error>) -> Self {
        Self::Work(error.into())
    }

    /// Marks the error of a run: it failed, or it was asked to stop.
    pub fn of_run(error: RunError) -> Self {
        match error {
            RunError::Stopped { .. } | RunError::StoppedWaiting { .. } => Self::Stopped(error.into()),
            _ => Self::Work(error.into()),
        }
    }

    /// 2 for a wrong request, 1 for failed work, 130 for interrupted work.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Request(_) => 2,
            Self::Work(_) => 1,
            Self::Stopped(_) => interrupt::EXIT_CODE,
        })
    }
}

impl From<ComposeError> for Failure {
    fn from(error: ComposeError) -> Self {
        Self::request(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Request(error) | Self::Work(error) | Self::Stopped(error)) = self;
        formatter.write_str(&told(error))
    }
}

/// The error and its causes. The libraries' messages hold their causes already: what has been said is not said
/// again.
pub fn told(error: &anyhow::Error) -> String {
    let mut told = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !told.contains(&cause) {
            told += &format!(": {cause}");
        }
    }
    told
}

/// What commands return.
pub type Outcome<T = ()> = Result<T, Failure>;
