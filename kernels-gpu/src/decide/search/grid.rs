//! A search without FP4 hardware: the rounding of `isa/grid.rs`, in units of 1.

use super::super::isa::{Isa, Target};
use super::weigh::Weigh;
use crate::ptx;

/// `E2M1(y)` for `0 ≤ y < 7`; 8 or more above, NaN for what overflows.
#[inline(always)]
fn round(y: f32) -> f32 {
    let m = ptx::max(y, 1.0 + 1.0 / 2_097_152.0);
    ptx::fma_rn(m, 4_194_304.0, ptx::fma_rn(m, -4_194_304.0, y))
}

macro_rules! elements {
    (|$i:ident| $of_one:expr, $($n:literal)*) => {
        [$({
            let $i = $n;
            $of_one
        }),*]
    };
}

impl Weigh for Target {
    #[inline(always)]
    fn scaled(x: &[f32; 16], s_enc: f32) -> [f32; 16] {
        elements!(|i| ptx::mul_abs_rn(x[i], s_enc), 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    }

    #[inline(always)]
    fn differences<const HALF: usize>(
        x: &[f32; 16],
        scaled: &[f32; 16],
        encode: f32,
        scale: f32,
    ) -> [f32; 8] {
        elements!(|i| {
            let i = 8 * HALF + i;
            let q = ptx::min(round(ptx::mul_abs_rn(x[i], encode)), 6.0);
            ptx::fma_rn(q, scale, ptx::neg(scaled[i]))
        }, 0 1 2 3 4 5 6 7)
    }

    #[inline(always)]
    fn codes(x: &[f32; 16], encode: f32, signs: [u32; 2]) -> [u32; 2] {
        macro_rules! half {
            ($($i:literal)*) => {
                Target::place(elements!(|i| {
                    round(ptx::min(ptx::mul_abs_rn(x[i], encode), 6.0)) * Target::GRID
                }, $($i)*))
            };
        }
        let codes = [half!(0 1 2 3 4 5 6 7), half!(8 9 10 11 12 13 14 15)];
        [Target::nibbles(codes[0], signs[0]), Target::nibbles(codes[1], signs[1])]
    }
}
