//! cuBLASLt: one object for each prepared product.

use std::ffi::c_void;
use std::mem::{MaybeUninit, size_of_val};
use std::ptr::null_mut;

use cudarc::cublaslt::sys;
use cudarc::driver::sys::CUstream;

mod library;

use self::library::{Functions, HeuristicResult};
use super::matmul::{Layout, MatmulSpec, Operands};
use fouroversix::cuda::{DeviceAddress, DeviceError};

/// Bytes of workspace that products get: what NVIDIA recommends for Hopper and later.
pub(super) const WORKSPACE: usize = 32 << 20;

/// `CUBLAS_OP_N` of `cublas_api.h`, which cuBLASLt's own header includes.
const AS_IT_IS: i32 = 0;
/// `CUBLAS_OP_T`.
const TRANSPOSED: i32 = 1;

/// The library, opened.
#[derive(Debug)]
pub(super) struct CublasLt {
    functions: Functions,
    handle: sys::cublasLtHandle_t,
}

impl CublasLt {
    /// Loads the library. A context must be current.
    pub(super) fn load() -> Result<Self, DeviceError> {
        let functions = Functions::load()?;
        let mut handle = null_mut();
        // SAFETY: the library writes the handle to a local variable.
        let status = unsafe { (functions.create)(&raw mut handle) };
        functions.check("open a handle", status, &"the current context")?;
        Ok(Self { functions, handle })
    }

    /// For example `13.0.2`.
    pub(super) fn version(&self) -> String {
        self.functions.version()
    }
}

impl Drop for CublasLt {
    fn drop(&mut self) {
        // SAFETY: made by `load`, destroyed once. Nothing can be done about a failure.
        let _ = unsafe { (self.functions.destroy)(self.handle) };
    }
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
pub(super) struct Matmul<'a> {
    library: &'a CublasLt,
    spec: MatmulSpec,
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

impl<'a> Matmul<'a> {
    /// `output = alpha·A·Bᵀ`; see [`MatmulSpec`]. All addresses are multiples of 256.
    pub(super) fn new(
        library: &'a CublasLt,
        spec: MatmulSpec,
        alpha: f32,
        operands: [Matrix; 2],
        output: DeviceAddress,
        workspace: DeviceAddress,
    ) -> Result<Self, DeviceError> {
        let mut this = Self::described(library, spec, alpha, operands, output, workspace)?;
        this.algorithm = this.choose()?;
        Ok(this)
    }

    /// Without an algorithm: what needs no device.
    fn described(
        library: &'a CublasLt,
        spec: MatmulSpec,
        alpha: f32,
        [a, b]: [Matrix; 2],
        output: DeviceAddress,
        workspace: DeviceAddress,
    ) -> Result<Self, DeviceError> {
        let kind = match spec.operands {
            Operands::Bf16 => sys::cudaDataType::CUDA_R_16BF,
            Operands::Nvfp4 => sys::cudaDataType::CUDA_R_4F_E2M1,
        };
        let mut this = Self {
            library,
            spec,
            description: null_mut(),
            layouts: [null_mut(); 3],
            algorithm: sys::cublasLtMatmulAlgo_t { data: [0; 8] },
            alpha,
            first: b.elements,
            second: a.elements,
            output,
            workspace,
        };
        this.describe()?;
        if spec.operands == Operands::Nvfp4 {
            this.set_scales(b.scales, a.scales)?;
        }
        let layouts = [
            (kind, spec.first),
            (kind, spec.second),
            (sys::cudaDataType::CUDA_R_16BF, spec.output),
        ];
        for (index, (kind, layout)) in layouts.into_iter().enumerate() {
            let Layout { rows, columns, stride } = layout;
            let slot = &raw mut this.layouts[index];
            // SAFETY: the library writes the layout to `slot`.
            let status =
                unsafe { (library.functions.create_layout)(slot, kind, rows, columns, stride) };
            this.check("describe a matrix", status)?;
        }
        Ok(this)
    }

    fn check(&self, action: &'static str, status: library::Status) -> Result<(), DeviceError> {
        self.library.functions.check(action, status, &self.spec)
    }

    /// Sums and scale factors in FP32; the first operand transposed.
    fn describe(&mut self) -> Result<(), DeviceError> {
        use sys::cublasLtMatmulDescAttributes_t as Attribute;
        let sums = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
        let factors = sys::cudaDataType::CUDA_R_32F;
        let slot = &raw mut self.description;
        // SAFETY: the library writes the description to `slot`.
        let status = unsafe { (self.library.functions.create_description)(slot, sums, factors) };
        self.check("describe a product", status)?;
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
        let set = self.library.functions.set_description;
        // SAFETY: the description is alive, and the library copies `bytes` bytes from `at`.
        self.check("describe a product", unsafe { set(self.description, attribute, at, bytes) })
    }

    /// The algorithm that the library thinks fastest, of those that add up in FP32 only: where the
    /// sum is split, parts could also be rounded to the output's type.
    fn choose(&self) -> Result<sys::cublasLtMatmulAlgo_t, DeviceError> {
        use sys::cublasLtMatmulPreferenceAttributes_t as Attribute;
        let in_fp32 = sys::cublasLtReductionScheme_t::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
        let preference = Preference::new(self)?;
        preference.set(Attribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, WORKSPACE as u64)?;
        preference.set(Attribute::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, in_fp32 as u32)?;
        let [first, second, output] = self.layouts;
        let (mut found, mut count) = (MaybeUninit::<HeuristicResult>::zeroed(), 0);
        // SAFETY: all the objects are alive; the library writes at most one result. Zeros are a
        // result too.
        let (status, found) = unsafe {
            let status = (self.library.functions.find_algorithms)(
                self.library.handle,
                self.description,
                first,
                second,
                output,
                output,
                preference.object,
                1,
                found.as_mut_ptr(),
                &raw mut count,
            );
            (status, found.assume_init())
        };
        self.check("find an algorithm", status)?;
        if count == 0 {
            let status = format!("there is none for {}", self.spec);
            return Err(DeviceError::Cublas { action: "find an algorithm", status });
        }
        self.check("find an algorithm", found.state)?;
        Ok(found.algorithm)
    }

    /// Enqueues the product.
    ///
    /// # Safety
    /// The memory passed to [`Matmul::new`] must be alive and of the lengths of its spec until the
    /// work is done, and `stream` of the context in which the library was opened.
    pub(super) unsafe fn launch(&self, stream: CUstream) -> Result<(), DeviceError> {
        let (alpha, beta) = (self.alpha, 0.0_f32);
        let [first, second, output] = self.layouts;
        // SAFETY: the objects are alive and describe the memory, which is the caller's promise; the
        // factors are read before the call returns.
        let status = unsafe {
            (self.library.functions.multiply)(
                self.library.handle,
                self.description,
                (&raw const alpha).cast(),
                self.first as *const c_void,
                first,
                self.second as *const c_void,
                second,
                (&raw const beta).cast(),
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
        self.check("multiply matrices", status)
    }
}

impl Drop for Matmul<'_> {
    fn drop(&mut self) {
        let Functions { destroy_layout, destroy_description, .. } = self.library.functions;
        // SAFETY: made by `new`, destroyed once. Nothing can be done about a failure.
        unsafe {
            for layout in self.layouts.into_iter().filter(|layout| !layout.is_null()) {
                let _ = destroy_layout(layout);
            }
            if !self.description.is_null() {
                let _ = destroy_description(self.description);
            }
        }
    }
}

/// What an algorithm is chosen by.
struct Preference<'a> {
    matmul: &'a Matmul<'a>,
    object: sys::cublasLtMatmulPreference_t,
}

impl<'a> Preference<'a> {
    fn new(matmul: &'a Matmul<'a>) -> Result<Self, DeviceError> {
        let mut object = null_mut();
        // SAFETY: the library writes the object to a local variable.
        let status = unsafe { (matmul.library.functions.create_preference)(&raw mut object) };
        matmul.check("create a preference", status)?;
        Ok(Self { matmul, object })
    }

    fn set<T: Copy>(
        &self,
        attribute: sys::cublasLtMatmulPreferenceAttributes_t,
        value: T,
    ) -> Result<(), DeviceError> {
        let (at, bytes) = ((&raw const value).cast::<c_void>(), size_of_val(&value));
        let set = self.matmul.library.functions.set_preference;
        // SAFETY: the object is alive, and the library copies `bytes` bytes from `at`.
        let status = unsafe { set(self.object, attribute, at, bytes) };
        self.matmul.check("state a preference", status)
    }
}

impl Drop for Preference<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once. Nothing can be done about a failure.
        let _ = unsafe { (self.matmul.library.functions.destroy_preference)(self.object) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_device_there_is_an_error() {
        if let Err(error) = CublasLt::load() {
            let text = error.to_string();
            assert!(text.contains("cublasLt") || text.contains("open a handle"), "{text}");
        }
    }

    #[test]
    #[ignore = "needs cuBLASLt, but no device"]
    fn the_library_takes_every_description() {
        let functions = Functions::load().expect("cuBLASLt is there");
        let library = CublasLt { functions, handle: null_mut() };
        for operands in [Operands::Bf16, Operands::Nvfp4] {
            let spec = MatmulSpec::new([96, 48, 64], operands);
            let matrices = [256, 512].map(|at| Matrix { elements: at, scales: at << 8 });
            let matmul = Matmul::described(&library, spec, 0.5, matrices, 1 << 20, 2 << 20);
            let matmul = matmul.expect("valid attributes and values");
            assert_eq!([matmul.first, matmul.second], [512, 256]);
            let preference = Preference::new(&matmul).expect("needs no device");
            let attribute =
                sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK;
            preference.set(attribute, 2_u32).expect("a mask of schemes");
            let error = preference.set(attribute, 2_u8).expect_err("too short");
            assert!(error.to_string().contains("the 96 x 48 product"), "{error}");
        }
    }
}
