//! The rounding: how the chosen candidate's elements become codes. Candidates are compared with nearest
//! rounding, whichever it is (step T5).

use super::philox;
use fouroversix_core::abi::Random;

/// To nearest, or stochastically.
pub(crate) trait Rounding: Copy {
    /// Whether the codes are those whose errors were compared.
    const NEAREST: bool;
    /// The same, of a tensor of the launch's group and of one of its outputs.
    fn of_output(self, tensor: u32, columnwise: bool) -> Self;
    /// The number of a 1x16 block of the whole tensor's output, of whose lines `blocks` are in the launch.
    fn segment(self, line: u32, blocks: u32, block: u32) -> u64;
    /// That of a block of a rowwise output by its number in the launch.
    fn rowwise_segment(self, index: u32) -> u64;
    /// The random words of a block, four elements each.
    fn draw(self, segment: u64) -> [u32; 4];
    /// The same, for rare paths.
    fn draw_rolled(self, segment: u64, flags: u32) -> [u32; 4];
}

/// To nearest, ties to even: nothing is drawn.
#[derive(Clone, Copy)]
pub(crate) struct Nearest;

impl Rounding for Nearest {
    const NEAREST: bool = true;

    #[inline(always)]
    fn of_output(self, _: u32, _: bool) -> Self {
        self
    }

    #[inline(always)]
    fn segment(self, _: u32, _: u32, _: u32) -> u64 {
        0
    }

    #[inline(always)]
    fn rowwise_segment(self, _: u32) -> u64 {
        0
    }

    #[inline(always)]
    fn draw(self, _: u64) -> [u32; 4] {
        [0; 4]
    }

    #[inline(always)]
    fn draw_rolled(self, _: u64, _: u32) -> [u32; 4] {
        [0; 4]
    }
}

/// Up or down in magnitude, by random bytes.
#[derive(Clone, Copy)]
pub(crate) struct Stochastic<'a> {
    random: &'a Random,
    /// From the stream of the launch's first tensor, rowwise.
    stream: u64,
    columnwise: bool,
}

impl<'a> Stochastic<'a> {
    #[inline(always)]
    pub(crate) fn new(random: &'a Random) -> Self {
        Self { random, stream: 0, columnwise: false }
    }
}

impl Rounding for Stochastic<'_> {
    const NEAREST: bool = false;

    #[inline(always)]
    fn of_output(self, tensor: u32, columnwise: bool) -> Self {
        let stream = 2 * u64::from(tensor) + u64::from(columnwise);
        Self { stream, columnwise, ..self }
    }

    #[inline(always)]
    fn segment(self, line: u32, blocks: u32, block: u32) -> u64 {
        let gap = if self.columnwise { self.random.gap } else { 0 };
        let line = u64::from(line) * u64::from(blocks + gap);
        self.random.first[usize::from(self.columnwise)] + line + u64::from(block)
    }

    #[inline(always)]
    fn rowwise_segment(self, index: u32) -> u64 {
        self.random.first[0] + u64::from(index)
    }

    #[inline(always)]
    fn draw(self, segment: u64) -> [u32; 4] {
        philox::words(self.random, segment, self.stream)
    }

    #[inline(always)]
    fn draw_rolled(self, segment: u64, flags: u32) -> [u32; 4] {
        philox::words_rolled(self.random, segment, self.stream, flags)
    }
}
