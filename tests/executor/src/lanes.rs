//! Scalar functions lifted to the lanes of a warp.
//!
//! Each loop is compiled for any machine and once more for one with wide vectors. Both are the same code and
//! give the same bits: nothing in it is contracted or reordered.

use super::op::{Compute, LANES, Lanes};

/// Whether the machine has what second forms are compiled for.
pub(super) fn has_wide_vectors() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("popcnt");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Defines a function that lifts a scalar function of so many operands.
macro_rules! lifted {
    ($(#[$doc:meta])* $lift:ident: $kind:ident, $($operand:ident: $word:ty),+) => {
        $(#[$doc])*
        pub(super) fn $lift(f: impl Fn($($word),+) -> u64 + Send + Sync + 'static) -> Compute {
            #[inline(always)]
            fn each(f: &impl Fn($($word),+) -> u64, d: &mut Lanes, $($operand: &Lanes),+) {
                for i in 0..LANES {
                    d[i] = f($($operand[i]),+);
                }
            }
            #[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,popcnt"))]
            fn each_wide(f: &impl Fn($($word),+) -> u64, d: &mut Lanes, $($operand: &Lanes),+) {
                each(f, d, $($operand),+);
            }
            if has_wide_vectors() {
                // SAFETY: the machine has these instructions.
                #[allow(unused_unsafe, reason = "safe where there is one form")]
                return Compute::$kind(Box::new(move |d, $($operand),+| unsafe {
                    each_wide(&f, d, $($operand),+);
                }));
            }
            Compute::$kind(Box::new(move |d, $($operand),+| each(&f, d, $($operand),+)))
        }
    };
}

lifted! {
    /// Lifts a scalar function of one operand to lanes.
    one: One, a: u64
}

lifted! {
    /// Lifts a scalar function of two operands to lanes.
    two: Two, a: u64, b: u64
}

lifted! {
    /// Lifts a scalar function of three operands to lanes.
    three: Three, a: u64, b: u64, c: u64
}
