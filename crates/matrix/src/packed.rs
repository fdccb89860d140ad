//! Right-hand operands in the order of the kernels, packed once for many products.

use crate::bf16::Tiles;
use crate::blocks::{self, Engine, PANEL};
use crate::lines::Line;
use crate::operand::{Operand, Strided};
use crate::portable::Values;
use crate::{Kernels, Matrix, Precision, Threads};

#[cfg(target_arch = "x86_64")]
use crate::avx512::Avx512;

/// A right-hand operand, packed for one precision.
///
/// Pack the weights `W` of a layer as `W` transposed for `x Wᵀ`, and as `W` for the gradient `g W`.
#[derive(Debug, Clone)]
pub struct Packed {
    rows: usize,
    columns: usize,
    precision: Precision,
    pub(crate) contents: Contents,
}

/// What the kernels of a packed operand read.
#[derive(Debug, Clone)]
pub(crate) enum Contents {
    /// A copy for the `gemm` crate.
    Values(Values),
    /// Panels of f32.
    #[cfg(target_arch = "x86_64")]
    Panels { lines: Vec<Line>, engine: Avx512 },
    /// Panels of bf16 tiles.
    Tiles { lines: Vec<Line>, engine: Tiles },
}

impl Packed {
    /// Packs a matrix.
    pub fn new(matrix: Matrix, precision: Precision) -> Self {
        Self::with_kernels(matrix, precision, Kernels::Native)
    }

    /// Packs a matrix for a choice of kernels.
    pub fn with_kernels(matrix: Matrix, precision: Precision, kernels: Kernels) -> Self {
        let contents = match precision {
            Precision::F32 => Self::f32_contents(matrix, kernels),
            Precision::Bf16x3 | Precision::Bf16 => {
                let engine = Tiles::new(precision == Precision::Bf16x3, kernels);
                Contents::Tiles { lines: panels(engine, matrix), engine }
            }
        };
        Self { rows: matrix.rows(), columns: matrix.columns(), precision, contents }
    }

    fn f32_contents(matrix: Matrix, kernels: Kernels) -> Contents {
        #[cfg(target_arch = "x86_64")]
        if let (Kernels::Native, Some(engine)) = (kernels, Avx512::detect()) {
            return Contents::Panels { lines: panels(engine, matrix), engine };
        }
        let _ = kernels;
        Contents::Values(Values::copy(&Strided::right(matrix), Threads::Pool))
    }

    /// The number of rows of the operand.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns of the operand.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The precision of its products.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The memory that its values occupy, in bytes.
    pub fn bytes(&self) -> usize {
        match &self.contents {
            Contents::Values(values) => values.bytes(),
            #[cfg(target_arch = "x86_64")]
            Contents::Panels { lines, .. } => size_of_val(lines.as_slice()),
            Contents::Tiles { lines, .. } => size_of_val(lines.as_slice()),
        }
    }
}

fn panels<E: Engine>(engine: E, matrix: Matrix) -> Vec<Line> {
    let operand = Operand::right(matrix.into());
    let mut lines = vec![Line::ZERO; operand.lanes().div_ceil(PANEL) * engine.panel_lines(operand.depth())];
    blocks::pack(engine, &operand, Threads::Pool, &mut lines);
    lines
}
