//! Scale search: the block scale with the lowest fast error, of 13 around map6's (steps S1 to S4).
//!
//! ```text
//! c6 = the byte of E4M3(bmax/6 · S_enc)
//! for c in c6, c6+1, c6−1, c6+2, c6−2, … c6+4, c6−4, c6+5, … c6+8, inside 1..126:
//!     s   = the value of c;  e = 1 / (s · S_dec)
//!     err = Σ |E2M1(|x|·e)·s − |x|·S_enc|                     (MAE; squared for MSE)
//!     the first c with the lowest err wins
//! ```
//!
//! 1. **The contract's own differences.** E2M1(y)·s has six significant bits, so one FMA makes the
//!    contract's difference of step 6, rounded once. Nothing is estimated there.
//! 2. **Sums.** Magnitudes are added in the contract's order: that is the contract's error. Squares are
//!    added by FMA, which saves an instruction an element: their sum is within 33u of the contract's, both
//!    being sums of the same nonnegative terms with 16 roundings on the way to each. Where a second
//!    candidate is that close to the best, the warp does it all again with squares that are rounded.
//! 3. **Any byte.** A byte moved to the top of an FP32 number is 2⁻¹²⁰ times its value, subnormals
//!    included; so there is no other path for small scales, zeros or blocks that saturate. Only NaN, ∞ and
//!    an `S_dec` near the ends of the exponent range go to the exact path.
//! 4. **Clipping.** Below map6's scale `y` is 7 or more, where rounding gives 8 or more, or NaN of what
//!    overflows: the smaller one of that and 6 is 6.

mod block;
mod exact;
#[cfg(not(fp4_kernels))]
mod grid;
#[cfg(fp4_kernels)]
mod native;
mod sweep;
mod tile;
mod weigh;

pub(crate) use block::encode;
pub(crate) use tile::encode as encode_tile;
