//! Stand-in for rust-cuda's `cuda_std`: names and types of what the kernels take from it.
#![cfg_attr(target_arch = "nvptx64", no_std)]
#![cfg_attr(target_arch = "nvptx64", feature(stdarch_nvptx))]

pub use cuda_std_macros::kernel;

#[cfg(target_arch = "nvptx64")]
pub mod thread {
    //! Where a thread stands.

    use core::arch::nvptx;

    macro_rules! registers {
        ($($name:ident = $intrinsic:ident;)*) => {$(
            #[doc = concat!("As the intrinsic `", stringify!($intrinsic), "`.")]
            #[inline(always)]
            pub fn $name() -> u32 {
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

#[cfg(target_arch = "nvptx64")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
