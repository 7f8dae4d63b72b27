//! A search by E2M1 conversions: the elements' own codes and products in FP16, as step 6 has them.

use super::super::isa::native;
use super::super::isa::{Isa, Target};
use super::weigh::Weigh;
use crate::ptx;
use crate::ptx::packed::{self, F32x2};

/// Products of pairs with one factor.
macro_rules! products {
    ($x:ident, $first:expr, $factor:expr, $($i:literal)*) => {{
        let factor = F32x2::new([$factor; 2]);
        [$(packed::mul_rn_f32x2(F32x2::new([$x[$first + $i], $x[$first + $i + 1]]), factor).split()),*]
    }};
}

impl Weigh for Target {
    #[inline(always)]
    fn scaled(x: &[f32; 16], s_enc: f32) -> [f32; 16] {
        let [a, b, c, d, e, f, g, h] = products!(x, 0, s_enc, 0 2 4 6 8 10 12 14);
        [
            a[0], a[1], b[0], b[1], c[0], c[1], d[0], d[1], e[0], e[1], f[0], f[1], g[0], g[1],
            h[0], h[1],
        ]
    }

    #[inline(always)]
    fn differences<const HALF: usize>(
        x: &[f32; 16],
        scaled: &[f32; 16],
        encode: f32,
        scale: f32,
    ) -> [f32; 8] {
        let [a, b, c, d] = products!(x, 8 * HALF, encode, 0 2 4 6);
        let codes = native::codes([a[0], a[1], b[0], b[1], c[0], c[1], d[0], d[1]]);
        // Exact: between 2⁻¹⁰ and 2688, six significant bits.
        let pair = ptx::cvt_rn_f16x2_f32(scale, scale);
        let q = native::values(native::hidden(codes, encode)).map(|q| ptx::mul_rn_f16x2(q, pair));
        macro_rules! each {
            ($($i:literal)*) => {
                [$(ptx::sub_rn_f32_f16::<{ $i % 2 }>(q[$i / 2], scaled[8 * HALF + $i])),*]
            };
        }
        each!(0 1 2 3 4 5 6 7)
    }

    #[inline(always)]
    fn codes(x: &[f32; 16], encode: f32, signs: [u32; 2]) -> [u32; 2] {
        let codes = native::encode(x, encode);
        [Target::nibbles(codes[0], signs[0]), Target::nibbles(codes[1], signs[1])]
    }
}
