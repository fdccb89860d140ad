//! Ctrl-C: the first one lets the work come to a place from which it can go on, the second one ends it at once.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::{Failure, Outcome};

/// Exit code of a command that was interrupted: 128 and the number of the signal, as shells have it.
pub const EXIT_CODE: u8 = 130;

/// Whether the work was asked to stop.
#[derive(Debug, Clone, Default)]
pub struct Interruption(Arc<AtomicBool>);

impl Interruption {
    /// Listens for Ctrl-C and for a polite request to end.
    pub fn listen() -> Outcome<Self> {
        let asked = Self::default();
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal only sets the flag that arms the second.
            flag::register_conditional_shutdown(signal, i32::from(EXIT_CODE), Arc::clone(&asked.0))
                .and_then(|_| flag::register(signal, Arc::clone(&asked.0)))
                .context("listening for Ctrl-C")
                .map_err(Failure::Work)?;
        }
        Ok(asked)
    }

    /// Stops too when the process that started this one goes away: its end of our standard input closes then.
    pub fn stop_with_parent(&self) {
        let asked = self.clone();
        std::thread::spawn(move || {
            let mut ignored = [0; 64];
            while matches!(std::io::stdin().read(&mut ignored), Ok(1..)) {}
            asked.0.store(true, Ordering::Relaxed);
        });
    }

    /// Whether to stop.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
