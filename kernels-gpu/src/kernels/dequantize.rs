//! Codes and scales back to numbers (step 12): a thread for each block of 16.
//!
//! `out = cast(fl(q · fl(fl(s · amax) · fl(1/(6·A)))))`, TransformerEngine's order.

use crate::formats::e4m3;
use crate::formats::scale_layout;
use crate::load::input::{Bf16, F16, F32};
use crate::load::tensor;
use crate::ptx::{self, memory, thread};
use fouroversix_core::abi::{DequantizeParams, E4M3_MAX_256, ROW_SCALED, SWIZZLED};

/// An element type to dequantize to.
pub(crate) trait Output {
    /// Stores the 16 numbers of a block, rounded to nearest even. `at` is 16-byte aligned.
    unsafe fn store(at: *mut u8, block: usize, x: [f32; 16]);
    /// Stores as many bytes as `store` does, any bits.
    unsafe fn store_words(at: *mut u8, block: usize, w: [u32; 4]);
}

macro_rules! output_16 {
    ($t:ty, $cvt:path) => {
        impl Output for $t {
            #[inline(always)]
            unsafe fn store(at: *mut u8, block: usize, x: [f32; 16]) {
                let w: [u32; 8] = core::array::from_fn(|i| $cvt(x[2 * i + 1], x[2 * i]));
                // SAFETY: the caller's promise.
                unsafe {
                    let at = at.add(block * 32);
                    memory::store_v4(at, [w[0], w[1], w[2], w[3]]);
                    memory::store_v4(at.add(16), [w[4], w[5], w[6], w[7]]);
                }
            }

            #[inline(always)]
            unsafe fn store_words(at: *mut u8, block: usize, w: [u32; 4]) {
                // SAFETY: the caller's promise.
                unsafe {
                    memory::store_v4(at.add(block * 32), w);
                    memory::store_v4(at.add(block * 32 + 16), w);
                }
            }
        }
    };
}

output_16!(Bf16, ptx::cvt_rn_bf16x2_f32);
output_16!(F16, ptx::cvt_rn_f16x2_f32);

impl Output for F32 {
    #[inline(always)]
    unsafe fn store(at: *mut u8, block: usize, x: [f32; 16]) {
        let w = x.map(f32::to_bits);
        // SAFETY: the caller's promise.
        unsafe {
            let at = at.add(block * 64);
            memory::store_v4(at, [w[0], w[1], w[2], w[3]]);
            memory::store_v4(at.add(16), [w[4], w[5], w[6], w[7]]);
            memory::store_v4(at.add(32), [w[8], w[9], w[10], w[11]]);
            memory::store_v4(at.add(48), [w[12], w[13], w[14], w[15]]);
        }
    }

    #[inline(always)]
    unsafe fn store_words(at: *mut u8, block: usize, w: [u32; 4]) {
        for i in 0..4 {
            // SAFETY: the caller's promise.
            unsafe { memory::store_v4(at.add(block * 64 + i * 16), w) }
        }
    }
}

/// The values of eight nibbles. A code moved to the top of an FP16 is 2⁻¹⁴ times its value, and
/// the product with 2¹⁴ is exact.
#[inline(always)]
fn values(nibbles: u32) -> [f32; 8] {
    const TWO_14: u32 = 0x7400_7400;
    macro_rules! pair {
        ($sign:expr, $magnitude:expr) => {{
            let w = ($sign & 0x8000_8000) | ($magnitude & 0x0E00_0E00);
            ptx::cvt_f32_f16x2(ptx::mul_rn_f16x2(w, TWO_14))
        }};
    }
    // Nibbles k and k+4 are 16 bits apart: the signs go to bits 15 and 31, the codes to 9 and 25.
    let [a0, a4] = pair!(nibbles << 12, nibbles << 9);
    let [a1, a5] = pair!(nibbles << 8, nibbles << 5);
    let [a2, a6] = pair!(nibbles << 4, nibbles << 1);
    let [a3, a7] = pair!(nibbles, nibbles >> 3);
    [a0, a1, a2, a3, a4, a5, a6, a7]
}

/// Decodes one block and stores it.
#[inline(always)]
pub(crate) unsafe fn kernel<T: Output>(p: &DequantizeParams) {
    // SAFETY: launch contract, clauses 2 to 5, for a block inside the tensor.
    unsafe {
        let block = thread::global_index();
        let blocks_per_row = p.cols / 16;
        if tensor::skip_set(p.skip) || block >= p.rows * blocks_per_row {
            return;
        }
        let mut scale_at = (p.scales as *const u8).add(block as usize);
        // Loaded where its address is known: one load after either needs it moved between registers.
        let mut amax = memory::load_b32(p.amax as *const u8);
        if p.flags & (ROW_SCALED | SWIZZLED) != 0 {
            let row = p.by_blocks.divide(block);
            if p.flags & ROW_SCALED != 0 {
                let offset = row as usize * ((p.flags >> 16) as usize * 4);
                amax = memory::load_b32((p.amax as *const u8).add(offset));
            }
            if p.flags & SWIZZLED != 0 {
                let column = block - row * blocks_per_row;
                let offset = scale_layout::swizzled(row, column, blocks_per_row);
                scale_at = (p.scales as *const u8).add(offset);
            }
        }
        let amax = f32::from_bits(amax);
        let [lo, hi] = memory::load_v2((p.codes as *const u8).add(block as usize * 8));
        let byte = memory::load_b8(scale_at);
        let scale = e4m3::value(byte);
        let per_six_a =
            if p.flags & E4M3_MAX_256 != 0 { 1.0 / (6.0 * 256.0) } else { 1.0 / (6.0 * 448.0) };
        let factor = scale * amax * per_six_a;
        let (a, b) = (values(lo), values(hi));
        let x = core::array::from_fn(|i| if i < 8 { a[i] * factor } else { b[i - 8] * factor });
        T::store(p.output as *mut u8, block as usize, x);
    }
}
