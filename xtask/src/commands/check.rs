//! `cargo xtask check`: everything that has to pass before a change lands, cheapest first.

use std::process::Command;

use crate::failure::{Failure, Outcome};

/// Name, arguments of cargo, and what to add to the environment.
type Stage = (&'static str, &'static [&'static str], Option<(&'static str, &'static str)>);

const STAGES: [Stage; 4] = [
    ("format", &["fmt", "--all", "--check"], None),
    ("lint", &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"], None),
    ("documentation", &["doc", "--workspace", "--no-deps", "--quiet"], Some(("RUSTDOCFLAGS", "-D warnings"))),
    ("tests", &["test", "--workspace", "--quiet"], None),
];

pub fn run() -> Outcome {
    for (name, arguments, environment) in STAGES {
        println!("== {name}: cargo {}", arguments.join(" "));
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo).args(arguments).envs(environment).status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(Failure::Work(anyhow::anyhow!("{name} failed ({status})"))),
            Err(error) => {
                return Err(Failure::Work(anyhow::Error::new(error).context("cannot start cargo")));
            }
        }
    }
    println!("all checks passed");
    Ok(())
}
