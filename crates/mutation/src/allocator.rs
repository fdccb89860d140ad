//! Counts the memory that each thread holds. The only module of this crate that needs `unsafe`.

use crate::watch;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator with a count. A test binary installs it with `#[global_allocator]`.
#[derive(Debug)]
pub struct CountingAllocator;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    /// Requests that take the thread beyond this many bytes end the process: the system might refuse them, and a
    /// refused request aborts without a trace of the input.
    static END: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Runs `work` and returns with its result the most bytes that it held at once. Memory that it frees, but that
/// was there before, does not count.
pub(crate) fn peak_of<T>(end: usize, work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    END.set(before.saturating_add(end));
    let result = work();
    END.set(usize::MAX);
    (result, PEAK.get() - before)
}

/// Whether the binary uses [`CountingAllocator`].
pub(crate) fn is_installed() -> bool {
    peak_of(usize::MAX, || std::hint::black_box(Box::new([0u8; 64]))).1 >= 64
}

fn count(taken: usize, freed: usize) {
    // A thread that is ending has no count any more.
    let _ = HELD.try_with(|held| {
        let now = held.get().saturating_add(taken).saturating_sub(freed);
        held.set(now);
        PEAK.set(PEAK.get().max(now));
        if now > END.get() {
            END.set(usize::MAX);
            watch::give_up(&format!("asked for {taken} bytes more"));
        }
    });
}

// SAFETY: every call is passed on to the system's allocator with its own arguments, and its result returned. The
// counting beside it allocates nothing and does not unwind; if it ends the process, nothing is returned.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // While a block moves, both places are held.
        count(new_size, 0);
        // SAFETY: `pointer` came from `System` with this layout.
        let moved = unsafe { System.realloc(pointer, layout, new_size) };
        count(0, if moved.is_null() { new_size } else { layout.size() });
        moved
    }
}
