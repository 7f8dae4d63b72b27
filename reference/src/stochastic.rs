//! Stochastic rounding (steps T3, T4 and T5): which random byte an element has, and what it decides.

use crate::candidate::Row16;
use crate::e2m1::E2m1;
use crate::e4m3::E4m3;
use crate::philox::philox4x32_10;
use crate::scale::{GlobalScale, block_encode_scale};

/// Where the random bytes of a launch begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RandomState {
    /// The generator's key.
    pub seed: u64,
    /// Which of a seed's sequences; its top bit is not seen.
    pub offset: u64,
}

/// Whether the input itself is quantized, or its transpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The input.
    Rowwise,
    /// Its transpose.
    Columnwise,
}

impl RandomState {
    /// The state of tensor `index` of a group, counted from 0 with the empty ones.
    #[must_use]
    pub const fn of_tensor(self, index: u64) -> Self {
        Self { seed: self.seed, offset: self.offset.wrapping_add(index) }
    }

    /// The stream of an output: no two outputs of a launch share one.
    #[must_use]
    pub const fn stream(self, direction: Direction) -> u64 {
        let twice = self.offset.wrapping_mul(2);
        match direction {
            Direction::Rowwise => twice,
            Direction::Columnwise => twice.wrapping_add(1),
        }
    }

    /// Step T3: the random bytes of 16 elements.
    ///
    /// `segment` is `row · (cols/16) + column/16` in the matrix that is quantized. It and the stream
    /// are the counter, so bytes depend neither on who computes them nor on the other output.
    #[must_use]
    pub fn bytes(self, direction: Direction, segment: u64) -> [u8; 16] {
        let [seed_low, seed_high] = halves(self.seed);
        let [segment_low, segment_high] = halves(segment);
        let [stream_low, stream_high] = halves(self.stream(direction));
        let counter = [segment_low, segment_high, stream_low, stream_high];
        let words = philox4x32_10(counter, [seed_low, seed_high]);
        // The order in which PTX `cvt.rs.satfinite.e2m1x4.f32` reads its random operand.
        let in_order = words.map(|word| {
            let [first, third, second, fourth] = word.to_le_bytes();
            [first, second, third, fourth]
        });
        std::array::from_fn(|i| in_order[i / 4][i % 4])
    }
}

/// The low and the high word.
const fn halves(bits: u64) -> [u32; 2] {
    [bits as u32, (bits >> 32) as u32]
}

/// Step T4: the code of a product, moved up in magnitude where the random byte says so.
///
/// Between two neighbouring magnitudes the upper one has probability k/256, where k is how many
/// 256ths of the way the product has gone, rounded down: a product on the grid never moves. Saturates
/// at ±6 (also ±∞). Signs are kept, of zeros too. NaN gives code 7.
#[must_use]
pub fn stochastic_code(product: f32, byte: u8) -> E2m1 {
    let magnitude = product.abs();
    if product.is_nan() || magnitude >= E2m1::MAX {
        return E2m1::from_f32(product);
    }
    let below = (0..7).rev().find(|&code| E2m1::from_bits(code).to_f32() <= magnitude);
    let below = below.expect("0 is below every magnitude");
    let low = E2m1::from_bits(below).to_f32();
    let step = E2m1::from_bits(below + 1).to_f32() - low;
    // Exact: `low` is 0 or more than half of `magnitude` (Sterbenz), or equal to it.
    let rest = magnitude - low;
    // Exact: steps are 0.5, 1 and 2.
    let fraction = rest / step;
    let share = (256.0 * fraction).floor() as u32;
    let code = if share + u32::from(byte) >= 256 { below + 1 } else { below };
    let sign = if product.is_sign_negative() { 0x8 } else { 0 };
    E2m1::from_bits(sign | code)
}

/// The codes of 16 elements under a block scale, each with its own random byte.
///
/// The scale was chosen with nearest rounding (step T5): choosing by the errors of random codes would
/// favour the luckier candidate, and bias the mean.
#[must_use]
pub fn encode_row_stochastic(
    row: &Row16,
    scale: E4m3,
    global: &GlobalScale,
    bytes: &[u8; 16],
) -> [E2m1; 16] {
    let encode = block_encode_scale(scale, global);
    std::array::from_fn(|i| {
        let product = row[i] * encode;
        stochastic_code(product, bytes[i])
    })
}
