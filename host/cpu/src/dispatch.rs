//! From a [`Path`] to the functions compiled for it.
//!
//! [`Kernels`] is what an element type brings along. Its methods are not generic, so that the
//! kernel is compiled once, here, and not again in every crate that quantizes.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::decode::Decode;
use super::kernel::{self, Panel};
use super::portable::Portable;
use super::{Path, amax, decode, tile};

/// The kernels of an element type.
pub(crate) trait Kernels: Sized {
    /// Quantizes groups of blocks along rows or columns; see [`kernel::groups`].
    ///
    /// # Safety
    /// As [`kernel::groups`]; the path is available and not the scalar one.
    unsafe fn groups(path: Path, columns: bool, panel: &Panel<'_, Self>) -> u64;

    /// Quantizes tiles; see [`tile::tiles`].
    ///
    /// # Safety
    /// As [`tile::tiles`]; the path is available and not the scalar one.
    unsafe fn tiles(path: Path, columns: bool, panel: &Panel<'_, Self>) -> u64;

    /// The largest magnitude, NaN ignored.
    ///
    /// # Safety
    /// The path is available.
    unsafe fn amax(path: Path, input: &[Self]) -> f32;

    /// Decodes blocks of 16; `factors` has one for each.
    ///
    /// # Safety
    /// The path is available.
    unsafe fn decode(path: Path, codes: &[u8], factors: &[f32], out: &mut [Self]);
}

/// The kernel's entry points for one instruction set.
macro_rules! entry_points {
    ($name:ident, $vector:ty, $(#[$features:meta])?) => {
        mod $name {
            use super::*;
            use crate::element::CpuElement;

            $(#[$features])?
            pub(super) unsafe fn groups<T: CpuElement>(columns: bool, panel: &Panel<'_, T>) -> u64 {
                // SAFETY: the caller's.
                unsafe {
                    if columns {
                        kernel::groups::<$vector, T, true>(panel)
                    } else {
                        kernel::groups::<$vector, T, false>(panel)
                    }
                }
            }

            $(#[$features])?
            pub(super) unsafe fn tiles<T: CpuElement>(columns: bool, panel: &Panel<'_, T>) -> u64 {
                // SAFETY: the caller's.
                unsafe {
                    if columns {
                        tile::tiles::<$vector, T, true>(panel)
                    } else {
                        tile::tiles::<$vector, T, false>(panel)
                    }
                }
            }

            $(#[$features])?
            pub(super) unsafe fn decode<T: Decode>(
                codes: &[u8],
                factors: &[f32],
                out: &mut [T],
            ) {
                // SAFETY: the caller's.
                unsafe { decode::blocks::<$vector, T>(codes, factors, out) };
            }

            $(#[$features])?
            pub(super) unsafe fn amax_u16(bits: &[u16], infinity: u16) -> u16 {
                amax::of_u16(bits, infinity)
            }

            $(#[$features])?
            pub(super) unsafe fn amax_f32(input: &[f32]) -> f32 {
                amax::of_f32(input)
            }
        }
    };
}

entry_points!(portable, Portable<8>,);
#[cfg(target_arch = "x86_64")]
entry_points!(avx2, super::super::avx2::Avx2, #[target_feature(enable = "avx2,fma")]);

#[cfg(target_arch = "x86_64")]
entry_points!(avx512, super::super::avx512::Avx512, #[target_feature(enable = "avx512f,avx512bw")]);

#[cfg(target_arch = "aarch64")]
entry_points!(neon, super::super::neon::Neon, #[target_feature(enable = "neon")]);

macro_rules! dispatch {
    ($path:expr, $function:ident($($argument:expr),*)) => {
        match $path {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the caller's; the path is available.
            Path::Avx2 => unsafe { avx2::$function($($argument),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the caller's; the path is available.
            Path::Avx512 => unsafe { avx512::$function($($argument),*) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: the caller's; the path is available.
            Path::Neon => unsafe { neon::$function($($argument),*) },
            // SAFETY: the caller's.
            _ => unsafe { portable::$function($($argument),*) },
        }
    };
}

macro_rules! kernels {
    ($($element:ty, $amax:expr;)*) => {$(
        impl Kernels for $element {
            unsafe fn groups(path: Path, columns: bool, panel: &Panel<'_, Self>) -> u64 {
                dispatch!(path, groups(columns, panel))
            }

            unsafe fn tiles(path: Path, columns: bool, panel: &Panel<'_, Self>) -> u64 {
                dispatch!(path, tiles(columns, panel))
            }

            unsafe fn amax(path: Path, input: &[Self]) -> f32 {
                $amax(path, input)
            }

            unsafe fn decode(path: Path, codes: &[u8], factors: &[f32], out: &mut [Self]) {
                dispatch!(path, decode(codes, factors, out))
            }
        }
    )*};
}

kernels! {
    bf16, |path: Path, input: &[bf16]| {
        let infinity = bf16::INFINITY.to_bits();
        bf16::from_bits(dispatch!(path, amax_u16(input.reinterpret_cast(), infinity))).to_f32()
    };
    f16, |path: Path, input: &[f16]| {
        let infinity = f16::INFINITY.to_bits();
        f16::from_bits(dispatch!(path, amax_u16(input.reinterpret_cast(), infinity))).to_f32()
    };
    f32, |path: Path, input: &[f32]| dispatch!(path, amax_f32(input));
}
