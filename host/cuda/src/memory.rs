//! Device memory that the handle allocates, and copies to and from it.

use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DevicePtrMut, result, sys};
use fouroversix_core::Element;
use fouroversix_core::abi::{AmaxParams, GlobalScale, QuantizeTensor};

use super::address::DeviceAddress;
use super::driver::check;
use super::error::DeviceError;

/// A type without padding for which any bytes are a value.
///
/// # Safety
/// Both of these must hold.
pub unsafe trait Plain: Copy {}

// SAFETY: an integer or float.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for u16 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}
// SAFETY: as above.
unsafe impl Plain for f32 {}
// SAFETY: four floats.
unsafe impl Plain for GlobalScale {}
// SAFETY: integers only, an even number of the 4-byte ones.
unsafe impl Plain for QuantizeTensor {}
// SAFETY: the same.
unsafe impl Plain for AmaxParams {}
// SAFETY: elements are bf16, f16 (16 bits of a `u16`) and f32; the trait is sealed.
unsafe impl<T: Element> Plain for Elements<T> {}

/// An element, as plain bytes.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Elements<T>(T);

impl<T: Element> Elements<T> {
    /// The slice as plain elements.
    pub fn of(slice: &[T]) -> &[Self] {
        // SAFETY: transparent.
        unsafe { std::slice::from_raw_parts(slice.as_ptr().cast(), slice.len()) }
    }

    /// As [`Elements::of`], to write to.
    pub fn of_mut(slice: &mut [T]) -> &mut [Self] {
        // SAFETY: transparent.
        unsafe { std::slice::from_raw_parts_mut(slice.as_mut_ptr().cast(), slice.len()) }
    }
}

/// Uninitialized device memory.
pub fn allocate(stream: &Arc<CudaStream>, bytes: usize) -> Result<CudaSlice<u8>, DeviceError> {
    // An empty allocation is an error to the driver.
    // SAFETY: any byte is a valid u8; nothing reads the memory before it is written.
    check("allocate device memory", unsafe { stream.alloc::<u8>(bytes.max(1)) })
}

/// Device memory of zeros.
pub fn zeroed(stream: &Arc<CudaStream>, bytes: usize) -> Result<CudaSlice<u8>, DeviceError> {
    check("allocate device memory", stream.alloc_zeros::<u8>(bytes.max(1)))
}

/// Copies plain values to device memory, in the order of `stream`, whose context is current.
///
/// # Safety
/// There must be room for them at `to`, in live memory of the stream's context.
pub(super) unsafe fn write<T: Plain>(
    to: DeviceAddress,
    from: &[T],
    stream: sys::CUstream,
) -> Result<(), DeviceError> {
    if from.is_empty() {
        return Ok(());
    }
    // SAFETY: the caller's promise. The source is pageable memory, which the driver has read when
    // the call returns.
    let copied = unsafe { result::memcpy_htod_async(to, from, stream) };
    check("copy to the device", copied)
}

/// Copies plain values to the start of device memory, in the order of `stream`.
pub fn upload<T: Plain>(
    stream: &Arc<CudaStream>,
    from: &[T],
    to: &mut CudaSlice<u8>,
) -> Result<(), DeviceError> {
    upload_at(stream, from, to, 0)
}

/// [`upload`], to `offset` bytes from the start.
pub fn upload_at<T: Plain>(
    stream: &Arc<CudaStream>,
    from: &[T],
    to: &mut CudaSlice<u8>,
    offset: usize,
) -> Result<(), DeviceError> {
    let room = to.len().checked_sub(offset).expect("an offset into the memory");
    assert!(size_of_val(from) <= room, "upload of {} values to {room} bytes", from.len());
    if from.is_empty() {
        return Ok(());
    }
    check("use the context", stream.context().bind_to_thread())?;
    let (address, _written) = to.device_ptr_mut(stream);
    // SAFETY: the destination has the room, and is of the stream's context.
    unsafe { write(address + offset as DeviceAddress, from, stream.cu_stream()) }
}

/// Copies the start of device memory to plain values, and waits for it.
pub fn download<T: Plain>(
    stream: &Arc<CudaStream>,
    from: &CudaSlice<u8>,
    to: &mut [T],
) -> Result<(), DeviceError> {
    assert!(size_of_val(to) <= from.len(), "download of {} values from {}", to.len(), from.len());
    if to.is_empty() {
        return Ok(());
    }
    check("use the context", stream.context().bind_to_thread())?;
    {
        let (address, _read) = from.device_ptr(stream);
        // SAFETY: the source has the bytes, any bytes are a `T`, and the copy is over before
        // `to` is looked at: below.
        let copied = unsafe { result::memcpy_dtoh_async(to, address, stream.cu_stream()) };
        check("copy from the device", copied)?;
    }
    check("wait for the device", stream.synchronize())
}

/// The address of device memory, for work on `stream`, which waits for the writes to it so far.
pub fn address(memory: &CudaSlice<u8>, stream: &Arc<CudaStream>) -> DeviceAddress {
    memory.device_ptr(stream).0
}
