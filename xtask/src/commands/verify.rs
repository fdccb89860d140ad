//! `cargo xtask verify`: recorded cases of the reference implementations, run again on this machine.

use std::path::PathBuf;

use regulus_trainer::device::by_name;
use regulus_verify::{Case, CaseReport, Row, find_cases, verify};

use crate::failure::{Failure, Outcome};
use crate::table::Table;

/// What to verify.
#[derive(clap::Args)]
pub struct Arguments {
    /// Folders with recorded cases, at any depth: a model with io.safetensors, or NAME.safetensors beside NAME.json
    #[arg(required = true)]
    directories: Vec<PathBuf>,
    /// Print only what fails
    #[arg(long)]
    failures: bool,
    /// Device to compute on: cpu, ndarray, wgpu or cuda:N
    #[arg(long, default_value = "cpu")]
    device: String,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let device = by_name(&arguments.device).map_err(Failure::request)?;
    let mut cases: Vec<Case> = Vec::new();
    for directory in &arguments.directories {
        cases.extend(find_cases(directory).map_err(Failure::request)?);
    }
    cases.sort();
    cases.dedup();
    // A computation that breaks off is reported as a failed case; its own message would say it twice.
    std::panic::set_hook(Box::new(|_| {}));
    let mut totals = Totals::default();
    for case in &cases {
        let report = verify(case, &device);
        totals.count(&report);
        print(&report, arguments.failures);
    }
    let _ = std::panic::take_hook();
    println!("{totals}");
    match totals.failed_cases {
        0 => Ok(()),
        failed => Err(Failure::Work(anyhow::anyhow!("{failed} of {} cases failed", cases.len()))),
    }
}

fn print(report: &CaseReport, only_failures: bool) {
    let verdict = if report.passed() { "PASS" } else { "FAIL" };
    println!("{}: {verdict}", report.name);
    let mut table = Table::new(["tensor", "max |Δ|", "tolerance", "verdict"]);
    let shown: Vec<&Row> = report.rows.iter().filter(|row| !(only_failures && row.passed())).collect();
    for row in &shown {
        let deviation = match row.deviation.is_nan() {
            true => "-".to_string(),
            false => number(row.deviation),
        };
        table.row([row.what.clone(), deviation, number(row.tolerance), verdict_of(row).to_string()]);
    }
    if !shown.is_empty() {
        println!("{table}");
    }
    for row in &report.rows {
        if let Some(problem) = &row.problem {
            println!("  {}: {problem}", row.what);
        }
    }
    if let Some(failure) = &report.failure {
        println!("  not run to its end: {failure}");
    }
    println!();
}

fn verdict_of(row: &Row) -> &'static str {
    if row.passed() { "PASS" } else { "FAIL" }
}

/// Zero as it is, all else with two significant digits.
fn number(value: f64) -> String {
    if value == 0.0 { "0".to_string() } else { format!("{value:.1e}") }
}

#[derive(Default)]
struct Totals {
    cases: usize,
    failed_cases: usize,
    comparisons: usize,
    failed_comparisons: usize,
}

impl Totals {
    fn count(&mut self, report: &CaseReport) {
        self.cases += 1;
        self.failed_cases += usize::from(!report.passed());
        self.comparisons += report.rows.len();
        self.failed_comparisons += report.rows.iter().filter(|row| !row.passed()).count();
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cases, failed_cases, comparisons, failed_comparisons } = self;
        write!(
            formatter,
            "total: {} of {cases} cases PASS, {failed_cases} FAIL; {} of {comparisons} comparisons PASS, \
             {failed_comparisons} FAIL",
            cases - failed_cases,
            comparisons - failed_comparisons
        )
    }
}
