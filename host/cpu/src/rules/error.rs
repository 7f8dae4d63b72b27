//! The contract's own error of a candidate, for the near-tie path and the exact path: steps 5 to 8 as
//! they stand.

use fouroversix_core::ErrorPath;

use crate::block::Block;
use crate::formats::{E2M1_SIGNED, e2m1};
use crate::group::Group;
use crate::lane_scale::{LaneGlobal, LaneScale};
use crate::measure::Measure;
use crate::scale::{BlockScale, GlobalScale};
use crate::simd::vector::Vector;

/// Of a block on each lane, its elements finite: steps 5 to 7.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
pub(super) unsafe fn of_group<V: Vector, M: Measure>(
    group: &Group<V>,
    scale: &LaneScale<V>,
    global: &LaneGlobal<V>,
    error_path: ErrorPath,
) -> V::F {
    // SAFETY: the caller's.
    unsafe {
        let mut error = V::splat(0.0);
        for x in group.magnitudes {
            // The sign of x is that of q, and every step is odd: |d| is the same without it.
            let y = V::min(V::mul(x, scale.encode), V::splat(6.0));
            let product = V::mul(V::round_e2m1(y), scale.value);
            let d = match error_path {
                ErrorPath::Strict => {
                    V::sub(V::div(V::mul(product, global.amax), global.full_range), x)
                }
                ErrorPath::Fast => V::sub(product, V::mul(x, global.encode)),
            };
            error = V::add(error, M::share::<V>(d));
        }
        error
    }
}

/// A block quantized with one scale, and its error, added up in element order.
pub(super) fn of_block<M: Measure>(
    block: &Block,
    scale: BlockScale,
    global: &GlobalScale,
    error_path: ErrorPath,
) -> ([u8; 16], f32) {
    let codes = block.map(|x| e2m1(x * scale.encode));
    let mut error = 0.0_f32;
    for (x, code) in block.iter().zip(codes) {
        // Exact: at most 2 + 4 significant bits.
        let product = E2M1_SIGNED[usize::from(code)] * scale.value;
        let d = match error_path {
            ErrorPath::Strict => product * global.amax / global.full_range - x,
            ErrorPath::Fast => product - x * global.encode,
        };
        error += M::share_of(d);
    }
    (codes, error)
}

/// Of a tile, from those of its 16 rows, in lanes of groups: by the contract's tree (step 8), +8, +4,
/// +2, +1.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
pub(super) unsafe fn of_tile<V: Vector>(mut groups: [V::F; 4]) -> f32 {
    // SAFETY: the caller's.
    unsafe {
        let mut count = 16 / V::LANES;
        while count > 1 {
            count /= 2;
            for i in 0..count {
                groups[i] = V::add(groups[i], groups[i + count]);
            }
        }
        V::sum(groups[0])
    }
}
