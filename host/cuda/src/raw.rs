//! The driver's handles, as every CUDA library has them: no version of `cudarc` is part of them.

use std::ffi::c_void;

use cudarc::driver::sys;

/// A stream: a `CUstream`, or a `cudaStream_t` of the runtime API, which is the same.
///
/// Made from whatever holds one: `RawStream::from(pointer)`, with the feature `cudarc` from its
/// types too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct RawStream(*mut c_void);

/// A context: a `CUcontext`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct RawContext(*mut c_void);

// SAFETY: the driver's handles may be used from any thread.
unsafe impl Send for RawStream {}
// SAFETY: as above.
unsafe impl Sync for RawStream {}
// SAFETY: as above.
unsafe impl Send for RawContext {}
// SAFETY: as above.
unsafe impl Sync for RawContext {}

impl RawStream {
    /// The default stream of the context: null.
    pub const DEFAULT: Self = Self(std::ptr::null_mut());

    /// The handle.
    #[must_use]
    pub const fn as_ptr(self) -> *mut c_void {
        self.0
    }

    pub(super) const fn handle(self) -> sys::CUstream {
        self.0.cast()
    }
}

impl RawContext {
    /// The handle.
    #[must_use]
    pub const fn as_ptr(self) -> *mut c_void {
        self.0
    }

    pub(super) const fn handle(self) -> sys::CUcontext {
        self.0.cast()
    }
}

impl From<*mut c_void> for RawStream {
    fn from(stream: *mut c_void) -> Self {
        Self(stream)
    }
}

impl From<*mut c_void> for RawContext {
    fn from(context: *mut c_void) -> Self {
        Self(context)
    }
}
