//! Work distribution where columns are quantized: areas of the input, a task each. All outputs are made
//! of an area while it is in a core's cache, so that both together read memory once.

use fouroversix_core::{Choices, Config, Nvfp4Mut, Scaling};

use crate::group::Load;
use crate::method::Method;
use crate::path::Path;
use crate::rounding::Rounding;
use crate::scale::GlobalScale;
use crate::strip::{Source, Strip, Target};
use crate::strips::{self, BURST, Scratch, Turned};
use crate::{amax, tasks};

/// Columns of an area: their codes of a burst stay in the cache, and so do the addresses of the pages
/// that they are written to.
const COLUMNS: usize = 512;

/// Rows of an area at most, which fill cache lines with scales of a column.
const ROWS: usize = 1024;

/// Rows that outputs are made of in turns.
const BAND: usize = 16 * BURST;

/// How an output is made, of what, and where it goes.
type Job<'a, T> = (Method<'a>, Source<'a, T>, Nvfp4Mut<'a>);

/// A quantization to run.
pub(crate) struct Areas<'a> {
    pub(crate) config: &'a Config,
    /// Whether the outputs' `global_amax` is filled in already.
    pub(crate) amax_given: bool,
}

/// A [`Job`] whose amaxes are known.
struct Side<'a, T> {
    method: Method<'a>,
    source: Source<'a, T>,
    target: Target<'a>,
    /// One for all lines, or one for each.
    amax: &'a [f32],
}

impl Areas<'_> {
    pub(crate) fn quantize<T: Load>(
        &self,
        rowwise: Option<Job<'_, T>>,
        columnwise: Job<'_, T>,
    ) -> Choices {
        let Source { lines: columns, length: rows, .. } = columnwise.1;
        // Columns first: they ask for what they read ahead of time.
        let jobs = [columnwise].into_iter().chain(rowwise);
        let sides: Vec<_> = jobs.map(|job| self.side(job)).collect();
        // Rows of blocks that begin a cache line of codes, so that bands write whole ones.
        let shift = 16 * sides[0].target.place_in_cache_line() / 8;
        let mut height = ROWS;
        let across = columns.div_ceil(COLUMNS);
        let down = |height: usize| (rows + shift).div_ceil(height);
        while height > BAND && across * down(height) < 4 * tasks::threads() {
            height /= 2;
        }
        let alike = self.are_alike(&sides);
        let map4 = tasks::count(across * down(height), &|index| {
            let (first_column, top) = (index % across * COLUMNS, index / across * height);
            let of_columns = [first_column, COLUMNS.min(columns - first_column)];
            let mut scratch = Scratch::default();
            let mut map4 = 0;
            for top in (top..top + height).step_by(BAND) {
                let row = |at: usize| at.saturating_sub(shift).min(rows);
                let of_rows = [row(top), row(top + BAND) - row(top)];
                if of_rows[1] == 0 {
                    continue;
                }
                if let [_, rows] = &sides[..] {
                    self.strip(rows, of_rows, of_columns).prefetch();
                }
                map4 += match &sides[..] {
                    [columns, rows] if alike => {
                        self.tiles_of_both(columns, rows, of_rows, of_columns, &mut scratch)
                    }
                    sides => {
                        let band = |side| self.band(side, of_rows, of_columns, &mut scratch);
                        sides.iter().map(band).sum::<u64>()
                    }
                };
            }
            map4
        });
        let tile = if self.config.scaling() == Scaling::Tile { 256 } else { 16 };
        Choices { map4, blocks: (sides.len() * rows * columns / tile) as u64 }
    }

    /// Fills in the amaxes of lines, and zeros where no scales go.
    fn side<'a, T: Load>(&self, (method, source, out): Job<'a, T>) -> Side<'a, T> {
        let Nvfp4Mut { codes, scales, global_amax } = out;
        if source.lines == 0 || source.length == 0 {
            if !self.amax_given {
                global_amax.fill(0.0);
            }
        } else if self.config.scaling() == Scaling::Row && !self.amax_given {
            if source.columns {
                amax::columns(source.input, source.stride, global_amax);
            } else {
                let line = |line| amax::slice(method.path, source.lines(line, 1));
                tasks::fill(global_amax, &line);
            }
        }
        if scales.len() > source.lines * source.length / 16 {
            scales.fill(0);
        }
        let target = Target::new(0, source.length, codes, scales, self.config.scale_layout());
        Side { method, source, target, amax: global_amax }
    }

    /// Whether a tile's rows have the codes of its columns wherever the choice is certain.
    fn are_alike<T>(&self, sides: &[Side<'_, T>]) -> bool {
        let [columns, rows] = sides else { return false };
        let nearest = matches!(columns.method.rounding, Rounding::Nearest);
        self.config.scaling() == Scaling::Tile
            && columns.method.path != Path::Scalar
            && nearest
            && columns.amax[0].to_bits() == rows.amax[0].to_bits()
    }

    fn band<T: Load>(
        &self,
        side: &Side<'_, T>,
        of_rows: [usize; 2],
        of_columns: [usize; 2],
        scratch: &mut Scratch,
    ) -> u64 {
        let mut strip = self.strip(side, of_rows, of_columns);
        strips::strip(side.method, &side.source, &mut strip, self.config.scaling(), scratch)
    }

    fn tiles_of_both<T: Load>(
        &self,
        columns: &Side<'_, T>,
        rows: &Side<'_, T>,
        of_rows: [usize; 2],
        of_columns: [usize; 2],
        scratch: &mut Scratch,
    ) -> u64 {
        let [mut of_columns, mut strip] =
            [columns, rows].map(|side| self.strip(side, of_rows, of_columns));
        let rows = Turned { method: rows.method, source: rows.source, strip: &mut strip };
        strips::tiles_of_both(columns.method, &columns.source, &mut of_columns, rows, scratch)
    }

    /// The part of a side's output that is made of an area.
    fn strip<'a, T>(
        &self,
        side: &Side<'a, T>,
        of_rows: [usize; 2],
        of_columns: [usize; 2],
    ) -> Strip<'a> {
        let Side { source, target, amax, .. } = side;
        let (lines, [from, length]) =
            if source.columns { (of_columns, of_rows) } else { (of_rows, of_columns) };
        let amax = match amax {
            [one] => std::slice::from_ref(one),
            all => &all[lines[0]..][..lines[1]],
        };
        let bound = self.config.rule().e4m3_max();
        let globals = amax.iter().map(|amax| GlobalScale::new(*amax, bound)).collect();
        // SAFETY: areas are apart, and so are the parts of an output that are made of them.
        unsafe { Strip::new(*target, lines, [from / 16, length / 16], globals) }
    }
}

#[cfg(test)]
mod tests {
    use fouroversix_core::{Outputs, Rule, ScaleLayout};
    use half::bf16;

    use super::*;
    use crate::path::Path;
    use crate::quantize_outputs;

    /// Several areas with rests at both ends, so large that codes are written past the caches: rows as
    /// they are without columns, columns as rows of the transpose.
    #[test]
    fn outputs_are_those_of_rows_alone() {
        outputs_are_those_of_rows([ROWS + BAND + 16, 8 * COLUMNS + 48]);
    }

    /// As above, with rows that share places in the cache, which are copied.
    #[test]
    fn outputs_of_rows_a_power_of_two_apart() {
        outputs_are_those_of_rows([ROWS + 16, 4 * COLUMNS]);
    }

    fn outputs_are_those_of_rows([rows, cols]: [usize; 2]) {
        let mut state = 1_u32;
        let input: Vec<bf16> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            bf16::from_f32(state as f32 / 4_294_967_296.0 - 0.5)
        })
        .take(rows * cols)
        .collect();
        let transpose = |i: usize| input[i % rows * cols + i / rows];
        let transpose: Vec<_> = (0..rows * cols).map(transpose).collect();
        let path = Path::best();
        for scaling in [Scaling::Tensor, Scaling::Row, Scaling::Tile] {
            for layout in [ScaleLayout::Linear, ScaleLayout::Swizzled128x4] {
                let of = |input: &[bf16], shape: [usize; 2], outputs| {
                    let by_row = scaling == Scaling::Row;
                    let rule = if by_row { Rule::Plain } else { Rule::MSE_FAST };
                    let config = Config::new(rule, scaling, outputs, layout).unwrap();
                    quantize_outputs(path, input, shape, &config, None).unwrap()
                };
                let both = of(&input, [rows, cols], Outputs::Both);
                let told = format!("{scaling:?} {layout:?}");
                let alone = of(&input, [rows, cols], Outputs::Rowwise).rowwise;
                assert!(both.rowwise == alone, "{told}");
                let columns = of(&input, [rows, cols], Outputs::Columnwise).columnwise;
                assert!(both.columnwise == columns, "{told}");
                let [columns, turned] =
                    [columns, of(&transpose, [cols, rows], Outputs::Rowwise).rowwise]
                        .map(Option::unwrap);
                assert!(columns.codes() == turned.codes(), "{told}");
                assert!(columns.scales() == turned.scales(), "{told}");
                assert!(columns.global_amax() == turned.global_amax(), "{told}");
            }
        }
    }
}
