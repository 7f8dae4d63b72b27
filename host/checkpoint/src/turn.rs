//! Matrices read as rows and written as columns, in squares that stay in the cache.

use std::ops::Range;

use bytemuck::Pod;
use rayon::prelude::*;

/// Rows and columns of a square. Ranges of rows that are turned one after the other begin at a multiple of it.
pub(crate) const SQUARE: [usize; 2] = [16, 64];

/// Columns of a matrix with `rows` rows, the `step`-th from `first` on, to the lines of `out`, `rows` elements
/// each; of every line the elements `part`. `read` gives elements of a row, from a column on.
pub(crate) fn turn<E: Pod + Send>(
    rows: usize,
    part: Range<usize>,
    [first, step]: [usize; 2],
    out: &mut [E],
    read: impl Fn(usize, usize, &mut [E]) + Sync,
) {
    let [high, wide] = SQUARE;
    out.par_chunks_mut(wide * rows).enumerate().for_each(|(i, out)| {
        let count = out.len() / rows;
        let column = first + i * wide * step;
        let width = (count - 1) * step + 1;
        let mut square = vec![E::zeroed(); high * width];
        for top in part.clone().step_by(high) {
            let height = high.min(part.end - top);
            for (y, span) in square.chunks_exact_mut(width).take(height).enumerate() {
                read(top + y, column, span);
            }
            for x in 0..count {
                let line = &mut out[x * rows + top..][..height];
                for (y, to) in line.iter_mut().enumerate() {
                    *to = square[y * width + x * step];
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_third_column_in_two_parts_of_rows() {
        let (rows, cols) = (37, 400);
        let matrix: Vec<u32> = (0..rows * cols).map(|i| i as u32).collect();
        let read = |row: usize, column: usize, out: &mut [u32]| {
            out.copy_from_slice(&matrix[row * cols + column..][..out.len()]);
        };
        let mut out = vec![0; 130 * rows];
        turn(rows, 0..32, [2, 3], &mut out, read);
        turn(rows, 32..37, [2, 3], &mut out, read);
        for (line, out) in out.chunks_exact(rows).enumerate() {
            let expected = (0..rows).map(|row| matrix[row * cols + 2 + line * 3]);
            assert!(out.iter().copied().eq(expected), "line {line}");
        }
    }
}
