//! The kernels: which thread has which block, and what it stores.

mod columns;
mod copy;
mod dequantize;
mod entries;
mod gather;
mod global_scale;
mod row;
mod rowwise;
mod tile;
mod transpose;
