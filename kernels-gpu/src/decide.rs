//! From elements to codes and a scale: the choice between map6 and map4, or of 13.

pub(crate) mod block;
pub(crate) mod division;
pub(crate) mod encoded;
pub(crate) mod exact;
pub(crate) mod isa;
pub(crate) mod lines;
#[allow(dead_code, reason = "no instruction set needs all of it")]
pub(crate) mod metric;
pub(crate) mod near;
mod philox;
pub(crate) mod rounding;
pub(crate) mod search;
pub(crate) mod stochastic;
pub(crate) mod tile;
