//! A reader for Python pickles that executes nothing.
//!
//! A pickle is a program for a small stack machine, and Python's own machine calls whatever the program names.
//! Here a call is only recorded: [`machine`] builds a [`value::Heap`] of numbers, texts, lists, dicts and "the
//! result of calling this name with these values". What torch's few functions mean is decided later, by looking.
//!
//! A hostile pickle cannot do more than cost time and memory, and both are bounded: one instruction takes
//! constant time on average and makes at most one value, no instruction copies a container, lengths are checked
//! against the bytes that are there, and there are at most [`machine::MAX_INSTRUCTIONS`] instructions.

pub(crate) mod machine;
mod opcode;
pub(crate) mod value;

pub(crate) use machine::load;
pub(crate) use value::{Heap, Node, Object, Value};
