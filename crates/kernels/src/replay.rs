//! One computation, two graphs: for methods that need the gradients of two objectives of the same outputs.
//!
//! Burn consumes a graph as it goes backward, so that a second gradient needs a second graph. Its forward pass would
//! compute the same values again. [`computing_once`] runs both forward passes, but the fused operations of the second
//! one take results and saved tensors from the first. What is left to compute are the plain operations between them.
//! The two graphs share their memory, and each can be differentiated on its own: the towers' vector-Jacobian product
//! for two cotangents.

#[cfg(feature = "flex")]
use std::any::Any;
use std::cell::RefCell;
#[cfg(feature = "flex")]
use std::collections::VecDeque;

#[cfg(feature = "flex")]
use burn::tensor::Shape;

/// What a fused operation has left, with what it was asked for.
#[cfg(feature = "flex")]
struct Known {
    shapes: Vec<Shape>,
    tracked: Vec<bool>,
    /// Its result and what its backward pass needs.
    value: Box<dyn Any>,
}

/// What the operations of this thread do with their results.
#[derive(Default)]
enum State {
    /// Nothing.
    #[default]
    Off,
    /// [`computing_once`] runs both functions in full.
    Anew,
    /// They keep them for the second run.
    #[cfg(feature = "flex")]
    Keeping(VecDeque<Known>),
    /// They take those that were kept.
    #[cfg(feature = "flex")]
    Taking(VecDeque<Known>),
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Sets the state until it is dropped, however the functions end.
struct Restored(Option<State>);

impl Restored {
    fn entering(state: State) -> Self {
        Self(Some(STATE.replace(state)))
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        if let Some(before) = self.0.take() {
            STATE.replace(before);
        }
    }
}

/// The results of `first` and then of `second`, where `second` applies the fused operations of this crate to the same
/// values in the same order as `first`, at least as long as their shapes agree: it takes the results of the first run.
///
/// What is tracked may differ, as the leaves do; an operation of which `second` tracks an input that `first` did not is
/// computed again. The first operation that does not fit ends the taking: it and all that follow are computed.
pub fn computing_once<A, B>(first: impl FnOnce() -> A, second: impl FnOnce() -> B) -> (A, B) {
    #[cfg(feature = "flex")]
    if STATE.with_borrow(|state| matches!(state, State::Off)) {
        let outer = Restored::entering(State::Keeping(VecDeque::new()));
        let a = first();
        let kept = match STATE.take() {
            State::Keeping(kept) => kept,
            _ => VecDeque::new(),
        };
        STATE.replace(State::Taking(kept));
        let b = second();
        drop(outer);
        return (a, b);
    }
    (first(), second())
}

/// The result of `work`, in which [`computing_once`] takes nothing from its first run: what tests compare with.
pub fn computing_anew<A>(work: impl FnOnce() -> A) -> A {
    let _until_the_end = Restored::entering(State::Anew);
    work()
}

/// Keeps what an operation on inputs of these shapes has left, if a second run will ask for it.
#[cfg(feature = "flex")]
pub(crate) fn keep<V: 'static, const N: usize>(
    shapes: [Shape; N],
    tracked: [bool; N],
    value: impl FnOnce() -> V,
) {
    STATE.with_borrow_mut(|state| {
        if let State::Keeping(kept) = state {
            let value: Box<dyn Any> = Box::new(value());
            kept.push_back(Known { shapes: shapes.into(), tracked: tracked.into(), value });
        }
    });
}

/// What the first run has left of this operation, if there is one and it fits.
#[cfg(feature = "flex")]
pub(crate) fn next<V: 'static, const N: usize>(shapes: &[Shape; N], tracked: [bool; N]) -> Option<V> {
    STATE.with_borrow_mut(|state| {
        let State::Taking(kept) = state else { return None };
        let known = kept.pop_front()?;
        let fits = known.shapes == shapes;
        let covered = known.tracked.iter().zip(tracked).all(|(known, asked)| *known || !asked);
        match known.value.downcast::<V>() {
            Ok(value) if fits => covered.then_some(*value),
            _ => {
                kept.clear();
                None
            }
        }
    })
}
