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
//! 1. **A filter** weighs all 13 in packed half precision, two elements an instruction, and drops those that
//!    can't be the best whatever rounding did (`search/filter.rs` has the proof). In normal data one or two are
//!    left, two or three in the worst lane of a warp.
//! 2. **The contract's errors** of those that are left decide, by strict comparison in the contract's order
//!    (`search/sweep.rs`). E2M1(y)·s has six significant bits, so one FMA makes the contract's difference of step 6,
//!    rounded once; terms are added in the contract's order. In a tile that is the order of the rowwise output:
//!    where two come within rounding of each other, the columnwise output asks its own sums.
//! 3. **Any byte.** A byte moved to the top of an FP32 number is 2⁻¹²⁰ times its value, subnormals
//!    included. The filter takes normal scales alone; other blocks have all 13 weighed by the contract. Only NaN, ∞
//!    and an `S_dec` near the ends of the exponent range go to the exact path, element by element from memory.
//! 4. **Clipping.** Below map6's scale `y` is 7 or more, where rounding gives 8 or more, or NaN of what
//!    overflows: the smaller one of that and 6 is 6.

mod block;
mod candidates;
mod exact;
mod filter;
#[cfg(not(fp4_kernels))]
mod grid;
#[cfg(fp4_kernels)]
mod native;
mod sweep;
mod tile;
mod weigh;

pub(crate) use block::encode;
pub(crate) use tile::encode as encode_tile;
