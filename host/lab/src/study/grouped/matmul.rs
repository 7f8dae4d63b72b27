//! Matrix products as cuBLASLt is told of them, worked out without it.
//!
//! cuBLASLt's matrices are column-major: the row-major `D [rows, columns]` is its `[columns, rows]`,
//! and `D = A·Bᵀ` its `Dᵀ = op(B)ᵀ·A` with our `B` first. Both operands then have the summed
//! dimension as their first, contiguous one: first operand transposed, second not, the one form
//! that block-scaled types have.

use std::fmt;

/// In what the operands are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operands {
    /// Dequantized to bf16.
    Bf16,
    /// NVFP4 block-scaled, scales in the tensor cores' layout. Needs Blackwell. Untested on
    /// hardware.
    Nvfp4,
}

impl Operands {
    /// `bf16` or `nvfp4`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::Nvfp4 => "nvfp4",
        }
    }
}

/// A column-major matrix: rows, columns, and elements from one column to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) rows: u64,
    pub(super) columns: u64,
    pub(super) stride: i64,
}

/// `D = alpha·A·Bᵀ`, `A [rows, depth]`, `B [columns, depth]`, `D [rows, columns]` row-major in bf16.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct MatmulSpec {
    pub(super) operands: Operands,
    /// Our `B`, cuBLASLt's first operand, which it transposes.
    pub(super) first: Layout,
    /// Our `A`, cuBLASLt's second operand.
    pub(super) second: Layout,
    pub(super) output: Layout,
}

impl MatmulSpec {
    pub(super) const fn new([rows, columns, depth]: [usize; 3], operands: Operands) -> Self {
        const fn layout(rows: usize, columns: usize) -> Layout {
            Layout { rows: rows as u64, columns: columns as u64, stride: rows as i64 }
        }
        Self {
            operands,
            first: layout(depth, columns),
            second: layout(depth, rows),
            output: layout(columns, rows),
        }
    }
}

impl fmt::Display for MatmulSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operands, first, second, output } = self;
        let Layout { rows: columns, columns: rows, stride } = output;
        let (kind, depth) = (operands.name(), first.rows);
        write!(f, "the {rows} x {columns} product of {kind} operands of depth {depth}, ")?;
        write!(f, "leading dimensions {}, {}, {stride}", first.stride, second.stride)
    }
}

/// What a product of NVFP4 operands lacks: the two global scales, `amax/(6·A)` each.
pub(super) fn alpha(a: (f32, f32), b: (f32, f32)) -> f32 {
    let factor = |(amax, bound): (f32, f32)| f64::from(amax) / (6.0 * f64::from(bound));
    (factor(a) * factor(b)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the buffers as cuBLASLt would.
    fn multiply(spec: &MatmulSpec, first: &[f32], second: &[f32]) -> Vec<f32> {
        let at = |layout: &Layout, matrix: &[f32], row: u64, column: u64| {
            assert!(row < layout.rows && column < layout.columns);
            matrix[(column as i64 * layout.stride) as usize + row as usize]
        };
        let mut output = vec![f32::NAN; (spec.output.rows * spec.output.columns) as usize];
        for column in 0..spec.output.columns {
            for row in 0..spec.output.rows {
                let sum = (0..spec.first.rows)
                    .map(|l| at(&spec.first, first, l, row) * at(&spec.second, second, l, column))
                    .sum();
                output[(column as i64 * spec.output.stride) as usize + row as usize] = sum;
            }
        }
        output
    }

    #[test]
    fn column_major_products_are_the_row_major_ones() {
        let (rows, columns, depth) = (3, 2, 4);
        let a: Vec<f32> = (0..rows * depth).map(|i| i as f32 - 5.0).collect();
        let b: Vec<f32> = (0..columns * depth).map(|i| (i * i % 7) as f32).collect();
        let mut expected = Vec::new();
        for i in 0..rows {
            for j in 0..columns {
                expected.push((0..depth).map(|l| a[i * depth + l] * b[j * depth + l]).sum::<f32>());
            }
        }
        let spec = MatmulSpec::new([rows, columns, depth], Operands::Bf16);
        assert_eq!(multiply(&spec, &b, &a), expected);
    }

    #[test]
    fn plans_are_told_with_their_dimensions() {
        assert_eq!(
            MatmulSpec::new([48, 32, 64], Operands::Bf16).to_string(),
            "the 48 x 32 product of bf16 operands of depth 64, leading dimensions 64, 64, 32"
        );
    }

    #[test]
    fn alpha_undoes_both_global_scales() {
        // A tensor whose amax is 6·A has the global scale 1.
        assert_eq!(alpha((2688.0, 448.0), (1536.0, 256.0)), 1.0);
        assert_eq!(alpha((1344.0, 448.0), (1536.0, 256.0)), 0.5);
    }
}
