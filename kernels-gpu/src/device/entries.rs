//! The kernels by name: each a generic body with its types filled in.

#![allow(unreachable_pub, reason = "entries are reached by name")]

use super::input::{Bf16, F16, F32};
use super::metric::{Mae, Mse, Plain};
use super::{columns, copy, dequantize, global_scale, row, rowwise, tile};
use fouroversix_core::abi::{AmaxParams, DequantizeParams, QuantizeParams};

macro_rules! entries {
    ($params:ty: $($name:ident = $body:path;)*) => {$(
        #[unsafe(no_mangle)]
        #[cfg_attr(nvvm, nvvm_internal::kernel)]
        pub unsafe extern "ptx-kernel" fn $name(p: $params) {
            // SAFETY: the launch contract.
            unsafe { $body(&p) }
        }
    )*};
}

entries! { QuantizeParams:
    quantize_1d_rowwise_bf16_plain = rowwise::kernel::<Bf16, Plain, false>;
    quantize_1d_rowwise_bf16_mae = rowwise::kernel::<Bf16, Mae, false>;
    quantize_1d_rowwise_bf16_mse = rowwise::kernel::<Bf16, Mse, false>;
    quantize_1d_rowwise_f16_plain = rowwise::kernel::<F16, Plain, false>;
    quantize_1d_rowwise_f16_mae = rowwise::kernel::<F16, Mae, false>;
    quantize_1d_rowwise_f16_mse = rowwise::kernel::<F16, Mse, false>;
    quantize_1d_rowwise_f32_plain = rowwise::kernel::<F32, Plain, false>;
    quantize_1d_rowwise_f32_mae = rowwise::kernel::<F32, Mae, false>;
    quantize_1d_rowwise_f32_mse = rowwise::kernel::<F32, Mse, false>;

    quantize_1d_rowwise_grouped_bf16_plain = rowwise::kernel::<Bf16, Plain, true>;
    quantize_1d_rowwise_grouped_bf16_mae = rowwise::kernel::<Bf16, Mae, true>;
    quantize_1d_rowwise_grouped_bf16_mse = rowwise::kernel::<Bf16, Mse, true>;
    quantize_1d_rowwise_grouped_f16_plain = rowwise::kernel::<F16, Plain, true>;
    quantize_1d_rowwise_grouped_f16_mae = rowwise::kernel::<F16, Mae, true>;
    quantize_1d_rowwise_grouped_f16_mse = rowwise::kernel::<F16, Mse, true>;
    quantize_1d_rowwise_grouped_f32_plain = rowwise::kernel::<F32, Plain, true>;
    quantize_1d_rowwise_grouped_f32_mae = rowwise::kernel::<F32, Mae, true>;
    quantize_1d_rowwise_grouped_f32_mse = rowwise::kernel::<F32, Mse, true>;

    quantize_1d_columnwise_bf16_plain = columns::kernel::<Bf16, Plain, false, false>;
    quantize_1d_columnwise_bf16_mae = columns::kernel::<Bf16, Mae, false, false>;
    quantize_1d_columnwise_bf16_mse = columns::kernel::<Bf16, Mse, false, false>;
    quantize_1d_columnwise_f16_plain = columns::kernel::<F16, Plain, false, false>;
    quantize_1d_columnwise_f16_mae = columns::kernel::<F16, Mae, false, false>;
    quantize_1d_columnwise_f16_mse = columns::kernel::<F16, Mse, false, false>;
    quantize_1d_columnwise_f32_plain = columns::kernel::<F32, Plain, false, false>;
    quantize_1d_columnwise_f32_mae = columns::kernel::<F32, Mae, false, false>;
    quantize_1d_columnwise_f32_mse = columns::kernel::<F32, Mse, false, false>;

    quantize_1d_columnwise_grouped_bf16_plain = columns::kernel::<Bf16, Plain, false, true>;
    quantize_1d_columnwise_grouped_bf16_mae = columns::kernel::<Bf16, Mae, false, true>;
    quantize_1d_columnwise_grouped_bf16_mse = columns::kernel::<Bf16, Mse, false, true>;
    quantize_1d_columnwise_grouped_f16_plain = columns::kernel::<F16, Plain, false, true>;
    quantize_1d_columnwise_grouped_f16_mae = columns::kernel::<F16, Mae, false, true>;
    quantize_1d_columnwise_grouped_f16_mse = columns::kernel::<F16, Mse, false, true>;
    quantize_1d_columnwise_grouped_f32_plain = columns::kernel::<F32, Plain, false, true>;
    quantize_1d_columnwise_grouped_f32_mae = columns::kernel::<F32, Mae, false, true>;
    quantize_1d_columnwise_grouped_f32_mse = columns::kernel::<F32, Mse, false, true>;

    quantize_1d_both_bf16_plain = columns::kernel::<Bf16, Plain, true, false>;
    quantize_1d_both_bf16_mae = columns::kernel::<Bf16, Mae, true, false>;
    quantize_1d_both_bf16_mse = columns::kernel::<Bf16, Mse, true, false>;
    quantize_1d_both_f16_plain = columns::kernel::<F16, Plain, true, false>;
    quantize_1d_both_f16_mae = columns::kernel::<F16, Mae, true, false>;
    quantize_1d_both_f16_mse = columns::kernel::<F16, Mse, true, false>;
    quantize_1d_both_f32_plain = columns::kernel::<F32, Plain, true, false>;
    quantize_1d_both_f32_mae = columns::kernel::<F32, Mae, true, false>;
    quantize_1d_both_f32_mse = columns::kernel::<F32, Mse, true, false>;

    quantize_1d_both_grouped_bf16_plain = columns::kernel::<Bf16, Plain, true, true>;
    quantize_1d_both_grouped_bf16_mae = columns::kernel::<Bf16, Mae, true, true>;
    quantize_1d_both_grouped_bf16_mse = columns::kernel::<Bf16, Mse, true, true>;
    quantize_1d_both_grouped_f16_plain = columns::kernel::<F16, Plain, true, true>;
    quantize_1d_both_grouped_f16_mae = columns::kernel::<F16, Mae, true, true>;
    quantize_1d_both_grouped_f16_mse = columns::kernel::<F16, Mse, true, true>;
    quantize_1d_both_grouped_f32_plain = columns::kernel::<F32, Plain, true, true>;
    quantize_1d_both_grouped_f32_mae = columns::kernel::<F32, Mae, true, true>;
    quantize_1d_both_grouped_f32_mse = columns::kernel::<F32, Mse, true, true>;

    quantize_2d_rowwise_bf16_plain = tile::kernel::<Bf16, Plain, true, false, false>;
    quantize_2d_rowwise_bf16_mae = tile::kernel::<Bf16, Mae, true, false, false>;
    quantize_2d_rowwise_bf16_mse = tile::kernel::<Bf16, Mse, true, false, false>;
    quantize_2d_rowwise_f16_plain = tile::kernel::<F16, Plain, true, false, false>;
    quantize_2d_rowwise_f16_mae = tile::kernel::<F16, Mae, true, false, false>;
    quantize_2d_rowwise_f16_mse = tile::kernel::<F16, Mse, true, false, false>;
    quantize_2d_rowwise_f32_plain = tile::kernel::<F32, Plain, true, false, false>;
    quantize_2d_rowwise_f32_mae = tile::kernel::<F32, Mae, true, false, false>;
    quantize_2d_rowwise_f32_mse = tile::kernel::<F32, Mse, true, false, false>;

    quantize_2d_rowwise_grouped_bf16_plain = tile::kernel::<Bf16, Plain, true, false, true>;
    quantize_2d_rowwise_grouped_bf16_mae = tile::kernel::<Bf16, Mae, true, false, true>;
    quantize_2d_rowwise_grouped_bf16_mse = tile::kernel::<Bf16, Mse, true, false, true>;
    quantize_2d_rowwise_grouped_f16_plain = tile::kernel::<F16, Plain, true, false, true>;
    quantize_2d_rowwise_grouped_f16_mae = tile::kernel::<F16, Mae, true, false, true>;
    quantize_2d_rowwise_grouped_f16_mse = tile::kernel::<F16, Mse, true, false, true>;
    quantize_2d_rowwise_grouped_f32_plain = tile::kernel::<F32, Plain, true, false, true>;
    quantize_2d_rowwise_grouped_f32_mae = tile::kernel::<F32, Mae, true, false, true>;
    quantize_2d_rowwise_grouped_f32_mse = tile::kernel::<F32, Mse, true, false, true>;

    quantize_2d_columnwise_bf16_plain = tile::kernel::<Bf16, Plain, false, true, false>;
    quantize_2d_columnwise_bf16_mae = tile::kernel::<Bf16, Mae, false, true, false>;
    quantize_2d_columnwise_bf16_mse = tile::kernel::<Bf16, Mse, false, true, false>;
    quantize_2d_columnwise_f16_plain = tile::kernel::<F16, Plain, false, true, false>;
    quantize_2d_columnwise_f16_mae = tile::kernel::<F16, Mae, false, true, false>;
    quantize_2d_columnwise_f16_mse = tile::kernel::<F16, Mse, false, true, false>;
    quantize_2d_columnwise_f32_plain = tile::kernel::<F32, Plain, false, true, false>;
    quantize_2d_columnwise_f32_mae = tile::kernel::<F32, Mae, false, true, false>;
    quantize_2d_columnwise_f32_mse = tile::kernel::<F32, Mse, false, true, false>;

    quantize_2d_columnwise_grouped_bf16_plain = tile::kernel::<Bf16, Plain, false, true, true>;
    quantize_2d_columnwise_grouped_bf16_mae = tile::kernel::<Bf16, Mae, false, true, true>;
    quantize_2d_columnwise_grouped_bf16_mse = tile::kernel::<Bf16, Mse, false, true, true>;
    quantize_2d_columnwise_grouped_f16_plain = tile::kernel::<F16, Plain, false, true, true>;
    quantize_2d_columnwise_grouped_f16_mae = tile::kernel::<F16, Mae, false, true, true>;
    quantize_2d_columnwise_grouped_f16_mse = tile::kernel::<F16, Mse, false, true, true>;
    quantize_2d_columnwise_grouped_f32_plain = tile::kernel::<F32, Plain, false, true, true>;
    quantize_2d_columnwise_grouped_f32_mae = tile::kernel::<F32, Mae, false, true, true>;
    quantize_2d_columnwise_grouped_f32_mse = tile::kernel::<F32, Mse, false, true, true>;

    quantize_2d_both_bf16_plain = tile::kernel::<Bf16, Plain, true, true, false>;
    quantize_2d_both_bf16_mae = tile::kernel::<Bf16, Mae, true, true, false>;
    quantize_2d_both_bf16_mse = tile::kernel::<Bf16, Mse, true, true, false>;
    quantize_2d_both_f16_plain = tile::kernel::<F16, Plain, true, true, false>;
    quantize_2d_both_f16_mae = tile::kernel::<F16, Mae, true, true, false>;
    quantize_2d_both_f16_mse = tile::kernel::<F16, Mse, true, true, false>;
    quantize_2d_both_f32_plain = tile::kernel::<F32, Plain, true, true, false>;
    quantize_2d_both_f32_mae = tile::kernel::<F32, Mae, true, true, false>;
    quantize_2d_both_f32_mse = tile::kernel::<F32, Mse, true, true, false>;

    quantize_2d_both_grouped_bf16_plain = tile::kernel::<Bf16, Plain, true, true, true>;
    quantize_2d_both_grouped_bf16_mae = tile::kernel::<Bf16, Mae, true, true, true>;
    quantize_2d_both_grouped_bf16_mse = tile::kernel::<Bf16, Mse, true, true, true>;
    quantize_2d_both_grouped_f16_plain = tile::kernel::<F16, Plain, true, true, true>;
    quantize_2d_both_grouped_f16_mae = tile::kernel::<F16, Mae, true, true, true>;
    quantize_2d_both_grouped_f16_mse = tile::kernel::<F16, Mse, true, true, true>;
    quantize_2d_both_grouped_f32_plain = tile::kernel::<F32, Plain, true, true, true>;
    quantize_2d_both_grouped_f32_mae = tile::kernel::<F32, Mae, true, true, true>;
    quantize_2d_both_grouped_f32_mse = tile::kernel::<F32, Mse, true, true, true>;

    quantize_rows_bf16_plain = row::kernel::<Bf16, Plain>;
    quantize_rows_bf16_mae = row::kernel::<Bf16, Mae>;
    quantize_rows_bf16_mse = row::kernel::<Bf16, Mse>;
    quantize_rows_f16_plain = row::kernel::<F16, Plain>;
    quantize_rows_f16_mae = row::kernel::<F16, Mae>;
    quantize_rows_f16_mse = row::kernel::<F16, Mse>;
    quantize_rows_f32_plain = row::kernel::<F32, Plain>;
    quantize_rows_f32_mae = row::kernel::<F32, Mae>;
    quantize_rows_f32_mse = row::kernel::<F32, Mse>;

    copy_quantize_bf16 = copy::quantize::<Bf16>;
    copy_quantize_f16 = copy::quantize::<F16>;
    copy_quantize_f32 = copy::quantize::<F32>;
}

entries! { AmaxParams:
    amax_bf16 = global_scale::tensor::<Bf16>;
    amax_f16 = global_scale::tensor::<F16>;
    amax_f32 = global_scale::tensor::<F32>;
    amax_grouped_bf16 = global_scale::grouped::<Bf16>;
    amax_grouped_f16 = global_scale::grouped::<F16>;
    amax_grouped_f32 = global_scale::grouped::<F32>;
    amax_rows_bf16 = global_scale::rows::<Bf16>;
    amax_rows_f16 = global_scale::rows::<F16>;
    amax_rows_f32 = global_scale::rows::<F32>;
    amax_columns_bf16 = global_scale::columns::<Bf16>;
    amax_columns_f16 = global_scale::columns::<F16>;
    amax_columns_f32 = global_scale::columns::<F32>;
    global_scales = global_scale::supplied;
}

entries! { DequantizeParams:
    dequantize_bf16 = dequantize::kernel::<Bf16>;
    dequantize_f16 = dequantize::kernel::<F16>;
    dequantize_f32 = dequantize::kernel::<F32>;
    copy_dequantize_bf16 = copy::dequantize::<Bf16>;
    copy_dequantize_f16 = copy::dequantize::<F16>;
    copy_dequantize_f32 = copy::dequantize::<F32>;
}
