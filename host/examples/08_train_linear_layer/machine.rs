//! Where operands are quantized and products made.

use fouroversix::Config;

/// A row-major matrix on the host.
#[derive(Clone)]
pub(crate) struct Matrix {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) values: Vec<f32>,
}

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A machine for the three products of a step.
pub(crate) trait Machine {
    /// A matrix as products read it, quantized and dequantized.
    type Operand;

    /// A matrix, rounded to bf16, along its rows, and along its columns (transposed): quantized both ways,
    /// or as it is without a configuration.
    fn operands(&self, x: &Matrix, config: Option<&Config>) -> Result<[Self::Operand; 2]>;

    /// `a bᵀ`, the sums in FP32: `[rows of a, rows of b]`.
    fn product(&self, a: &Self::Operand, b: &Self::Operand) -> Result<Matrix>;

    /// The product of two matrices in bf16.
    fn exact(&self, a: &Matrix, b: &Matrix) -> Result<Matrix> {
        let ([a, _], [b, _]) = (self.operands(a, None)?, self.operands(b, None)?);
        self.product(&a, &b)
    }
}
