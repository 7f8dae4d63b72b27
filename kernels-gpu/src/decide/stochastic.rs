//! The stochastic code (step T4), of 16 elements at once and of one.
//!
//! ```text
//! h = FP16(min(|x|·e, 6) · 2⁻¹⁴), toward zero
//! code = (h + 2·byte) >> 9
//! ```
//!
//! 1. **An FP16 number is a fixed-point one here.** With everything scaled by 2⁻¹⁴ (exact: a product that
//!    becomes subnormal is 0 in FP16 either way) the E2M1 values are the FP16 numbers `code·512`, below 1
//!    subnormal ones, and between two of them the bits count evenly. So `h = 512·code + 2·k + a bit`, with
//!    the k of the contract: toward zero is its floor, and `h + 2·byte` reaches the next code iff
//!    `k + byte ≥ 256`.
//! 2. **Two elements a word.** No sum leaves its half: the largest is 3584 + 510.
//! 3. **Bytes 0 and 2 of a random word** are those of its first two elements, as they are wanted in the halves
//!    of a word: one permute makes two operands.

use super::encoded::SIGNS;
use crate::load::input::signs_16;
use crate::ptx;

/// The unit of products here.
pub(crate) const UNIT: f32 = 1.0 / 16384.0;
/// 6, twice.
const SIX: u32 = 0x0E00_0E00;

/// Two products and their random bytes, one in each half: the codes from bit 9 of each half on.
#[inline(always)]
fn pair(products: u32, bytes: u32) -> u32 {
    ptx::min_f16x2(products, SIX).wrapping_add(bytes << 1)
}

/// The codes of four elements, each doubled, in the bytes of a word.
#[inline(always)]
fn four(products: [u32; 2], word: u32) -> u32 {
    let low = pair(products[0], ptx::prmt::<0x4240>(word, 0));
    let high = pair(products[1], ptx::prmt::<0x4341>(word, 0));
    ptx::prmt::<0x7531>(low, high)
}

/// The codes of eight elements.
#[inline(always)]
fn eight(products: [u32; 4], words: [u32; 2], signs: u32) -> u32 {
    let a = four([products[0], products[1]], words[0]);
    let b = four([products[2], products[3]], words[1]);
    let odd = ptx::prmt::<0x7531>(a, b).wrapping_mul(16);
    let doubled = ptx::prmt::<0x6420>(a, b).wrapping_add(odd);
    ptx::select(signs, doubled >> 1, SIGNS)
}

/// The codes of a block. `encode` includes [`UNIT`]; `signs` is that of `Input::signs`.
#[inline(always)]
pub(crate) fn codes(x: &[f32; 16], encode: f32, words: [u32; 4], signs: [u32; 2]) -> [u32; 2] {
    let product = |i: usize| ptx::mul_abs_rn(x[i], encode);
    let pair = |i: usize| ptx::cvt_rz_f16x2_f32(product(i + 1), product(i));
    [
        eight([pair(0), pair(2), pair(4), pair(6)], [words[0], words[1]], signs[0]),
        eight([pair(8), pair(10), pair(12), pair(14)], [words[2], words[3]], signs[1]),
    ]
}

/// The products of a block with their signs, two a word. `encode` includes [`UNIT`].
#[inline(always)]
pub(crate) fn products(x: &[f32; 16], encode: f32) -> [u32; 8] {
    let pair = |i: usize| ptx::cvt_rz_f16x2_f32(x[i + 1] * encode, x[i] * encode);
    [pair(0), pair(2), pair(4), pair(6), pair(8), pair(10), pair(12), pair(14)]
}

/// The codes of [`products`].
#[inline(always)]
pub(crate) fn codes_of_products(w: [u32; 8], words: [u32; 4]) -> [u32; 2] {
    let signs = signs_16(w);
    let w = w.map(|pair| pair & 0x7FFF_7FFF);
    [
        eight([w[0], w[1], w[2], w[3]], [words[0], words[1]], signs[0]),
        eight([w[4], w[5], w[6], w[7]], [words[2], words[3]], signs[1]),
    ]
}

/// The code of one magnitude, at most 6.
#[inline(always)]
pub(crate) fn code(y: f32, byte: u32) -> u32 {
    (ptx::cvt_rz_f16x2_f32(0.0, y * UNIT) + 2 * byte) >> 9
}

/// The random byte of element `i`.
#[inline(always)]
pub(crate) fn byte(words: [u32; 4], i: u32) -> u32 {
    let pair = if i & 8 == 0 { [words[0], words[1]] } else { [words[2], words[3]] };
    let word = if i & 4 == 0 { pair[0] } else { pair[1] };
    // Bytes 0, 2, 1, 3.
    (word >> (8 * ((i & 1) << 1 | (i & 2) >> 1))) & 0xFF
}
