//! What was measured, as JSON and as tables.

use regulus_trainer::stages::StageSeconds;
use serde::Serialize;

use super::child::Turn;
use crate::table::Table;

/// All that one command has measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Version of Regulus, and whether it was built with optimisation of everything (`release`).
    pub build: String,
    /// Name of the processor, where it is known.
    pub processor: Option<String>,
    /// Processors that the system has.
    pub processors: usize,
    /// Threads that were asked for.
    pub threads: Option<usize>,
    /// Sizes of the model.
    pub model: &'static str,
    /// Turns that were not counted, and those that were.
    pub warmup: usize,
    /// See `warmup`.
    pub runs: usize,
    /// One entry for each case.
    pub cases: Vec<CaseReport>,
    /// Cases that this model does not have, and why.
    pub left_out: Vec<(String, String)>,
}

/// One case, by Regulus and by the peer.
#[derive(Debug, Serialize)]
pub struct CaseReport {
    /// The case.
    pub name: &'static str,
    /// How Regulus multiplied matrices.
    pub matmul: String,
    /// Images of a turn.
    pub batch: usize,
    /// Classes.
    pub classes: usize,
    /// What a turn makes, and how many of it.
    pub makes: (&'static str, usize),
    /// Regulus.
    pub regulus: Measured,
    /// The forms of the peer.
    pub peers: Vec<PeerReport>,
}

/// The peer's form of a case.
#[derive(Debug, Serialize)]
pub struct PeerReport {
    /// The form.
    pub form: &'static str,
    /// What it took.
    pub measured: Measured,
    /// The peer's seconds by those of Regulus: above 1, Regulus is faster.
    pub time_ratio: f64,
    /// The peer's peak of memory by that of Regulus.
    pub memory_ratio: Option<f64>,
}

impl PeerReport {
    /// What the peer took beside Regulus.
    pub fn new(form: &'static str, measured: Measured, regulus: &Measured) -> Self {
        let bytes = measured.peak_bytes.zip(regulus.peak_bytes);
        let memory_ratio = bytes.map(|(peer, own)| peer as f64 / own.max(1) as f64);
        Self { form, time_ratio: measured.seconds / regulus.seconds, memory_ratio, measured }
    }
}

/// What the turns of one process took.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Name and version of what computed.
    pub by: String,
    /// Median of the seconds of a turn.
    pub seconds: f64,
    /// The fastest turn.
    pub fastest: f64,
    /// The slowest turn.
    pub slowest: f64,
    /// What a turn makes by its median.
    pub per_second: f64,
    /// Median of the seconds in each stage of a step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stages: Option<StageSeconds>,
    /// The largest resident set of the process, in bytes, setting up included.
    pub peak_bytes: Option<u64>,
    /// Seconds of every turn.
    pub turns: Vec<f64>,
}

impl Measured {
    /// Summarises turns, of which there is at least one.
    pub fn of(by: String, turns: &[Turn], made: usize, peak_bytes: Option<u64>) -> Self {
        let all: Vec<f64> = turns.iter().map(|turn| turn.seconds).collect();
        let seconds = median(all.clone());
        let stages: Option<Vec<StageSeconds>> = turns.iter().map(|turn| turn.stages).collect();
        let stages = stages.map(|stages| {
            let of = |part: fn(&StageSeconds) -> f64| median(stages.iter().map(part).collect());
            StageSeconds {
                data: of(|stage| stage.data),
                teacher: of(|stage| stage.teacher),
                student: of(|stage| stage.student),
                backward: of(|stage| stage.backward),
                optimiser: of(|stage| stage.optimiser),
            }
        });
        Self {
            by,
            seconds,
            fastest: all.iter().copied().fold(f64::INFINITY, f64::min),
            slowest: all.iter().copied().fold(0.0, f64::max),
            per_second: made as f64 / seconds,
            stages,
            peak_bytes,
            turns: all,
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2).copied().unwrap_or(f64::NAN);
    match values.len().checked_sub(1).and_then(|last| values.get(last / 2)) {
        Some(lower) => (lower + upper) / 2.0,
        None => upper,
    }
}

impl Report {
    /// The tables for the terminal.
    pub fn tables(&self) -> Vec<Table> {
        let mut own = Table::new([
            "case",
            "matmul",
            "s",
            "per second",
            "data",
            "teacher",
            "student",
            "backward",
            "optimiser",
            "peak MiB",
        ]);
        let mut beside =
            Table::new(["case", "matmul", "peer", "peer s", "peer/ours", "peer MiB", "memory peer/ours"]);
        for CaseReport { name, matmul, makes: (what, _), regulus, peers, .. } in &self.cases {
            let mut row = vec![
                (*name).to_owned(),
                matmul.clone(),
                format!("{:.4}", regulus.seconds),
                format!("{:.2} {what}", regulus.per_second),
            ];
            let of_step = regulus.stages.filter(|_| *what == "steps");
            row.extend(match of_step {
                Some(StageSeconds { data, teacher, student, backward, optimiser }) => {
                    [data, teacher, student, backward, optimiser].map(|seconds| format!("{seconds:.4}"))
                }
                None => Default::default(),
            });
            row.push(mebibytes(regulus.peak_bytes));
            own.row(row);
            for PeerReport { form, measured, time_ratio, memory_ratio } in peers {
                beside.row([
                    (*name).to_owned(),
                    matmul.clone(),
                    (*form).to_owned(),
                    format!("{:.4}", measured.seconds),
                    format!("{time_ratio:.2}"),
                    mebibytes(measured.peak_bytes),
                    memory_ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
                ]);
            }
        }
        let with_peers = self.cases.iter().any(|case| !case.peers.is_empty());
        [own].into_iter().chain(with_peers.then_some(beside)).collect()
    }
}

fn mebibytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "not known".to_owned(), |bytes| (bytes >> 20).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_turns_and_of_their_stages() {
        let turn = |seconds: f64| {
            let stages = StageSeconds { backward: seconds / 2.0, ..StageSeconds::default() };
            Turn { seconds, stages: Some(stages) }
        };
        let measured = Measured::of("x".into(), &[turn(4.0), turn(1.0), turn(2.0), turn(9.0)], 6, None);
        assert_eq!((measured.seconds, measured.per_second), (3.0, 2.0));
        assert_eq!((measured.fastest, measured.slowest), (1.0, 9.0));
        assert_eq!(measured.stages.unwrap().backward, 1.5);
        assert_eq!(Measured::of("x".into(), &[turn(5.0)], 5, None).per_second, 1.0);
    }
}
