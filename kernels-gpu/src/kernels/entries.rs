//! The entries: each kernel by name, a generic body with its types filled in.
//!
//! `list.rs` has a line for each kernel, written by `cargo xtask ptx`; [`entry`] says which body and
//! which parameter it is.

#![allow(unreachable_pub, reason = "entries are reached by name")]

use super::{columns, copy, dequantize, global_scale, row, rowwise, tile};
use crate::decide::metric::{Mae, Mse, Plain};
use crate::load::input::{Bf16, F16, F32};
use fouroversix_core::abi::{AmaxParams, DequantizeParams, QuantizeParams};

macro_rules! entries {
    ($($name:ident: $operation:ident($($what:tt),*);)*) => {$(
        entry! { $name: $operation($($what),*) }
    )*};
}

/// One entry, from what the kernel is: operation, blocks, outputs, whether it is grouped, element type,
/// rule.
macro_rules! entry {
    ($name:ident: Quantize(Row, Rowwise, $grouped:tt, $input:tt, $rule:tt)) => {
        entry! { $name(QuantizeParams) rowwise::kernel::<$input, $rule, $grouped> }
    };
    ($name:ident: Quantize(Row, Columnwise, $grouped:tt, $input:tt, $rule:tt)) => {
        entry! { $name(QuantizeParams) columns::kernel::<$input, $rule, false, $grouped> }
    };
    ($name:ident: Quantize(Row, Both, $grouped:tt, $input:tt, $rule:tt)) => {
        entry! { $name(QuantizeParams) columns::kernel::<$input, $rule, true, $grouped> }
    };
    ($name:ident: Quantize(Tile, Rowwise, $grouped:tt, $input:tt, $rule:tt)) => {
        entry! { $name(QuantizeParams) tile::kernel::<$input, $rule, true, false, $grouped> }
    };
    ($name:ident: Quantize(Tile, Columnwise, $grouped:tt, $input:tt, $rule:tt)) => {
        entry! { $name(QuantizeParams) tile::kernel::<$input, $rule, false, true, $grouped> }
    };
    ($name:ident: Quantize(Tile, Both, $grouped:tt, $input:tt, $rule:tt)) => {
        entry! { $name(QuantizeParams) tile::kernel::<$input, $rule, true, true, $grouped> }
    };
    ($name:ident: QuantizeRows(Row, Rowwise, false, $input:tt, $rule:tt)) => {
        entry! { $name(QuantizeParams) row::kernel::<$input, $rule> }
    };
    ($name:ident: Amax(false, $input:tt)) => {
        entry! { $name(AmaxParams) global_scale::tensor::<$input> }
    };
    ($name:ident: Amax(true, $input:tt)) => {
        entry! { $name(AmaxParams) global_scale::grouped::<$input> }
    };
    ($name:ident: AmaxRows(false, $input:tt)) => {
        entry! { $name(AmaxParams) global_scale::rows::<$input> }
    };
    ($name:ident: AmaxColumns(false, $input:tt)) => {
        entry! { $name(AmaxParams) global_scale::columns::<$input> }
    };
    ($name:ident: GlobalScales(false)) => {
        entry! { $name(AmaxParams) global_scale::supplied }
    };
    ($name:ident: Dequantize(false, $output:tt)) => {
        entry! { $name(DequantizeParams) dequantize::kernel::<$output> }
    };
    ($name:ident: CopyQuantize(false, $input:tt)) => {
        entry! { $name(QuantizeParams) copy::quantize::<$input> }
    };
    ($name:ident: CopyDequantize(false, $output:tt)) => {
        entry! { $name(DequantizeParams) copy::dequantize::<$output> }
    };
    ($name:ident($params:ty) $body:path) => {
        #[cfg_attr(nvvm, cuda_std::kernel)]
        #[cfg_attr(not(nvvm), unsafe(no_mangle))]
        pub unsafe extern "ptx-kernel" fn $name(p: $params) {
            // SAFETY: whoever launches the entry keeps the launch contract (`fouroversix_core::launch`).
            unsafe { $body(&p) }
        }
    };
}

include!("list.rs");
