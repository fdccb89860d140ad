//! The threads of loaders: a pool of their own, shared by all loaders of a program, or the pool that computes.

use std::any::Any;
use std::fmt;
use std::sync::mpsc::{Receiver, RecvError, TryRecvError};
use std::thread::JoinHandle;

use rayon::{ThreadPool, ThreadPoolBuilder};
use thiserror::Error;

/// Threads on which loaders work. Loaders that share one never use more threads than it has. When the last owner of a
/// pool goes, its threads have ended.
pub struct Workers {
    /// `None`: rayon's global pool.
    pool: Option<ThreadPool>,
    threads: Vec<JoinHandle<()>>,
}

/// Threads that could not be started.
#[derive(Debug, Error)]
#[error("cannot start {threads} threads for the image loader: {source}")]
pub struct WorkersError {
    /// How many were wanted.
    threads: usize,
    /// What the operating system said.
    source: rayon::ThreadPoolBuildError,
}

/// Most threads of a pool.
const MOST_THREADS: usize = 1024;

impl Workers {
    /// A pool of `threads` threads, 1 to 1024; 0 stands for one for each processor.
    ///
    /// # Errors
    /// [`WorkersError`] where the operating system refuses a thread.
    pub fn new(threads: usize) -> Result<Self, WorkersError> {
        let wanted = if threads == 0 {
            std::thread::available_parallelism().map_or(1, |processors| processors.get())
        } else {
            threads.min(MOST_THREADS)
        };
        let mut handles = Vec::with_capacity(wanted);
        let built = ThreadPoolBuilder::new()
            .num_threads(wanted)
            .thread_name(|number| format!("loader {number}"))
            .spawn_handler(|thread| {
                let mut builder = std::thread::Builder::new();
                if let Some(name) = thread.name() {
                    builder = builder.name(name.to_owned());
                }
                handles.push(builder.spawn(|| thread.run())?);
                Ok(())
            })
            .build();
        let pool = built.map_err(|source| WorkersError { threads: wanted, source })?;
        Ok(Self { pool: Some(pool), threads: handles })
    }

    /// Rayon's global pool, on which the CPU backend computes: decoding then takes turns with it and no processor has
    /// two threads.
    pub fn global() -> Self {
        Self { pool: None, threads: Vec::new() }
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.pool.as_ref().map_or_else(rayon::current_num_threads, ThreadPool::current_num_threads)
    }

    /// Runs `work` on the pool and waits for it.
    pub(super) fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Hands `job` to the pool; jobs start in the order in which they are handed over. It must not panic.
    pub(super) fn spawn(&self, job: impl FnOnce() + Send + 'static) {
        match &self.pool {
            Some(pool) => pool.spawn_fifo(job),
            None => rayon::spawn_fifo(job),
        }
    }

    /// Waits for what a job sends. A thread of the pool works meanwhile: otherwise it would wait for itself.
    pub(super) fn wait<M>(&self, receiver: &Receiver<M>) -> Result<M, RecvError> {
        let works = match &self.pool {
            Some(pool) => pool.current_thread_index().is_some(),
            None => rayon::current_thread_index().is_some(),
        };
        if !works {
            return receiver.recv();
        }
        loop {
            match receiver.try_recv() {
                Ok(message) => return Ok(message),
                Err(TryRecvError::Disconnected) => return Err(RecvError),
                Err(TryRecvError::Empty) => {
                    if rayon::yield_now() != Some(rayon::Yield::Executed) {
                        std::thread::yield_now();
                    }
                }
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // Without its pool, a thread ends when it has nothing left to do.
        self.pool = None;
        let this = std::thread::current().id();
        for thread in self.threads.drain(..).filter(|thread| thread.thread().id() != this) {
            let _: Result<(), Box<dyn Any + Send>> = thread.join();
        }
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("threads", &self.threads()).finish()
    }
}
