//! In which precision the fused operations multiply.
//!
//! The precision is that of the thread at the time of the forward pass, so that layers need not hand it down. Operations
//! keep it for their backward pass.

use std::cell::Cell;

use regulus_matrix::Precision;

thread_local! {
    static CURRENT: Cell<Precision> = const { Cell::new(Precision::F32) };
}

/// Sets the precision until it is dropped, however the work ends.
struct Restored(Precision);

impl Drop for Restored {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// The result of `work`, in which the operations of this crate that this thread calls multiply matrices in `precision`
/// on the flex backend, in f32 tensors. So do their backward passes, whenever they run. Without this it is f32. Other
/// backends and 16-bit tensors multiply as they do.
pub fn multiplying_in<A>(precision: Precision, work: impl FnOnce() -> A) -> A {
    let _until_the_end = Restored(CURRENT.replace(precision));
    work()
}

/// The precision in which operations of this thread multiply.
#[cfg(feature = "flex")]
pub(crate) fn precision() -> Precision {
    CURRENT.get()
}
