//! NCCL's communicators, of this program or of another library in the process.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;
use std::path::PathBuf;
use std::ptr::null_mut;
use std::sync::OnceLock;

use cudarc::driver::sys::CUstream;
use cudarc::nccl::sys;
use fouroversix_core::Error;

use super::address::DeviceAddress;
use super::device::Device;
use super::error::DeviceError;
use super::raw::RawStream;
use super::reduction::AllReduceMax;

/// By its version first: that is the name under which another library (PyTorch, say) has loaded it,
/// and a communicator works with the library that made it alone. `cudarc`, whose types these are,
/// looks for the name without a version, and ends the program where there is none.
#[cfg(not(windows))]
const NAMES: [&str; 2] = ["libnccl.so.2", "libnccl.so"];
#[cfg(windows)]
const NAMES: [&str; 1] = ["nccl.dll"];

/// Names the library itself, where it is not to be looked for.
const VARIABLE: &str = "FOUROVERSIX_NCCL";

/// `ncclSuccess`, `ncclInProgress` of a communicator that does not block, or a failure.
type Status = c_int;

const SUCCESS: Status = 0;
const IN_PROGRESS: Status = 7;

/// The functions that are used, as `nccl.h` declares them.
struct Functions {
    unique_id: unsafe extern "C" fn(*mut sys::ncclUniqueId) -> Status,
    join: unsafe extern "C" fn(*mut sys::ncclComm_t, c_int, sys::ncclUniqueId, c_int) -> Status,
    leave: unsafe extern "C" fn(sys::ncclComm_t) -> Status,
    all_reduce: unsafe extern "C" fn(
        *const c_void,
        *mut c_void,
        usize,
        sys::ncclDataType_t,
        sys::ncclRedOp_t,
        sys::ncclComm_t,
        CUstream,
    ) -> Status,
    describe: unsafe extern "C" fn(Status) -> *const c_char,
    version: unsafe extern "C" fn(*mut c_int) -> Status,
}

/// The library, loaded once; later calls repeat the first one's answer.
fn functions() -> Result<&'static Functions, DeviceError> {
    static LOADED: OnceLock<Result<Functions, DeviceError>> = OnceLock::new();
    LOADED.get_or_init(load).as_ref().map_err(Clone::clone)
}

fn load() -> Result<Functions, DeviceError> {
    let names = match std::env::var_os(VARIABLE) {
        Some(path) => vec![PathBuf::from(path)],
        None => NAMES.map(PathBuf::from).into(),
    };
    let mut reason = String::new();
    for name in names {
        // SAFETY: loading runs the initializers of NVIDIA's library, which ask nothing of the caller.
        match unsafe { libloading::Library::new(&name) } {
            Ok(library) => {
                let found = find(&library);
                // Kept loaded for the life of the process: communicators are its own.
                std::mem::forget(library);
                return found;
            }
            Err(error) if reason.is_empty() => {
                // The loader's own words are one level down.
                let cause = std::error::Error::source(&error);
                reason = cause.map_or_else(|| error.to_string(), ToString::to_string);
            }
            Err(_) => {}
        }
    }
    Err(DeviceError::NcclAbsent { reason })
}

fn find(library: &libloading::Library) -> Result<Functions, DeviceError> {
    fn get<F: Copy>(library: &libloading::Library, name: &str) -> Result<F, DeviceError> {
        // SAFETY: the type is the one that the library's header declares; see the fields.
        let found = unsafe { library.get::<F>(name.as_bytes()) };
        let reason = || DeviceError::NcclAbsent { reason: format!("it has no function {name}") };
        found.map(|it| *it).map_err(|_| reason())
    }
    Ok(Functions {
        unique_id: get(library, "ncclGetUniqueId")?,
        join: get(library, "ncclCommInitRank")?,
        leave: get(library, "ncclCommDestroy")?,
        all_reduce: get(library, "ncclAllReduce")?,
        describe: get(library, "ncclGetErrorString")?,
        version: get(library, "ncclGetVersion")?,
    })
}

impl Functions {
    fn check(&self, action: &'static str, status: Status) -> Result<(), DeviceError> {
        if status == SUCCESS || status == IN_PROGRESS {
            return Ok(());
        }
        // SAFETY: the library has a text for every number.
        let text = unsafe { (self.describe)(status) };
        let description = if text.is_null() {
            "no description".to_owned()
        } else {
            // SAFETY: a text of the library's own, which stays.
            unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
        };
        Err(DeviceError::Nccl { action, status, description })
    }
}

/// What ranks meet by: one rank makes it, all get it by whatever brings them together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NcclId(sys::ncclUniqueId);

impl fmt::Debug for NcclId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NcclId").finish_non_exhaustive()
    }
}

impl NcclId {
    /// Bytes of one.
    pub const BYTES: usize = 128;

    /// A new one.
    ///
    /// # Errors
    /// [`Error::Device`]: [`DeviceError::NcclAbsent`], or [`DeviceError::Nccl`] when the library
    /// finds no network interface.
    pub fn new() -> Result<Self, Error> {
        let nccl = functions()?;
        let mut id = sys::ncclUniqueId { internal: [0; Self::BYTES] };
        // SAFETY: the library writes one to a local variable.
        let made = unsafe { (nccl.unique_id)(&raw mut id) };
        nccl.check("make an id", made)?;
        Ok(Self(id))
    }

    /// To send.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0.internal.map(|byte| byte as u8)
    }

    /// As it was sent.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(sys::ncclUniqueId { internal: bytes.map(|byte| byte as c_char) })
    }
}

/// A rank's end of an NCCL communicator.
///
/// Any program's: [`NcclCommunicator::from_raw`] takes what it has. Amaxes are compared as `u32`, whose
/// order is that of floats that are not negative, so that subnormal ones keep their bits.
pub struct NcclCommunicator {
    handle: sys::ncclComm_t,
    nccl: &'static Functions,
    /// Keeps the context of one that was made here.
    device: Option<Device>,
}

// SAFETY: NCCL's communicators may be used from any thread, one at a time, which `&self` methods that
// enqueue leave to the library's own lock.
unsafe impl Send for NcclCommunicator {}

impl fmt::Debug for NcclCommunicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NcclCommunicator")
            .field("handle", &self.handle)
            .field("owned", &self.device.is_some())
            .finish()
    }
}

impl NcclCommunicator {
    /// Uses an `ncclComm_t` that another library has made. It is borrowed: dropping this does not
    /// destroy it.
    ///
    /// # Errors
    /// [`Error::Device`]: [`DeviceError::NcclAbsent`] when the library is not to be found (under its
    /// own name, or by the variable `FOUROVERSIX_NCCL`); [`DeviceError::Null`].
    ///
    /// # Safety
    /// `communicator` must be null or a communicator of the library that the loader gives by the
    /// name `libnccl.so.2`, and stay one as long as this is used; its device must be the one that
    /// reductions are launched on.
    pub unsafe fn from_raw(communicator: *mut c_void) -> Result<Self, Error> {
        if communicator.is_null() {
            return Err(DeviceError::Null { buffer: "the NCCL communicator" }.into());
        }
        Ok(Self { handle: communicator.cast(), nccl: functions()?, device: None })
    }

    /// Makes a communicator of `ranks` ranks, of which this is number `rank` and works on `device`.
    /// Waits for all others, which each call this with the same `id`.
    ///
    /// # Errors
    /// [`Error::Device`]: [`DeviceError::NcclAbsent`], [`DeviceError::Nccl`] when the ranks do not
    /// come together.
    pub fn join(device: &Device, id: NcclId, rank: usize, ranks: usize) -> Result<Self, Error> {
        let nccl = functions()?;
        device.bind()?;
        let number = |value: usize| c_int::try_from(value).unwrap_or(c_int::MAX);
        let mut handle = null_mut();
        // SAFETY: the library writes a handle to a local variable; the device's context is current.
        let joined = unsafe { (nccl.join)(&raw mut handle, number(ranks), id.0, number(rank)) };
        nccl.check("bring the ranks together", joined)?;
        Ok(Self { handle, nccl, device: Some(device.clone()) })
    }

    /// The library's version, (major, minor, patch).
    ///
    /// # Errors
    /// [`Error::Device`]: [`DeviceError::NcclAbsent`].
    pub fn library_version() -> Result<(u32, u32, u32), Error> {
        let nccl = functions()?;
        let mut version = 0;
        // SAFETY: the library writes one integer to a local variable.
        let told = unsafe { (nccl.version)(&raw mut version) };
        nccl.check("tell its version", told)?;
        let version = u32::try_from(version).unwrap_or(0);
        // From 2.9 on; earlier ones are too old for CUDA graphs.
        Ok((version / 10000, version / 100 % 100, version % 100))
    }
}

impl AllReduceMax for NcclCommunicator {
    unsafe fn all_reduce_max(
        &self,
        values: DeviceAddress,
        count: usize,
        stream: RawStream,
    ) -> Result<(), Error> {
        let at = values as usize as *mut c_void;
        // SAFETY: the communicator is a live one of this library, the rest is the caller's promise.
        let enqueued = unsafe {
            (self.nccl.all_reduce)(
                at,
                at,
                count,
                sys::ncclDataType_t::ncclUint32,
                sys::ncclRedOp_t::ncclMax,
                self.handle,
                stream.handle(),
            )
        };
        Ok(self.nccl.check("all-reduce amaxes", enqueued)?)
    }
}

impl Drop for NcclCommunicator {
    fn drop(&mut self) {
        if let Some(device) = &self.device
            && device.bind().is_ok()
        {
            // A failure leaves it to the end of the process.
            // SAFETY: made by `join`, and nobody else has it.
            let _ = unsafe { (self.nccl.leave)(self.handle) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_library_is_an_error_and_a_null_communicator_is_refused() {
        match NcclCommunicator::library_version() {
            Ok((major, ..)) => assert!(major >= 2),
            Err(error) => assert!(error.to_string().contains("NCCL"), "{error}"),
        }
        // SAFETY: a null communicator is refused before it is used.
        let error = unsafe { NcclCommunicator::from_raw(null_mut()) }.expect_err("null");
        assert!(error.to_string().contains("the NCCL communicator"), "{error}");
    }

    #[test]
    fn ids_travel_as_bytes() {
        let bytes = std::array::from_fn(|i| i as u8 + 100);
        assert_eq!(NcclId::from_bytes(bytes).to_bytes(), bytes);
    }
}
