//! How a product is cut into blocks, and blocks are shared among threads.
//!
//! The left-hand side is packed by strips of rows, the right-hand side by panels of columns. A block is a few
//! strips by a few panels, so that what it touches stays in the cache of a core. Where blocks are cut depends on
//! the number of threads; how an element is summed does not.

use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use crate::lines::{Line, with_lines, with_rows};
use crate::operand::Operand;
use crate::{MatrixMut, Settings, Threads};

/// Columns of a panel.
pub(crate) const PANEL: usize = 32;

/// Panels of a block: the epilogue sees up to this many columns of a row at once.
const MOST_PANELS: usize = 8;

/// Blocks per thread: more than one, so that a thread that was held up hands its work on.
const BLOCKS_PER_THREAD: usize = 3;

/// Multiplications below which another thread is not worth waking.
const WORK_PER_THREAD: usize = 1 << 20;

/// The kernels of one precision.
pub(crate) trait Engine: Copy + Sync {
    /// Rows of a strip.
    const STRIP: usize;

    /// The strips of a block at this depth: their packed values fill about half of the second cache.
    fn most_strips(&self, depth: usize) -> usize;

    /// The lines of a packed panel.
    fn panel_lines(&self, depth: usize) -> usize;

    /// The lines of `rows` packed rows.
    fn row_lines(&self, rows: usize, depth: usize) -> usize;

    /// Packs the panel that starts at `column`. Columns beyond the operand become zero.
    fn pack_panel(&self, columns: &Operand, column: usize, into: &mut [Line]);

    /// Packs `count` rows from `row` on, in strips.
    fn pack_rows(&self, rows: &Operand, row: usize, count: usize, into: &mut [Line]);

    /// Sets `out` to `factor a b`, or adds that to it, for packed rows and panels.
    fn multiply(&self, out: MatrixMut, a: &[Line], b: &[Line], depth: usize, factor: f32, accumulate: bool);
}

/// The right-hand side of a product.
#[derive(Clone, Copy)]
pub(crate) enum Columns<'a> {
    /// All panels, packed.
    Packed(&'a [Line]),
    /// The operand as the caller has it.
    Raw(Operand<'a>),
}

/// Packs all panels of a right-hand side.
pub(crate) fn pack<E: Engine>(engine: E, columns: &Operand, threads: Threads, into: &mut [Line]) {
    let lines = engine.panel_lines(columns.depth());
    if lines == 0 {
        return;
    }
    let fill = |(panel, into): (usize, &mut [Line])| engine.pack_panel(columns, panel * PANEL, into);
    match threads {
        Threads::This => into.chunks_exact_mut(lines).enumerate().for_each(fill),
        Threads::Pool => into.par_chunks_exact_mut(lines).enumerate().for_each(fill),
    }
}

/// The product of `rows` and `columns`, whose shapes agree with `out`.
pub(crate) fn product<E: Engine>(
    engine: E,
    out: MatrixMut,
    rows: &Operand,
    columns: Columns,
    settings: &Settings,
) {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let grid = Grid::new(&engine, &out, rows.depth(), settings.threads);
    match columns {
        Columns::Raw(operand) if grid.strips * E::STRIP < out.rows() => {
            // Several blocks share each panel: it is packed once, for all of them.
            let count = out.columns().div_ceil(PANEL) * engine.panel_lines(rows.depth());
            with_lines(count, |lines| {
                pack(engine, &operand, grid.threads, lines);
                let columns = Columns::Packed(lines);
                Call { engine, rows, columns, settings, grid, call }.blocks(out, 0, 0);
            });
        }
        _ => Call { engine, rows, columns, settings, grid, call }.blocks(out, 0, 0),
    }
}

/// The largest block of a product.
#[derive(Clone, Copy)]
struct Grid {
    strips: usize,
    panels: usize,
    threads: Threads,
}

impl Grid {
    fn new<E: Engine>(engine: &E, out: &MatrixMut, depth: usize, threads: Threads) -> Self {
        let (all_strips, all_panels) = (out.rows().div_ceil(E::STRIP), out.columns().div_ceil(PANEL));
        let (mut strips, mut panels) =
            (engine.most_strips(depth).min(all_strips), MOST_PANELS.min(all_panels));
        let threads = match threads {
            Threads::This => 1,
            Threads::Pool => {
                let work = out.rows().saturating_mul(out.columns()).saturating_mul(depth);
                rayon::current_num_threads().min(work / WORK_PER_THREAD)
            }
        };
        if threads <= 1 {
            return Self { strips, panels, threads: Threads::This };
        }
        while all_strips.div_ceil(strips) * all_panels.div_ceil(panels) < BLOCKS_PER_THREAD * threads {
            if panels > 2 || (panels > 1 && strips == 1) {
                panels = panels.div_ceil(2);
            } else if strips > 1 {
                strips = strips.div_ceil(2);
            } else {
                break;
            }
        }
        Self { strips, panels, threads: Threads::Pool }
    }
}

/// One product.
#[derive(Clone, Copy)]
struct Call<'a, E> {
    engine: E,
    rows: &'a Operand<'a>,
    columns: Columns<'a>,
    settings: &'a Settings<'a>,
    grid: Grid,
    call: u64,
}

impl<E: Engine> Call<'_, E> {
    /// Halves the result until a piece is a block. Blocks that share rows are made one after the other.
    fn blocks(&self, out: MatrixMut, row: usize, column: usize) {
        let (strips, panels) = (out.rows().div_ceil(E::STRIP), out.columns().div_ceil(PANEL));
        if strips > self.grid.strips {
            let half = strips / 2 * E::STRIP;
            let (top, bottom) = out.split_rows(half);
            self.both(|| self.blocks(top, row, column), || self.blocks(bottom, row + half, column));
        } else if panels > self.grid.panels {
            let half = panels / 2 * PANEL;
            let (left, right) = out.split_columns(half);
            self.both(|| self.blocks(left, row, column), || self.blocks(right, row, column + half));
        } else {
            self.block(out, row, column);
        }
    }

    fn both(&self, first: impl FnOnce() + Send, second: impl FnOnce() + Send) {
        match self.grid.threads {
            Threads::This => {
                first();
                second();
            }
            Threads::Pool => {
                rayon::join(first, second);
            }
        }
    }

    fn block(&self, mut out: MatrixMut, row: usize, column: usize) {
        let (engine, depth) = (self.engine, self.rows.depth());
        let (lines, panels) = (engine.panel_lines(depth), out.columns().div_ceil(PANEL));
        let (count, columns) = (out.rows(), out.columns());
        let multiply = |out: MatrixMut, panels: &[Line]| {
            let pack = |into: &mut [Line]| engine.pack_rows(self.rows, row, count, into);
            with_rows((self.call, row), engine.row_lines(count, depth), pack, |rows| {
                engine.multiply(out, rows, panels, depth, self.settings.factor, self.settings.accumulate);
            });
        };
        match self.columns {
            Columns::Packed(all) => {
                multiply(out.part(0..count, 0..columns), &all[column / PANEL * lines..][..panels * lines]);
            }
            Columns::Raw(operand) => with_lines(panels * lines, |packed| {
                for (panel, into) in packed.chunks_exact_mut(lines).enumerate() {
                    engine.pack_panel(&operand, column + panel * PANEL, into);
                }
                multiply(out.part(0..count, 0..columns), packed);
            }),
        }
        if let Some(epilogue) = self.settings.epilogue {
            for i in 0..count {
                epilogue(row + i, column, out.row(i));
            }
        }
    }
}
