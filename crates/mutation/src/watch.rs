//! The input at hand, kept where a failure that cannot be caught still finds it.

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the deadline is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// The input that a thread is reading.
#[derive(Debug)]
pub(crate) struct Watch {
    target: String,
    deadline: Duration,
    running: Mutex<Running>,
}

#[derive(Debug)]
struct Running {
    input: Vec<u8>,
    since: Option<Instant>,
}

thread_local! {
    static ACTIVE: Cell<Option<&'static Watch>> = const { Cell::new(None) };
}

impl Watch {
    /// Watches the inputs that this thread reads for `target`. Lives as long as the process, as its thread does.
    pub(crate) fn start(target: &str, deadline: Duration) -> &'static Self {
        let running = Mutex::new(Running { input: Vec::new(), since: None });
        let watch: &'static Self = Box::leak(Box::new(Self { target: target.into(), deadline, running }));
        ACTIVE.set(Some(watch));
        std::thread::spawn(|| {
            loop {
                std::thread::sleep(INTERVAL);
                let running = watch.lock();
                if running.since.is_some_and(|since| since.elapsed() > watch.deadline) {
                    watch.end_process(&running.input, "still reads after its deadline");
                }
            }
        });
        watch
    }

    /// Notes that `input` is being read from now on.
    pub(crate) fn begin(&self, input: &[u8]) {
        let mut running = self.lock();
        running.input.clear();
        running.input.extend_from_slice(input);
        running.since = Some(Instant::now());
    }

    /// Notes that it has been read.
    pub(crate) fn end(&self) {
        self.lock().since = None;
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end_process(&self, input: &[u8], reason: &str) -> ! {
        let message =
            format!("{}: the reader {reason}; the input is in {}\n", self.target, save(&self.target, input));
        // Not `eprintln`, whose text a test holds back until it ends.
        let _ = std::io::stderr().write_all(message.as_bytes());
        std::process::exit(1)
    }
}

/// Ends the process because of the input that this thread is reading.
pub(crate) fn give_up(reason: &str) {
    if let Some(watch) = ACTIVE.get() {
        let input = watch.lock().input.clone();
        watch.end_process(&input, reason);
    }
}

/// Saves an input and returns its path, or why that failed.
pub(crate) fn save(target: &str, input: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    let folder: PathBuf = std::env::temp_dir().join("regulus-mutation");
    let path = folder.join(format!("{target}-{:016x}", hasher.finish()));
    match std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, input)) {
        Ok(()) => path.display().to_string(),
        Err(error) => format!("no file: {error}"),
    }
}
