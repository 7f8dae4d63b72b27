//! cuBLASLt: loaded at run time, one object for each prepared product.

use std::ffi::c_void;
use std::mem::size_of_val;

use cudarc::cublaslt::{result, sys};
use cudarc::driver::sys::CUstream;

use super::matmul::{Layout, Operands, Plan};
use crate::cuda::{DeviceAddress, DeviceError};

/// Bytes of workspace that products get: what NVIDIA recommends for Hopper and later.
pub(super) const WORKSPACE: usize = 32 << 20;

/// `CUBLAS_OP_N` of `cublas_api.h`, which cuBLASLt's own header includes.
const AS_IT_IS: i32 = 0;
/// `CUBLAS_OP_T`.
const TRANSPOSED: i32 = 1;

/// The library's handle.
#[derive(Debug)]
pub(super) struct CublasLt {
    handle: sys::cublasLtHandle_t,
}

impl CublasLt {
    /// Loads the library. A context must be current.
    pub(super) fn load() -> Result<Self, DeviceError> {
        // SAFETY: loading runs the initializers of NVIDIA's library, which ask nothing of the
        // caller.
        if !unsafe { sys::is_culib_present() } {
            return Err(DeviceError::CublasAbsent);
        }
        Ok(Self { handle: check("open a handle", result::create_handle())? })
    }
}

impl Drop for CublasLt {
    fn drop(&mut self) {
        // SAFETY: made by `load`, destroyed once. Nothing can be done about a failure.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

fn check<T>(
    action: &'static str,
    result: Result<T, result::CublasError>,
) -> Result<T, DeviceError> {
    result.map_err(|error| DeviceError::Cublas { action, status: format!("{:?}", error.0) })
}

/// A matrix in device memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Matrix {
    /// bf16 elements, or E2M1 codes.
    pub(super) elements: DeviceAddress,
    /// Block scales in the 128x4 layout, for codes.
    pub(super) scales: DeviceAddress,
}

/// A product prepared on its memory.
#[derive(Debug)]
pub(super) struct Matmul {
    description: sys::cublasLtMatmulDesc_t,
    /// First operand, second operand, output.
    layouts: [sys::cublasLtMatrixLayout_t; 3],
    algorithm: sys::cublasLtMatmulAlgo_t,
    alpha: f32,
    first: DeviceAddress,
    second: DeviceAddress,
    output: DeviceAddress,
    workspace: DeviceAddress,
}

impl Matmul {
    /// `output = alpha·A·Bᵀ`; see [`Plan`].
    pub(super) fn new(
        library: &CublasLt,
        plan: &Plan,
        alpha: f32,
        [a, b]: [Matrix; 2],
        output: DeviceAddress,
        workspace: DeviceAddress,
    ) -> Result<Self, DeviceError> {
        let kind = match plan.operands {
            Operands::Bf16 => sys::cudaDataType::CUDA_R_16BF,
            Operands::Nvfp4 => sys::cudaDataType::CUDA_R_4F_E2M1,
        };
        let mut this = Self {
            description: create_description()?,
            layouts: [std::ptr::null_mut(); 3],
            // SAFETY: the algorithm is eight integers.
            algorithm: unsafe { std::mem::zeroed() },
            alpha,
            first: b.elements,
            second: a.elements,
            output,
            workspace,
        };
        this.transpose_first()?;
        if plan.operands == Operands::Nvfp4 {
            this.set_scales(b.scales, a.scales)?;
        }
        let layouts = [
            (kind, plan.first),
            (kind, plan.second),
            (sys::cudaDataType::CUDA_R_16BF, plan.output),
        ];
        for (slot, (kind, layout)) in this.layouts.iter_mut().zip(layouts) {
            let Layout { rows, columns, stride } = layout;
            let created = result::create_matrix_layout(kind, rows, columns, stride);
            *slot = check("describe a matrix", created)?;
        }
        this.algorithm = this.choose(library)?;
        Ok(this)
    }

    fn transpose_first(&self) -> Result<(), DeviceError> {
        use sys::cublasLtMatmulDescAttributes_t as Attribute;
        self.set(Attribute::CUBLASLT_MATMUL_DESC_TRANSA, TRANSPOSED)?;
        self.set(Attribute::CUBLASLT_MATMUL_DESC_TRANSB, AS_IT_IS)
    }

    /// One E4M3 scale for 16 elements along the summed dimension, for both operands.
    fn set_scales(&self, first: DeviceAddress, second: DeviceAddress) -> Result<(), DeviceError> {
        use sys::cublasLtMatmulDescAttributes_t as Attribute;
        let mode = sys::cublasLtMatmulMatrixScale_t::CUBLASLT_MATMUL_MATRIX_SCALE_VEC16_UE4M3;
        self.set(Attribute::CUBLASLT_MATMUL_DESC_A_SCALE_MODE, mode)?;
        self.set(Attribute::CUBLASLT_MATMUL_DESC_B_SCALE_MODE, mode)?;
        self.set(Attribute::CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, first)?;
        self.set(Attribute::CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, second)
    }

    fn set<T: Copy>(
        &self,
        attribute: sys::cublasLtMatmulDescAttributes_t,
        value: T,
    ) -> Result<(), DeviceError> {
        let (at, bytes) = ((&raw const value).cast::<c_void>(), size_of_val(&value));
        // SAFETY: the description is alive, and the library copies `bytes` bytes from `at`.
        let set =
            unsafe { result::set_matmul_desc_attribute(self.description, attribute, at, bytes) };
        check("describe a product", set)
    }

    /// The algorithm that the library thinks fastest.
    fn choose(&self, library: &CublasLt) -> Result<sys::cublasLtMatmulAlgo_t, DeviceError> {
        use sys::cublasLtMatmulPreferenceAttributes_t as Attribute;
        let preference = check("create a preference", result::create_matmul_pref())?;
        let at = (&raw const WORKSPACE_BYTES).cast::<c_void>();
        let attribute = Attribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        let [first, second, output] = self.layouts;
        // SAFETY: all the objects are alive; the preference is destroyed after its last use.
        let (set, found) = unsafe {
            let bytes = size_of_val(&WORKSPACE_BYTES);
            let set = result::set_matmul_pref_attribute(preference, attribute, at, bytes);
            let found = result::get_matmul_algo_heuristic(
                library.handle,
                self.description,
                first,
                second,
                output,
                output,
                preference,
            );
            // Nothing can be done about a failure.
            let _ = result::destroy_matmul_pref(preference);
            (set, found)
        };
        check("limit the workspace", set)?;
        Ok(check("find an algorithm for a product", found)?.algo)
    }

    /// Enqueues the product.
    ///
    /// # Safety
    /// The memory passed to [`Matmul::new`] must be alive and of the lengths of its plan until the
    /// work is done, and `stream` of the context in which the library was opened.
    pub(super) unsafe fn launch(
        &self,
        library: &CublasLt,
        stream: CUstream,
    ) -> Result<(), DeviceError> {
        let (alpha, beta) = (self.alpha, 0.0_f32);
        let [first, second, output] = self.layouts;
        // SAFETY: the objects are alive and describe the memory, which is the caller's promise.
        let launched = unsafe {
            result::matmul(
                library.handle,
                self.description,
                (&raw const alpha).cast(),
                (&raw const beta).cast(),
                self.first as *const c_void,
                first,
                self.second as *const c_void,
                second,
                self.output as *const c_void,
                output,
                self.output as *mut c_void,
                output,
                &raw const self.algorithm,
                self.workspace as *mut c_void,
                WORKSPACE,
                stream.cast(),
            )
        };
        check("multiply matrices", launched)
    }
}

/// [`WORKSPACE`] as the attribute's type.
static WORKSPACE_BYTES: u64 = WORKSPACE as u64;

fn create_description() -> Result<sys::cublasLtMatmulDesc_t, DeviceError> {
    let (sums, scales) =
        (sys::cublasComputeType_t::CUBLAS_COMPUTE_32F, sys::cudaDataType::CUDA_R_32F);
    check("describe a product", result::create_matmul_desc(sums, scales))
}

impl Drop for Matmul {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once. Nothing can be done about a failure.
        unsafe {
            for layout in self.layouts.into_iter().filter(|layout| !layout.is_null()) {
                let _ = result::destroy_matrix_layout(layout);
            }
            let _ = result::destroy_matmul_desc(self.description);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_library_is_an_error() {
        // SAFETY: as in `load`.
        if unsafe { sys::is_culib_present() } {
            return; // A handle needs a device.
        }
        let error = CublasLt::load().expect_err("it is absent");
        assert!(error.to_string().contains("libcublasLt.so"), "{error}");
    }
}
