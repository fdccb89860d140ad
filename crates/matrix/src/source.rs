//! The ways in which an operand may lie in memory.

use crate::{Matrix, Pieced};

/// An operand of a product.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// With a stride for each direction.
    Strided(Matrix<'a>),
    /// With rows in pieces.
    Pieced(Pieced<'a>),
}

impl<'a> From<Matrix<'a>> for Source<'a> {
    fn from(matrix: Matrix<'a>) -> Self {
        Self::Strided(matrix)
    }
}

impl<'a> From<Pieced<'a>> for Source<'a> {
    fn from(matrix: Pieced<'a>) -> Self {
        Self::Pieced(matrix)
    }
}

impl Source<'_> {
    /// The transpose, without moving a value.
    pub fn transposed(self) -> Self {
        match self {
            Self::Strided(matrix) => Self::Strided(matrix.transposed()),
            Self::Pieced(matrix) => Self::Pieced(matrix.transposed()),
        }
    }

    /// The number of rows.
    pub fn rows(self) -> usize {
        match self {
            Self::Strided(matrix) => matrix.rows(),
            Self::Pieced(matrix) => matrix.rows(),
        }
    }

    /// The number of columns.
    pub fn columns(self) -> usize {
        match self {
            Self::Strided(matrix) => matrix.columns(),
            Self::Pieced(matrix) => matrix.columns(),
        }
    }
}
