//! What differs between the two back ends that compile these files.
//!
//! rustc's own NVPTX back end knows special registers as intrinsics. rust-cuda's
//! `rustc_codegen_nvvm`, for which the cfg `nvvm` is set, reads them by `asm!`, and needs a panic
//! handler that traps: its LLVM may drop a loop without side effects. The third difference is the
//! attribute of an entry, in [`crate::kernels::entries`]. See `docs/rust-cuda.md`.

#[cfg(not(nvvm))]
pub(crate) use core::arch::nvptx::{
    _block_dim_x, _block_idx_x, _block_idx_y, _block_idx_z, _grid_dim_x, _thread_idx_x,
};
#[cfg(nvvm)]
pub(crate) use registers::*;

#[cfg(nvvm)]
mod registers {
    use core::arch::asm;

    macro_rules! registers {
        ($($name:ident = $register:literal;)*) => {$(
            #[doc = concat!("`%", $register, "`, as `core::arch::nvptx` spells it.")]
            #[inline(always)]
            pub(crate) unsafe fn $name() -> i32 {
                let value: i32;
                // SAFETY: reads a special register.
                unsafe {
                    asm!(concat!("mov.u32 {value}, %", $register, ";"), value = lateout(reg32) value,
                         options(pure, nomem, nostack, preserves_flags));
                }
                value
            }
        )*};
    }

    registers! {
        _thread_idx_x = "tid.x";
        _block_dim_x = "ntid.x";
        _block_idx_x = "ctaid.x";
        _block_idx_y = "ctaid.y";
        _block_idx_z = "ctaid.z";
        _grid_dim_x = "nctaid.x";
    }
}

#[cfg(not(nvvm))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(nvvm)]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: ends the launch.
    unsafe { core::arch::asm!("trap;", options(noreturn, nostack)) }
}
