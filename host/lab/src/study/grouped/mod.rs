//! `fouroversix-lab bench grouped-linear`: what quantization by each recipe costs a grouped linear
//! layer, forward and backward.
//!
//! A group of `G` has activations `X [m/G, k]`, weights `W [n, k]` and gradients `dY [m/G, n]`. A
//! step (one micro-batch) computes `Y = X·Wᵀ`, `dX = dY·W` and `dW = dYᵀ·X` from quantized operands,
//! each quantized along the dimension that is summed over:
//!
//! | operand | scaling | rule | rowwise form used by | columnwise form used by |
//! |---|---|---|---|---|
//! | `X` | 1x16, one amax a group | the recipe's | `Y` | `dW` |
//! | `W` | 16x16, one amax a group | the recipe's | `Y` | `dX` |
//! | `dY` | 1x16, one amax a group | plain | `dX` | `dW` |
//!
//! Every amax pass and the quantization of all three are part of the step. Where the device has no
//! FP4 products, the operands are dequantized to bf16 by the library's kernel and multiplied in
//! bf16 with FP32 sums; that too is part of the step, and the same for every recipe.

mod check;
mod cublas;
mod inputs;
mod layer;
mod matmul;
mod problem;
mod record;
mod reference;
mod run;

pub use matmul::Operands;
pub use problem::{Recipe, Shape};
pub use record::{Record, Row};
pub use run::{Options, run};
