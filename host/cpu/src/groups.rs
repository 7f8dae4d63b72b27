//! THE HOT LOOP for 1x16 blocks, written once for every instruction set.
//!
//! A group is `LANES` blocks, and lane `l` of every vector belongs to its block `l`, so everything a
//! block needs (its maximum, scales, sums in element order, codes) is made lane by lane:
//!
//! ```text
//! for each group of LANES blocks:
//!     |x|[0..16], signs, amax   <- load, transposed
//!     s4, s6, e4, e6            <- block scales and their encode scales      (steps 4, 5)
//!     for each candidate c, for i in 0..16:
//!         y = fl(|x_i| * e_c)                                                (step 5)
//!         q = E2M1(y)                                                        (trick 1)
//!         packed_c += 2q * 16^(i mod 4)                                      (trick 2)
//!         estimate_c += |q - y|  or  (q - y)^2                               (trick 3)
//!     if some |s4*estimate_4 - s6*estimate_6| is below its bound:
//!         compute the contract's own errors of the group                     (steps 6, 7)
//!     take map4 where its error is lower; codes from packed, signs from x
//! ```
//!
//! Tricks 1 and 2 are explained in [`crate::candidate`], trick 3 is proven in [`crate::bound`].

use std::mem::MaybeUninit;

use crate::elements::Reader;
use crate::encode::{Encode, Fallback};
use crate::group::Group;
use crate::lane_scale::LaneGlobal;
use crate::rules::rule::ScaleRule;
use crate::simd::vector::{Vector, Work, outlined};

/// Quantizes groups, every block for itself. The output is how many blocks chose map4.
///
/// # Safety
/// To run it: as [`Vector`]; the elements have the output's groups, and that is writable.
pub(crate) struct Groups<'a, V: Vector, S> {
    pub(crate) reader: Reader<'a, V>,
    pub(crate) encode: Encode<'a, S>,
}

/// A group and its scales, made while the group before it is quantized: the divisions that lead
/// to a scale take as long as a third of a group's elements.
struct Prepared<V: Vector, S: ScaleRule> {
    group: Group<V>,
    scales: S::Scales<V>,
    /// Whether the hot path can take it.
    regular: bool,
}

/// Prepares a group in place: copied, it would cost as much as it is read.
#[inline(always)]
unsafe fn prepare<V: Vector, S: ScaleRule>(
    reader: &Reader<'_, V>,
    index: usize,
    global: &LaneGlobal<V>,
    to: &mut MaybeUninit<Prepared<V, S>>,
) {
    let to = to.as_mut_ptr();
    // SAFETY: the caller's.
    unsafe {
        reader.read(index, 0, &raw mut (*to).group);
        let amax = (*to).group.amax;
        let scales = S::scales(global, amax);
        let finite = V::gt(V::splat(reader.specials.limit), amax);
        let regular = V::all(V::mask_and(finite, S::regular(&scales, amax)));
        (&raw mut (*to).scales).write(scales);
        (&raw mut (*to).regular).write(regular && S::certifiable(global));
    }
}

impl<V: Vector, S: ScaleRule> Work<V> for Groups<'_, V, S> {
    type Output = u64;

    #[inline(always)]
    unsafe fn run(self) -> u64 {
        let Self { reader, encode } = self;
        let Encode { output, rule, .. } = encode;
        if output.count == 0 {
            return 0;
        }
        // SAFETY: the caller's. Each of the two places is prepared before it is looked at.
        unsafe {
            let mut map4 = 0;
            let per_lane = output.globals.len() > 1;
            let mut global = LaneGlobal::<V>::new(output.lane_globals::<V>(0));
            let mut prepared = [const { MaybeUninit::<Prepared<V, S>>::uninit() }; 2];
            prepare(&reader, 0, &global, &mut prepared[0]);
            for index in 0..output.count {
                let next = (index + 1).min(output.count - 1);
                if per_lane {
                    global = LaneGlobal::new(output.lane_globals::<V>(next));
                }
                prepare(&reader, next, &global, &mut prepared[(index + 1) % 2]);
                let Prepared { group, scales, regular } = prepared[index % 2].assume_init_ref();
                // Stored before it is known to be certain, and in the rare case once more: behind
                // the branch LLVM would put the packing too, and keep all its parts in memory.
                let mut certain = false;
                if *regular {
                    let choice = rule.choose(group, scales);
                    certain = choice.certain;
                    if S::OTHER_SCALES {
                        encode.store::<V, true>(index, group, &choice);
                    } else {
                        encode.store::<V, false>(index, group, &choice);
                    }
                    if certain {
                        map4 += u64::from(V::mask_bits(choice.map4).count_ones());
                    }
                }
                if !certain {
                    let specials = reader.specials;
                    let encode = &encode;
                    map4 += outlined(Fallback { encode, index, group, scales, specials });
                }
            }
            map4
        }
    }
}
