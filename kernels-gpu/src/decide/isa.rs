//! E2M1 arithmetic of an instruction set, behind one trait.
//!
//! What a set can do is a row of the table in `fouroversix_core::instruction_set`; each capability is a
//! cfg here:
//!
//! | cfg | with it | without it |
//! |---|---|---|
//! | `fp8_cvt` | E4M3 conversions | integer arithmetic (`formats/e4m3.rs`) |
//! | `fp4_kernels` | kernels written for E2M1 conversions ([`native`]) | two FMAs round to E2M1 ([`grid`]) |
//! | `fp4_cvt` | those conversions | emulated, to measure those kernels elsewhere |
//! | `f32x2` | FP32 arithmetic on pairs | two instructions (`ptx/packed.rs`) |
//! | `f32_f16` | FP32 arithmetic with an FP16 operand | a conversion before it |
//! | `max_abs` | the maximum of magnitudes | the signs masked off before it |

mod arithmetic;
#[cfg(not(fp4_kernels))]
mod grid;
#[cfg(fp4_kernels)]
pub(crate) mod native;

pub(crate) use arithmetic::{Candidate, Isa, same_values};

#[cfg(not(fp4_kernels))]
pub(crate) type Target = grid::Grid;
#[cfg(fp4_kernels)]
pub(crate) type Target = native::Native;
