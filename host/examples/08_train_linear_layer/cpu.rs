//! Products on one core of the host, operands in FP32.

use fouroversix::{Config, dequantize, quantize_both};
use half::bf16;

use crate::machine::{Machine, Matrix, Result};

pub(crate) struct Cpu;

impl Machine for Cpu {
    type Operand = Matrix;

    fn operands(&self, x: &Matrix, config: Option<&Config>) -> Result<[Matrix; 2]> {
        let Matrix { rows, cols, .. } = *x;
        let values: Vec<bf16> = x.values.iter().map(|x| bf16::from_f32(*x)).collect();
        let [along_rows, along_columns] = match config {
            Some(config) => {
                let [rowwise, columnwise] = quantize_both(&values, [rows, cols], config)?;
                [dequantize(&rowwise)?, dequantize(&columnwise)?]
            }
            None => {
                let values: Vec<f32> = values.iter().map(|x| x.to_f32()).collect();
                let transposed = transposed(&values, cols);
                [values, transposed]
            }
        };
        Ok([
            Matrix { rows, cols, values: along_rows },
            Matrix { rows: cols, cols: rows, values: along_columns },
        ])
    }

    fn product(&self, a: &Matrix, b: &Matrix) -> Result<Matrix> {
        assert_eq!(a.cols, b.cols, "the sums are along rows of both");
        let row = |row| b.values.chunks_exact(b.cols).map(move |b| dot(row, b));
        let values = a.values.chunks_exact(a.cols).flat_map(row).collect();
        Ok(Matrix { rows: a.rows, cols: b.rows, values })
    }
}

pub(crate) fn transposed<T: Copy>(values: &[T], cols: usize) -> Vec<T> {
    (0..cols).flat_map(|col| values.iter().skip(col).step_by(cols).copied()).collect()
}

/// In 16 sums, which are then added.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}
