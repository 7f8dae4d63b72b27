//! What differs between the two back ends that compile these files: where special registers come from,
//! and who handles a panic.
//!
//! rustc's own NVPTX back end knows special registers as intrinsics. Under rust-cuda's
//! `rustc_codegen_nvvm`, for which the cfg `nvvm` is set, `cuda_std` has both, and the attribute that makes
//! an entry ([`crate::kernels::entries`]). See `docs/rust-cuda.md`.

#[cfg(nvvm)]
pub(crate) use cuda_std::thread::{
    block_dim_x, block_idx_x, block_idx_y, block_idx_z, grid_dim_x, thread_idx_x,
};
#[cfg(not(nvvm))]
pub(crate) use registers::*;

#[cfg(not(nvvm))]
mod registers {
    use core::arch::nvptx;

    macro_rules! registers {
        ($($name:ident = $intrinsic:ident;)*) => {$(
            #[doc = concat!("By the intrinsic `", stringify!($intrinsic), "`.")]
            #[inline(always)]
            pub(crate) fn $name() -> u32 {
                // SAFETY: reads a special register.
                unsafe { nvptx::$intrinsic() as u32 }
            }
        )*};
    }

    registers! {
        thread_idx_x = _thread_idx_x;
        block_idx_x = _block_idx_x;
        block_idx_y = _block_idx_y;
        block_idx_z = _block_idx_z;
        block_dim_x = _block_dim_x;
        grid_dim_x = _grid_dim_x;
    }
}

#[cfg(not(nvvm))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
