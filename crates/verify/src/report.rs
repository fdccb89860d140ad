//! What a case showed.

/// One comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What was compared: the recorded tensor and, where it was run more than once, with what.
    pub what: String,
    /// Largest absolute difference.
    pub deviation: f64,
    /// Largest absolute difference that passes.
    pub tolerance: f64,
    /// Why no difference could be computed.
    pub problem: Option<String>,
}

impl Row {
    /// Whether the values agree.
    pub fn passed(&self) -> bool {
        self.problem.is_none() && self.deviation <= self.tolerance
    }

    /// A comparison that could not be made.
    pub(crate) fn problem(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { what: what.into(), deviation: f64::NAN, tolerance: 0.0, problem: Some(problem.into()) }
    }
}

/// All comparisons of a case.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseReport {
    /// Folder or file of the case.
    pub name: String,
    /// The comparisons that were made.
    pub rows: Vec<Row>,
    /// Why the case was not run to its end.
    pub failure: Option<String>,
}

impl CaseReport {
    /// Whether the whole case was run and all values agree.
    pub fn passed(&self) -> bool {
        self.failure.is_none() && self.rows.iter().all(Row::passed)
    }
}
