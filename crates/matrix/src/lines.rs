//! Cache lines, the unit of packed operands, and the memory that calls of one thread reuse for them.
//!
//! A product packs its operands anew in every call; asking the system for that memory each time would cost as
//! much as a small product itself.

use std::cell::{Cell, RefCell};

/// A cache line of bits: 16 f32 values, or 16 pairs of bf16 values with the first of each pair in the low half.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u32; 16]);

impl Line {
    pub(crate) const ZERO: Self = Self([0; 16]);
}

/// Larger memory is given back after use: 64 MiB.
const LARGEST_KEPT: usize = 1 << 20;

/// How many pieces a thread keeps. A product nests at most three; a thread that waits for others may begin another one.
const MOST_KEPT: usize = 4;

thread_local! {
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
    static ROWS: Cell<Option<PackedRows>> = const { Cell::new(None) };
}

/// Calls `work` with `count` lines that hold anything.
pub(crate) fn with_lines<R>(count: usize, work: impl FnOnce(&mut [Line]) -> R) -> R {
    let mut lines = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    let result = work(at_least(&mut lines, count));
    if lines.len() <= LARGEST_KEPT {
        FREE.with_borrow_mut(|free| {
            if free.len() < MOST_KEPT {
                free.push(lines);
            }
        });
    }
    result
}

/// The left-hand rows that a thread packed last.
struct PackedRows {
    key: Option<(u64, usize)>,
    lines: Vec<Line>,
}

/// Calls `work` with `count` lines that `pack` has filled: now, or in the thread's last call if that had the same
/// `key`. Blocks of a product that share their rows and follow each other thus pack them once.
pub(crate) fn with_rows<R>(
    key: (u64, usize),
    count: usize,
    pack: impl FnOnce(&mut [Line]),
    work: impl FnOnce(&[Line]) -> R,
) -> R {
    let mut rows = ROWS.take().unwrap_or(PackedRows { key: None, lines: Vec::new() });
    let lines = at_least(&mut rows.lines, count);
    if rows.key != Some(key) {
        pack(lines);
        rows.key = Some(key);
    }
    let result = work(lines);
    if rows.lines.len() <= LARGEST_KEPT {
        ROWS.set(Some(rows));
    }
    result
}

fn at_least(lines: &mut Vec<Line>, count: usize) -> &mut [Line] {
    if lines.len() < count {
        lines.clear();
        lines.resize(count, Line::ZERO);
    }
    &mut lines[..count]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_pieces_are_distinct_and_used_again() {
        let place = with_lines(4, |outer| {
            outer[0] = Line([1; 16]);
            with_lines(9, |inner| inner[0] = Line([2; 16]));
            assert_eq!(outer[0].0, [1; 16]);
            outer.as_ptr() as usize
        });
        assert!(place.is_multiple_of(64));
        assert_eq!(with_lines(2, |lines| lines.as_ptr() as usize), place);
    }

    #[test]
    fn rows_are_packed_once_per_key() {
        let pack =
            |key, value| with_rows(key, 1, |lines| lines[0] = Line([value; 16]), |lines| lines[0].0[0]);
        assert_eq!(pack((u64::MAX, 0), 1), 1);
        assert_eq!(pack((u64::MAX, 0), 2), 1);
        assert_eq!(pack((u64::MAX, 1), 3), 3);
    }
}
