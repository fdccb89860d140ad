//! Progress on a terminal as bars, elsewhere as plain lines.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

const BAR: &str = "{prefix:34} [{bar:24}] {pos}/{len} {msg}";

fn bar_style() -> ProgressStyle {
    ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

/// Whether bars can be drawn.
fn on_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// One piece of work with a known number of steps.
pub struct Line {
    title: String,
    bar: Option<ProgressBar>,
    began: Instant,
    told: Instant,
}

/// Pause between two plain lines of one piece of work.
const PLAIN_INTERVAL: Duration = Duration::from_secs(20);

impl Line {
    /// Starts a piece of work.
    pub fn start(title: &str) -> Self {
        let bar = on_terminal().then(|| {
            let bar = ProgressBar::new(0).with_style(bar_style());
            bar.set_prefix(title.to_owned());
            bar
        });
        Self { title: title.to_owned(), bar, began: Instant::now(), told: Instant::now() }
    }

    /// `done` of `total` steps are done.
    pub fn step(&mut self, done: usize, total: usize) {
        let left = time_left(self.began.elapsed(), done, total);
        match &self.bar {
            Some(bar) => {
                bar.set_length(total as u64);
                bar.set_position(done as u64);
                bar.set_message(left);
            }
            None if self.told.elapsed() >= PLAIN_INTERVAL => {
                self.told = Instant::now();
                eprintln!("{}: {done}/{total} {left}", self.title);
            }
            None => {}
        }
    }

    /// Ends the work with a line that stays.
    pub fn finish(&self, message: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("{message} ({})", clock(self.began.elapsed()));
    }
}

/// Many runs side by side, and one bar for all.
pub struct Board {
    bars: Option<(MultiProgress, ProgressBar)>,
    total: usize,
    finished: usize,
    began: Instant,
}

impl Board {
    /// A board for `total` runs.
    pub fn start(title: &str, total: usize) -> Self {
        let bars = on_terminal().then(|| {
            let all = MultiProgress::new();
            let overall = all.add(ProgressBar::new(total as u64).with_style(bar_style()));
            overall.set_prefix(title.to_owned());
            (all, overall)
        });
        Self { bars, total, finished: 0, began: Instant::now() }
    }

    /// A bar for one run; `None` when bars cannot be drawn.
    pub fn run(&self, title: &str) -> Option<ProgressBar> {
        let (all, _) = self.bars.as_ref()?;
        let bar = all.insert_from_back(1, ProgressBar::new(1).with_style(bar_style()));
        bar.set_prefix(title.to_owned());
        Some(bar)
    }

    /// A run has ended; `what` says how.
    pub fn ended(&mut self, title: &str, what: &str) {
        self.finished += 1;
        let left = time_left(self.began.elapsed(), self.finished, self.total);
        match &self.bars {
            Some((all, overall)) => {
                overall.set_position(self.finished as u64);
                overall.set_message(left);
                if what != "done" {
                    // Losing a message of the terminal is no reason to stop.
                    let _ = all.println(format!("{title}: {what}"));
                }
            }
            None => eprintln!("[{}/{}] {title}: {what}; {left}", self.finished, self.total),
        }
    }

    /// All runs have ended.
    pub fn close(&self) {
        if let Some((_, overall)) = &self.bars {
            overall.finish_and_clear();
        }
    }
}

fn time_left(elapsed: Duration, done: usize, total: usize) -> String {
    if done == 0 || done >= total {
        return String::new();
    }
    let seconds = elapsed.as_secs_f64() * (total - done) as f64 / done as f64;
    let left = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    format!("{} left", clock(left))
}

/// Minutes and seconds.
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds >= 60 { format!("{} min {:02} s", seconds / 60, seconds % 60) } else { format!("{seconds} s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_proportional() {
        assert_eq!(time_left(Duration::from_secs(30), 1, 4), "1 min 30 s left");
        assert_eq!(time_left(Duration::from_secs(30), 0, 4), "");
        assert_eq!(time_left(Duration::from_secs(30), 4, 4), "");
    }
}
