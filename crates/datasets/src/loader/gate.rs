//! Bounds the memory of the originals that are decoded at the same time: a worker waits until there is room for its
//! image.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, PoisonError};

thread_local! {
    /// Whether this thread is inside of a gate. A view that uses rayon may find itself decoding another image before
    /// its own is done; waiting there would be waiting for itself.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Lets images in as long as they fit a number of bytes; an image that never fits comes in alone.
#[derive(Debug)]
pub(super) struct Gate {
    limit: u64,
    held: Mutex<Held>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct Held {
    bytes: u64,
    peak: u64,
}

impl Gate {
    pub fn new(limit: u64) -> Self {
        Self { limit, held: Mutex::default(), left: Condvar::new() }
    }

    /// Waits for room; it is free again when the permit is dropped.
    pub fn enter(&self, bytes: u64) -> Permit<'_> {
        let nested = INSIDE.replace(true);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        while !nested && held.bytes > 0 && held.bytes.saturating_add(bytes) > self.limit {
            held = self.left.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        held.bytes = held.bytes.saturating_add(bytes);
        held.peak = held.peak.max(held.bytes);
        Permit { gate: self, bytes, nested }
    }

    /// Most bytes that were inside at the same time.
    pub fn peak(&self) -> u64 {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).peak
    }
}

/// Room for one image.
pub(super) struct Permit<'a> {
    gate: &'a Gate,
    bytes: u64,
    nested: bool,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        INSIDE.set(self.nested);
        let mut held = self.gate.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.bytes = held.bytes.saturating_sub(self.bytes);
        drop(held);
        self.gate.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_is_inside_and_the_largest_comes_in_alone() {
        for (limit, sizes, most) in [(10, [4, 5, 6, 3], 10), (10, [50, 1, 2, 50], 50), (0, [1, 2, 3, 4], 4)] {
            let gate = Gate::new(limit);
            std::thread::scope(|scope| {
                for size in sizes.into_iter().cycle().take(12) {
                    let gate = &gate;
                    scope.spawn(move || {
                        let _permit = gate.enter(size);
                        std::thread::sleep(std::time::Duration::from_millis(2));
                    });
                }
            });
            assert!(gate.peak() <= most, "{} of {limit}", gate.peak());
            assert_eq!(gate.held.lock().unwrap().bytes, 0);
        }
    }

    #[test]
    fn a_thread_does_not_wait_for_itself() {
        let gate = Gate::new(1);
        let outer = gate.enter(1);
        drop(gate.enter(1));
        drop(outer);
        assert_eq!(gate.peak(), 2);
    }
}
