//! cuBLASLt's functions, found at run time in whichever version there is.
//!
//! `cudarc` describes the types, but finds only versions up to the one that it is built for, ends
//! the program where there is none, and takes a status that it does not know for one that it does.
//! What is used here is the same in CUDA 12 and 13.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::PathBuf;

use cudarc::cublaslt::sys;
use fouroversix::cuda::DeviceError;

#[cfg(windows)]
const NAMES: [&str; 2] = ["cublasLt64_13.dll", "cublasLt64_12.dll"];
#[cfg(not(windows))]
const NAMES: [&str; 3] = ["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"];

/// Names the library itself, where it is not to be looked for.
const VARIABLE: &str = "FOUROVERSIX_CUBLASLT";

/// `CUBLAS_STATUS_SUCCESS`, or a number that the library has a name for.
pub(super) type Status = c_int;

/// `cublasLtMatmulHeuristicResult_t`, its status not trusted to be a known one.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct HeuristicResult {
    pub(super) algorithm: sys::cublasLtMatmulAlgo_t,
    workspace: usize,
    pub(super) state: Status,
    waves: f32,
    reserved: [c_int; 4],
}

const _: () = assert!(
    size_of::<HeuristicResult>() == size_of::<sys::cublasLtMatmulHeuristicResult_t>(),
    "as the library has it"
);

/// The table of functions, and how it is filled.
macro_rules! functions {
    ($($field:ident = $symbol:ident($($argument:ty),*) -> $result:ty;)*) => {
        /// The functions that are used, as `cublasLt.h` declares them.
        #[derive(Debug)]
        pub(super) struct Functions {
            $(pub(super) $field: unsafe extern "C" fn($($argument),*) -> $result,)*
            /// Keeps them loaded.
            _library: libloading::Library,
        }

        impl Functions {
            fn find(library: libloading::Library) -> Result<Self, DeviceError> {
                $(
                    // SAFETY: the type is the one that the library's header declares.
                    let $field = *unsafe { library.get(stringify!($symbol).as_bytes()) }
                        .map_err(|_| failed(concat!("it has no ", stringify!($symbol))))?;
                )*
                Ok(Self { $($field,)* _library: library })
            }
        }
    };
}

functions! {
    version = cublasLtGetVersion() -> usize;
    status_name = cublasLtGetStatusName(Status) -> *const c_char;
    create = cublasLtCreate(*mut sys::cublasLtHandle_t) -> Status;
    destroy = cublasLtDestroy(sys::cublasLtHandle_t) -> Status;
    create_description = cublasLtMatmulDescCreate(
        *mut sys::cublasLtMatmulDesc_t, sys::cublasComputeType_t, sys::cudaDataType
    ) -> Status;
    destroy_description = cublasLtMatmulDescDestroy(sys::cublasLtMatmulDesc_t) -> Status;
    set_description = cublasLtMatmulDescSetAttribute(
        sys::cublasLtMatmulDesc_t, sys::cublasLtMatmulDescAttributes_t, *const c_void, usize
    ) -> Status;
    create_layout = cublasLtMatrixLayoutCreate(
        *mut sys::cublasLtMatrixLayout_t, sys::cudaDataType, u64, u64, i64
    ) -> Status;
    destroy_layout = cublasLtMatrixLayoutDestroy(sys::cublasLtMatrixLayout_t) -> Status;
    create_preference = cublasLtMatmulPreferenceCreate(
        *mut sys::cublasLtMatmulPreference_t
    ) -> Status;
    destroy_preference = cublasLtMatmulPreferenceDestroy(
        sys::cublasLtMatmulPreference_t
    ) -> Status;
    set_preference = cublasLtMatmulPreferenceSetAttribute(
        sys::cublasLtMatmulPreference_t,
        sys::cublasLtMatmulPreferenceAttributes_t,
        *const c_void,
        usize
    ) -> Status;
    find_algorithms = cublasLtMatmulAlgoGetHeuristic(
        sys::cublasLtHandle_t,
        sys::cublasLtMatmulDesc_t,
        sys::cublasLtMatrixLayout_t,
        sys::cublasLtMatrixLayout_t,
        sys::cublasLtMatrixLayout_t,
        sys::cublasLtMatrixLayout_t,
        sys::cublasLtMatmulPreference_t,
        c_int,
        *mut HeuristicResult,
        *mut c_int
    ) -> Status;
    multiply = cublasLtMatmul(
        sys::cublasLtHandle_t,
        sys::cublasLtMatmulDesc_t,
        *const c_void,
        *const c_void,
        sys::cublasLtMatrixLayout_t,
        *const c_void,
        sys::cublasLtMatrixLayout_t,
        *const c_void,
        *const c_void,
        sys::cublasLtMatrixLayout_t,
        *mut c_void,
        sys::cublasLtMatrixLayout_t,
        *const sys::cublasLtMatmulAlgo_t,
        *mut c_void,
        usize,
        sys::cudaStream_t
    ) -> Status;
}

impl Functions {
    /// Loads the library that the environment names, or else the first that is found.
    pub(super) fn load() -> Result<Self, DeviceError> {
        if let Some(path) = std::env::var_os(VARIABLE) {
            let library = open(&PathBuf::from(&path)).map_err(|error| {
                let cause = std::error::Error::source(&error)
                    .map_or_else(|| error.to_string(), ToString::to_string);
                failed(&format!("{cause} ({VARIABLE} = {})", path.display()))
            })?;
            return Self::find(library);
        }
        let library = candidates().iter().find_map(|path| open(path).ok());
        Self::find(library.ok_or(DeviceError::CublasAbsent)?)
    }

    /// A status, or the library's name for it with what was passed.
    pub(super) fn check(
        &self,
        action: &'static str,
        status: Status,
        of: &dyn std::fmt::Display,
    ) -> Result<(), DeviceError> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: any number may be asked about, and the answer is a static string or null.
        let name = unsafe {
            let name = (self.status_name)(status);
            (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy())
        };
        let name = name.unwrap_or_else(|| "an unknown status".into());
        Err(DeviceError::Cublas { action, status: format!("{name} ({status}) for {of}") })
    }

    /// For example `13.0.2`.
    pub(super) fn version(&self) -> String {
        // SAFETY: asks nothing of the caller.
        let version = unsafe { (self.version)() };
        format!("{}.{}.{}", version / 10_000, version / 100 % 100, version % 100)
    }
}

/// Where the library may be: what the loader finds by name, then the toolkit's folders.
fn candidates() -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::new()];
    let toolkits = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(std::env::var_os);
    for toolkit in toolkits.chain(cfg!(unix).then(|| "/usr/local/cuda".into())) {
        let toolkit = PathBuf::from(toolkit);
        folders.extend(["lib64", "lib", "bin"].map(|folder| toolkit.join(folder)));
    }
    folders.iter().flat_map(|folder| NAMES.map(|name| folder.join(name))).collect()
}

fn open(path: &std::path::Path) -> Result<libloading::Library, libloading::Error> {
    // SAFETY: loading runs the initializers of NVIDIA's library, which ask nothing of the caller.
    unsafe { libloading::Library::new(path) }
}

fn failed(reason: &str) -> DeviceError {
    DeviceError::Cublas { action: "load", status: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the library is, its version and names are asked for; where it is not, that is said.
    #[test]
    fn the_library_or_a_sentence() {
        match Functions::load() {
            Ok(functions) => {
                assert!(functions.version().starts_with("1"), "{}", functions.version());
                assert_eq!(functions.check("add", 0, &"nothing"), Ok(()));
                let error = functions.check("multiply", 7, &"a product").expect_err("not 0");
                let text = error.to_string();
                assert!(text.contains("failed to multiply: CUBLAS_STATUS_INVALID_VALUE (7)"));
                assert!(text.ends_with("for a product"), "{text}");
            }
            Err(error) => assert!(error.to_string().contains("FOUROVERSIX_CUBLASLT"), "{error}"),
        }
    }

    #[test]
    fn the_loader_is_asked_before_folders() {
        let candidates = candidates();
        assert!(NAMES.iter().zip(&candidates).all(|(name, path)| path.as_os_str() == *name));
        assert!(candidates.len() > NAMES.len());
    }
}
