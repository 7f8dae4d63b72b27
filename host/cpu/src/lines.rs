//! Work distribution where only rows are quantized: strips of rows, a task each. The codes and scales
//! of a strip are contiguous.

use fouroversix_core::{Choices, Config, Nvfp4Mut, ScaleLayout, Scaling};

use crate::group::Load;
use crate::method::Method;
use crate::scale::GlobalScale;
use crate::strip::{Source, Strip, Target};
use crate::strips::Scratch;
use crate::tasks::Part;
use crate::{amax, strips, tasks};

/// Lines of a strip: whole 128-line tiles of a swizzled scale layout, whole 16-line tiles.
pub(crate) const STRIP: usize = 128;

/// Elements of a task where lines do not matter: its input and output stay in a core's cache.
const FLAT: usize = 1 << 17;

/// A quantization to run.
pub(crate) struct Lines<'a> {
    pub(crate) method: Method<'a>,
    pub(crate) config: &'a Config,
    /// Whether the outputs' `global_amax` is filled in already.
    pub(crate) amax_given: bool,
}

impl Lines<'_> {
    pub(crate) fn quantize<T: Load>(&self, source: Source<'_, T>, out: Nvfp4Mut<'_>) -> Choices {
        let Source { lines, length, .. } = source;
        let Nvfp4Mut { codes, scales, global_amax } = out;
        if lines == 0 || length == 0 {
            if !self.amax_given {
                global_amax.fill(0.0);
            }
            return Choices::default();
        }
        let layout = self.config.scale_layout();
        let by_row = self.config.scaling() == Scaling::Row;
        let bound = self.config.rule().e4m3_max();
        let one_run = layout == ScaleLayout::Linear && source.is_contiguous();
        if self.config.scaling() == Scaling::Tensor && one_run {
            let global = GlobalScale::new(global_amax[0], bound);
            return self.flat(&source, codes, scales, global);
        }
        let mut amax = global_amax.chunks_mut(if by_row { STRIP } else { 1 });
        let one = if by_row { &mut [] } else { amax.next().unwrap_or_default() };
        let one = one.first().map(|amax| GlobalScale::new(*amax, bound));
        let parts = codes
            .chunks_mut(STRIP * length / 2)
            .zip(scales.chunks_mut(layout.bytes(STRIP, length)))
            .enumerate()
            .map(|(index, (codes, scales))| {
                let amax = amax.next().unwrap_or_default();
                Part { index, codes, scales, amax }
            })
            .collect();
        let map4 = tasks::sum(parts, &|Part { index, codes, scales, amax }| {
            let first_line = index * STRIP;
            let lines = STRIP.min(lines - first_line);
            if by_row && !self.amax_given {
                self.line_amax(&source, first_line, amax);
            }
            let globals: Vec<_> = match one {
                Some(one) => vec![one],
                None => amax.iter().map(|amax| GlobalScale::new(*amax, bound)).collect(),
            };
            if layout == ScaleLayout::Swizzled128x4 {
                scales.fill(0);
            }
            let target = Target::new(first_line, length, codes, scales, layout);
            // SAFETY: the strip is the whole of the target.
            let mut strip =
                unsafe { Strip::new(target, [first_line, lines], [0, length / 16], globals) };
            let (scaling, mut scratch) = (self.config.scaling(), Scratch::default());
            strips::strip(self.method, &source, &mut strip, scaling, &mut scratch)
        });
        let tile = if self.config.scaling() == Scaling::Tile { 16 } else { 1 };
        Choices { map4, blocks: (lines / tile * (length / 16)) as u64 }
    }

    /// Rowwise with one amax and no padding: lines do not matter, only blocks.
    fn flat<T: Load>(
        &self,
        source: &Source<'_, T>,
        codes: &mut [u8],
        scales: &mut [u8],
        global: GlobalScale,
    ) -> Choices {
        let input = source.input;
        let chunks = codes.chunks_mut(FLAT / 2).zip(scales.chunks_mut(FLAT / 16)).enumerate();
        let parts =
            chunks.map(|(index, (codes, scales))| Part { index, codes, scales, amax: &mut [] });
        let map4 = tasks::sum(parts.collect(), &|Part { index, codes, scales, .. }| {
            let first = source.segment(0, index * (FLAT / 16));
            let input = &input[index * FLAT..][..16 * scales.len()];
            strips::line(self.method, input, codes, scales, &global, first)
        });
        Choices { map4, blocks: (input.len() / 16) as u64 }
    }

    fn line_amax<T: Load>(&self, source: &Source<'_, T>, first_line: usize, out: &mut [f32]) {
        for (line, out) in out.iter_mut().enumerate() {
            *out = amax::slice(self.method.path, source.lines(first_line + line, 1));
        }
    }
}
