//! The entries: each kernel by name, a generic body with its types filled in.
//!
//! `list.rs` has a line for each kernel, written by `cargo xtask ptx`; [`entry`] says which body and
//! which parameter it is.

#![allow(unreachable_pub, reason = "entries are reached by name")]

use super::{columns, copy, dequantize, global_scale, row, rowwise, tile};
use crate::decide::metric::{Mae, Mse, Plain, Search};
use crate::decide::rounding::{Nearest, Stochastic};
use crate::load::input::{Bf16, F16, F32};
use crate::load::transform::{Hadamard, Identity};
use fouroversix_core::abi::{
    AmaxParams, DequantizeParams, QuantizeParams, TRANSFORMS, TrainingParams, TransformAmaxParams,
};

macro_rules! entries {
    ($($name:ident: $operation:ident($($what:tt),*);)*) => {$(
        entry! { $name: $operation($($what),*) }
    )*};
}

/// One entry, from what the kernel is: operation, blocks, outputs, whether it is grouped, element type,
/// rule.
macro_rules! entry {
    ($name:ident: Quantize(Row, Rowwise, $grouped:tt, $input:tt, $rule:tt, $($how:tt),*)) => {
        quantize! { $name($($how),*) rowwise::kernel::<$input, $rule, _, _, $grouped> }
    };
    ($name:ident: Quantize(Row, Columnwise, $grouped:tt, $input:tt, $rule:tt, $($how:tt),*)) => {
        quantize! { $name($($how),*) columns::kernel::<$input, $rule, _, _, false, $grouped> }
    };
    ($name:ident: Quantize(Row, Both, $grouped:tt, $input:tt, $rule:tt, Hadamard, $rounding:tt)) => {
        quantize! {
            $name(HadamardIfAsked, $rounding) columns::kernel::<$input, $rule, _, _, true, $grouped>
        }
    };
    ($name:ident: Quantize(Row, Both, $grouped:tt, $input:tt, $rule:tt, $($how:tt),*)) => {
        quantize! { $name($($how),*) columns::kernel::<$input, $rule, _, _, true, $grouped> }
    };
    ($name:ident: Quantize(Tile, Rowwise, $grouped:tt, $input:tt, $rule:tt, Identity, $rounding:tt)) => {
        quantize! { $name($rounding) tile::kernel::<$input, $rule, _, true, false, $grouped> }
    };
    ($name:ident: Quantize(Tile, Columnwise, $grouped:tt, $input:tt, $rule:tt, Identity, $rounding:tt)) => {
        quantize! { $name($rounding) tile::kernel::<$input, $rule, _, false, true, $grouped> }
    };
    ($name:ident: Quantize(Tile, Both, $grouped:tt, $input:tt, $rule:tt, Identity, $rounding:tt)) => {
        quantize! { $name($rounding) tile::kernel::<$input, $rule, _, true, true, $grouped> }
    };
    ($name:ident: QuantizeRows(Row, Rowwise, false, $input:tt, $rule:tt, Identity, $rounding:tt)) => {
        quantize! { $name($rounding) row::kernel::<$input, $rule, _> }
    };
    ($name:ident: Amax(false, $input:tt)) => {
        entry! { $name(p: AmaxParams) global_scale::tensor::<$input, _>(&p, Identity) }
    };
    ($name:ident: Amax(true, $input:tt)) => {
        entry! { $name(AmaxParams) global_scale::grouped::<$input> }
    };
    ($name:ident: AmaxTransform(Row, Rowwise, false, $input:tt)) => {
        entry! {
            $name(p: TransformAmaxParams)
            global_scale::tensor::<$input, _>(&p.amax, Hadamard::new(&p.signs))
        }
    };
    ($name:ident: AmaxTransform(Row, Columnwise, false, $input:tt)) => {
        entry! {
            $name(p: TransformAmaxParams)
            global_scale::transformed_columns::<$input>(&p.amax, Hadamard::new(&p.signs))
        }
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
        entry! { $name(p: $params) $body(&p) }
    };
    ($name:ident($p:ident: $params:ty) $body:expr) => {
        #[cfg_attr(nvvm, cuda_std::kernel)]
        #[cfg_attr(not(nvvm), unsafe(no_mangle))]
        pub unsafe extern "ptx-kernel" fn $name($p: $params) {
            // SAFETY: whoever launches the entry keeps the launch contract (`fouroversix_core::launch`).
            unsafe { $body }
        }
    };
}

macro_rules! rounding {
    (Nearest, $p:ident) => {
        Nearest
    };
    (Stochastic, $p:ident) => {
        Stochastic::new(&$p.random)
    };
}

/// A quantize entry: with the transform and the rounding, the parameter that has what they need.
macro_rules! quantize {
    ($name:ident(Nearest) $body:path) => {
        entry! { $name(p: QuantizeParams) $body(&p, Nearest) }
    };
    ($name:ident(Stochastic) $body:path) => {
        entry! { $name(p: TrainingParams) $body(&p.quantize, Stochastic::new(&p.random)) }
    };
    ($name:ident(Hadamard, $rounding:tt) $body:path) => {
        entry! {
            $name(p: TrainingParams)
            $body(&p.quantize, rounding!($rounding, p), [0, 1].map(|i| Hadamard::new(&p.signs[i])))
        }
    };
    ($name:ident(HadamardIfAsked, $rounding:tt) $body:path) => {
        entry! {
            $name(p: TrainingParams)
            $body(&p.quantize, rounding!($rounding, p), [0, 1].map(|i| {
                Hadamard::if_asked(&p.signs[i], p.quantize.flags & TRANSFORMS[i] != 0)
            }))
        }
    };
    ($name:ident(Identity, Nearest) $body:path) => {
        entry! { $name(p: QuantizeParams) $body(&p, Nearest, [Identity; 2]) }
    };
    ($name:ident(Identity, Stochastic) $body:path) => {
        entry! {
            $name(p: TrainingParams)
            $body(&p.quantize, Stochastic::new(&p.random), [Identity; 2])
        }
    };
}

include!("list.rs");
