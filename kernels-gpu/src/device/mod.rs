//! The kernels.
mod block;
mod block_wide;
mod codegen;
mod columns;
mod copy;
mod dequantize;
mod e4m3;
mod entries;
mod exact;
mod global_scale;
mod input;
mod isa;
mod memory;
#[allow(dead_code, reason = "no instruction set needs all of it")]
mod metric;
mod near;
mod nibbles;
#[allow(dead_code, reason = "no instruction set needs all of them")]
mod packed;
mod ptx;
mod row;
mod rowwise;
mod shared;
mod staged;
mod thread;
mod tile;
mod tile_encode;
mod warp;
