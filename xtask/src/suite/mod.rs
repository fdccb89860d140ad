//! Suites: many experiments, the claims they are to test, and the report of both.

mod claims;
mod document;
mod estimate;
mod paper;
mod placed;
mod plan;
mod rendered;
mod report;
mod results;
mod runner;
mod spec;

pub use claims::judge;
pub use estimate::estimate;
pub use paper::compare;
pub use placed::Places;
pub use plan::{PlannedRun, Setting, plan};
pub use report::{print, write};
pub use results::Results;
pub use runner::run_all;
pub use spec::Suite;
